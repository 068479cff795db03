//! What timers cost when very many are set: the port's wheel as the runtime uses it, and the runtime's `sleep`, in
//! nanoseconds; and what they are held against, inserts into a hash map of the same size.
//!
//! Each slice works on the same structure, which has as many timers (entries) after it as before.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ostia::time::{Sleep, sleep};
use ostia_port::{TimerKey, Wheel};

use crate::random::SplitMix64;

/// The farthest deadline, in milliseconds.
const HOUR: u64 = 3_600_000;
/// Timers set and given up in a slice.
const BATCH: usize = 50_000;
/// The time that goes by in a slice, in ticks: long enough that each slice has its
/// share of timers dealt out from coarse slots to fine ones.
const SPAN: u64 = 1 << 18;

/// What a slice of timers gives: these, in this order.
pub const FIGURES: [&str; 3] = ["set", "given up", "fired"];

/// When a timer is due, from now.
fn deadline(random: &mut SplitMix64) -> u64 {
    1 + random.below(HOUR as usize) as u64
}

fn nanos_each(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / count.max(1) as f64
}

/// The wheel, with what the runtime puts into it: four bytes that are never zero.
pub struct Timers {
    wheel: Wheel<NonZeroU32>,
    keys: Vec<TimerKey>,
    now: u64,
    random: SplitMix64,
}

impl Timers {
    /// So many timers, their deadlines anywhere in the next hour.
    pub fn new(armed: usize) -> Timers {
        let (mut wheel, mut random) = (Wheel::new(), SplitMix64(armed as u64 | 1));
        let keys = (0..armed).map(|index| wheel.insert(deadline(&mut random), name(index))).collect();
        Timers { wheel, keys, now: 0, random }
    }

    /// Gives some up, sets as many, and lets time go by: the cost of one of each.
    pub fn slice(&mut self) -> Result<Vec<f64>, String> {
        let armed = self.keys.len();
        let chosen = self.random.choose(BATCH.min(armed / 2), armed);
        let keys: Vec<TimerKey> = chosen.iter().map(|index| self.keys[*index]).collect();
        let mut removed = 0;
        let start = Instant::now();
        for key in keys {
            removed += usize::from(self.wheel.remove(key).is_some());
        }
        let given_up = start.elapsed();
        if removed != chosen.len() {
            return Err(format!("gave up {removed} timers of {}", chosen.len()));
        }
        let new: Vec<(NonZeroU32, u64)> =
            chosen.iter().map(|index| (name(*index), self.now + deadline(&mut self.random))).collect();
        let mut keys = Vec::with_capacity(new.len());
        let start = Instant::now();
        for (value, tick) in new {
            keys.push(self.wheel.insert(tick, value));
        }
        let set = start.elapsed();
        for (index, key) in chosen.iter().zip(keys) {
            self.keys[*index] = key;
        }
        let count = chosen.len();
        let fired = self.fire()?;
        Ok(vec![nanos_each(set, count), nanos_each(given_up, count), fired])
    }

    /// Lets time go by as a worker with nothing else to do does, from one timer to the next.
    fn fire(&mut self) -> Result<f64, String> {
        let end = self.now + SPAN;
        let mut fired = Vec::with_capacity(self.keys.len());
        let start = Instant::now();
        while let Some(tick) = self.wheel.next_tick().filter(|tick| *tick <= end) {
            self.wheel.advance(tick, |value| fired.push(value));
        }
        self.wheel.advance(end, |value| fired.push(value));
        let elapsed = start.elapsed();
        self.now = end;
        let count = fired.len();
        for value in fired {
            let index = value.get() as usize - 1;
            self.keys[index] = self.wheel.insert(end + deadline(&mut self.random), value);
        }
        if self.wheel.len() != self.keys.len() || count == 0 {
            return Err(format!("{count} timers fired, {} of {} are left", self.wheel.len(), self.keys.len()));
        }
        Ok(nanos_each(elapsed, count))
    }
}

/// The value of the timer of that index.
fn name(index: usize) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(index as u32)
}

/// The runtime's `sleep`: so many set all the time, and some more of them in a slice.
pub struct Sleeps {
    runtime: ostia::Runtime,
    armed: Vec<Pin<Box<Sleep>>>,
    random: SplitMix64,
}

impl Sleeps {
    /// One worker, on this thread, with so many timers.
    ///
    /// # Errors
    /// As building a runtime.
    pub fn new(armed: usize) -> Result<Sleeps, String> {
        let mut runtime = ostia::Runtime::builder().workers(1).build().map_err(|error| error.to_string())?;
        let mut random = SplitMix64(armed as u64 | 1);
        // None of these fires while the measurement lasts.
        let mut armed: Vec<_> =
            (0..armed).map(|_| Box::pin(sleep(Duration::from_millis(HOUR + deadline(&mut random))))).collect();
        runtime.block_on(set(&mut armed));
        Ok(Sleeps { runtime, armed, random })
    }

    /// Sets some, gives them up, sets others and lets them fire.
    pub fn slice(&mut self) -> Result<Vec<f64>, String> {
        let Sleeps { runtime, random, armed } = self;
        let count = BATCH.min(armed.len() / 2);
        let mut later: Vec<_> = (0..count).map(|_| Box::pin(sleep(Duration::from_millis(deadline(random) + HOUR)))).collect();
        let start = Instant::now();
        runtime.block_on(set(&mut later));
        let set_all = start.elapsed();
        let start = Instant::now();
        runtime.block_on(async { later.clear() });
        let given_up = start.elapsed();
        let mut soon: Vec<_> = (0..count).map(|index| Box::pin(sleep(Duration::from_millis(1 + index as u64 % 8)))).collect();
        runtime.block_on(set(&mut soon));
        std::thread::sleep(Duration::from_millis(12));
        let start = Instant::now();
        let fired = runtime.block_on(async {
            let mut fired = 0;
            for sleep in &mut soon {
                sleep.as_mut().await;
                fired += 1;
            }
            fired
        });
        let elapsed = start.elapsed();
        if fired != count {
            return Err(format!("{fired} of {count} timers fired"));
        }
        Ok(vec![nanos_each(set_all, count), nanos_each(given_up, count), nanos_each(elapsed, count)])
    }
}

/// Polls each once.
async fn set(sleeps: &mut [Pin<Box<Sleep>>]) {
    std::future::poll_fn(|cx: &mut Context<'_>| {
        for sleep in &mut *sleeps {
            let _: Poll<()> = pin!(sleep).poll(cx);
        }
        Poll::Ready(())
    })
    .await;
}

/// A hash map of random keys.
pub struct Entries<H> {
    map: HashMap<u64, u64, H>,
    keys: Vec<u64>,
    random: SplitMix64,
}

impl<H: BuildHasher + Default> Entries<H> {
    /// So many entries.
    pub fn new(count: usize) -> Entries<H> {
        let (mut map, mut random) = (HashMap::default(), SplitMix64(count as u64 | 1));
        let keys: Vec<u64> = (0..count).map(|_| random.next()).collect();
        map.extend(keys.iter().map(|key| (*key, *key)));
        Entries { map, keys, random }
    }

    /// Takes some out and inserts as many: the cost of one insert.
    pub fn slice(&mut self) -> Result<Vec<f64>, String> {
        let length = self.keys.len();
        let chosen = self.random.choose(BATCH.min(length / 2), length);
        for index in &chosen {
            let fresh = self.random.next();
            self.map.remove(&std::mem::replace(&mut self.keys[*index], fresh));
        }
        let fresh: Vec<u64> = chosen.iter().map(|index| self.keys[*index]).collect();
        let count = fresh.len();
        let start = Instant::now();
        for key in fresh {
            self.map.insert(key, key);
        }
        let elapsed = start.elapsed();
        if self.map.len() != length {
            return Err(format!("the map has {} entries of {length}", self.map.len()));
        }
        Ok(vec![nanos_each(elapsed, count)])
    }
}

/// A hasher that costs next to nothing: one multiplication by an odd number, its halves folded together.
#[derive(Default)]
pub struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

/// Hash maps with that hasher.
pub type Fast = BuildHasherDefault<Folded>;

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    #[test]
    fn a_slice_leaves_as_many_as_it_found() {
        let mut timers = Timers::new(2_000);
        for _ in 0..20 {
            let figures = timers.slice().unwrap();
            assert!(figures.len() == FIGURES.len() && figures.iter().all(|nanos| *nanos > 0.0), "{figures:?}");
            assert_eq!(timers.wheel.len(), 2_000);
        }
        assert_eq!(timers.now, 20 * SPAN);
        assert!(Entries::<RandomState>::new(2_000).slice().unwrap()[0] > 0.0);
        let mut entries = Entries::<Fast>::new(2_000);
        assert!(entries.slice().unwrap()[0] > 0.0 && entries.map.len() == 2_000);
    }

    #[test]
    fn the_runtimes_timers_are_set_and_fire() {
        let mut sleeps = Sleeps::new(200).unwrap();
        for _ in 0..2 {
            assert!(sleeps.slice().unwrap().iter().all(|nanos| *nanos > 0.0));
        }
    }
}

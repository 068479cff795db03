//! How long it takes to wake a task on another thread that sleeps: round trips between two threads, halved.
//!
//! For each line on standard input, a number of milliseconds, round trips are made for that long, and their median and
//! 99th percentile come out, in microseconds. Both threads sleep meanwhile. Ostia: two workers of one runtime. tokio: two
//! current-thread runtimes, since tasks of its multi-threaded one move to the thread that wakes them.

mod on_ostia;
mod on_tokio;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

/// Before each round trip the thread that begins it works for so long, in which the other one falls asleep.
const PAUSE: Duration = Duration::from_micros(50);

/// What the other thread is woken by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A message through an mpsc channel, answered through a oneshot.
    Channel,
    /// A `Notify`, answered by another.
    Notify,
    /// A task spawned there, whose end is awaited.
    Spawn,
}

/// Round trips until a moment.
pub struct Rounds {
    until: Instant,
    begun: Instant,
    taken: Vec<u64>,
}

impl Rounds {
    fn new(duration: Duration) -> Rounds {
        let now = Instant::now();
        Rounds { until: now + duration, begun: now, taken: Vec::with_capacity(1 << 16) }
    }

    /// Begins a round trip, after the pause; false when time is up.
    pub fn begin(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PAUSE {
            std::hint::spin_loop();
        }
        self.begun = Instant::now();
        self.begun < self.until
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.taken.push(self.begun.elapsed().as_nanos() as u64);
    }

    /// Half a round trip, in microseconds, which so large a share of them did not exceed.
    fn quantile(&mut self, share: f64) -> f64 {
        self.taken.sort_unstable();
        let last = self.taken.len().saturating_sub(1);
        let nanos = self.taken.get((last as f64 * share) as usize).copied().unwrap_or_default();
        nanos as f64 / 2_000.0
    }
}

/// Calls `measure` for every line of standard input.
pub fn obey(mut measure: impl FnMut(&mut Rounds)) -> Result<(), Box<dyn Error>> {
    for line in io::stdin().lock().lines() {
        let mut rounds = Rounds::new(Duration::from_millis(line?.trim().parse()?));
        measure(&mut rounds);
        println!("{:.3} {:.3}", rounds.quantile(0.5), rounds.quantile(0.99));
        io::stdout().flush()?;
    }
    Ok(())
}

/// Binds the calling thread to a processor.
pub fn pin(cpu: usize) {
    // SAFETY: an all-zero cpu_set_t is an empty set; CPU_SET checks its bound, and the kernel only reads the set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    use lexopt::prelude::*;
    let (mut on, mut by, mut cpus) = (String::from("ostia"), By::Channel, [0, 1]);
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("on") => on = parser.value()?.parse()?,
            Long("by") => {
                by = match parser.value()?.to_str() {
                    Some("channel") => By::Channel,
                    Some("notify") => By::Notify,
                    Some("spawn") => By::Spawn,
                    _ => return Err("--by: choose channel, notify or spawn".into()),
                }
            }
            Long("cpus") => {
                let text: String = parser.value()?.parse()?;
                let (first, second) = text.split_once(',').ok_or("--cpus: write two numbers, such as 0,1")?;
                cpus = [first.parse()?, second.parse()?];
            }
            other => return Err(other.unexpected().into()),
        }
    }
    match on.as_str() {
        "ostia" => on_ostia::run(ostia::DriverChoice::IoUring, by, cpus),
        "ostia-epoll" => on_ostia::run(ostia::DriverChoice::Epoll, by, cpus),
        "tokio" => on_tokio::run(by, cpus),
        other => Err(format!("nothing called {other}: choose ostia, ostia-epoll or tokio").into()),
    }
}

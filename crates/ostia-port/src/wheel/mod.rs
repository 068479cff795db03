//! A hierarchical timer wheel: insert and cancel in O(1), a tick of one millisecond, no clock of its own.

mod bits;
mod lists;

use crate::slab::{Record, Slab};
use bits::{Bits, SLOTS};
use lists::{CHUNK, Lists, Place};

/// Levels of 2 s, 70 minutes and 99 days: few and wide, so that a timer is dealt out once at most if it is due within the
/// hour, for what that costs is its way from memory.
const LEVELS: usize = 3;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// The farthest a timer can be, one slot less than the last level so that no slot is lapped; later ones are set to this and
/// set again when it comes.
const HORIZON: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - (1 << (SLOT_BITS * (LEVELS as u32 - 1)));
/// The list of timers that are due at once, after those of all slots.
const DUE: u16 = (LEVELS * SLOTS) as u16;

/// Names a timer until it fires or is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

struct Timer<T> {
    generation: u32,
    value: Option<T>,
    tick: u64,
    place: Place,
}

impl<T> Record for Timer<T> {
    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }

    #[inline]
    fn vacant(generation: u32, next: u32) -> Timer<T> {
        Timer { generation, value: None, tick: next.into(), place: Place::NOWHERE }
    }

    #[inline]
    fn next_free(&self) -> u32 {
        self.tick as u32
    }
}

/// Timers of values, by millisecond ticks that the caller counts.
///
/// A timer never fires before its tick. All work is in integers: two wheels fed the same calls fire the same values in
/// the same order.
pub struct Wheel<T> {
    timers: Slab<Timer<T>>,
    lists: Lists<{ LEVELS * SLOTS + 1 }>,
    occupied: Box<[Bits; LEVELS]>,
    /// The tick up to which everything has fired.
    now: u64,
}

impl<T> Default for Wheel<T> {
    fn default() -> Wheel<T> {
        Wheel::new()
    }
}

impl<T> Wheel<T> {
    /// An empty wheel at tick 0.
    #[must_use]
    pub fn new() -> Wheel<T> {
        Wheel { timers: Slab::new(), lists: Lists::new(), occupied: Box::new([Bits::EMPTY; LEVELS]), now: 0 }
    }

    /// How many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether no timer is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets a timer that fires at `tick`, or at the next [`advance`](Self::advance) if that is past.
    pub fn insert(&mut self, tick: u64, value: T) -> TimerKey {
        let list = self.list_for(tick);
        let mut key = TimerKey { index: 0, generation: 0 };
        key.index = self.timers.insert_with(|index, generation| {
            key.generation = generation;
            let place = self.lists.push(list, index);
            Timer { generation, value: Some(value), tick, place }
        });
        self.occupy(list);
        key
    }

    /// Takes a timer back; none if it has fired.
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        let place = self.timers.get(key.index, key.generation)?.place;
        if let Some(moved) = self.lists.remove(place)
            && let Some(timer) = self.timers.at_mut(moved)
        {
            timer.place = place;
        }
        if self.lists.is_empty(place.list) {
            self.vacate(place.list);
        }
        self.timers.remove(key.index).and_then(|timer| timer.value)
    }

    /// The value of a timer that has not fired.
    pub fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.timers.get_mut(key.index, key.generation).and_then(|timer| timer.value.as_mut())
    }

    /// The tick of a timer that has not fired.
    #[must_use]
    pub fn tick(&self, key: TimerKey) -> Option<u64> {
        self.timers.get(key.index, key.generation).map(|timer| timer.tick)
    }

    /// Moves a timer that has not fired to a later tick, and gives its value; none, and nothing done, for an earlier tick or
    /// a timer that has fired. It costs next to nothing: the timer finds its new place when its old time comes.
    #[inline]
    pub fn postpone(&mut self, key: TimerKey, tick: u64) -> Option<&mut T> {
        let timer = self.timers.get_mut(key.index, key.generation).filter(|timer| timer.tick <= tick)?;
        timer.tick = tick;
        timer.value.as_mut()
    }

    /// The list for a tick: its level is that of the highest bit in which it differs from now.
    #[inline]
    fn list_for(&self, tick: u64) -> u16 {
        if tick <= self.now {
            return DUE;
        }
        let tick = tick.min(self.now + HORIZON);
        let differs = (tick ^ self.now).max(1);
        let level = ((63 - differs.leading_zeros()) / SLOT_BITS).min(LEVELS as u32 - 1);
        let slot = (tick >> (level * SLOT_BITS)) as usize % SLOTS;
        (level as usize * SLOTS + slot) as u16
    }

    #[inline]
    fn occupy(&mut self, list: u16) {
        if let Some(bits) = self.occupied.get_mut(usize::from(list) / SLOTS) {
            bits.set(usize::from(list) % SLOTS);
        }
    }

    #[inline]
    fn vacate(&mut self, list: u16) {
        if let Some(bits) = self.occupied.get_mut(usize::from(list) / SLOTS) {
            bits.clear(usize::from(list) % SLOTS);
        }
    }

    /// The tick at which [`advance`](Self::advance) has something to do next; never later than the earliest timer.
    #[must_use]
    pub fn next_tick(&self) -> Option<u64> {
        if !self.lists.is_empty(DUE) {
            return Some(self.now);
        }
        self.first_slot().map(|(start, ..)| start)
    }

    /// The occupied slot that begins first: its start, its level, its list. Of two that begin together the finer one.
    #[inline]
    fn first_slot(&self) -> Option<(u64, usize, u16)> {
        let mut first: Option<(u64, usize, u16)> = None;
        for (level, bits) in self.occupied.iter().enumerate() {
            let shift = SLOT_BITS * level as u32;
            let here = (self.now >> shift) as usize % SLOTS;
            let Some(slot) = bits.first_from(here) else { continue };
            let ahead = slot.wrapping_sub(here) % SLOTS;
            let start = (((self.now >> shift) + ahead as u64) << shift).max(self.now);
            if first.is_none_or(|(earliest, ..)| start < earliest) {
                first = Some((start, level, (level * SLOTS + slot) as u16));
            }
        }
        first
    }

    /// Moves time to `tick` and calls `fire` with every timer due by then, earliest slot first.
    pub fn advance(&mut self, tick: u64, mut fire: impl FnMut(T)) {
        loop {
            if !self.lists.is_empty(DUE) {
                self.fire_list(DUE, &mut fire);
            }
            let Some((start, level, list)) = self.first_slot().filter(|(start, ..)| *start <= tick) else { break };
            self.now = self.now.max(start);
            self.vacate(list);
            if level == 0 {
                self.fire_list(list, &mut fire);
            } else {
                self.deal_out(list);
            }
        }
        self.now = self.now.max(tick);
    }

    /// Fires the timers of a list whose time has come.
    fn fire_list(&mut self, list: u16, fire: &mut impl FnMut(T)) {
        let mut next = self.lists.take(list);
        while let Some(chunk) = self.lists.take_chunk(next) {
            next = chunk.next;
            for &index in chunk.entries() {
                // One that was postponed goes where it belongs now, which is never this list: its tick is after now.
                match self.timers.at(index).map(|timer| timer.tick) {
                    Some(tick) if tick > self.now => self.put(index, self.list_for(tick)),
                    _ => self.timers.remove(index).and_then(|timer| timer.value).into_iter().for_each(&mut *fire),
                }
            }
        }
    }

    /// Deals the timers of a coarse slot out to finer ones, now that their time is near.
    fn deal_out(&mut self, list: u16) {
        let mut next = self.lists.take(list);
        while let Some(chunk) = self.lists.take_chunk(next) {
            next = chunk.next;
            // Looked at first, all of them, so that they come from memory together.
            let mut lists = [DUE; CHUNK];
            for (list, &index) in lists.iter_mut().zip(chunk.entries()) {
                *list = self.timers.at(index).map_or(DUE, |timer| self.list_for(timer.tick));
            }
            for (list, &index) in lists.into_iter().zip(chunk.entries()) {
                self.put(index, list);
            }
        }
    }

    /// Puts a timer that stands in no list into one.
    #[inline]
    fn put(&mut self, index: u32, list: u16) {
        let place = self.lists.push(list, index);
        if let Some(timer) = self.timers.at_mut(index) {
            timer.place = place;
        }
        self.occupy(list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(wheel: &mut Wheel<u64>, tick: u64) -> Vec<u64> {
        let mut out = Vec::new();
        wheel.advance(tick, |v| out.push(v));
        out
    }

    #[test]
    fn fires_at_its_tick_not_before() {
        for start in [0, 1, 63, 64, 2047, 2048, 4095, 1 << 20, (1 << 22) - 1] {
            for after in [0, 1, 2, 63, 64, 65, 2047, 2048, 2049, 4095, 4096, 262_143, (1 << 22) - 1, 1 << 22, 5_000_000] {
                let mut wheel = Wheel::new();
                wheel.advance(start, |_: u64| {});
                wheel.insert(start + after, 7);
                if after > 0 {
                    assert_eq!(fired(&mut wheel, start + after - 1), [0u64; 0], "start {start} after {after}");
                }
                assert_eq!(fired(&mut wheel, start + after), [7], "start {start} after {after}");
                assert!(wheel.is_empty());
            }
        }
    }

    #[test]
    fn against_a_sorted_list() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut wheel = Wheel::new();
        let mut model: Vec<(u64, u64, TimerKey)> = Vec::new();
        let mut now = 0;
        for id in 0..40_000u64 {
            match draw() % 5 {
                0 | 1 => {
                    let tick = now + draw() % [3, 70, 5000, 1 << 22, 1 << 25][(draw() % 5) as usize];
                    model.push((tick, id, wheel.insert(tick, id)));
                }
                2 if !model.is_empty() => {
                    let (_, id, key) = model.swap_remove(draw() as usize % model.len());
                    assert_eq!(wheel.remove(key), Some(id));
                    assert_eq!(wheel.remove(key), None, "a key works once");
                }
                3 if !model.is_empty() => {
                    let at = draw() as usize % model.len();
                    let (tick, id, key) = model[at];
                    let later = tick + draw() % [1, 70, 5000, 1 << 22][(draw() % 4) as usize];
                    assert_eq!(wheel.postpone(key, later).copied(), Some(id));
                    model[at].0 = later;
                    assert_eq!(wheel.tick(key), Some(later));
                }
                _ => {
                    now += draw() % [2, 50, 3000, 1 << 21][(draw() % 4) as usize];
                    let mut got = fired(&mut wheel, now);
                    let mut want: Vec<u64> = model.iter().filter(|(t, ..)| *t <= now).map(|m| m.1).collect();
                    model.retain(|(t, ..)| *t > now);
                    got.sort_unstable();
                    want.sort_unstable();
                    assert_eq!(got, want);
                    let earliest = model.iter().map(|m| m.0).min();
                    assert!(wheel.next_tick() <= earliest || earliest.is_none());
                    assert_eq!(wheel.next_tick().is_none(), earliest.is_none());
                    assert_eq!(wheel.len(), model.len());
                }
            }
        }
    }

    #[test]
    fn a_postponed_timer_fires_at_its_new_tick_only() {
        for (first, then) in [(5, 6), (5, 69), (5, 5), (64, 64 + 4096), (4096, 4097), (1, 1 << 20)] {
            let mut wheel = Wheel::new();
            let key = wheel.insert(first, 7);
            assert_eq!(wheel.postpone(key, then).copied(), Some(7));
            assert_eq!(wheel.postpone(key, then - 1), None, "never to an earlier tick");
            assert_eq!(fired(&mut wheel, then - 1), [0u64; 0], "{first} to {then}");
            assert_eq!(fired(&mut wheel, then), [7], "{first} to {then}");
            assert_eq!(wheel.postpone(key, then + 1), None, "it has fired");
        }
    }

    #[test]
    fn beyond_the_horizon_comes_too() {
        let mut wheel = Wheel::new();
        wheel.insert(HORIZON * 3, 1);
        assert_eq!(fired(&mut wheel, HORIZON * 3 - 1), [0u64; 0]);
        assert_eq!(fired(&mut wheel, HORIZON * 3), [1]);
    }
}

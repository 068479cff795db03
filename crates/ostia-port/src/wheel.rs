//! A hierarchical timer wheel: insert and cancel in O(1), a tick of one millisecond, no clock of its own.

use crate::slab::{NONE, Record, Slab};

const LEVELS: usize = 6;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// The farthest a timer can be, 63/64 of 2^36 ms (two years), so that no slot is lapped; later ones are set to this and set again when it comes.
const HORIZON: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - (1 << (SLOT_BITS * (LEVELS as u32 - 1)));

/// Names a timer until it fires or is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

struct Timer<T> {
    generation: u32,
    prev: u32,
    next: u32,
    list: u16,
    tick: u64,
    value: Option<T>,
}

impl<T> Record for Timer<T> {
    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }

    #[inline]
    fn vacant(generation: u32, next: u32) -> Timer<T> {
        Timer { generation, prev: NONE, next, list: 0, tick: 0, value: None }
    }

    #[inline]
    fn next_free(&self) -> u32 {
        self.next
    }
}

/// Timers of values, by millisecond ticks that the caller counts.
///
/// A timer never fires before its tick. All work is in integers: two wheels fed the same calls fire the same values in
/// the same order.
pub struct Wheel<T> {
    timers: Slab<Timer<T>>,
    heads: [u32; LEVELS * SLOTS],
    occupied: [u64; LEVELS],
    /// The tick up to which everything has fired.
    now: u64,
    /// Already due when they were inserted: they fire at the next turn.
    due: u32,
}

/// The list of timers that are due at once.
const DUE: u16 = u16::MAX;

impl<T> Default for Wheel<T> {
    fn default() -> Wheel<T> {
        Wheel::new()
    }
}

impl<T> Wheel<T> {
    /// An empty wheel at tick 0.
    #[must_use]
    pub fn new() -> Wheel<T> {
        Wheel { timers: Slab::new(), heads: [NONE; LEVELS * SLOTS], occupied: [0; LEVELS], now: 0, due: NONE }
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
        let mut key = TimerKey { index: 0, generation: 0 };
        key.index = self.timers.insert_with(|_, generation| {
            key.generation = generation;
            Timer { generation, prev: NONE, next: NONE, list: 0, tick, value: Some(value) }
        });
        self.link(key.index);
        key
    }

    /// Takes a timer back; none if it has fired.
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        self.timers.get(key.index, key.generation)?;
        self.unlink(key.index);
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
    fn list_for(&self, tick: u64) -> u16 {
        if tick <= self.now {
            return DUE;
        }
        let tick = tick.min(self.now + HORIZON);
        let differs = (tick ^ self.now).max(1);
        let level = ((63 - differs.leading_zeros()) / SLOT_BITS).min(LEVELS as u32 - 1);
        let slot = (tick >> (level * SLOT_BITS)) as usize & (SLOTS - 1);
        (level as usize * SLOTS + slot) as u16
    }

    fn link(&mut self, index: u32) {
        let Some(tick) = self.timers.at(index).map(|t| t.tick) else { return };
        let list = self.list_for(tick);
        let next = *self.head(list);
        if let Some(timer) = self.timers.at_mut(index) {
            (timer.prev, timer.next, timer.list) = (NONE, next, list);
        }
        if let Some(next) = self.timers.at_mut(next) {
            next.prev = index;
        }
        *self.head(list) = index;
        if list != DUE {
            self.occupied[list as usize / SLOTS] |= 1 << (list as usize % SLOTS);
        }
    }

    fn head(&mut self, list: u16) -> &mut u32 {
        if list == DUE { &mut self.due } else { &mut self.heads[usize::from(list)] }
    }

    fn unlink(&mut self, index: u32) {
        let Some((prev, next, list)) = self.timers.at(index).map(|t| (t.prev, t.next, t.list)) else { return };
        match self.timers.at_mut(prev) {
            Some(before) => before.next = next,
            None => *self.head(list) = next,
        }
        if let Some(after) = self.timers.at_mut(next) {
            after.prev = prev;
        }
        if *self.head(list) == NONE && list != DUE {
            self.occupied[list as usize / SLOTS] &= !(1 << (list as usize % SLOTS));
        }
    }

    /// The tick at which [`advance`](Self::advance) has something to do next; never later than the earliest timer.
    #[must_use]
    pub fn next_tick(&self) -> Option<u64> {
        if self.due != NONE {
            return Some(self.now);
        }
        (0..LEVELS).filter(|&level| self.occupied[level] != 0).map(|level| self.first_of(level).0).min()
    }

    /// The start and the number of the first occupied slot of a level, counted from now.
    fn first_of(&self, level: usize) -> (u64, usize) {
        let shift = SLOT_BITS * level as u32;
        let here = (self.now >> shift) as usize & (SLOTS - 1);
        let ahead = self.occupied[level].rotate_right(here as u32).trailing_zeros() as usize;
        let slot = (here + ahead) & (SLOTS - 1);
        let base = (self.now >> shift) + ahead as u64;
        ((base << shift).max(self.now), slot)
    }

    /// Moves time to `tick` and calls `fire` with every timer due by then, earliest slot first.
    pub fn advance(&mut self, tick: u64, mut fire: impl FnMut(T)) {
        loop {
            self.fire_list(DUE, &mut fire);
            let next = (0..LEVELS).filter(|&level| self.occupied[level] != 0).map(|level| (self.first_of(level), level)).min();
            let Some(((start, slot), level)) = next.filter(|((start, _), _)| *start <= tick) else { break };
            self.now = self.now.max(start);
            let list = (level * SLOTS + slot) as u16;
            if level == 0 {
                self.fire_list(list, &mut fire);
            } else {
                self.cascade(list);
            }
        }
        self.now = self.now.max(tick);
    }

    fn fire_list(&mut self, list: u16, fire: &mut impl FnMut(T)) {
        loop {
            let index = *self.head(list);
            if index == NONE {
                return;
            }
            self.unlink(index);
            // One that was postponed goes where it belongs now, which is never this list: its tick is after now.
            if self.timers.at(index).is_some_and(|timer| timer.tick > self.now) {
                self.link(index);
                continue;
            }
            if let Some(value) = self.timers.remove(index).and_then(|timer| timer.value) {
                fire(value);
            }
        }
    }

    /// Deals the timers of a coarse slot out to finer ones, now that their time is near.
    fn cascade(&mut self, list: u16) {
        let mut index = std::mem::replace(self.head(list), NONE);
        self.occupied[list as usize / SLOTS] &= !(1 << (list as usize % SLOTS));
        while let Some(next) = self.timers.at(index).map(|t| t.next) {
            self.link(index);
            index = next;
        }
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
        for start in [0, 1, 63, 64, 4095, 4096, 1 << 20] {
            for after in [0, 1, 2, 63, 64, 65, 4095, 4096, 4097, 262_143, 300_000] {
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
        for id in 0..20_000u64 {
            match draw() % 4 {
                0 | 1 => {
                    let tick = now + draw() % [3, 70, 5000, 1 << 22][(draw() % 4) as usize];
                    model.push((tick, id, wheel.insert(tick, id)));
                }
                2 if !model.is_empty() => {
                    let (_, id, key) = model.swap_remove(draw() as usize % model.len());
                    assert_eq!(wheel.remove(key), Some(id));
                    assert_eq!(wheel.remove(key), None, "a key works once");
                }
                _ => {
                    now += draw() % [2, 50, 3000][(draw() % 3) as usize];
                    let mut got = fired(&mut wheel, now);
                    let mut want: Vec<u64> = model.iter().filter(|(t, ..)| *t <= now).map(|m| m.1).collect();
                    model.retain(|(t, ..)| *t > now);
                    got.sort_unstable();
                    want.sort_unstable();
                    assert_eq!(got, want);
                    let earliest = model.iter().map(|m| m.0).min();
                    assert!(wheel.next_tick() <= earliest || earliest.is_none());
                    assert_eq!(wheel.next_tick().is_none(), earliest.is_none());
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

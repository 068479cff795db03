//! Timers with exact times: a hierarchical wheel whose slots split when somebody looks into them.
//!
//! Every level divides a span of time into 64 slots; a slot is a list of timers, or a level of its own that divides the
//! slot's span further. A timer is put as deep as levels exist, and waits there. Only when the earliest slot is asked for its
//! earliest timer, and has many, is it divided. So a timer goes down at most ten times, mostly never; most are moved or
//! removed before their time is near. Places depend on times alone, not on the present: jumps of the clock cost nothing.

use alloc::vec::Vec;

use crate::time::Instant;

/// The index that stands for none.
const NONE: u32 = u32::MAX;

/// What a timer has as its level while it isn't armed.
const PARKED: u32 = NONE;

/// What a timer has as its level once it is removed.
const REMOVED: u32 = NONE - 1;

/// A slot is one of 2^6.
const SLOT_BITS: u32 = 6;

/// Slots of the first level span 2^60 ns (36 years), those of the next 2^54 ns (208 days), and so on down to 1 ns.
const FIRST_SHIFT: u32 = 60;

/// A slot with no more timers than this is searched, not divided.
const SEARCHED: usize = 16;

/// Names a timer of a [`Wheel`] until it is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerId(u32);

impl TimerId {
    /// The name of no timer.
    pub(crate) const NO_TIMER: TimerId = TimerId(NONE);
}

/// Bytes that a timer takes.
#[cfg(test)]
pub(crate) const NODE_SIZE: usize = size_of::<Timer>();

/// A set of timers, each with a token that says what it is for.
pub(crate) struct Wheel {
    timers: Vec<Timer>,
    /// The removed timers, linked by `next`.
    free_timer: u32,
    /// The first level is always there.
    levels: Vec<Level>,
    /// The unused levels, linked by `parent`.
    free_level: u32,
    /// How many levels are in use.
    divisions: usize,
    /// How many timers are armed.
    armed: usize,
    /// The earliest timer, if that is known.
    first: u32,
}

struct Timer {
    at: u64,
    token: u32,
    next: u32,
    prev: u32,
    /// The level that has it in a list, or [`PARKED`], or [`REMOVED`].
    level: u32,
}

struct Level {
    /// The slots in which there is something.
    used: u64,
    /// Those of them that are levels.
    divided: u64,
    parent: u32,
    shift: u32,
    slots: [Slot; 1 << SLOT_BITS],
}

/// The ends of a list; for a slot that is a level, `head` is the level.
#[derive(Clone, Copy)]
struct Slot {
    head: u32,
    tail: u32,
}

impl Level {
    fn new(shift: u32, parent: u32) -> Level {
        Level { used: 0, divided: 0, parent, shift, slots: [Slot { head: NONE, tail: NONE }; 1 << SLOT_BITS] }
    }

    fn slot_of(&self, at: u64) -> usize {
        (at >> self.shift) as usize & ((1 << SLOT_BITS) - 1)
    }
}

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel {
            timers: Vec::new(),
            free_timer: NONE,
            levels: alloc::vec![Level::new(FIRST_SHIFT, NONE)],
            free_level: NONE,
            divisions: 1,
            armed: 0,
            first: NONE,
        }
    }

    /// A new timer; with [`Instant::NEVER`] it is parked until it is set.
    pub(crate) fn insert(&mut self, token: u32, at: Instant) -> TimerId {
        let timer = Timer { at: u64::MAX, token, next: NONE, prev: NONE, level: PARKED };
        let index = self.free_timer;
        let index = if index == NONE {
            assert!(self.timers.len() < REMOVED as usize, "fewer than 2^32 timers");
            self.timers.push(timer);
            self.timers.len() as u32 - 1
        } else {
            self.free_timer = self.timer(index).next;
            *self.timer_mut(index) = timer;
            index
        };
        self.set(TimerId(index), at);
        TimerId(index)
    }

    /// Moves a timer, or arms it again; [`Instant::NEVER`] parks it.
    pub(crate) fn set(&mut self, id: TimerId, at: Instant) {
        let index = id.0;
        debug_assert_ne!(self.timer(index).level, REMOVED, "the timer is removed");
        self.park(index);
        if !at.is_set() {
            return;
        }
        self.timer_mut(index).at = at.0;
        let mut level = 0;
        loop {
            let here = self.level(level);
            let slot = here.slot_of(at.0);
            if here.divided & 1 << slot == 0 {
                self.append(level, slot, index);
                break;
            }
            level = here.slots[slot].head;
        }
        self.armed += 1;
        if self.armed == 1 || (self.first != NONE && at.0 < self.timer(self.first).at) {
            self.first = index;
        }
    }

    /// Takes a timer away; its id means nothing from now on.
    pub(crate) fn remove(&mut self, id: TimerId) {
        let index = id.0;
        debug_assert_ne!(self.timer(index).level, REMOVED, "the timer is removed");
        self.park(index);
        let free = self.free_timer;
        let timer = self.timer_mut(index);
        timer.level = REMOVED;
        timer.next = free;
        self.free_timer = index;
    }

    /// When the timer is due; [`Instant::NEVER`] if it is parked.
    pub(crate) fn at(&self, id: TimerId) -> Instant {
        Instant(self.timer(id.0).at)
    }

    /// When the earliest timer is due; [`Instant::NEVER`] if none is armed.
    pub(crate) fn next(&mut self) -> Instant {
        match self.earliest() {
            Some(index) => Instant(self.timer(index).at),
            None => Instant::NEVER,
        }
    }

    /// Parks one timer that is due at `now` and returns its token: the earliest, and of those with one time the one that was
    /// set first.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<u32> {
        let index = self.earliest()?;
        if self.timer(index).at > now.0 {
            return None;
        }
        self.park(index);
        Some(self.timer(index).token)
    }

    /// The earliest timer. Dividing a slot moves each of its timers one level down, and no timer ever goes up: that is what
    /// makes this O(1) on average.
    fn earliest(&mut self) -> Option<u32> {
        if self.first != NONE {
            return Some(self.first);
        }
        if self.armed == 0 {
            return None;
        }
        let mut level = 0;
        loop {
            let here = self.level(level);
            let slot = here.used.trailing_zeros() as usize;
            let Slot { head, .. } = here.slots[slot];
            if here.divided & 1 << slot != 0 {
                level = head;
            } else if here.shift == 0 {
                // All of one time, in the order in which they were set.
                self.first = head;
                return Some(head);
            } else if let Some(first) = self.search(head) {
                self.first = first;
                return Some(first);
            } else {
                level = self.divide(level, slot);
            }
        }
    }

    /// The earliest timer of a list, unless the list is long enough to be divided.
    fn search(&self, head: u32) -> Option<u32> {
        // So that levels never take much more memory than timers do: about 70 bytes for each.
        let may_divide = self.divisions < 32 + self.armed / 8;
        let (mut first, mut index, mut seen) = (head, head, 0);
        while index != NONE {
            let timer = self.timer(index);
            if timer.at < self.timer(first).at {
                first = index;
            }
            index = timer.next;
            seen += 1;
            if seen > SEARCHED && may_divide {
                return None;
            }
        }
        Some(first)
    }

    /// Makes a slot a level of its own.
    fn divide(&mut self, level: u32, slot: usize) -> u32 {
        let shift = self.level(level).shift - SLOT_BITS;
        let fresh = Level::new(shift, level);
        let child = self.free_level;
        let child = if child == NONE {
            self.levels.push(fresh);
            self.levels.len() as u32 - 1
        } else {
            self.free_level = self.level(child).parent;
            *self.level_mut(child) = fresh;
            child
        };
        self.divisions += 1;
        let here = self.level_mut(level);
        here.divided |= 1 << slot;
        let mut index = core::mem::replace(&mut here.slots[slot], Slot { head: child, tail: NONE }).head;
        // In order, so that timers of one time stay in the order in which they were set.
        while index != NONE {
            let timer = self.timer(index);
            let (at, next) = (timer.at, timer.next);
            let slot = self.level(child).slot_of(at);
            self.append(child, slot, index);
            index = next;
        }
        child
    }

    /// Puts a timer at the end of a slot's list.
    fn append(&mut self, level: u32, slot: usize, index: u32) {
        let here = self.level_mut(level);
        let empty = here.used & 1 << slot == 0;
        here.used |= 1 << slot;
        let ends = &mut here.slots[slot];
        let prev = if empty { NONE } else { ends.tail };
        ends.tail = index;
        if empty {
            ends.head = index;
        } else {
            self.timer_mut(prev).next = index;
        }
        let timer = self.timer_mut(index);
        timer.prev = prev;
        timer.next = NONE;
        timer.level = level;
    }

    /// Takes a timer out of its list, if it is in one.
    fn park(&mut self, index: u32) {
        let &Timer { at, next, prev, level, .. } = self.timer(index);
        if level >= REMOVED {
            return;
        }
        let timer = self.timer_mut(index);
        timer.level = PARKED;
        timer.at = u64::MAX;
        self.armed -= 1;
        if self.first == index {
            self.first = NONE;
        }
        if next != NONE {
            self.timer_mut(next).prev = prev;
        }
        if prev != NONE {
            self.timer_mut(prev).next = next;
        }
        let here = self.level_mut(level);
        let slot = here.slot_of(at);
        let ends = &mut here.slots[slot];
        if ends.head == index {
            ends.head = next;
        }
        if ends.tail == index {
            ends.tail = prev;
        }
        if next == NONE && prev == NONE {
            self.vacate(level, at);
        }
    }

    /// The slot of this time has become empty: levels with nothing in them go.
    fn vacate(&mut self, mut level: u32, at: u64) {
        loop {
            let free = self.free_level;
            let here = self.level_mut(level);
            let bit = 1 << here.slot_of(at);
            here.used &= !bit;
            here.divided &= !bit;
            if here.used != 0 || level == 0 {
                return;
            }
            let parent = core::mem::replace(&mut here.parent, free);
            self.free_level = level;
            self.divisions -= 1;
            level = parent;
        }
    }

    // Indices come from the wheel itself: one that is out of bounds is a mistake in this file or a caller's made-up id.

    fn timer(&self, index: u32) -> &Timer {
        &self.timers[index as usize]
    }

    fn timer_mut(&mut self, index: u32) -> &mut Timer {
        &mut self.timers[index as usize]
    }

    fn level(&self, index: u32) -> &Level {
        &self.levels[index as usize]
    }

    fn level_mut(&mut self, index: u32) -> &mut Level {
        &mut self.levels[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn all_due(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        core::iter::from_fn(|| wheel.expire(Instant(now))).collect()
    }

    #[test]
    fn nothing_is_early_and_nothing_is_late() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(), Instant::NEVER);
        assert_eq!(wheel.expire(Instant(u64::MAX - 1)), None);
        wheel.insert(1, Instant(1_000_000_007));
        assert_eq!(wheel.next(), Instant(1_000_000_007));
        assert_eq!(wheel.expire(Instant(1_000_000_006)), None);
        assert_eq!(wheel.expire(Instant(1_000_000_007)), Some(1));
        assert_eq!(wheel.expire(Instant(u64::MAX - 1)), None);
        assert_eq!(wheel.next(), Instant::NEVER);
    }

    #[test]
    fn a_parked_timer_keeps_its_id() {
        let mut wheel = Wheel::new();
        let id = wheel.insert(9, Instant::NEVER);
        assert_eq!(wheel.next(), Instant::NEVER);
        wheel.set(id, Instant(5));
        assert_eq!(wheel.at(id), Instant(5));
        assert_eq!(wheel.expire(Instant(5)), Some(9));
        assert_eq!(wheel.at(id), Instant::NEVER);
        wheel.set(id, Instant(6));
        wheel.set(id, Instant::NEVER);
        assert_eq!(wheel.expire(Instant(100)), None);
        wheel.set(id, Instant(7));
        assert_eq!(all_due(&mut wheel, 100), [9]);
    }

    #[test]
    fn a_time_in_the_past_is_due_at_once() {
        let mut wheel = Wheel::new();
        wheel.insert(1, Instant(1 << 40));
        assert_eq!(wheel.expire(Instant(1 << 41)), Some(1));
        wheel.insert(2, Instant(0));
        wheel.insert(3, Instant(u64::MAX - 1));
        assert_eq!(wheel.next(), Instant(0));
        assert_eq!(all_due(&mut wheel, 1 << 41), [2]);
        assert_eq!(wheel.next(), Instant(u64::MAX - 1));
    }

    #[test]
    fn timers_of_one_time_leave_in_the_order_in_which_they_were_set() {
        let mut wheel = Wheel::new();
        let ids: Vec<TimerId> = (0..100).map(|token| wheel.insert(token, Instant(12345))).collect();
        assert_eq!(wheel.next(), Instant(12345), "the slots divide down to one nanosecond");
        wheel.set(ids[3], Instant(12345));
        wheel.remove(ids[50]);
        let expected: Vec<u32> = (0..100).filter(|token| ![3, 50].contains(token)).chain([3]).collect();
        assert_eq!(all_due(&mut wheel, 12345), expected);
    }

    #[test]
    fn a_timer_costs_at_most_32_bytes_and_its_share_of_levels_at_most_80() {
        assert!(size_of::<Timer>() <= 32);
        let mut wheel = Wheel::new();
        let count = 10_000;
        for token in 0..count {
            // Each group is earlier than the one before, and so close together that it is divided down to the last level.
            let group = u64::from((count - token) / 20);
            let at = Instant((group << 33) + u64::from(token % 20));
            let id = wheel.insert(token, at);
            // Set again, so that the earliest isn't known and has to be looked for.
            wheel.set(id, at);
            wheel.next();
        }
        assert!(wheel.levels.len() > 32, "slots were divided");
        assert!(wheel.levels.len() * size_of::<Level>() <= count as usize * 80, "{} levels", wheel.levels.len());
    }

    #[test]
    fn levels_go_when_they_are_empty() {
        let mut wheel = Wheel::new();
        for round in 0..50u64 {
            for token in 0..40 {
                wheel.insert(token, Instant((round << 36) + u64::from(token)));
            }
            assert_eq!(wheel.next(), Instant(round << 36));
            assert_eq!(all_due(&mut wheel, (round + 1) << 36).len(), 40);
            assert_eq!((wheel.divisions, wheel.armed), (1, 0));
        }
        assert!(wheel.levels.len() < 16);
    }

    /// Times near and far, many of them equal.
    fn spread() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..4, 0u64..100, 0u64..1 << 20, 0u64..1 << 32, 0u64..1 << 50, any::<u64>().prop_map(|at| at / 2)]
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_map_does(steps in proptest::collection::vec((0u8..10, any::<u16>(), spread()), 1..600)) {
            let mut wheel = Wheel::new();
            // By time and order of setting; and where each id stands.
            type Place = (u64, u32);
            let mut model: BTreeMap<Place, u32> = BTreeMap::new();
            let mut ids: Vec<(TimerId, u32, Option<Place>)> = Vec::new();
            let mut now = 0u64;
            let mut order = 0u32;
            for (what, which, span) in steps {
                order += 1;
                let at = now.saturating_add(span).min(u64::MAX - 1);
                let count = ids.len();
                match what {
                    0..=3 => {
                        ids.push((wheel.insert(order, Instant(at)), order, Some((at, order))));
                        model.insert((at, order), order);
                    }
                    _ if count == 0 => {}
                    4..=6 => {
                        let (id, token, place) = &mut ids[which as usize % count];
                        place.map(|place| model.remove(&place));
                        // Also into the past, and off.
                        let at = match which % 7 {
                            0 => at / 2,
                            1 => u64::MAX,
                            _ => at,
                        };
                        wheel.set(*id, Instant(at));
                        *place = (at != u64::MAX).then_some((at, order));
                        place.map(|place| model.insert(place, *token));
                    }
                    7 => {
                        let (id, _, place) = ids.swap_remove(which as usize % count);
                        place.map(|place| model.remove(&place));
                        wheel.remove(id);
                    }
                    8 => {
                        now = at;
                        let due: Vec<u32> = all_due(&mut wheel, now);
                        let later = model.split_off(&(now + 1, 0));
                        let expected: Vec<u32> = core::mem::replace(&mut model, later).into_values().collect();
                        prop_assert_eq!(due, expected);
                        for (_, _, place) in &mut ids {
                            *place = place.filter(|&(at, _)| at > now);
                        }
                    }
                    _ => {
                        let next = model.first_key_value().map_or(u64::MAX, |(&(at, _), _)| at);
                        prop_assert_eq!(wheel.next(), Instant(next));
                    }
                }
                prop_assert_eq!(wheel.armed, model.len());
                for (id, _, place) in &ids {
                    prop_assert_eq!(wheel.at(*id).0, place.map_or(u64::MAX, |(at, _)| at));
                }
            }
        }
    }
}

//! Sequence numbers, which wrap.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A sequence number. Arithmetic and comparisons are modulo 2^32 (RFC 9293, 3.4): one number is before another if going
/// up from it to the other takes less than 2^31 steps. That order isn't transitive, so there is no `Ord`.
///
/// Numbers exactly 2^31 apart are both before and after each other; no window is that large (RFC 7323, 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// How many numbers it takes to come from `earlier` to this one.
    pub fn since(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this comes before `other`.
    pub fn before(self, other: Seq) -> bool {
        self.distance(other) < 0
    }

    /// Whether this comes after `other`.
    pub fn after(self, other: Seq) -> bool {
        other.before(self)
    }

    /// Whether this is `other` or comes before it.
    pub fn at_or_before(self, other: Seq) -> bool {
        self.distance(other) <= 0
    }

    /// Whether this is `other` or comes after it.
    pub fn at_or_after(self, other: Seq) -> bool {
        other.at_or_before(self)
    }

    /// The later of two.
    #[must_use]
    pub fn max(self, other: Seq) -> Seq {
        if other.after(self) { other } else { self }
    }

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Seq) -> Seq {
        if other.before(self) { other } else { self }
    }

    /// Whether this is one of the `size` numbers from `start` on.
    pub fn in_window(self, start: Seq, size: u32) -> bool {
        self.since(start) < size
    }

    /// Steps from `other` to this, negative if this comes before.
    fn distance(self, other: Seq) -> i32 {
        self.since(other) as i32
    }
}

impl Add<u32> for Seq {
    type Output = Seq;

    fn add(self, steps: u32) -> Seq {
        Seq(self.0.wrapping_add(steps))
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;

    fn sub(self, steps: u32) -> Seq {
        Seq(self.0.wrapping_sub(steps))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, steps: u32) {
        *self = *self + steps;
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_goes_across_the_wrap() {
        let (old, new) = (Seq(0xffff_fff0), Seq(0x10));
        assert!(old.before(new) && new.after(old));
        assert!(!new.before(old) && !old.after(new));
        assert_eq!(new.since(old), 0x20);
        assert_eq!(old + 0x20, new);
        assert_eq!(new - 0x20, old);
        assert_eq!((old.max(new), old.min(new)), (new, old));
    }

    #[test]
    fn a_number_is_neither_before_nor_after_itself() {
        let seq = Seq(7);
        assert!(!seq.before(seq) && !seq.after(seq));
        assert!(seq.at_or_before(seq) && seq.at_or_after(seq));
    }

    #[test]
    fn a_window_has_its_start_and_not_its_end() {
        let start = Seq(u32::MAX);
        assert!(start.in_window(start, 1));
        assert!(!start.in_window(start, 0), "nothing is in an empty window");
        assert!(Seq(1).in_window(start, 3));
        assert!(!Seq(2).in_window(start, 3));
        assert!(!(start - 1).in_window(start, 3));
    }

    proptest! {
        #[test]
        fn less_than_half_the_space_ahead_is_after(start: u32, steps in 1u32..1 << 31) {
            let (start, end) = (Seq(start), Seq(start) + steps);
            prop_assert!(start.before(end) && start.at_or_before(end));
            prop_assert!(end.after(start) && end.at_or_after(start));
            prop_assert!(!end.before(start) && !end.at_or_before(start));
            prop_assert_eq!(end.since(start), steps);
            prop_assert_eq!(start.max(end), end);
            prop_assert_eq!(end.min(start), start);
            let mut stepped = start;
            stepped += steps;
            prop_assert_eq!(stepped, end);
        }
    }
}

//! Which slots of a level of the wheel have timers: found by two looks, however far ahead.

/// How many slots a level has.
pub(super) const SLOTS: usize = 2048;

pub(super) struct Bits {
    /// Which of the words below are not zero.
    words: u32,
    slots: [u64; SLOTS / 64],
}

impl Bits {
    pub(super) const EMPTY: Bits = Bits { words: 0, slots: [0; SLOTS / 64] };

    #[inline]
    pub(super) fn set(&mut self, slot: usize) {
        self.slots[slot / 64] |= 1 << (slot % 64);
        self.words |= 1 << (slot / 64);
    }

    #[inline]
    pub(super) fn clear(&mut self, slot: usize) {
        self.slots[slot / 64] &= !(1 << (slot % 64));
        if self.slots[slot / 64] == 0 {
            self.words &= !(1 << (slot / 64));
        }
    }

    /// The first that is set from `slot` on, going round.
    #[inline]
    pub(super) fn first_from(&self, slot: usize) -> Option<usize> {
        if self.words == 0 {
            return None;
        }
        let (word, bit) = (slot / 64, slot % 64);
        let here = self.slots[word] >> bit;
        if here != 0 {
            return Some(slot + here.trailing_zeros() as usize);
        }
        // The words behind this one, then those before it, and the beginning of this one last.
        let round = self.words.rotate_right(word as u32 + 1);
        let next = (word + 1 + round.trailing_zeros() as usize) % self.slots.len();
        Some(next * 64 + self.slots[next].trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_going_round() {
        let mut bits = Bits::EMPTY;
        assert_eq!(bits.first_from(7), None);
        for set in [0, 63, 64, 700, SLOTS - 1] {
            bits.set(set);
            for from in [0, 1, 63, 64, 65, 699, 700, 701, SLOTS - 1] {
                assert_eq!(bits.first_from(from), Some(set), "from {from}");
            }
            bits.clear(set);
        }
        // In one word, before and behind.
        bits.set(130);
        bits.set(140);
        assert_eq!((bits.first_from(131), bits.first_from(141), bits.first_from(130)), (Some(140), Some(130), Some(130)));
        bits.set(5);
        assert_eq!(bits.first_from(141), Some(5));
    }
}

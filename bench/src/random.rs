//! Random numbers from a seed: the same run every time.

/// SplitMix64 (Steele, Lea and Flood 2014): small, and good enough to resample and to measure with.
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// So many different numbers below `bound`, in no order.
    pub fn choose(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..bound).collect();
        for index in 0..count {
            let other = index + self.below(bound - index);
            all.swap(index, other);
        }
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_different_ones() {
        let chosen = SplitMix64(7).choose(500, 1_000);
        let unique: std::collections::HashSet<_> = chosen.iter().collect();
        assert!(unique.len() == 500 && chosen.iter().all(|index| *index < 1_000));
    }
}

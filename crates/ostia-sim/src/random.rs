//! Where a world's randomness comes from: for each purpose a stream of its own, all from one seed, so that one more draw here
//! changes nothing there.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// The seed of what `name` uses for `purpose`.
pub(crate) fn derive(seed: u64, purpose: &str, name: &str) -> [u8; 32] {
    let mut derived = [0; 32];
    for (half, key) in derived.chunks_exact_mut(16).zip(0u64..) {
        let mut hasher = SipHasher13::new_with_keys(seed, key);
        for text in [purpose, name] {
            hasher.write(&(text.len() as u64).to_le_bytes());
            hasher.write(text.as_bytes());
        }
        half.copy_from_slice(&hasher.finish128().as_u128().to_le_bytes());
    }
    derived
}

/// One stream of randomness.
#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64, purpose: &str, name: &str) -> Random {
        Random(ChaCha8Rng::from_seed(derive(seed, purpose, name)))
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// True with this probability. What is certain draws nothing.
    pub(crate) fn strikes(&mut self, probability: f64) -> bool {
        const PRECISION: f64 = (1u64 << 53) as f64;
        if probability <= 0.0 {
            return false;
        }
        probability >= 1.0 || ((self.0.next_u64() >> 11) as f64) < probability * PRECISION
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // Multiplied, not divided: the low bits of a product say nothing of its high ones.
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_names_have_streams_of_their_own() {
        let seeds = [derive(1, "a", "bc"), derive(1, "ab", "c"), derive(2, "a", "bc"), derive(1, "a", "bd")];
        for (at, seed) in seeds.iter().enumerate() {
            assert!(seeds[at + 1..].iter().all(|other| other != seed) && seed[..16] != seed[16..]);
        }
        assert_eq!(derive(7, "link", "lan"), derive(7, "link", "lan"));
    }

    #[test]
    fn chances_come_out_as_often_as_they_should() {
        let mut random = Random::new(3, "test", "chances");
        let struck = (0..100_000).filter(|_| random.strikes(0.02)).count();
        assert!((1_800..2_200).contains(&struck), "{struck} of 100,000 at 2 %");
        assert!(random.strikes(1.0) && !random.strikes(0.0) && random.below(0) == 0 && random.below(1) == 0);
        let mut seen = [0; 6];
        (0..6_000).for_each(|_| seen[random.below(6) as usize] += 1);
        assert!(seen.iter().all(|times| (800..1_200).contains(times)), "{seen:?}");
    }
}

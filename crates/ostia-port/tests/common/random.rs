//! Random numbers that a seed repeats, and bytes that tell where in a stream they belong.

/// A xorshift generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for one purpose: the suite's seed and the purpose's own number.
    pub fn new(purpose: u64) -> Random {
        let mixed = (super::seed() ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Random((mixed ^ (mixed >> 31)) | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// The byte at `position` of the stream number `stream`: what is lost, doubled or swapped doesn't match.
pub fn byte_at(stream: u64, position: u64) -> u8 {
    let word = (position / 8).wrapping_add(stream << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (word >> (8 * (position % 8))) as u8 ^ (word >> 59) as u8
}

/// Bytes `from..from + len` of a stream.
pub fn pattern(stream: u64, from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(|position| byte_at(stream, position)).collect()
}

/// Fails, naming the first wrong position, unless `bytes` are those of `stream` at `from`.
#[track_caller]
pub fn assert_pattern(stream: u64, from: u64, bytes: &[u8]) {
    let wrong = bytes.iter().zip(from..).position(|(&byte, position)| byte != byte_at(stream, position));
    if let Some(at) = wrong {
        panic!("stream {stream}: wrong byte at position {} (run of {} bytes from {from})", from + at as u64, bytes.len());
    }
}

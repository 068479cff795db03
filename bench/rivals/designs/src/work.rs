//! What a request asks for: so many rounds of a loop, so much sleep. The generator writes it and the servers do it.
//!
//! Rounds, not microseconds: a server that is interrupted on the way must not be excused from what it was asked for, and
//! all servers must do the same, so the generator finds out once how many rounds a microsecond takes.

#![allow(dead_code, reason = "each side uses its half")]

use std::time::{Duration, Instant};

/// Bytes in a request, and in its answer.
pub const REQUEST: usize = 64;
/// Bytes of it that say what to do.
pub const HEAD: usize = 8;

/// What to do for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Rounds of [`compute`].
    pub rounds: u32,
    /// Microseconds to sleep.
    pub sleep_us: u32,
}

impl Work {
    /// What a request asks for; none if it isn't one.
    pub fn of(request: &[u8]) -> Option<Work> {
        let head: &[u8; HEAD] = request.first_chunk().filter(|_| request.len() == REQUEST)?;
        let [a, b, c, d, e, f, g, h] = *head;
        Some(Work { rounds: u32::from_le_bytes([a, b, c, d]), sleep_us: u32::from_le_bytes([e, f, g, h]) })
    }

    /// The first bytes of a request for it.
    pub fn head(self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&self.rounds.to_le_bytes());
        head[4..].copy_from_slice(&self.sleep_us.to_le_bytes());
        head
    }

    /// Whether it sleeps.
    pub fn blocks(self) -> bool {
        self.sleep_us > 0
    }

    /// Does it.
    pub fn run(self) {
        compute(self.rounds);
        if self.blocks() {
            std::thread::sleep(Duration::from_micros(self.sleep_us.into()));
        }
    }
}

/// Computes: each round needs the last one's result, so that no processor shortens it.
#[inline(never)]
pub fn compute(rounds: u32) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..rounds {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    std::hint::black_box(state);
}

/// How many rounds a microsecond takes on this machine: the fastest of several tries, for the others were disturbed.
pub fn rounds_per_microsecond() -> f64 {
    const ROUNDS: u32 = 1_000_000;
    let fastest = (0..20)
        .map(|_| {
            let start = Instant::now();
            compute(ROUNDS);
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    f64::from(ROUNDS) / (fastest.as_secs_f64() * 1e6).max(1.0)
}

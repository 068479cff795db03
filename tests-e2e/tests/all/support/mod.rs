//! What the tests share: running `ostia`, talking to it, and files to serve.

pub mod case;
pub mod http;
pub mod namespace;
pub mod process;
pub mod server;
pub mod site;
pub mod webdriver;
pub mod wine;

use std::env;
use std::time::{Duration, Instant};

/// How long anything may take before it counts as hanging.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The seed of this run (`OSTIA_SEED`), mixed with a name so that tests differ.
pub fn seed(name: &str) -> u64 {
    let run: u64 = env::var("OSTIA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    // FNV-1a.
    name.bytes().fold(run ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `full` under `OSTIA_REPEAT=full`, else `quick`.
pub fn scaled<T>(quick: T, full: T) -> T {
    if env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full") { full } else { quick }
}

/// Asks until it is so, for what has no event to wait for, such as another process's state
/// in /proc. False if it has not become so before the deadline.
pub fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > DEADLINE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Random numbers for choices: SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The finalizer of SplitMix64: a well mixed function of its argument.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

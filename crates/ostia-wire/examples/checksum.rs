//! How fast checksums are, in GB/s: taken word by word, and as this crate does.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ostia_wire::checksum;

/// RFC 1071, word by word.
fn naive(bytes: &[u8]) -> u64 {
    let mut total = 0u32;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        total = (total & 0xffff) + (total >> 16);
    }
    u64::from(total)
}

/// The best of several rounds: what others take of the machine only makes a round slower.
fn rate(len: usize, mut work: impl FnMut()) -> f64 {
    let times = (64 << 20) / len;
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        for _ in 0..times {
            work();
        }
        best = best.min(start.elapsed());
    }
    (times * len) as f64 / best.as_nanos() as f64
}

fn main() {
    println!("{:>8} {:>8} {:>8}", "octets", "naive", "sum");
    for len in [20, 40, 64, 576, 1448, 9000, 65_483, 4 << 20] {
        let source: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
        let slow = rate(len, || _ = black_box(naive(black_box(&source))));
        let sum = rate(len, || _ = black_box(checksum::sum(black_box(&source), 0)));
        println!("{len:>8} {slow:>8.2} {sum:>8.2}");
    }
}

//! One connection from memory to memory, in one thread: what a byte and a packet cost.

use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use crate::stream::{Pattern, Reader};
use crate::{Failure, processor_time};

/// How a transfer is to be.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The links' MTU, in bytes of IP packet.
    pub mtu: usize,
    /// Bytes of each side's send buffer and receive buffer.
    pub buffer: usize,
    /// Whether the program's bytes are lent, not copied.
    pub lend: bool,
}

/// Two stacks that are joined by their links, with a connection between them.
pub trait Transfer {
    /// Hands over what there is room for, lets both stacks do what they have to do once, and reads what there is. Answers how
    /// many packets went from one to the other, either way.
    fn turn(&mut self, sent: &mut u64, pattern: &Pattern, reader: &mut Reader<'_>) -> u64;
}

/// Bytes that are compared one by one before anything is measured.
const CHECKED: u64 = 64 << 20;

/// Measures for so many milliseconds as each line of standard input says; nanoseconds per KiB and per packet come out.
pub fn obey(transfer: &mut dyn Transfer, plan: Plan) -> Result<(), Failure> {
    let pattern = Pattern::new(plan.buffer);
    let (mut reader, mut sent) = (Reader::new(&pattern), 0);
    while reader.count < CHECKED {
        transfer.turn(&mut sent, &pattern, &mut reader);
    }
    reader.thorough = false;
    for line in io::stdin().lock().lines() {
        let duration = Duration::from_millis(line?.trim().parse()?);
        let (before, mut packets, start, begun) = (reader.count, 0, Instant::now(), processor_time());
        while start.elapsed() < duration {
            packets += transfer.turn(&mut sent, &pattern, &mut reader);
        }
        let nanos = (processor_time() - begun).as_nanos() as f64;
        println!("{:.4} {:.3}", nanos * 1024.0 / (reader.count - before) as f64, nanos / packets as f64);
        io::stdout().flush()?;
    }
    Ok(())
}

/// Transfers so many bytes and says how many packets that took: for profilers.
pub fn run(transfer: &mut dyn Transfer, plan: Plan, bytes: u64) {
    let pattern = Pattern::new(plan.buffer);
    let (mut reader, mut sent, mut packets) = (Reader::new(&pattern), 0, 0);
    reader.thorough = false;
    while reader.count < bytes {
        packets += transfer.turn(&mut sent, &pattern, &mut reader);
    }
    println!("{packets}");
}

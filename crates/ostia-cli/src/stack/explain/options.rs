//! TCP's options, taken apart for learners.

use std::ops::Range;

use ostia_wire::tcp::HEADER_LEN;
use ostia_wire::tcp_options::kind;
use ostia_wire::{OptionIter, Tcp, TcpOption};

use super::headers::{Field, hex};

/// The options of a header, as fields of it.
pub fn tcp_options(tcp: &Tcp<'_>) -> Vec<Field> {
    places(tcp.option_bytes()).into_iter().map(|(at, bytes)| field(at, bytes)).collect()
}

/// Where each option stands in the header, padding among them.
fn places(bytes: &[u8]) -> Vec<(Range<usize>, &[u8])> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&number) = bytes.get(at) {
        let len = match number {
            kind::NO_OPERATION => 1,
            // What is behind the end is padding.
            kind::END => bytes.len() - at,
            _ => bytes.get(at + 1).map_or(1, |len| usize::from(*len).max(2)),
        };
        let Some(option) = bytes.get(at..at + len) else { break };
        found.push((HEADER_LEN + at..HEADER_LEN + at + len, option));
        at += len;
    }
    found
}

fn field(at: Range<usize>, bytes: &[u8]) -> Field {
    let (name, value, meaning, rule) = match OptionIter::new(bytes).next() {
        None if bytes.first() == Some(&kind::NO_OPERATION) => {
            ("no operation", String::new(), "an option that does nothing: brings the next to an even place", "RFC 9293, 3.2")
        }
        None => ("end of options", String::new(), "padding, so that the header ends with a whole word", "RFC 9293, 3.2"),
        Some(Ok(TcpOption::MaximumSegmentSize(size))) => (
            "MSS",
            size.to_string(),
            "an option of SYNs: the most octets of data in one segment that the sender of this takes",
            "RFC 9293, 3.7.1",
        ),
        Some(Ok(TcpOption::WindowScale(shift))) => (
            "window scale",
            format!("{shift}, so times {}", 1_u32 << shift.min(14)),
            "an option of SYNs: the sender's windows count in units of that many octets from now on",
            "RFC 7323, 2.2",
        ),
        Some(Ok(TcpOption::SackPermitted)) => {
            ("SACK permitted", "yes".into(), "an option of SYNs: the sender takes selective acknowledgments", "RFC 2018, 2")
        }
        Some(Ok(TcpOption::Sack(blocks))) => {
            let blocks: Vec<String> = blocks.as_slice().iter().map(|(from, to)| format!("{from} to {to}")).collect();
            (
                "SACK",
                blocks.join(", "),
                "what has arrived beyond a gap, up to but without the second number; or twice, if it is below the acknowledgment",
                "RFC 2018, 3; RFC 2883, 4",
            )
        }
        Some(Ok(TcpOption::Timestamps(timestamps))) => (
            "timestamps",
            format!("{}, echo {}", timestamps.value, timestamps.echo),
            "the sender's clock, and what it last saw of the other's: measures round trips, and shows what is too old",
            "RFC 7323, 3.2",
        ),
        Some(Ok(_)) => ("option", hex(bytes), "another option", "RFC 9293, 3.2"),
        Some(Err(_)) => ("option", hex(bytes), "an option with a length that can't be", "RFC 9293, 3.2"),
    };
    Field { name, bits: at.start * 8..at.end * 8, value, meaning, rule }
}

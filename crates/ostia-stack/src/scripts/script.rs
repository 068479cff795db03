//! What a script says, once parsed.

use std::string::String;
use std::vec::Vec;

use super::lex::Note;

/// A parsed script.
#[derive(Debug)]
pub(super) struct Script {
    /// Settings before the first event.
    pub(super) notes: Vec<Note>,
    /// The shell command before the first event.
    pub(super) init: Option<String>,
    pub(super) events: Vec<Event>,
}

/// A line of a script.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) line: usize,
    pub(super) when: When,
    pub(super) action: Action,
    /// Notes on lines of their own above it: done first, at the same time.
    pub(super) before: Vec<Note>,
    /// Notes at its end, which change the packet.
    pub(super) beside: Vec<Note>,
}

/// When it happens, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum When {
    /// Since the script's beginning.
    At(u64),
    /// Since the event before.
    After(u64),
    /// From one time to another since the script's beginning.
    Between(u64, u64),
    /// From one time to another since the event before.
    AfterBetween(u64, u64),
    /// At any time.
    Any,
}

#[derive(Debug)]
pub(super) enum Action {
    /// A segment that arrives.
    Arrives(Segment),
    /// A segment that must be sent.
    Sent(Segment),
    /// An ICMP error that arrives.
    Icmp(IcmpError),
    Call(Call),
    Shell(String),
    /// The text of a code snippet.
    Code(String),
}

/// A TCP segment as a script writes it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Segment {
    /// Source and destination ports, where named.
    pub(super) ports: Option<(u16, u16)>,
    pub(super) traffic: Traffic,
    pub(super) ttl: Option<u8>,
    /// Letters of packetdrill: F S R P . U E W.
    pub(super) flags: String,
    pub(super) start: u32,
    pub(super) length: u16,
    pub(super) ack: Option<u32>,
    pub(super) window: Option<u16>,
    pub(super) urgent: u16,
    /// `None` is `<...>`: any.
    pub(super) options: Option<Vec<TcpOption>>,
}

/// What a script says of the byte that holds ECN.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Traffic {
    Any,
    Ecn(u8),
    Whole(u8),
}

/// One TCP option.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum TcpOption {
    Nop,
    Eol,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps(u32, u32),
    Md5(Vec<u8>),
    FastOpen(Vec<u8>),
}

/// An ICMP error about a segment that was sent.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct IcmpError {
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) mtu: Option<u32>,
    /// The first sequence number and the length of the segment quoted.
    pub(super) quoted: (u32, u16),
}

/// A system call and what it must return.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Value>,
    pub(super) result: Value,
    /// The name of the error, where the result is -1.
    pub(super) error: Option<String>,
    /// When a blocking call returns, counted as its own time is.
    pub(super) end: Option<u64>,
}

/// An argument or result.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Ellipsis,
    Integer(i64),
    Word(String),
    Text(String),
    Or(Vec<Value>),
    List(Vec<Value>),
    Linger {
        on: bool,
        seconds: u64,
    },
    /// A socket address; only its port is taken.
    Port(u16),
}

//! What happened: every step of both stacks and every frame on the link between them, in order.

use ostia_stack::{Address, Cause, Direction, Error, Instant, Layer, Reason, State};
use ostia_wire::{EtherType, Ethernet, Flags, Ipv4, Ipv6, MacAddr, Tcp};

use crate::args::Closing;

/// The side that opens the connection, and sends.
pub const CLIENT: usize = 0;
/// The side that waits for it.
pub const SERVER: usize = 1;
/// What the sides are called.
pub const NAMES: [&str; 2] = ["client", "server"];

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is sent.
    pub text: Vec<u8>,
    /// Over IPv6 instead of IPv4.
    pub v6: bool,
    /// How the connection ends.
    pub close: Closing,
    /// The numbers of the frames that are lost.
    pub lose: Vec<usize>,
    /// Where all that is left to chance comes from.
    pub seed: u64,
}

/// A host.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Its IP address.
    pub address: Address,
    /// Its port.
    pub port: u16,
    /// Its link address.
    pub mac: MacAddr,
}

/// Something that happened on one side.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// On which side.
    pub side: usize,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The program calls the stack; the call, with what came of it.
    Call(String),
    /// The stack tells the program that something has failed.
    Failed(Error),
    /// A packet passes a layer.
    Passes {
        /// Which.
        layer: Layer,
        /// Which way.
        direction: Direction,
        /// Its bytes there.
        bytes: Vec<u8>,
    },
    /// A packet is dropped.
    Dropped(Reason),
    /// A connection, or the listener, is in another state.
    State {
        /// Before.
        from: State,
        /// Now.
        to: State,
        /// Why.
        cause: Cause,
        /// It is the listener's.
        listener: bool,
    },
    /// A frame sets out; its place in [`Story::frames`].
    Sent(usize),
    /// A frame has come.
    Arrived(usize),
}

/// Why something was sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// A SYN or SYN-ACK was not answered in time.
    Handshake,
    /// The retransmission timer ran out.
    Timeout,
    /// Acknowledgments told of a gap.
    Fast,
    /// The rest of what seems to be lost, after the one or the other.
    Rest,
}

impl Again {
    /// In words, with the rule.
    pub fn why(self) -> &'static str {
        match self {
            Again::Handshake => "no answer to the SYN in time (RFC 6298, 2.1 and 5.7)",
            Again::Timeout => "retransmission timeout (RFC 6298, 5.4)",
            Again::Fast => "fast retransmit: acknowledgments tell of a gap (RFC 5681, 3.2; RFC 6675, 4)",
            Again::Rest => "the rest of what seems to be lost, as room comes up (RFC 5681, 3.1; RFC 6582, 3.2; RFC 6675, 5)",
        }
    }
}

/// A frame on the link.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its number in the story; 0 if it was on the link before the story begins.
    pub number: usize,
    /// Who has sent it.
    pub from: usize,
    /// When it set out.
    pub at: Instant,
    /// It gets lost.
    pub lost: bool,
    /// It carries again what was sent before.
    pub again: Option<Again>,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// A TCP segment, as a line of the story has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its control bits.
    pub flags: Flags,
    /// Its sequence number.
    pub sequence: u32,
    /// Its acknowledgment number.
    pub acknowledgment: u32,
    /// Octets of data.
    pub len: u32,
    /// The window as it stands in the header.
    pub window: u16,
}

impl Segment {
    /// The sequence numbers that it takes: one for each octet, and for SYN and FIN (RFC 9293, 3.4).
    pub fn sequence_len(&self) -> u32 {
        self.len + u32::from(self.flags.contains(Flags::SYN)) + u32::from(self.flags.contains(Flags::FIN))
    }
}

/// The segment in an IP packet.
pub fn segment_of_packet(packet: &[u8]) -> Option<Segment> {
    let payload = match packet.first()? >> 4 {
        4 => Ipv4::parse(packet).ok().filter(|packet| packet.protocol() == ostia_wire::protocol::TCP)?.payload(),
        _ => Ipv6::parse(packet).ok().filter(|packet| packet.next_header() == ostia_wire::protocol::TCP)?.payload(),
    };
    segment_of(payload)
}

/// The segment that these bytes are.
pub fn segment_of(bytes: &[u8]) -> Option<Segment> {
    let tcp = Tcp::parse(bytes).ok()?;
    Some(Segment {
        flags: tcp.flags(),
        sequence: tcp.sequence(),
        acknowledgment: tcp.acknowledgment(),
        len: u32::try_from(tcp.payload().len()).unwrap_or(u32::MAX),
        window: tcp.window(),
    })
}

/// The segment in a frame.
pub fn segment_of_frame(frame: &[u8]) -> Option<Segment> {
    let ethernet = Ethernet::parse(frame).ok()?;
    match ethernet.ethertype() {
        EtherType::IPV4 | EtherType::IPV6 => segment_of_packet(ethernet.payload()),
        _ => None,
    }
}

/// All that happened.
#[derive(Clone, Debug)]
pub struct Story {
    /// What was to happen.
    pub plan: Plan,
    /// The two sides.
    pub hosts: [Host; 2],
    /// When it began.
    pub begin: Instant,
    /// When the last thing happened.
    pub end: Instant,
    /// Nanoseconds that a frame takes.
    pub delay: u64,
    /// The longest IP packet on the link.
    pub mtu: u32,
    /// Every step, in order.
    pub entries: Vec<Entry>,
    /// Every frame, in order.
    pub frames: Vec<Sent>,
}

impl Story {
    /// Seconds since the story began, to a tenth of a millisecond.
    pub fn time(&self, at: Instant) -> String {
        let micros = at.since(self.begin).as_micros();
        format!("{}.{:04}", micros / 1_000_000, micros % 1_000_000 / 100)
    }

    /// The first sequence number of each side; none of one that has sent no SYN.
    pub fn first_numbers(&self) -> [Option<u32>; 2] {
        let of = |side: usize| {
            let segments =
                self.frames.iter().filter(|frame| frame.from == side).filter_map(|frame| segment_of_frame(&frame.bytes));
            segments.into_iter().find(|segment| segment.flags.contains(Flags::SYN)).map(|segment| segment.sequence)
        };
        [of(CLIENT), of(SERVER)]
    }

    /// Sequence and acknowledgment number of a side's segment, counted from the first numbers of the two sides.
    pub fn relative(&self, side: usize, segment: &Segment) -> (u32, Option<u32>) {
        let first = self.first_numbers();
        let own = first.get(side).copied().flatten().unwrap_or(0);
        let peer = first.get(1 - side).copied().flatten().unwrap_or(0);
        let acks = segment.flags.contains(Flags::ACK);
        (segment.sequence.wrapping_sub(own), acks.then(|| segment.acknowledgment.wrapping_sub(peer)))
    }

    /// Frames of the story: those before it began are left out.
    pub fn told(&self) -> impl Iterator<Item = &Sent> {
        self.frames.iter().filter(|frame| frame.number > 0)
    }

    /// How a side's connection changed its state: when, from which, to which, why. The listener's are left out.
    pub fn states(&self, side: usize) -> impl Iterator<Item = (Instant, State, State, Cause)> + '_ {
        self.entries.iter().filter(move |entry| entry.side == side).filter_map(|entry| match entry.what {
            What::State { from, to, cause, listener: false } => Some((entry.at, from, to, cause)),
            _ => None,
        })
    }
}

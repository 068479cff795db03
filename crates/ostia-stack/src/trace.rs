//! What the stack does, step by step, for somebody who watches it: to learn, to explain, to find a fault.

use alloc::boxed::Box;
use core::fmt;

use ostia_wire::Flags;

use crate::address::Address;
use crate::drops::Reason;
use crate::ip::LinkId;
use crate::tcp::State;
use crate::time::Instant;

/// A layer, as a packet passes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// The program's bytes, without any header.
    Socket,
    /// A segment or datagram: a transport header and what it carries.
    Transport,
    /// A packet: an IP header and what it carries.
    Network,
    /// A frame, as the device has it.
    Link,
}

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the program to the device.
    Down,
    /// From the device to the program.
    Up,
}

/// Why a connection's state changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A segment with these flags arrived.
    Segment(Flags),
    /// The program called; this is the call's name.
    Call(&'static str),
    /// A timer ran out.
    Timer,
    /// An ICMP error arrived.
    Icmp,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Segment(flags) => write!(f, "segment {flags}"),
            Cause::Call(name) => write!(f, "{name}()"),
            Cause::Timer => f.write_str("timer"),
            Cause::Icmp => f.write_str("ICMP error"),
        }
    }
}

/// One step.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// A packet passes a layer.
    Passes {
        /// Which.
        layer: Layer,
        /// Which way.
        direction: Direction,
        /// On which link; of a socket's bytes that isn't known.
        link: Option<LinkId>,
        /// All its bytes at that layer.
        bytes: &'a [u8],
    },
    /// A packet is dropped.
    Dropped {
        /// Why.
        reason: Reason,
    },
    /// A connection is in another state.
    State {
        /// This side's address and port.
        local: (Address, u16),
        /// The peer's; unspecified and 0 of a listener, which has none.
        remote: (Address, u16),
        /// The state it was in.
        from: State,
        /// The state it is in.
        to: State,
        /// Why.
        cause: Cause,
    },
}

/// Sees every step, in order. It must not be slow: the stack waits for it.
pub type Tracer = Box<dyn FnMut(Instant, &Step<'_>) + Send>;

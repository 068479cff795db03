//! A socket's record.

use std::collections::VecDeque;

use ostia_stack::{Address, Datagram, Destination, Handle};

use crate::Errno;
use crate::address::Domain;
use crate::settings::Settings;

/// SOCK_STREAM or SOCK_DGRAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Stream,
    Datagram,
}

/// What has happened to a socket so far, counted, so that an edge-triggered watcher sees that there was something new.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Pulses {
    /// Something came in: data, a datagram, a connection to be accepted.
    pub(crate) input: u64,
    /// Room to send has come back.
    pub(crate) output: u64,
    /// Its state has changed, or it has failed.
    pub(crate) state: u64,
}

/// A stream that is being opened, is open, or was.
pub(crate) struct Stream {
    pub(crate) handle: Handle,
    /// Octets that the program has read.
    pub(crate) read: u64,
    /// Linux's SS_CONNECTING: connect(2) hasn't been told yet what became of it.
    pub(crate) connecting: bool,
    /// This side has opened it.
    pub(crate) active: bool,
    pub(crate) remote: (Address, u16),
}

/// A listener.
pub(crate) struct Listener {
    pub(crate) handle: Handle,
    pub(crate) backlog: u32,
}

/// A UDP socket's part.
#[derive(Default)]
pub(crate) struct Datagrams {
    /// Opened with its first use, for then its family is known.
    pub(crate) handle: Option<Handle>,
    pub(crate) queue: VecDeque<Datagram>,
    /// True size of what is queued.
    pub(crate) queued: usize,
    /// Datagrams for which there was no room.
    pub(crate) dropped: u32,
    pub(crate) remote: Option<Destination>,
    /// What MSG_MORE has gathered, and for whom.
    pub(crate) gathered: Option<(Vec<u8>, Option<Destination>)>,
}

/// How far a socket is.
pub(crate) enum Stage {
    /// A stream that is neither connected nor listening, though it may be bound.
    Fresh,
    Listening(Listener),
    Stream(Stream),
    Datagrams(Datagrams),
}

pub(crate) struct Socket {
    pub(crate) domain: Domain,
    pub(crate) nonblocking: bool,
    pub(crate) settings: Settings,
    /// The address and port that it is bound to, the former unspecified for any.
    pub(crate) bound: Option<(Address, u16)>,
    /// Whether bind(2) has named or chosen the port: then it stays when a connection ends.
    pub(crate) port_chosen: bool,
    /// The port of a connection that has ended: getsockname(2) goes on to show it, though it may be another's by now.
    pub(crate) last_port: u16,
    /// SO_ERROR.
    pub(crate) error: Option<Errno>,
    /// shutdown(2) was called for reading, for writing.
    pub(crate) ended: (bool, bool),
    pub(crate) pulses: Pulses,
    pub(crate) stage: Stage,
}

impl Socket {
    pub(crate) fn new(domain: Domain, kind: Kind, nonblocking: bool) -> Socket {
        let stage = match kind {
            Kind::Stream => Stage::Fresh,
            Kind::Datagram => Stage::Datagrams(Datagrams::default()),
        };
        Socket {
            domain,
            nonblocking,
            settings: Settings::default(),
            bound: None,
            port_chosen: false,
            last_port: 0,
            error: None,
            ended: (false, false),
            pulses: Pulses::default(),
            stage,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.stage {
            Stage::Datagrams(_) => Kind::Datagram,
            _ => Kind::Stream,
        }
    }

    /// The stack's name for it, if it has one.
    pub(crate) fn handle(&self) -> Option<Handle> {
        match &self.stage {
            Stage::Fresh => None,
            Stage::Listening(listener) => Some(listener.handle),
            Stage::Stream(stream) => Some(stream.handle),
            Stage::Datagrams(datagrams) => datagrams.handle,
        }
    }

    pub(crate) fn stream(&self) -> Option<&Stream> {
        match &self.stage {
            Stage::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.stage {
            Stage::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn datagrams_mut(&mut self) -> Option<&mut Datagrams> {
        match &mut self.stage {
            Stage::Datagrams(datagrams) => Some(datagrams),
            _ => None,
        }
    }

    pub(crate) fn fail(&mut self, error: Errno) {
        self.error = Some(error);
        self.pulses.state += 1;
    }
}

//! What poll(2) says of a socket: Linux's tcp_poll and datagram_poll.

use ostia_stack::State;

use crate::core::Core;
use crate::descriptors::Id;
use crate::socket::{Pulses, Socket, Stage};
use crate::stream::peer_ended;

/// The bits of poll(2), which are those of epoll_ctl(2) as well.
pub(crate) const IN: u32 = libc::EPOLLIN as u32;
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
pub(crate) const PRI: u32 = libc::EPOLLPRI as u32;
pub(crate) const ERR: u32 = libc::EPOLLERR as u32;
pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;
pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
const IN_NORM: u32 = IN | libc::EPOLLRDNORM as u32;
const OUT_NORM: u32 = OUT | libc::EPOLLWRNORM as u32;

/// What a watcher of edges compares: how much has come in, how often there was room again and whether there is, and how often all
/// else has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Edges {
    input: (u64, u64),
    output: (u64, bool),
    state: (u64, State),
}

impl Edges {
    /// Whether something that a mask wants to hear of has happened since.
    pub(crate) fn differ(&self, since: &Edges, wanted: u32) -> bool {
        self.state != since.state
            || self.input != since.input && wanted & IN_NORM != 0
            || (self.output.0 != since.output.0 || self.output.1 && !since.output.1) && wanted & OUT_NORM != 0
    }
}

impl Core {
    /// The bits that hold now; 0 of what is no socket.
    pub(crate) fn mask(&self, id: Id) -> u32 {
        let Some(socket) = self.sockets.get(&id) else { return 0 };
        let failed = if socket.error.is_some() { ERR } else { 0 };
        failed
            | match &socket.stage {
                Stage::Datagrams(datagrams) => {
                    let readable = if datagrams.queue.is_empty() { 0 } else { IN_NORM };
                    let ended = match socket.ended {
                        (true, true) => IN_NORM | RDHUP | HUP,
                        (true, false) => IN_NORM | RDHUP,
                        _ => 0,
                    };
                    readable | ended | OUT_NORM
                }
                Stage::Listening(_) if self.waiting(id) > 0 => IN_NORM,
                Stage::Listening(_) => 0,
                Stage::Fresh | Stage::Stream(_) => self.stream_mask(socket),
            }
    }

    fn stream_mask(&self, socket: &Socket) -> u32 {
        let state = self.state(socket);
        let was_open = socket.stream().is_some();
        // A connection that is over has ended both ways (tcp_done).
        let over = was_open && state == State::Closed;
        let read_ended = socket.ended.0 || over || was_open && peer_ended(state);
        let write_ended = socket.ended.1 || over;
        let mut mask = 0;
        if read_ended && write_ended || state == State::Closed {
            mask |= HUP;
        }
        if read_ended {
            mask |= IN_NORM | RDHUP;
        }
        if matches!(state, State::SynSent | State::SynReceived) {
            return mask;
        }
        if self.unread(socket) >= u64::from(socket.settings.receive_least) {
            mask |= IN_NORM;
        }
        if write_ended || self.has_room(socket) {
            mask |= OUT_NORM;
        }
        let urgent = socket.handle().and_then(|handle| self.stack.urgent_left(handle).ok().flatten());
        if was_open && urgent.is_some() {
            mask |= PRI;
        }
        mask
    }

    pub(crate) fn edges(&self, id: Id) -> Option<Edges> {
        let socket = self.sockets.get(&id)?;
        let Pulses { input, output, state } = socket.pulses;
        let received = self.tcp_info(socket).map_or(0, |info| info.tcpi_bytes_received);
        let room = self.has_room(socket);
        Some(Edges { input: (input, received), output: (output, room), state: (state, self.state(socket)) })
    }
}

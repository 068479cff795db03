//! Memory that is short: what comes next in one stream is worth more than what waits beyond a gap in others.

use super::Tcp;
use super::connection::{Connection, Context};
use super::segment::Segment;
use crate::env::Env;
use crate::ip::Ip;
use crate::memory::Budget;

/// Connections that are looked at for the sake of one segment, at most: with a million of them nobody may make the stack look at
/// each. The next segment goes on where this one has stopped, and the peer sends again what found no room.
const LOOKS: u32 = 64;

impl Connection {
    /// Whether a segment is the next of the stream, and there is too little memory for it even if this connection gives up
    /// what came out of order.
    fn starves(&self, segment: &Segment, memory: &Budget) -> bool {
        let own = self.beyond.as_ref().map_or(0, |beyond| beyond.pieces.truesize());
        !memory.has_room(segment.frame.truesize().saturating_sub(own))
            && segment.len() > 0
            && self.rcv_wnd() > 0
            && segment.seq.at_or_before(self.rcv_nxt)
            && segment.end().after(self.rcv_nxt)
            && self.state.receives()
            && !self.facts.closed
    }
}

impl Tcp {
    /// Makes room for the next segment of a connection's stream out of what other connections have got out of order. That was
    /// only selectively acknowledged, so their peers have it still (RFC 2018, 8); or somebody fills the memory with it on
    /// purpose, and never closes the gap.
    #[inline]
    pub(super) fn feed(&mut self, index: u32, segment: &Segment, ip: &mut Ip, env: &mut Env) {
        if self.connections.at(index).is_some_and(|connection| connection.starves(segment, &env.memory)) {
            self.prune_others(index, segment.frame.truesize(), ip, env);
        }
    }

    #[cold]
    fn prune_others(&mut self, index: u32, size: usize, ip: &mut Ip, env: &mut Env) {
        for _ in 0..LOOKS {
            if env.memory.has_room(size) {
                return;
            }
            let at = self.hand;
            self.hand = (at + 1) % self.connections.places().max(1);
            if at != index
                && let Some(connection) = self.connections.at_mut(at)
            {
                connection.prune(0, &mut Context { env, ip, challenges: &mut self.challenges });
            }
        }
    }
}

//! What a program asks of a connection (RFC 9293, 3.9.1).

use bytes::Bytes;
use ostia_wire::Frame;

use super::connection::{Connection, Context};
use super::options::Options;
use super::state::State;
use crate::env::Env;
use crate::error::Error;
use crate::event::Kind;
use crate::memory::Budget;
use crate::mutation::{Mutation, on};
use crate::time::Instant;

/// Of the memory that is left, the part that one send buffer may grow into.
const SHARE_OF_MEMORY: usize = 8;

/// Which streams to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Nothing more will be read.
    Read,
    /// Nothing more will be sent: FIN follows what is queued.
    Write,
    /// Both.
    Both,
}

/// What a call would find now (poll(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// Something to read, or the end, or an error.
    pub readable: bool,
    /// Room to send, or an error.
    pub writable: bool,
    /// The peer's stream has ended, read to its end or not, or the connection is broken.
    pub ended: bool,
    /// Both streams have ended, or the connection is broken.
    pub hung_up: bool,
    /// It has failed, and nobody has been told why.
    pub error: bool,
    /// There is no connection any more: nothing comes that isn't here, and nothing goes.
    pub over: bool,
}

impl Connection {
    /// What calls would find; of what isn't there its program is told once it is.
    pub(crate) fn readiness(&mut self, memory: &Budget) -> Readiness {
        use State::{CloseWait, Established, SynReceived, SynSent};
        let (error, gone) = (self.error.is_some(), self.facts.dead || self.state == State::Closed);
        let readable = !self.received.is_empty() || self.facts.peer_done || error || gone;
        let opening = matches!(self.state, SynSent | SynReceived);
        let shut = self.facts.fin_queued || !matches!(self.state, Established | CloseWait);
        let room = self.send_limit(memory) > self.queue.len();
        let writable = error || gone || !opening && (room || shut);
        self.facts.told_readable &= readable;
        self.facts.wants_room |= !writable;
        let (ended, hung_up) = (gone || self.facts.peer_done, gone || self.facts.peer_done && self.facts.fin_queued);
        Readiness { readable, writable, ended, hung_up, error, over: gone }
    }

    /// Octets that may be queued, at most. What the path and the peer let be under way, and as much again: with less, nothing would
    /// be ready to be sent when an acknowledgment comes. Beyond its least no send buffer takes more than an eighth of what
    /// memory has left, so that many of them leave some to others.
    pub(crate) fn send_limit(&self, memory: &Budget) -> usize {
        let under_way = self.congestion.cwnd().min(self.max_window);
        let grown = under_way.saturating_mul(2).min(self.options.send_buffer_most) as usize;
        grown.min(memory.free() / SHARE_OF_MEMORY).max(self.options.send_buffer as usize)
    }

    /// Whether so much of the send queue is free that it is worth telling a program that waits for room: a third.
    pub(crate) fn has_room(&self, memory: &Budget) -> bool {
        let limit = self.send_limit(memory);
        limit.saturating_sub(self.queue.len()) >= limit / 3
    }

    /// That something can be sent, be there room for it or not.
    fn can_send(&mut self) -> Result<(), Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.state {
            State::SynSent | State::SynReceived | State::Established | State::CloseWait if !self.facts.fin_queued => Ok(()),
            _ => Err(Error::BrokenPipe),
        }
    }

    /// Room in the send queue, or why there will never be any.
    fn sendable(&mut self, memory: &Budget) -> Result<usize, Error> {
        self.can_send()?;
        let free = self.send_limit(memory).saturating_sub(self.queue.len());
        if free == 0 {
            self.facts.wants_room = true;
            return Err(Error::WouldBlock);
        }
        Ok(free)
    }

    /// Copies as much as there is room for into the send queue.
    pub(crate) fn send(&mut self, data: &[u8], env: &mut Env) -> Result<usize, Error> {
        let count = self.sendable(&env.memory)?.min(data.len());
        self.queue.push_copy(&data[..count]);
        self.sent(count, data.len(), env)
    }

    /// Puts bytes into the send queue without copying them, as many as there is room for.
    pub(crate) fn send_shared(&mut self, data: Bytes, env: &mut Env) -> Result<usize, Error> {
        let (count, whole) = (self.sendable(&env.memory)?.min(data.len()), data.len());
        self.queue.push_shared(data.slice(..count));
        self.sent(count, whole, env)
    }

    /// Puts all of the bytes into the send queue without copying them, if there is room for any.
    pub(crate) fn send_whole(&mut self, data: Bytes, env: &mut Env) -> Result<(), Error> {
        self.sendable(&env.memory)?;
        self.send_last(data, env)
    }

    /// As [`send_whole`](Self::send_whole), be there room or not.
    pub(crate) fn send_last(&mut self, data: Bytes, env: &mut Env) -> Result<(), Error> {
        self.can_send()?;
        let count = data.len();
        self.queue.push_shared(data);
        self.sent(count, count, env).map(drop)
    }

    /// As [`send_whole`](Self::send_whole), copying.
    pub(crate) fn send_all(&mut self, data: &[u8], env: &mut Env) -> Result<(), Error> {
        self.sendable(&env.memory)?;
        self.queue.push_copy(data);
        self.sent(data.len(), data.len(), env).map(drop)
    }

    fn sent(&mut self, count: usize, asked: usize, env: &mut Env) -> Result<usize, Error> {
        // Somebody else may wait for room, so it isn't taken back here.
        self.facts.wants_room |= count < asked;
        self.charge(env);
        Ok(count)
    }

    /// The last octet of what is queued is urgent, with everything before it (RFC 9293, 3.8.5; RFC 6093).
    pub(crate) fn send_urgent(&mut self, data: &[u8], env: &mut Env) -> Result<usize, Error> {
        let count = self.send(data, env)?;
        if count > 0 {
            self.facts.urgent_out = true;
            self.snd_up = self.queue_end();
        }
        Ok(count)
    }

    /// Takes what the send queue, its records and the out-of-order queue hold out of the budget, and gives back what they no longer do. The
    /// program's own bytes are never refused for want of memory: the send buffer bounds them. Room for what comes out of order
    /// has been made sure of before.
    pub(crate) fn charge(&mut self, env: &mut Env) {
        let beyond = self.beyond.as_ref().map_or(0, |beyond| beyond.truesize());
        let now = self.queue.truesize() + self.records.truesize() + beyond;
        if now > self.charged {
            env.memory.force(now - self.charged);
        } else {
            env.memory.give(self.charged - now);
        }
        self.charged = now;
    }

    /// Copies out what has been received; 0 at the end of the peer's stream.
    pub(crate) fn recv(&mut self, into: &mut [u8], env: &mut Env) -> Result<usize, Error> {
        if self.received.is_empty() {
            return self.nothing_to_read();
        }
        let count = self.received.read(into, &mut env.memory, &mut env.pool);
        self.after_reading();
        Ok(count)
    }

    /// Gives out what has been received, at most `room` bytes of it; 0 at the end of the peer's stream.
    pub(crate) fn recv_with(&mut self, room: usize, env: &mut Env, sink: impl FnMut(&[u8])) -> Result<usize, Error> {
        if self.received.is_empty() {
            return self.nothing_to_read();
        }
        let count = self.received.read_with(room, &mut env.memory, &mut env.pool, sink);
        self.after_reading();
        Ok(count)
    }

    /// Takes the next piece of what has been received as it came, without copying; empty at the end of the stream.
    pub(crate) fn recv_frame(&mut self, env: &mut Env) -> Result<Frame, Error> {
        match self.received.pop(&mut env.memory) {
            Some(frame) => {
                self.after_reading();
                Ok(frame)
            }
            None => self.nothing_to_read().map(|_| Frame::default()),
        }
    }

    fn nothing_to_read(&mut self) -> Result<usize, Error> {
        self.facts.told_readable = false;
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match self.state {
            _ if self.facts.peer_done => Ok(0),
            State::SynSent | State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 => {
                Err(Error::WouldBlock)
            }
            _ => Err(Error::NotConnected),
        }
    }

    fn after_reading(&mut self) {
        (self.facts.told_readable, self.facts.told_urgent) = (false, false);
        if self.facts.urgent_in && self.first_unread().at_or_after(self.rcv_up) {
            self.facts.urgent_in = false;
        }
        if self.state.receives() && self.wants_window_update() {
            self.facts.ack_now = true;
        }
    }

    fn first_unread(&self) -> super::seq::Seq {
        self.rcv_nxt - u32::from(self.facts.peer_done) - self.received.len()
    }

    /// Octets until the end of urgent data, if there is some to come or to be read (SIOCATMARK, more or less).
    pub(crate) fn urgent_left(&self) -> Option<u32> {
        self.facts.urgent_in.then(|| self.rcv_up.since(self.first_unread()))
    }

    /// Ends this side's stream behind what is queued (RFC 9293, 3.10.4).
    pub(crate) fn shutdown(&mut self, how: How, context: &mut Context<'_>) -> Result<(), Error> {
        if matches!(how, How::Read | How::Both) {
            self.received.clear(&mut context.env.memory);
            // As if it had been read: a window that was closed opens.
            self.after_reading();
        }
        if matches!(self.state, State::Closed | State::Listen) {
            return Err(Error::NotConnected);
        }
        if how == How::Read {
            return Ok(());
        }
        match self.state {
            State::SynSent | State::SynReceived | State::Established => {
                self.facts.fin_queued = true;
                if self.state == State::Established {
                    self.state = State::FinWait1;
                }
            }
            State::CloseWait => {
                self.facts.fin_queued = true;
                self.state = State::LastAck;
            }
            // It has been done before.
            _ => {}
        }
        self.facts.wants_drained = self.facts.owned;
        Ok(())
    }

    /// The program lets go of it: what is queued is still sent, and what is unread is lost, of which the peer is told by a
    /// reset (RFC 9293, 3.6.1; RFC 2525, 2.17).
    pub(crate) fn close(&mut self, context: &mut Context<'_>) {
        self.facts.owned = false;
        self.facts.closed = true;
        self.facts.wants_room = false;
        match self.state {
            State::Closed | State::Listen => self.facts.dead = true,
            State::SynSent => {
                context.env.counters.tcp_attempt_fails += 1;
                self.die(None, context);
            }
            _ if self.options.linger.is_some_and(|linger| linger.is_zero()) => self.abort(context),
            // The peer has nothing more to learn, and what is old must still be kept out (RFC 9293, 3.6.1 MUST-13).
            State::TimeWait => self.received.clear(&mut context.env.memory),
            _ if !self.received.is_empty() && !on(Mutation::UnreadDataForgotten) => {
                context.env.counters.abort_on_close += 1;
                self.abort(context);
            }
            _ => {
                // In SYN-RECEIVED the FIN waits for the ACK of the SYN.
                let _ = self.shutdown(How::Write, context);
                let now = context.env.now;
                if let Some(linger) = self.options.linger {
                    self.end_at = now + linger;
                } else if self.state == State::FinWait2 {
                    self.end_at = now + self.options.fin_wait_2;
                }
            }
        }
    }

    /// Ends it at once, and tells the peer (RFC 9293, 3.10.5).
    pub(crate) fn abort(&mut self, context: &mut Context<'_>) {
        use State::{CloseWait, Established, FinWait1, FinWait2, SynReceived};
        // In the others both have said that they end.
        if matches!(self.state, SynReceived | Established | FinWait1 | FinWait2 | CloseWait) {
            self.send_reset(context);
        }
        self.die(None, context);
    }

    /// It is over. What was received can still be read, if somebody has a handle; then comes the error, or the end.
    pub(crate) fn die(&mut self, error: Option<Error>, context: &mut Context<'_>) {
        self.state = State::Closed;
        self.facts.dead = true;
        self.stop_timers();
        self.queue = Default::default();
        self.records = Default::default();
        self.beyond = None;
        self.charge(context.env);
        if self.facts.owned {
            self.error = error;
            let kind = error.map_or(Kind::Closed, Kind::Failed);
            context.env.events.push(self.handle(), kind);
        } else {
            self.received.clear(&mut context.env.memory);
        }
    }

    /// Changes what can be changed while it is open.
    pub(crate) fn set_options(&mut self, options: Options, now: Instant) {
        let corked = self.options.cork;
        let keepalive = self.options.keepalive;
        self.options = options.bounded();
        if corked && !self.options.cork {
            // What the cork held goes at once.
            self.cork_at = Instant::NEVER;
            self.facts.push = true;
        }
        if self.options.keepalive != keepalive && self.state.is_synchronized() {
            self.probes = 0;
            self.arm_keepalive(now);
        }
        self.set_mss();
    }
}

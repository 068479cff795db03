//! A connection's record: the transmission control block of RFC 9293, 3.3.1.
//!
//! What arrives is dealt with in `arrive`, `syn_sent`, `acknowledge` and `receive`; what goes out in `transmit`; what time
//! brings in `timers`; what the program asks for in `calls`.

use alloc::boxed::Box;
use core::time::Duration;

use ostia_wire::{Frame, OptionOrder, Timestamps};

use super::congestion::{self, Congestion};
use super::half_open::{HalfOpen, Offer};
use super::limiter::{BlurredLimiter, Spacing};
use super::options::Options;
use super::out_of_order::OutOfOrder;
use super::receive_queue::ReceiveQueue;
use super::records::Records;
use super::rtt::{Floor, Rtt};
use super::sack::SackState;
use super::send_queue::SendQueue;
use super::seq::Seq;
use super::state::State;
use super::tuple::Tuple;
use crate::config::{Config, Profile};
use crate::env::Env;
use crate::error::Error;
use crate::handle::{Handle, Socket};
use crate::ip::{Ip, Route};
use crate::mutation::{Mutation, on};
use crate::slab::Key;
use crate::time::Instant;
use crate::wheel::TimerId;

/// What a connection works with while something happens to it.
pub(crate) struct Context<'a> {
    pub(crate) env: &'a mut Env,
    pub(crate) ip: &'a mut Ip,
    /// Challenge ACKs of all connections (RFC 5961, 7).
    pub(crate) challenges: &'a mut BlurredLimiter,
}

impl Context<'_> {
    /// Whether another challenge ACK may go out (RFC 5961, 7).
    pub(crate) fn may_challenge(&mut self) -> bool {
        self.challenges.allow(self.env.now, self.env.random.u32())
    }
}

/// How far loss recovery is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recovery {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery, until everything up to here is acknowledged (RFC 6582).
    Fast(Seq),
    /// After a timeout, until everything up to here is acknowledged.
    Loss(Seq),
}

/// Which of the timers that exclude each other runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resend {
    /// The retransmission timer (RFC 6298).
    Retransmit,
    /// The persist timer, which probes a closed window (RFC 9293, 3.8.6.1).
    Persist,
}

/// What arrived beyond RCV.NXT, and what is said of it; there while something is.
pub(crate) struct Beyond {
    pub(crate) pieces: OutOfOrder<Frame>,
    pub(crate) sack: SackState,
}

impl Beyond {
    /// Room for what a window can hold, if its segments aren't all tiny.
    fn new(receive_buffer: u32) -> Beyond {
        let held = (receive_buffer as usize).saturating_mul(4).max(64 << 10);
        Beyond { pieces: OutOfOrder::new(held / 256, held), sack: SackState::default() }
    }

    /// How much memory it keeps in use.
    pub(crate) fn truesize(&self) -> usize {
        size_of::<Beyond>() + self.pieces.truesize()
    }

    /// Whether nothing is there, nor anything to be said.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.sack.is_empty()
    }
}

/// Yes-or-no facts.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Facts {
    /// The program has a handle of it.
    pub(crate) owned: bool,
    /// It has been closed by its program: nobody will read any more.
    pub(crate) closed: bool,
    /// FIN is to be sent behind what is queued.
    pub(crate) fin_queued: bool,
    /// FIN has been sent.
    pub(crate) fin_sent: bool,
    /// Everything that the peer sends has come, its FIN with it.
    pub(crate) peer_done: bool,
    /// An acknowledgment is to go out at once.
    pub(crate) ack_now: bool,
    /// SYN (with ACK, in SYN-RECEIVED) is to go out, first or again.
    pub(crate) send_syn: bool,
    /// The SYN of this side is acknowledged.
    pub(crate) syn_acked: bool,
    /// A probe of the window, or of the peer's life, is to go out.
    pub(crate) probe: bool,
    /// Data that Nagle or a cork held back is to go out.
    pub(crate) push: bool,
    /// SACK was agreed on.
    pub(crate) sack: bool,
    /// This side's SYN offers a scale for windows; once both SYNs are known, so did the peer's.
    pub(crate) scales: bool,
    /// Timestamps were agreed on.
    pub(crate) timestamps: bool,
    /// The congestion window, not the program, was the limit when something was last sent.
    pub(crate) cwnd_limited: bool,
    /// The program has been told that something is there to be read, and hasn't looked since.
    pub(crate) told_readable: bool,
    /// A send found no room: the program waits to hear of some.
    pub(crate) wants_room: bool,
    /// The program waits to hear that all is acknowledged.
    pub(crate) wants_drained: bool,
    /// Traffic goes both ways in turns, so an acknowledgment is better delayed (Linux's ping-pong mode).
    pub(crate) interactive: bool,
    /// It stands in the list of those that may have something to send.
    pub(crate) listed: bool,
    /// It is over: the record can go.
    pub(crate) dead: bool,
    /// An urgent pointer has arrived and its octet not been read.
    pub(crate) urgent_in: bool,
    /// A recovery has just ended, and nothing beyond it is acknowledged.
    pub(crate) just_recovered: bool,
    /// The program has been told that the connection has trouble, and the peer hasn't been heard since.
    pub(crate) told_trouble: bool,
    /// The program has been told of the urgent pointer, and hasn't read since.
    pub(crate) told_urgent: bool,
    /// Urgent data is being sent.
    pub(crate) urgent_out: bool,
}

/// Counts for `tcp_info`.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Totals {
    pub(crate) segs_in: u32,
    pub(crate) segs_out: u32,
    pub(crate) data_segs_in: u32,
    pub(crate) data_segs_out: u32,
    pub(crate) retransmitted: u32,
    pub(crate) dsacks: u32,
    pub(crate) out_of_order: u32,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_retransmitted: u64,
}

pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    pub(crate) key: Key,
    pub(crate) state: State,
    /// The state that the tracer knows of.
    pub(crate) traced: State,
    pub(crate) facts: Facts,
    /// The listener in whose accept queue it waits.
    pub(crate) listener: Option<Key>,
    pub(crate) options: Options,
    pub(crate) route: Option<Route>,
    /// Why it ended, until the program has been told.
    pub(crate) error: Option<Error>,
    /// What a router said last, which may pass (RFC 5927, 4).
    pub(crate) soft_error: Option<Error>,

    pub(crate) iss: Seq,
    pub(crate) snd_una: Seq,
    pub(crate) snd_nxt: Seq,
    /// The peer's window, scaled up.
    pub(crate) snd_wnd: u32,
    pub(crate) snd_wl1: Seq,
    pub(crate) snd_wl2: Seq,
    /// The largest window that the peer has ever announced.
    pub(crate) max_window: u32,
    /// SND.UP: behind the last octet of urgent data.
    pub(crate) snd_up: Seq,
    /// Behind the last segment that was sent with less than it could carry (Minshall's form of Nagle's algorithm).
    pub(crate) small_sent: Seq,

    pub(crate) irs: Seq,
    pub(crate) rcv_nxt: Seq,
    /// The right edge of the window that has been announced. It never goes back.
    pub(crate) rcv_edge: Seq,
    /// RCV.NXT when the last acknowledgment went out.
    pub(crate) last_ack: Seq,
    /// RCV.UP: behind the last octet of urgent data.
    pub(crate) rcv_up: Seq,

    /// What the peer can take in one segment: its MSS option, bounded.
    pub(crate) peer_mss: u16,
    /// What a segment to the peer may carry now, options counted off.
    pub(crate) mss: u16,
    /// The largest segment that has come lately: what the peer seems to send.
    pub(crate) rcv_mss: u16,
    pub(crate) snd_scale: u8,
    pub(crate) rcv_scale: u8,

    pub(crate) ts_recent: u32,
    /// When it came.
    pub(crate) ts_recent_at: Instant,
    /// What is added to the clock in timestamps, so that they tell nothing of it.
    pub(crate) ts_offset: u32,

    pub(crate) queue: SendQueue,
    pub(crate) records: Records,
    pub(crate) congestion: Congestion,
    pub(crate) rtt: Rtt,
    pub(crate) recovery: Recovery,
    pub(crate) duplicate_acks: u8,
    /// What was outstanding when the first duplicate came: FlightSize, without what limited transmit adds (RFC 5681, 3.2).
    pub(crate) flight: u32,
    /// Octets that duplicate ACKs say have left the network, of a peer without SACK.
    pub(crate) left_network: u32,
    /// How often the first unacknowledged octet, or SYN, has timed out.
    pub(crate) retries: u8,
    /// Probes since the peer was last heard.
    pub(crate) probes: u8,

    pub(crate) received: ReceiveQueue,
    pub(crate) beyond: Option<Box<Beyond>>,
    /// Duplicate acknowledgments that are owed: each segment beyond a gap earns one (RFC 5681, 4.2), which a peer without SACK
    /// counts.
    pub(crate) duplicates_owed: u8,
    /// Acknowledgments that are still to go at once, since the connection is young (Linux's quick ACKs).
    pub(crate) quick_acks: u8,

    pub(crate) timer: TimerId,
    pub(crate) resend: Resend,
    pub(crate) resend_at: Instant,
    pub(crate) ack_at: Instant,
    pub(crate) cork_at: Instant,
    pub(crate) keepalive_at: Instant,
    /// When it ends whatever happens: FIN-WAIT-2, TIME-WAIT, lingering.
    pub(crate) end_at: Instant,
    /// When what is unacknowledged, or a closed window, began to be.
    pub(crate) stalled_since: Instant,
    pub(crate) last_sent: Instant,
    pub(crate) last_received: Instant,
    /// Between acknowledgments of what can't be accepted.
    pub(crate) invalid_acks: Spacing,

    /// Octets of its queues that were taken from the budget.
    pub(crate) charged: usize,
    pub(crate) totals: Totals,
}

impl Connection {
    fn new(tuple: Tuple, iss: Seq, irs: Seq, options: Options, env: &Env) -> Connection {
        let config = &env.config;
        let floor = match config.profile {
            Profile::Linux => Floor::Variance,
            Profile::Strict => Floor::Sum,
        };
        Connection {
            tuple,
            key: Key { index: 0, generation: 0 },
            state: State::Closed,
            traced: State::Closed,
            facts: Facts::default(),
            listener: None,
            options,
            route: None,
            error: None,
            soft_error: None,
            iss,
            snd_una: iss,
            snd_nxt: iss,
            snd_wnd: 0,
            snd_wl1: irs,
            snd_wl2: iss,
            max_window: 0,
            snd_up: iss,
            small_sent: iss,
            irs,
            rcv_nxt: irs,
            rcv_edge: irs,
            last_ack: irs,
            rcv_up: irs,
            peer_mss: super::DEFAULT_MSS,
            mss: super::DEFAULT_MSS,
            rcv_mss: super::DEFAULT_MSS,
            snd_scale: 0,
            rcv_scale: 0,
            ts_recent: 0,
            ts_recent_at: Instant::default(),
            ts_offset: 0,
            queue: SendQueue::default(),
            records: Records::default(),
            congestion: Congestion::new(u32::from(super::DEFAULT_MSS), u32::from(super::DEFAULT_MSS)),
            rtt: Rtt::new(config.initial_rto, (floor, config.min_rto), config.max_rto),
            recovery: Recovery::Open,
            duplicate_acks: 0,
            flight: 0,
            left_network: 0,
            retries: 0,
            probes: 0,
            received: ReceiveQueue::default(),
            beyond: None,
            duplicates_owed: 0,
            quick_acks: 0,
            timer: TimerId::NO_TIMER,
            resend: Resend::Retransmit,
            resend_at: Instant::NEVER,
            ack_at: Instant::NEVER,
            cork_at: Instant::NEVER,
            keepalive_at: Instant::NEVER,
            end_at: Instant::NEVER,
            stalled_since: Instant::NEVER,
            last_sent: env.now,
            last_received: env.now,
            invalid_acks: Spacing::default(),
            charged: 0,
            totals: Totals::default(),
        }
    }

    /// One that is to be opened from here: its SYN goes out with the next transmission.
    pub(crate) fn active(tuple: Tuple, iss: Seq, ts_offset: u32, options: Options, env: &Env) -> Connection {
        let mut connection = Connection::new(tuple, iss, Seq(0), options, env);
        connection.state = State::SynSent;
        connection.ts_offset = ts_offset;
        connection.facts.owned = true;
        connection.facts.send_syn = true;
        connection.facts.sack = env.config.sack;
        connection.facts.timestamps = env.config.timestamps;
        let scale = offered_scale(&env.config, options.receive_buffer);
        (connection.facts.scales, connection.rcv_scale) = (scale.is_some(), scale.unwrap_or(0));
        connection.stalled_since = env.now;
        connection
    }

    /// One of which the handshake is done, but for the acknowledgment that is about to be dealt with.
    pub(crate) fn passive(half: &HalfOpen, ts_offset: u32, options: Options, context: &mut Context<'_>) -> Connection {
        let mut connection = Connection::new(half.tuple, half.iss, half.irs, options, context.env);
        connection.state = State::SynReceived;
        // The tracer has heard of it as a half-open connection.
        connection.traced = State::SynReceived;
        connection.listener = Some(half.listener);
        connection.ts_offset = ts_offset;
        connection.snd_nxt = half.iss + 1;
        connection.snd_wnd = u32::from(half.window);
        connection.max_window = connection.snd_wnd;
        connection.rcv_nxt = half.irs + 1;
        connection.last_ack = connection.rcv_nxt;
        connection.rcv_up = connection.rcv_nxt;
        connection.rcv_edge = connection.rcv_nxt + u32::from(half.announced);
        (connection.facts.scales, connection.rcv_scale) = (true, half.shift);
        // A SYN-ACK that was lost counts like a SYN for the initial window (RFC 5681, 3.1).
        connection.retries = half.retries;
        connection.agree(&half.offer(), context);
        connection
    }

    /// Both sides' SYNs are known: what holds from now on.
    pub(crate) fn agree(&mut self, offer: &Offer, context: &mut Context<'_>) {
        self.peer_mss = offer.mss;
        let config = &context.env.config;
        self.facts.sack = config.sack && offer.sack;
        self.facts.timestamps = config.timestamps && offer.timestamp.is_some();
        self.ts_recent = offer.timestamp.unwrap_or(0);
        self.ts_recent_at = context.env.now;
        // Both or none (RFC 7323, 2.2). This side's is what its SYN said, though the buffer may have another size by now.
        self.facts.scales &= offer.scale.is_some();
        self.snd_scale = offer.scale.filter(|_| self.facts.scales).unwrap_or(0);
        self.rcv_scale = if self.facts.scales { self.rcv_scale } else { 0 };
        self.refresh_route(context);
        self.set_mss();
        let config = &context.env.config;
        self.rcv_mss = self.mss.min(super::DEFAULT_MSS);
        self.congestion = Congestion::new(self.initial_window(config), u32::from(self.mss));
        self.quick_acks = if config.profile == Profile::Linux { super::QUICK_ACKS } else { 0 };
    }

    /// Ten segments as Linux has it (RFC 6928 bounds them by 14,600 octets); strict: RFC 5681, 3.1. One, if the SYN had to be
    /// sent again: strict after the first time, as the RFC says, else after the second.
    pub(crate) fn initial_window(&self, config: &Config) -> u32 {
        let mss = u32::from(self.mss);
        match config.profile {
            Profile::Linux if self.retries > 1 => mss,
            Profile::Linux => 10 * mss,
            Profile::Strict if self.retries > 0 => mss,
            Profile::Strict => congestion::initial_window(mss),
        }
    }

    /// What has come beyond a gap, or is to be said of duplicates.
    pub(crate) fn beyond(&mut self) -> &mut Beyond {
        let receive_buffer = self.options.receive_buffer;
        self.beyond.get_or_insert_with(|| Box::new(Beyond::new(receive_buffer)))
    }

    /// Tells the tracer of another state.
    pub(crate) fn trace_state(&mut self, env: &mut Env) {
        if self.traced == self.state {
            return;
        }
        let from = self.traced;
        self.traced = self.state;
        self.tuple.trace_state(from, self.state, env);
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(Socket::Connection, self.key)
    }

    /// Octets in front of the send queue that are not data: the SYN, until it is acknowledged. SND.UNA doesn't tell: after 4 GiB
    /// it may be ISS again.
    pub(crate) fn syn_octets(&self) -> u32 {
        u32::from(!self.facts.syn_acked)
    }

    /// The sequence number behind the last octet of the send queue.
    pub(crate) fn queue_end(&self) -> Seq {
        self.snd_una + self.syn_octets() + self.queue.len() as u32
    }

    /// Where in the send queue a sequence number stands.
    pub(crate) fn queue_offset(&self, seq: Seq) -> usize {
        seq.since(self.snd_una + self.syn_octets()) as usize
    }

    /// Octets of data that were never sent.
    pub(crate) fn unsent(&self) -> u32 {
        let end = self.queue_end();
        if end.after(self.snd_nxt) { end.since(self.snd_nxt) } else { 0 }
    }

    /// Octets sent and not acknowledged (FlightSize; RFC 5681, 2).
    pub(crate) fn outstanding(&self) -> u32 {
        self.snd_nxt.since(self.snd_una)
    }

    /// With nothing to send, and nothing that isn't acknowledged, the queues for it hold no memory.
    pub(crate) fn release_if_idle(&mut self) {
        if self.records.is_empty() && self.queue.is_empty() {
            self.records.release();
            self.queue.release();
        }
    }

    /// Octets that are thought to be in the network ("pipe"; RFC 6675).
    pub(crate) fn in_flight(&self) -> u32 {
        self.records.in_flight().saturating_sub(self.left_network)
    }

    /// Whether this side's FIN is acknowledged.
    pub(crate) fn fin_acked(&self) -> bool {
        self.facts.fin_sent && self.snd_una == self.snd_nxt
    }

    /// RCV.WND: what may still come.
    pub(crate) fn rcv_wnd(&self) -> u32 {
        if self.rcv_edge.after(self.rcv_nxt) { self.rcv_edge.since(self.rcv_nxt) } else { 0 }
    }

    /// This side's timestamp.
    pub(crate) fn timestamp(&self, now: Instant) -> u32 {
        (now.millis() as u32).wrapping_add(self.ts_offset)
    }

    /// The timestamps option of a segment, if they are in use.
    pub(crate) fn timestamps(&self, now: Instant) -> Option<Timestamps> {
        self.facts.timestamps.then(|| Timestamps { value: self.timestamp(now), echo: self.ts_recent })
    }

    /// Finds out the way anew if anything has changed, and with it how long segments may be; false if there is none.
    pub(crate) fn refresh_route(&mut self, context: &mut Context<'_>) -> bool {
        if self.route.as_ref().is_some_and(|route| context.ip.is_current(route)) {
            return true;
        }
        match context.ip.route(self.tuple.remote, Some(self.tuple.local), self.tuple.zone) {
            Ok(route) => {
                self.route = Some(route);
                self.set_mss();
                true
            }
            // What it had may still do: a route that is gone may come back before the connection times out.
            Err(_) => self.route.is_some(),
        }
    }

    /// Eff.snd.MSS (RFC 9293, 3.7.1): what the peer takes and the path lets through, less the options of every segment.
    pub(crate) fn set_mss(&mut self) {
        let path = self.route.as_ref().map_or(u32::from(super::DEFAULT_MSS), |route| route.mtu);
        let most = path_mss(path, self.tuple.remote.is_v4());
        let options = if self.facts.timestamps { super::TIMESTAMPS_LEN } else { 0 };
        let mss = most.min(self.peer_mss).min(self.options.max_segment).saturating_sub(options).max(1);
        if mss != self.mss {
            self.mss = mss;
            self.congestion.mss_changed(u32::from(mss));
        }
    }

    /// The order of options.
    pub(crate) fn option_order(config: &Config) -> OptionOrder {
        match config.profile {
            Profile::Linux => OptionOrder::Linux,
            Profile::Strict => OptionOrder::Plain,
        }
    }

    /// The retransmission timeout, with its back-off; a user timeout that is nearer cuts it.
    pub(crate) fn resend_timeout(&self, now: Instant) -> Duration {
        let rto = self.rtt.rto();
        match self.options.user_timeout {
            Some(limit) if self.stalled_since.is_set() => {
                let left = limit.saturating_sub(now.since(self.stalled_since));
                rto.min(left.max(Duration::from_millis(1)))
            }
            _ => rto,
        }
    }
}

/// The least MSS that is believed of a peer.
pub(crate) fn least_mss() -> u16 {
    // Timestamps must still leave room for an octet.
    if on(Mutation::TinyMssBelieved) { 13 } else { super::MIN_MSS }
}

/// The shift that this side announces: the least with which its buffer can be told of (RFC 7323, 2.3: at most 14).
pub(crate) fn offered_scale(config: &Config, receive_buffer: u32) -> Option<u8> {
    config.window_scaling.then(|| (0..14).find(|&shift| receive_buffer >> shift <= 0xffff).unwrap_or(14))
}

/// The window of a SYN, which is never scaled.
pub(crate) fn first_window(receive_buffer: u32) -> u16 {
    u16::try_from(receive_buffer).unwrap_or(u16::MAX)
}

/// What a segment may carry, without options, on a path with that MTU (RFC 9293, 3.7.1): a link's own, which is 68 octets at least,
/// or what a router says, of whom less than 552 is not believed.
pub(crate) fn path_mss(mtu: u32, is_v4: bool) -> u16 {
    let headers = if is_v4 { 20 + 20 } else { 40 + 20 };
    u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX).max(1)
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;

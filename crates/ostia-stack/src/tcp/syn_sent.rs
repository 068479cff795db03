//! A segment arrives on a connection that has sent its SYN (RFC 9293, 3.10.7.3).

use ostia_wire::Flags;

use super::connection::{Connection, Context, first_window, least_mss};
use super::half_open::Offer;
use super::segment::Segment;
use super::state::State;
use crate::drops::Reason;
use crate::error::Error;
use crate::event::Kind;
use crate::mutation::{Mutation, on};

impl Connection {
    pub(super) fn arrive_in_syn_sent(&mut self, mut segment: Segment, context: &mut Context<'_>) -> Result<(), Reason> {
        let acks = segment.has(Flags::ACK);
        if acks && !self.acks_syn(&segment) {
            if !segment.has(Flags::RST) {
                super::reply::reset_for(&segment, context);
            }
            return Err(Reason::TcpUnsentAck);
        }
        if segment.has(Flags::RST) {
            if !acks {
                return Err(Reason::TcpReset);
            }
            context.env.counters.tcp_attempt_fails += 1;
            self.die(Some(Error::ConnectionRefused), context);
            return Ok(());
        }
        if !segment.has(Flags::SYN) {
            return Err(Reason::TcpFlags);
        }
        let now = context.env.now;
        self.irs = segment.seq;
        self.rcv_nxt = segment.seq + 1;
        (self.last_ack, self.rcv_up) = (self.rcv_nxt, self.rcv_nxt);
        self.rcv_edge = self.rcv_nxt + u32::from(first_window(self.options.receive_buffer));
        self.agree(&offer_of(&segment, context.env), context);
        if self.retries > 0 {
            self.rtt.after_lost_syn();
        }
        self.snd_wnd = self.scaled_window(&segment);
        self.max_window = self.snd_wnd;
        (self.snd_wl1, self.snd_wl2) = (segment.seq, segment.ack);
        self.last_received = now;
        if !acks {
            // The peer has opened at the same time (RFC 9293, 3.5).
            self.state = State::SynReceived;
            self.facts.send_syn = true;
            return Ok(());
        }
        self.open_state();
        self.trace_state(context.env);
        self.acknowledged(&segment, context)?;
        self.retries = 0;
        self.arm_keepalive(now);
        self.facts.ack_now = true;
        context.env.events.push(self.handle(), Kind::Connected);
        // Data that came with the SYN-ACK.
        segment.trim_front(self.rcv_nxt);
        if segment.sequence_len() > 0 { self.receive(segment, context) } else { Ok(()) }
    }

    /// Whether an ACK is of the SYN, or of what followed it.
    fn acks_syn(&self, segment: &Segment) -> bool {
        segment.ack.after(self.iss) && segment.ack.at_or_before(self.snd_nxt) || on(Mutation::AnyAckOpens)
    }
}

/// What a SYN offers, bounded to what can be used.
pub(crate) fn offer_of(segment: &Segment, env: &crate::env::Env) -> Offer {
    let options = &segment.options;
    let config = &env.config;
    // RFC 9293, 3.7.1 MUST-15: without the option, 536 (or 1220 over IPv6).
    let default = if segment.tuple.remote.is_v4() { super::DEFAULT_MSS } else { super::DEFAULT_MSS_V6 };
    Offer {
        // An MSS too small would make a segment of each octet.
        mss: options.mss.filter(|&mss| mss > 0).unwrap_or(default).max(least_mss()),
        // RFC 7323, 2.3: a greater shift is taken as 14.
        scale: options
            .window_scale
            .filter(|_| config.window_scaling)
            .map(|shift| shift.min(if on(Mutation::AnyScaleBelieved) { 31 } else { 14 })),
        sack: options.sack_permitted && config.sack,
        timestamp: options.timestamps.filter(|_| config.timestamps).map(|timestamps| timestamps.value),
    }
}

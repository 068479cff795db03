//! A segment arrives on a connection whose peer's SYN is known (RFC 9293, 3.10.7.4, with RFC 5961 and RFC 7323).

use ostia_wire::Flags;

use super::connection::{Connection, Context};
use super::segment::Segment;
use super::seq::Seq;
use super::state::State;
use super::time_wait::TIMESTAMP_LIFE;
use crate::config::Profile;
use crate::drops::Reason;
use crate::error::Error;
use crate::event::Kind;
use crate::mutation::{Mutation, on};

impl Connection {
    /// Deals with a segment; the reason if it is of no use.
    pub(crate) fn arrive(&mut self, mut segment: Segment, context: &mut Context<'_>) -> Result<(), Reason> {
        self.totals.segs_in = self.totals.segs_in.saturating_add(1);
        match self.state {
            State::Closed | State::Listen => return Err(Reason::TcpClosed),
            State::SynSent => return self.arrive_in_syn_sent(segment, context),
            _ => {}
        }
        // A SYN-ACK that crossed ours: both sides have opened at once (RFC 9293, 3.5, figure 7).
        let crossed = self.is_crossed_syn(&segment);
        if self.lacks_timestamp(&segment, context) {
            return Err(Reason::TcpPaws);
        }
        // First: the timestamp (RFC 7323, 5.3 R1) and the sequence number.
        if self.is_too_old(&segment, context) {
            context.env.counters.paws_estab += 1;
            self.challenge_invalid(&segment, context);
            return Err(Reason::TcpPaws);
        }
        if !crossed && !self.is_acceptable(&segment) {
            return Err(self.refuse_sequence(&segment, context));
        }
        // Second: RST (RFC 5961, 3.2).
        if segment.has(Flags::RST) {
            return self.arrive_reset(&segment, context);
        }
        // Fourth: SYN (RFC 5961, 4.2).
        if segment.has(Flags::SYN) && !crossed {
            context.env.counters.syn_challenge += 1;
            if on(Mutation::SynResets) {
                self.die(Some(Error::ConnectionReset), context);
            }
            self.challenge(context);
            return Err(Reason::TcpSyn);
        }
        // Fifth: ACK.
        if !segment.has(Flags::ACK) && !on(Mutation::AckNotNeeded) {
            return Err(Reason::TcpNoAck);
        }
        if self.state == State::SynReceived {
            self.establish(&segment, context)?;
        }
        self.note_timestamp(&segment, context);
        self.acknowledged(&segment, context)?;
        if self.facts.dead {
            return Ok(());
        }
        self.last_received = context.env.now;
        self.probes = 0;
        // What a router has said has passed.
        (self.soft_error, self.facts.told_trouble) = (None, false);
        if crossed {
            // Not before its window has been read, which isn't scaled, being a SYN's.
            segment.trim_front(self.rcv_nxt);
        }
        // Sixth to eighth: urgent data, data, FIN.
        self.receive(segment, context)
    }

    fn is_crossed_syn(&self, segment: &Segment) -> bool {
        self.state == State::SynReceived
            && segment.has(Flags::SYN)
            && segment.has(Flags::ACK)
            && !segment.has(Flags::RST)
            && segment.seq + 1 == self.rcv_nxt
            && segment.ack == self.snd_nxt
    }

    /// PAWS: a timestamp older than the newest tells of a segment from long ago. Resets are not judged by it (RFC 7323,
    /// 5.2), and a peer that was silent for 24 days may have wrapped its clock (5.5).
    fn is_too_old(&self, segment: &Segment, context: &Context<'_>) -> bool {
        if !self.facts.timestamps || segment.has(Flags::RST) || on(Mutation::NoPaws) {
            return false;
        }
        match segment.options.timestamps {
            Some(timestamps) => Seq(timestamps.value).before(Seq(self.ts_recent)) && !self.is_outdated(context),
            None => false,
        }
    }

    /// Timestamps were agreed on, and this segment has none: to be dropped without a word (RFC 7323, 3.2). Linux takes it, for
    /// middleboxes that strip options.
    fn lacks_timestamp(&self, segment: &Segment, context: &Context<'_>) -> bool {
        let missing = self.facts.timestamps && segment.options.timestamps.is_none() && !segment.has(Flags::RST);
        missing && context.env.config.profile == Profile::Strict
    }

    /// Whether TS.Recent is so old that the peer's clock may have wrapped: it then says nothing, and any newer one takes its place
    /// (RFC 7323, 5.5).
    fn is_outdated(&self, context: &Context<'_>) -> bool {
        context.env.now.since(self.ts_recent_at) >= core::time::Duration::from_secs(TIMESTAMP_LIFE)
    }

    /// The sequence number check. Beside what RFC 9293's table takes, a segment at the right edge of the window may pass
    /// for its ACK: a peer that has filled the window numbers its pure ACKs so. And a segment at RCV.NXT may pass a closed
    /// window for its ACK, without its data.
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let (window, len) = (self.rcv_wnd(), segment.sequence_len());
        let edge = if on(Mutation::WindowOneMore) { self.rcv_nxt + window + 1 } else { self.rcv_nxt + window };
        if len == 0 || window == 0 {
            let old = segment.seq.before(self.rcv_nxt) || segment.end().before(self.rcv_nxt);
            return !old && !segment.seq.after(edge);
        }
        segment.seq.before(edge) && segment.end().after(self.rcv_nxt)
    }

    /// A segment that the check refuses is acknowledged, unless it is a reset.
    fn refuse_sequence(&mut self, segment: &Segment, context: &mut Context<'_>) -> Reason {
        if segment.has(Flags::RST) {
            return Reason::TcpReset;
        }
        if segment.has(Flags::SYN) {
            context.env.counters.syn_challenge += 1;
            self.challenge(context);
            return Reason::TcpSyn;
        }
        if segment.len() > 0 && segment.end().at_or_before(self.rcv_nxt) {
            // Our ACK was lost: the sender needs it at once, and to know that this came twice (RFC 2883, 4).
            self.note_duplicate(segment.seq, segment.end(), context);
            self.facts.ack_now = true;
            self.note_fin_again(segment, context);
            return Reason::TcpDuplicate;
        }
        self.note_fin_again(segment, context);
        self.challenge_invalid(segment, context);
        Reason::TcpWindow
    }

    /// The peer's FIN again, in TIME-WAIT: it has not seen the last ACK, so the wait begins anew.
    fn note_fin_again(&mut self, segment: &Segment, context: &mut Context<'_>) {
        if self.state == State::TimeWait && segment.has(Flags::FIN) && segment.end() == self.rcv_nxt {
            self.facts.ack_now = true;
            self.end_at = context.env.now + context.env.config.time_wait;
        }
    }

    /// RFC 5961, 3.2: only a reset at exactly RCV.NXT counts; one elsewhere in the window is challenged.
    fn arrive_reset(&mut self, segment: &Segment, context: &mut Context<'_>) -> Result<(), Reason> {
        if segment.seq != self.rcv_nxt && !on(Mutation::ResetAnywhere) {
            self.challenge(context);
            return Err(Reason::TcpReset);
        }
        if self.state == State::TimeWait && context.env.config.rfc1337 {
            return Err(Reason::TcpReset);
        }
        let error = match self.state {
            // Passive ones have a listener that never heard of it; this one was opened here, at the same time as there.
            State::SynReceived => Error::ConnectionRefused,
            State::CloseWait => Error::BrokenPipe,
            _ => Error::ConnectionReset,
        };
        match self.state {
            State::SynReceived => context.env.counters.tcp_attempt_fails += 1,
            State::Established | State::CloseWait => context.env.counters.tcp_estab_resets += 1,
            _ => {}
        }
        // What ended in order has not failed.
        let error = (!matches!(self.state, State::Closing | State::LastAck | State::TimeWait)).then_some(error);
        self.die(error, context);
        Ok(())
    }

    /// The handshake's last ACK, or the first that acknowledges our SYN in a simultaneous open.
    fn establish(&mut self, segment: &Segment, context: &mut Context<'_>) -> Result<(), Reason> {
        if !(segment.ack.after(self.snd_una) && segment.ack.at_or_before(self.snd_nxt)) {
            // <SEQ=SEG.ACK><CTL=RST>
            super::reply::reset_for(segment, context);
            return Err(Reason::TcpUnsentAck);
        }
        self.open_state();
        // The same segment may lead on to CLOSE-WAIT.
        self.trace_state(context.env);
        self.retries = 0;
        self.snd_wnd = self.scaled_window(segment);
        self.max_window = self.max_window.max(self.snd_wnd);
        (self.snd_wl1, self.snd_wl2) = (segment.seq, segment.ack);
        self.arm_keepalive(context.env.now);
        if self.facts.owned {
            context.env.events.push(self.handle(), Kind::Connected);
        }
        Ok(())
    }

    /// Both SYNs are acknowledged. A program that has closed meanwhile has its FIN sent now.
    pub(super) fn open_state(&mut self) {
        self.state = if self.facts.fin_queued { State::FinWait1 } else { State::Established };
    }

    /// SEG.WND, scaled; windows of SYNs are not (RFC 7323, 2.2).
    pub(crate) fn scaled_window(&self, segment: &Segment) -> u32 {
        let scale = if segment.has(Flags::SYN) && !on(Mutation::SynWindowScaled) { 0 } else { self.snd_scale };
        u32::from(segment.window) << scale
    }

    /// TS.Recent (RFC 7323, 4.3): of what is at or before the last acknowledgment, so that a later one can't make an
    /// earlier one look old.
    fn note_timestamp(&mut self, segment: &Segment, context: &Context<'_>) {
        if !self.facts.timestamps {
            return;
        }
        if let Some(timestamps) = segment.options.timestamps
            && (segment.seq.at_or_before(self.last_ack) || on(Mutation::NewestTimestampEchoed))
            && (Seq(timestamps.value).at_or_after(Seq(self.ts_recent)) || self.is_outdated(context))
        {
            self.ts_recent = timestamps.value;
            self.ts_recent_at = context.env.now;
        }
    }

    /// A challenge ACK (RFC 5961), as often as the stack allows (7), and not more often than others of this connection: or
    /// whoever provokes them on one connection could learn of another by what is left (CVE-2016-5696).
    pub(crate) fn challenge(&mut self, context: &mut Context<'_>) {
        let interval = context.env.config.invalid_ack_interval;
        let allowed = self.invalid_acks.allow(context.env.now, interval) && context.may_challenge();
        if allowed || on(Mutation::ChallengesWithoutBound) {
            context.env.counters.challenge_acks += 1;
            self.facts.ack_now = true;
        }
    }

    /// An ACK for what can't be accepted. Without data or FIN it may be an ACK for ours: two sides that disagree would go on for
    /// ever, so it has an interval of its own.
    fn challenge_invalid(&mut self, segment: &Segment, context: &mut Context<'_>) {
        let (now, interval) = (context.env.now, context.env.config.invalid_ack_interval);
        let may_be_an_ack = segment.len() == 0 && !segment.has(Flags::FIN);
        if !may_be_an_ack || self.invalid_acks.allow(now, interval) {
            self.facts.ack_now = true;
        }
    }
}

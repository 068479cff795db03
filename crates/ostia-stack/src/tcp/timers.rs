//! What time brings to a connection.

use super::connection::{Connection, Context, Recovery, Resend};
use super::records::SACKED;
use super::state::State;
use crate::config::{Config, Profile};
use crate::error::Error;
use crate::event::Kind;
use crate::mutation::{Mutation, on};
use crate::time::Instant;

/// Doublings of the interval between probes after which a closed window is given up, if no program waits any more; as Linux has
/// it.
const ORPHAN_PROBES: u8 = 8;

/// Retransmissions after which something seems to be wrong (RFC 9293, 3.8.3 SHLD-10).
const R1: u8 = 3;

impl Connection {
    /// When something is due.
    pub(crate) fn deadline(&self) -> Instant {
        self.resend_at.min(self.ack_at).min(self.cork_at).min(self.keepalive_at).min(self.end_at)
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, context: &mut Context<'_>) {
        let now = context.env.now;
        if self.end_at <= now {
            return self.end(context);
        }
        if self.ack_at <= now {
            self.ack_at = Instant::NEVER;
            self.facts.ack_now = true;
            context.env.counters.delayed_acks += 1;
        }
        if self.cork_at <= now {
            self.cork_at = Instant::NEVER;
            self.facts.push = true;
        }
        if self.resend_at <= now {
            self.resend_expired(context);
        }
        if !self.facts.dead && self.keepalive_at <= now {
            self.keepalive_expired(context);
        }
    }

    pub(crate) fn stop_timers(&mut self) {
        self.resend_at = Instant::NEVER;
        self.ack_at = Instant::NEVER;
        self.cork_at = Instant::NEVER;
        self.keepalive_at = Instant::NEVER;
        self.end_at = Instant::NEVER;
    }

    /// TIME-WAIT and FIN-WAIT-2 end silently; a connection that has lingered too long is reset.
    fn end(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::TimeWait => context.env.counters.tw += 1,
            State::FinWait2 => {}
            _ => {
                context.env.counters.abort_on_linger += 1;
                self.send_reset(context);
            }
        }
        self.die(None, context);
    }

    fn resend_expired(&mut self, context: &mut Context<'_>) {
        let now = context.env.now;
        self.resend_at = Instant::NEVER;
        let overdue =
            self.options.user_timeout.is_some_and(|limit| self.stalled_since.is_set() && now.since(self.stalled_since) >= limit);
        if overdue && !on(Mutation::NoUserTimeout) {
            return self.time_out(context);
        }
        match (self.state, self.resend) {
            (State::SynSent | State::SynReceived, _) => self.syn_expired(context),
            (_, Resend::Persist) => self.persist_expired(context),
            (_, Resend::Retransmit) => self.retransmission_expired(context),
        }
    }

    /// SYN again, at doubled intervals (RFC 9293, 3.8.3; RFC 6298, 5.5).
    fn syn_expired(&mut self, context: &mut Context<'_>) {
        let config = &context.env.config;
        let most = if self.state == State::SynSent { config.syn_retries } else { config.syn_ack_retries };
        if self.retries >= most {
            context.env.counters.tcp_attempt_fails += 1;
            return self.time_out(context);
        }
        self.count_retry(context);
        context.env.counters.syn_retrans += 1;
        context.env.counters.tcp_retrans_segs += 1;
        self.totals.retransmitted = self.totals.retransmitted.saturating_add(1);
        self.facts.send_syn = true;
        self.rtt.back_off();
        self.resend_at = context.env.now + self.resend_timeout(context.env.now);
    }

    /// RFC 6298, 5.4 to 5.6, and RFC 5681, 3.1 equation 4.
    fn retransmission_expired(&mut self, context: &mut Context<'_>) {
        if self.records.is_empty() {
            return;
        }
        // A peer that has taken its whole window back and still answers is probed by this, and isn't gone (RFC 9293, 3.8.6).
        let closed = self.snd_wnd == 0;
        let config = &context.env.config;
        let given_up = match (closed, self.facts.closed) {
            (true, _) => self.probes >= config.retries,
            (false, false) => self.retries >= config.retries,
            (false, true) => self.is_lost_orphan(config),
        };
        if given_up && !on(Mutation::RetriesForEver) {
            return self.time_out(context);
        }
        if closed && self.is_held_open_for_nothing() {
            return self.give_up_orphan(context);
        }
        if closed {
            self.probes += 1;
        } else {
            self.count_retry(context);
        }
        context.env.counters.timeouts += 1;
        if (!matches!(self.recovery, Recovery::Loss(_)) || self.retries == 1) && !on(Mutation::TimeoutKeepsWindow) {
            self.congestion.on_timeout(self.outstanding());
        }
        self.recovery = Recovery::Loss(self.snd_nxt);
        (self.duplicate_acks, self.left_network) = (0, 0);
        if self.records.first().is_some_and(|first| first.is(SACKED)) {
            // The peer has given up what it had told of (RFC 2018, 8).
            self.records.clear_sacked();
        }
        self.records.mark_all_lost();
        if !on(Mutation::NoBackOff) {
            self.rtt.back_off();
        }
        self.resend_at = context.env.now + self.resend_timeout(context.env.now);
    }

    /// A probe of a closed window, at growing intervals (RFC 9293, 3.8.6.1). A peer that answers may keep its window closed
    /// for ever (MUST-37); one that doesn't is gone.
    fn persist_expired(&mut self, context: &mut Context<'_>) {
        if self.probes >= context.env.config.retries {
            return self.time_out(context);
        }
        if self.is_held_open_for_nothing() {
            return self.give_up_orphan(context);
        }
        if on(Mutation::NoProbe) {
            return;
        }
        self.probes += 1;
        self.rtt.back_off();
        self.resend_at = context.env.now + self.resend_timeout(context.env.now);
        if self.snd_una + self.snd_wnd == self.snd_nxt || self.snd_wnd == 0 {
            context.env.counters.zero_window_probes += 1;
            self.facts.probe = true;
        } else {
            // The window is only too small for its size: send what fits (RFC 9293, 3.8.6.2.1, the override timeout).
            self.facts.push = true;
        }
    }

    /// Whether no program waits for what a closed window holds up, and it has been probed often enough: a peer could keep as
    /// many connections as it likes by answering (RFC 9293, 3.8.6.1, leaves that to resource management; RFC 6429).
    fn is_held_open_for_nothing(&self) -> bool {
        self.facts.closed && self.rtt.backoffs() >= ORPHAN_PROBES
    }

    /// Whether nothing has come of what a connection without a program has sent again: fewer attempts than with one will do, for
    /// nobody waits. In the Linux profile none follows the longest timeout, either.
    fn is_lost_orphan(&self, config: &Config) -> bool {
        let slow = config.profile == Profile::Linux && self.retries > 0 && self.rtt.rto() >= config.max_rto;
        self.retries >= config.orphan_retries || slow
    }

    /// The peer answers, so it is told.
    fn give_up_orphan(&mut self, context: &mut Context<'_>) {
        self.send_reset(context);
        self.time_out(context);
    }

    pub(crate) fn arm_keepalive(&mut self, now: Instant) {
        self.keepalive_at = match self.options.keepalive {
            Some(keepalive) => now + keepalive.idle,
            None => Instant::NEVER,
        };
    }

    /// RFC 9293, 3.8.4: only an idle connection is probed.
    fn keepalive_expired(&mut self, context: &mut Context<'_>) {
        let now = context.env.now;
        let Some(keepalive) = self.options.keepalive else {
            self.keepalive_at = Instant::NEVER;
            return;
        };
        let due = self.last_received + keepalive.idle;
        // What is under way finds out by itself whether the peer lives, with probes of its own.
        let busy = self.resend_at.is_set() || self.unsent() > 0;
        if busy || self.probes == 0 && due > now {
            self.keepalive_at = if due > now { due } else { now + keepalive.idle };
            return;
        }
        let overdue = self.options.user_timeout.is_some_and(|limit| self.probes > 0 && now.since(self.last_received) >= limit);
        if (self.probes >= keepalive.count || overdue) && !on(Mutation::KeepaliveGivesUpNever) {
            self.send_reset(context);
            return self.time_out(context);
        }
        self.probes += 1;
        context.env.counters.keepalives += 1;
        self.facts.probe = true;
        self.keepalive_at = now + keepalive.interval;
    }

    /// Counts a retransmission of what is first unacknowledged. When there were R1 the program is told, and the network layer asked
    /// to look whether the next hop is still there (RFC 9293, 3.8.3 MUST-20, SHLD-9 and SHLD-10).
    fn count_retry(&mut self, context: &mut Context<'_>) {
        self.retries += 1;
        if self.retries == R1 {
            self.tell_trouble(Error::TimedOut, context);
            if let Some(route) = &self.route {
                context.ip.doubt(route);
            }
        }
    }

    /// Tells the program of something that may pass (RFC 9293, 3.9.1.8 MUST-47).
    pub(crate) fn tell_trouble(&mut self, error: Error, context: &mut Context<'_>) {
        if !self.facts.told_trouble && self.facts.owned {
            self.facts.told_trouble = true;
            context.env.events.push(self.handle(), Kind::Trouble(error));
        }
    }

    fn time_out(&mut self, context: &mut Context<'_>) {
        context.env.counters.abort_on_timeout += 1;
        // What a router said of the way there tells more than the silence.
        let error = self.soft_error.take().unwrap_or(Error::TimedOut);
        self.die(Some(error), context);
    }
}

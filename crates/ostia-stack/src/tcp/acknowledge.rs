//! Acknowledgments: what is acknowledged leaves the queue; what seems lost is sent again (RFC 9293, 3.10.7.4; RFC 5681;
//! RFC 6582; RFC 2018).

use core::time::Duration;

use super::connection::{Connection, Context, Recovery, Resend};
use super::records::{Acked, RETRANSMITTED, SACKED};
use super::segment::Segment;
use super::seq::Seq;
use super::state::State;
use crate::drops::Reason;
use crate::event::Kind;
use crate::mutation::{Mutation, on};

/// Duplicate ACKs that tell of a loss (RFC 5681, 3.2).
const DUPLICATES: u8 = 3;

impl Connection {
    /// Deals with the acknowledgment and the window of a segment.
    pub(super) fn acknowledged(&mut self, segment: &Segment, context: &mut Context<'_>) -> Result<(), Reason> {
        let ack = segment.ack;
        // RFC 5961, 5: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT, or nothing of it counts.
        if ack.after(self.snd_nxt) && !on(Mutation::UnsentAckCounts) {
            self.challenge(context);
            return Err(Reason::TcpUnsentAck);
        }
        if ack.before(self.snd_una - self.max_window) && !on(Mutation::AncientAckCounts) {
            self.challenge(context);
            return Err(Reason::TcpOldAck);
        }
        if ack.before(self.snd_una) {
            // Overtaken by a later one: nothing new but its SACK blocks, which the later one had too.
            return Ok(());
        }
        if segment.is_pure_ack() {
            context.env.counters.pure_acks += 1;
        }
        let window_before = self.snd_wnd;
        self.update_window(segment.seq, segment.ack, self.scaled_window(segment));
        self.note_opened_window();
        let sacked = self.note_sack(segment, context);
        if ack.after(self.snd_una) {
            self.advance(ack, segment, context);
        } else if sacked > 0 || self.is_duplicate(segment, window_before) {
            self.duplicate_ack(context);
        }
        Ok(())
    }

    /// SND.WND by SND.WL1 and SND.WL2: an old segment must not bring an old window back.
    #[inline]
    pub(super) fn update_window(&mut self, seq: Seq, ack: Seq, window: u32) {
        let newer =
            self.snd_wl1.before(seq) || self.snd_wl1 == seq && self.snd_wl2.at_or_before(ack) || on(Mutation::OldWindowCounts);
        if newer {
            self.snd_wnd = window;
            self.max_window = self.max_window.max(window);
            (self.snd_wl1, self.snd_wl2) = (seq, ack);
        }
    }

    /// A window that was closed has opened: the persist timer's work is done.
    fn note_opened_window(&mut self) {
        if self.resend == Resend::Persist && self.resend_at.is_set() && self.snd_wnd > self.outstanding() {
            self.resend = Resend::Retransmit;
            self.resend_at = crate::Instant::NEVER;
            self.stalled_since = crate::Instant::NEVER;
            self.rtt.reset_back_off();
        }
    }

    /// Marks what the peer has selectively acknowledged; answers how many octets are new. Blocks that can't be are not
    /// believed, and one that tells of a duplicate is counted (RFC 2018, 4; RFC 2883, 4).
    fn note_sack(&mut self, segment: &Segment, context: &mut Context<'_>) -> u32 {
        if !self.facts.sack {
            return 0;
        }
        let (mut sacked, mut acked) = (0, Acked::default());
        for (place, &(left, right)) in segment.options.sack.as_slice().iter().enumerate() {
            let (left, right) = (Seq(left), Seq(right));
            if place == 0 && self.is_dsack(segment, left, right) {
                context.env.counters.dsack_recv += 1;
                self.totals.dsacks = self.totals.dsacks.saturating_add(1);
                continue;
            }
            let sensible = left.before(right) && left.at_or_after(segment.ack) && right.at_or_before(self.snd_nxt);
            if sensible && left.at_or_after(self.snd_una) {
                sacked += self.records.sack(left, right, &mut acked);
            }
        }
        sacked
    }

    /// Whether the first block tells of a duplicate: it is below the acknowledgment, or inside the second.
    fn is_dsack(&self, segment: &Segment, left: Seq, right: Seq) -> bool {
        if right.at_or_before(segment.ack) {
            return true;
        }
        segment
            .options
            .sack
            .as_slice()
            .get(1)
            .is_some_and(|&(outer_left, outer_right)| left.at_or_after(Seq(outer_left)) && right.at_or_before(Seq(outer_right)))
    }

    /// A duplicate acknowledgment as RFC 5681, 2 defines it. With SACK it is one that tells of something new (RFC 6675, 2): one
    /// that reports a duplicate, or nothing, says of no segment that it has left the network.
    fn is_duplicate(&self, segment: &Segment, window_before: u32) -> bool {
        (!self.facts.sack || on(Mutation::EmptyAcksAreDuplicates))
            && !self.records.is_empty()
            && segment.sequence_len() == 0
            && (self.snd_wnd == window_before || on(Mutation::WindowChangeIsDuplicate))
    }

    /// Something new is acknowledged.
    fn advance(&mut self, ack: Seq, segment: &Segment, context: &mut Context<'_>) {
        let now = context.env.now;
        let octets = ack.since(self.snd_una);
        let syn = self.syn_octets();
        let fin = u32::from(self.facts.fin_sent && ack == self.snd_nxt);
        let data = octets - syn - fin;
        let acked = self.records.acknowledge(ack);
        // An acknowledgment of what was sent again covers what came long before it: the time of that tells nothing either.
        self.measure(acked.oldest_sent.filter(|_| !acked.retransmitted), segment);
        self.queue.acknowledge(data as usize);
        self.totals.bytes_acked += u64::from(data);
        self.snd_una = ack;
        self.facts.syn_acked = true;
        self.charge(context.env);
        self.retries = 0;
        if on(Mutation::BackOffForgotten) {
            self.rtt.reset_back_off();
        }
        self.recover(ack, octets - syn);
        let idle = self.records.is_empty();
        self.stalled_since = if idle && self.unsent() == 0 { crate::Instant::NEVER } else { now };
        self.resend = Resend::Retransmit;
        // RFC 6298, 5.2 and 5.3.
        if idle || !on(Mutation::TimerNotRestarted) {
            self.resend_at = if idle { crate::Instant::NEVER } else { now + self.resend_timeout(now) };
        }
        if self.facts.urgent_out && self.snd_una.at_or_after(self.snd_up) {
            self.facts.urgent_out = false;
        }
        if let Some(route) = &self.route {
            context.ip.confirm(route, context.env);
        }
        self.tell_room(context);
        if self.fin_acked() {
            self.close_acked(context);
        }
    }

    /// A sample of the round-trip time: from the segment's own time of sending where it was sent once (Karn's algorithm;
    /// RFC 6298, 3), else from the echoed timestamp (RFC 7323, 4), which is coarser.
    fn measure(&mut self, sent: Option<crate::Instant>, segment: &Segment) {
        let arrived = segment.arrived;
        if let Some(sent) = sent {
            self.rtt.sample(arrived.since(sent));
        } else if let (true, Some(timestamps)) = (self.facts.timestamps, segment.options.timestamps)
            && timestamps.echo != 0
        {
            let millis = self.timestamp(arrived).wrapping_sub(timestamps.echo);
            // An echo of what was never sent would make an absurd sample.
            if millis < i32::MAX as u32 {
                self.rtt.sample(Duration::from_millis(u64::from(millis).max(1)));
            }
        }
    }

    /// The congestion window, and the end of a recovery.
    fn recover(&mut self, ack: Seq, octets: u32) {
        self.facts.just_recovered = matches!(self.recovery, Recovery::Fast(recover) | Recovery::Loss(recover) if ack == recover);
        match self.recovery {
            Recovery::Open => {
                self.congestion.on_ack(octets, self.facts.cwnd_limited || on(Mutation::UnusedWindowGrows));
                (self.duplicate_acks, self.left_network) = (0, 0);
            }
            Recovery::Fast(recover) if ack.at_or_after(recover) => {
                self.recovery = Recovery::Open;
                (self.duplicate_acks, self.left_network) = (0, 0);
                self.congestion.on_exit_recovery();
            }
            // A partial acknowledgment: the next hole was lost as well (RFC 6582, 3.2 step 3), and with SACK may be on its way again.
            Recovery::Fast(_) => {
                // One of the segments that it covers is the one that was sent again; the others had left the network.
                self.left_network = self.left_network.saturating_sub(octets.saturating_sub(u32::from(self.mss)));
                let under_way = self.facts.sack && self.records.first().is_some_and(|first| first.is(RETRANSMITTED));
                if !under_way && !on(Mutation::PartialAckIgnored) {
                    self.mark_first_lost();
                }
            }
            Recovery::Loss(recover) => {
                self.congestion.on_ack(octets, true);
                self.duplicate_acks = 0;
                if ack.at_or_after(recover) {
                    self.recovery = Recovery::Open;
                    self.congestion.on_exit_recovery();
                }
            }
        }
    }

    /// The same acknowledgment again: a segment has left the network, and one before it may be lost.
    fn duplicate_ack(&mut self, context: &mut Context<'_>) {
        let mss = u32::from(self.mss);
        if self.duplicate_acks == 0 {
            self.flight = self.outstanding();
        }
        self.duplicate_acks = self.duplicate_acks.saturating_add(1);
        if !self.facts.sack {
            // One at least must be in the network, or nothing would be missing.
            let most = self.outstanding().saturating_sub(mss);
            self.left_network = self.left_network.saturating_add(mss).min(most);
        }
        match self.recovery {
            Recovery::Open if self.signals_loss() && !on(Mutation::NoFastRetransmit) => self.enter_recovery(context),
            Recovery::Fast(_) if self.facts.sack => self.mark_lost_below_sacked(),
            _ => {}
        }
    }

    /// Three duplicates; or, with SACK, as much above the hole as three segments would be (RFC 6675, 4).
    fn signals_loss(&self) -> bool {
        if self.facts.just_recovered && !self.facts.sack {
            // They may be of what was sent twice without need (RFC 6582, 3.2 step 2).
            return false;
        }
        let enough = if on(Mutation::TwoDuplicatesSuffice) { DUPLICATES - 1 } else { DUPLICATES };
        self.duplicate_acks >= enough || self.records.sacked() >= DUPLICATES_OCTETS * u32::from(self.mss)
    }

    /// Fast retransmit and fast recovery.
    fn enter_recovery(&mut self, context: &mut Context<'_>) {
        let counters = &mut context.env.counters;
        if self.facts.sack {
            counters.sack_recovery += 1
        } else {
            counters.reno_recovery += 1
        }
        self.recovery = Recovery::Fast(self.snd_nxt);
        if !on(Mutation::LossHalvesNothing) {
            let all = self.outstanding();
            let flight = if on(Mutation::LimitedTransmitCounts) { all } else { self.flight.min(all) };
            self.congestion.on_loss_enter_recovery(flight);
        }
        self.mark_first_lost();
        if self.facts.sack {
            self.mark_lost_below_sacked();
        }
    }

    /// The first segment that isn't acknowledged is lost.
    fn mark_first_lost(&mut self) {
        let mss = u32::from(self.mss);
        if let Some(first) = self.records.first()
            && !first.is(SACKED)
        {
            let (start, len) = (first.start, first.len.min(mss));
            self.records.mark_lost(start, start + len);
        }
    }

    /// What has three segments' worth of selectively acknowledged octets above it is lost (IsLost; RFC 6675, 4), unless it has
    /// been sent again.
    fn mark_lost_below_sacked(&mut self) {
        let enough = DUPLICATES_OCTETS * u32::from(self.mss);
        let mut above = 0;
        let edge = self.records.iter().rev().find(|record| {
            above += if record.is(SACKED) { record.len } else { 0 };
            above >= enough
        });
        if let Some(edge) = edge.map(|record| record.start) {
            self.records.mark_lost_if(|record| record.end().at_or_before(edge) && !record.is(RETRANSMITTED));
        }
    }

    /// Tells the program of room in the send queue, once it is worth while, and when all is acknowledged.
    fn tell_room(&mut self, context: &mut Context<'_>) {
        if self.facts.wants_room && self.has_room(&context.env.memory) {
            self.facts.wants_room = false;
            context.env.events.push(self.handle(), Kind::Writable);
        }
        if self.facts.wants_drained && self.queue.is_empty() && (!self.facts.fin_queued || self.fin_acked()) {
            self.facts.wants_drained = false;
            context.env.events.push(self.handle(), Kind::Drained);
        }
    }

    /// This side's FIN is acknowledged.
    fn close_acked(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                // Half-closed by a program that still reads, it may stay so for ever; without one it may not.
                if self.facts.closed && !on(Mutation::FinWait2ForEver) {
                    self.end_at = context.env.now + self.options.fin_wait_2;
                }
            }
            State::Closing => self.enter_time_wait(context),
            State::LastAck => self.die(None, context),
            _ => {}
        }
    }
}

/// Segments' worth of octets.
const DUPLICATES_OCTETS: u32 = DUPLICATES as u32;

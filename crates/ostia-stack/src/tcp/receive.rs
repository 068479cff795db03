//! What a segment carries: urgent data, data, and the end of the peer's stream (RFC 9293, 3.10.7.4, sixth to eighth step).

use ostia_wire::{Flags, Frame};

use super::connection::{Beyond, Connection, Context, path_mss};
use super::segment::Segment;
use super::seq::Seq;
use super::state::State;
use crate::config::Profile;
use crate::drops::Reason;
use crate::event::Kind;
use crate::mutation::{Mutation, on};

impl Connection {
    pub(super) fn receive(&mut self, mut segment: Segment, context: &mut Context<'_>) -> Result<(), Reason> {
        if segment.sequence_len() == 0 {
            context.env.pool.recycle(segment.frame);
            return Ok(());
        }
        if !self.state.receives() {
            // Behind the peer's FIN nothing can come.
            return if segment.len() > 0 { Err(Reason::TcpClosed) } else { Ok(()) };
        }
        if self.facts.closed && segment.len() > 0 && segment.end().after(self.rcv_nxt) && !on(Mutation::DataAfterCloseTaken) {
            return self.refuse_data(&segment, context);
        }
        self.note_urgent(&segment, context);
        if segment.seq.before(self.rcv_nxt) {
            self.note_duplicate(segment.seq, self.rcv_nxt, context);
            segment.trim_front(self.rcv_nxt);
        }
        let edge = self.rcv_nxt + self.rcv_wnd();
        if segment.end().after(edge) {
            segment.trim_back(if segment.has(Flags::FIN) && segment.end() == edge + 1 { edge + 1 } else { edge });
        }
        if segment.sequence_len() == 0 {
            // Nothing of it fits: a probe of a closed window, most likely.
            self.facts.ack_now = true;
            context.env.counters.rcvq_drop += 1;
            return Err(Reason::TcpWindow);
        }
        if segment.seq == self.rcv_nxt {
            {
                let fin = segment.has(Flags::FIN);
                self.take(segment.frame, fin, context)
            }
        } else {
            self.put_aside(segment, context)
        }
    }

    /// Data for a program that has closed: it must learn that it is lost (RFC 9293, 3.6.1; RFC 2525, 2.17).
    fn refuse_data(&mut self, segment: &Segment, context: &mut Context<'_>) -> Result<(), Reason> {
        context.env.counters.abort_on_data += 1;
        super::reply::reset_for(segment, context);
        self.die(None, context);
        Err(Reason::TcpClosed)
    }

    /// RCV.UP (RFC 9293, 3.8.5). The pointer is behind the last urgent octet (RFC 6093, 3); the octets stay in the stream.
    fn note_urgent(&mut self, segment: &Segment, context: &mut Context<'_>) {
        if !segment.has(Flags::URG) || segment.urgent == 0 {
            return;
        }
        let up = segment.seq + u32::from(segment.urgent);
        // A pointer that has been passed counts no longer: 2^31 octets on it would be ahead again.
        if !up.after(self.rcv_nxt) || self.facts.urgent_in && !up.after(self.rcv_up) {
            return;
        }
        self.rcv_up = up;
        self.facts.urgent_in = true;
        if !self.facts.told_urgent && self.facts.owned {
            // Told anew of each advance, once the program has looked (MUST-32).
            self.facts.told_urgent = true;
            context.env.events.push(self.handle(), Kind::Urgent);
        }
    }

    /// Something came twice; the next acknowledgment says so (RFC 2883).
    pub(super) fn note_duplicate(&mut self, left: Seq, right: Seq, context: &mut Context<'_>) {
        if self.facts.sack && left.before(right) && !on(Mutation::NoDsack) {
            context.env.counters.dsack_old_sent += 1;
            self.beyond().sack.duplicate((left, right));
            self.charge(context.env);
        }
        self.enter_quick_acks(context);
        self.facts.ack_now = true;
    }

    /// Data at RCV.NXT.
    pub(super) fn take(&mut self, frame: Frame, fin: bool, context: &mut Context<'_>) -> Result<(), Reason> {
        let len = frame.len() as u32;
        self.estimate_mss(&frame);
        let data_before = self.totals.bytes_received;
        if len > 0 {
            self.totals.data_segs_in = self.totals.data_segs_in.saturating_add(1);
            self.keep(frame, context)?;
            self.rcv_nxt += len;
            self.totals.bytes_received += u64::from(len);
        }
        if fin && self.beyond.as_ref().is_some_and(|beyond| !beyond.pieces.is_empty()) {
            // Nothing is behind the end of the stream. A peer that has sent something else before has changed its mind.
            self.prune(0, context);
        }
        let mut ended = fin;
        let filled = self.join(&mut ended, context);
        if self.totals.bytes_received > data_before {
            self.tell_readable(context);
        }
        if ended {
            self.end_of_stream(context);
        } else if filled {
            // RFC 5681, 4.2: what fills a gap is acknowledged at once.
            self.facts.ack_now = true;
        } else {
            self.schedule_ack(context);
        }
        Ok(())
    }

    /// Puts a payload into the queue, giving up what is beyond it if memory is short.
    fn keep(&mut self, frame: Frame, context: &mut Context<'_>) -> Result<(), Reason> {
        let Err(mut frame) = self.received.push(frame, &mut context.env.memory, &mut context.env.pool) else { return Ok(()) };
        let held = self.beyond.as_ref().map_or(0, |beyond| beyond.pieces.truesize());
        // What is farthest away is needed last.
        for keep in [held / 2, 0] {
            self.prune(keep, context);
            match self.received.push(frame, &mut context.env.memory, &mut context.env.pool) {
                Ok(()) => return Ok(()),
                Err(again) => frame = again,
            }
        }
        context.env.counters.rcvq_drop += 1;
        Err(Reason::Memory)
    }

    /// Gives up what came beyond RCV.NXT, the highest first, until it takes no more than `keep`: it was only selectively
    /// acknowledged, so the peer has it still (RFC 2018, 8).
    pub(crate) fn prune(&mut self, keep: usize, context: &mut Context<'_>) {
        if let Some(beyond) = &mut self.beyond {
            if beyond.pieces.prune(keep) > 0 {
                context.env.counters.ofo_pruned += 1;
            }
            beyond.sack.given_up(beyond.pieces.highest().unwrap_or(self.rcv_nxt));
            if beyond.is_empty() {
                self.beyond = None;
            }
        }
        self.charge(context.env);
    }

    /// Moves what has become contiguous to the queue; whether there was a gap.
    fn join(&mut self, ended: &mut bool, context: &mut Context<'_>) -> bool {
        let Some(mut beyond) = self.beyond.take() else { return false };
        let gap = !beyond.pieces.is_empty();
        // What they hold goes from one queue to the other, so there is room for it.
        self.charge(context.env);
        while let Some(frame) = beyond.pieces.pop(self.rcv_nxt) {
            let len = frame.len() as u32;
            if self.received.push(frame, &mut context.env.memory, &mut context.env.pool).is_err() {
                // It needs more as it is gathered. What can't be kept mustn't be told of either (RFC 2018, 8).
                context.env.counters.ofo_pruned += 1;
                return gap;
            }
            self.rcv_nxt += len;
            self.totals.bytes_received += u64::from(len);
        }
        *ended |= beyond.pieces.take_fin(self.rcv_nxt);
        beyond.sack.advanced(self.rcv_nxt);
        if !beyond.is_empty() {
            self.beyond = Some(beyond);
            self.charge(context.env);
        }
        gap
    }

    /// Data beyond a gap. It is acknowledged at once, so that the sender learns of the gap (RFC 5681, 4.2).
    fn put_aside(&mut self, segment: Segment, context: &mut Context<'_>) -> Result<(), Reason> {
        self.totals.out_of_order = self.totals.out_of_order.saturating_add(1);
        self.enter_quick_acks(context);
        if !on(Mutation::GapNotAcknowledged) {
            self.facts.ack_now = true;
            if !self.facts.sack {
                self.duplicates_owed = self.duplicates_owed.saturating_add(1);
            }
        }
        // What isn't in order must not be the last that memory is spent on.
        if context.env.memory.is_pressed() || !context.env.memory.has_room(size_of::<Beyond>() + segment.frame.truesize()) {
            context.env.counters.ofo_drop += 1;
            return Err(Reason::TcpReassembly);
        }
        context.env.counters.ofo_queue += 1;
        let (seq, fin) = (segment.seq, segment.has(Flags::FIN));
        let (sack, len) = (self.facts.sack, segment.len());
        let beyond = self.beyond();
        let inserted = beyond.pieces.insert(seq, len, segment.frame, fin);
        if let Some(highest) = beyond.pieces.highest() {
            beyond.sack.given_up(highest);
        }
        if let (Some(inserted), true) = (inserted, sack) {
            beyond.sack.received(inserted.merged);
            if let Some(range) = inserted.duplicate {
                beyond.sack.duplicate(range);
            }
        }
        self.charge(context.env);
        if inserted.is_none() {
            context.env.counters.ofo_drop += 1;
            return Err(Reason::TcpReassembly);
        }
        Ok(())
    }

    /// The peer's FIN: nothing comes behind it.
    fn end_of_stream(&mut self, context: &mut Context<'_>) {
        self.rcv_nxt += 1;
        if let Some(beyond) = &mut self.beyond {
            // A FIN that had come before its time was told of.
            beyond.sack.advanced(self.rcv_nxt);
        }
        self.facts.peer_done = true;
        self.facts.ack_now = !on(Mutation::FinAcknowledgedLate);
        // News also to a program that was told of bytes and has not read them: it may wait for the end alone.
        self.facts.told_readable = false;
        self.tell_readable(context);
        match self.state {
            State::Established | State::SynReceived => self.state = State::CloseWait,
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.enter_time_wait(context),
            _ => {}
        }
    }

    pub(super) fn enter_time_wait(&mut self, context: &mut Context<'_>) {
        self.state = State::TimeWait;
        self.stop_timers();
        let lasts = if on(Mutation::NoTimeWait) { core::time::Duration::ZERO } else { context.env.config.time_wait };
        self.end_at = context.env.now + lasts;
    }

    fn tell_readable(&mut self, context: &mut Context<'_>) {
        if !self.facts.told_readable && self.facts.owned {
            self.facts.told_readable = true;
            context.env.events.push(self.handle(), Kind::Readable);
        }
    }

    /// What the peer's full segments seem to carry.
    fn estimate_mss(&mut self, frame: &Frame) {
        let len = match frame.meta.gso_size {
            0 => frame.len() as u32,
            size => u32::from(size),
        };
        // No segment of the peer carries more than this side's MSS: what does was put together of several.
        let most = self.route.as_ref().map_or(self.rcv_mss, |route| path_mss(route.mtu, self.tuple.remote.is_v4()));
        self.rcv_mss = self.rcv_mss.max(u16::try_from(len).unwrap_or(u16::MAX).min(most));
    }

    /// An acknowledgment now or soon (RFC 9293, 3.8.6.3): at least of each second full segment, counted in octets, so that
    /// a coalesced segment counts for what it is; and never later than the bound.
    fn schedule_ack(&mut self, context: &mut Context<'_>) {
        let waiting = self.rcv_nxt.since(self.last_ack);
        let segment = u32::from(self.rcv_mss);
        let enough = match context.env.config.profile {
            Profile::Linux => waiting > segment,
            Profile::Strict => waiting >= 2 * segment,
        };
        let quick = self.quick_acks > 0 && !self.facts.interactive;
        if (enough && !on(Mutation::EveryAckDelayed)) || quick {
            self.facts.ack_now = true;
        } else {
            self.ack_at = self.ack_at.min(context.env.now + context.env.config.delayed_ack);
        }
    }

    /// After trouble the sender needs acknowledgments soon to get its window open again.
    fn enter_quick_acks(&mut self, context: &Context<'_>) {
        if context.env.config.profile == Profile::Linux {
            self.quick_acks = super::QUICK_ACKS;
            self.facts.interactive = false;
        }
    }
}

//! What a connection sends: SYN, what was lost, new data, FIN, probes, and acknowledgments (RFC 9293, 3.8).

use ostia_wire::{Flags, TcpOptions};

use super::connection::{Connection, Context, Recovery, Resend, first_window, path_mss};
use super::emit::Outgoing;
use super::records;
use super::seq::Seq;
use super::state::State;
use crate::config::Profile;
use crate::error::Error;
use crate::mutation::{Mutation, on};
use crate::time::Instant;

impl Connection {
    /// Sends what there is to send, at most `budget` segments, and until frames that wait hold `most` bytes; whether something may
    /// be left.
    pub(crate) fn transmit(&mut self, budget: &mut usize, most: usize, context: &mut Context<'_>) -> bool {
        if self.facts.dead {
            return false;
        }
        if !self.refresh_route(context) {
            return self.no_route(context);
        }
        if self.facts.send_syn {
            self.facts.send_syn = false;
            self.send_syn(context);
            *budget = budget.saturating_sub(1);
        }
        if self.state.sends() {
            loop {
                if *budget == 0 || context.ip.out.held() >= most {
                    return true;
                }
                let sent = match self.send_lost(context) {
                    0 => self.send_new(*budget, context),
                    sent => sent,
                };
                if sent == 0 {
                    break;
                }
                *budget = budget.saturating_sub(sent);
            }
            self.facts.push = false;
            self.watch_window(context);
        }
        if self.facts.probe {
            self.facts.probe = false;
            self.send_probe(context);
        } else if self.facts.ack_now && self.state != State::SynSent {
            // With SACK one says all; without, each segment of a batch that came beyond a gap is answered.
            for _ in 0..self.duplicates_owed.max(1) {
                self.send_empty(self.acceptable_seq(), context);
            }
        }
        false
    }

    /// No way leads there: one that is being opened fails, one that is open waits for the timers.
    fn no_route(&mut self, context: &mut Context<'_>) -> bool {
        if self.state == State::SynSent {
            self.die(Some(Error::NetworkUnreachable), context);
        }
        false
    }

    /// SYN, or SYN and ACK when the peer's has come at the same time.
    fn send_syn(&mut self, context: &mut Context<'_>) {
        let now = context.env.now;
        let answers = self.state == State::SynReceived;
        let mtu = self.route.as_ref().map_or(0, |route| route.mtu);
        let options = TcpOptions {
            mss: Some(path_mss(mtu, self.tuple.remote.is_v4()).min(self.options.max_segment)),
            window_scale: self.facts.scales.then_some(self.rcv_scale),
            sack_permitted: self.facts.sack,
            timestamps: self.timestamps(now),
            ..TcpOptions::default()
        };
        if self.snd_nxt == self.iss {
            self.snd_nxt = self.iss + 1;
            self.snd_up = self.snd_nxt;
            self.records.push(self.iss, 1, self.mss, records::SYN, now);
        } else {
            self.records.retransmitted(self.iss, 1, now);
        }
        let flags = if answers { Flags::SYN | Flags::ACK } else { Flags::SYN };
        let window = first_window(self.options.receive_buffer);
        self.put(&Outgoing { seq: self.iss, flags, len: 0, segment: 1, options, window }, context);
        if !self.resend_at.is_set() {
            self.resend_at = now + self.resend_timeout(now);
        }
    }

    /// Sends the first of what is thought to be lost, if the congestion window has room; how many segments that were.
    fn send_lost(&mut self, context: &mut Context<'_>) -> usize {
        let Some(&record) = self.records.next_lost() else { return 0 };
        let records::Record { start, len: record_len, transmissions, .. } = record;
        let now = context.env.now;
        let first = start == self.snd_una;
        let has_room = self.in_flight() + record_len.min(u32::from(self.mss)) <= self.congestion.cwnd();
        // The first retransmission of a recovery goes out whatever the window says (RFC 5681, 3.2 step 2).
        let goes = has_room || first && transmissions == 1 || self.in_flight() == 0;
        if !goes {
            return 0;
        }
        let window_end = self.snd_una + self.snd_wnd;
        // A peer that has taken its window back still has to take the first octet (RFC 9293, 3.8.6).
        if !first && !start.before(window_end) {
            return 0;
        }
        let limit = self.room();
        let len = record_len.min(limit);
        let end = start + len;
        let fin = self.facts.fin_sent && end == self.snd_nxt;
        let data = len - u32::from(fin);
        let mut flags = Flags::ACK;
        if fin {
            flags |= Flags::FIN;
        }
        if record.is(records::PUSH) && !on(Mutation::PushOnce) && len == record_len {
            flags |= Flags::PSH;
        }
        self.records.retransmitted(start, len, now);
        context.env.counters.tcp_retrans_segs += 1;
        if matches!(self.recovery, Recovery::Fast(_)) {
            context.env.counters.fast_retrans += 1;
        }
        self.totals.retransmitted = self.totals.retransmitted.saturating_add(1);
        self.totals.bytes_retransmitted += u64::from(data);
        let options = self.options_out(now);
        let window = self.announce(context);
        self.put(&Outgoing { seq: start, flags, len: data, segment: limit, options, window }, context);
        if first && !on(Mutation::RetransmissionKeepsTimer) {
            // Its answer takes a round trip from now (RFC 6675, 6 allows it), or a good recovery would time out.
            self.resend_at = now + self.resend_timeout(now);
        }
        self.arm_resend(now);
        1
    }

    /// Sends what is new, at most `budget` segments, if the windows, Nagle and the cork let it go; how many segments that were.
    fn send_new(&mut self, budget: usize, context: &mut Context<'_>) -> usize {
        let unsent = self.unsent();
        let fin_waits = self.facts.fin_queued && !self.facts.fin_sent;
        if unsent == 0 && !fin_waits {
            self.cork_at = Instant::NEVER;
            // A window that is just full is used up as well.
            self.facts.cwnd_limited = self.in_flight() >= self.congestion.cwnd();
            return 0;
        }
        let now = context.env.now;
        self.restart_after_idle(context);
        let mss = self.room();
        let usable = self.usable_window();
        let most = self.most_at_once(mss, budget);
        let mut len = unsent.min(usable).min(most);
        if len > mss {
            // A super-segment is cut into full segments; what is left over is a matter of its own.
            len -=
                if len < unsent || !len.is_multiple_of(mss) && self.holds_back(len % mss, true, context) { len % mss } else { 0 };
        }
        let fin = fin_waits && len == unsent && usable > len;
        if len == 0 && !fin {
            return 0;
        }
        if !self.congestion_allows(&mut len, mss) {
            return 0;
        }
        let fin = fin && len == unsent;
        if len < mss && !fin && self.is_held(len, unsent, context) {
            return 0;
        }
        let start = self.snd_nxt;
        let mut flags = Flags::ACK;
        if fin {
            flags |= Flags::FIN;
            self.facts.fin_sent = true;
        }
        // RFC 9293, 3.9.1.2: PSH with the last of what is queued.
        if len > 0 && len == unsent && !on(Mutation::NoPush) {
            flags |= Flags::PSH;
        }
        if !len.is_multiple_of(mss) {
            self.small_sent = start + len;
        }
        if len > 0 {
            self.note_interactive(now, context.env.config.delayed_ack);
            self.last_sent = now;
        }
        let was_empty = self.records.is_empty();
        let octets = len + u32::from(fin);
        let marks = if fin { records::FIN } else { 0 } | if flags.contains(Flags::PSH) { records::PUSH } else { 0 };
        self.records.push(start, octets, mss as u16, marks, now);
        self.snd_nxt += octets;
        self.totals.bytes_sent += u64::from(len);
        let options = self.options_out(now);
        let window = self.announce(context);
        let sent = self.put(&Outgoing { seq: start, flags, len, segment: mss, options, window }, context);
        self.totals.data_segs_out = self.totals.data_segs_out.saturating_add(sent as u32);
        if was_empty {
            self.resend = Resend::Retransmit;
            self.resend_at = Instant::NEVER;
            self.stalled_since = now;
            self.retries = 0;
        }
        self.arm_resend(now);
        self.cork_at = Instant::NEVER;
        sent
    }

    /// The peer's window, as much of it as isn't used.
    fn usable_window(&self) -> u32 {
        let edge = self.snd_una + self.snd_wnd + u32::from(on(Mutation::SendBeyondWindow));
        if edge.after(self.snd_nxt) { edge.since(self.snd_nxt) } else { 0 }
    }

    /// The most data of one transmission: as many segments as the link takes at once; or, where it takes one at a time, as many
    /// as may be sent, so that what is done once per transmission isn't done for each.
    fn most_at_once(&self, mss: u32, budget: usize) -> u32 {
        // The next segment has another urgent pointer, and other SACK blocks.
        if self.facts.urgent_out || self.beyond.is_some() {
            return mss;
        }
        match self.route.as_ref().map_or(0, |route| route.gso_max) {
            gso if gso >= 2 * mss => gso - gso % mss,
            _ => mss * budget.min(super::SHARE) as u32,
        }
    }

    /// The congestion window (RFC 5681, 3.1): cuts a transmission to what it has room for; false if it has none.
    fn congestion_allows(&mut self, len: &mut u32, mss: u32) -> bool {
        let (flight, cwnd) = (self.in_flight(), self.congestion.cwnd());
        let room = cwnd.saturating_sub(flight);
        if *len <= room {
            return true;
        }
        self.facts.cwnd_limited = true;
        // A whole segment, or nothing: pieces of segments would only cost headers.
        if room >= mss {
            *len = (*len).min(room - room % mss);
            return true;
        }
        flight == 0
    }

    /// Whether a segment that isn't full waits: for the window (RFC 9293, 3.8.6.2.1), for a cork, or for the
    /// acknowledgment of another (3.7.4).
    fn is_held(&mut self, len: u32, unsent: u32, context: &Context<'_>) -> bool {
        if len < unsent {
            // The window is what limits it. It goes if that is half of the largest, or nothing is under way and the
            // persist timer has run out.
            let half = self.max_window / 2;
            return len < half.max(1) && !self.facts.push;
        }
        self.holds_back(len, false, context)
    }

    /// Nagle's algorithm and the cork, for the last `len` octets of what is queued; `behind` others that go out now.
    fn holds_back(&mut self, len: u32, behind: bool, context: &Context<'_>) -> bool {
        if self.facts.push || self.facts.fin_queued || len == 0 {
            return false;
        }
        if self.options.cork && !on(Mutation::NoCork) {
            if !self.cork_at.is_set() {
                self.cork_at = context.env.now + super::CORK;
            }
            return true;
        }
        if self.options.nodelay || on(Mutation::NoNagle) {
            return false;
        }
        match context.env.config.profile {
            // Minshall's form: it waits for other small segments only, so that one at the end of many full ones goes.
            Profile::Linux => {
                // Of a small segment sent 2^31 octets ago the number would be ahead again.
                let under_way = self.small_sent.after(self.snd_una) && self.small_sent.at_or_before(self.snd_nxt);
                under_way && !self.records.is_empty()
            }
            Profile::Strict => behind || !self.records.is_empty(),
        }
    }

    /// After an idle time the old congestion window says nothing of the path any more (RFC 5681, 4.1).
    fn restart_after_idle(&mut self, context: &Context<'_>) {
        let idle = self.records.is_empty() && context.env.now.since(self.last_sent) > self.rtt.rto();
        if idle && !on(Mutation::IdleWindowKept) {
            let initial = self.initial_window(&context.env.config);
            self.congestion.on_idle_restart(initial);
        }
    }

    /// Whether each side speaks when the other has: then an acknowledgment can travel with the answer.
    fn note_interactive(&mut self, now: Instant, delay: core::time::Duration) {
        if self.totals.data_segs_in > 0 && now.since(self.last_received) < delay {
            self.facts.interactive = true;
        }
    }

    /// A window that is closed while nothing is under way would never be heard of again if its opening got lost: the
    /// persist timer asks (RFC 9293, 3.8.6.1).
    fn watch_window(&mut self, context: &mut Context<'_>) {
        let waits = self.unsent() > 0 || self.facts.fin_queued && !self.facts.fin_sent;
        let now = context.env.now;
        if waits && self.records.is_empty() && !self.cork_at.is_set() {
            if self.resend != Resend::Persist || !self.resend_at.is_set() {
                self.resend = Resend::Persist;
                if !self.stalled_since.is_set() {
                    self.stalled_since = now;
                }
                self.resend_at = now + self.resend_timeout(now);
            }
        } else if self.resend == Resend::Persist && !waits {
            self.resend = Resend::Retransmit;
            self.resend_at = Instant::NEVER;
        }
    }

    /// A probe of a closed window or of the peer's life: an old sequence number, which has to be acknowledged.
    fn send_probe(&mut self, context: &mut Context<'_>) {
        self.send_empty(self.snd_una - 1, context);
    }

    /// The number of a segment without data: SND.NXT. A peer that has taken its window back would refuse that and never see the
    /// acknowledgment (RFC 9293, 3.8.6 MUST-34), so it gets the edge of its window; of a scaled window the edge isn't known
    /// more exactly than the scale.
    fn acceptable_seq(&self) -> Seq {
        let edge = self.snd_una + self.snd_wnd;
        let beyond = self.snd_nxt.after(edge) && self.snd_nxt.since(edge) >= 1 << self.snd_scale;
        if beyond { edge } else { self.snd_nxt }
    }

    /// An acknowledgment.
    fn send_empty(&mut self, seq: Seq, context: &mut Context<'_>) {
        let options = self.options_out(context.env.now);
        let window = self.announce(context);
        self.put(&Outgoing { seq, flags: Flags::ACK, len: 0, segment: 1, options, window }, context);
    }

    /// RST, for a connection that is given up (RFC 9293, 3.5.3).
    pub(crate) fn send_reset(&mut self, context: &mut Context<'_>) {
        if !self.refresh_route(context) {
            return;
        }
        let options = TcpOptions { timestamps: self.timestamps(context.env.now), ..TcpOptions::default() };
        context.env.counters.tcp_out_rsts += 1;
        let flags = Flags::RST | Flags::ACK;
        self.put(&Outgoing { seq: self.acceptable_seq(), flags, len: 0, segment: 1, options, window: 0 }, context);
    }

    /// Options of a segment that does go out: SACK blocks too, if there is something beyond a gap. A duplicate is told of with
    /// this, and not again.
    fn options_out(&mut self, now: Instant) -> TcpOptions {
        let mut options = TcpOptions { timestamps: self.timestamps(now), ..TcpOptions::default() };
        let most = self.most_blocks();
        if let Some(beyond) = &mut self.beyond {
            for &(left, right) in beyond.sack.blocks(most).iter() {
                options.sack.push(left.0, right.0);
            }
        }
        options
    }

    /// 40 octets of options, of which the timestamps take 12: three blocks, else four (RFC 2018, 3). Fewer where segments are so
    /// short that no data would fit beside them.
    fn most_blocks(&self) -> usize {
        let fit = usize::from(self.mss.saturating_sub(5)) / 8;
        fit.min(if self.facts.timestamps { 3 } else { 4 })
    }

    /// What the next segment may carry beside its SACK blocks; timestamps are counted off the MSS already.
    fn room(&self) -> u32 {
        self.room_beside(self.beyond.as_ref().map_or(0, |beyond| beyond.sack.len().min(self.most_blocks())))
    }

    /// What a segment may carry beside so many SACK blocks.
    fn room_beside(&self, blocks: usize) -> u32 {
        let sack = if blocks > 0 { 4 + 8 * blocks as u32 } else { 0 };
        u32::from(self.mss).saturating_sub(sack).max(1)
    }

    /// The window for the next header. Its right edge never goes back, and it advances only by what is worth while, so that
    /// no silly window is offered (RFC 9293, 3.8.6.2.2).
    fn announce(&mut self, context: &mut Context<'_>) -> u16 {
        let buffer = self.options.receive_buffer;
        let unread = if on(Mutation::UnreadDataNotCounted) { 0 } else { self.received.len() };
        let mut free = buffer.saturating_sub(unread);
        if context.env.memory.is_pressed() {
            // Nothing more is promised than has been.
            free = free.min(self.rcv_wnd());
        }
        let edge = self.rcv_nxt + free;
        let step = u32::from(self.rcv_mss).min(buffer / 2);
        let was_closed = self.rcv_wnd() >> self.rcv_scale == 0;
        if edge.after(self.rcv_edge) && (edge.since(self.rcv_edge) >= step || on(Mutation::SillyWindows)) {
            self.rcv_edge = edge;
        }
        let window = self.rcv_wnd() >> self.rcv_scale;
        match (was_closed, window == 0) {
            (false, true) => context.env.counters.to_zero_window += 1,
            (true, false) => context.env.counters.from_zero_window += 1,
            _ => {}
        }
        window.min(0xffff) as u16
    }

    /// Whether what has been read since the last announcement is worth a segment: as much as the window that the peer
    /// knows of, or all of it if that is closed.
    pub(crate) fn wants_window_update(&self) -> bool {
        let free = self.options.receive_buffer.saturating_sub(self.received.len());
        let known = self.rcv_wnd();
        let step = u32::from(self.rcv_mss).min(self.options.receive_buffer / 2);
        free >= known.saturating_mul(2).max(known + step)
    }

    fn arm_resend(&mut self, now: Instant) {
        if !self.resend_at.is_set() || self.resend == Resend::Persist {
            self.resend = Resend::Retransmit;
            self.resend_at = now + self.resend_timeout(now);
        }
    }

    /// Everything received so far has been acknowledged, by so many segments.
    pub(super) fn acknowledged_now(&mut self, segments: u32, context: &mut Context<'_>) {
        self.last_ack = self.rcv_nxt;
        self.facts.ack_now = false;
        self.duplicates_owed = 0;
        self.ack_at = Instant::NEVER;
        self.quick_acks = self.quick_acks.saturating_sub(segments.min(255) as u8);
        if self.beyond.as_ref().is_some_and(|beyond| beyond.is_empty()) {
            self.beyond = None;
            self.charge(context.env);
        }
    }
}

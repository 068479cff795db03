//! Connections that peers open: SYN, SYN-ACK, ACK, with a record as small as can be in between, or with a cookie and no
//! record at all (RFC 9293, 3.10.7.2; RFC 4987).

use alloc::boxed::Box;

use ostia_wire::{Flags, TcpOptions, Timestamps};

use super::connection::{Connection, Context, first_window, offered_scale, path_mss};
use super::cookie::{self, CookieOptions};
use super::half_open::{HalfOpen, Offer};
use super::listener::{Incoming, Verdict};
use super::records;
use super::reply::{self, Reply};
use super::segment::Segment;
use super::seq::Seq;
use super::state::State;
use super::syn_sent::offer_of;
use super::table::Entry;
use super::{CONNECTION_SIZE, RECORD_SIZE, Tcp, isn};
use crate::config::Profile;
use crate::drops::Reason;
use crate::env::Env;
use crate::event::Kind;
use crate::handle::{Handle, Socket};
use crate::ip::Ip;
use crate::mutation::{Mutation, on};
use crate::slab::Key;
use crate::time::Instant;
use crate::trace::Cause;

/// How long after the last cookie an ACK may still be one.
const COOKIE_LIFE: core::time::Duration = core::time::Duration::from_secs(120);

/// A TIME-WAIT that a SYN ends.
#[derive(Clone, Copy)]
pub(super) struct Reopened {
    /// Its record.
    pub(super) time_wait: u32,
    /// A sequence number beyond all of the old connection's.
    pub(super) iss: Seq,
}

impl Tcp {
    /// A segment for which there is no connection: it may open one.
    pub(super) fn at_listener(&mut self, segment: Segment, hop_limit: u8, ip: &mut Ip, env: &mut Env) -> Result<(), Reason> {
        if segment.has(Flags::RST) && !on(Mutation::ResetsAnswered) {
            return Err(Reason::TcpReset);
        }
        let Some(listener) = self.places.find(segment.tuple.local, segment.tuple.local_port) else {
            return self.refuse(&segment, ip, env);
        };
        if segment.has(Flags::ACK) {
            return self.arrive_cookie(listener, segment, ip, env);
        }
        if !segment.has(Flags::SYN) {
            return Err(Reason::TcpFlags);
        }
        self.arrive_syn(listener, segment, hop_limit, None, ip, env)
    }

    /// SYN. What it carries beside options is not looked at: its sender keeps it until the handshake is done. If it opens anew
    /// what is in TIME-WAIT, that ends once there is an answer, and not before: a SYN that is refused leaves everything as it
    /// was.
    pub(super) fn arrive_syn(
        &mut self,
        key: Key,
        mut segment: Segment,
        hop_limit: u8,
        reopened: Option<Reopened>,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<(), Reason> {
        if segment.has(Flags::FIN) && !on(Mutation::SynFinOpens) {
            return Err(Reason::TcpFlags);
        }
        let tuple = segment.tuple;
        let Some(listener) = self.listeners.get_mut(key) else { return Err(Reason::NoSocket) };
        if let Some(hook) = &mut listener.hook {
            let incoming =
                Incoming { local: (tuple.local, tuple.local_port), remote: (tuple.remote, tuple.remote_port), hop_limit };
            match hook(&incoming) {
                Verdict::Accept => {}
                Verdict::Drop => return Err(Reason::Refused),
                Verdict::Refuse => {
                    reply::reset_for(&segment, &mut Context { env, ip, challenges: &mut self.challenges });
                    return Err(Reason::Refused);
                }
            }
        }
        let meaning = env.config.backlog;
        if listener.accept_queue_is_full(meaning) && !on(Mutation::NoAcceptBound) {
            env.counters.listen_overflows += 1;
            env.counters.listen_drops += 1;
            return Err(Reason::AcceptQueue);
        }
        // The answer goes out in it.
        env.pool.recycle(core::mem::take(&mut segment.frame));
        let offer = offer_of(&segment, env);
        let options = listener.options;
        let full = listener.syn_queue_is_full(meaning, env.config.syn_queue);
        if full || !env.memory.take(RECORD_SIZE) {
            if !env.config.syn_cookies {
                env.counters.listen_drops += 1;
                return Err(if full { Reason::SynQueue } else { Reason::Memory });
            }
            // A cookie that comes back must find nothing in its way.
            self.recycle(reopened, env);
            return self.send_cookie(&segment, &offer, options.receive_buffer, ip, env);
        }
        let iss = reopened.map_or_else(|| isn::isn(&self.number_key, &tuple.bytes(), env.now), |reopened| reopened.iss);
        let shift = offered_scale(&env.config, options.receive_buffer);
        let windows = (segment.window, first_window(options.receive_buffer));
        let record = HalfOpen::new(tuple, key, (iss, segment.seq), windows, &offer, shift);
        let Some(place) = self.half_opens.insert(record) else {
            env.memory.give(RECORD_SIZE);
            return Err(Reason::SynQueue);
        };
        listener.half_opens += 1;
        listener.young += 1;
        self.recycle(reopened, env);
        let entry = Entry::HalfOpen(place.index);
        let timer = self.wheel.insert(entry.token(), env.now + env.config.initial_rto);
        if let Some(record) = self.half_opens.at_mut(place.index) {
            record.timer = timer;
        }
        self.enter(&tuple, entry);
        tuple.trace_state(State::Listen, State::SynReceived, env);
        self.send_syn_ack(place.index, ip, env);
        Ok(())
    }

    /// A new connection takes the place of what was in TIME-WAIT.
    fn recycle(&mut self, reopened: Option<Reopened>, env: &mut Env) {
        if let Some(Reopened { time_wait, .. }) = reopened {
            env.counters.tw_recycled += 1;
            self.end_time_wait(time_wait, env);
        }
    }

    /// SYN-ACK for a record.
    fn send_syn_ack(&mut self, index: u32, ip: &mut Ip, env: &mut Env) {
        let Some(half) = self.half_opens.at(index) else { return };
        let Some(listener) = self.listeners.get(half.listener) else { return };
        let offset = isn::timestamp_offset(&self.number_key, &half.tuple.bytes());
        let timestamp = (env.now.millis() as u32).wrapping_add(offset);
        let (half, options) = (*half, listener.options);
        let mut context = Context { env, ip, challenges: &mut self.challenges };
        syn_ack(&half, timestamp, &options, &mut context);
    }

    /// The time for the ACK is over: SYN-ACK again, or the end.
    pub(super) fn half_open_expired(&mut self, index: u32, ip: &mut Ip, env: &mut Env) {
        let Some(half) = self.half_opens.at_mut(index) else { return };
        env.cause = Cause::Timer;
        let config = &env.config;
        let retries = self.listeners.get_mut(half.listener).map_or(0, |listener| {
            let usual = config.syn_ack_retries;
            let most = match config.profile {
                Profile::Linux if !on(Mutation::OldHalfOpensStay) => {
                    listener.syn_ack_retries(config.backlog, config.syn_queue, usual)
                }
                _ => usual,
            };
            listener.young -= usize::from(half.retries == 0 && most > 0);
            most
        });
        if half.retries >= retries {
            return self.drop_half_open(index, State::Closed, env);
        }
        half.retries += 1;
        half.note_resent();
        let (timer, retries) = (half.timer, half.retries);
        env.counters.syn_retrans += 1;
        env.counters.tcp_retrans_segs += 1;
        let rto = env.config.initial_rto.saturating_mul(1 << retries.min(16)).min(env.config.max_rto);
        self.wheel.set(timer, env.now + rto);
        if !on(Mutation::SynAckOnce) {
            self.send_syn_ack(index, ip, env);
        }
    }

    /// Forgets a half-open connection, for which its listener goes on to wait, or which is over.
    pub(super) fn drop_half_open(&mut self, index: u32, to: State, env: &mut Env) {
        let Some(half) = self.half_opens.remove_at(index) else { return };
        half.tuple.trace_state(State::SynReceived, to, env);
        self.forget(&half.tuple, Entry::HalfOpen(index));
        self.wheel.remove(half.timer);
        env.memory.give(RECORD_SIZE);
        env.counters.tcp_attempt_fails += 1;
        if let Some(listener) = self.listeners.get_mut(half.listener) {
            listener.forget_half_open(half.retries);
        }
    }

    /// A segment for a half-open connection (RFC 9293, 3.10.7.4 for SYN-RECEIVED).
    pub(super) fn at_half_open(&mut self, index: u32, segment: Segment, ip: &mut Ip, env: &mut Env) -> Result<(), Reason> {
        let Some(half) = self.half_opens.at_mut(index) else { return Err(Reason::NoSocket) };
        let offer = half.offer();
        let next = half.irs + 1;
        // The SYN again: our SYN-ACK was lost, or is late.
        if segment.has(Flags::SYN) && !segment.has(Flags::ACK) && !segment.has(Flags::RST) && segment.seq == half.irs {
            if let Some(timestamps) = segment.options.timestamps {
                half.note_timestamp(timestamps.value);
            }
            // A source that is forged must not have a SYN-ACK for each SYN.
            if !half.invalid_acks.allow(env.now, env.config.invalid_ack_interval) && !on(Mutation::EverySynAnswered) {
                return Err(Reason::RateLimit);
            }
            half.note_resent();
            self.send_syn_ack(index, ip, env);
            return Err(Reason::TcpDuplicate);
        }
        let old = matches!((offer.timestamp, segment.options.timestamps),
            (Some(recent), Some(timestamps)) if Seq(timestamps.value).before(Seq(recent)));
        let strict = env.config.profile == Profile::Strict;
        if strict && offer.timestamp.is_some() && segment.options.timestamps.is_none() && !segment.has(Flags::RST) {
            // As on an open connection (RFC 7323, 3.2).
            return Err(Reason::TcpPaws);
        }
        if old && !segment.has(Flags::RST) && !on(Mutation::NoPaws) {
            self.acknowledge_half_open(index, &segment, ip, env);
            return Err(Reason::TcpPaws);
        }
        let Some(half) = self.half_opens.at(index) else { return Err(Reason::NoSocket) };
        let window = u32::from(half.announced);
        if !segment.seq.in_window(next, window.max(1)) {
            if !segment.has(Flags::RST) {
                self.acknowledge_half_open(index, &segment, ip, env);
            }
            return Err(Reason::TcpWindow);
        }
        if segment.has(Flags::RST) {
            // RFC 5961, 3.2, as on an open connection. The listener never hears of it.
            if segment.seq != next {
                self.acknowledge_half_open(index, &segment, ip, env);
                return Err(Reason::TcpReset);
            }
            env.counters.embryonic_rsts += 1;
            self.drop_half_open(index, State::Listen, env);
            return Ok(());
        }
        if segment.has(Flags::SYN) {
            self.acknowledge_half_open(index, &segment, ip, env);
            return Err(Reason::TcpSyn);
        }
        if !segment.has(Flags::ACK) {
            return Err(Reason::TcpNoAck);
        }
        if segment.ack != half.iss + 1 && !on(Mutation::AnyAckOpens) {
            reply::reset_for(&segment, &mut Context { env, ip, challenges: &mut self.challenges });
            return Err(Reason::TcpUnsentAck);
        }
        self.complete(index, segment, ip, env)
    }

    /// A challenge ACK for a half-open connection. What has no data may be one itself, or a SYN that somebody forges: two ends
    /// that disagree would answer each other without end.
    fn acknowledge_half_open(&mut self, index: u32, segment: &Segment, ip: &mut Ip, env: &mut Env) {
        let Some(half) = self.half_opens.at_mut(index) else { return };
        let has_data = segment.len() > 0 && !segment.has(Flags::SYN);
        if !has_data && !half.invalid_acks.allow(env.now, env.config.invalid_ack_interval) {
            return;
        }
        let Some(half) = self.half_opens.at(index) else { return };
        if !self.challenges.allow(env.now, env.random.u32()) {
            return;
        }
        env.counters.challenge_acks += 1;
        let timestamps = half.offer().timestamp.map(|recent| Timestamps {
            value: (env.now.millis() as u32).wrapping_add(isn::timestamp_offset(&self.number_key, &half.tuple.bytes())),
            echo: recent,
        });
        let shift = half.offer().scale.map_or(0, |_| half.shift);
        let reply = Reply {
            tuple: half.tuple,
            seq: half.iss + 1,
            ack: half.irs + 1,
            flags: Flags::ACK,
            window: half.announced >> shift,
            options: TcpOptions { timestamps, ..TcpOptions::default() },
            hop_limit: env.config.hop_limit,
            traffic_class: 0,
        };
        reply.send(&mut Context { env, ip, challenges: &mut self.challenges });
    }

    /// The ACK has come: a half-open connection becomes a whole one, and waits to be accepted.
    fn complete(&mut self, index: u32, segment: Segment, ip: &mut Ip, env: &mut Env) -> Result<(), Reason> {
        let Some(&half) = self.half_opens.at(index) else { return Err(Reason::NoSocket) };
        let sent = half.was_sent_once().then(|| self.wheel.at(half.timer) - env.config.initial_rto);
        // With no room the ACK counts as lost: the peer sends again, and meanwhile somebody may accept.
        self.room_to_accept(half.listener, true, env)?;
        let key = self.open(&half, sent, ip, env)?;
        self.replace(&half.tuple, Entry::HalfOpen(index), Entry::Connection(key.index));
        self.wheel.remove(half.timer);
        self.half_opens.remove_at(index);
        env.memory.give(RECORD_SIZE);
        if let Some(listener) = self.listeners.get_mut(half.listener) {
            listener.forget_half_open(half.retries);
        }
        self.deliver(key, half.listener, segment, ip, env)
    }

    /// Whether a listener can take another complete connection. One that was half-open counts in [`Backlog::Sum`] already.
    ///
    /// [`Backlog::Sum`]: crate::Backlog::Sum
    fn room_to_accept(&mut self, listener: Key, counted: bool, env: &mut Env) -> Result<(), Reason> {
        let Some(listener) = self.listeners.get(listener) else { return Err(Reason::NoSocket) };
        let meaning = env.config.backlog;
        let counted = counted && meaning == crate::Backlog::Sum;
        if !counted && listener.accept_queue_is_full(meaning) && !on(Mutation::NoAcceptBound) {
            env.counters.listen_overflows += 1;
            return Err(Reason::AcceptQueue);
        }
        Ok(())
    }

    /// Makes a connection of a record.
    fn open(&mut self, half: &HalfOpen, sent: Option<Instant>, ip: &mut Ip, env: &mut Env) -> Result<Key, Reason> {
        let Some(listener) = self.listeners.get(half.listener) else { return Err(Reason::NoSocket) };
        let options = listener.options;
        if !env.memory.take(CONNECTION_SIZE) {
            return Err(Reason::Memory);
        }
        let offset = isn::timestamp_offset(&self.number_key, &half.tuple.bytes());
        let now = env.now;
        let mut context = Context { env, ip, challenges: &mut self.challenges };
        let mut connection = Connection::passive(half, offset, options, &mut context);
        connection.records.push(half.iss, 1, connection.mss, records::SYN, sent.unwrap_or(now));
        if sent.is_none() {
            // When the SYN-ACK went out that is being acknowledged isn't known (Karn's algorithm).
            connection.records.retransmitted(half.iss, 1, now);
            connection.rtt.after_lost_syn();
        }
        // Should the connection not take the ACK that has brought it here, the SYN-ACK goes out again.
        connection.resend_at = now + connection.resend_timeout(now);
        let Some(key) = self.connections.insert(Box::new(connection)) else {
            env.memory.give(CONNECTION_SIZE);
            return Err(Reason::Memory);
        };
        let timer = self.wheel.insert(Entry::Connection(key.index).token(), Instant::NEVER);
        if let Some(connection) = self.connections.at_mut(key.index) {
            (connection.key, connection.timer) = (key, timer);
        }
        Ok(key)
    }

    /// Gives a new connection the segment that completed it, and its listener the connection.
    fn deliver(&mut self, key: Key, listener: Key, segment: Segment, ip: &mut Ip, env: &mut Env) -> Result<(), Reason> {
        env.counters.tcp_passive_opens += 1;
        if let Some(place) = self.listeners.get_mut(listener) {
            place.complete.push_back(key);
            if !place.told {
                place.told = true;
                env.events.push(Handle::new(Socket::Listener, listener), Kind::Acceptable);
            }
        }
        self.at_connection(key.index, segment, ip, env)
    }

    /// SYN-ACK with a cookie for its sequence number: nothing is kept.
    fn send_cookie(
        &mut self,
        segment: &Segment,
        offer: &Offer,
        receive_buffer: u32,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<(), Reason> {
        let tuple = segment.tuple;
        let iss = self.cookies.make(&tuple.bytes(), segment.seq, offer.mss, env.now);
        env.counters.syncookies_sent += 1;
        self.cookie_sent = env.now;
        let Some(listener) = self.places.find(tuple.local, tuple.local_port) else { return Err(Reason::NoSocket) };
        let Some(mut options) = self.listeners.get(listener).map(|listener| listener.options) else {
            return Err(Reason::NoSocket);
        };
        options.receive_buffer = receive_buffer;
        let mut offer = *offer;
        let offset = isn::timestamp_offset(&self.number_key, &tuple.bytes());
        let mut timestamp = (env.now.millis() as u32).wrapping_add(offset);
        if offer.timestamp.is_some() {
            // Scale and SACK come back in the echo.
            let options = CookieOptions { window_scale: offer.scale, sack: offer.sack, ecn: false };
            timestamp = cookie::encode_options(timestamp, options);
        } else {
            (offer.scale, offer.sack) = (None, false);
        }
        let shift = offered_scale(&env.config, receive_buffer);
        let windows = (segment.window, first_window(receive_buffer));
        let half = HalfOpen::new(tuple, listener, (iss, segment.seq), windows, &offer, shift);
        syn_ack(&half, timestamp, &options, &mut Context { env, ip, challenges: &mut self.challenges });
        Ok(())
    }

    /// An ACK for which there is nothing: it may bring a cookie back.
    fn arrive_cookie(&mut self, listener: Key, segment: Segment, ip: &mut Ip, env: &mut Env) -> Result<(), Reason> {
        let recent = self.cookie_sent.is_set() && env.now.since(self.cookie_sent) < COOKIE_LIFE;
        if !recent || segment.has(Flags::SYN) {
            return self.refuse(&segment, ip, env);
        }
        let (iss, irs) = (segment.ack - 1, segment.seq - 1);
        let checked = self.cookies.check(&segment.tuple.bytes(), irs, iss, env.now);
        let Some(mss) = checked.or(on(Mutation::AnyCookieCounts).then_some(super::DEFAULT_MSS)) else {
            env.counters.syncookies_failed += 1;
            reply::reset_for(&segment, &mut Context { env, ip, challenges: &mut self.challenges });
            return Err(Reason::CookieInvalid);
        };
        env.counters.syncookies_recv += 1;
        self.room_to_accept(listener, false, env)?;
        let timestamps = segment.options.timestamps;
        let options = timestamps.map(|timestamps| cookie::decode_options(timestamps.echo)).unwrap_or_default();
        let options = if on(Mutation::CookieOptionsForgotten) { CookieOptions::default() } else { options };
        let timestamp = timestamps.map(|timestamps| timestamps.value);
        let offer = Offer { mss, scale: options.window_scale, sack: options.sack, timestamp };
        let Some(receive_buffer) = self.listeners.get(listener).map(|listener| listener.options.receive_buffer) else {
            return Err(Reason::NoSocket);
        };
        // As the cookie's SYN-ACK had them, unless the listener has another buffer since: a cookie has no room for them.
        let shift = offered_scale(&env.config, receive_buffer);
        let windows = (segment.window, first_window(receive_buffer));
        let half = HalfOpen::new(segment.tuple, listener, (iss, irs), windows, &offer, shift);
        let key = self.open(&half, None, ip, env)?;
        // Nothing was kept of the SYN: both states are passed now.
        half.tuple.trace_state(State::Listen, State::SynReceived, env);
        self.enter(&segment.tuple, Entry::Connection(key.index));
        self.deliver(key, listener, segment, ip, env)
    }

    /// New keys for cookies; those sent before are still taken for a while.
    pub(crate) fn rotate_cookie_keys(&mut self, env: &mut Env) {
        self.cookies.rotate(&mut env.random);
    }
}

/// SYN-ACK.
fn syn_ack(half: &HalfOpen, timestamp: u32, options: &super::Options, context: &mut Context<'_>) {
    let offer = half.offer();
    let tuple = half.tuple;
    let Ok(route) = context.ip.route(tuple.remote, Some(tuple.local), tuple.zone) else {
        return context.env.drop(Reason::NoRoute);
    };
    let options_out = TcpOptions {
        mss: Some(path_mss(route.mtu, tuple.remote.is_v4()).min(options.max_segment)),
        window_scale: offer.scale.map(|_| half.shift),
        sack_permitted: offer.sack,
        timestamps: offer.timestamp.map(|recent| Timestamps { value: timestamp, echo: recent }),
        ..TcpOptions::default()
    };
    let reply = Reply {
        tuple,
        seq: half.iss,
        ack: half.irs + 1,
        flags: Flags::SYN | Flags::ACK,
        window: half.announced,
        options: options_out,
        hop_limit: options.hop_limit,
        traffic_class: options.traffic_class,
    };
    reply.send_along(&route, context);
}

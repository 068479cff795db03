//! Which connection, half-open connection, TIME-WAIT or listener a segment is for; and how records end.

use ostia_wire::{Flags, TcpOptions};

use super::connection::Context;
use super::handshake::Reopened;
use super::limiter::ShortSpacing;
use super::reply::{self, Reply};
use super::segment::Segment;
use super::state::State;
use super::table::Entry;
use super::time_wait::{Answer, TimeWait};
use super::{CONNECTION_SIZE, RECORD_SIZE, Tcp, isn};
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::{Icmp, Ip, Packet, Quoted};
use crate::mutation::{Mutation, on};
use crate::time::Instant;
use crate::trace::{Cause, Direction, Layer};

impl Tcp {
    /// A packet with a segment has arrived.
    pub(crate) fn input(&mut self, mut packet: Packet, ip: &mut Ip, env: &mut Env) {
        env.counters.tcp_in_segs += 1;
        env.passes(Layer::Transport, Direction::Up, Some(packet.link), packet.frame.as_slice());
        let segment = match Segment::parse(&mut packet, env.now) {
            Ok(segment) => segment,
            Err(reason) => {
                match reason {
                    Reason::TcpSignature => env.counters.md5_unexpected += 1,
                    _ => env.counters.tcp_in_errs += 1,
                }
                return env.drop(reason);
            }
        };
        env.cause = Cause::Segment(segment.flags);
        let result = match self.find(&segment.tuple) {
            Some(Entry::Connection(index)) => self.at_connection(index, segment, ip, env),
            Some(Entry::HalfOpen(index)) => self.at_half_open(index, segment, ip, env),
            Some(Entry::TimeWait(index)) => self.at_time_wait(index, segment, packet.hop_limit, ip, env),
            None => self.at_listener(segment, packet.hop_limit, ip, env),
        };
        if let Err(reason) = result {
            env.drop(reason);
        }
    }

    pub(super) fn at_connection(&mut self, index: u32, segment: Segment, ip: &mut Ip, env: &mut Env) -> Result<(), Reason> {
        self.feed(index, &segment, ip, env);
        let Some(connection) = self.connections.at_mut(index) else { return Err(Reason::NoSocket) };
        let result = connection.arrive(segment, &mut Context { env, ip, challenges: &mut self.challenges });
        self.settle(index, env);
        result
    }

    fn at_time_wait(&mut self, index: u32, segment: Segment, hop_limit: u8, ip: &mut Ip, env: &mut Env) -> Result<(), Reason> {
        let Some(record) = self.time_waits.at_mut(index) else { return Err(Reason::NoSocket) };
        match record.answer(&segment, env.config.rfc1337 && !on(Mutation::Rfc1337Forgotten), env.now) {
            Answer::Drop => return Err(Reason::TcpWindow),
            Answer::Acknowledge => {
                // Two ends that disagree would answer each other without end.
                let answers = segment.sequence_len() > 0 || record.invalid_acks.allow(env.now, env.config.invalid_ack_interval);
                if !answers {
                    return Err(Reason::TcpWindow);
                }
                let record = *record;
                self.acknowledge_again(&record, ip, env);
            }
            Answer::Restart => {
                let record = *record;
                if !on(Mutation::TimeWaitNotRestarted) {
                    self.wheel.set(record.timer, env.now + env.config.time_wait);
                }
                self.acknowledge_again(&record, ip, env);
            }
            Answer::End => self.end_time_wait(index, env),
            Answer::Reopen(iss) => {
                let Some(listener) = self.places.find(segment.tuple.local, segment.tuple.local_port) else {
                    return Err(Reason::NoSocket);
                };
                return self.arrive_syn(listener, segment, hop_limit, Some(Reopened { time_wait: index, iss }), ip, env);
            }
        }
        Ok(())
    }

    /// The last acknowledgment of a connection in TIME-WAIT again.
    fn acknowledge_again(&mut self, record: &TimeWait, ip: &mut Ip, env: &mut Env) {
        let timestamps = record.timestamp.map(|(recent, _)| ostia_wire::Timestamps {
            value: (env.now.millis() as u32).wrapping_add(isn::timestamp_offset(&self.number_key, &record.tuple.bytes())),
            echo: recent,
        });
        let reply = Reply {
            tuple: record.tuple,
            seq: record.snd_nxt,
            ack: record.rcv_nxt,
            flags: Flags::ACK,
            window: record.window,
            options: TcpOptions { timestamps, ..TcpOptions::default() },
            hop_limit: env.config.hop_limit,
            traffic_class: 0,
        };
        let mut context = Context { env, ip, challenges: &mut self.challenges };
        if context.may_challenge() {
            reply.send(&mut context);
        }
    }

    pub(super) fn end_time_wait(&mut self, index: u32, env: &mut Env) {
        let Some(record) = self.time_waits.remove_at(index) else { return };
        record.tuple.trace_state(State::TimeWait, State::Closed, env);
        self.forget(&record.tuple, Entry::TimeWait(index));
        self.wheel.remove(record.timer);
        env.memory.give(RECORD_SIZE);
    }

    /// A connection in TIME-WAIT without a program becomes a small record.
    pub(super) fn shrink(&mut self, index: u32, env: &mut Env) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        let record = TimeWait {
            tuple: connection.tuple,
            timer: connection.timer,
            snd_nxt: connection.snd_nxt,
            rcv_nxt: connection.rcv_nxt,
            timestamp: connection.facts.timestamps.then(|| (connection.ts_recent, connection.ts_recent_at.secs() as u32)),
            window: (connection.rcv_wnd() >> connection.rcv_scale).min(0xffff) as u16,
            invalid_acks: ShortSpacing::default(),
        };
        let end = connection.end_at;
        if !env.memory.take(RECORD_SIZE) {
            connection.facts.dead = true;
            record.tuple.trace_state(State::TimeWait, State::Closed, env);
            return self.bury(index, env);
        }
        let Some(key) = self.time_waits.insert(record) else {
            // There is a bound, and this connection is over in any case.
            env.memory.give(RECORD_SIZE);
            connection.facts.dead = true;
            record.tuple.trace_state(State::TimeWait, State::Closed, env);
            return self.bury(index, env);
        };
        self.replace(&record.tuple, Entry::Connection(index), Entry::TimeWait(key.index));
        let timer = self.wheel.insert(Entry::TimeWait(key.index).token(), end);
        if let Some(kept) = self.time_waits.at_mut(key.index) {
            kept.timer = timer;
        }
        self.wheel.remove(record.timer);
        self.release(index, env);
    }

    /// A connection is over: it leaves the table, and goes away unless its program has still to be told why.
    pub(super) fn bury(&mut self, index: u32, env: &mut Env) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        let (tuple, timer, key) = (connection.tuple, connection.timer, connection.key);
        self.wheel.set(timer, Instant::NEVER);
        self.forget(&tuple, Entry::Connection(index));
        let Some(connection) = self.connections.at_mut(index) else { return };
        if connection.facts.owned {
            return;
        }
        if let Some(listener) = connection.listener.take()
            && let Some(listener) = self.listeners.get_mut(listener)
        {
            listener.complete.retain(|&other| other != key);
        }
        self.wheel.remove(timer);
        self.release(index, env);
    }

    /// Drops a connection's record.
    fn release(&mut self, index: u32, env: &mut Env) {
        let Some(mut connection) = self.connections.remove_at(index) else { return };
        if connection.facts.closed {
            self.orphans -= 1;
        }
        connection.received.clear(&mut env.memory);
        (connection.queue, connection.records, connection.beyond) = (Default::default(), Default::default(), None);
        connection.charge(env);
        env.memory.give(CONNECTION_SIZE);
    }

    /// An ICMP error quotes a segment. It is believed only if that is under way (RFC 5927, 4): anybody can send one.
    pub(crate) fn error(&mut self, quoted: &Quoted, ip: &mut Ip, env: &mut Env) {
        let tuple = super::Tuple {
            local: quoted.local,
            remote: quoted.remote,
            local_port: quoted.local_port,
            remote_port: quoted.remote_port,
            zone: if quoted.remote.is_link_local_v6() { quoted.link.0.saturating_add(1) } else { 0 },
        };
        env.cause = Cause::Icmp;
        if quoted.what == Icmp::SourceQuench {
            // RFC 9293, 3.9.2.2 MUST-55; RFC 6633.
            return env.drop(Reason::IcmpUnbelieved);
        }
        match self.find(&tuple) {
            Some(Entry::Connection(index)) => self.error_of_connection(index, quoted, ip, env),
            Some(Entry::HalfOpen(index)) => {
                let live = self.half_opens.at(index).is_some_and(|half| quoted.sequence == Some(half.iss.0));
                match (live, quoted.what) {
                    (false, _) => env.drop(Reason::IcmpUnbelieved),
                    (true, Icmp::PacketTooBig(mtu)) => ip.learn_path_mtu(quoted.remote, mtu, env),
                    (true, what) if what.is_hard() => self.drop_half_open(index, State::Closed, env),
                    _ => {}
                }
            }
            _ => env.drop(Reason::IcmpUnmatched),
        }
    }

    fn error_of_connection(&mut self, index: u32, quoted: &Quoted, ip: &mut Ip, env: &mut Env) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        let live = quoted.sequence.is_some_and(|seq| {
            let seq = super::seq::Seq(seq);
            seq.at_or_after(connection.snd_una) && seq.before(connection.snd_nxt)
        });
        if !live && !on(Mutation::AnyPathMtuBelieved) {
            return env.drop(Reason::IcmpUnbelieved);
        }
        let mut context = Context { env, ip, challenges: &mut self.challenges };
        match quoted.what {
            Icmp::PacketTooBig(mtu) => connection.path_shrank(quoted.remote, mtu, &mut context),
            what if connection.state == State::SynSent && what.is_hard() => {
                context.env.counters.tcp_attempt_fails += 1;
                connection.die(Some(what.error()), &mut context);
            }
            // On an open connection even a hard error may pass, or be forged (RFC 5927, 4.1; RFC 9293, 3.9.2.2 MUST-56).
            what => {
                connection.soft_error = Some(what.error());
                connection.tell_trouble(what.error(), &mut context);
            }
        }
        self.settle(index, env);
    }

    /// Nobody listens there.
    pub(super) fn refuse(&mut self, segment: &Segment, ip: &mut Ip, env: &mut Env) -> Result<(), Reason> {
        if !on(Mutation::SilentWhereNobodyListens) {
            reply::reset_for(segment, &mut Context { env, ip, challenges: &mut self.challenges });
        }
        Err(Reason::NoSocket)
    }

    /// Ends an orphan: a connection without a program, past the bound on those or on memory.
    pub(super) fn bound_orphans(&mut self, index: u32, ip: &mut Ip, env: &mut Env) {
        if self.orphans <= env.config.orphans || on(Mutation::OrphansWithoutBound) {
            return;
        }
        // One that is over, or that only its small record will be left of, takes nobody's place.
        let Some(connection) = self.connections.at_mut(index) else { return };
        if connection.facts.dead || connection.state == State::TimeWait {
            return;
        }
        env.counters.abort_on_memory += 1;
        connection.abort(&mut Context { env, ip, challenges: &mut self.challenges });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::ip::testing::{Host, L, addr};
    use crate::tcp::options::Options;

    #[test]
    fn what_routers_say_is_told_of_but_for_source_quench() {
        for (what, told) in [(Icmp::SourceQuench, None), (Icmp::HostUnreachable, Some(Icmp::HostUnreachable.error()))] {
            let mut host = Host::tun();
            let mut tcp = Tcp::new(&mut host.env);
            let options = Options::new(&host.env.config);
            let remote = (addr("192.0.2.2"), 80);
            let handle = tcp.connect(remote, Some((None, 5000)), 0, options, &mut host.ip, &mut host.env).expect("a connection");
            tcp.poll(10, usize::MAX, &mut host.ip, &mut host.env);
            let iss = tcp.connections.at_mut(0).expect("the connection").iss;
            let (protocol, local) = (super::super::PROTOCOL, addr("192.0.2.1"));
            let (local_port, remote, remote_port) = (5000, remote.0, remote.1);
            let quoted = Quoted { protocol, local, local_port, remote, remote_port, sequence: Some(iss.0), what, link: L };
            tcp.error(&quoted, &mut host.ip, &mut host.env);
            let event = host.env.events.pop();
            assert_eq!(event.map(|event| (event.socket, event.kind)), told.map(|error| (handle, Kind::Trouble(error))));
            assert_eq!(tcp.connections.at_mut(0).expect("the connection").soft_error, told);
        }
    }

    #[test]
    fn a_connection_that_is_over_or_in_time_wait_takes_no_orphans_place() {
        for state in [State::SynSent, State::TimeWait] {
            let mut host = Host::tun();
            host.env.config.orphans = 0;
            let mut tcp = Tcp::new(&mut host.env);
            let options = Options::new(&host.env.config);
            let remote = (addr("192.0.2.2"), 80);
            let handle = tcp.connect(remote, None, 0, options, &mut host.ip, &mut host.env).expect("a connection");
            tcp.connections.at_mut(0).expect("the connection").state = state;
            assert_eq!(tcp.close(handle, &mut host.ip, &mut host.env), Ok(()));
            assert_eq!((host.env.counters.abort_on_memory, tcp.orphans), (0, 0), "{state}");
            assert_eq!(tcp.census(), (0, 0, usize::from(state == State::TimeWait)), "{state}");
        }
    }
}

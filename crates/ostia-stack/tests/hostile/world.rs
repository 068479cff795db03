//! A stack, its program, its peers, and what must hold after every step.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use ostia_stack::{Address, Destination, Family, Handle, Instant, LinkId, Local, Socket, Stack, State};
use ostia_wire::{Arp, EtherType, Flags, Frame, MacAddr, NdpMessage, NdpOption};

use crate::action::{Action, Script};
use crate::check::{self, Seen, Sent};
use crate::packets::{self, OWN_MAC, PEER_MAC};
use crate::setup::{START, Setup, own, peer};

pub const PORT: u16 = 80;

/// What the peers' streams have at a sequence number.
pub fn theirs(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b9) >> 21) as u8
}

/// What the program's streams have at a place.
pub fn ours(at: u32) -> u8 {
    (at.wrapping_mul(0x85eb_ca6b) >> 22) as u8
}

/// A pair of addresses and ports, and what the peer knows of the stack there.
#[derive(Clone, Debug)]
pub struct Slot {
    pub local: (Address, u16),
    pub remote: (Address, u16),
    /// What the stack acknowledged last; before, where the peer's numbers begin.
    pub rcv_nxt: u32,
    /// The end of what the stack has sent.
    pub snd_end: u32,
    /// The sequence number of the stack's SYN.
    pub syn: Option<u32>,
    /// The SYN-ACKs that the stack has sent: its number, and the peer's.
    syn_acks: VecDeque<(u32, u32)>,
    /// Initial sequence numbers of the connection that there is, or was last: the stack's and the peer's.
    pub birth: Option<(u32, u32)>,
    /// The stack's newest timestamp, and the peer's.
    pub stack_timestamp: u32,
    pub peer_timestamp: u32,
    /// The shift of the stack's windows, once it is known.
    scale: Option<u8>,
    /// The right edge that the stack has announced.
    pub edge: Option<u32>,
    /// Behind the last that the peer has sent.
    peer_end: u32,
}

/// A connection of the program.
#[derive(Clone, Debug)]
pub struct Connection {
    pub handle: Handle,
    pub slot: usize,
    pub active: bool,
    /// The peer's initial sequence number, once its SYN has come.
    irs: Option<u32>,
    birth: Option<(u32, u32)>,
    delivered: u32,
    pub written: u32,
    acked: u64,
    received: u64,
}

/// What occurred, for the table at the end.
#[derive(Default, Debug)]
pub struct Tally {
    pub states: BTreeSet<State>,
    pub frames_in: u64,
    pub frames_out: u64,
    pub births: u64,
    pub delivered: u64,
    pub acked: u64,
    pub drops: Vec<(ostia_stack::Reason, u64)>,
}

pub struct World {
    pub setup: Setup,
    pub stack: Stack,
    pub link: LinkId,
    pub now: Instant,
    pub slots: Vec<Slot>,
    pub connections: Vec<Connection>,
    pub listener: Option<Handle>,
    pub udp: Vec<Handle>,
    pub ping: Vec<Handle>,
    pub raw: Option<Handle>,
    /// The last frames that were sent, as IP packets.
    pub sent: VecDeque<Vec<u8>>,
    pub tally: Tally,
    /// The longest MTU that the link has had: what waits for a neighbour may be as long.
    mtu: u32,
    /// Octets that the program has given to connections that it has let go of.
    pub orphaned: u64,
    /// Sockets that were made, and calls, since events were taken.
    pub sockets: u64,
    pub calls: u64,
    /// Segments may have waited for a neighbour, so that what they say is out of date when they go out.
    delayed: bool,
    trace: bool,
}

impl World {
    pub fn new(setup: u32) -> World {
        let setup = Setup(setup);
        let (stack, link) = setup.stack();
        let mut world = World {
            setup,
            stack,
            link,
            now: START,
            slots: Vec::new(),
            connections: Vec::new(),
            listener: None,
            udp: Vec::new(),
            ping: Vec::new(),
            raw: None,
            sent: VecDeque::new(),
            tally: Tally::default(),
            mtu: setup.mtu(),
            orphaned: 0,
            sockets: 8,
            calls: 0,
            delayed: setup.ethernet() && setup.silent(),
            trace: std::env::var_os("OSTIA_TRACE").is_some(),
        };
        for number in 0..6u16 {
            let (v6, near) = (number % 2 == 1, number < 4);
            // Numbers of which some are about to wrap.
            let begin = [0xffff_ff00, 5, 0x7fff_fff0, 0x8000_0000, 0, 0xffff_ffff][usize::from(number)];
            world.add_slot((own(v6), PORT), (peer(v6, near), 1000 + number), begin);
        }
        world.listen();
        for family in [Family::V4, Family::V6] {
            let socket = world.stack.open_udp(family).expect("a socket");
            world.stack.bind(socket, None, 53).expect("a free port");
            world.udp.push(socket);
        }
        for v4 in [true, false] {
            let socket = world.stack.open_ping(v4).expect("a socket");
            world.stack.bind(socket, None, 0).expect("an identifier");
            world.ping.push(socket);
        }
        world.raw = world.stack.open_raw(Family::V4, 99, false).ok();
        // Duplicate address detection, and the first questions.
        world.wait(Duration::from_secs(2));
        world
    }

    fn add_slot(&mut self, local: (Address, u16), remote: (Address, u16), begin: u32) -> usize {
        self.slots.push(Slot {
            local,
            remote,
            rcv_nxt: begin,
            snd_end: 0,
            syn: None,
            syn_acks: VecDeque::new(),
            birth: None,
            stack_timestamp: 0,
            peer_timestamp: begin,
            scale: None,
            edge: None,
            peer_end: begin,
        });
        self.slots.len() - 1
    }

    pub fn listen(&mut self) {
        self.listener = self.stack.listen(Local { address: None, port: PORT }, 2).ok();
        self.sockets += 1;
    }

    /// Opens a connection to where nobody else does.
    pub fn connect(&mut self, v6: bool, near: bool, port: u16) {
        let remote = (peer(v6, near), port);
        let Ok(handle) = self.stack.connect(remote) else { return };
        let (local, remote) = self.stack.addresses(handle).expect("a new connection");
        let known = self.slots.iter().position(|slot| slot.local == local && slot.remote == remote);
        let slot = known.unwrap_or_else(|| self.add_slot(local, remote, u32::from(port).wrapping_mul(0x0101_0101)));
        let slot_now = &mut self.slots[slot];
        (slot_now.birth, slot_now.edge, slot_now.scale, slot_now.syn) = (None, None, None, None);
        self.adopt(handle, slot, true);
    }

    pub fn accept(&mut self) {
        let Some(listener) = self.listener else { return };
        let Ok(handle) = self.stack.accept(listener) else { return };
        let (local, remote) = self.stack.addresses(handle).expect("an accepted connection");
        let slot = self.slots.iter().position(|slot| slot.local == local && slot.remote == remote);
        self.adopt(handle, slot.expect("a peer that has sent something"), false);
    }

    fn adopt(&mut self, handle: Handle, slot: usize, active: bool) {
        let birth = if active { None } else { Some(self.slots[slot].birth.expect("a connection that was seen to open")) };
        if !active {
            self.slots[slot].scale = self.stack.tcp_info(handle).ok().map(|info| info.tcpi_rcv_wscale);
        }
        self.sockets += 1;
        let connection = Connection {
            handle,
            slot,
            active,
            irs: birth.map(|(_, irs)| irs),
            birth,
            delivered: 0,
            written: 0,
            acked: 0,
            received: 0,
        };
        self.connections.push(connection);
    }

    /// Lets go of a connection.
    pub fn let_go(&mut self, which: usize) -> Handle {
        let connection = self.connections.remove(which);
        self.orphaned += u64::from(connection.written);
        connection.handle
    }

    /// Does one thing, and checks everything.
    pub fn step(&mut self, action: &Action) {
        if self.trace {
            println!("{:?} {action:?}", self.now);
        }
        match action {
            Action::Wait(nanos) => self.wait(Duration::from_nanos(*nanos)),
            Action::Segment(shape) => self.inject_shape(shape),
            Action::Icmp { slot, kind, code, word, seq } => self.inject_icmp(*slot, (*kind, *code), *word, *seq),
            Action::Replay { back, exchange, flips, mend } => self.replay(*back, *exchange, flips, *mend),
            Action::Packet(bytes) => self.inject_packet(bytes),
            Action::Frame(bytes) => self.inject(Frame::from_slice(bytes)),
            Action::Call { op, which, value } => self.call(*op, *which, *value),
        }
        self.poll();
        self.check();
    }

    pub fn inject_packet(&mut self, packet: &[u8]) {
        let frame = if self.setup.ethernet() { packets::framed(PEER_MAC, packet) } else { packet.to_vec() };
        self.inject(Frame::from_slice(&frame));
    }

    pub fn inject(&mut self, frame: Frame) {
        self.tally.frames_in += 1;
        self.stack.input(self.link, [frame], self.now);
    }

    /// Lets time pass, and the stack do what is due when it is.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let (mut steps, mut spins) = (0, 0);
        loop {
            let next = self.stack.next_deadline();
            if next > end {
                break;
            }
            spins = if next <= self.now { spins + 1 } else { 0 };
            steps += 1;
            assert!(spins < 20, "something is due at {:?}, and stays due", self.now);
            assert!(steps < 100_000, "too much happens in {time:?}");
            self.now = self.now.max(next);
            self.poll();
        }
        self.now = end;
        self.poll();
        self.check();
    }

    /// Takes what the stack sends.
    pub fn poll(&mut self) {
        for _ in 0..100 {
            let mut out = Vec::new();
            let more = self.stack.poll_transmit(self.now, &mut out);
            let mut answers = Vec::new();
            for transmit in out {
                self.tally.frames_out += 1;
                let (stack, link) = (&self.stack, self.link);
                let sent_on = |source| self.setup.forwards() && !stack.link_addresses(link).any(|own| own.address == source);
                for seen in check::check(&transmit.frame, self.setup.ethernet(), self.mtu, sent_on) {
                    match seen {
                        Seen::Segment(sent) => self.note_sent(&sent),
                        Seen::Question { own, target } => answers.extend(self.answer(own, target)),
                        Seen::Other => {}
                    }
                }
                let mut packet = transmit.frame;
                packet.complete_checksum();
                packet.pull(if self.setup.ethernet() { 14 } else { 0 });
                self.sent.push_front(packet.as_slice().to_vec());
                self.sent.truncate(32);
            }
            let quiet = answers.is_empty();
            for answer in answers {
                self.inject(Frame::from_slice(&answer));
            }
            if !more && quiet {
                return;
            }
        }
        panic!("it always has more to send");
    }

    /// A neighbour says where it is.
    fn answer(&self, asker: Address, target: Address) -> Option<Vec<u8>> {
        if self.setup.silent() || asker.is_unspecified() || self.stack.link_addresses(self.link).any(|own| own.address == target)
        {
            return None;
        }
        if let (Some(asker), Some(target)) = (asker.v4(), target.v4()) {
            let operation = ostia_wire::arp::Operation::Reply;
            let arp = Arp { operation, sender_mac: PEER_MAC, sender_ip: target, target_mac: OWN_MAC, target_ip: asker };
            let mut bytes = vec![0; ostia_wire::arp::LEN];
            arp.emit(&mut bytes);
            return Some(packets::ether(PEER_MAC, OWN_MAC, EtherType::ARP, &bytes));
        }
        let message = NdpMessage::NeighbourAdvertisement { router: false, solicited: true, replace: true, target: target.v6()? };
        let packet = packets::ndp(target, asker, 255, &message, &[NdpOption::TargetLinkLayer(PEER_MAC)]);
        Some(packets::framed(PEER_MAC, &packet))
    }

    /// The peer sees a segment, and whether it can be.
    fn note_sent(&mut self, sent: &Sent) {
        if self.trace {
            println!(
                "  > {} {}:{} ack {} win {} {:?}",
                sent.flags,
                sent.seq,
                sent.end(),
                sent.ack,
                sent.window,
                sent.options.sack
            );
        }
        let place = self.slots.iter().position(|slot| slot.local == sent.source && slot.remote == sent.destination);
        let Some(place) = place else { return };
        let birth = self.slots[place].birth;
        let owner = self.connections.iter().find(|connection| connection.slot == place && connection.birth == birth);
        let info = owner.and_then(|owner| self.stack.tcp_info(owner.handle).ok());
        let slot = &mut self.slots[place];
        if let Some(timestamps) = sent.options.timestamps {
            slot.stack_timestamp = timestamps.value;
        }
        if sent.has(Flags::RST) {
            return;
        }
        if sent.has(Flags::SYN) {
            (slot.syn, slot.snd_end) = (Some(sent.seq), sent.end());
            if sent.has(Flags::ACK) {
                slot.rcv_nxt = sent.ack;
                slot.syn_acks.push_front((sent.seq, sent.ack.wrapping_sub(1)));
                slot.syn_acks.truncate(16);
            }
            let same = |(iss, irs)| iss == sent.seq && (!sent.has(Flags::ACK) || irs == sent.ack.wrapping_sub(1));
            if !slot.birth.is_some_and(same) {
                // Another connection begins.
                (slot.birth, slot.edge, slot.scale) = (None, None, None);
            }
            return self.pair(place);
        }
        slot.rcv_nxt = sent.ack;
        if near(sent.end().wrapping_sub(slot.snd_end)) {
            slot.snd_end = sent.end();
        }
        let Some((iss, _)) = slot.birth.filter(|_| !self.delayed) else { return };
        assert!(!near(sent.ack.wrapping_sub(slot.peer_end).wrapping_sub(1)), "acknowledges {} of {}", sent.ack, slot.peer_end);
        if let Some(scale) = slot.scale {
            let edge = sent.ack.wrapping_add(u32::from(sent.window) << scale);
            if let Some(before) = slot.edge {
                let back = before.wrapping_sub(edge);
                assert!(
                    !near(back) || back < 1 << scale,
                    "the window's right edge goes from {before} back to {edge}, scale {scale}"
                );
            }
            if slot.edge.is_none_or(|before| near(edge.wrapping_sub(before))) {
                slot.edge = Some(edge);
            }
        }
        if !sent.payload.is_empty() {
            let first = sent.seq.wrapping_sub(iss).wrapping_sub(1);
            for (at, &byte) in sent.payload.iter().enumerate() {
                assert_eq!(byte, ours(first.wrapping_add(at as u32)), "byte {at} of what is sent at {first} is another");
            }
            if let Some(info) = info {
                let acked = info.tcpi_bytes_acked as u32;
                assert!(!near(acked.wrapping_sub(first).wrapping_sub(1)), "sends {first} again, after {acked} was acknowledged");
            }
        }
    }

    /// What holds whatever has happened.
    pub fn check(&mut self) {
        let config = self.setup.config();
        let (connections, half_opens, time_waits) = self.stack.census();
        assert!(connections <= config.connections && time_waits <= config.time_waits, "{connections} {time_waits}");
        assert!(half_opens <= config.syn_queue.max(2), "{half_opens} half-open connections");
        let next = self.stack.next_deadline();
        let states: Vec<State> = self.stack.states().collect();
        for &state in &states {
            let waits = matches!(
                state,
                State::SynSent | State::SynReceived | State::FinWait1 | State::Closing | State::LastAck | State::TimeWait
            );
            assert!(!waits || next.is_set(), "a connection in {state} for which nothing is due");
        }
        assert!(half_opens + time_waits == 0 || next.is_set(), "records for which nothing is due");
        let mut queued = self.orphaned;
        for connection in &mut self.connections {
            let info = self.stack.tcp_info(connection.handle).expect("a handle of the program");
            assert!(info.tcpi_bytes_acked >= connection.acked, "SND.UNA went back");
            assert!(info.tcpi_bytes_acked <= u64::from(connection.written), "more acknowledged than written");
            assert!(info.tcpi_bytes_received >= connection.received, "fewer bytes received than before");
            (connection.acked, connection.received) = (info.tcpi_bytes_acked, info.tcpi_bytes_received);
            queued += u64::from(connection.written) - connection.acked;
            let waits = info.tcpi_state != State::Closed && (info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0);
            assert!(!waits || next.is_set(), "{} with data to send, and nothing is due", info.tcpi_state);
        }
        self.tally.states.extend(states);
        if half_opens > 0 {
            self.tally.states.insert(State::SynReceived);
        }
        if time_waits > 0 {
            self.tally.states.insert(State::TimeWait);
        }
        // What the program itself has queued is never refused for want of memory; its send buffers bound it.
        let (used, own) = (self.stack.memory().used(), queued as usize + (16 << 10) * self.connections.len());
        let allowed = self.stack.memory().limit() + if queued > 0 { own } else { 0 };
        assert!(used <= allowed, "{used} bytes in use of {allowed}");
    }

    /// Segments are about to arrive that may open a connection.
    pub fn before(&self) -> usize {
        self.stack.census().0
    }

    /// They have arrived: with these numbers a connection has been opened, or one that was being opened is open.
    /// A passive one has the numbers of the SYN-ACK that was acknowledged.
    pub fn after(&mut self, before: usize, slot: usize, seq: u32, ack: u32, end: u32) {
        let born = self.stack.census().0 > before;
        let slot_now = &mut self.slots[slot];
        if born {
            let iss = ack.wrapping_sub(1);
            slot_now.birth = slot_now.syn_acks.iter().copied().find(|syn_ack| syn_ack.0 == iss);
            if self.setup.ethernet() {
                // The SYN-ACK may wait for a neighbour still; a challenge ACK by another way has told its numbers.
                slot_now.birth.get_or_insert((iss, slot_now.rcv_nxt.wrapping_sub(1)));
            }
            assert!(slot_now.birth.is_some(), "a connection that no SYN-ACK has opened");
            (slot_now.edge, slot_now.scale, slot_now.peer_end) = (None, None, slot_now.rcv_nxt);
            self.tally.births += 1;
        }
        for connection in self.connections.iter_mut().filter(|connection| connection.slot == slot && connection.irs.is_none()) {
            let state = self.stack.state(connection.handle).unwrap_or(State::Closed);
            if state != State::SynSent && state != State::Closed {
                connection.irs = Some(seq);
                (slot_now.edge, slot_now.peer_end) = (None, end);
                self.tally.births += 1;
            }
        }
        // What is farther away than any window is not of this connection.
        if end.wrapping_sub(slot_now.rcv_nxt) < 1 << 26 && near(end.wrapping_sub(slot_now.peer_end)) {
            slot_now.peer_end = end;
        }
        self.pair(slot);
    }

    /// The numbers of both sides of an active connection are known: the SYN may have waited for a neighbour.
    fn pair(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        for connection in self.connections.iter_mut().filter(|connection| connection.slot == place && connection.birth.is_none())
        {
            if let (Some(syn), Some(irs)) = (slot.syn, connection.irs) {
                connection.birth = Some((syn, irs));
                slot.birth = connection.birth;
                slot.scale = self.stack.tcp_info(connection.handle).ok().map(|info| info.tcpi_rcv_wscale);
                slot.edge = None;
            }
        }
    }

    /// Checks what the program has read.
    pub fn delivered(&mut self, which: usize, bytes: &[u8], taken: bool) {
        let connection = &mut self.connections[which];
        let irs = connection.irs.expect("data only on an open connection");
        let first = irs.wrapping_add(1).wrapping_add(connection.delivered);
        for (at, &byte) in bytes.iter().enumerate() {
            let expected = theirs(first.wrapping_add(at as u32));
            assert_eq!(byte, expected, "byte {} of a stream is another", connection.delivered as usize + at);
        }
        if taken {
            connection.delivered += bytes.len() as u32;
            self.tally.delivered += bytes.len() as u64;
        }
        let received = self.stack.tcp_info(self.connections[which].handle).map_or(0, |info| info.tcpi_bytes_received);
        assert!(u64::from(self.connections[which].delivered) <= received, "more delivered than received");
    }

    /// The program has given up what it hasn't read.
    pub fn forgotten(&mut self, which: usize) {
        let connection = &mut self.connections[which];
        connection.delivered = self.stack.tcp_info(connection.handle).map_or(0, |info| info.tcpi_bytes_received as u32);
    }

    /// Takes the events, which must be as few as they can be.
    pub fn take_events(&mut self) {
        let mut count = 0;
        while let Some(event) = self.stack.poll_event() {
            count += 1;
            assert!(event.socket.kind() != Socket::Connection || self.calls + self.sockets > 0);
        }
        let most = 8 * self.sockets + 4 * self.calls;
        assert!(count <= most, "{count} events of {} sockets and {} calls", self.sockets, self.calls);
        (self.sockets, self.calls) = (self.connections.len() as u64 + 6, 0);
    }

    /// From now on neighbours may be looked for anew.
    pub fn note_delay(&mut self) {
        self.delayed = self.setup.ethernet();
    }

    pub fn note_mtu(&mut self, mtu: u32) {
        self.mtu = self.mtu.max(mtu);
    }

    /// The program closes everything, and after a while nothing is left.
    pub fn finish(mut self) -> Tally {
        self.take_events();
        // First the peers fall silent: what is under way must end by itself.
        if self.setup.has(21) {
            self.wait(Duration::from_secs(1200));
            for connection in &self.connections {
                let info = self.stack.tcp_info(connection.handle).expect("a handle of the program");
                let waits = info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0;
                assert!(!waits || info.tcpi_state == State::Closed, "{} waits for ever for a silent peer", info.tcpi_state);
            }
        }
        while !self.connections.is_empty() {
            self.tally.acked += self.connections[0].acked;
            let handle = self.let_go(0);
            self.stack.close(handle).expect("an open handle");
        }
        let datagrams = self.udp.drain(..).chain(self.ping.drain(..)).chain(self.raw.take());
        for socket in datagrams.chain(self.listener.take()).collect::<Vec<_>>() {
            self.stack.close(socket).expect("an open handle");
        }
        self.stack.set_slaac(self.link, false);
        if self.setup.ethernet() {
            self.stack.set_dhcp(self.link, false).expect("Ethernet");
        }
        self.wait(Duration::from_secs(1200));
        assert_eq!(self.stack.census(), (0, 0, 0), "records are left: {:?}", self.stack.states().collect::<Vec<_>>());
        assert_eq!(self.stack.memory().used(), 0, "memory is left");
        if !self.setup.ethernet() && !self.setup.autoconfigured() {
            assert_eq!(self.stack.next_deadline(), Instant::NEVER, "something is due, and nothing is left");
        }
        self.tally.drops = self.stack.drops().iter().collect();
        self.tally
    }

    pub fn send_datagram(&mut self, which: usize, bytes: &[u8], v6: bool, near: bool) {
        let port = 5353;
        let to = Destination { address: peer(v6, near), port, zone: 0 };
        let socket = if which.is_multiple_of(2) { self.udp.get(which / 2 % 2) } else { self.ping.get(which / 2 % 2) };
        if let Some(&socket) = socket {
            // Whatever comes of it: a queue may be full, a family wrong.
            let _ = self.stack.send_to(socket, bytes, Some(to));
        }
    }

    pub fn receive_datagrams(&mut self) {
        for &socket in self.udp.iter().chain(&self.ping).chain(&self.raw) {
            for _ in 0..3 {
                let _ = self.stack.receive_from(socket);
            }
        }
    }
}

/// Whether a difference of sequence numbers is forwards.
pub fn near(difference: u32) -> bool {
    difference < 1 << 31
}

/// Runs a script from beginning to end.
pub fn run(script: &Script) -> Tally {
    let mut world = World::new(script.setup);
    for action in &script.actions {
        world.step(action);
    }
    world.finish()
}

/// A link address for a number.
pub fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, number])
}

//! What peers and strangers send, made of actions; and the program's calls.

use std::time::Duration;

use ostia_stack::{Address, How, Keepalive};
use ostia_wire::{Checksum, Flags, Frame, Ipv4, Ipv6, Tcp};

use crate::action::{Carrier, Shape};
use crate::packets::{self, ICMP, ICMPV6, PEER_MAC, Segment, TCP, addr};
use crate::setup::{own, peer};
use crate::world::{World, ours, theirs};

/// The peer's data from a sequence number on.
pub fn stream(seq: u32, len: u32) -> Vec<u8> {
    (0..len).map(|at| theirs(seq.wrapping_add(at))).collect()
}

/// How many calls the program has.
pub const CALLS: u8 = 26;

impl World {
    /// Which of the slots an action means.
    fn slot_of(&self, number: u8) -> usize {
        usize::from(number) % self.slots.len()
    }

    /// A shape with the numbers that it stands for now.
    fn segment(&mut self, shape: &Shape) -> (usize, Segment) {
        let place = self.slot_of(shape.slot);
        let slot = &mut self.slots[place];
        let flags = Flags(shape.flags & Flags::ALL.0);
        let seq = slot.rcv_nxt.wrapping_add_signed(shape.seq);
        let mut options = shape.options.clone();
        if let Some((value, echo)) = shape.timestamps {
            let value = slot.peer_timestamp.wrapping_add_signed(value);
            if shape.timestamps.is_some_and(|(value, _)| (0..1 << 20).contains(&value)) {
                slot.peer_timestamp = value;
            }
            options.extend(packets::timestamps(value, slot.stack_timestamp.wrapping_add_signed(echo)));
        }
        if !shape.sack.is_empty() {
            let place = |relative: i32| slot.snd_end.wrapping_add_signed(relative);
            let blocks: Vec<_> = shape.sack.iter().take(4).map(|&(left, right)| (place(left), place(right))).collect();
            options.extend(packets::sack(&blocks));
        }
        options.truncate(40);
        let ack = slot.snd_end.wrapping_add_signed(shape.ack);
        let first = seq.wrapping_add(u32::from(flags.contains(Flags::SYN)));
        let payload = stream(first, u32::from(shape.len));
        let (source, destination) = (slot.remote, slot.local);
        let (window, urgent) = (shape.window, shape.urgent);
        (place, Segment { source, destination, seq, ack, flags, window, urgent, options, payload })
    }

    pub fn inject_shape(&mut self, shape: &Shape) {
        let (place, segment) = self.segment(shape);
        let before = self.before();
        let mut whole = segment.packet();
        let headers = if segment.source.0.is_v4() { 20 } else { 40 };
        match shape.carrier {
            Carrier::Whole => self.inject_packet(&whole),
            Carrier::Twice => {
                self.inject_packet(&whole);
                self.inject_packet(&whole);
            }
            Carrier::Fragments | Carrier::FragmentsBackwards | Carrier::FragmentsOverlapping | Carrier::FragmentAlone => {
                self.inject_fragments(&segment, shape.carrier);
            }
            Carrier::BadChecksum => {
                whole[headers + 16] ^= 0x40;
                self.inject_packet(&whole);
            }
            Carrier::BadIpChecksum => {
                // IPv6 has none, so that its length is made wrong.
                whole[if headers == 20 { 10 } else { 4 }] ^= 0x40;
                self.inject_packet(&whole);
            }
            Carrier::Coalesced => {
                let bytes = if self.setup.ethernet() { packets::framed(PEER_MAC, &whole) } else { whole };
                let mut frame = Frame::from_slice(&bytes);
                frame.meta.checksum = Checksum::Valid;
                frame.meta.gso_size = if segment.payload.len() > 500 { 500 } else { 0 };
                self.inject(frame);
            }
            Carrier::Padded => {
                whole.extend([0x55; 18]);
                self.inject_packet(&whole);
            }
        }
        self.after(before, place, segment.seq, segment.ack, end_of(&segment));
    }

    fn inject_fragments(&mut self, segment: &Segment, carrier: Carrier) {
        let bytes = segment.bytes();
        let (ends, id) = ((segment.source.0, segment.destination.0), self.tally.frames_in as u16);
        let cut = (bytes.len() / 2).next_multiple_of(8).min(bytes.len());
        let (first, last) = bytes.split_at(cut);
        let first = packets::fragment(ends, TCP, id, 0, true, first);
        let overlap = if carrier == Carrier::FragmentsOverlapping { 8.min(cut) } else { 0 };
        let last = packets::fragment(ends, TCP, id, (cut - overlap) as u16, false, &[&bytes[cut - overlap..cut], last].concat());
        match carrier {
            Carrier::FragmentAlone => self.inject_packet(&first),
            Carrier::FragmentsBackwards => {
                self.inject_packet(&last);
                self.inject_packet(&first);
            }
            _ => {
                self.inject_packet(&first);
                self.inject_packet(&last);
            }
        }
    }

    /// An ICMP error from a router that quotes a segment of a slot's connection.
    pub fn inject_icmp(&mut self, slot: u8, kind: (u8, u8), word: u32, seq: i32) {
        let place = self.slot_of(slot);
        let slot = &self.slots[place];
        let quoted = Segment {
            source: slot.local,
            destination: slot.remote,
            seq: slot.snd_end.wrapping_add_signed(seq),
            ack: slot.rcv_nxt,
            flags: Flags::ACK,
            window: 100,
            urgent: 0,
            options: Vec::new(),
            payload: vec![0; 1000],
        };
        let mut quote = quoted.packet();
        quote.truncate(if word & 1 == 0 { 576 } else { 48 });
        let router = if slot.local.0.is_v4() { addr("203.0.113.1") } else { addr("2001:db8:f::1") };
        let packet = packets::icmp(router, slot.local.0, 60, kind, word, &quote);
        self.inject_packet(&packet);
    }

    /// What the stack has sent comes back, changed.
    pub fn replay(&mut self, back: u16, exchange: bool, flips: &[(u16, u8)], mend: bool) {
        if self.sent.is_empty() {
            return;
        }
        let mut packet = self.sent[usize::from(back) % self.sent.len()].clone();
        if exchange {
            exchange_ends(&mut packet);
        }
        for &(at, by) in flips {
            if let Some(at) = usize::from(at).checked_rem(packet.len()) {
                packet[at] ^= by;
            }
        }
        // What a peer says at a sequence number is always the same, so that what is delivered can be checked.
        let parsed = retell(&mut packet);
        if mend {
            packets::mend(&mut packet);
        }
        let before = self.before();
        self.inject_packet(&packet);
        if let Some(told) = parsed
            && let Some(place) = self.slots.iter().position(|slot| slot.local == told.local && slot.remote == told.remote)
        {
            self.after(before, place, told.seq, told.ack, told.end);
        }
    }

    /// Something that the program asks for. Calls may fail; what they answer is checked where it is data.
    pub fn call(&mut self, op: u8, which: u8, value: u32) {
        self.calls += 1;
        let count = self.connections.len();
        let which_now = usize::from(which) % count.max(1);
        let handle = self.connections.get(which_now).map(|connection| connection.handle);
        match (op % CALLS, handle) {
            (0, _) => self.accept(),
            (1, _) if count < 8 => self.connect(value & 1 == 1, value & 2 == 0, 7 + (value >> 2 & 3) as u16),
            (2 | 3, Some(handle)) => {
                let written = self.connections[which_now].written;
                let data: Vec<u8> = (0..value % 9000).map(|at| ours(written + at)).collect();
                let result = match value >> 16 & 3 {
                    0 => self.stack.send_urgent(handle, &data),
                    1 => self.stack.send_shared(handle, data.into()),
                    _ => self.stack.send(handle, &data),
                };
                self.connections[which_now].written += result.unwrap_or(0) as u32;
            }
            (4..=6, Some(handle)) => {
                let mut into = vec![0; (value % 20_000) as usize];
                if let Ok(count) = self.stack.recv(handle, &mut into) {
                    self.delivered(which_now, &into[..count], true);
                }
            }
            (7, Some(handle)) => {
                if let Ok(frame) = self.stack.recv_frame(handle) {
                    self.delivered(which_now, frame.as_slice(), true);
                }
            }
            (8, Some(handle)) => {
                let mut into = [0; 500];
                let count = self.stack.peek(handle, &mut into).expect("an open handle");
                if count > 0 {
                    self.delivered(which_now, &into[..count], false);
                }
                self.stack.urgent_left(handle).expect("an open handle");
            }
            (9, Some(handle)) => {
                let how = [How::Write, How::Write, How::Read, How::Both][(value & 3) as usize];
                let _ = self.stack.shutdown(handle, how);
                if how != How::Write {
                    self.forgotten(which_now);
                }
            }
            (10, Some(_)) => {
                let handle = self.let_go(which_now);
                self.stack.close(handle).expect("an open handle");
            }
            (11, Some(_)) => {
                let handle = self.let_go(which_now);
                self.stack.abort(handle).expect("an open handle");
            }
            (12 | 13, Some(handle)) => self.change_options(handle, value),
            (14, _) => {
                let mtu = [1280, 1500, 576, 9000, 1400, 2000, 1281, 296][(value & 7) as usize];
                if self.stack.set_mtu(self.link, mtu).is_ok() {
                    self.note_mtu(mtu);
                }
            }
            (15, _) => self.stack.rotate_cookie_keys(),
            (16, _) => {
                if let Some(listener) = self.listener.take() {
                    self.stack.close(listener).expect("an open handle");
                }
            }
            (17, _) if self.listener.is_none() => self.listen(),
            (18, _) => {
                self.note_delay();
                self.stack.set_link_up(self.link, value & 15 != 0).expect("a link");
            }
            (19 | 20, _) => {
                let data = vec![value as u8; (value >> 8) as usize % 4000];
                self.send_datagram(usize::from(which), &data, value & 1 == 1, value & 2 == 0);
            }
            (21, _) => self.receive_datagrams(),
            (22, _) => {
                let group = addr(if value & 1 == 0 { "239.1.2.3" } else { "ff02::1234" });
                let socket = self.udp[(value & 1) as usize];
                let _ = if value & 2 == 0 {
                    self.stack.join(socket, self.link, group)
                } else {
                    self.stack.leave(socket, self.link, group)
                };
            }
            (23, _) => self.take_events(),
            // An address goes, and comes back. A router would then forward what came from itself.
            (24, _) if !self.setup.forwards() => {
                let v6 = value & 1 == 1;
                self.note_delay();
                if value & 6 == 0 {
                    self.stack.remove_address(self.link, own(v6));
                } else {
                    let _ = self.stack.add_address(self.link, own(v6), if v6 { 64 } else { 24 });
                }
            }
            (25, _) => {
                let local = Some((Some(own(value & 1 == 1)), 4000 + (value >> 1 & 3) as u16));
                let options = self.stack.options();
                if let Ok(handle) = self.stack.connect_with((peer(value & 1 == 1, true), 9), local, None, options) {
                    // Nobody hears of it again.
                    self.stack.close(handle).expect("an open handle");
                }
            }
            _ => {}
        }
    }

    fn change_options(&mut self, handle: ostia_stack::Handle, value: u32) {
        let Ok(mut options) = self.stack.socket_options(handle) else { return };
        match value & 7 {
            0 => options.nodelay = !options.nodelay,
            1 => options.cork = !options.cork,
            2 => {
                let (idle, interval) = (Duration::from_secs(5), Duration::from_secs(1));
                options.keepalive = options.keepalive.xor(Some(Keepalive { idle, interval, count: 3 }));
            }
            3 => options.user_timeout = options.user_timeout.xor(Some(Duration::from_millis(u64::from(value >> 3 & 0xffff)))),
            4 => options.linger = options.linger.xor(Some(Duration::from_secs(u64::from(value >> 3 & 3)))),
            5 => options.max_segment = (value >> 3) as u16,
            6 => options.receive_buffer = value >> 8,
            _ => (options.send_buffer, options.send_buffer_most) = (value >> 8, value >> (value >> 3 & 7)),
        }
        self.stack.set_socket_options(handle, options).expect("an open handle");
    }
}

fn end_of(segment: &Segment) -> u32 {
    let flags = u32::from(segment.flags.contains(Flags::SYN)) + u32::from(segment.flags.contains(Flags::FIN));
    segment.seq.wrapping_add(segment.payload.len() as u32).wrapping_add(flags)
}

/// Exchanges the addresses, and the ports.
fn exchange_ends(packet: &mut [u8]) {
    let (at, size, ports, protocol) = match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => (12, 4, usize::from(packet[0] & 0xf) * 4, packet[9]),
        Some(6) if packet.len() >= 40 => (8, 16, 40, packet[6]),
        _ => return,
    };
    for byte in at..at + size {
        packet.swap(byte, byte + size);
    }
    if !matches!(protocol, ICMP | ICMPV6) && packet.len() >= ports + 4 {
        packet.swap(ports, ports + 2);
        packet.swap(ports + 1, ports + 3);
    }
}

/// What a packet says, if it is a segment.
struct Told {
    local: (Address, u16),
    remote: (Address, u16),
    seq: u32,
    ack: u32,
    end: u32,
}

/// Gives a segment the data that the peer has at its sequence number.
fn retell(packet: &mut [u8]) -> Option<Told> {
    let (source, destination, at) = match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4::parse(packet).ok()?;
            let whole = ip.protocol() == TCP && !ip.is_fragment();
            whole.then(|| (ip.source().into(), ip.destination().into(), (ip.header_len(), ip.total_len())))?
        }
        _ => {
            let ip = Ipv6::parse(packet).ok()?;
            let upper = ip.upper().ok().filter(|upper| upper.protocol == TCP)?;
            (ip.source().into(), ip.destination().into(), (upper.offset, ip.total_len()))
        }
    };
    let bytes = packet.get_mut(at.0..at.1)?;
    let tcp = Tcp::parse(bytes).ok()?;
    let (flags, seq, ack, header_len) = (tcp.flags(), tcp.sequence(), tcp.acknowledgment(), tcp.header_len());
    let (local, remote) = ((destination, tcp.destination_port()), (source, tcp.source_port()));
    let first = seq.wrapping_add(u32::from(flags.contains(Flags::SYN)));
    let payload = bytes.get_mut(header_len..)?;
    let len = payload.len() as u32;
    payload.copy_from_slice(&stream(first, len));
    let end = first.wrapping_add(len).wrapping_add(u32::from(flags.contains(Flags::FIN)));
    Some(Told { local, remote, seq, ack, end })
}

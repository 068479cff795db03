//! Frames of what a connection sends: one of a segment or super-segment, many of a row of segments that the link doesn't cut.

use ostia_wire::{Checksum, Flags, TcpEmit, TcpOptions, checksum};

use super::connection::{Connection, Context};
use super::reply::CHECKSUM;
use super::seq::Seq;
use crate::ip::{Head, IpHeader, LOOPBACK, Route};
use crate::mutation::{Mutation, on};
use crate::trace::{Direction, Layer};

/// Where the sequence number stands in the header.
const SEQUENCE: usize = 4;

/// The longest headers: IPv6, and TCP with all its options.
const MOST_HEADERS: usize = 40 + 60;

/// With fewer segments than this a row isn't worth a template.
const ROW: u32 = 4;

/// What is about to go out: a segment, or a row of full ones with perhaps a shorter one at its end.
pub(super) struct Outgoing {
    pub(super) seq: Seq,
    pub(super) flags: Flags,
    pub(super) len: u32,
    /// What one segment carries.
    pub(super) segment: u32,
    pub(super) options: TcpOptions,
    pub(super) window: u16,
}

/// The headers that all full segments of a row have in common.
struct Template {
    bytes: [u8; MOST_HEADERS],
    /// Of the IP header, and of both.
    network_len: usize,
    len: usize,
    /// The checksum's sum without the payload and the sequence number; none if the device completes it.
    sum: Option<u64>,
}

impl Template {
    fn new(network: &IpHeader, header: &TcpEmit, pseudo: u64, offload: bool) -> Option<Template> {
        let (network, mut bytes) = (network.as_slice(), [0; MOST_HEADERS]);
        let (network_len, len) = (network.len(), network.len() + header.header_len());
        bytes.get_mut(..network_len)?.copy_from_slice(network);
        let transport = bytes.get_mut(network_len..len)?;
        header.emit(transport);
        let sum = match offload {
            true => {
                put(transport, CHECKSUM, &checksum::reduce(pseudo).to_be_bytes());
                None
            }
            false => Some(checksum::sum(transport, pseudo)),
        };
        Some(Template { bytes, network_len, len, sum })
    }

    /// Writes the headers of the segment with that sequence number and that sum of its payload.
    fn write(&self, seq: Seq, payload: u64, into: &mut [u8]) {
        into.copy_from_slice(self.bytes.get(..self.len).unwrap_or_default());
        put(into, self.network_len + SEQUENCE, &seq.0.to_be_bytes());
        if let Some(sum) = self.sum {
            let sum = sum + u64::from(seq.0) + payload;
            put(into, self.network_len + CHECKSUM, &checksum::fold(sum).to_be_bytes());
        }
    }
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

impl Connection {
    /// Makes the frames and gives them to the network layer: one, also of many segments if the link cuts them itself; else one
    /// for each segment. How many frames that were.
    pub(super) fn put(&mut self, outgoing: &Outgoing, context: &mut Context<'_>) -> usize {
        let Some(route) = self.route else { return 1 };
        let &Outgoing { seq, len, segment, .. } = outgoing;
        let mut flags = outgoing.flags;
        let mut urgent = 0;
        if self.facts.urgent_out && self.snd_up.after(seq) && !flags.contains(Flags::RST) {
            flags |= Flags::URG;
            urgent = self.snd_up.since(seq).min(0xffff) as u16 - u16::from(on(Mutation::UrgentPointerOneLess));
        }
        let acks = flags.contains(Flags::ACK);
        let mut header = TcpEmit {
            source_port: self.tuple.local_port,
            destination_port: self.tuple.remote_port,
            sequence: seq.0,
            acknowledgment: if acks { self.rcv_nxt.0 } else { 0 },
            flags: flags.without(Flags::PSH | Flags::FIN),
            window: outgoing.window,
            urgent,
            options: outgoing.options,
            order: Connection::option_order(&context.env.config),
        };
        let head = Head {
            source: self.tuple.local,
            destination: self.tuple.remote,
            protocol: super::PROTOCOL,
            hop_limit: self.options.hop_limit,
            traffic_class: self.options.traffic_class,
            flow_label: 0,
            dont_fragment: true,
        };
        let most = if route.gso_max >= len { len } else { segment };
        let (mut done, mut count) = (0, 0);
        if len / ROW >= most && most > 0 {
            (done, count) = self.put_full(outgoing, &header, &head, &route, context);
        }
        loop {
            let here = (len - done).min(most);
            let is_last = done + here == len;
            let mut frame = context.env.pool.frame(here as usize);
            if here > 0 {
                let offset = self.queue_offset(seq + done);
                self.queue.read(offset, here as usize).for_each(|piece| frame.extend(piece));
            }
            header.sequence = (seq + done).0;
            if is_last {
                header.flags = flags;
            }
            super::reply::finish(&header, &mut frame, self.tuple.local, self.tuple.remote, &route);
            context.env.passes(Layer::Transport, Direction::Down, Some(route.link), frame.as_slice());
            if here > segment {
                frame.meta.gso_size = segment as u16;
            }
            context.ip.transmit(&route, &head, frame, context.env);
            done += here;
            count += 1;
            if is_last {
                break;
            }
        }
        if acks {
            self.acknowledged_now(count, context);
        }
        self.totals.segs_out = self.totals.segs_out.saturating_add(count);
        context.env.counters.tcp_out_segs += u64::from(count);
        count as usize
    }

    /// Sends the full segments of a row but for the last, all with the same headers but for sequence number and checksum. How
    /// many octets, and how many segments; none where packets don't go out as they are.
    fn put_full(
        &mut self,
        outgoing: &Outgoing,
        header: &TcpEmit,
        head: &Head,
        route: &Route,
        context: &mut Context<'_>,
    ) -> (u32, u32) {
        let &Outgoing { seq, len, segment, .. } = outgoing;
        let (header, transport_len) = (TcpEmit { sequence: 0, ..*header }, header.header_len() + segment as usize);
        let pseudo = checksum::pseudo(head.source.ip(), head.destination.ip(), super::PROTOCOL, transport_len as u32);
        let network = (route.link != LOOPBACK).then(|| context.ip.header(route, head, transport_len)).flatten();
        let template = network.and_then(|network| Template::new(&network, &header, pseudo, route.checksum_offload));
        let Some(template) = template else { return (0, 0) };
        let (mut done, mut count) = (0, 0);
        while len - done > segment {
            let mut frame = context.env.pool.frame(segment as usize);
            let offset = self.queue_offset(seq + done);
            self.queue.read(offset, segment as usize).for_each(|piece| frame.extend(piece));
            let payload = if route.checksum_offload { 0 } else { checksum::sum(frame.as_slice(), 0) };
            template.write(seq + done, payload, frame.push_front(template.len));
            if route.checksum_offload {
                frame.meta.checksum = Checksum::Partial { start: template.network_len as u16, offset: CHECKSUM as u16 };
            }
            let transport = frame.as_slice().get(template.network_len..).unwrap_or_default();
            context.env.passes(Layer::Transport, Direction::Down, Some(route.link), transport);
            context.ip.transmit_as_it_is(route, frame, context.env);
            done += segment;
            count += 1;
        }
        (done, count)
    }
}

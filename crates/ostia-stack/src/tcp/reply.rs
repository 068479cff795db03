//! Segments that no connection sends: resets, SYN-ACKs, and the acknowledgments of TIME-WAIT.

use ostia_wire::{Checksum, Flags, Frame, OptionOrder, TcpEmit, TcpOptions, checksum};

use super::connection::{Connection, Context};
use super::segment::Segment;
use super::seq::Seq;
use super::tuple::Tuple;
use crate::address::Address;
use crate::drops::Reason;
use crate::ip::{Head, Route};
use crate::mutation::{Mutation, on};
use crate::trace::{Direction, Layer};

/// Where the checksum stands in the header.
pub(super) const CHECKSUM: usize = 16;

/// A segment without data and without a connection.
pub(crate) struct Reply {
    pub(crate) tuple: Tuple,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) options: TcpOptions,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
}

impl Reply {
    pub(crate) fn send(&self, context: &mut Context<'_>) {
        let tuple = &self.tuple;
        match context.ip.route(tuple.remote, Some(tuple.local), tuple.zone) {
            Ok(route) => self.send_along(&route, context),
            Err(_) => context.env.drop(Reason::NoRoute),
        }
    }

    pub(crate) fn send_along(&self, route: &Route, context: &mut Context<'_>) {
        if context.ip.out.is_full(&context.env.memory) {
            return context.env.drop(Reason::TransmitQueue);
        }
        let tuple = &self.tuple;
        let header = TcpEmit {
            source_port: tuple.local_port,
            destination_port: tuple.remote_port,
            sequence: self.seq.0,
            acknowledgment: self.ack.0,
            flags: self.flags,
            window: self.window,
            urgent: 0,
            options: self.options,
            order: option_order(context),
        };
        let mut frame = context.env.pool.frame(0);
        finish(&header, &mut frame, tuple.local, tuple.remote, route);
        context.env.passes(Layer::Transport, Direction::Down, Some(route.link), frame.as_slice());
        let head = Head {
            source: tuple.local,
            destination: tuple.remote,
            protocol: super::PROTOCOL,
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            flow_label: 0,
            dont_fragment: true,
        };
        context.env.counters.tcp_out_segs += 1;
        if self.flags.contains(Flags::RST) {
            context.env.counters.tcp_out_rsts += 1;
        }
        context.ip.transmit(route, &head, frame, context.env);
    }
}

fn option_order(context: &Context<'_>) -> OptionOrder {
    Connection::option_order(&context.env.config)
}

/// A reset for a segment that belongs to nothing (RFC 9293, 3.5.2 group 1 and 3.10.7.1). Its numbers are those that the
/// peer expects, so that it is believed.
pub(crate) fn reset_for(segment: &Segment, context: &mut Context<'_>) {
    if segment.has(Flags::RST) && !on(Mutation::ResetsAnswered) {
        return;
    }
    let (seq, ack, flags) = match segment.has(Flags::ACK) {
        true => (segment.ack, Seq(0), Flags::RST),
        false => (Seq(0), segment.end(), Flags::RST | Flags::ACK),
    };
    let reply = Reply {
        tuple: segment.tuple,
        seq,
        ack,
        flags,
        window: 0,
        options: TcpOptions::default(),
        hop_limit: context.env.config.hop_limit,
        traffic_class: 0,
    };
    reply.send(context);
}

/// Puts the header in front of the payload, and its checksum in; or what the device needs to do so.
pub(crate) fn finish(header: &TcpEmit, frame: &mut Frame, source: Address, destination: Address, route: &Route) {
    let len = header.header_len();
    header.emit(frame.push_front(len));
    let pseudo = checksum::pseudo(source.ip(), destination.ip(), super::PROTOCOL, frame.len() as u32);
    let sum = if route.checksum_offload {
        frame.meta.checksum = Checksum::Partial { start: 0, offset: CHECKSUM as u16 };
        // The field holds the sum that isn't complemented yet.
        !checksum::fold(pseudo)
    } else {
        checksum::fold(checksum::sum(frame.as_slice(), pseudo))
    };
    if let Some(field) = frame.as_mut_slice().get_mut(CHECKSUM..CHECKSUM + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

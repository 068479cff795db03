//! Segments of one stream that come one behind another, as they mostly do: what was found out about the first of such a train
//! needn't be found out again for the others, neither by IP nor by TCP.
//!
//! A follower has the headers of the first in all that IP looks at, so IP's answer would be the same; its own length and
//! checksums are checked. It is taken if it is just the next that the connection expects. Anything else goes the usual way.

use ostia_wire::{Checksum, Flags, Frame, Tcp as TcpView, Timestamps, checksum};

use super::connection::{Connection, Context};
use super::seq::Seq;
use super::state::State;
use super::{PROTOCOL, Tcp};
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::{Ip, LinkId};
use crate::trace::{Cause, Direction, Layer};

const V4_LEN: usize = 20;
const V6_LEN: usize = 40;

/// The link's header, IPv6's, and the ports.
const MOST: usize = 14 + V6_LEN + 4;

/// What all of a train have in common.
pub(crate) struct Train {
    link: LinkId,
    /// From the frame's first byte to the ports.
    head: [u8; MOST],
    /// Where the IP header begins, and the TCP header.
    network_at: usize,
    transport_at: usize,
    /// What the fields of the IPv4 header that may differ add up to: if the first's checksum was right, so is another's with
    /// the same sum.
    sum: u16,
}

impl Train {
    /// What others would have to have in common with a frame; none if it isn't a plain segment. `network_at` is where its IP
    /// header begins.
    #[inline]
    pub(crate) fn of(link: LinkId, frame: &Frame, network_at: usize) -> Option<Train> {
        let bytes = frame.as_slice();
        let packet = bytes.get(network_at..)?;
        let transport_at = match (packet.first()?, packet.get(6..10)?) {
            // Neither options nor a fragment.
            (0x45, [flags, 0, _, PROTOCOL]) if flags & !0x40 == 0 => network_at + V4_LEN,
            (first, [PROTOCOL, ..]) if first >> 4 == 6 => network_at + V6_LEN,
            _ => return None,
        };
        let mut head = [0; MOST];
        head.get_mut(..transport_at + 4)?.copy_from_slice(bytes.get(..transport_at + 4)?);
        Some(Train { link, head, network_at, transport_at, sum: varying(packet) })
    }

    /// Whether a frame has the same headers, but for lengths, checksums, and an identification that nobody looks at.
    #[inline]
    fn is_like(&self, bytes: &[u8]) -> bool {
        let same = |from: usize, to: usize| bytes.get(from..to) == self.head.get(from..to);
        let (network, end) = (self.network_at, self.transport_at + 4);
        if bytes.len() < end {
            return false;
        }
        match end - network {
            24 => same(0, network + 2) && same(network + 6, network + 10) && same(network + 12, end),
            _ => same(0, network + 4) && same(network + 6, end),
        }
    }

    /// Whether the IP header's length is the frame's, and its checksum right.
    #[inline]
    fn is_whole(&self, packet: &[u8]) -> bool {
        match self.transport_at - self.network_at {
            V4_LEN => word_at(packet, 2) == packet.len() && varying(packet) == self.sum,
            _ => V6_LEN + word_at(packet, 4) == packet.len(),
        }
    }

    /// The ports: the sender's, and the receiver's.
    fn ports(&self) -> (usize, usize) {
        (word_at(&self.head, self.transport_at), word_at(&self.head, self.transport_at + 2))
    }
}

/// The sum of total length, identification and checksum of an IPv4 header.
#[inline]
fn varying(packet: &[u8]) -> u16 {
    checksum::reduce((word_at(packet, 2) + word_at(packet, 4) + word_at(packet, 10)) as u64)
}

#[inline]
fn word_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)))
}

/// What a segment without other options than timestamps says.
struct Next {
    seq: Seq,
    ack: Seq,
    flags: Flags,
    window: u16,
    timestamps: Option<Timestamps>,
    len: u32,
}

impl Next {
    #[inline]
    fn of(view: &TcpView<'_>) -> Option<Next> {
        let timestamps = match view.option_bytes() {
            [] => None,
            // As nearly everybody lays them out (RFC 7323, appendix A).
            [1, 1, 8, 10, rest @ ..] => {
                let (value, echo) = rest.split_first_chunk()?;
                let (value, echo) = (u32::from_be_bytes(*value), u32::from_be_bytes(echo.try_into().ok()?));
                Some(Timestamps { value, echo })
            }
            _ => return None,
        };
        Some(Next {
            seq: Seq(view.sequence()),
            ack: Seq(view.acknowledgment()),
            flags: view.flags(),
            window: view.window(),
            timestamps,
            len: view.payload().len() as u32,
        })
    }
}

impl Connection {
    /// Whether a segment is just the next of a stream that comes in: more data, and nothing else that is new. Of such a one
    /// the checks of RFC 9293, 3.10.7.4 leave nothing to do but to take the data.
    #[inline]
    fn expects(&self, next: &Next) -> bool {
        self.state == State::Established
            && next.seq == self.rcv_nxt
            && next.flags.without(Flags::PSH) == Flags::ACK
            && next.ack == self.snd_una
            && u32::from(next.window) << self.snd_scale == self.snd_wnd
            && next.len.wrapping_sub(1) < self.rcv_wnd()
            && self.facts.timestamps == next.timestamps.is_some()
            && next.timestamps.is_none_or(|timestamps| Seq(timestamps.value).at_or_after(Seq(self.ts_recent)))
    }

    /// Takes the data of a segment that is [expected](Self::expects).
    fn take_next(&mut self, next: &Next, frame: Frame, context: &mut Context<'_>) -> Result<(), Reason> {
        self.totals.segs_in = self.totals.segs_in.saturating_add(1);
        if let Some(timestamps) = next.timestamps
            && next.seq.at_or_before(self.last_ack)
        {
            self.ts_recent = timestamps.value;
            self.ts_recent_at = context.env.now;
        }
        self.update_window(next.seq, next.ack, self.snd_wnd);
        self.last_received = context.env.now;
        self.probes = 0;
        self.soft_error = None;
        self.take(frame, false, context)
    }
}

impl Tcp {
    /// Whether a train's first has just been delivered to the connection that was found last, so that others may follow it.
    pub(crate) fn leads(&self, train: &Train) -> bool {
        let tuple = self.last.and_then(|index| self.connections.at(index)).map(|connection| &connection.tuple);
        let (remote_port, local_port) = train.ports();
        tuple.is_some_and(|tuple| {
            let ports = (usize::from(tuple.remote_port), usize::from(tuple.local_port));
            let head = train.head.get(..train.transport_at).unwrap_or_default();
            let ends = |remote: &[u8], local: &[u8]| head.strip_suffix(local).is_some_and(|rest| rest.ends_with(remote));
            let addresses = match (tuple.remote.v4(), tuple.local.v4()) {
                (Some(remote), Some(local)) => ends(&remote.octets(), &local.octets()),
                _ => ends(tuple.remote.bytes(), tuple.local.bytes()),
            };
            addresses && ports == (remote_port, local_port)
        })
    }

    /// Takes a frame that follows the first of a train; gives it back if it is anything but the next that is expected.
    #[inline]
    pub(crate) fn follow(
        &mut self,
        train: &Train,
        link: LinkId,
        mut frame: Frame,
        ip: &mut Ip,
        env: &mut Env,
    ) -> Result<(), Frame> {
        let Some(index) = self.last else { return Err(frame) };
        let Some(connection) = self.connections.at_mut(index) else { return Err(frame) };
        let bytes = frame.as_slice();
        let (packet, transport) = match (bytes.get(train.network_at..), bytes.get(train.transport_at..)) {
            (Some(packet), Some(transport)) if train.link == link && train.is_like(bytes) => (packet, transport),
            _ => return Err(frame),
        };
        let Some((view, next)) = TcpView::parse(transport).ok().and_then(|view| Some((view, Next::of(&view)?))) else {
            return Err(frame);
        };
        let tuple = &connection.tuple;
        // Where memory is short, room is made the usual way.
        let expected = connection.expects(&next)
            && env.memory.has_room(frame.truesize())
            && train.is_whole(packet)
            && (frame.meta.checksum != Checksum::Unverified || view.verify_checksum(tuple.remote.ip(), tuple.local.ip()));
        if !expected {
            return Err(frame);
        }
        env.passes(Layer::Link, Direction::Up, Some(link), bytes);
        env.passes(Layer::Network, Direction::Up, Some(link), packet);
        env.passes(Layer::Transport, Direction::Up, Some(link), transport);
        env.cause = Cause::Segment(next.flags);
        env.counters.ip_in_receives += 1;
        env.counters.ip_in_delivers += 1;
        env.counters.tcp_in_segs += 1;
        frame.pull(train.transport_at + view.header_len());
        let taken = connection.take_next(&next, frame, &mut Context { env, ip, challenges: &mut self.challenges });
        self.settle(index, env);
        if let Err(reason) = taken {
            env.drop(reason);
        }
        Ok(())
    }
}

//! A host with one link, and a peer whose every segment is written by hand: what the table of bad input is tried on.

use std::time::Duration;

use ostia_stack::{Address, Config, Handle, Instant, LinkConfig, LinkId, Local, Medium, Reason, Stack, TcpInfo};
use ostia_wire::{Flags, Frame};

use crate::check::{self, Seen, Sent};
use crate::inject::stream;
use crate::packets::{self, OWN_MAC, PEER_MAC, Segment, syn_options, timestamps};
use crate::setup::{START, own, peer};
use crate::world::PORT;

pub struct Host {
    pub stack: Stack,
    pub link: LinkId,
    pub now: Instant,
    pub listener: Handle,
    ethernet: bool,
}

impl Host {
    /// On a link of bare IP packets.
    pub fn tun(config: Config) -> Host {
        Host::new(config, Medium::Ip)
    }

    pub fn ethernet(config: Config) -> Host {
        Host::new(config, Medium::Ethernet(OWN_MAC))
    }

    fn new(config: Config, medium: Medium) -> Host {
        let mut stack = Stack::new(config, [7; 32]);
        stack.poll_transmit(START, &mut Vec::new());
        let ethernet = medium != Medium::Ip;
        let link = LinkConfig { name: "link0".into(), medium, mtu: 1500, checksum_offload: false, gso_max: 0 };
        let link = stack.add_link(link).expect("a link");
        stack.add_address(link, own(false), 24).expect("an address");
        stack.add_address(link, own(true), 64).expect("an address");
        for any in ["0.0.0.0", "::"] {
            stack.add_route(packets::addr(any), 0, None, link, 10).expect("a route");
        }
        let listener = stack.listen(Local { address: None, port: PORT }, 300).expect("a listener");
        let mut host = Host { stack, link, now: START, listener, ethernet };
        host.wait(Duration::from_secs(3));
        host
    }

    /// Gives the host a packet; the segments that it sends at once.
    pub fn feed(&mut self, packet: &[u8]) -> Vec<Sent> {
        let frame = if self.ethernet { packets::framed(PEER_MAC, packet) } else { packet.to_vec() };
        self.feed_frame(&frame)
    }

    pub fn feed_frame(&mut self, frame: &[u8]) -> Vec<Sent> {
        self.stack.input(self.link, [Frame::from_slice(frame)], self.now);
        self.sent()
    }

    /// What the host sends now: its segments. Other packets are counted in `frames_out`.
    pub fn sent(&mut self) -> Vec<Sent> {
        self.output().into_iter().filter_map(|seen| if let Seen::Segment(sent) = seen { Some(sent) } else { None }).collect()
    }

    fn output(&mut self) -> Vec<Seen> {
        let mut out = Vec::new();
        while self.stack.poll_transmit(self.now, &mut out) {}
        out.iter().flat_map(|transmit| check::check(&transmit.frame, self.ethernet, 1500, |_| false)).collect()
    }

    /// Lets time pass; the segments that the host sends meanwhile.
    pub fn wait(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut all = Vec::new();
        while self.stack.next_deadline() <= end {
            self.now = self.now.max(self.stack.next_deadline());
            all.extend(self.sent());
        }
        self.now = end;
        all.extend(self.sent());
        all
    }

    /// Gives the host packets of which each must be dropped for this reason, with nothing else to be seen of it.
    #[track_caller]
    pub fn refuses(&mut self, reason: Reason, packets: &[Vec<u8>]) {
        for packet in packets {
            let answers = self.drops(reason, packet);
            assert!(answers.is_empty(), "{reason}, and yet an answer: {answers:?}");
        }
    }

    /// Gives the host a packet that must be dropped for this reason and change nothing; what it answers.
    #[track_caller]
    pub fn drops(&mut self, reason: Reason, packet: &[u8]) -> Vec<Sent> {
        let segment = |seen| match seen {
            Seen::Segment(sent) => sent,
            other => panic!("{reason}, and yet an answer: {other:?}"),
        };
        self.dropped(reason, packet).into_iter().map(segment).collect()
    }

    /// The same for what is answered by something else than a segment.
    #[track_caller]
    pub fn dropped(&mut self, reason: Reason, packet: &[u8]) -> Vec<Seen> {
        let before = (self.stack.drops().clone(), self.stack.census(), self.stack.memory().used());
        while self.stack.poll_event().is_some() {}
        let frame = if self.ethernet { packets::framed(PEER_MAC, packet) } else { packet.to_vec() };
        self.stack.input(self.link, [Frame::from_slice(&frame)], self.now);
        let seen = self.output();
        let happened: Vec<_> =
            self.stack.drops().iter().filter(|&(reason, count)| count > before.0.get(reason)).map(|(reason, _)| reason).collect();
        assert_eq!(happened, [reason], "dropped for these reasons: {packet:02x?}");
        assert_eq!(self.stack.drops().total(), before.0.total() + 1, "one packet is dropped once");
        assert_eq!(self.stack.census(), before.1, "records");
        assert_eq!(self.stack.memory().used(), before.2, "memory");
        assert_eq!(self.stack.poll_event(), None, "an event");
        seen
    }

    /// The peer's window as this side has it once it has acknowledged something: offsets from the next number.
    pub fn window(&mut self, flow: &Flow) -> i32 {
        assert_eq!(self.drops(Reason::TcpWindow, &flow.at(1 << 30, Flags::ACK, 10).packet()).len(), 1);
        self.info(flow).tcpi_rcv_wnd as i32
    }

    pub fn info(&self, flow: &Flow) -> TcpInfo {
        self.stack.tcp_info(flow.handle).expect("a connection")
    }

    /// Opens a connection from the peer, with all options.
    pub fn open(&mut self, v6: bool) -> Flow {
        self.open_with(peer(v6, true), 1000, syn_options(1460, 1000))
    }

    pub fn open_with(&mut self, from: Address, port: u16, options: Vec<u8>) -> Flow {
        let (source, destination) = ((from, port), (own(!from.is_v4()), PORT));
        let with_timestamps = options.len() >= 16;
        let mut segment = Segment {
            source,
            destination,
            seq: 5000,
            ack: 0,
            flags: Flags::SYN,
            window: 60_000,
            urgent: 0,
            options,
            payload: Vec::new(),
        };
        let answers = self.feed(&segment.packet());
        let [answer] = &answers[..] else { panic!("no SYN-ACK: {answers:?}") };
        assert_eq!((answer.flags, answer.ack), (Flags::SYN | Flags::ACK, 5001));
        (segment.seq, segment.ack, segment.flags) = (5001, answer.end(), Flags::ACK);
        let echo = answer.options.timestamps.map(|timestamps| timestamps.value);
        segment.options = if with_timestamps { timestamps(1000, echo.unwrap_or(0)) } else { Vec::new() };
        self.feed(&segment.packet());
        let handle = self.stack.accept(self.listener).expect("an open connection");
        while self.stack.poll_event().is_some() {}
        Flow { handle, segment, echo: echo.filter(|_| with_timestamps) }
    }
}

/// A connection with the numbers that the peer has to use.
#[derive(Clone, Debug)]
pub struct Flow {
    pub handle: Handle,
    /// The peer's next segment, an ACK of everything.
    pub segment: Segment,
    echo: Option<u32>,
}

impl Flow {
    /// A segment so many numbers from the next, with so much data.
    pub fn at(&self, offset: i32, flags: Flags, len: u32) -> Segment {
        let mut segment = self.segment.clone();
        segment.seq = segment.seq.wrapping_add_signed(offset);
        segment.flags = flags;
        segment.payload = stream(segment.seq, len);
        segment
    }

    /// An ACK so many numbers from what it should be.
    pub fn ack(&self, offset: i32) -> Segment {
        let mut segment = self.at(0, Flags::ACK, 0);
        segment.ack = segment.ack.wrapping_add_signed(offset);
        segment
    }

    /// A segment with another timestamp.
    pub fn stamped(&self, value: u32, len: u32) -> Segment {
        let mut segment = self.at(0, Flags::ACK, len);
        segment.options = timestamps(value, self.echo.expect("a connection with timestamps"));
        segment
    }

    /// The segment was taken.
    pub fn advance(&mut self, octets: u32) {
        self.segment.seq = self.segment.seq.wrapping_add(octets);
    }
}

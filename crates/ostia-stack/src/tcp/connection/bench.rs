//! A connection without a wire, for tests: segments go in and come out as parts.

use core::time::Duration;
use std::vec::Vec;

use ostia_wire::{Flags, Frame, Ipv4, Tcp as TcpView, TcpOptions};

use super::*;
use crate::drops::Reason;
use crate::ip::testing::{Host, addr};
use crate::tcp::segment::Segment;

pub(super) const ISS: Seq = Seq(1000);
pub(super) const IRS: Seq = Seq(500_000);

/// A host, one connection of it, and what the peer has done.
pub(super) struct Bench {
    pub(super) host: Host,
    pub(super) challenges: BlurredLimiter,
    pub(super) connection: Connection,
}

/// What a segment that was sent says.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sent {
    pub(super) seq: Seq,
    pub(super) ack: Seq,
    pub(super) flags: Flags,
    pub(super) window: u16,
    pub(super) len: u32,
    pub(super) options: TcpOptions,
}

pub(super) fn tuple() -> Tuple {
    Tuple { local: addr("192.0.2.1"), remote: addr("192.0.2.2"), local_port: 40_000, remote_port: 80, zone: 0 }
}

/// What the peer's SYN offers.
pub(super) fn offer() -> TcpOptions {
    TcpOptions { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..TcpOptions::default() }
}

/// A segment of the peer, `seq` and `ack` counted from the SYNs.
pub(super) fn segment(flags: Flags, seq: u32, ack: u32, window: u16, payload: &[u8]) -> Segment {
    let (seq, ack) = (IRS + seq, ISS + ack);
    let frame = Frame::from_slice(payload);
    let options = TcpOptions::default();
    Segment { tuple: tuple(), seq, ack, flags, window, urgent: 0, options, frame, arrived: Instant(0) }
}

impl Bench {
    /// One that has sent its SYN.
    pub(super) fn connecting(config: Config) -> Bench {
        let host = Host::with(config, crate::ip::Medium::Ip);
        let options = Options::new(&host.env.config);
        let connection = Connection::active(tuple(), ISS, 0, options, &host.env);
        let mut bench = Bench { host, challenges: BlurredLimiter::new(1000), connection };
        assert_eq!(bench.transmit().len(), 1, "a SYN");
        bench
    }

    /// One that is open; nothing is under way.
    pub(super) fn open_with(config: Config, offer: TcpOptions) -> Bench {
        let mut bench = Bench::connecting(config);
        let answer = Segment { options: offer, ..segment(Flags::SYN | Flags::ACK, 0, 1, 60_000, b"") };
        assert_eq!(bench.arrive(answer), Ok(()));
        assert_eq!((bench.connection.state, bench.transmit().len()), (State::Established, 1));
        // The window that later segments announce too, so that none of them changes it.
        assert_eq!(bench.arrive(segment(Flags::ACK, 1, 1, 60_000, b"")), Ok(()));
        bench
    }

    pub(super) fn open() -> Bench {
        Bench::open_with(Config::default(), offer())
    }

    pub(super) fn context<T>(&mut self, work: impl FnOnce(&mut Connection, &mut Context<'_>) -> T) -> T {
        let (env, ip) = (&mut self.host.env, &mut self.host.ip);
        work(&mut self.connection, &mut Context { env, ip, challenges: &mut self.challenges })
    }

    pub(super) fn arrive(&mut self, mut segment: Segment) -> Result<(), Reason> {
        segment.arrived = self.host.env.now;
        self.context(|connection, context| connection.arrive(segment, context))
    }

    pub(super) fn send(&mut self, count: usize) {
        let sent = self.connection.send(&std::vec![7; count], &mut self.host.env);
        assert_eq!(sent, Ok(count));
    }

    /// Lets it send, and takes what was sent.
    pub(super) fn transmit(&mut self) -> Vec<Sent> {
        let mut budget = 1000;
        self.context(|connection, context| connection.transmit(&mut budget, usize::MAX, context));
        self.taken()
    }

    /// What was sent since this was last asked.
    pub(super) fn taken(&mut self) -> Vec<Sent> {
        let parse = |frame: Frame| {
            let packet = Ipv4::parse(frame.as_slice()).expect("an IPv4 packet");
            let view = TcpView::parse(packet.payload()).expect("a segment");
            Sent {
                seq: Seq(view.sequence()),
                ack: Seq(view.acknowledgment()),
                flags: view.flags(),
                window: view.window(),
                len: view.payload().len() as u32,
                options: TcpOptions::parse(view.option_bytes()).expect("options"),
            }
        };
        self.host.sent().into_iter().map(parse).collect()
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        self.host.env.now = self.host.env.now + duration;
    }

    /// Lets time pass until its timer is due, and then what is due be done.
    pub(super) fn expire(&mut self) {
        let due = self.connection.deadline();
        assert!(due.is_set(), "no timer runs");
        self.host.env.now = self.host.env.now.max(due);
        self.context(Connection::expire);
    }
}

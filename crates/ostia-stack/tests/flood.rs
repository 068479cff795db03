//! A flood of SYNs from random sources, with cookies and without, before a program that accepts at once or late: those who mean
//! it get through, and memory stays within its budget.

use std::env;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ostia_stack::{
    Address, Config, Error, Handle, Incoming, Instant, LinkConfig, LinkId, Local, Medium, Stack, State, Transmit, Verdict,
};
use ostia_wire::{Flags, Frame, Ipv4, Ipv4Emit, OptionOrder, TcpEmit, TcpOptions, tcp};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: u16 = 80;
const MEMORY: usize = 8 << 20;
/// How long the flood lasts, and how often it comes in a batch.
const FLOOD: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(1);

/// How much there is of everything.
struct Scale {
    syns: u32,
    connections: usize,
    bytes: usize,
}

fn scale() -> Scale {
    match env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full") {
        true => Scale { syns: 200_000, connections: 100, bytes: 1 << 20 },
        false => Scale { syns: 20_000, connections: 100, bytes: 64 << 10 },
    }
}

fn stack(address: Ipv4Addr, cookies: bool, seed: u8) -> (Stack, LinkId) {
    let mut config = Config::default();
    (config.syn_cookies, config.memory) = (cookies, MEMORY);
    let mut stack = Stack::new(config, [seed; 32]);
    let link = LinkConfig { name: "wire".into(), medium: Medium::Ip, mtu: 1500, checksum_offload: false, gso_max: 0 };
    let link = stack.add_link(link).expect("a link");
    stack.add_address(link, IpAddr::V4(address).into(), 24).expect("an address");
    stack.add_route(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into(), 0, None, link, 0).expect("a route");
    (stack, link)
}

/// A SYN that nobody stands behind. Sources are all of 20.0.0.0/6, so never the client.
fn bogus(random: &mut u64) -> Frame {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let word = *random;
    let source = Ipv4Addr::from(0x1400_0000 | (word as u32 & 0x03ff_ffff));
    let header = TcpEmit {
        source_port: (word >> 32) as u16,
        destination_port: PORT,
        sequence: (word >> 16) as u32,
        acknowledgment: 0,
        flags: Flags::SYN,
        window: 64_240,
        urgent: 0,
        options: TcpOptions { mss: Some(1460), sack_permitted: true, window_scale: Some(7), ..TcpOptions::default() },
        order: OptionOrder::Linux,
    };
    let mut frame = Frame::new(Frame::HEADROOM);
    header.emit(frame.push_front(header.header_len()));
    tcp::finish_checksum(frame.as_mut_slice(), source.into(), SERVER.into());
    let len = frame.len();
    let emit = Ipv4Emit {
        source,
        destination: SERVER,
        protocol: 6,
        ttl: 60,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        options: &[],
    };
    emit.emit(frame.push_front(emit.header_len()), len);
    frame
}

/// The server's program, and the client's.
struct Programs {
    listener: Handle,
    /// Connections with what has come of each.
    accepted: Vec<(Handle, usize)>,
    clients: Vec<(Handle, usize)>,
    done: usize,
    scale: Scale,
}

impl Programs {
    fn serve(&mut self, stack: &mut Stack, at_most: usize) {
        for _ in 0..at_most {
            match stack.accept(self.listener) {
                Ok(connection) => self.accepted.push((connection, 0)),
                Err(_) => break,
            }
        }
        let mut buffer = [0; 16 << 10];
        let (bytes, done) = (self.scale.bytes, &mut self.done);
        self.accepted.retain_mut(|(connection, received)| {
            loop {
                match stack.recv(*connection, &mut buffer) {
                    Ok(0) => {
                        assert_eq!(*received, bytes, "a stream ended early");
                        *done += 1;
                        stack.close(*connection).expect("an open handle");
                        return false;
                    }
                    Ok(count) => {
                        let right = buffer[..count].iter().enumerate().all(|(at, &byte)| byte == (*received + at) as u8);
                        assert!(right, "other bytes than were sent");
                        *received += count;
                    }
                    Err(Error::WouldBlock) => return true,
                    Err(error) => panic!("a connection that means it failed: {error}"),
                }
            }
        });
    }

    fn send(&mut self, stack: &mut Stack) {
        let bytes = self.scale.bytes;
        self.clients.retain_mut(|(connection, sent)| {
            // To close one that isn't open yet would give it up (RFC 9293, 3.10.4).
            if stack.state(*connection) == Ok(State::SynSent) {
                return true;
            }
            while *sent < bytes {
                let data: Vec<u8> = (*sent..bytes.min(*sent + 4096)).map(|at| at as u8).collect();
                match stack.send(*connection, &data) {
                    Ok(count) => *sent += count,
                    Err(Error::WouldBlock) => return true,
                    Err(error) => panic!("a connection that means it failed: {error}"),
                }
            }
            stack.close(*connection).expect("an open handle");
            false
        });
    }
}

/// Frames that `from` has to send, for whom they are.
fn poll(from: &mut Stack, now: Instant) -> Vec<Frame> {
    let mut out: Vec<Transmit> = Vec::new();
    while from.poll_transmit(now, &mut out) {}
    out.into_iter().map(|transmit| transmit.frame).collect()
}

fn run(cookies: bool, late: bool) -> String {
    let scale = scale();
    let (mut server, server_link) = stack(SERVER, cookies, 1);
    let (mut client, client_link) = stack(CLIENT, true, 2);
    let listener = server.listen(Local { address: None, port: PORT }, if late { 4 } else { 1024 }).expect("a listener");
    let mut programs = Programs { listener, accepted: Vec::new(), clients: Vec::new(), done: 0, scale };
    let (syns, connections) = (programs.scale.syns, programs.scale.connections);
    let ticks = (FLOOD.as_millis() / TICK.as_millis()) as u32;
    let (mut now, mut random, mut opened) = (Instant(1_000_000_000), 0x1234_5678_9abc_def1, 0);
    let address: Address = IpAddr::V4(SERVER).into();
    for tick in 0.. {
        // No attempt lasts longer than its retransmissions.
        assert!(tick < 300_000, "{} of {connections} connections after {:?}", programs.done, now);
        if tick < ticks {
            let count = syns * (tick + 1) / ticks - syns * tick / ticks;
            let flood: Vec<Frame> = (0..count).map(|_| bogus(&mut random)).collect();
            server.input(server_link, flood, now);
        }
        // All are opened while it goes on.
        if opened < connections && tick as usize >= opened * ticks as usize / connections / 2 {
            let connection = client.connect((address, PORT)).expect("a connection");
            programs.clients.push((connection, 0));
            opened += 1;
        }
        let to_server = poll(&mut client, now);
        server.input(server_link, to_server, now);
        programs.serve(&mut server, if late { usize::from(tick % 20 == 0) } else { usize::MAX });
        let answers = poll(&mut server, now);
        let mine = |frame: &Frame| Ipv4::parse(frame.as_slice()).is_ok_and(|packet| packet.destination() == CLIENT);
        client.input(client_link, answers.into_iter().filter(mine).collect::<Vec<_>>(), now);
        programs.send(&mut client);
        while server.poll_event().is_some() || client.poll_event().is_some() {}
        if programs.done == connections {
            break;
        }
        now = now + TICK;
    }
    assert!(server.memory().peak() <= MEMORY, "{} bytes of {MEMORY}", server.memory().peak());
    let counters = server.counters().clone();
    if cookies {
        assert!(counters.syncookies_sent > 0, "the flood was too small to fill the SYN queue");
    } else {
        assert_eq!(counters.syncookies_sent, 0);
    }
    let took = now.since(Instant(1_000_000_000));
    let peak = server.memory().peak();
    // Then nothing of it is left.
    server.close(listener).expect("an open handle");
    for _ in 0..100_000 {
        let deadline = server.next_deadline().min(client.next_deadline());
        if !deadline.is_set() {
            break;
        }
        now = deadline.max(now);
        let to_server = poll(&mut client, now);
        server.input(server_link, to_server, now);
        let answers = poll(&mut server, now);
        let mine = |frame: &Frame| Ipv4::parse(frame.as_slice()).is_ok_and(|packet| packet.destination() == CLIENT);
        client.input(client_link, answers.into_iter().filter(mine).collect::<Vec<_>>(), now);
    }
    assert_eq!((server.census(), server.memory().used()), ((0, 0, 0), 0), "something is left of the flood");
    format!(
        "flood: {syns} SYNs, cookies {}, accepted {}: {connections} connections of {} bytes in {:.1} virtual seconds, {} cookies \
         sent, {} SYNs dropped by full queues, {peak} bytes at most\n",
        if cookies { "on" } else { "off" },
        if late { "late" } else { "at once" },
        programs.scale.bytes,
        took.as_secs_f64(),
        counters.syncookies_sent,
        counters.listen_drops,
    )
}

#[test]
fn those_who_mean_it_get_through_a_flood() {
    for (cookies, late) in [(true, false), (true, true), (false, false), (false, true)] {
        let line = run(cookies, late);
        std::io::stderr().write_all(line.as_bytes()).expect("stderr");
    }
}

/// The hook sees every SYN before anything is kept for it.
#[test]
fn an_accept_hook_decides_before_anything_is_kept() {
    for verdict in [Verdict::Accept, Verdict::Drop, Verdict::Refuse] {
        let (mut server, link) = stack(SERVER, true, 3);
        let options = server.options();
        let hook = Box::new(move |incoming: &Incoming| {
            assert_eq!((incoming.local, incoming.hop_limit), ((IpAddr::V4(SERVER).into(), PORT), 60));
            verdict
        });
        server.listen_with(Local { address: None, port: PORT }, 5, options, Some(hook)).expect("a listener");
        let mut random = 99;
        let now = Instant(1_000_000_000);
        server.input(link, [bogus(&mut random)], now);
        let answers = poll(&mut server, now);
        let flags = answers.first().map(|frame| {
            let packet = Ipv4::parse(frame.as_slice()).expect("a packet");
            ostia_wire::Tcp::parse(packet.payload()).expect("a segment").flags()
        });
        let (expected, kept) = match verdict {
            Verdict::Accept => (Some(Flags::SYN | Flags::ACK), 1),
            Verdict::Drop => (None, 0),
            Verdict::Refuse => (Some(Flags::RST | Flags::ACK), 0),
        };
        assert_eq!((flags, server.census().1), (expected, kept));
        assert_eq!(server.memory().used() > 0, kept == 1);
    }
}

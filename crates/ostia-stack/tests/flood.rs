//! SYNs from random addresses against one stack, while others open connections: they are served, and memory stays within bounds.
//!
//! 20,000 SYNs, and 200,000 with `OSTIA_REPEAT=full`, when each connection also carries 1 MiB.

use std::env;
use std::net::Ipv4Addr;

use ostia_stack::{Config, Error, Handle, How, Instant, LinkConfig, LinkId, Local, Medium, Reason, Stack, Transmit};
use ostia_wire::{Flags, Frame, Ipv4Emit, TcpEmit, TcpOptions, Timestamps, protocol, tcp};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: u16 = 80;
const CLIENTS: usize = 100;
/// What the server's stack may keep.
const BUDGET: usize = 8 << 20;
/// Nanoseconds of a step; the flood takes a thousand of them.
const STEP: u64 = 1_000_000;
const STEPS: u64 = 1_000;

fn is_full() -> bool {
    env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full")
}

fn syns() -> u64 {
    if is_full() { 200_000 } else { 20_000 }
}

/// Bytes that each connection carries.
fn size() -> usize {
    if is_full() { 1 << 20 } else { 64 << 10 }
}

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn stack(address: Ipv4Addr, config: Config) -> (Stack, LinkId) {
    let mut stack = Stack::new(config, [address.octets()[3]; 32]);
    let medium = Medium::Ip;
    let link = LinkConfig { name: "link".to_owned(), medium, mtu: 1500, checksum_offload: false, gso_max: 0 };
    let link = stack.add_link(link).expect("an MTU that can be");
    stack.add_address(link, address.into(), 8).expect("a host's address");
    (stack, link)
}

/// A SYN as Linux sends it, from a random address in 64.0.0.0/3.
fn syn(random: &mut Random) -> Frame {
    let (who, what) = (random.next(), random.next());
    let source = Ipv4Addr::from(0x4000_0000 | (who as u32 & 0x1fff_ffff));
    let header = TcpEmit {
        source_port: 1024 | (who >> 32) as u16,
        destination_port: PORT,
        sequence: what as u32,
        flags: Flags::SYN,
        window: 64_240,
        options: TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: (what >> 32) as u32, echo: 0 }),
            ..TcpOptions::default()
        },
        ..TcpEmit::default()
    };
    let (mut frame, len) = (Frame::new(0), header.header_len());
    header.emit(frame.push_front(len));
    tcp::finish_checksum(frame.as_mut_slice(), source.into(), SERVER.into());
    let ip = Ipv4Emit {
        source,
        destination: SERVER,
        protocol: protocol::TCP,
        ttl: 55,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        options: &[],
    };
    ip.emit(frame.push_front(20), len);
    frame
}

/// The byte of a stream at that place.
fn byte(place: usize) -> u8 {
    (place as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

struct Outcome {
    /// Connections that carried everything.
    served: usize,
    /// Connections that gave up.
    failed: Vec<Error>,
    /// SYNs that clients sent again.
    again: u64,
    server: Stack,
}

/// What an attempt to connect has come to.
struct Attempt {
    connection: Handle,
    sent: usize,
    over: bool,
}

/// Lets the flood come while clients connect and send, until each has been served or has given up. A program that accepts `late`
/// has a short accept queue and looks into it now and then only.
fn besiege(cookies: bool, late: bool) -> Outcome {
    let mut config = Config::default();
    config.syn_cookies = cookies;
    config.memory = BUDGET;
    let ((mut client, client_link), (mut server, server_link)) = (stack(CLIENT, Config::default()), stack(SERVER, config));
    server.add_route(Ipv4Addr::UNSPECIFIED.into(), 0, None, server_link, 0).expect("a route");
    let listener = server.listen(Local { address: None, port: PORT }, if late { 2 } else { 128 }).expect("nobody listens there");
    let (mut random, size, mut now) = (Random(0x5eed), size(), 1_000_000_000u64);
    let data: Vec<u8> = (0..size).map(byte).collect();
    let (mut attempts, mut accepted): (Vec<Attempt>, Vec<(Handle, usize)>) = (Vec::new(), Vec::new());
    let (mut served, mut failed, mut looks) = (0, Vec::new(), 0);
    let (mut into, mut frames): (_, Vec<Transmit>) = (vec![0; 64 << 10], Vec::new());
    for step in 0.. {
        now += if step < STEPS { STEP } else { 10 * STEP };
        let at = Instant(now);
        if step < STEPS {
            server.input(server_link, (0..syns() / STEPS).map(|_| syn(&mut random)), at);
            if step % (STEPS / CLIENTS as u64) == 0 {
                let connection = client.connect((SERVER.into(), PORT)).expect("there is a way");
                attempts.push(Attempt { connection, sent: 0, over: false });
            }
        }
        if now >= looks {
            looks = now + if late { 50_000_000 + random.next() % 20_000_000 } else { 0 };
            while let Ok(connection) = server.accept(listener) {
                accepted.push((connection, 0));
            }
        }
        accepted.retain_mut(|(connection, count)| {
            while let Ok(more) = server.recv(*connection, &mut into) {
                assert!(into[..more] == data[*count..*count + more], "other bytes arrived than were sent");
                *count += more;
                if more == 0 {
                    assert_eq!(*count, size, "a stream ends when all of it has come");
                    served += 1;
                    server.close(*connection).expect("it is there");
                    return false;
                }
            }
            true
        });
        for attempt in attempts.iter_mut().filter(|attempt| !attempt.over && attempt.sent < size) {
            match client.send(attempt.connection, &data[attempt.sent..]) {
                Ok(more) => attempt.sent += more,
                Err(Error::WouldBlock) => {}
                Err(error) => {
                    failed.push(error);
                    attempt.over = true;
                }
            }
            if attempt.sent == size && !attempt.over {
                client.shutdown(attempt.connection, How::Write).expect("it is open, or is being opened");
            }
        }
        while client.poll_transmit(at, &mut frames) {}
        server.input(server_link, frames.drain(..).map(|transmit| transmit.frame), at);
        while server.poll_transmit(at, &mut frames) {}
        // What goes to addresses that nobody has is lost.
        let home = frames.drain(..).map(|transmit| transmit.frame).filter(|frame| frame.as_slice()[16..20] == CLIENT.octets());
        client.input(client_link, home, at);
        while let Some(event) = client.poll_event() {
            // One that has handed over everything learns of its end by an event.
            if let ostia_stack::Kind::Failed(error) = event.kind
                && let Some(attempt) = attempts.iter_mut().find(|attempt| attempt.connection == event.socket && !attempt.over)
            {
                failed.push(error);
                attempt.over = true;
            }
        }
        while server.poll_event().is_some() {}
        assert!(server.memory().used() <= BUDGET);
        if attempts.len() == CLIENTS && served + failed.len() == CLIENTS {
            break;
        }
        assert!(step < 60_000, "{served} served, {} gave up, the others do neither", failed.len());
    }
    assert!(server.memory().peak() <= BUDGET);
    for _ in 0..1_000 {
        now += 4_000_000_000;
        while server.poll_transmit(Instant(now), &mut frames) {}
        frames.clear();
    }
    assert_eq!(server.census(), (0, 0, 0), "nothing is left of the flood");
    assert_eq!(server.memory().used(), 0);
    let again = client.counters().syn_retrans;
    println!("{} SYNs, cookies {cookies}, late {late}: {served} served, {} gave up, {again} SYNs again", syns(), failed.len());
    Outcome { served, failed, again, server }
}

#[test]
fn with_cookies_nobody_notices_a_flood() {
    let Outcome { served, again, server, .. } = besiege(true, false);
    assert_eq!((served, again), (CLIENTS, 0));
    assert!(server.counters().syncookies_sent > syns() / 2 && server.counters().syncookies_recv > 0);
    assert_eq!(server.drops().get(Reason::SynQueue), 0);
}

#[test]
fn with_cookies_all_are_served_by_a_program_that_accepts_late() {
    let Outcome { served, failed, server, .. } = besiege(true, true);
    assert_eq!((served, failed.len()), (CLIENTS, 0));
    assert!(server.counters().listen_overflows > 0 && server.drops().get(Reason::AcceptQueue) > 0);
}

/// A full SYN queue drops everybody's SYNs, until the bogus ones have been waited for long enough.
#[test]
fn without_cookies_a_flood_costs_patience() {
    let Outcome { served, again, server, .. } = besiege(false, false);
    assert_eq!(served, CLIENTS);
    assert!(again >= CLIENTS as u64, "{again} SYNs again");
    assert!(server.drops().get(Reason::SynQueue) > syns() / 2);
    assert_eq!(server.counters().syncookies_sent, 0);
}

#[test]
fn without_cookies_and_accepted_late_some_give_up_as_timed_out() {
    let Outcome { served, failed, .. } = besiege(false, true);
    assert!(served > 0);
    assert_eq!(served + failed.len(), CLIENTS);
    assert!(failed.iter().all(|error| *error == Error::TimedOut), "{failed:?}");
}

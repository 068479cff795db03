//! Two worlds joined by a link that loses packets, and many threads that block in their calls.
#![cfg(target_os = "linux")]

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};

use ostia_posix::{Clock, Errno, PollFd, Setup, Sockaddr, World};
use ostia_stack::Instant;

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn world(own: &str, seed: u8) -> Arc<World> {
    let setup = Setup { addresses: vec![(address(own), 24)], seed: [seed; 32], ..Setup::default() };
    Arc::new(World::new(setup).expect("a world"))
}

/// Carries what leaves one world to another, and loses every n-th packet, until the former is closed. Counts what it has lost.
fn carry(from: &Arc<World>, to: &Arc<World>, lost: usize) -> JoinHandle<usize> {
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    thread::spawn(move || {
        let mut count = 0;
        while let Ok(packet) = from.take_packet(None) {
            count += 1;
            if lost == 0 || count % lost != 0 {
                to.inject(packet.frame.as_slice()).expect("a packet");
            }
        }
        count.checked_div(lost).unwrap_or(0)
    })
}

fn name(ip: &str, port: u16) -> Sockaddr {
    Sockaddr::new(address(ip), port)
}

fn tcp(world: &World) -> i32 {
    world.socket(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket")
}

fn listener(world: &World, port: u16) -> i32 {
    let fd = tcp(world);
    world.bind(fd, name("0.0.0.0", port).as_bytes()).expect("a free port");
    world.listen(fd, 64).expect("nobody else listens");
    fd
}

/// A byte of the stream, by its place.
fn octet(connection: usize, at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ connection as u8
}

/// Serves connections: sends everything back.
fn echo(world: &World, fd: i32) {
    let mut bytes = [0; 5000];
    loop {
        match world.recv(fd, &mut bytes, 0).expect("no reset") {
            0 => break,
            count => assert_eq!(world.send(fd, &bytes[..count], 0), Ok(count), "a send that blocks sends all"),
        }
    }
    world.close_fd(fd).expect("open");
}

#[test]
fn what_is_sent_comes_back_over_a_link_that_loses_packets() {
    const CONNECTIONS: usize = 8;
    const OCTETS: usize = 100_000;
    let (client, server) = (world(A, 1), world(B, 2));
    let pumps = [carry(&client, &server, 29), carry(&server, &client, 31)];
    let listening = listener(&server, 80);
    thread::scope(|scope| {
        let (client, server) = (&client, &server);
        for _ in 0..CONNECTIONS {
            // Each waits in accept, and serves whom it gets.
            scope.spawn(move || echo(server, server.accept4(listening, 0).expect("a connection").0));
        }
        for connection in 0..CONNECTIONS {
            scope.spawn(move || {
                let fd = tcp(client);
                client.connect(fd, name(B, 80).as_bytes()).expect("somebody listens");
                let writer = scope.spawn(move || {
                    let bytes: Vec<u8> = (0..OCTETS).map(|at| octet(connection, at)).collect();
                    assert_eq!(client.send(fd, &bytes, 0), Ok(OCTETS));
                    client.shutdown(fd, libc::SHUT_WR).expect("open");
                });
                let mut bytes = vec![0; OCTETS];
                assert_eq!(client.recv(fd, &mut bytes, libc::MSG_WAITALL), Ok(OCTETS));
                assert!((0..OCTETS).all(|at| bytes[at] == octet(connection, at)), "connection {connection}");
                assert_eq!(client.recv(fd, &mut bytes, 0), Ok(0), "and then the end");
                writer.join().expect("it has sent all");
                client.close_fd(fd).expect("open");
            });
        }
    });
    for world in [&client, &server] {
        world.close();
    }
    let lost: usize = pumps.into_iter().map(|pump| pump.join().expect("it carries")).sum();
    let again = client.counters().tcp_retrans_segs + server.counters().tcp_retrans_segs;
    assert!(lost > 0 && again > 0, "{lost} lost, {again} sent again");
    println!("joined: {lost} packets lost, {again} segments sent again");
}

/// A clock that stands still until somebody moves it.
struct ByHand(Arc<AtomicU64>);

impl Clock for ByHand {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn time_is_what_the_clock_says() {
    let nanos = Arc::new(AtomicU64::new(1_000_000_000));
    let clock = Box::new(ByHand(Arc::clone(&nanos)));
    let client = World::new(Setup { addresses: vec![(address(A), 24)], clock, ..Setup::default() }).expect("a world");
    let fd = client.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0).expect("a socket");
    assert_eq!(client.connect(fd, name(B, 80).as_bytes()), Err(Errno::EINPROGRESS));
    for (advance, expected) in [(0, 1), (999_999_999, 0), (1, 1), (1_999_999_999, 0), (1, 1)] {
        nanos.fetch_add(advance, Ordering::Relaxed);
        client.tick();
        let mut syns = 0;
        // Nothing more comes while the clock stands still.
        while client.take_packet(Some(std::time::Duration::ZERO)).is_ok() {
            syns += 1;
        }
        assert_eq!(syns, expected, "at {:?}", client.now());
    }
}

#[test]
fn nobody_answers_and_the_number_of_syns_ends_it() {
    let client = world(A, 3);
    let fd = tcp(&client);
    client.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_SYNCNT, &1i32.to_ne_bytes()).expect("within bounds");
    // The first SYN and one more: three seconds.
    assert_eq!(client.connect(fd, name(B, 80).as_bytes()), Err(Errno::ETIMEDOUT));
    let syns = (0..10).map_while(|_| client.take_packet(Some(std::time::Duration::ZERO)).ok()).count();
    assert_eq!(syns, 2);
}

#[test]
fn who_sleeps_wakes_when_the_world_ends() {
    let world = world(A, 4);
    let listening = listener(&world, 80);
    let udp = world.socket(libc::AF_INET, libc::SOCK_DGRAM, 0).expect("a socket");
    let epfd = world.epoll_create(0).expect("an epoll instance");
    let (begun, ended) = (Barrier::new(5), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (world, begun, ended) = (&world, &begun, &ended);
        let calls: [Box<dyn Fn() -> Option<Errno> + Send + '_>; 4] = [
            Box::new(move || world.accept4(listening, 0).err()),
            Box::new(move || world.recv(udp, &mut [0], 0).err()),
            Box::new(move || world.take_packet(None).err()),
            Box::new(move || world.epoll_wait(epfd, 1, -1).err()),
        ];
        let threads = calls.map(|call| {
            scope.spawn(move || {
                begun.wait();
                let error = call().expect("there is nothing to wait for");
                ended.fetch_add(1, Ordering::Relaxed);
                error
            })
        });
        begun.wait();
        world.close();
        for thread in threads {
            let error = thread.join().expect("it returns");
            // Who comes too late to sleep finds that its descriptor is no more.
            assert!([Errno::ECANCELED, Errno::EBADF, Errno::EINVAL, Errno::ENOTSOCK].contains(&error), "{error}");
        }
    });
    assert_eq!(ended.into_inner(), 4);
    let mut entry = [PollFd { fd: listening, events: libc::POLLIN, revents: 0 }];
    assert_eq!(world.poll(&mut entry, 0), Ok(1), "nothing is open any more");
}

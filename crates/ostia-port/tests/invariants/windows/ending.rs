//! Invariant 4 on Windows: ports and processes that end with requests in flight.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use ostia_port::os::{self, OwnedFd};
use ostia_port::{Op, leaked_requests};

use crate::common::peers::{pipe, tcp_pair};
use crate::common::system::URGENT;
use crate::common::{Engine, World, on_every_engine, open_descriptors, patience, repeat};

/// The other sides of what is in flight.
#[derive(Default)]
struct Peers {
    sockets: Vec<TcpStream>,
    pipes: Vec<OwnedFd>,
}

/// A port with more than a thousand requests in flight that nothing will complete.
fn busy(engine: &Engine) -> (World, Peers) {
    let mut world = World::new(engine.config());
    let mut peers = Peers::default();
    for n in 0..200usize {
        let (near, far) = tcp_pair();
        let socket = world.port.adopt(near, 0).expect("adopts");
        peers.sockets.push(far);
        world.submit(match n % 2 {
            0 => Op::RecvMulti { socket },
            _ => Op::RecvInto { socket, buffer: Vec::with_capacity(1000) },
        });
        world.submit(Op::Poll { handle: socket, events: os::POLLIN });
        world.submit(Op::Poll { handle: socket, events: URGENT });
        world.submit(Op::recv_from(socket, Vec::with_capacity(100)));
        let (near, far) = pipe();
        let file = world.port.adopt(near, 0).expect("adopts");
        peers.pipes.push(far);
        world.submit(match n % 2 {
            0 => Op::Read { file, buffer: Vec::with_capacity(1000) },
            _ => Op::ReadMulti { file },
        });
        if n % 10 == 0 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
            let listener = world.port.adopt(listener, 0).expect("adopts");
            world.submit(Op::AcceptMulti { listener });
            world.submit(Op::Timeout { after: Duration::from_secs(3600) });
        }
    }
    // More than a connection holds.
    let (near, far) = tcp_pair();
    let socket = world.port.adopt(near, 0).expect("adopts");
    world.submit(Op::Send { socket, data: vec![7; 32 << 20].into() });
    peers.sockets.push(far);
    (world, peers)
}

/// 4: a hundred ports, each dropped with a thousand requests in flight: none leaves a request or a handle behind.
#[test]
fn i04_a_hundred_ports_with_a_thousand_in_flight_are_drained() {
    on_every_engine("i04_a_hundred_ports_with_a_thousand_in_flight_are_drained", |engine| {
        let leaked = leaked_requests();
        let mut before = 0;
        for round in 0..=repeat(10, 100) {
            let (mut world, peers) = busy(engine);
            if round % 2 == 0 {
                world.turns(2);
            }
            let (operations, requests) = world.port.outstanding();
            assert!(operations > 1000 && (requests > 1000 || world.faulty), "{operations} operations, {requests} requests");
            drop(world);
            drop(peers);
            assert_eq!(leaked_requests(), leaked, "requests were left with Windows in round {round}");
            if round == 0 {
                // What a process makes once for itself has been made.
                before = open_descriptors();
            }
        }
        let deadline = Instant::now() + patience();
        while open_descriptors() > before && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(open_descriptors() <= before, "{} handles open, {before} before", open_descriptors());
    });
}

/// 4: a process that ends while its port has a thousand requests in flight ends, with its own exit code.
#[test]
fn i04_a_process_ends_with_requests_in_flight() {
    const NAME: &str = "i04_a_process_ends_with_requests_in_flight";
    const CHILD: &str = "OSTIA_ENDS_BUSY";
    if let Some(number) = std::env::var(CHILD).ok().and_then(|text| text.parse::<usize>().ok()) {
        let (mut world, _peers) = busy(&crate::common::ENGINES[number]);
        world.turns(2);
        std::process::exit(7);
    }
    let mut number = 0;
    on_every_engine(NAME, |_| {
        let program = std::env::current_exe().expect("the path of this program");
        let name = format!("windows::ending::{NAME}");
        let mut child = Command::new(program)
            .args(["--exact", &name, "--nocapture"])
            .env(CHILD, number.to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        let deadline = Instant::now() + patience();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() >= deadline {
                child.kill().expect("ends");
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(7));
        number += 1;
    });
}

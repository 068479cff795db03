//! Stacks short of memory, and peers that want all of it.

use std::time::Duration;

use ostia_stack::{Config, Error, Reason, State};
use ostia_wire::{Flags, Frame};

use crate::host::{Flow, Host};
use crate::packets::syn_options;
use crate::random::Random;
use crate::setup::peer;
use crate::world::theirs;

#[test]
fn segments_of_one_octet_do_not_take_more_memory_than_their_octets_deserve() {
    let mut host = Host::tun(Config::default());
    let mut flow = host.open(false);
    let before = host.stack.memory().used();
    for _ in 0..30_000 {
        host.feed(&flow.at(0, Flags::ACK, 1).packet());
        flow.advance(1);
    }
    assert_eq!(host.info(&flow).tcpi_bytes_received, 30_000);
    let used = host.stack.memory().used() - before;
    assert!(used <= 2 * 30_000, "{used} bytes for 30,000");
    let mut into = vec![0; 40_000];
    assert_eq!(host.stack.recv(flow.handle, &mut into), Ok(30_000));
    assert!(into[..30_000].iter().enumerate().all(|(at, &byte)| byte == theirs(5001 + at as u32)));
    assert_eq!(host.stack.memory().used(), before);
}

#[test]
fn a_flood_of_single_octets_beyond_gaps_is_bounded_and_the_stream_comes_through() {
    let mut host = Host::tun(Config::default());
    let mut flow = host.open(false);
    let before = host.stack.memory().used();
    let window = host.info(&flow).tcpi_rcv_wnd as i32;
    for offset in (1..window).step_by(2) {
        host.feed(&flow.at(offset, Flags::ACK, 1).packet());
    }
    assert!(host.stack.drops().get(Reason::TcpReassembly) > 0, "{:?}", host.stack.drops());
    let used = host.stack.memory().used() - before;
    assert!(used <= 4 << 20, "{used} bytes in use");
    let mut got = 0;
    let mut into = vec![0; 70_000];
    while got < 20_000 {
        host.feed(&flow.at(0, Flags::ACK, 1000).packet());
        flow.advance(1000);
        let count = host.stack.recv(flow.handle, &mut into).expect("data");
        assert!(into[..count].iter().enumerate().all(|(at, &byte)| byte == theirs(5001 + (got + at) as u32)));
        got += count;
    }
}

/// How many peers there are.
const PEERS: u16 = 200;

#[test]
fn two_hundred_peers_out_of_order_stay_within_a_quarter_of_a_mebibyte() {
    let mut config = Config::default();
    config.memory = 256 << 10;
    let limit = config.memory;
    let mut host = Host::tun(config);
    let mut random = Random::new(1);
    // As many as there is room for; the others aren't let in.
    let mut flows: Vec<Flow> = Vec::new();
    let mut refused = 0;
    for number in 0..PEERS {
        let port = 1000 + number;
        let before = host.stack.census().0;
        let room = host.stack.memory().limit() - host.stack.memory().used();
        if room < 4096 {
            refused += 1;
            continue;
        }
        flows.push(host.open_with(peer(number % 2 == 1, true), port, syn_options(1460, 1000)));
        assert_eq!(host.stack.census().0, before + 1);
    }
    assert!(flows.len() >= 50, "{} connections, {refused} refused", flows.len());
    println!("pressure: {} connections, {refused} refused", flows.len());
    for _ in 0..30_000 {
        let which = random.between(0, flows.len() as u64 - 1) as usize;
        // Beyond a gap mostly; now and then in order, and nobody reads.
        let offset = if random.chance(1_000) { 0 } else { random.between(1, 60_000) as i32 };
        let segment = flows[which].at(offset, Flags::ACK, random.pick(&[1, 10, 500, 1448]));
        for answer in host.feed(&segment.packet()) {
            if answer.destination == flows[which].segment.source {
                flows[which].segment.seq = answer.ack;
            }
        }
        let used = host.stack.memory().used();
        assert!(used <= limit, "{used} bytes in use of {limit}");
    }
    assert!(host.stack.drops().get(Reason::TcpReassembly) > 1000, "{:?}", host.stack.drops());
    assert!(host.stack.memory().peak() <= limit);
    // It lives: every stream goes on, in order, and ends.
    let mut into = [0; 70_000];
    let mut got = vec![0; flows.len()];
    let mut read = |host: &mut Host, flow: &Flow, got: &mut usize| {
        while let Some(count) = match host.stack.recv(flow.handle, &mut into) {
            Ok(count) => Some(count),
            Err(error) => {
                assert_eq!(error, Error::WouldBlock);
                None
            }
        } {
            let first = 5001 + *got as u32;
            assert!(into[..count].iter().enumerate().all(|(at, &byte)| byte == theirs(first + at as u32)));
            *got += count;
        }
    };
    for (flow, got) in flows.iter().zip(&mut got) {
        read(&mut host, flow, got);
    }
    for (flow, got) in flows.iter().zip(&mut got) {
        let mut next = flow.clone();
        for _ in 0..60 {
            next.segment.seq = 5001 + *got as u32;
            host.feed(&next.at(0, Flags::ACK, 500).packet());
            read(&mut host, flow, got);
        }
        assert!(*got >= 59 * 500, "{got} bytes came through");
    }
    for flow in &flows {
        assert_eq!(host.info(flow).tcpi_state, State::Established);
        host.stack.abort(flow.handle).expect("an open connection");
    }
    host.sent();
    host.wait(Duration::from_secs(1));
    assert_eq!((host.stack.census(), host.stack.memory().used()), ((0, 0, 0), 0));
    // And somebody new gets in.
    let flow = host.open_with(peer(false, true), 9, syn_options(1460, 1));
    assert_eq!(host.info(&flow).tcpi_state, State::Established);
}

#[test]
fn what_others_have_got_out_of_order_makes_room_for_what_comes_in_order() {
    let mut config = Config::default();
    config.memory = 1 << 20;
    let mut host = Host::tun(config);
    // These never send what is missing.
    let hoarders: Vec<Flow> =
        (0..60).map(|port| host.open_with(peer(false, true), 1000 + port, syn_options(1460, 1000))).collect();
    let mut flows: Vec<Flow> = (0..8).map(|port| host.open_with(peer(true, true), port + 1, syn_options(1460, 1000))).collect();
    let octets = 512;
    for offset in 1..100 {
        for hoarder in &hoarders {
            host.feed(&hoarder.at(offset * octets, Flags::ACK, octets as u32).packet());
        }
    }
    let (used, limit) = (host.stack.memory().used(), host.stack.memory().limit());
    assert!(used > limit / 4 * 3, "{used} bytes");
    // In order, and nobody reads: more than is left beside what is hoarded.
    assert!(limit - used < flows.len() * 64_000);
    for _ in 0..45 {
        for flow in &mut flows {
            host.feed(&flow.at(0, Flags::ACK, 1400).packet());
            flow.advance(1400);
        }
    }
    for flow in &flows {
        assert_eq!(host.info(flow).tcpi_bytes_received, 45 * 1400);
    }
    assert_eq!(host.stack.drops().get(Reason::Memory), 0);
    assert!(host.stack.memory().peak() <= host.stack.memory().limit());
    // Those whose pieces were given up are none the worse.
    for hoarder in &hoarders {
        assert_eq!(host.info(hoarder).tcpi_state, State::Established);
    }
}

#[test]
fn frames_that_nobody_takes_are_bounded() {
    let mut host = Host::tun(Config::default());
    let flow = host.open(false);
    let segment = |port: u16| {
        let mut segment = flow.at(0, Flags::SYN, 0);
        (segment.destination.1, segment.source.1) = (9, port);
        Frame::from_slice(&segment.packet())
    };
    // To a port where nobody listens: a reset for each.
    host.stack.input(host.link, (1..=20_000).map(segment), host.now);
    let dropped = host.stack.drops().get(Reason::TransmitQueue);
    assert_eq!((host.sent().len() as u64, dropped), (4096, 20_000 - 4096));
}

//! What a tracer sees: each connection's states without a gap, and only changes that RFC 9293 has.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostia_stack::{Address, Config, Handle, Instant, LinkConfig, LinkId, Local, Medium, Stack, State, Step};
use ostia_wire::Frame;

/// Whose connection, and its states in order.
type Changes = Arc<Mutex<Vec<((u16, u16), State, State)>>>;

struct Side {
    stack: Stack,
    link: LinkId,
    changes: Changes,
}

fn address(text: &str) -> Address {
    text.parse::<IpAddr>().expect("an address").into()
}

fn side(number: u8, config: Config) -> Side {
    let mut stack = Stack::new(config, [number; 32]);
    let link = LinkConfig { name: "link".into(), medium: Medium::Ip, mtu: 1500, checksum_offload: false, gso_max: 0 };
    let link = stack.add_link(link).expect("a link");
    stack.add_address(link, address(&format!("10.0.0.{number}")), 24).expect("an address");
    let changes = Changes::default();
    let seen = Arc::clone(&changes);
    stack.set_tracer(Some(Box::new(move |_, step| {
        if let Step::State { local, remote, from, to, .. } = step {
            seen.lock().expect("unpoisoned").push(((local.1, remote.1), *from, *to));
        }
    })));
    Side { stack, link, changes }
}

/// Carries frames to and fro until nothing is due before `until`.
fn run(sides: &mut [Side; 2], now: &mut Instant, until: Instant) {
    loop {
        let mut moved = false;
        for from in 0..2 {
            let mut out = Vec::new();
            sides[from].stack.poll_transmit(*now, &mut out);
            moved |= !out.is_empty();
            let frames: Vec<Frame> = out.into_iter().map(|transmit| transmit.frame).collect();
            let to = &mut sides[1 - from];
            to.stack.input(to.link, frames, *now);
        }
        if moved {
            continue;
        }
        let next = sides[0].stack.next_deadline().min(sides[1].stack.next_deadline());
        if next > until {
            *now = until;
            return;
        }
        *now = next.max(*now);
    }
}

/// The states that a connection goes through on one side; checks that each change begins where the last one ended.
fn path(side: &Side, ports: (u16, u16)) -> Vec<State> {
    let changes = side.changes.lock().expect("unpoisoned");
    let own: Vec<_> = changes.iter().filter(|(of, ..)| *of == ports).collect();
    for pair in own.windows(2) {
        assert_eq!(pair[0].2, pair[1].1, "a gap in {own:?}");
    }
    own.first().map(|first| first.1).into_iter().chain(own.iter().map(|change| change.2)).collect()
}

fn open(sides: &mut [Side; 2], now: &mut Instant) -> [Handle; 2] {
    let listener = sides[1].stack.listen(Local { address: None, port: 80 }, 5).expect("a listener");
    let opener = sides[0].stack.connect_with((address("10.0.0.2"), 80), Some((None, 9000)), None, sides[0].stack.options());
    let opener = opener.expect("a connection");
    let soon = *now + Duration::from_millis(1);
    run(sides, now, soon);
    [opener, sides[1].stack.accept(listener).expect("a connection")]
}

fn later(now: Instant) -> Instant {
    now + Duration::from_secs(200)
}

use State::{CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent, TimeWait};

#[test]
fn both_sides_of_a_connection_are_seen_from_its_begin_to_its_end() {
    let (mut sides, mut now) = ([side(1, Config::default()), side(2, Config::default())], Instant(1));
    let [opener, accepted] = open(&mut sides, &mut now);
    sides[0].stack.close(opener).expect("open");
    let soon = now + Duration::from_millis(1);
    run(&mut sides, &mut now, soon);
    sides[1].stack.close(accepted).expect("open");
    run(&mut sides, &mut now, later(soon));
    assert_eq!(path(&sides[0], (9000, 80)), [Closed, SynSent, Established, FinWait1, FinWait2, TimeWait, Closed]);
    assert_eq!(path(&sides[1], (80, 9000)), [Listen, SynReceived, Established, CloseWait, LastAck, Closed]);
    assert_eq!(path(&sides[1], (80, 0)), [Closed, Listen]);
}

#[test]
fn fins_that_cross_are_seen_to() {
    let (mut sides, mut now) = ([side(1, Config::default()), side(2, Config::default())], Instant(1));
    let handles = open(&mut sides, &mut now);
    let mut waiting: BTreeMap<usize, Vec<Frame>> = BTreeMap::new();
    for (number, handle) in handles.into_iter().enumerate() {
        sides[number].stack.close(handle).expect("open");
        let mut out = Vec::new();
        sides[number].stack.poll_transmit(now, &mut out);
        waiting.insert(1 - number, out.into_iter().map(|transmit| transmit.frame).collect());
    }
    for (number, frames) in waiting {
        let side = &mut sides[number];
        side.stack.input(side.link, frames, now);
    }
    let end = later(now);
    run(&mut sides, &mut now, end);
    for (side, ports) in sides.iter().zip([(9000, 80), (80, 9000)]) {
        assert!(path(side, ports).ends_with(&[Established, FinWait1, Closing, TimeWait, Closed]), "{:?}", path(side, ports));
    }
}

#[test]
fn a_half_open_connection_goes_back_to_listen_by_a_reset_and_ends_by_silence() {
    for reset in [true, false] {
        let (mut sides, mut now) = ([side(1, Config::default()), side(2, Config::default())], Instant(1));
        sides[1].stack.listen(Local { address: None, port: 80 }, 5).expect("a listener");
        let options = sides[0].stack.options();
        let opener = sides[0].stack.connect_with((address("10.0.0.2"), 80), Some((None, 9000)), None, options);
        let mut out = Vec::new();
        sides[0].stack.poll_transmit(now, &mut out);
        let to = &mut sides[1];
        to.stack.input(to.link, out.into_iter().map(|transmit| transmit.frame), now);
        // The opener is gone: it answers the SYN-ACK with a reset, or not at all.
        sides[0].stack.abort(opener.expect("a connection")).expect("open");
        let end = later(now);
        if reset {
            run(&mut sides, &mut now, end);
        } else {
            while now < end {
                sides[1].stack.poll_transmit(now, &mut Vec::new());
                now = sides[1].stack.next_deadline().min(end);
            }
        }
        assert_eq!(path(&sides[1], (80, 9000)), [Listen, SynReceived, if reset { Listen } else { Closed }]);
    }
}

#[test]
fn a_connection_by_cookie_has_been_half_open_too() {
    let mut config = Config::default();
    config.syn_queue = 0;
    let (mut sides, mut now) = ([side(1, Config::default()), side(2, config)], Instant(1));
    let [opener, accepted] = open(&mut sides, &mut now);
    assert_eq!(sides[1].stack.counters().syncookies_recv, 1);
    sides[0].stack.abort(opener).expect("open");
    let end = later(now);
    run(&mut sides, &mut now, end);
    sides[1].stack.close(accepted).expect("open");
    assert_eq!(path(&sides[0], (9000, 80)), [Closed, SynSent, Established, Closed]);
    assert_eq!(path(&sides[1], (80, 9000)), [Listen, SynReceived, Established, Closed]);
}

#[test]
fn a_fin_that_completes_the_handshake_does_not_skip_established() {
    let (mut sides, mut now) = ([side(1, Config::default()), side(2, Config::default())], Instant(1));
    sides[1].stack.listen(Local { address: None, port: 80 }, 5).expect("a listener");
    let options = sides[0].stack.options();
    let opener = sides[0].stack.connect_with((address("10.0.0.2"), 80), Some((None, 9000)), None, options);
    for (from, lost) in [(0, false), (1, false), (0, true)] {
        let mut out = Vec::new();
        sides[from].stack.poll_transmit(now, &mut out);
        assert_eq!(out.len(), 1, "the handshake, of which the last segment is lost");
        let frames = out.into_iter().map(|transmit| transmit.frame).filter(|_| !lost);
        let to = &mut sides[1 - from];
        to.stack.input(to.link, frames, now);
    }
    sides[0].stack.close(opener.expect("a connection")).expect("open");
    let soon = now + Duration::from_millis(1);
    run(&mut sides, &mut now, soon);
    assert_eq!(path(&sides[1], (80, 9000)), [Listen, SynReceived, Established, CloseWait]);
}

#[test]
fn a_listener_ends_with_close() {
    let mut side = side(1, Config::default());
    let listener = side.stack.listen(Local { address: None, port: 80 }, 5).expect("a listener");
    side.stack.close(listener).expect("open");
    assert_eq!(path(&side, (80, 0)), [Closed, Listen, Closed]);
}

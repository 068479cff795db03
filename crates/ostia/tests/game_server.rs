//! The game server and its clients: every client sees the server's world, whatever is lost, doubled, swapped or made up.
#![allow(dead_code, reason = "the example uses all of its modules, the test its part")]

mod common;

#[path = "../examples/shared/bytes.rs"]
mod bytes;
#[path = "../examples/game_server/client.rs"]
mod client;
#[path = "../examples/game_server/cookie.rs"]
mod cookie;
#[path = "../examples/game_server/protocol.rs"]
mod protocol;
#[path = "../examples/shared/seeded.rs"]
mod seeded;
#[path = "../examples/game_server/server.rs"]
mod server;
#[path = "../examples/game_server/session.rs"]
mod session;
#[path = "../examples/game_server/snapshot.rs"]
mod snapshot;
#[path = "../examples/game_server/view.rs"]
mod view;
#[path = "../examples/game_server/wire.rs"]
mod wire;
#[path = "../examples/game_server/world.rs"]
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::{on_each, on_each_with_faults};
use ostia::net::UdpSocket;
use ostia::sync::CancellationToken;
use ostia::time::{sleep, timeout};
use ostia::{JoinHandle, JoinSet, spawn};

use client::{PlayError, Report, play};
use protocol::{Answer, DATAGRAM_MOST, HANDSHAKE_LEN, INPUTS_MOST, PART_MOST, Refusal, Request, Snapshot};
use seeded::Seeded;
use server::{Server, Settings, Statistics};
use session::{INPUTS_PER_TICK, Session};
use view::View;
use wire::Trouble;
use world::{Arena, COINS_FROM, Entity, Input, World};

/// Long enough on any machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for datagrams on loopback to have arrived.
const SETTLE: Duration = Duration::from_millis(100);

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("address")
}

/// A server in a task, and what its world was at every tick.
struct Playing {
    address: SocketAddr,
    stop: CancellationToken,
    hashes: Rc<RefCell<BTreeMap<u32, u64>>>,
    newest: Rc<RefCell<World>>,
    task: JoinHandle<std::io::Result<Statistics>>,
}

impl Playing {
    fn start(settings: Settings) -> Playing {
        let server = Server::bind(any(), settings).expect("bind");
        let (address, stop) = (server.local_addr().expect("address"), CancellationToken::new());
        let (hashes, newest) = (Rc::new(RefCell::new(BTreeMap::new())), Rc::new(RefCell::new(World::default())));
        let task = spawn({
            let (stop, hashes, newest) = (stop.clone(), Rc::clone(&hashes), Rc::clone(&newest));
            async move {
                let observe = |world: &World| {
                    hashes.borrow_mut().insert(world.tick, world.hash());
                    newest.borrow_mut().clone_from(world);
                };
                server.run(&stop, observe).await
            }
        });
        Playing { address, stop, hashes, newest, task }
    }

    fn players(&self) -> usize {
        self.newest.borrow().players()
    }

    /// Waits until there are so many players.
    async fn until_players(&self, count: usize) {
        let there = async {
            while self.players() != count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("{} players, not {count}", self.players()));
    }

    async fn end(self) -> Statistics {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("it stops").expect("no panic").expect("no error")
    }

    /// Lets bots play to their end and compares what each has seen with what there was.
    async fn with_bots(&self, bots: u64, worlds: u32, trouble: Trouble) -> Vec<Report> {
        let mut playing = JoinSet::new();
        for bot in 0..bots {
            let settings = client::Settings { server: self.address, seed: 1000 + bot, worlds, trouble };
            playing.spawn(async move { play(settings, &CancellationToken::new()).await });
        }
        let ended = timeout(PATIENCE, playing.join_all()).await.expect("all end").expect("no panic");
        let reports: Vec<Report> = ended.into_iter().map(|ended| ended.expect("plays to the end")).collect();
        for report in &reports {
            assert!(report.seen.len() >= worlds as usize && report.inputs >= worlds, "{} worlds", report.seen.len());
            assert!(report.seen.is_sorted_by(|one, next| one.tick < next.tick && one.applied <= next.applied));
            for seen in &report.seen {
                assert_eq!(self.hashes.borrow().get(&seen.tick), Some(&seen.hash), "the server's world at tick {}", seen.tick);
            }
            let last = report.seen.last().expect("some");
            assert_eq!(last.applied, report.inputs, "each input counts once");
            assert_eq!(report.surprises, 0, "where a player is follows from its inputs");
        }
        reports
    }
}

#[test]
fn sixty_four_clients_see_the_servers_world() {
    on_each(|| async {
        let playing = Playing::start(Settings { rate: 60, clients: 64, ..Settings::default() });
        let reports = playing.with_bots(64, 40, Trouble::default()).await;
        assert!(reports.iter().all(|report| (1..=64).contains(&report.player)));
        playing.until_players(0).await;
        let statistics = playing.end().await;
        // Loopback may lose a farewell too, when a queue is full.
        assert_eq!((statistics.joined, statistics.left + statistics.timed_out), (64, 64), "{statistics}");
        assert_eq!((statistics.refused, statistics.malformed), (0, 0), "{statistics}");
        assert!(statistics.bytes_out <= statistics.datagrams_out * DATAGRAM_MOST as u64);
    });
}

#[test]
fn one_client_on_a_driver_with_faults() {
    on_each_with_faults(|| async {
        let playing = Playing::start(Settings { rate: 100, ..Settings::default() });
        playing.with_bots(3, 20, Trouble::default()).await;
        playing.end().await;
    });
}

#[test]
fn what_is_lost_doubled_or_swapped_is_made_up_for() {
    on_each(|| async {
        let playing = Playing::start(Settings { rate: 100, coins: 500, ..Settings::default() });
        let trouble = Trouble { lost: 25, doubled: 15, swapped: 20 };
        let reports = playing.with_bots(12, 60, trouble).await;
        assert!(reports.iter().all(|report| report.lost > 0));
        playing.end().await;
    });
}

/// A client by hand: what it sends and what comes back.
struct Hand {
    socket: UdpSocket,
    sent: usize,
    received: usize,
}

impl Hand {
    fn to(server: SocketAddr) -> Hand {
        let socket = UdpSocket::bind(any()).expect("bind");
        socket.connect(server).expect("connect");
        Hand { socket, sent: 0, received: 0 }
    }

    async fn send(&mut self, datagram: &[u8]) {
        self.sent += datagram.len();
        self.socket.send(datagram.to_vec()).await.0.expect("sent");
    }

    async fn recv(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let (received, datagram) = timeout(patience, self.socket.recv(Vec::with_capacity(2048))).await.ok()?;
        self.received += received.expect("received");
        assert!(datagram.len() <= DATAGRAM_MOST);
        Some(datagram)
    }

    async fn ask(&mut self, request: &Request) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode(&mut out);
        self.send(&out).await;
        self.recv(PATIENCE).await.expect("an answer")
    }

    /// What comes until nothing does.
    async fn drain(&mut self) -> usize {
        let mut datagrams = 0;
        while self.recv(SETTLE).await.is_some() {
            datagrams += 1;
        }
        datagrams
    }

    async fn cookie(&mut self, nonce: u64) -> u64 {
        match Answer::decode(&self.ask(&Request::Hello { nonce }).await) {
            Some(Answer::Challenge { nonce: ours, cookie }) if ours == nonce => cookie,
            other => panic!("no challenge: {other:?}"),
        }
    }

    /// Joins; gives the token, or why not.
    async fn join(&mut self, nonce: u64) -> Result<u64, Refusal> {
        let cookie = self.cookie(nonce).await;
        match Answer::decode(&self.ask(&Request::Join { nonce, cookie }).await) {
            Some(Answer::Welcome { nonce: ours, token, .. }) if ours == nonce => Ok(token),
            Some(Answer::Refused { nonce: ours, why }) if ours == nonce => Err(why),
            other => panic!("neither in nor out: {other:?}"),
        }
    }
}

#[test]
fn strangers_get_less_than_they_send_and_leave_nothing_behind() {
    on_each(|| async {
        let playing = Playing::start(Settings { rate: 100, ..Settings::default() });
        let mut valid = Vec::new();
        let token = 7;
        for request in [
            Request::Hello { nonce: 1 },
            Request::Join { nonce: 1, cookie: 2 },
            Request::Inputs { token, ack: 1, first: 1, inputs: vec![Input::default(); INPUTS_MOST] },
            Request::Leave { token },
        ] {
            let mut out = Vec::new();
            request.encode(&mut out);
            valid.push(out);
        }
        let mut hand = Hand::to(playing.address);
        // Each whole, cut at every place, and made longer.
        for datagram in &valid {
            for len in 0..=datagram.len() {
                let (sent, received) = (hand.sent, hand.received);
                hand.send(&datagram[..len]).await;
                if datagram[4] == 1 && len == HANDSHAKE_LEN {
                    assert!(matches!(
                        Answer::decode(&hand.recv(PATIENCE).await.expect("a challenge")),
                        Some(Answer::Challenge { .. })
                    ));
                }
                assert!(hand.received - received <= hand.sent - sent);
            }
            let longer: Vec<u8> = datagram.iter().copied().chain([0; 1400]).collect();
            hand.send(&longer).await;
        }
        assert_eq!(hand.drain().await, 0, "one answer to one of them");
        // A cookie is good at its own address only, for its own nonce.
        let cookie = hand.cookie(9).await;
        let mut other = Hand::to(playing.address);
        for (hand, nonce) in [(&mut other, 9), (&mut hand, 8)] {
            let mut out = Vec::new();
            Request::Join { nonce, cookie }.encode(&mut out);
            hand.send(&out).await;
            assert_eq!(hand.drain().await, 0);
        }
        assert_eq!(playing.players(), 0);
        let joined = hand.join(9).await;
        assert!(joined.is_ok());
        playing.until_players(1).await;
        let statistics = playing.end().await;
        assert_eq!((statistics.joined, statistics.refused), (1, 0), "{statistics}");
        assert!(statistics.malformed > 100 && statistics.unknown > 4, "{statistics}");
    });
}

#[test]
fn a_snapshot_says_what_has_changed_since_the_last_acknowledged_and_a_tick_takes_few_inputs() {
    on_each(|| async {
        let playing = Playing::start(Settings { rate: 100, coins: 500, ..Settings::default() });
        let mut hand = Hand::to(playing.address);
        let token = hand.join(1).await.expect("room");
        let (mut view, mut out) = (View::default(), Vec::new());
        let (mut whole, mut differences, mut before) = (0, 0, (0, 0));
        while before.1 < INPUTS_MOST as u32 {
            let datagram = hand.recv(PATIENCE).await.expect("snapshots go on");
            let Some(Answer::Snapshot(snapshot)) = Answer::decode(&datagram) else { continue };
            match snapshot.baseline {
                0 => assert!(snapshot.parts > 1, "500 coins are more than a datagram"),
                _ => assert!(snapshot.parts == 1 && snapshot.body.len() < 200, "{snapshot:?}"),
            }
            let Some(seen) = view.take(&snapshot).expect("the server's world") else { continue };
            if snapshot.baseline == 0 {
                whole += 1;
            } else {
                differences += 1;
                let (ticks, newly) = (seen.tick - before.0, seen.applied - before.1);
                assert!(newly <= ticks * INPUTS_PER_TICK as u32, "{newly} inputs in {ticks} ticks");
            }
            before = (seen.tick, seen.applied);
            // From the first difference on, all at once that are not applied.
            let left = if differences > 0 { INPUTS_MOST - seen.applied as usize } else { 0 };
            let inputs = vec![Input { dx: 1, dy: 1 }; left];
            Request::Inputs { token, ack: view.tick(), first: seen.applied + 1, inputs }.encode(&mut out);
            hand.send(&out).await;
        }
        assert!(whole >= 1 && differences > INPUTS_MOST / INPUTS_PER_TICK);
        playing.end().await;
    });
}

#[test]
fn a_flood_of_nonsense_disturbs_nobody() {
    on_each(|| async {
        let playing = Playing::start(Settings { rate: 60, clients: 8, ..Settings::default() });
        let stop = CancellationToken::new();
        let flood = spawn({
            let (stop, server) = (stop.clone(), playing.address);
            async move {
                let mut chance = Seeded::new(99);
                let socket = UdpSocket::bind(any()).expect("bind");
                let mut sent = 0u64;
                let mut datagram = Vec::new();
                while !stop.is_cancelled() {
                    for _ in 0..50 {
                        // Real ones with a few bits turned, and noise.
                        match chance.below(4) {
                            0 => Request::Join { nonce: chance.next(), cookie: chance.next() }.encode(&mut datagram),
                            1 => {
                                let (token, inputs) = (chance.next(), vec![Input::default(); 40]);
                                Request::Inputs { token, ack: 5, first: 1, inputs }.encode(&mut datagram);
                            }
                            2 => Request::Leave { token: chance.next() }.encode(&mut datagram),
                            _ => datagram = (0..chance.below(1500)).map(|_| chance.next() as u8).collect(),
                        }
                        if !datagram.is_empty() && chance.chance(50) {
                            let at = chance.below(datagram.len() as u64) as usize;
                            datagram[at] ^= 1 << chance.below(8);
                        }
                        sent += u64::from(socket.try_send_to(&datagram, server).is_ok());
                    }
                    sleep(Duration::from_millis(2)).await;
                }
                sent
            }
        });
        playing.with_bots(4, 40, Trouble::default()).await;
        stop.cancel();
        let sent = flood.await.expect("no panic");
        playing.until_players(0).await;
        let statistics = playing.end().await;
        assert_eq!((statistics.joined, statistics.left + statistics.timed_out), (4, 4), "{statistics}");
        assert!(sent > 100 && statistics.malformed > 0 && statistics.unknown > 0, "{sent} sent\n{statistics}");
    });
}

#[test]
fn who_is_silent_is_dropped_and_who_is_too_many_is_refused() {
    on_each(|| async {
        let playing = Playing::start(Settings { rate: 100, clients: 2, patience: 30, ..Settings::default() });
        let (mut one, mut other, mut third) = (Hand::to(playing.address), Hand::to(playing.address), Hand::to(playing.address));
        let token = one.join(1).await.expect("room");
        other.join(2).await.expect("room");
        assert_eq!(third.join(3).await, Err(Refusal::Full));
        let settings = client::Settings { server: playing.address, seed: 5, worlds: 1, trouble: Trouble::default() };
        let refused = play(settings, &CancellationToken::new()).await;
        assert!(matches!(refused, Err(PlayError::Refused(Refusal::Full))));
        playing.until_players(2).await;
        // One goes on saying something, the other doesn't.
        let mut out = Vec::new();
        Request::Inputs { token, ack: 0, first: 1, inputs: Vec::new() }.encode(&mut out);
        let talk = async {
            while playing.players() != 1 {
                one.send(&out).await;
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, talk).await.expect("the silent one goes");
        // There is room again, and a second Join of the same session changes nothing.
        third.join(3).await.expect("room");
        third.drain_snapshots_and_join_again(3).await;
        playing.until_players(0).await;
        let statistics = playing.end().await;
        assert_eq!((statistics.joined, statistics.timed_out, statistics.refused), (3, 3, 2), "{statistics}");
    });
}

impl Hand {
    /// Joins once more in the middle of the snapshots that come.
    async fn drain_snapshots_and_join_again(&mut self, nonce: u64) {
        let mut tokens = Vec::new();
        let mut ask = Request::Hello { nonce };
        for _ in 0..1000 {
            let answer = self.ask(&ask).await;
            match Answer::decode(&answer) {
                Some(Answer::Snapshot(snapshot)) => tokens.push(snapshot.token),
                Some(Answer::Challenge { nonce, cookie }) => ask = Request::Join { nonce, cookie },
                Some(Answer::Welcome { token, .. }) => {
                    tokens.push(token);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(tokens.iter().all(|token| Some(token) == tokens.last()), "one session");
    }
}

#[test]
fn the_end_of_the_server_ends_its_clients() {
    on_each(|| async {
        let playing = Playing::start(Settings { rate: 100, ..Settings::default() });
        let settings = client::Settings { server: playing.address, seed: 1, worlds: u32::MAX, trouble: Trouble::default() };
        let bot = spawn(async move { play(settings, &CancellationToken::new()).await });
        playing.until_players(1).await;
        playing.end().await;
        let ended = timeout(PATIENCE, bot).await.expect("it ends").expect("no panic");
        assert!(matches!(ended, Err(PlayError::Ended)), "{ended:?}");
    });
}

#[test]
fn the_difference_of_any_two_worlds_turns_one_into_the_other_and_fits_into_datagrams() {
    let mut chance = Seeded::new(3);
    let mut worlds = vec![World::default()];
    for tick in 1..40 {
        let mut world = World { tick, ..World::default() };
        for _ in 0..chance.below(400) {
            let mut number = || (chance.next() as i32) >> chance.below(32);
            let entity = Entity::from_fields(std::array::from_fn(|_| number()));
            world.entities.insert(chance.below(300) as u16, entity);
        }
        worlds.push(world);
    }
    for base in &worlds {
        for now in &worlds {
            let parts = snapshot::delta(base, now);
            assert!(!parts.is_empty() && parts.iter().all(|part| part.len() <= PART_MOST));
            // Parts touch different entities: their order is no matter.
            let backwards = parts.iter().rev().map(Vec::as_slice);
            assert_eq!(snapshot::apply(base, now.tick, backwards).as_ref(), Some(now));
        }
    }
}

#[test]
fn what_is_decoded_is_what_was_encoded_and_noise_is_neither() {
    let mut out = Vec::new();
    let inputs = vec![Input { dx: -128, dy: 127 }, Input { dx: 0, dy: -1 }];
    for request in [
        Request::Hello { nonce: 1 },
        Request::Join { nonce: u64::MAX, cookie: 2 },
        Request::Inputs { token: 3, ack: 4, first: 5, inputs },
        Request::Leave { token: 6 },
    ] {
        request.encode(&mut out);
        assert_eq!(Request::decode(&out), Some(request));
        assert_eq!(Answer::decode(&out), None, "neither side takes its own");
    }
    let snapshot = Snapshot { token: 1, tick: 9, baseline: 2, hash: 3, applied: 4, part: 0, parts: 1, body: b"x" };
    for answer in [
        Answer::Challenge { nonce: 1, cookie: 2 },
        Answer::Welcome { nonce: 1, token: 2, player: 3, rate: 4 },
        Answer::Refused { nonce: 1, why: Refusal::Full },
        Answer::Snapshot(snapshot),
        Answer::Goodbye { token: 1 },
    ] {
        answer.encode(&mut out);
        assert!(matches!(answer, Answer::Snapshot(_)) || out.len() < HANDSHAKE_LEN, "strangers get less than they send");
        assert_eq!(Answer::decode(&out), Some(answer));
        assert_eq!(Request::decode(&out), None);
    }
    let mut chance = Seeded::new(8);
    for _ in 0..100_000 {
        let mut noise: Vec<u8> = out[..5].to_vec();
        noise[4] = chance.next() as u8;
        noise.extend((0..chance.below(90)).map(|_| chance.next() as u8));
        if let Some(request) = Request::decode(&noise) {
            request.encode(&mut out);
            assert_eq!(out, noise, "one way to write each");
        }
        if let Some(Answer::Snapshot(snapshot)) = Answer::decode(&noise) {
            // Whatever it gives, it doesn't panic.
            let _ = snapshot::apply(&World::default(), 1, [snapshot.body]);
        }
    }
}

#[test]
fn a_session_takes_each_input_once_and_in_order_and_no_more_than_its_bound() {
    let inputs: Vec<Input> = (0..100).map(|dx| Input { dx, dy: 0 }).collect();
    let mut session = Session::new(1, 1, 1, 0);
    session.take(1, 0, 2, &inputs[1..5]);
    assert_eq!(session.next_input(), None, "the first is missing");
    session.take(1, 0, 1, &inputs[..3]);
    session.take(1, 0, 1, &inputs[..2]);
    session.take(1, 0, 2, &inputs[1..40]);
    let taken: Vec<Input> = std::iter::from_fn(|| session.next_input()).collect();
    assert_eq!(taken, inputs[..INPUTS_MOST]);
    session.take(1, 0, u32::MAX, &inputs);
    session.take(1, 0, 1, &inputs[..INPUTS_MOST]);
    assert_eq!(session.next_input(), None);
    session.take(5, 9, 1, &[]);
    assert_eq!((session.acked, session.heard), (0, 5), "a tick that has not been can't have been seen");
    const { assert!(INPUTS_PER_TICK < INPUTS_MOST) };
}

#[test]
fn cookies_hash_as_siphash_says() {
    // The test vector of the paper's appendix A: 15 bytes.
    let message: Vec<u8> = (0..15).collect();
    assert_eq!(cookie::siphash((0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908), &message), 0xa129_ca61_49be_45e5);
}

#[test]
fn coins_go_to_who_reaches_them() {
    let mut arena = Arena::new(1000, 5);
    arena.enter(1);
    let coins = |arena: &Arena| arena.world.entities.range(COINS_FROM..).count();
    for step in 0..500 {
        arena.apply(1, Input { dx: 100, dy: if step % 50 < 25 { 90 } else { -90 } });
        arena.finish_tick();
        assert_eq!(coins(&arena), 1000);
    }
    assert!(arena.world.entities[&1].score > 10);
    arena.leave(1);
    assert_eq!(arena.world.players(), 0);
}

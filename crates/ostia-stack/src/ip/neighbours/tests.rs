//! The cache by itself: states, bounds, and who is evicted.

use super::*;
use crate::Config;
use crate::ip::testing::addr;

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn cache() -> (Neighbours, Env) {
    let mut env = Env::new(Config::default(), [1; 32]);
    (Neighbours::new(&mut env), env)
}

fn reply(target: &str, mac: MacAddr) -> Advert {
    Advert { target: addr(target), mac: Some(mac), solicited: true, overrides: true, router: false }
}

fn state(cache: &Neighbours, env: &Env, address: &str) -> Option<NeighbourState> {
    cache.iter(env.now).find(|neighbour| neighbour.address == addr(address)).map(|neighbour| neighbour.state)
}

fn turn(cache: &mut Neighbours, env: &mut Env) -> (Vec<Solicit>, Vec<Gone>) {
    let (mut ask, mut gone) = (Vec::new(), Vec::new());
    env.now = cache.deadline();
    cache.expire(env, &mut ask, &mut gone);
    (ask, gone)
}

#[test]
fn a_packet_waits_for_the_answer_and_is_released_by_it() {
    let (mut cache, mut env) = cache();
    assert_eq!(cache.lookup(addr("10.0.0.1"), &env), None);
    let ask = cache.wait(addr("10.0.0.1"), Frame::from_slice(b"one"), &mut env);
    assert_eq!(ask, Some(Solicit { target: addr("10.0.0.1"), to: None }));
    assert_eq!(cache.wait(addr("10.0.0.1"), Frame::from_slice(b"two"), &mut env), None);
    assert!(env.memory.used() > 0);
    let released = cache.advertised(reply("10.0.0.1", A), &mut env);
    assert_eq!((released.mac, released.frames.len(), env.memory.used()), (Some(A), 2, 0));
    assert_eq!(cache.lookup(addr("10.0.0.1"), &env), Some(A));
    assert_eq!(cache.deadline(), Instant::NEVER);
}

#[test]
fn a_neighbour_that_never_answers_is_asked_three_times_and_given_up() {
    let (mut cache, mut env) = cache();
    cache.wait(addr("fe80::1"), Frame::from_slice(b"one"), &mut env);
    for _ in 0..2 {
        let (ask, gone) = turn(&mut cache, &mut env);
        assert_eq!((ask.len(), gone.len()), (1, 0));
    }
    let (ask, gone) = turn(&mut cache, &mut env);
    assert_eq!((ask.len(), gone.len(), gone[0].frames.len()), (0, 1, 1));
    assert_eq!((env.now.secs(), env.memory.used()), (3, 0));
    assert!(cache.has_failed(addr("fe80::1")));
    assert!(cache.wait(addr("fe80::1"), Frame::from_slice(b"again"), &mut env).is_some());
    assert_eq!(state(&cache, &env, "fe80::1"), Some(NeighbourState::Incomplete));
}

#[test]
fn a_neighbour_that_is_doubted_is_asked_for_once_more_is_sent() {
    let (mut cache, mut env) = cache();
    cache.doubt(addr("10.0.0.1"));
    cache.wait(addr("10.0.0.1"), Frame::from_slice(b"one"), &mut env);
    cache.doubt(addr("10.0.0.1"));
    assert_eq!(state(&cache, &env, "10.0.0.1"), Some(NeighbourState::Incomplete), "nothing is known to be doubted");
    cache.advertised(reply("10.0.0.1", A), &mut env);
    cache.doubt(addr("10.0.0.1"));
    assert_eq!(state(&cache, &env, "10.0.0.1"), Some(NeighbourState::Stale));
    assert_eq!(cache.lookup(addr("10.0.0.1"), &env), Some(A));
    assert_eq!(turn(&mut cache, &mut env).0, [Solicit { target: addr("10.0.0.1"), to: Some(A) }]);
}

#[test]
fn reachability_ends_and_is_asked_for_again_only_when_used() {
    let (mut cache, mut env) = cache();
    cache.wait(addr("10.0.0.1"), Frame::from_slice(b"one"), &mut env);
    cache.advertised(reply("10.0.0.1", A), &mut env);
    env.now = env.now + Duration::from_secs(46);
    assert_eq!(state(&cache, &env, "10.0.0.1"), Some(NeighbourState::Stale));
    assert_eq!(cache.lookup(addr("10.0.0.1"), &env), Some(A));
    assert_eq!(state(&cache, &env, "10.0.0.1"), Some(NeighbourState::Delay));
    let (ask, _) = turn(&mut cache, &mut env);
    assert_eq!(ask, [Solicit { target: addr("10.0.0.1"), to: Some(A) }]);
    assert_eq!(env.now.secs(), 51);
    turn(&mut cache, &mut env);
    turn(&mut cache, &mut env);
    let (_, gone) = turn(&mut cache, &mut env);
    assert_eq!((gone.len(), cache.lookup(addr("10.0.0.1"), &env)), (1, None));
}

#[test]
fn forward_progress_of_the_transport_spares_the_probe() {
    let (mut cache, mut env) = cache();
    cache.seen(addr("10.0.0.1"), A, None, &mut env);
    assert_eq!(state(&cache, &env, "10.0.0.1"), Some(NeighbourState::Stale));
    cache.lookup(addr("10.0.0.1"), &env);
    cache.confirm(addr("10.0.0.1"), &env);
    assert_eq!(state(&cache, &env, "10.0.0.1"), Some(NeighbourState::Reachable));
    assert_eq!(cache.deadline(), Instant::NEVER);
    cache.confirm(addr("10.0.0.9"), &env);
    assert_eq!(state(&cache, &env, "10.0.0.9"), None);
}

#[test]
fn an_advertisement_that_does_not_override_only_casts_doubt() {
    let (mut cache, mut env) = cache();
    cache.wait(addr("fe80::1"), Frame::from_slice(b"one"), &mut env);
    cache.advertised(reply("fe80::1", A), &mut env);
    cache.advertised(Advert { overrides: false, solicited: false, ..reply("fe80::1", B) }, &mut env);
    assert_eq!(cache.lookup(addr("fe80::1"), &env), Some(A));
    assert_eq!(state(&cache, &env, "fe80::1"), Some(NeighbourState::Delay));
    cache.advertised(Advert { solicited: false, ..reply("fe80::1", B) }, &mut env);
    assert_eq!(state(&cache, &env, "fe80::1"), Some(NeighbourState::Stale));
    assert_eq!(cache.lookup(addr("fe80::1"), &env), Some(B));
}

#[test]
fn advertisements_about_nobody_of_interest_make_no_entry() {
    let (mut cache, mut env) = cache();
    cache.advertised(reply("10.0.0.7", A), &mut env);
    assert_eq!(cache.iter(env.now).count(), 0);
}

#[test]
fn a_flood_of_neighbours_stays_within_the_bound_and_spares_the_one_in_use() {
    let (mut cache, mut env) = cache();
    env.config.neighbours = 8;
    cache.seen(addr("10.0.0.1"), A, None, &mut env);
    for n in 0..1000u32 {
        assert_eq!(cache.lookup(addr("10.0.0.1"), &env), Some(A));
        let address = core::net::Ipv4Addr::from_bits(0x0a01_0000 + n).into();
        match n % 2 {
            0 => drop(cache.seen(address, B, None, &mut env)),
            _ => drop(cache.wait(address, Frame::from_slice(b"scan"), &mut env)),
        }
        assert!(cache.iter(env.now).count() <= 8 && cache.timers.len() <= 8);
    }
    cache.flush(&mut env);
    assert_eq!((env.memory.used(), cache.deadline()), (0, Instant::NEVER));
}

#[test]
fn times_that_a_router_does_not_tell_stay_as_they_are() {
    let (mut cache, mut env) = cache();
    cache.set_times(Some(Duration::from_secs(100)), Some(Duration::from_secs(2)), &mut env);
    let before = (cache.reachable_time, cache.retrans_timer);
    assert!(before.0 >= Duration::from_secs(50) && before.1 == Duration::from_secs(2));
    cache.set_times(None, None, &mut env);
    assert_eq!((cache.reachable_time, cache.retrans_timer), before);
}

#[test]
fn the_queue_keeps_the_newest_packets() {
    let (mut cache, mut env) = cache();
    env.config.neighbour_queue = 16 * Frame::from_slice(&[0]).truesize();
    for n in 0..20u8 {
        cache.wait(addr("10.0.0.1"), Frame::from_slice(&[n]), &mut env);
    }
    assert_eq!(env.drops.get(Reason::NeighbourQueue), 4);
    let released = cache.advertised(reply("10.0.0.1", A), &mut env);
    assert_eq!(released.frames.front().map(|frame| frame.as_slice().to_vec()), Some(std::vec![4]));
    assert_eq!(released.frames.len(), 16);
}

#[test]
fn all_queues_together_are_bounded_but_each_keeps_its_newest() {
    let (mut cache, mut env) = cache();
    let one = Frame::from_slice(&[0; 1500]).truesize();
    for n in 0..100 * 200u32 {
        let (neighbour, number) = (n % 200, n / 200);
        let frame = Frame::from_slice(&[number as u8; 1500]);
        cache.wait(addr(&std::format!("10.0.0.{neighbour}")), frame, &mut env);
        assert!(env.memory.used() <= LINK_QUEUE + 200 * one);
    }
    assert_eq!(env.memory.used(), cache.queued);
    for neighbour in 0..200 {
        let released = cache.advertised(reply(&std::format!("10.0.0.{neighbour}"), A), &mut env);
        assert_eq!(released.frames.back().map(|frame| frame.as_slice()[0]), Some(99));
    }
    assert_eq!((env.memory.used(), cache.queued), (0, 0));
}

//! Hostile input against whole stacks: sequences of packets from strangers and from peers gone mad, between them a program's
//! calls and the passing of time, with what must hold checked after every step; a table of the bad input that one can think of;
//! and stacks short of memory.

mod action;
mod check;
mod confused;
mod generate;
mod host;
mod inject;
mod packets;
mod pressure;
#[path = "../sweep/random.rs"]
mod random;
mod setup;
mod shrink;
mod table_ip;
mod table_tcp;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::{env, fs, path::Path};

use ostia_stack::State;

use action::Script;
use random::Random;
use world::World;

/// How many sequences, and from which seed on: `OSTIA_SEED` and `OSTIA_REPEAT` as everywhere (CONTRIBUTING.md). `OSTIA_WORLD`
/// replays one, and `OSTIA_TRACE` shows what happens in it.
fn seeds() -> Vec<u64> {
    if let Some(one) = env::var("OSTIA_WORLD").ok().and_then(|value| value.parse().ok()) {
        return vec![one];
    }
    let first: u64 = env::var("OSTIA_SEED").ok().and_then(|value| value.parse().ok()).unwrap_or(1);
    let count = if env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full") { 20_000 } else { 1000 };
    (0..count).map(|number| first.wrapping_add(number)).collect()
}

/// The sequence of a seed, as far as it gets; and what came of it, or what went wrong.
fn play(seed: u64) -> (Script, Result<world::Tally, String>) {
    let mut random = Random::new(seed);
    let mut setup = random.next() as u32;
    // Habits that are rare, so that most worlds are ordinary.
    for bit in [1, 5, 6, 7, 8, 14, 16, 18, 19, 20] {
        if random.chance(5_000) {
            setup &= !(1 << bit);
        }
    }
    let mut script = Script { setup, actions: Vec::new() };
    let result = shrink::caught(|| {
        let mut world = World::new(setup);
        for _ in 0..random.between(20, 300) {
            let action = generate::action(&world, &mut random);
            script.actions.push(action);
            world.step(script.actions.last().expect("an action"));
        }
        world.finish()
    });
    (script, result)
}

#[test]
fn no_sequence_of_packets_breaks_what_must_hold() {
    let seeds = seeds();
    let mut states = BTreeSet::new();
    let mut drops = BTreeMap::new();
    let (mut frames_in, mut frames_out, mut births, mut delivered, mut acked) = (0, 0, 0, 0, 0);
    for &seed in &seeds {
        let (script, result) = play(seed);
        let tally = result.unwrap_or_else(|error| {
            let least = shrink::shrink(script);
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{seed}.bin"));
            fs::write(&path, least.encode()).expect("a file is written");
            let actions: Vec<_> = least.actions.iter().map(|action| format!("  {action:?}")).collect();
            panic!(
                "seed {seed}: {error}\nthe least that fails is in {}, setup {:#x}:\n{}\n\
                 OSTIA_WORLD={seed} cargo test -p ostia-stack --test hostile replays it",
                path.display(),
                least.setup,
                actions.join("\n")
            );
        });
        states.extend(tally.states);
        frames_in += tally.frames_in;
        frames_out += tally.frames_out;
        births += tally.births;
        delivered += tally.delivered;
        acked += tally.acked;
        for (reason, count) in tally.drops {
            *drops.entry(reason.as_str()).or_insert(0) += count;
        }
    }
    println!(
        "{} sequences: {frames_in} frames in, {frames_out} out, {births} connections, {delivered} bytes delivered, {acked} acknowledged",
        seeds.len()
    );
    for (reason, count) in &drops {
        println!("  {count:>9}  {reason}");
    }
    if seeds.len() > 1 {
        let missing: Vec<_> = State::ALL.into_iter().filter(|state| !states.contains(state)).collect();
        assert!(
            missing.iter().all(|state| matches!(state, State::Closed | State::Listen)),
            "states that never occurred: {missing:?}"
        );
        assert!(births > 0 && delivered > 0 && acked > 0, "nothing was ever exchanged");
    }
}

#[test]
fn sequences_that_were_kept_are_played_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/corpus");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "bin") {
            continue;
        }
        let script =
            Script::decode(&fs::read(&path).expect("a file")).unwrap_or_else(|| panic!("{} is no script", path.display()));
        if let Err(error) = shrink::caught(|| world::run(&script)) {
            panic!("{}: {error}", path.display());
        }
        count += 1;
    }
    println!("corpus: {count} sequences");
    assert!(count > 0, "the corpus is empty");
}

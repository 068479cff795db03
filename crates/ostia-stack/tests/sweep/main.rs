//! Two stacks over a link with every fault, over many seeds: each stream arrives byte for byte or ends with the right error,
//! nothing hangs, and memory returns to zero.

mod capture;
mod link;
mod random;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::Write;
use std::panic;

use ostia_stack::State;

use link::Occurred;
use world::{Ending, Plan, World};

/// How many seeds, and from which on: `OSTIA_SEED` and `OSTIA_REPEAT` as everywhere (CONTRIBUTING.md). `OSTIA_WORLD` replays one.
fn seeds() -> Vec<u64> {
    if let Some(one) = env::var("OSTIA_WORLD").ok().and_then(|value| value.parse().ok()) {
        return vec![one];
    }
    let first: u64 = env::var("OSTIA_SEED").ok().and_then(|value| value.parse().ok()).unwrap_or(1);
    let count = if env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full") { 2000 } else { 210 };
    (0..count).map(|number| first.wrapping_add(number)).collect()
}

#[test]
fn streams_arrive_whole_over_every_link_or_say_why_not() {
    let seeds = seeds();
    let mut occurred = Occurred::default();
    let mut states = BTreeSet::new();
    let mut endings: BTreeMap<Ending, (u64, u64)> = BTreeMap::new();
    let (mut complete, mut virtual_secs) = (0, 0);
    // One of each ending is captured.
    for (number, &seed) in seeds.iter().enumerate() {
        let plan = Plan::of(seed);
        let ending = plan.ending;
        let outcome = panic::catch_unwind(|| World::new(plan, seed, number < world::ENDINGS.len()).run());
        let Ok(outcome) = outcome else {
            panic!("seed {seed} failed; OSTIA_WORLD={seed} cargo test -p ostia-stack --test sweep replays it");
        };
        occurred.add(&outcome.occurred);
        states.extend(outcome.states);
        let entry = endings.entry(ending).or_default();
        entry.0 += 1;
        entry.1 += u64::from(outcome.failed.is_some());
        complete += u64::from(outcome.complete);
        virtual_secs += outcome.virtual_secs;
    }
    let mut report =
        format!("seeds: {} worlds, {complete} with both streams whole, {virtual_secs} virtual seconds\n", seeds.len());
    for (what, count) in occurred.table() {
        report += &format!("  {count:>9}  {what}\n");
    }
    for (ending, (count, failed)) in &endings {
        report += &format!("  {count:>9}  {ending:?}, {failed} of them with an error\n");
    }
    report += &format!("  states: {}\n", states.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    // Past the test runner, which keeps what a test prints that passes.
    std::io::stderr().write_all(report.as_bytes()).expect("stderr");
    if seeds.len() > 1 {
        for (what, count) in occurred.table() {
            assert!(count > 0, "no frame was ever {what}");
        }
        let missing: Vec<_> = State::ALL.into_iter().filter(|state| !states.contains(state)).collect();
        assert!(missing.is_empty(), "states that never occurred: {missing:?}");
    }
}

//! Named faults of the stack: each must make a script fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{fs, println};

use super::script::Script;
use super::{Family, files, parse, root, run, topics};
use crate::mutation::{Mutation, with};

/// A script with the family over which it is tried.
struct Trial {
    name: String,
    script: Script,
    family: Family,
}

fn trial(path: PathBuf) -> Trial {
    let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let script = parse::parse(&text).unwrap_or_else(|(line, error)| panic!("{name}:{line}: {error}"));
    let family = if text.contains("// only: ipv6") { Family::V6 } else { Family::V4 };
    Trial { name, script, family }
}

/// Whether a script fails with a fault put in. A panic counts: the stack's own assertions notice faults too.
fn fails(trial: &Trial, mutation: Mutation) -> bool {
    let run = || with(mutation, || run::run(&trial.script, trial.family));
    catch_unwind(AssertUnwindSafe(run)).map_or(true, |result| result.is_err())
}

#[test]
fn every_named_fault_makes_a_script_fail() {
    let trials: Vec<Trial> = topics().iter().flat_map(|topic| files(topic)).map(trial).collect();
    for trial in &trials {
        let result = run::run(&trial.script, trial.family);
        assert!(result.is_ok(), "{} fails without a fault: {result:?}", trial.name);
    }
    let mut survivors = Vec::new();
    for &mutation in Mutation::ALL {
        match trials.iter().find(|trial| fails(trial, mutation)) {
            Some(trial) => println!("{mutation:?}: {}", trial.name),
            None => survivors.push(mutation),
        }
    }
    let count = Mutation::ALL.len();
    super::say(&std::format!("mutations: {} of {count} killed", count - survivors.len()));
    assert!(count >= 40, "{count} mutations");
    assert!(survivors.is_empty(), "no script noticed {survivors:?}");
}

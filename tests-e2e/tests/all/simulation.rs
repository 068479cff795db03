//! Simulations: the release build has the same worlds as a build for tests, event by event.

use std::path::Path;
use std::process::Command;

use ostia_cli::sim::Plan;
use serde_json::Value;

use crate::support::process::{Process, ostia};
use crate::support::{scaled, seed};

#[test]
fn every_build_replays_a_seed_to_the_same_hash() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/ostia-cli/scenarios");
    let first = seed("every_build_replays_a_seed_to_the_same_hash") % 1_000_000;
    let last = first + scaled(3, 200);
    for name in ["serve.toml", "slow.toml", "cut.toml"] {
        let path = scenarios.join(name);
        let mut command = Command::new(ostia());
        let ended = Process::start(command.arg("sim").arg(&path).args(["--json", "--seeds", &format!("{first}..{last}")])).wait();
        assert!(ended.status.success(), "{name}: {}", ended.errors);
        let lines = ended.output.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let hashes: Vec<String> = lines.filter_map(|line| line["hash"].as_str().map(str::to_owned)).collect();
        let plan = Plan::read(&path).expect(name);
        let here = (first..last).map(|seed| plan.run(seed, None).expect(name).hash_text());
        assert_eq!(hashes, here.collect::<Vec<_>>(), "{name}: seeds {first} to {last}");
    }
}

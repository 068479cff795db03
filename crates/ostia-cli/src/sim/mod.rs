//! `ostia sim`: servers and clients in a simulated network, in virtual time, from a seed.
//!
//! | module | |
//! |---|---|
//! | `scenario` | the file, as it is written |
//! | `units` | its quantities: times, sizes, rates, chances |
//! | `plan` | from a scenario to a world, once for each seed |
//! | `site` | the folders that are served, and what clients compare with |
//! | `clients` | those that download and those that have something echoed |
//! | `tell` | what came of it, for people and for programs |

mod clients;
mod plan;
mod scenario;
mod site;
mod tell;
mod units;

use crate::args::{Seeds, SimArgs};
use crate::errors::Failure;
pub use plan::Plan;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A world that has been run.
struct Ran {
    seed: u64,
    /// How long that took.
    took: Duration,
    report: Result<ostia_sim::Report, Failure>,
}

/// Runs a scenario, from one seed or from several.
///
/// # Errors
/// What is wrong with the scenario; and if a client has failed, which, with the command that replays it.
pub fn run(args: &SimArgs) -> Result<(), Failure> {
    let plan = Plan::read(&args.scenario)?;
    let (failed, seeds) = match args.seeds {
        None => {
            let Ran { seed, took, report } = run_one(&plan, args.seed, args.pcap.as_deref());
            (tell::world(&report?, took, true).map(|why| (seed, why)).into_iter().collect(), 1)
        }
        Some(seeds) => (run_all(&plan, seeds, args.pcap.as_deref())?, seeds.to - seeds.from),
    };
    match failed.is_empty() {
        true => Ok(()),
        false => Err(tell::failure(&args.scenario, &failed, seeds)),
    }
}

/// Runs several seeds and tells of each; those that have failed, and why.
fn run_all(plan: &Plan, seeds: Seeds, captures: Option<&Path>) -> Result<Vec<(u64, String)>, Failure> {
    let captures = |seed: u64| captures.map(|folder| folder.join(format!("seed-{seed}")));
    let (mut failed, mut broken) = (Vec::new(), None);
    sweep(plan, seeds, &captures, |Ran { seed, took, report }| match report {
        Ok(report) => {
            failed.extend(tell::world(&report, took, false).map(|why| (seed, why)));
            true
        }
        // It is no world's fault: the next one would fare no better.
        Err(failure) => {
            broken = Some(failure);
            false
        }
    })?;
    match broken {
        Some(failure) => Err(failure),
        None => {
            tell::summary(seeds.to - seeds.from, &failed);
            Ok(failed)
        }
    }
}

fn run_one(plan: &Plan, seed: u64, captures: Option<&Path>) -> Ran {
    let began = Instant::now();
    let report = plan.run(seed, captures);
    Ran { seed, took: began.elapsed(), report }
}

/// Runs a world for each seed, as many at a time as there are processors, and gives them to `take` in the order of the seeds,
/// until that has had enough.
fn sweep(
    plan: &Plan,
    seeds: Seeds,
    captures: &(dyn Fn(u64) -> Option<PathBuf> + Sync),
    mut take: impl FnMut(Ran) -> bool,
) -> Result<(), Failure> {
    let (next, enough) = (AtomicU64::new(seeds.from), AtomicBool::new(false));
    let threads = thread::available_parallelism().map_or(1, usize::from).min((seeds.to - seeds.from) as usize);
    // Bounded: who is far ahead waits for those behind.
    let (done, reports) = mpsc::sync_channel(threads * 4);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (done, next, enough) = (done.clone(), &next, &enough);
            let work = move || {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.to || done.send(run_one(plan, seed, captures(seed).as_deref())).is_err() {
                        break;
                    }
                }
            };
            thread::Builder::new().name("sim".to_owned()).spawn_scoped(scope, work).map_err(|error| {
                enough.store(true, Ordering::Relaxed);
                Failure::new(format!("no thread for a simulation: {error}"), "end other programs, or raise the limit (ulimit -u)")
            })?;
        }
        drop(done);
        let (mut early, mut due) = (BTreeMap::new(), seeds.from);
        for ran in reports {
            early.insert(ran.seed, ran);
            while let Some(ran) = early.remove(&due) {
                due += 1;
                if !enough.load(Ordering::Relaxed) && !take(ran) {
                    enough.store(true, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    })
}

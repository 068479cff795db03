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
mod help;
#[cfg(unix)]
mod interrupted;
mod plan;
mod scenario;
mod site;
mod tell;
mod units;

use crate::args::{Seeds, SimArgs};
use crate::errors::Failure;
use crate::limits;
pub use help::SCENARIO;
pub use plan::Plan;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
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
    // Servers open files, and every world in progress a port.
    limits::raise_descriptors();
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
    let threads = thread::available_parallelism().map_or(1, usize::from).min((seeds.to - seeds.from) as usize);
    let (hand_out, handed) = mpsc::channel();
    let (handed, enough) = (Mutex::new(handed), AtomicBool::new(false));
    let (done, reports) = mpsc::channel();
    thread::scope(|scope| {
        let mut hand_out = Some(hand_out);
        for _ in 0..threads {
            let (done, handed, enough) = (done.clone(), &handed, &enough);
            let work = move || {
                while let Some(seed) = next(handed).filter(|_| !enough.load(Ordering::Relaxed)) {
                    let ran = catch_unwind(AssertUnwindSafe(|| run_one(plan, seed, captures(seed).as_deref())));
                    if done.send(ran).is_err() {
                        break;
                    }
                }
            };
            thread::Builder::new().name("sim".to_owned()).spawn_scoped(scope, work).map_err(|error| {
                enough.store(true, Ordering::Relaxed);
                hand_out = None;
                Failure::new(format!("no thread for a simulation: {error}"), "end other programs, or raise the limit (ulimit -u)")
            })?;
        }
        drop(done);
        let (mut rest, mut early, mut due) = (seeds.from..seeds.to, BTreeMap::new(), seeds.from);
        // Who is far ahead waits for those behind: a seed is handed out for each that was taken, and so many at first.
        let mut hand_out_some = |some: usize| {
            for seed in rest.by_ref().take(some) {
                let _ = hand_out.as_ref().map(|hand_out| hand_out.send(seed));
            }
            if rest.is_empty() || enough.load(Ordering::Relaxed) {
                hand_out = None;
            }
        };
        hand_out_some(threads * 4);
        for ran in reports {
            let ran = ran.unwrap_or_else(|panic| resume_unwind(panic));
            early.insert(ran.seed, ran);
            while let Some(ran) = early.remove(&due) {
                due += 1;
                if !enough.load(Ordering::Relaxed) && !take(ran) {
                    enough.store(true, Ordering::Relaxed);
                }
                hand_out_some(1);
            }
        }
        Ok(())
    })
}

/// The next seed that is handed out; none when there are no more.
fn next(handed: &Mutex<Receiver<u64>>) -> Option<u64> {
    handed.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

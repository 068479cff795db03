//! What the port's test programs share: engines, a port with bounded waits, peers, random numbers.
#![allow(dead_code, reason = "every test program uses its own part")]

pub mod net;
pub mod peers;
pub mod random;
#[cfg_attr(unix, path = "system/unix.rs")]
#[cfg_attr(windows, path = "system/windows.rs")]
pub mod system;
pub mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ostia_port::{Config, DriverChoice, Faults, Features};

use net::Network;

pub use random::Random;
#[allow(unused_imports, reason = "every test program uses its own part")]
pub use system::{ENGINES, STACKS, open_descriptors, raise_descriptor_limit};
pub use world::World;

/// A way to run a port: a driver, whether the fault injector stands between, and where sockets are from.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    pub name: &'static str,
    pub driver: DriverChoice,
    pub faults: bool,
    pub network: Network,
}

impl Engine {
    /// The settings of a port on this engine; small enough that a test meets every bound.
    pub fn config(&self) -> Config {
        Config {
            driver: self.driver,
            faults: self.faults.then(|| Faults::all(seed())),
            send_zc_min: 4096,
            teardown: patience(),
            ..Config::default()
        }
    }

    /// A world on this engine with these settings.
    pub fn world(&self, config: Config) -> World {
        World::on(self.network, config)
    }

    /// The same on io_uring with only these features.
    pub fn with_features(features: Features) -> Config {
        Config { features, ..ENGINES[0].config() }
    }
}

/// Runs `test` on every engine that can be had here, names the engine that fails, and reports those that can't be had.
pub fn on_every_engine(name: &str, test: impl FnMut(&Engine)) {
    on_each(ENGINES.iter(), name, test);
}

/// As [`on_every_engine`], with the kernel's sockets and with those of a stack.
pub fn on_every_network(name: &str, test: impl FnMut(&Engine)) {
    on_each(ENGINES.iter().chain(&STACKS), name, test);
}

/// As [`on_every_engine`], with the sockets of a stack alone.
pub fn on_every_stack(name: &str, test: impl FnMut(&Engine)) {
    on_each(STACKS.iter(), name, test);
}

fn on_each<'a>(engines: impl Iterator<Item = &'a Engine>, name: &str, mut test: impl FnMut(&Engine)) {
    let _alone = alone();
    for engine in engines {
        if let Some(error) = unavailable(engine) {
            skip(&format!("{name}/{}", engine.name), &error);
            continue;
        }
        println!("{name} on {}, OSTIA_SEED={}", engine.name, seed());
        test(engine);
    }
}

/// Why an engine can't be had here; none if it can.
pub fn unavailable(engine: &Engine) -> Option<String> {
    match engine.driver {
        #[cfg(target_os = "linux")]
        DriverChoice::IoUring => ostia_port::why_not_uring().map(|error| error.to_string()),
        _ => None,
    }
}

/// Tests that count descriptors or threads of the process run one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where random numbers begin: `OSTIA_SEED`, else always the same.
pub fn seed() -> u64 {
    std::env::var("OSTIA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_240_229)
}

/// Whether the suite runs under valgrind, where everything takes fifty times as long.
pub fn under_valgrind() -> bool {
    std::env::var_os("OSTIA_VALGRIND").is_some()
}

/// How often to repeat: `full` where `OSTIA_REPEAT` says so, else `few`; less under valgrind, where races are not sought.
pub fn repeat(few: usize, full: usize) -> usize {
    match std::env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full") {
        _ if under_valgrind() => few.div_ceil(20),
        true => full,
        false => few,
    }
}

/// How long a test waits for what must come, before it fails rather than hang.
pub fn patience() -> Duration {
    // A stream of the full length takes longer than a short one.
    Duration::from_secs(if under_valgrind() || repeat(0, 1) == 1 { 240 } else { 20 })
}

/// Reports that the test `name` (`test/part` for a part of it) can't run here.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED {name}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("OSTIA_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        // One write call per line: lines of tests that run at the same time do not mix.
        file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()))
            .expect("the list of skipped tests can be written");
    }
}

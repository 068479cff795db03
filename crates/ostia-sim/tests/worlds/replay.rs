//! The same seed is the same world; another seed is another.

use std::time::{Duration, SystemTime};

use ostia::net::Network;
use ostia_sim::{Bursts, Host, LinkConfig, Report, World};

use crate::common::{echo_world, repeats, seed};

/// Everything at once.
fn rough() -> LinkConfig {
    LinkConfig {
        rate: Some(20_000_000),
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(3),
        loss: 0.02,
        bursts: Some(Bursts { enter: 0.002, leave: 0.3, loss: 1.0 }),
        duplication: 0.01,
        reordering: 0.02,
        corruption: 0.01,
        ..LinkConfig::default()
    }
}

fn run(seed: u64) -> Report {
    let (world, ..) = echo_world(seed, rough(), 4, 150_000);
    let report = world.run().expect("a world");
    assert!(report.succeeded(), "seed {seed}: {report:#?}");
    report
}

#[test]
fn a_seed_is_replayed_to_the_same_hash() {
    for seed in seed()..seed() + repeats(4, 40) {
        let (first, again) = (run(seed), run(seed));
        assert_eq!((first.hash, first.events, first.time), (again.hash, again.events, again.time), "seed {seed}");
        assert_eq!((first.frames, &first.notes), (again.frames, &again.notes), "seed {seed}");
        assert_ne!(first.hash, run(seed + 1_000_000).hash, "seeds {seed} and {}", seed + 1_000_000);
    }
}

#[test]
fn captures_and_their_absence_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut world, ..) = echo_world(5, rough(), 4, 150_000);
    world.captures(folder.path().join("new"));
    let report = world.run().expect("a world");
    assert_eq!(report.hash, run(5).hash);
    let bytes = std::fs::read(folder.path().join("new/lan.pcapng")).expect("a capture");
    assert_eq!(bytes[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    if let Some(folder) = std::env::var_os("OSTIA_CAPTURES") {
        // To be read by tshark.
        std::fs::write(std::path::Path::new(&folder).join("sim-lan.pcapng"), &bytes)
            .expect("the folder for captures can be written");
    }
    for remark in ["dropped: lost", "lost in a burst", "held back", "arrives twice", "turned over"] {
        assert!(bytes.windows(remark.len()).any(|window| window == remark.as_bytes()), "'{remark}' is not in the capture");
    }
}

/// Looks at the world when it is dropped.
struct Witness(Host);

impl Drop for Witness {
    fn drop(&mut self) {
        let random = ostia::random::number().expect("a number");
        let wall = ostia::time::wall().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
        self.0.note(&format!("{random} at {wall:?}, {}", Network::current().is_engines()));
    }
}

#[test]
fn what_is_dropped_with_a_task_is_still_in_its_world() {
    let run = || {
        let mut world = World::new(3);
        let lan = world.link("lan", LinkConfig::default()).expect("a link");
        let host = world.host("host", lan, &["10.0.0.1/24"]).expect("a host");
        world.client(host, "abort", |host| async move {
            for polled in [true, false] {
                let witness = Witness(host.clone());
                let mut task = ostia::spawn(async move {
                    let _witness = witness;
                    std::future::pending::<()>().await;
                });
                if polled {
                    ostia::yield_now().await;
                }
                task.abort();
                ostia::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        });
        world.run().expect("a world")
    };
    let (first, again) = (run(), run());
    assert!(first.succeeded() && first.notes.len() == 2, "{first:#?}");
    let notes: Vec<&str> = first.notes.iter().map(|note| note.text.as_str()).collect();
    assert!(notes[0].ends_with(" at 1767225600s, true") && notes[1].ends_with(" at 1767225601s, true"), "{notes:?}");
    assert_eq!((first.hash, &first.notes), (again.hash, &again.notes));
}

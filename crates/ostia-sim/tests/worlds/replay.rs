//! The same seed is the same world; another seed is another.

use std::time::Duration;

use ostia_sim::{Bursts, LinkConfig, Report};

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

//! Every fault happens, is counted, and is survived.

use std::time::Duration;

use ostia_sim::{Bursts, LinkConfig, Tally};

use crate::common::{echo_world, seed};

fn tally(config: LinkConfig) -> Tally {
    let (world, ..) = echo_world(seed(), config, 2, 200_000);
    let report = world.run().expect("a world");
    assert!(report.succeeded(), "seed {}: {report:#?}", seed());
    report.frames
}

#[test]
fn each_fault_happens_and_what_was_sent_arrives_all_the_same() {
    let delay = Duration::from_millis(5);
    let plain = LinkConfig { delay, ..LinkConfig::default() };
    let calm = tally(plain.clone());
    assert_eq!((calm.dropped(), calm.duplicated, calm.reordered, calm.corrupted), (0, 0, 0, 0));
    assert!(calm.sent > 300 && calm.delivered >= calm.sent && calm.bytes > 800_000, "{calm:?}");
    assert!(tally(LinkConfig { loss: 0.05, ..plain.clone() }).lost > 5);
    // Short ones: a burst as long as all retries of a SYN would be the end of its connection.
    let bursts = Some(Bursts { enter: 0.05, leave: 0.7, loss: 0.7 });
    assert!(tally(LinkConfig { bursts, ..plain.clone() }).burst > 5);
    assert!(tally(LinkConfig { duplication: 0.1, ..plain.clone() }).duplicated > 20);
    assert!(tally(LinkConfig { reordering: 0.1, ..plain.clone() }).reordered > 20);
    assert!(tally(LinkConfig { corruption: 0.05, ..plain.clone() }).corrupted > 5);
    let narrow = LinkConfig { rate: Some(5_000_000), queue: 8_000, ..plain.clone() };
    assert!(tally(narrow).overflowed > 0);
    let small = tally(LinkConfig { mtu: 576, ..plain });
    assert!(small.sent > calm.sent * 2 && small.too_long == 0, "{small:?}");
}

#[test]
fn the_smallest_packets_that_there_can_be_carry_a_stream() {
    // With timestamps there is room for 16 octets in each, beside a SACK block for 4.
    for mtu in [68, 69, 80, 100, 127] {
        let config = LinkConfig { mtu, delay: Duration::from_millis(1), loss: 0.01, ..LinkConfig::default() };
        let (world, ..) = echo_world(seed(), config, 1, 20_000);
        let report = world.run().expect("a world");
        assert!(report.succeeded() && report.frames.too_long == 0, "MTU {mtu}, seed {}: {report:#?}", seed());
    }
}

#[test]
fn a_rate_takes_its_time() {
    // 200 kB there, and as much back, at 1 Mbit/s: 1.6 s at least, in the world's own time.
    let config = LinkConfig { rate: Some(1_000_000), delay: Duration::from_millis(1), ..LinkConfig::default() };
    let (world, ..) = echo_world(1, config, 1, 200_000);
    let report = world.run().expect("a world");
    assert!(
        report.succeeded() && report.time > Duration::from_millis(1600) && report.time < Duration::from_secs(10),
        "{report:#?}"
    );
}

#[test]
fn a_cut_holds_up_and_heals() {
    let delay = Duration::from_millis(10);
    let (mut world, lan, hosts) = echo_world(seed(), LinkConfig { delay, ..LinkConfig::default() }, 2, 3_000_000);
    world.cut(lan, Duration::from_millis(100), Duration::from_secs(5), &hosts[1..2]).expect("a cut");
    let report = world.run().expect("a world");
    assert!(report.succeeded() && report.frames.cut > 0, "{report:#?}");
    assert!(report.time > Duration::from_secs(5), "it can't be done before the link is whole: {:?}", report.time);
    let cut_off = report.notes.iter().find(|note| note.host == "client0").expect("a note");
    let other = report.notes.iter().find(|note| note.host == "client1").expect("a note");
    assert!(other.at < Duration::from_secs(5) && cut_off.at > Duration::from_secs(5), "{:?}", report.notes);
}

//! What can't be in a world is refused, with what could be.

use std::time::Duration;

use ostia_sim::{LinkConfig, Mistake, World};

fn refused(mistake: Result<impl std::fmt::Debug, Mistake>, words: &[&str]) {
    let Mistake { what, remedy } = mistake.expect_err(words[0]);
    assert!(words.iter().all(|word| what.contains(word)) && !remedy.is_empty(), "{what} / {remedy} lacks one of {words:?}");
}

#[test]
fn names_addresses_links_and_cuts() {
    let mut world = World::new(1);
    let lan = world.link("lan", LinkConfig::default()).expect("a link");
    let narrow = world.link("narrow", LinkConfig { mtu: 600, ..LinkConfig::default() }).expect("a link");
    let one = world.host("one", lan, &["10.0.0.1/24", "fd00::1/64"]).expect("a host");
    let far = world.host("far", narrow, &["10.0.1.1/24"]).expect("a host");
    refused(world.link("LAN", LinkConfig::default()), &["two links", "LAN"]);
    refused(world.link("../lan", LinkConfig::default()), &["../lan"]);
    refused(world.link("fast", LinkConfig { loss: 2.0, ..LinkConfig::default() }), &["'fast'", "loss is 2"]);
    refused(world.host("one", lan, &["10.0.0.3/24"]), &["two hosts", "one"]);
    refused(world.host("10.0.0.7", lan, &["10.0.0.3/24"]), &["10.0.0.7", "address"]);
    refused(world.host("", lan, &["10.0.0.3/24"]), &["''"]);
    refused(world.host("two", lan, &[]), &["no address"]);
    refused(world.host("two", lan, &["10.0.0.1/24"]), &["10.0.0.1", "'one'"]);
    refused(world.host("two", lan, &["10.0.0.2/24", "10.0.0.2/16"]), &["10.0.0.2", "'two'"]);
    refused(world.host("two", lan, &["10.0.0.2"]), &["10.0.0.2"]);
    refused(world.host("two", lan, &["10.0.0.2/33"]), &["10.0.0.2/33"]);
    refused(world.host("two", narrow, &["fd00::2/64"]), &["600", "fd00::2"]);
    let (early, late) = (Duration::from_secs(1), Duration::from_secs(2));
    refused(world.cut(lan, late, early, &[one]), &["'lan'", "before it begins"]);
    refused(world.cut(lan, early, late, &[]), &["nobody"]);
    refused(world.cut(lan, early, late, &[far]), &["'far'"]);
    world.cut(lan, early, late, &[one]).expect("a cut");
    assert_eq!((world.find_host("one"), world.find_host("two")), (Some(one), None));
    assert_eq!(world.addresses(one).len(), 2);
    let mut odd = World::new(1);
    let lan = odd.link("lan", LinkConfig::default()).expect("a link");
    odd.host("all", lan, &["255.255.255.255/24"]).expect("it is an address");
    refused(odd.run(), &["'all'", "255.255.255.255"]);
}

#[test]
fn captures_need_a_folder() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut world = World::new(1);
    world.captures(file.path().join("in-a-file"));
    refused(world.run(), &["in-a-file"]);
}

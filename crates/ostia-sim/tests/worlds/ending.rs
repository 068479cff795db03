//! How worlds end, and what they say of it.

use std::time::Duration;

use ostia::net::{Stream, UdpSocket};
use ostia_sim::{End, LinkConfig, State, World};

use crate::common::{compare_echo, serve_echo};

fn two(world: &mut World) -> [ostia_sim::HostId; 2] {
    let lan = world.link("lan", LinkConfig::default()).expect("a link");
    ["10.0.0.1/24", "10.0.0.2/24"].map(|address| {
        let name = if address.contains(".1/") { "server" } else { "client" };
        world.host(name, lan, &[address]).expect("a host")
    })
}

#[test]
fn a_world_whose_time_is_over_says_who_was_not_done() {
    let mut world = World::new(1);
    let [_, client] = two(&mut world);
    world.until(Duration::from_secs(90));
    world.client(client, "patient", |_| async {
        ostia::time::sleep(Duration::from_secs(100_000)).await;
        Ok(())
    });
    let report = world.run().expect("a world");
    assert_eq!((report.end.clone(), report.time), (End::Late, Duration::from_secs(90)));
    assert!(!report.succeeded());
    let failed: Vec<&str> = report.failures().map(|program| program.name.as_str()).collect();
    assert_eq!(failed, ["patient"]);
}

#[test]
fn failures_and_panics_of_programs_are_told() {
    let mut world = World::new(1);
    let [server, client] = two(&mut world);
    world.service(server, "weak", |_| async { Err("it is too much".into()) });
    world.client(client, "clumsy", |_| async { panic!("a slip") });
    world.client(client, "lost", |_| async {
        Stream::connect(&"nowhere:7".parse()?).await?;
        Ok(())
    });
    world.client(client, "refused", |_| async {
        Stream::connect(&"server:7".parse()?).await?;
        Ok(())
    });
    let report = world.run().expect("a world");
    assert_eq!(report.end, End::Done);
    let state = |name: &str| match &report.programs.iter().find(|program| program.name == name).expect(name).state {
        State::Failed(_, why) => why.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert!(state("weak").contains("too much"));
    assert!(state("clumsy").contains("a slip"));
    assert!(state("lost").contains("nowhere"));
    assert!(state("refused").contains("refused"));
}

#[test]
fn a_program_that_panics_while_it_is_made_has_failed() {
    let mut world = World::new(1);
    let [server, client] = two(&mut world);
    let fine = std::hint::black_box(false);
    world.service(server, "unmade", move |_| {
        assert!(fine, "a slip at the start");
        async { Ok(()) }
    });
    world.client(client, "well", |_| async { Ok(()) });
    let report = world.run().expect("a world");
    let failed: Vec<&ostia_sim::ProgramReport> = report.failures().collect();
    assert!(
        matches!(failed[..], [one] if matches!(&one.state, State::Failed(_, why) if why.contains("a slip at the start"))),
        "{report:#?}"
    );
}

#[test]
fn what_spins_for_ever_ends() {
    let mut world = World::new(1);
    let [server, _] = two(&mut world);
    world.client(server, "dizzy", |_| async {
        loop {
            ostia::yield_now().await;
        }
    });
    let report = world.run().expect("a world");
    assert!(matches!(&report.end, End::Stuck(why) if why.contains("time stands still")), "{:?}", report.end);
}

#[test]
fn kernel_sockets_and_threads_are_not_in_a_world() {
    let mut world = World::new(1);
    let [_, client] = two(&mut world);
    world.client(client, "blocking", |host| async move {
        let thread = std::thread::current().id();
        let same = ostia::spawn_blocking(move || std::thread::current().id() == thread).await?;
        host.note(if same { "the same thread" } else { "another thread" });
        let missing = ostia::fs::File::open("/there/is/no/such/file").await;
        host.note(&format!("{:?}", missing.map(drop).map_err(|error| error.kind())));
        Ok(())
    });
    let report = world.run().expect("a world");
    let notes: Vec<&str> = report.notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(notes, ["the same thread", "Err(NotFound)"], "{report:#?}");
}

#[test]
fn datagrams_and_ipv6_work_too() {
    let mut world = World::new(1);
    let lan = world.link("lan", LinkConfig { delay: Duration::from_millis(4), ..LinkConfig::default() }).expect("a link");
    let server = world.host("server", lan, &["fd00::1/64"]).expect("a host");
    let client = world.host("client", lan, &["fd00::2/64"]).expect("a host");
    serve_echo(&mut world, server, "[fd00::1]:7");
    compare_echo(&mut world, client, 20_000);
    world.service(server, "datagrams", |_| async {
        let mut socket = UdpSocket::bind("[fd00::1]:9".parse()?)?;
        loop {
            let (received, buffer) = socket.recv_from(Vec::with_capacity(2000)).await;
            let (_, from) = received?;
            socket.send_to(buffer, from).await.0?;
        }
    });
    world.client(client, "datagram", |host| async move {
        let mut socket = UdpSocket::bind("[fd00::2]:0".parse()?)?;
        socket.send_to(b"ahoy".to_vec(), "[fd00::1]:9".parse()?).await.0?;
        let (received, buffer) = socket.recv_from(Vec::with_capacity(2000)).await;
        host.note(&format!("{} from {}", String::from_utf8_lossy(&buffer), received?.1));
        Ok(())
    });
    let report = world.run().expect("a world");
    assert!(report.succeeded(), "{report:#?}");
    assert!(report.notes.iter().any(|note| note.text == "ahoy from [fd00::1]:9"), "{:?}", report.notes);
}

#[test]
fn a_thousand_seconds_of_waiting_are_a_few_turns() {
    let mut world = World::new(1);
    let [_, client] = two(&mut world);
    world.client(client, "waiting", |host| async move {
        let (wall, now) = (ostia::time::wall(), ostia::time::now());
        ostia::time::sleep(Duration::from_secs(1000)).await;
        host.note(&format!("{:?} {:?}", ostia::time::wall().duration_since(wall)?, ostia::time::now() - now));
        Ok(())
    });
    let report = world.run().expect("a world");
    assert_eq!((report.notes[0].text.as_str(), report.time), ("1000s 1000s", Duration::from_secs(1000)));
}

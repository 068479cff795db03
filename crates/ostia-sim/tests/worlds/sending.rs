//! What awaiting a send waits for: room in the queue, and nothing of the peer's.

use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostia::net::{Stream, TcpListener};
use ostia_sim::{Host, HostId, LinkConfig, Outcome, World};

use crate::common::seed;

const KIB: usize = 1024;
/// How many sends of one KiB each.
const SENDS: usize = 1024;
const DELAY: Duration = Duration::from_millis(100);
const ROUND_TRIP: Duration = Duration::from_millis(200);

/// What both programs have seen, at which times.
#[derive(Default)]
struct Seen {
    connected: Duration,
    /// When each send was done.
    sends: Vec<Duration>,
    got: Vec<u8>,
    /// When the receiver saw the end.
    ended: Duration,
}

/// A world in which a client connects to a server and sends, by these programs; what was seen.
fn run(serve: impl AsyncFnOnce(Host, Stream, Arc<Mutex<Seen>>) -> Outcome + Send + 'static, send_buffer: Option<usize>) -> Seen {
    let mut world = World::new(seed());
    let lan = world.link("lan", LinkConfig { delay: DELAY, ..LinkConfig::default() }).expect("a link");
    let server = world.host("server", lan, &["10.0.0.1/24"]).expect("a host");
    let client = world.host("client", lan, &["10.0.0.2/24"]).expect("a host");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let theirs = Arc::clone(&seen);
    world.client(server, "receive", move |host| async move {
        let stream = TcpListener::bind("10.0.0.1:7".parse()?)?.accept().await?;
        serve(host, stream.into(), theirs).await
    });
    send_all(&mut world, client, send_buffer, Arc::clone(&seen));
    let report = world.run().expect("a world");
    assert!(report.succeeded(), "seed {}: {report:#?}", seed());
    let mut seen = seen.lock().expect("no panic");
    std::mem::take(&mut seen)
}

/// What is sent: no two of its KiB are alike.
fn all() -> Vec<u8> {
    (0..SENDS * KIB / 4).flat_map(|word| (word as u32).wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// One KiB after the other, each send awaited before the next begins.
fn send_all(world: &mut World, host: HostId, send_buffer: Option<usize>, seen: Arc<Mutex<Seen>>) {
    world.client(host, "send", move |host| async move {
        let mut stream = Stream::connect(&"server:7".parse()?).await?;
        if let Some(bytes) = send_buffer {
            stream.set_send_buffer_size(bytes)?;
        }
        seen.lock().expect("no panic").connected = host.elapsed();
        for part in all().chunks(KIB) {
            stream.send(part.to_vec()).await?;
            seen.lock().expect("no panic").sends.push(host.elapsed());
        }
        stream.shutdown(Shutdown::Write).await?;
        while stream.recv().await?.is_some() {}
        Ok(())
    });
}

/// Reads all of it as it comes.
async fn read_on(host: Host, mut stream: Stream, seen: Arc<Mutex<Seen>>) -> Outcome {
    while let Some(chunk) = stream.recv().await? {
        seen.lock().expect("no panic").got.extend_from_slice(&chunk);
    }
    seen.lock().expect("no panic").ended = host.elapsed();
    Ok(())
}

/// How long the other receiver takes its time.
const ASLEEP: Duration = Duration::from_secs(60);

/// The same, but not before a minute is over.
async fn read_late(host: Host, stream: Stream, seen: Arc<Mutex<Seen>>) -> Outcome {
    ostia::time::sleep(ASLEEP).await;
    read_on(host, stream, seen).await
}

#[test]
fn a_thousand_awaited_sends_take_a_few_round_trips() {
    let seen = run(read_on, None);
    assert!(seen.got == all(), "every byte once and in order");
    // Slow start from ten segments on, until the queue of 256 KiB bounds it: seven round trips and a half.
    let took = seen.ended - seen.connected;
    assert!((5 * ROUND_TRIP..10 * ROUND_TRIP).contains(&took), "{took:?} for {SENDS} sends");
    // As long as the queue has room nothing is waited for, not for a single acknowledgment.
    let at_once = seen.sends.iter().filter(|&&at| at == seen.connected).count();
    assert!((256..300).contains(&at_once), "{at_once} sends were done at once");
}

#[test]
fn with_room_for_all_of_it_no_send_waits_for_the_peer() {
    let seen = run(read_on, Some(2 * SENDS * KIB));
    assert!(seen.got == all(), "every byte once and in order");
    assert_eq!(seen.sends, [seen.connected; SENDS], "each is done in the moment in which it began");
}

/// A reader that takes its time: the queue fills, then sends wait, and go on when it reads.
#[test]
fn a_full_queue_stops_awaited_sends() {
    let seen = run(read_late, Some(64 * KIB));
    assert!(seen.got == all(), "every byte once and in order");
    // What is accepted and unread is all there is to keep: the sender's queue, and the receiver's of 256 KiB.
    let early = seen.sends.iter().filter(|&&at| at < ASLEEP).count();
    assert!((64 + 200..=64 + 256 + 1).contains(&early), "{early} sends were done while nobody read");
    let full = seen.sends[early - 1];
    assert!(full < seen.connected + 10 * ROUND_TRIP, "{full:?}");
    assert!(seen.sends[early] > ASLEEP && seen.ended > ASLEEP, "the rest waited for the reader");
    // A round trip for each 64 KiB at most, and the probe of the closed window.
    let took = seen.ended - ASLEEP;
    assert!(took < 20 * ROUND_TRIP, "{took:?} for the rest");
}

//! The replicated log: nothing acknowledged is lost or doubled, whoever fails, and a minority acknowledges nothing.
#![allow(dead_code, reason = "the example uses all of its modules, the test its part")]

mod common;

#[path = "../examples/shared/bytes.rs"]
mod bytes;
#[path = "../examples/replicated_log/checksum.rs"]
mod checksum;
#[path = "../examples/replicated_log/client.rs"]
mod client;
#[path = "../examples/replicated_log/gate.rs"]
mod gate;
#[path = "../examples/replicated_log/inbound.rs"]
mod inbound;
#[path = "../examples/replicated_log/journal.rs"]
mod journal;
#[path = "../examples/replicated_log/link.rs"]
mod link;
#[path = "../examples/replicated_log/log.rs"]
mod log;
#[path = "../examples/replicated_log/message.rs"]
mod message;
#[path = "../examples/replicated_log/node.rs"]
mod node;
#[path = "../examples/replicated_log/raft.rs"]
mod raft;
#[path = "replicated_log/rules.rs"]
mod rules;
#[path = "../examples/shared/seeded.rs"]
mod seeded;
#[path = "../examples/replicated_log/sockets.rs"]
mod sockets;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use common::{on_each, on_each_with_faults};
use ostia::codec::{FramedRead, FramedWrite};
use ostia::net::{Endpoint, ListenOptions, Listener, Network, Stream};
use ostia::sync::CancellationToken;
use ostia::time::{sleep, timeout};
use ostia::{JoinHandle, JoinSet, spawn};
use tempfile::TempDir;

use client::{Client, ClientError};
use gate::Gate;
use journal::Journal;
use log::{Body, Entry, Log};
use message::{ENTRY_MOST, Envelope, Hello, Message, Reply, Request, codec};
use node::{Counts, Handle, Node, PENDING_MOST, Settings, Status};
use raft::{Kept, Raft, Timing};
use seeded::Seeded;

/// Long enough on any machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(90);
const MOMENT: Duration = Duration::from_millis(10);

struct Running {
    gate: Gate,
    handle: Handle,
    stop: CancellationToken,
    task: JoinHandle<io::Result<Counts>>,
}

/// Three nodes on loopback, each with a directory.
struct Cluster {
    directory: TempDir,
    endpoints: Vec<Endpoint>,
    nodes: BTreeMap<usize, Running>,
    lives: u64,
    /// Groups of clients so far: each has numbers of its own.
    groups: Cell<u64>,
}

impl Cluster {
    async fn start() -> Cluster {
        let directory = TempDir::new().expect("a directory");
        let mut listeners = Vec::new();
        for id in 0..3 {
            std::fs::create_dir(directory.path().join(id.to_string())).expect("a directory");
            let any = "127.0.0.1:0".parse().expect("address");
            listeners.push(Network::current().listen(&any, ListenOptions::default()).await.expect("listens"));
        }
        let endpoint = |listener: &Listener| listener.local_addr().expect("address").ip().expect("IP").into();
        let endpoints = listeners.iter().map(endpoint).collect();
        let mut cluster = Cluster { directory, endpoints, nodes: BTreeMap::new(), lives: 0, groups: Cell::new(0) };
        for (id, listener) in listeners.into_iter().enumerate() {
            cluster.start_node(id, listener).await;
        }
        cluster
    }

    fn directory_of(&self, id: usize) -> PathBuf {
        self.directory.path().join(id.to_string())
    }

    async fn start_node(&mut self, id: usize, listener: Listener) {
        self.lives += 1;
        let settings = Settings {
            id,
            nodes: self.endpoints.clone(),
            directory: self.directory_of(id),
            tick: MOMENT,
            timing: Timing { election: 30, heartbeat: 5 },
            seed: 100 * self.lives,
        };
        let gate = Gate::default();
        let node = Node::open(settings, listener, gate.clone()).await.expect("opens");
        let (handle, stop) = (node.handle(), CancellationToken::new());
        let task = spawn(node.run(stop.clone()));
        self.nodes.insert(id, Running { gate, handle, stop, task });
    }

    /// Starts a node again, at its address and with its directory.
    async fn restart(&mut self, id: usize) {
        let listener = timeout(PATIENCE, async {
            loop {
                match Network::current().listen(&self.endpoints[id], ListenOptions::default()).await {
                    Ok(listener) => return listener,
                    // What the node had is closed by its worker's next turns.
                    Err(_) => sleep(MOMENT).await,
                }
            }
        });
        let listener = listener.await.expect("the address is free again");
        self.start_node(id, listener).await;
    }

    /// Aborts a node's tasks, wherever they are.
    async fn kill(&mut self, id: usize) {
        let mut node = self.nodes.remove(&id).expect("runs");
        node.task.abort();
        let ended = timeout(PATIENCE, node.task).await.expect("ends");
        assert!(ended.is_err_and(|error| error.is_cancelled()), "it did not end by itself");
        // A write that was under way is the kernel's and ends there: the next life must not read beside it.
        sleep(20 * MOMENT).await;
    }

    async fn stop(&mut self, id: usize) -> Counts {
        let node = self.nodes.remove(&id).expect("runs");
        node.stop.cancel();
        timeout(PATIENCE, node.task).await.expect("stops").expect("no panic").expect("no error")
    }

    async fn status(&self, id: usize) -> Status {
        timeout(PATIENCE, self.nodes[&id].handle.status()).await.expect("answers").expect("runs")
    }

    /// Waits until something is so of the nodes that run.
    async fn until(&self, what: &str, mut so: impl FnMut(&BTreeMap<usize, Status>) -> bool) -> BTreeMap<usize, Status> {
        let there = async {
            loop {
                let mut all = BTreeMap::new();
                for id in self.nodes.keys() {
                    all.insert(*id, self.status(*id).await);
                }
                if so(&all) {
                    return all;
                }
                sleep(MOMENT).await;
            }
        };
        timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("{what}: not in {PATIENCE:?}"))
    }

    /// The node that the others follow.
    async fn leader(&self) -> usize {
        let mut leader = None;
        let agreed = |all: &BTreeMap<usize, Status>| {
            leader = all.iter().filter(|(_, status)| status.leads).max_by_key(|(_, status)| status.term).map(|(id, _)| *id);
            leader.is_some_and(|leader| all.values().filter(|status| status.leader == Some(leader)).count() >= 2)
        };
        self.until("a leader", agreed).await;
        leader.expect("agreed")
    }

    /// Waits until all nodes have committed the same; gives it.
    async fn settled(&self) -> Log {
        let same = |all: &BTreeMap<usize, Status>| {
            let first = all.values().next().expect("some");
            all.values().all(|status| status.commit == first.log.last_index() && status.log == first.log)
        };
        let all = self.until("the same logs", same).await;
        all.into_values().next().expect("some").log
    }

    fn client(&self, seed: u64) -> Client {
        Client::new(self.endpoints.clone(), seed)
    }

    /// Clients that append at once, each so many; what they were told is noted as it comes.
    fn appending(&self, clients: u64, each: u64) -> JoinSet<Acknowledged> {
        let mut all = JoinSet::new();
        let group = self.groups.replace(self.groups.get() + 1);
        for number in 0..clients {
            let mut client = self.client(7000 + group * 100 + number);
            all.spawn(async move {
                let mut acknowledged = Acknowledged::new();
                for entry in 0..each {
                    let text = format!("{group} {number} {entry}").into_bytes();
                    let index = client.append(&text).await.expect("appended");
                    assert!(acknowledged.insert(index, text).is_none(), "an index for each");
                }
                acknowledged
            });
        }
        all
    }

    async fn end(mut self) {
        for id in 0..3 {
            if self.nodes.contains_key(&id) {
                self.stop(id).await;
            }
        }
    }
}

/// What clients were told: at which index their entries are.
type Acknowledged = BTreeMap<u64, Vec<u8>>;

async fn all_of(appending: JoinSet<Acknowledged>) -> Acknowledged {
    let ended = timeout(PATIENCE, appending.join_all()).await.expect("all end").expect("no panic");
    let sum = ended.iter().map(BTreeMap::len).sum();
    let all: Acknowledged = ended.into_iter().flatten().collect();
    assert_eq!(all.len(), sum, "an index for each");
    all
}

/// Everything that was acknowledged is where it was said to be, and nothing is there twice.
fn check(log: &Log, acknowledged: &Acknowledged) {
    let mut seen = BTreeSet::new();
    for index in 1..=log.last_index() {
        let entry = log.get(index).expect("an entry");
        assert!(log.term_at(index - 1) <= Some(entry.term), "terms grow");
        if let Body::Data { bytes, .. } = &entry.body {
            assert!(seen.insert(bytes.to_vec()), "{} is there twice", String::from_utf8_lossy(bytes));
        }
    }
    for (index, text) in acknowledged {
        let found = log.get(*index).map(|entry| &entry.body);
        let right = matches!(found, Some(Body::Data { bytes, .. }) if **bytes == **text);
        assert!(right, "{} is not at {index}: {found:?}", String::from_utf8_lossy(text));
    }
}

/// A log that was complete may have grown by what a new leader adds.
fn begins_with(log: &Log, beginning: &Log) -> bool {
    (1..=beginning.last_index()).all(|index| log.get(index) == beginning.get(index))
}

fn texts(log: &Log, up_to: u64) -> BTreeSet<Vec<u8>> {
    let text = |index| match &log.get(index)?.body {
        Body::Data { bytes, .. } => Some(bytes.to_vec()),
        Body::Mark => None,
    };
    (1..=up_to).filter_map(text).collect()
}

#[test]
fn a_thousand_entries_are_the_same_on_all_three() {
    on_each(|| async {
        let mut cluster = Cluster::start().await;
        let acknowledged = all_of(cluster.appending(8, 125)).await;
        assert_eq!(acknowledged.len(), 1000);
        let log = cluster.settled().await;
        check(&log, &acknowledged);
        // What one node tells a client is what it has.
        let mut client = cluster.client(1);
        let mut read = Log::default();
        while read.last_index() < log.last_index() {
            let (commit, entries) = client.read(1, read.last_index() + 1).await.expect("read");
            assert!(commit >= log.last_index() && !entries.is_empty());
            for entry in entries {
                read.push(entry);
            }
        }
        assert!(begins_with(&read, &log));
        // And what all three have after the end.
        for id in 0..3 {
            let counts = cluster.stop(id).await;
            assert!(counts.syncs <= counts.records, "{counts:?}");
            let (_, found) = Journal::open(&cluster.directory_of(id)).await.expect("opens");
            assert!(found.torn == 0 && begins_with(&found.kept.log, &log));
        }
    });
}

#[test]
fn a_leader_that_is_killed_takes_nothing_along_and_catches_up_later() {
    on_each(|| async {
        let mut cluster = Cluster::start().await;
        let appending = cluster.appending(6, 60);
        let flows = |all: &BTreeMap<usize, Status>| all.values().any(|status| status.leads && status.commit > 60);
        let all = cluster.until("the stream flows", flows).await;
        let first = *all.iter().find(|(_, status)| status.leads).expect("one leads").0;
        assert!(all[&first].commit < 360, "in the middle");
        cluster.kill(first).await;
        let acknowledged = all_of(appending).await;
        assert_eq!(acknowledged.len(), 360);
        let second = cluster.leader().await;
        assert_ne!(second, first);
        let log = cluster.settled().await;
        check(&log, &acknowledged);
        // The killed one comes back, and then the other one goes: what is there doesn't depend on who.
        cluster.restart(first).await;
        assert!(begins_with(&cluster.settled().await, &log));
        cluster.kill(second).await;
        let more = all_of(cluster.appending(2, 20)).await;
        cluster.restart(second).await;
        let log = cluster.settled().await;
        check(&log, &acknowledged);
        check(&log, &more);
        cluster.end().await;
    });
}

#[test]
fn a_minority_acknowledges_nothing_and_forgets_what_it_was_asked() {
    on_each(|| async {
        let cluster = Cluster::start().await;
        let mut acknowledged = all_of(cluster.appending(2, 10)).await;
        let cut_off = cluster.leader().await;
        cluster.nodes[&cut_off].gate.shut();
        // Clients that know no other node.
        let alone = vec![cluster.endpoints[cut_off].clone()];
        let mut vain = JoinSet::new();
        for seed in 0..4 {
            let mut client = Client::new(alone.clone(), 900 + seed);
            vain.spawn(async move { client.append(format!("in vain {seed}").as_bytes()).await });
        }
        // The others go on, and more than once around.
        let others: Vec<Endpoint> = cluster.endpoints.iter().filter(|node| **node != alone[0]).cloned().collect();
        let mut client = Client::new(others, 77);
        for number in 0..50 {
            let text = format!("by two {number}").into_bytes();
            acknowledged.insert(client.append(&text).await.expect("two of three are enough"), text);
        }
        let all = cluster.until("the old leader steps down", |all| !all[&cut_off].leads).await;
        let (commit, most) = (all[&cut_off].commit, all.values().map(|status| status.commit).max().expect("some"));
        assert!(commit < most, "{commit}, {most}");
        let new = |text: &Vec<u8>| text.starts_with(b"by two") || text.starts_with(b"in vain");
        assert!(!texts(&all[&cut_off].log, commit).iter().any(new));
        assert!(vain.try_join_next().is_none(), "nobody was told anything");
        vain.shutdown().await;
        cluster.nodes[&cut_off].gate.open();
        let log = cluster.settled().await;
        check(&log, &acknowledged);
        assert!(!texts(&log, log.last_index()).iter().any(|text| text.starts_with(b"in vain")));
        // A follower that is cut off hears nothing and disturbs nobody for long.
        let leader = cluster.leader().await;
        let follower = (leader + 1) % 3;
        cluster.nodes[&follower].gate.shut();
        let more = all_of(cluster.appending(3, 20)).await;
        let all = cluster.until("it stands for election", |all| all[&follower].term > log.last_term()).await;
        assert!(!all[&follower].leads);
        let held = texts(&all[&follower].log, all[&follower].log.last_index());
        assert!(more.values().all(|text| !held.contains(text)));
        acknowledged.extend(more);
        cluster.nodes[&follower].gate.open();
        check(&cluster.settled().await, &acknowledged);
        cluster.end().await;
    });
}

#[test]
fn a_torn_tail_is_cut_and_the_journal_goes_on() {
    on_each(|| async {
        let mut cluster = Cluster::start().await;
        let acknowledged = all_of(cluster.appending(4, 25)).await;
        cluster.settled().await;
        let leader = cluster.leader().await;
        for (id, damage) in [(leader, 0), ((leader + 1) % 3, 1), ((leader + 2) % 3, 2)] {
            let before = cluster.status(id).await;
            cluster.kill(id).await;
            let path = cluster.directory_of(id).join("journal");
            let mut bytes = std::fs::read(&path).expect("read");
            match damage {
                // Noise that looks like the length of a record.
                0 => bytes.extend([&[0, 0, 0, 40, 1, 2, 3, 4][..], &[0xaa; 70_000]].concat()),
                // A part of a record that had been there before: a write that was not finished.
                1 => bytes.extend_from_within(bytes.len() - 30..),
                // Zeros: a file that had grown before its contents arrived.
                _ => bytes.extend([0; 5000]),
            }
            std::fs::write(&path, bytes).expect("written");
            cluster.restart(id).await;
            let after = cluster.status(id).await;
            assert!(after.log.last_index() >= before.log.last_index(), "what was whole is kept");
            assert_eq!(after.counts.torn > 0, damage != 2, "{:?}", after.counts);
            let more = all_of(cluster.appending(2, 10)).await;
            let log = cluster.settled().await;
            check(&log, &acknowledged);
            check(&log, &more);
        }
        let log = cluster.settled().await;
        let directories: Vec<PathBuf> = (0..3).map(|id| cluster.directory_of(id)).collect();
        for (id, directory) in directories.iter().enumerate() {
            cluster.stop(id).await;
            let (_, found) = Journal::open(directory).await.expect("opens");
            assert!(found.torn == 0 && begins_with(&found.kept.log, &log), "written over what was cut");
        }
    });
}

#[test]
fn requests_are_bounded_and_what_is_no_message_ends_its_connection_only() {
    on_each(|| async {
        let cluster = Cluster::start().await;
        let mut client = cluster.client(5);
        assert!(matches!(client.append(&vec![0; ENTRY_MOST + 1]).await, Err(ClientError::TooLong)));
        let most = client.append(&vec![7; ENTRY_MOST]).await.expect("just fits");
        let mut empty = cluster.client(6);
        assert!(empty.append(b"").await.expect("nothing is something") > most);
        let leader = cluster.leader().await;
        let bad: [&[Vec<u8>]; 5] = [
            &[b"not a hello".to_vec()],
            &[Hello::Client.encode(), b"\x01short".to_vec()],
            &[Hello::Client.encode(), Request::Append { client: 1, sequence: 1, bytes: vec![0; ENTRY_MOST + 1] }.encode()],
            &[Hello::Node(1).encode(), vec![1, 2, 3]],
            // One node in the name of another.
            &[Hello::Node(1).encode(), message(2, leader, 99, Message::Voted { granted: true }).encode()],
        ];
        for frames in bad {
            let stream = Stream::connect(&cluster.endpoints[leader]).await.expect("connects");
            let (receiving, sending) = stream.into_split();
            let mut sending = FramedWrite::new(sending, codec());
            for frame in frames {
                sending.send(frame).await.expect("sent");
            }
            let answer = timeout(PATIENCE, FramedRead::new(receiving, codec()).next()).await.expect("it ends");
            assert!(!matches!(answer, Ok(Some(_))), "no answer");
        }
        // The same request twice has one answer, one before it none any more.
        let stream = Stream::connect(&cluster.endpoints[leader]).await.expect("connects");
        let (receiving, sending) = stream.into_split();
        let (mut sending, mut receiving) = (FramedWrite::new(sending, codec()), FramedRead::new(receiving, codec()));
        sending.send(Hello::Client.encode()).await.expect("sent");
        let mut answers = Vec::new();
        for sequence in [2, 2, 1, 3, 2] {
            sending.send(Request::Append { client: 1, sequence, bytes: vec![sequence as u8] }.encode()).await.expect("sent");
            let frame = timeout(PATIENCE, receiving.next()).await.expect("in time").expect("a frame").expect("open");
            answers.push(Reply::decode(&frame).expect("a reply"));
        }
        let Reply::Committed { index } = answers[0] else { panic!("{answers:?}") };
        let (same, next) = (Reply::Committed { index }, Reply::Committed { index: index + 1 });
        assert_eq!(answers[1..], [same, Reply::Superseded, next, Reply::Superseded]);
        check(&cluster.settled().await, &BTreeMap::from([(most, vec![7; ENTRY_MOST])]));
        cluster.end().await;
    });
}

#[test]
fn past_the_bound_clients_are_told_to_come_back() {
    on_each(|| async {
        let cluster = Cluster::start().await;
        let (mut committed, mut busy) = (BTreeMap::new(), 0);
        // Again, should the leader have lost its place meanwhile.
        for round in 0..10 {
            let leader = cluster.leader().await;
            let mut answers = Vec::new();
            // All before the node has a turn: none can be committed in between.
            for client in 1000 * round..1000 * round + 200 {
                let text = format!("from {client}").into_bytes();
                let request = Request::Append { client, sequence: 1, bytes: text.clone() };
                answers.push((text, cluster.nodes[&leader].handle.ask(request).expect("room in its queue")));
            }
            let before = committed.len();
            busy = 0;
            for (text, answer) in answers {
                match timeout(PATIENCE, answer).await.expect("in time").expect("an answer") {
                    Reply::Committed { index } => drop(committed.insert(index, text)),
                    Reply::Busy => busy += 1,
                    other => assert!(matches!(other, Reply::NotLeader { .. }), "{other:?}"),
                }
            }
            if committed.len() - before == PENDING_MOST {
                break;
            }
        }
        assert_eq!(busy, 200 - PENDING_MOST);
        check(&cluster.settled().await, &committed);
        cluster.end().await;
    });
}

#[test]
fn a_stop_answers_those_who_wait() {
    on_each(|| async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        cluster.nodes[&leader].gate.shut();
        let stream = Stream::connect(&cluster.endpoints[leader]).await.expect("connects");
        let (receiving, sending) = stream.into_split();
        let (mut sending, mut receiving) = (FramedWrite::new(sending, codec()), FramedRead::new(receiving, codec()));
        sending.send(Hello::Client.encode()).await.expect("sent");
        sending.send(Request::Append { client: 1, sequence: 1, bytes: vec![1] }.encode()).await.expect("sent");
        let waits = |status: &Status| status.log.last_index() > status.commit;
        // It steps down after a while: then there was an answer before.
        let all = cluster.until("it waits", |all| !all[&leader].leads || waits(&all[&leader])).await;
        cluster.stop(leader).await;
        let frame = timeout(PATIENCE, receiving.next()).await.expect("in time").expect("no error");
        if all[&leader].leads {
            let reply = frame.as_deref().and_then(Reply::decode);
            assert!(matches!(reply, Some(Reply::NotLeader { .. })), "{reply:?}");
        }
        assert!(matches!(timeout(PATIENCE, receiving.next()).await, Ok(Ok(None))), "and then the end");
        cluster.end().await;
    });
}

#[test]
fn faults_of_the_driver_change_nothing() {
    on_each_with_faults(|| async {
        let mut cluster = Cluster::start().await;
        let acknowledged = all_of(cluster.appending(3, 10)).await;
        let leader = cluster.leader().await;
        cluster.kill(leader).await;
        let more = all_of(cluster.appending(3, 10)).await;
        cluster.restart(leader).await;
        let log = cluster.settled().await;
        check(&log, &acknowledged);
        check(&log, &more);
        cluster.end().await;
    });
}

fn message(from: usize, to: usize, term: u64, message: Message) -> Envelope {
    Envelope { from, to, term, message }
}

#[test]
fn messages_come_back_as_they_were_and_noise_is_none() {
    let entries = vec![
        Entry { term: 3, body: Body::Mark },
        Entry { term: 4, body: Body::Data { client: 1, sequence: 2, bytes: b"abc"[..].into() } },
    ];
    let all = [
        Message::Vote { last_index: 1, last_term: 2 },
        Message::Voted { granted: true },
        Message::Append { prev_index: 1, prev_term: 2, commit: 3, entries: entries.clone() },
        Message::Appended { accepted: false, index: 9 },
    ];
    for what in all {
        let envelope = message(0, 2, 7, what);
        let bytes = envelope.encode();
        assert_eq!(Envelope::decode(&bytes), Some(envelope));
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Envelope::decode(&longer), None);
    }
    for reply in [
        Reply::Committed { index: 5 },
        Reply::NotLeader { leader: None },
        Reply::NotLeader { leader: Some(2) },
        Reply::Busy,
        Reply::Superseded,
        Reply::Entries { commit: 8, entries },
    ] {
        assert_eq!(Reply::decode(&reply.encode()), Some(reply));
    }
    let mut chance = Seeded::new(6);
    for _ in 0..100_000 {
        let noise: Vec<u8> = (0..chance.below(60)).map(|at| chance.next() as u8 & if at < 12 { 7 } else { 255 }).collect();
        if let Some(envelope) = Envelope::decode(&noise) {
            assert_eq!(envelope.encode(), noise, "one way to write each");
            // Nor does any of it bring a node down.
            let mut raft = Raft::new(0, 3, rules::TIMING, 1, Kept::default());
            raft.receive(envelope);
        }
    }
}

#[test]
fn crc32c_is_the_one_of_rfc_3720() {
    assert_eq!(checksum::crc32c(&[b"1234", b"56789"]), 0xe306_9283);
    assert_eq!(checksum::crc32c(&[&[0; 32]]), 0x8a91_36aa);
}

//! A node: one task that lets Raft decide, writes down what has to be kept, and only then lets others know.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ostia::net::{Endpoint, Listener};
use ostia::sync::mpsc::{Receiver, Sender, channel};
use ostia::sync::{CancellationToken, oneshot};
use ostia::time::{interval, timeout};
use ostia::{JoinSet, select};

use crate::gate::Gate;
use crate::inbound;
use crate::journal::Journal;
use crate::link;
use crate::log::{Entry, Log};
use crate::message::{BATCH_MOST, Envelope, Reply, Request};
use crate::raft::{Proposed, Raft, Timing};

/// How many appends may wait to be committed; past it clients are told to come back.
pub const PENDING_MOST: usize = 128;
/// How many events are taken at once: what they write goes to the disk together.
const EVENTS_MOST: usize = 256;
/// How many messages wait for a connection. More are dropped, and said again.
const MESSAGES_MOST: usize = 64;
/// How long clients may take to hear that the node stops.
const GOODBYE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Settings {
    /// Which of the nodes this is.
    pub id: usize,
    /// Where all of them are, this one among them; the same, in the same order, everywhere.
    pub nodes: Vec<Endpoint>,
    /// Where the journal is kept. It exists.
    pub directory: PathBuf,
    pub tick: Duration,
    pub timing: Timing,
    pub seed: u64,
}

/// What a node is told.
#[derive(Debug)]
pub enum Event {
    Message(Envelope),
    Request(Request, oneshot::Sender<Reply>),
    Status(oneshot::Sender<Status>),
}

/// What a node is and has, at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    pub term: u64,
    pub leads: bool,
    pub leader: Option<usize>,
    pub commit: u64,
    pub log: Log,
    pub counts: Counts,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Writes to the disk, each with all records that were ready.
    pub syncs: u64,
    pub records: u64,
    pub messages: u64,
    /// Messages for which there was no room.
    pub dropped: u64,
    /// Times that this node came to lead.
    pub led: u64,
    /// Bytes at the journal's end that were no record when this node started.
    pub torn: u64,
}

#[derive(Debug)]
pub struct Node {
    settings: Settings,
    listener: Listener,
    gate: Gate,
    raft: Raft,
    journal: Journal,
    events: (Sender<Event>, Receiver<Event>),
    waiting: Waiting,
    counts: Counts,
}

/// A way to ask a node from inside the process.
#[derive(Clone, Debug)]
pub struct Handle(Sender<Event>);

impl Handle {
    /// None if the node has ended.
    pub async fn status(&self) -> Option<Status> {
        let (reply, answered) = oneshot::channel();
        self.0.send(Event::Status(reply)).await.ok()?;
        answered.await.ok()
    }

    /// Asks as a client does, without a connection; none if the node is busy or has ended.
    pub fn ask(&self, request: Request) -> Option<oneshot::Receiver<Reply>> {
        let (reply, answered) = oneshot::channel();
        self.0.try_send(Event::Request(request, reply)).ok().map(|()| answered)
    }
}

impl Node {
    /// A node with what its directory holds. It answers when it [runs](Self::run).
    pub async fn open(settings: Settings, listener: Listener, gate: Gate) -> io::Result<Node> {
        let (journal, found) = Journal::open(&settings.directory).await?;
        let seed = settings.seed.wrapping_add(settings.id as u64);
        let raft = Raft::new(settings.id, settings.nodes.len(), settings.timing, seed, found.kept);
        let counts = Counts { torn: found.torn, ..Counts::default() };
        let waiting = Waiting::default();
        Ok(Node { settings, listener, gate, raft, journal, events: channel(EVENTS_MOST), waiting, counts })
    }

    pub fn handle(&self) -> Handle {
        Handle(self.events.0.clone())
    }

    /// Takes part until it is told to stop. Dropped: as if the machine had stopped.
    ///
    /// Fails if the disk does: what it has and has not is not known then, so the node must not go on.
    pub async fn run(self, stop: CancellationToken) -> io::Result<Counts> {
        let Node { settings, listener, gate, mut raft, mut journal, events, mut waiting, mut counts } = self;
        let (sender, mut events) = events;
        let (mut carriers, mut inbound) = (JoinSet::new(), JoinSet::new());
        let mut links = BTreeMap::new();
        for (to, endpoint) in settings.nodes.iter().enumerate().filter(|(to, _)| *to != settings.id) {
            let (link, messages) = channel(MESSAGES_MOST);
            links.insert(to, link);
            carriers.spawn(link::carry(settings.id, endpoint.clone(), gate.clone(), messages));
        }
        let ending = stop.child_token();
        inbound.spawn(inbound::serve(listener, sender, gate, ending.clone()));
        let mut ticks = interval(settings.tick);
        let mut batch = Vec::new();
        let ended = loop {
            select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                // Before the rest: a leader under load has to be heard.
                _ = ticks.tick() => raft.tick(),
                count = events.recv_many(&mut batch, EVENTS_MOST) => if count == 0 {
                    break Err(io::Error::other("nobody takes connections any more"));
                }
            }
            for event in batch.drain(..) {
                match event {
                    Event::Message(message) => raft.receive(message),
                    Event::Request(request, reply) => serve(&mut raft, &mut waiting, request, reply),
                    Event::Status(reply) => {
                        let (term, leads, leader, commit) = (raft.term(), raft.leads().is_some(), raft.leader(), raft.commit());
                        let _ = reply.send(Status { term, leads, leader, commit, log: raft.log().clone(), counts });
                    }
                }
            }
            raft.replicate();
            let records = raft.records();
            if !records.is_empty() {
                counts.syncs += 1;
                counts.records += records.len() as u64;
                if let Err(error) = journal.append(&records).await {
                    break Err(error);
                }
                raft.persisted();
            }
            for message in raft.messages() {
                counts.messages += 1;
                let Some(link) = links.get(&message.to) else { continue };
                counts.dropped += u64::from(link.try_send(message).is_err());
            }
            waiting.settle(&raft);
            counts.led = waiting.led;
        };
        carriers.shutdown().await;
        // Who waits is told to ask another; then the connections end.
        ending.cancel();
        waiting.fail(None);
        drop(events);
        let _ = timeout(GOODBYE, inbound.join_next()).await;
        inbound.shutdown().await;
        ended.map(|()| counts)
    }
}

fn serve(raft: &mut Raft, waiting: &mut Waiting, request: Request, reply: oneshot::Sender<Reply>) {
    let answer = match request {
        Request::Append { .. } if waiting.count >= PENDING_MOST => Reply::Busy,
        Request::Append { client, sequence, bytes } => match raft.propose(client, sequence, bytes) {
            Proposed::At(index) if index > raft.commit() => return waiting.wait(raft, index, reply),
            Proposed::At(index) => Reply::Committed { index },
            Proposed::Older => Reply::Superseded,
            Proposed::NotLeader => Reply::NotLeader { leader: raft.leader() },
        },
        Request::Read { from } => {
            let commit = raft.commit();
            let entries: Vec<Entry> = raft.log().slice(from.max(1)..=commit, BATCH_MOST);
            Reply::Entries { commit, entries }
        }
    };
    // A client that has gone doesn't mind.
    let _ = reply.send(answer);
}

/// Clients whose entries are not committed yet.
#[derive(Debug, Default)]
struct Waiting {
    /// The term in which this node leads; with another one, what was promised is not sure any more.
    term: Option<u64>,
    at: BTreeMap<u64, Vec<oneshot::Sender<Reply>>>,
    count: usize,
    /// Times that the node came to lead.
    led: u64,
}

impl Waiting {
    fn wait(&mut self, raft: &Raft, index: u64, reply: oneshot::Sender<Reply>) {
        self.notice(raft);
        self.at.entry(index).or_default().push(reply);
        self.count += 1;
    }

    /// Who waits for a leader of another term is told to ask again: the entry is found then, or appended once more.
    fn notice(&mut self, raft: &Raft) {
        if raft.leads() != self.term {
            self.fail(raft.leader());
            self.term = raft.leads();
            self.led += u64::from(self.term.is_some());
        }
    }

    /// Answers those whose entries are committed.
    fn settle(&mut self, raft: &Raft) {
        self.notice(raft);
        let later = self.at.split_off(&(raft.commit() + 1));
        for (index, replies) in std::mem::replace(&mut self.at, later) {
            for reply in replies {
                self.count -= 1;
                let _ = reply.send(Reply::Committed { index });
            }
        }
    }

    fn fail(&mut self, leader: Option<usize>) {
        for reply in std::mem::take(&mut self.at).into_values().flatten() {
            let _ = reply.send(Reply::NotLeader { leader });
        }
        self.count = 0;
    }
}

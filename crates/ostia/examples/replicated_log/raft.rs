//! Raft's rules, without any I/O: what a node does when it hears something, when time passes, and when it is asked to append.
//!
//! After "In Search of an Understandable Consensus Algorithm" (Ongaro, Ousterhout 2014), sections 5.1 to 5.4, with one thing
//! more: a leader that doesn't hear from a majority steps down (Ongaro's thesis, section 6.2), so that clients of a minority
//! are told. Membership is fixed and logs are not compacted.
//!
//! What comes out is taken in two steps. [`records`](Raft::records) have to be on the disk, and
//! [`persisted`](Raft::persisted) be told, before [`messages`](Raft::messages) are sent: they promise what the records say.

use crate::log::{Body, Entry, Found, Log};
use crate::message::{BATCH_MOST, Envelope, Message};
use crate::seeded::Seeded;

/// What has to survive the node's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// The term, and for whom the node has voted in it.
    Vote { term: u64, vote: Option<usize> },
    /// The entry at an index; whatever was there or after it is gone.
    Entry { index: u64, entry: Entry },
}

/// What a node has kept from its former life.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    pub term: u64,
    pub vote: Option<usize>,
    pub log: Log,
}

/// In ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Without a leader for this long, up to twice as long by chance, a node stands for election.
    pub election: u32,
    /// A leader is heard so often; much less than `election`.
    pub heartbeat: u32,
}

/// What becomes of a request to append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proposed {
    /// It is done when this index is committed, if the node leads until then.
    At(u64),
    /// The client has asked for something later.
    Older,
    NotLeader,
}

/// What a leader knows of another node.
#[derive(Clone, Copy, Debug)]
struct Follower {
    /// Where the next entries begin.
    next: u64,
    /// Up to here its log is the leader's.
    matched: u64,
    /// Entries are on their way.
    in_flight: bool,
    /// Ticks since it was heard.
    silent: u32,
}

#[derive(Debug)]
enum Role {
    Follower,
    Candidate { votes: Vec<bool> },
    Leader { followers: Vec<Follower> },
}

#[derive(Debug)]
pub struct Raft {
    id: usize,
    nodes: usize,
    timing: Timing,
    chance: Seeded,
    term: u64,
    vote: Option<usize>,
    log: Log,
    role: Role,
    leader: Option<usize>,
    commit: u64,
    /// Up to here the log is on this node's disk.
    stable: u64,
    /// Ticks since a leader was heard, or since this leader was to be heard.
    elapsed: u32,
    patience: u32,
    records: Vec<Record>,
    messages: Vec<Envelope>,
}

impl Raft {
    /// Node `id` of `nodes`, with what it has kept. Nodes have different seeds.
    pub fn new(id: usize, nodes: usize, timing: Timing, seed: u64, kept: Kept) -> Raft {
        let Kept { term, vote, log } = kept;
        let stable = log.last_index();
        let mut raft = Raft {
            id,
            nodes,
            timing,
            chance: Seeded::new(seed),
            term,
            vote,
            log,
            role: Role::Follower,
            leader: None,
            commit: 0,
            stable,
            elapsed: 0,
            patience: 0,
            records: Vec::new(),
            messages: Vec::new(),
        };
        raft.be_patient();
        raft
    }

    pub fn term(&self) -> u64 {
        self.term
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Entries up to here are never lost.
    pub fn commit(&self) -> u64 {
        self.commit
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<usize> {
        self.leader
    }

    /// The term in which this node leads.
    pub fn leads(&self) -> Option<u64> {
        matches!(self.role, Role::Leader { .. }).then_some(self.term)
    }

    /// Takes what has to be on the disk before anything else happens.
    pub fn records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// All records that were taken are on the disk.
    pub fn persisted(&mut self) {
        self.stable = self.log.last_index();
        self.commit_more();
    }

    /// Takes what is to be sent once the records are on the disk. Any of it may be lost, doubled or late.
    pub fn messages(&mut self) -> Vec<Envelope> {
        std::mem::take(&mut self.messages)
    }

    /// Time passes.
    pub fn tick(&mut self) {
        self.elapsed += 1;
        let Role::Leader { followers } = &mut self.role else {
            if self.elapsed >= self.patience {
                self.stand();
            }
            return;
        };
        followers.iter_mut().for_each(|follower| follower.silent = follower.silent.saturating_add(1));
        // The leader itself is one of these.
        followers[self.id].silent = 0;
        let heard = followers.iter().filter(|follower| follower.silent < 2 * self.timing.election).count();
        if heard < self.majority() {
            self.step_down(self.term);
        } else if self.elapsed >= self.timing.heartbeat {
            self.elapsed = 0;
            (0..self.nodes).for_each(|to| self.send_append(to, false));
        }
    }

    /// Appends for a client, once for each number.
    pub fn propose(&mut self, client: u64, sequence: u64, bytes: Vec<u8>) -> Proposed {
        if self.leads().is_none() {
            return Proposed::NotLeader;
        }
        match self.log.find(client, sequence) {
            Found::At(index) => Proposed::At(index),
            Found::Older => Proposed::Older,
            Found::New => Proposed::At(self.append(Body::Data { client, sequence, bytes: bytes.into() })),
        }
    }

    /// Sends new entries to those for whom none are on the way. After a number of [`propose`](Self::propose).
    pub fn replicate(&mut self) {
        let Role::Leader { followers } = &self.role else { return };
        let last = self.log.last_index();
        let behind = followers.iter().enumerate().filter(|(_, follower)| !follower.in_flight && follower.next <= last);
        let behind: Vec<usize> = behind.map(|(to, _)| to).collect();
        behind.into_iter().for_each(|to| self.send_append(to, true));
    }

    /// Another node says something.
    pub fn receive(&mut self, envelope: Envelope) {
        let Envelope { from, to, term, message } = envelope;
        if from >= self.nodes || from == self.id || to != self.id {
            return;
        }
        if term > self.term {
            self.step_down(term);
        }
        let current = term == self.term;
        match message {
            Message::Vote { last_index, last_term } => self.vote(from, current, (last_term, last_index)),
            Message::Append { prev_index, prev_term, commit, entries } if current => {
                // Of one term there is one leader, and it isn't this node.
                if self.leads().is_none() {
                    self.role = Role::Follower;
                    self.leader = Some(from);
                    self.be_patient();
                    self.accept(from, (prev_index, prev_term), commit, entries);
                }
            }
            // Tells a leader of the past which term it is.
            Message::Append { .. } => self.send(from, Message::Appended { accepted: false, index: 0 }),
            Message::Voted { granted: true } if current => self.count_vote(from),
            Message::Appended { accepted, index } if current => self.appended(from, accepted, index),
            Message::Voted { .. } | Message::Appended { .. } => {}
        }
    }

    fn majority(&self) -> usize {
        self.nodes / 2 + 1
    }

    fn be_patient(&mut self) {
        self.elapsed = 0;
        self.patience = self.timing.election + self.chance.below(u64::from(self.timing.election.max(1))) as u32;
    }

    fn send(&mut self, to: usize, message: Message) {
        self.messages.push(Envelope { from: self.id, to, term: self.term, message });
    }

    fn enter(&mut self, term: u64, vote: Option<usize>) {
        (self.term, self.vote) = (term, vote);
        self.records.push(Record::Vote { term, vote });
    }

    /// Becomes a follower of nobody yet, of this term or a later one.
    fn step_down(&mut self, term: u64) {
        if term > self.term {
            self.enter(term, None);
        }
        if !matches!(self.role, Role::Follower) {
            self.role = Role::Follower;
            self.be_patient();
        }
        self.leader = None;
    }

    fn stand(&mut self) {
        self.enter(self.term + 1, Some(self.id));
        self.role = Role::Candidate { votes: vec![false; self.nodes] };
        self.leader = None;
        self.be_patient();
        let (last_index, last_term) = (self.log.last_index(), self.log.last_term());
        for to in (0..self.nodes).filter(|to| *to != self.id).collect::<Vec<_>>() {
            self.send(to, Message::Vote { last_index, last_term });
        }
        self.count_vote(self.id);
    }

    fn vote(&mut self, candidate: usize, current: bool, their_end: (u64, u64)) {
        // Who lacks a committed entry has a log that ends earlier than those of a majority, and is not elected.
        let complete = their_end >= (self.log.last_term(), self.log.last_index());
        let granted = current && complete && self.vote.is_none_or(|vote| vote == candidate);
        if granted {
            if self.vote.is_none() {
                self.enter(self.term, Some(candidate));
            }
            self.be_patient();
        }
        self.send(candidate, Message::Voted { granted });
    }

    fn count_vote(&mut self, from: usize) {
        let majority = self.majority();
        let Role::Candidate { votes } = &mut self.role else { return };
        votes[from] = true;
        if votes.iter().filter(|granted| **granted).count() >= majority {
            let new = Follower { next: self.log.last_index() + 1, matched: 0, in_flight: false, silent: 0 };
            self.role = Role::Leader { followers: vec![new; self.nodes] };
            self.leader = Some(self.id);
            self.elapsed = 0;
            self.append(Body::Mark);
            self.replicate();
        }
    }

    /// As leader.
    fn append(&mut self, body: Body) -> u64 {
        let entry = Entry { term: self.term, body };
        let index = self.log.push(entry.clone());
        self.records.push(Record::Entry { index, entry });
        index
    }

    fn send_append(&mut self, to: usize, with_entries: bool) {
        let Role::Leader { followers } = &mut self.role else { return };
        if to == self.id {
            return;
        }
        let follower = &mut followers[to];
        let (prev_index, last) = (follower.next - 1, self.log.last_index());
        let mut entries = Vec::new();
        if with_entries {
            follower.in_flight = true;
            entries = self.log.slice(follower.next..=last, BATCH_MOST);
        }
        let prev_term = self.log.term_at(prev_index).unwrap_or(0);
        self.send(to, Message::Append { prev_index, prev_term, commit: self.commit, entries });
    }

    /// As follower: makes the log the leader's, as far as it goes.
    fn accept(&mut self, leader: usize, (prev_index, prev_term): (u64, u64), commit: u64, entries: Vec<Entry>) {
        match self.log.term_at(prev_index) {
            Some(term) if term == prev_term => {}
            None => {
                let index = self.log.last_index();
                return self.send(leader, Message::Appended { accepted: false, index });
            }
            Some(term) => {
                // None of the entries of this term are the leader's, most likely: pass them over at once.
                let mut index = prev_index.saturating_sub(1);
                while index > self.commit && self.log.term_at(index) == Some(term) {
                    index -= 1;
                }
                return self.send(leader, Message::Appended { accepted: false, index });
            }
        }
        let mut index = prev_index;
        for entry in entries {
            index += 1;
            match self.log.term_at(index) {
                Some(term) if term == entry.term => continue,
                // No leader that was elected by the rules says this.
                Some(_) if index <= self.commit => return,
                Some(_) => {
                    self.log.cut(index);
                    self.stable = self.stable.min(index - 1);
                }
                None => {}
            }
            self.log.push(entry.clone());
            self.records.push(Record::Entry { index, entry });
        }
        // What follows in this log is not known to be the leader's.
        self.commit = self.commit.max(commit.min(index));
        self.send(leader, Message::Appended { accepted: true, index });
    }

    /// As leader: a follower has answered.
    fn appended(&mut self, from: usize, accepted: bool, index: u64) {
        let last = self.log.last_index();
        let Role::Leader { followers } = &mut self.role else { return };
        let follower = &mut followers[from];
        follower.silent = 0;
        follower.in_flight = false;
        if accepted {
            follower.matched = follower.matched.max(index.min(last));
            follower.next = follower.next.max(follower.matched + 1);
            self.commit_more();
        } else {
            follower.next = follower.next.min(index.saturating_add(1)).max(follower.matched + 1);
        }
        self.replicate();
    }

    /// What a majority has on its disks is committed, if an entry of this term is among it (Raft, section 5.4.2).
    fn commit_more(&mut self) {
        let majority = self.majority();
        let Role::Leader { followers } = &mut self.role else { return };
        followers[self.id].matched = self.stable;
        followers[self.id].next = self.log.last_index() + 1;
        let mut matched: Vec<u64> = followers.iter().map(|follower| follower.matched).collect();
        matched.sort_unstable_by(|one, other| other.cmp(one));
        let common = matched[majority - 1];
        if common > self.commit && self.log.term_at(common) == Some(self.term) {
            self.commit = common;
        }
    }
}

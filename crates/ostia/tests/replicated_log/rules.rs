//! Raft's rules without any I/O, in a world where everything goes wrong, and one by one.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::{Body, Entry, Found, Log};
use crate::message;
use crate::message::{Envelope, Message};
use crate::raft::{Kept, Proposed, Raft, Record, Timing};
use crate::seeded::Seeded;

pub const TIMING: Timing = Timing { election: 10, heartbeat: 3 };

/// Raft's rules alone, in a world where messages are lost, doubled and late, and nodes crash in the middle of a write.
struct Trial {
    chance: Seeded,
    nodes: Vec<Raft>,
    /// What each node has on its disk.
    disks: Vec<Kept>,
    on_the_way: Vec<Envelope>,
    /// Who can't be heard now.
    cut_off: Option<usize>,
    leaders: BTreeMap<u64, usize>,
    /// What any node has held for committed.
    committed: Vec<Entry>,
    crashes: u64,
}

impl Trial {
    fn new(size: usize, seed: u64) -> Trial {
        let nodes = (0..size).map(|id| Raft::new(id, size, TIMING, seed + id as u64, Kept::default())).collect();
        Trial {
            chance: Seeded::new(seed),
            nodes,
            disks: vec![Kept::default(); size],
            on_the_way: Vec::new(),
            cut_off: None,
            leaders: BTreeMap::new(),
            committed: Vec::new(),
            crashes: 0,
        }
    }

    fn write(&mut self, id: usize, record: Record) {
        let disk = &mut self.disks[id];
        match record {
            Record::Vote { term, vote } => (disk.term, disk.vote) = (term, vote),
            Record::Entry { index, entry } => {
                if index <= disk.log.last_index() {
                    disk.log.cut(index);
                }
                assert_eq!(disk.log.push(entry), index);
            }
        }
    }

    /// Does what a node's task does after each event; now and then it crashes on the way.
    fn settle(&mut self, id: usize, trouble: bool) {
        self.nodes[id].replicate();
        let records = self.nodes[id].records();
        let crash = trouble && self.chance.below(400) == 0;
        let written = if crash { self.chance.below(records.len() as u64 + 1) as usize } else { records.len() };
        for record in records.into_iter().take(written) {
            self.write(id, record);
        }
        if crash {
            self.crashes += 1;
            let seed = self.chance.next();
            self.nodes[id] = Raft::new(id, self.nodes.len(), TIMING, seed, self.disks[id].clone());
            return;
        }
        self.nodes[id].persisted();
        for envelope in self.nodes[id].messages() {
            if trouble && self.chance.chance(10) {
                continue;
            }
            if trouble && self.chance.chance(5) {
                self.on_the_way.push(envelope.clone());
            }
            self.on_the_way.push(envelope);
        }
        self.check(id);
    }

    fn check(&mut self, id: usize) {
        let node = &self.nodes[id];
        if let Some(term) = node.leads() {
            assert_eq!(*self.leaders.entry(term).or_insert(id), id, "one leader in term {term}");
            for (at, entry) in self.committed.iter().enumerate() {
                let held = node.log().get(at as u64 + 1);
                // A leader of the past may not know of later terms.
                assert!(held == Some(entry) || entry.term > term, "leader {id} of term {term} lacks {}", at + 1);
            }
        }
        for index in 1..=node.commit() {
            let entry = node.log().get(index).expect("what is committed is there");
            match self.committed.get(index as usize - 1) {
                Some(known) => assert_eq!(known, entry, "what is committed stays, at {index}"),
                None => self.committed.push(entry.clone()),
            }
        }
    }

    fn step(&mut self, trouble: bool) {
        let size = self.nodes.len() as u64;
        if trouble && self.chance.below(300) == 0 {
            let who = self.chance.below(2 * size) as usize;
            self.cut_off = Some(who).filter(|who| *who < self.nodes.len());
        }
        match self.chance.below(10) {
            0..4 => {
                let id = self.chance.below(size) as usize;
                self.nodes[id].tick();
                self.settle(id, trouble);
            }
            4..9 if !self.on_the_way.is_empty() => {
                // Any of them: messages overtake each other. On a good day they don't.
                let at = if trouble { self.chance.below(self.on_the_way.len() as u64) as usize } else { 0 };
                let envelope = self.on_the_way.remove(at);
                let to = envelope.to;
                if self.cut_off.is_none_or(|who| who != to && who != envelope.from) {
                    self.nodes[to].receive(envelope);
                    self.settle(to, trouble);
                }
            }
            _ => {
                let id = self.chance.below(size) as usize;
                let (client, sequence) = (self.chance.below(5), 1 + self.committed.len() as u64 / 5);
                if matches!(self.nodes[id].propose(client, sequence, vec![client as u8]), Proposed::At(_)) {
                    self.settle(id, trouble);
                }
            }
        }
    }
}

#[test]
fn the_rules_hold_whatever_is_lost_late_doubled_or_crashed() {
    let (mut crashes, mut terms) = (0, 0);
    for seed in 0..60 {
        let size = if seed % 3 == 0 { 5 } else { 3 };
        let mut trial = Trial::new(size, 1 + seed * 1000);
        (0..6000).for_each(|_| trial.step(true));
        // Then all goes well, and they agree.
        trial.cut_off = None;
        let enough = trial.committed.len() + 20;
        let mut steps = 0;
        let agreed = |trial: &Trial| trial.nodes.iter().all(|node| node.commit() as usize >= enough);
        while !agreed(&trial) {
            steps += 1;
            assert!(steps < 200_000, "seed {seed}: no progress");
            trial.step(false);
        }
        let mut requests = BTreeSet::new();
        for entry in &trial.committed {
            if let Body::Data { client, sequence, .. } = entry.body {
                assert!(requests.insert((client, sequence)), "seed {seed}: a request is there twice");
            }
        }
        crashes += trial.crashes;
        terms += trial.leaders.len();
    }
    assert!(crashes > 100 && terms > 200, "{crashes} crashes, {terms} leaders: too easy");
}

#[test]
fn entries_of_a_former_term_are_committed_by_one_of_the_leaders_own_only() {
    let mut kept = Kept { term: 3, ..Kept::default() };
    for term in [1, 2] {
        kept.log.push(Entry { term, body: Body::Mark });
    }
    let mut raft = Raft::new(0, 5, TIMING, 1, kept);
    while raft.term() == 3 {
        raft.tick();
    }
    for from in [1, 2] {
        raft.receive(message(from, 0, 4, Message::Voted { granted: true }));
    }
    assert_eq!((raft.leads(), raft.log().last_index()), (Some(4), 3));
    assert!(raft.records().len() == 2, "the vote and the mark");
    raft.persisted();
    // A majority has the entry of term 2, and yet who has one of term 3 in its place could be elected: the figure 8 of the
    // paper.
    for from in [1, 2] {
        raft.receive(message(from, 0, 4, Message::Appended { accepted: true, index: 2 }));
    }
    assert_eq!(raft.commit(), 0);
    raft.receive(message(1, 0, 4, Message::Appended { accepted: true, index: 3 }));
    assert_eq!(raft.commit(), 0);
    // Said by one of another term, or by a node that there isn't, it counts for nothing.
    raft.receive(message(2, 0, 3, Message::Appended { accepted: true, index: 3 }));
    raft.receive(message(7, 0, 4, Message::Appended { accepted: true, index: 3 }));
    assert_eq!(raft.commit(), 0);
    raft.receive(message(2, 0, 4, Message::Appended { accepted: true, index: 3 }));
    assert_eq!(raft.commit(), 3);
}

#[test]
fn nothing_counts_as_kept_before_it_is_on_the_disk() {
    let mut raft = Raft::new(0, 3, TIMING, 1, Kept::default());
    while raft.term() == 0 {
        raft.tick();
    }
    raft.receive(message(1, 0, 1, Message::Voted { granted: true }));
    assert_eq!(raft.records().len(), 2, "the vote and the mark");
    raft.persisted();
    assert_eq!(raft.propose(1, 1, vec![1]), Proposed::At(2));
    // One other has it, but this node not yet.
    raft.receive(message(1, 0, 1, Message::Appended { accepted: true, index: 2 }));
    assert_eq!((raft.commit(), raft.records().len()), (1, 1));
    raft.persisted();
    assert_eq!(raft.commit(), 2);
}

#[test]
fn a_log_that_is_cut_knows_its_requests_again() {
    let data = |client, sequence| Entry { term: 1, body: Body::Data { client, sequence, bytes: b""[..].into() } };
    let mut log = Log::default();
    for (client, sequence) in [(1, 1), (2, 1), (1, 2), (1, 3)] {
        log.push(data(client, sequence));
    }
    assert_eq!(
        [log.find(1, 3), log.find(1, 2), log.find(2, 1), log.find(3, 1)],
        [Found::At(4), Found::Older, Found::At(2), Found::New]
    );
    log.cut(3);
    assert_eq!((log.last_index(), log.find(1, 3), log.find(1, 1)), (2, Found::New, Found::At(1)));
}

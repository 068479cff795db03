//! The log in memory: entries from index 1 on, and which client's requests are in it.

use std::collections::BTreeMap;
use std::rc::Rc;

/// One place of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The term of the leader that made it.
    pub term: u64,
    pub body: Body,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// A leader's first entry: with it, all before it are committed (Raft, section 5.4.2).
    Mark,
    /// What a client has appended, and the request's number among that client's.
    Data { client: u64, sequence: u64, bytes: Rc<[u8]> },
}

impl Entry {
    /// About how many bytes it takes in a message.
    pub fn weight(&self) -> usize {
        match &self.body {
            Body::Mark => 9,
            Body::Data { bytes, .. } => 29 + bytes.len(),
        }
    }
}

/// Whether a request is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    New,
    /// At this index.
    At(u64),
    /// The client has sent a later one since: nobody waits for this one.
    Older,
}

/// The whole log is kept, as is a record of every client: cutting it short by snapshots is not part of this example.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    entries: Vec<Entry>,
    /// Of each client, the latest request and its index.
    latest: BTreeMap<u64, (u64, u64)>,
}

impl Log {
    /// The index of the last entry, 0 if there is none.
    pub fn last_index(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn last_term(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.term)
    }

    /// The term of an entry; 0 for index 0; none past the end.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        if index == 0 { Some(0) } else { self.get(index).map(|entry| entry.term) }
    }

    pub fn get(&self, index: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(index.checked_sub(1)?).ok()?)
    }

    pub fn find(&self, client: u64, sequence: u64) -> Found {
        match self.latest.get(&client) {
            Some((latest, index)) if *latest == sequence => Found::At(*index),
            Some((latest, _)) if *latest > sequence => Found::Older,
            _ => Found::New,
        }
    }

    /// Appends; gives the index.
    pub fn push(&mut self, entry: Entry) -> u64 {
        let index = self.last_index() + 1;
        if let Body::Data { client, sequence, .. } = entry.body {
            self.latest.insert(client, (sequence, index));
        }
        self.entries.push(entry);
        index
    }

    /// Drops the entry at `index`, which is at least 1, and all after it.
    pub fn cut(&mut self, index: u64) {
        self.entries.truncate(index.saturating_sub(1) as usize);
        // It is seldom that a log is cut: what was each client's latest before is found by going through it again.
        let entries = std::mem::take(&mut self.entries);
        self.latest.clear();
        for entry in entries {
            self.push(entry);
        }
    }

    /// The entries in `range` of about `bytes` bytes at most, but at least one, if there is one.
    pub fn slice(&self, range: std::ops::RangeInclusive<u64>, bytes: usize) -> Vec<Entry> {
        let mut sum = 0;
        let mut all = Vec::new();
        for entry in range.map_while(|index| self.get(index)) {
            sum += entry.weight();
            if sum > bytes && !all.is_empty() {
                break;
            }
            all.push(entry.clone());
        }
        all
    }
}

//! What nodes and clients say to each other, one message a frame, and the bounds of it all.
//!
//! Whoever connects says first what it is. A node's connection to another carries its own messages only; answers come over
//! the other's connection to it. A client's carries one request at a time and its reply.

use std::rc::Rc;

use ostia::codec::LengthDelimited;

use crate::bytes::{Put, Reader};
use crate::log::{Body, Entry};

/// The most bytes that can be appended at once.
pub const ENTRY_MOST: usize = 64 << 10;
/// About so many bytes of entries go into one message.
pub const BATCH_MOST: usize = 256 << 10;
/// No frame is longer.
pub const FRAME_MOST: usize = BATCH_MOST + ENTRY_MOST + 1024;

/// How messages are framed.
pub fn codec() -> LengthDelimited {
    LengthDelimited::new().max_length(FRAME_MOST)
}

/// The first frame of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hello {
    /// A node, by its number.
    Node(usize),
    Client,
}

/// From one node to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    pub from: usize,
    pub to: usize,
    /// The sender's.
    pub term: u64,
    pub message: Message,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Asks for a vote: the candidate's log ends so.
    Vote {
        last_index: u64,
        last_term: u64,
    },
    Voted {
        granted: bool,
    },
    /// From the leader: entries that follow the one named, and how far the log is committed. Without entries it says that
    /// the leader is there, and asks how far the follower is.
    Append {
        prev_index: u64,
        prev_term: u64,
        commit: u64,
        entries: Vec<Entry>,
    },
    /// Accepted: the logs agree up to `index`, and it is on the follower's disk. Not: they may agree up to `index`.
    Appended {
        accepted: bool,
        index: u64,
    },
}

/// From a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// The same client and number is the same request, however often it comes.
    Append { client: u64, sequence: u64, bytes: Vec<u8> },
    /// Committed entries from this index on, of this node: it may not have the latest.
    Read { from: u64 },
}

/// To a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The entry is committed at this index.
    Committed { index: u64 },
    /// Ask the leader, if it is known; what was asked for may still happen.
    NotLeader { leader: Option<usize> },
    /// Too many appends wait: later.
    Busy,
    /// The client has sent a request with a higher number.
    Superseded,
    /// How far the log is committed here, and entries in a row, without a gap from what was asked for.
    Entries { commit: u64, entries: Vec<Entry> },
}

const NOBODY: u8 = u8::MAX;

fn node(number: u8) -> Option<usize> {
    (number != NOBODY).then_some(usize::from(number))
}

fn number(node: Option<usize>) -> u8 {
    node.and_then(|node| u8::try_from(node).ok()).unwrap_or(NOBODY)
}

pub fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.put_u64(entry.term);
    match &entry.body {
        Body::Mark => out.put_u8(0),
        Body::Data { client, sequence, bytes } => {
            out.put_u8(1);
            out.put_u64(*client);
            out.put_u64(*sequence);
            out.put_u32(bytes.len() as u32);
            out.put(bytes);
        }
    }
}

pub fn entry(reader: &mut Reader<'_>) -> Option<Entry> {
    let term = reader.u64()?;
    let body = match reader.u8()? {
        0 => Body::Mark,
        1 => {
            let (client, sequence, len) = (reader.u64()?, reader.u64()?, reader.u32()? as usize);
            (len <= ENTRY_MOST).then_some(())?;
            Body::Data { client, sequence, bytes: Rc::from(reader.take(len)?) }
        }
        _ => return None,
    };
    Some(Entry { term, body })
}

/// All entries up to the end.
fn entries(reader: &mut Reader<'_>) -> Option<Vec<Entry>> {
    let mut all = Vec::new();
    while reader.end().is_none() {
        all.push(entry(reader)?);
    }
    Some(all)
}

/// The number of a node, or of nobody.
pub fn put_node(out: &mut Vec<u8>, node: Option<usize>) {
    out.put_u8(number(node));
}

pub fn node_or_nobody(reader: &mut Reader<'_>) -> Option<Option<usize>> {
    reader.u8().map(node)
}

impl Hello {
    pub fn encode(self) -> Vec<u8> {
        let mut out = b"replicated log 1".to_vec();
        match self {
            Hello::Client => put_node(&mut out, None),
            Hello::Node(node) => put_node(&mut out, Some(node)),
        }
        out
    }

    pub fn decode(frame: &[u8]) -> Option<Hello> {
        let mut reader = Reader(frame.strip_prefix(b"replicated log 1")?);
        let hello = node_or_nobody(&mut reader)?.map_or(Hello::Client, Hello::Node);
        reader.end().map(|()| hello)
    }
}

impl Envelope {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_node(&mut out, Some(self.from));
        put_node(&mut out, Some(self.to));
        out.put_u64(self.term);
        match &self.message {
            Message::Vote { last_index, last_term } => {
                out.put_u8(1);
                out.put_u64(*last_index);
                out.put_u64(*last_term);
            }
            Message::Voted { granted } => {
                out.put_u8(2);
                out.put_u8((*granted).into());
            }
            Message::Append { prev_index, prev_term, commit, entries } => {
                out.put_u8(3);
                out.put_u64(*prev_index);
                out.put_u64(*prev_term);
                out.put_u64(*commit);
                entries.iter().for_each(|entry| put_entry(&mut out, entry));
            }
            Message::Appended { accepted, index } => {
                out.put_u8(4);
                out.put_u8((*accepted).into());
                out.put_u64(*index);
            }
        }
        out
    }

    pub fn decode(frame: &[u8]) -> Option<Envelope> {
        let mut reader = Reader(frame);
        let (from, to) = (node_or_nobody(&mut reader)??, node_or_nobody(&mut reader)??);
        let term = reader.u64()?;
        let message = match reader.u8()? {
            1 => Message::Vote { last_index: reader.u64()?, last_term: reader.u64()? },
            2 => Message::Voted { granted: flag(&mut reader)? },
            3 => Message::Append {
                prev_index: reader.u64()?,
                prev_term: reader.u64()?,
                commit: reader.u64()?,
                entries: entries(&mut reader)?,
            },
            4 => Message::Appended { accepted: flag(&mut reader)?, index: reader.u64()? },
            _ => return None,
        };
        reader.end().map(|()| Envelope { from, to, term, message })
    }
}

fn flag(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

impl Request {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Request::Append { client, sequence, bytes } => {
                out.put_u8(1);
                out.put_u64(*client);
                out.put_u64(*sequence);
                out.put(bytes);
            }
            Request::Read { from } => {
                out.put_u8(2);
                out.put_u64(*from);
            }
        }
        out
    }

    pub fn decode(frame: &[u8]) -> Option<Request> {
        let mut reader = Reader(frame);
        let request = match reader.u8()? {
            1 => {
                let (client, sequence, bytes) = (reader.u64()?, reader.u64()?, reader.rest());
                (bytes.len() <= ENTRY_MOST).then_some(())?;
                Request::Append { client, sequence, bytes: bytes.to_vec() }
            }
            2 => Request::Read { from: reader.u64()? },
            _ => return None,
        };
        reader.end().map(|()| request)
    }
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Reply::Committed { index } => {
                out.put_u8(1);
                out.put_u64(*index);
            }
            Reply::NotLeader { leader } => {
                out.put_u8(2);
                put_node(&mut out, *leader);
            }
            Reply::Busy => out.put_u8(3),
            Reply::Superseded => out.put_u8(4),
            Reply::Entries { commit, entries } => {
                out.put_u8(5);
                out.put_u64(*commit);
                entries.iter().for_each(|entry| put_entry(&mut out, entry));
            }
        }
        out
    }

    pub fn decode(frame: &[u8]) -> Option<Reply> {
        let mut reader = Reader(frame);
        let reply = match reader.u8()? {
            1 => Reply::Committed { index: reader.u64()? },
            2 => Reply::NotLeader { leader: node_or_nobody(&mut reader)? },
            3 => Reply::Busy,
            4 => Reply::Superseded,
            5 => Reply::Entries { commit: reader.u64()?, entries: entries(&mut reader)? },
            _ => return None,
        };
        reader.end().map(|()| reply)
    }
}

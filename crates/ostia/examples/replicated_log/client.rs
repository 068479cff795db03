//! A client: finds the leader, and asks again until its entry is committed, once.

use std::fmt;
use std::io;
use std::time::Duration;

use ostia::codec::{FramedRead, FramedWrite, LengthDelimited};
use ostia::net::{Endpoint, Network, OwnedRecvHalf, OwnedSendHalf};
use ostia::time::{sleep, timeout};

use crate::log::Entry;
use crate::message::{ENTRY_MOST, Hello, Reply, Request, codec};
use crate::seeded::Seeded;
use crate::sockets::tune;

/// How long to wait for one node's answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts, up to twice as long by chance.
const PAUSE: Duration = Duration::from_millis(25);
/// How often to ask before giving up.
const ATTEMPTS: u32 = 1000;

/// Why something could not be had.
#[derive(Debug)]
pub enum ClientError {
    /// Longer than [`ENTRY_MOST`].
    TooLong,
    /// No leader was found. What was to be appended may be yet.
    NoAnswer,
    /// Another client has the same number, or this one's former life had: its numbers were used.
    Superseded,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::TooLong => write!(f, "an entry has at most {ENTRY_MOST} bytes"),
            ClientError::NoAnswer => f.write_str("no leader answers; the entry may be appended yet"),
            ClientError::Superseded => f.write_str("this client's number is used by another"),
        }
    }
}

impl std::error::Error for ClientError {}

struct Connection {
    receiving: FramedRead<OwnedRecvHalf, LengthDelimited>,
    sending: FramedWrite<OwnedSendHalf, LengthDelimited>,
}

impl Connection {
    async fn open(node: &Endpoint) -> io::Result<Connection> {
        let stream = Network::current().connect(node).await?;
        tune(&stream)?;
        let (receiving, sending) = stream.into_split();
        let mut sending = FramedWrite::new(sending, codec());
        sending.feed(Hello::Client.encode()).await?;
        Ok(Connection { receiving: FramedRead::new(receiving, codec()), sending })
    }

    async fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.sending.send(request).await?;
        let frame = self.receiving.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Reply::decode(&frame).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

pub struct Client {
    nodes: Vec<Endpoint>,
    id: u64,
    sequence: u64,
    /// Whom to ask next.
    node: usize,
    connection: Option<Connection>,
    chance: Seeded,
}

impl Client {
    /// A client of these nodes, with a number that no other has, taken from the seed.
    pub fn new(nodes: Vec<Endpoint>, seed: u64) -> Client {
        let mut chance = Seeded::new(seed);
        let id = chance.next();
        let node = chance.below(nodes.len().max(1) as u64) as usize;
        Client { nodes, id, sequence: 0, node, connection: None, chance }
    }

    /// Appends, and gives the index when the entry is committed: from then on no failure of a minority loses it. However
    /// often it had to be asked for, it is in the log once.
    ///
    /// Cancelled: it may be appended, at most once.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<u64, ClientError> {
        if bytes.len() > ENTRY_MOST {
            return Err(ClientError::TooLong);
        }
        self.sequence += 1;
        let request = Request::Append { client: self.id, sequence: self.sequence, bytes: bytes.to_vec() }.encode();
        for _ in 0..ATTEMPTS {
            match self.ask(&request).await {
                Some(Reply::Committed { index }) => return Ok(index),
                Some(Reply::Superseded) => return Err(ClientError::Superseded),
                Some(Reply::NotLeader { leader: Some(leader) }) if leader != self.node && leader < self.nodes.len() => {
                    self.turn_to(leader);
                    continue;
                }
                Some(Reply::Busy) => {}
                // Nobody leads, or the node says what it should not, or nothing.
                _ => self.turn_to((self.node + 1) % self.nodes.len().max(1)),
            }
            let by_chance = self.chance.below(PAUSE.as_millis() as u64);
            sleep(PAUSE + Duration::from_millis(by_chance)).await;
        }
        Err(ClientError::NoAnswer)
    }

    /// How far the log is committed at one node, and entries from an index on. Cancelled: nothing happened.
    pub async fn read(&mut self, node: usize, from: u64) -> Result<(u64, Vec<Entry>), ClientError> {
        self.turn_to(node);
        match self.ask(&Request::Read { from }.encode()).await {
            Some(Reply::Entries { commit, entries }) => Ok((commit, entries)),
            _ => Err(ClientError::NoAnswer),
        }
    }

    fn turn_to(&mut self, node: usize) {
        if node != self.node {
            self.connection = None;
            self.node = node;
        }
    }

    /// Asks the present node; none if it doesn't answer.
    async fn ask(&mut self, request: &[u8]) -> Option<Reply> {
        let endpoint = self.nodes.get(self.node)?;
        // Taken out: one that is dropped in the middle, or fails, is not used again.
        let connection = self.connection.take();
        let asked = timeout(PATIENCE, async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => Connection::open(endpoint).await?,
            };
            let reply = connection.ask(request).await?;
            io::Result::Ok((connection, reply))
        });
        let (connection, reply) = asked.await.ok()?.ok()?;
        self.connection = Some(connection);
        Some(reply)
    }
}

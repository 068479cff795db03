//! What goes over the wire: every datagram, its bounds, and nothing that is not checked.
//!
//! ```text
//! client                      server
//!   Hello(nonce), padded  ->          nothing is kept, the answer is shorter than the question
//!                         <-  Challenge(nonce, cookie)
//!   Join(nonce, cookie), padded ->    the cookie proves that the client receives at its address
//!                         <-  Welcome(token, player, rate)   or Refused
//!   Inputs(token, ack, ..) ->         30 times a second; a player begins to exist
//!                         <-  Snapshot(token, tick, ..)      one or more datagrams a tick
//!   Leave(token)          ->
//!                         <-  Goodbye(token)                 when the server ends
//! ```

use crate::bytes::{Put, Reader};
use crate::world::Input;

/// No datagram is longer: it fits into what IPv6 guarantees (1,280 bytes), with room for a tunnel's headers.
pub const DATAGRAM_MOST: usize = 1200;
/// Hello and Join have exactly this length, which every answer to them stays below.
pub const HANDSHAKE_LEN: usize = 64;
/// The most bytes of a snapshot's part in one datagram.
pub const PART_MOST: usize = DATAGRAM_MOST - SNAPSHOT_HEAD;
/// The most inputs in one datagram, and the most that wait for the server's ticks.
pub const INPUTS_MOST: usize = 32;

/// First in every datagram: the protocol and its version.
const MAGIC: u32 = 0x4f67_7301;
const SNAPSHOT_HEAD: usize = 4 + 1 + 8 + 4 + 4 + 8 + 4 + 1 + 1;

/// From a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    Hello {
        nonce: u64,
    },
    Join {
        nonce: u64,
        cookie: u64,
    },
    Inputs {
        token: u64,
        /// The tick of the newest snapshot that the client has whole; 0 if none.
        ack: u32,
        /// The number of the first input below. Inputs are counted from 1 on.
        first: u32,
        inputs: Vec<Input>,
    },
    Leave {
        token: u64,
    },
}

/// Why nobody was let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    Full,
}

/// From the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    Challenge { nonce: u64, cookie: u64 },
    Welcome { nonce: u64, token: u64, player: u16, rate: u16 },
    Refused { nonce: u64, why: Refusal },
    Snapshot(Snapshot<'a>),
    Goodbye { token: u64 },
}

/// A part of what turns the world at `baseline` into the world at `tick`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot<'a> {
    pub token: u64,
    pub tick: u32,
    /// A tick that the client has acknowledged; 0: the empty world.
    pub baseline: u32,
    /// Of the world at `tick`.
    pub hash: u64,
    /// How many inputs of this client are in it.
    pub applied: u32,
    pub part: u8,
    pub parts: u8,
    pub body: &'a [u8],
}

impl Request {
    /// Replaces what is in `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.put_u32(MAGIC);
        match self {
            Request::Hello { nonce } => {
                out.put_u8(1);
                out.put_u64(*nonce);
                out.resize(HANDSHAKE_LEN, 0);
            }
            Request::Join { nonce, cookie } => {
                out.put_u8(2);
                out.put_u64(*nonce);
                out.put_u64(*cookie);
                out.resize(HANDSHAKE_LEN, 0);
            }
            Request::Inputs { token, ack, first, inputs } => {
                out.put_u8(3);
                out.put_u64(*token);
                out.put_u32(*ack);
                out.put_u32(*first);
                for input in inputs.iter().take(INPUTS_MOST) {
                    out.put(&[input.dx as u8, input.dy as u8]);
                }
            }
            Request::Leave { token } => {
                out.put_u8(4);
                out.put_u64(*token);
            }
        }
    }

    /// None if it is not exactly what [`encode`](Self::encode) writes.
    pub fn decode(datagram: &[u8]) -> Option<Request> {
        let mut reader = Reader(datagram);
        if reader.u32()? != MAGIC {
            return None;
        }
        let request = match reader.u8()? {
            1 => Request::Hello { nonce: padded(datagram, &mut reader, |reader| reader.u64())? },
            2 => {
                let (nonce, cookie) = padded(datagram, &mut reader, |reader| Some((reader.u64()?, reader.u64()?)))?;
                Request::Join { nonce, cookie }
            }
            3 => {
                let (token, ack, first) = (reader.u64()?, reader.u32()?, reader.u32()?);
                let pairs = reader.rest();
                if pairs.len() % 2 != 0 || pairs.len() > 2 * INPUTS_MOST || first == 0 {
                    return None;
                }
                let inputs = pairs.chunks(2).map(|pair| Input { dx: pair[0] as i8, dy: pair[1] as i8 }).collect();
                Request::Inputs { token, ack, first, inputs }
            }
            4 => Request::Leave { token: reader.u64()? },
            _ => return None,
        };
        reader.end().map(|()| request)
    }
}

/// What begins a handshake's datagram, if the rest is zeros up to the one length that is allowed.
fn padded<T>(datagram: &[u8], reader: &mut Reader<'_>, head: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Option<T> {
    let head = head(reader)?;
    (datagram.len() == HANDSHAKE_LEN && reader.rest().iter().all(|byte| *byte == 0)).then_some(head)
}

impl<'a> Answer<'a> {
    /// Replaces what is in `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.put_u32(MAGIC);
        match self {
            Answer::Challenge { nonce, cookie } => {
                out.put_u8(0x81);
                out.put_u64(*nonce);
                out.put_u64(*cookie);
            }
            Answer::Welcome { nonce, token, player, rate } => {
                out.put_u8(0x82);
                out.put_u64(*nonce);
                out.put_u64(*token);
                out.put_u16(*player);
                out.put_u16(*rate);
            }
            Answer::Refused { nonce, why: Refusal::Full } => {
                out.put_u8(0x83);
                out.put_u64(*nonce);
                out.put_u8(1);
            }
            Answer::Snapshot(snapshot) => {
                out.put_u8(0x84);
                out.put_u64(snapshot.token);
                out.put_u32(snapshot.tick);
                out.put_u32(snapshot.baseline);
                out.put_u64(snapshot.hash);
                out.put_u32(snapshot.applied);
                out.put_u8(snapshot.part);
                out.put_u8(snapshot.parts);
                out.put(snapshot.body);
            }
            Answer::Goodbye { token } => {
                out.put_u8(0x85);
                out.put_u64(*token);
            }
        }
    }

    /// None if it is not what [`encode`](Self::encode) writes; the body of a snapshot is checked when it is applied.
    pub fn decode(datagram: &'a [u8]) -> Option<Answer<'a>> {
        let mut reader = Reader(datagram);
        if reader.u32()? != MAGIC {
            return None;
        }
        let answer = match reader.u8()? {
            0x81 => Answer::Challenge { nonce: reader.u64()?, cookie: reader.u64()? },
            0x82 => Answer::Welcome {
                nonce: reader.u64()?,
                token: reader.u64()?,
                player: reader.u16()?,
                rate: reader.u16().filter(|rate| *rate > 0)?,
            },
            0x83 => Answer::Refused { nonce: reader.u64()?, why: (reader.u8()? == 1).then_some(Refusal::Full)? },
            0x84 => {
                let snapshot = Snapshot {
                    token: reader.u64()?,
                    tick: reader.u32()?,
                    baseline: reader.u32()?,
                    hash: reader.u64()?,
                    applied: reader.u32()?,
                    part: reader.u8()?,
                    parts: reader.u8()?,
                    body: reader.rest(),
                };
                (snapshot.part < snapshot.parts && snapshot.baseline < snapshot.tick).then_some(())?;
                Answer::Snapshot(snapshot)
            }
            0x85 => Answer::Goodbye { token: reader.u64()? },
            _ => return None,
        };
        reader.end().map(|()| answer)
    }
}

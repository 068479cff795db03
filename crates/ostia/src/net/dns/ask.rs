//! Asking servers, one after the other, until one answers: over UDP, and over TCP what doesn't fit a datagram.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ostia_port::Address;

use super::message::{self, Answer, Kind, Read};
use super::name::HostName;
use super::{Dns, any_of};
use crate::net::{FailureKind, NetError, Stream, UdpSocket};
use crate::time::timeout;

/// Room for an answer over UDP. Without EDNS a server sends 512 bytes (RFC 1035, section 4.2.1), but some send more.
const ROOM: usize = 4096;

/// Datagrams that are no answer, of one question, after which it is given up: somebody floods the port.
const STRANGE: usize = 256;

/// Why one server has given no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    server: SocketAddr,
    why: String,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.why)
    }
}

impl Dns {
    /// Asks one question of the servers in turn. Cancelled: the question is given up and its sockets closed.
    ///
    /// Errors: what was wrong with each of them, the last time.
    pub(super) async fn ask(&self, name: &HostName, kind: Kind) -> Result<Answer, Vec<Unanswered>> {
        let mut reasons = Vec::new();
        let mut limit = self.options.timeout;
        for _ in 0..self.options.rounds.max(1) {
            reasons.clear();
            for &server in &self.servers {
                match self.ask_one(server, name, kind, limit).await {
                    Ok(answer) => return Ok(answer),
                    Err(why) => reasons.push(Unanswered { server, why }),
                }
            }
            limit = limit.saturating_mul(2);
        }
        Err(reasons)
    }

    async fn ask_one(&self, server: SocketAddr, name: &HostName, kind: Kind, limit: Duration) -> Result<Answer, String> {
        let id = self.identifier();
        let question = message::question(id, name, kind).ok_or("the name can't be asked for")?;
        let mut strange = 0;
        let asked = timeout(limit, over_udp(server, &question, id, name, kind, &mut strange)).await;
        match asked {
            Ok(Ok(Read::Answer(answer))) => return Ok(answer),
            Ok(Ok(Read::Failed(why))) => return Err(why.to_owned()),
            Ok(Ok(Read::Cut)) => {}
            Ok(Err(error)) => return Err(reason(&error)),
            Err(_) if strange > 0 => {
                return Err(format!("no answer within {limit:?}; what came ({strange}) answered something else"));
            }
            Err(_) => return Err(format!("no answer within {limit:?}")),
        }
        match timeout(limit, over_tcp(server, &question, id, name, kind)).await {
            Ok(Ok(Read::Answer(answer))) => Ok(answer),
            Ok(Ok(Read::Failed(why))) => Err(why.to_owned()),
            Ok(Ok(Read::Cut)) => Err("the answer was cut over TCP too".to_owned()),
            Ok(Err(error)) => Err(format!("over TCP: {}", reason(&error))),
            Err(_) => Err(format!("no answer over TCP within {limit:?}")),
        }
    }
}

/// What an error is in few words: the servers are named beside.
fn reason(error: &io::Error) -> String {
    match NetError::of(error) {
        Some(known) if known.kind() == FailureKind::Refused => "nothing listens there".to_owned(),
        Some(known) => match known.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code).to_string(),
            None => error.to_string(),
        },
        None => error.to_string(),
    }
}

/// Asks over UDP, and waits for what answers exactly this; counts what doesn't.
async fn over_udp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &HostName,
    kind: Kind,
    strange: &mut usize,
) -> io::Result<Read> {
    // A socket of its own means a port of its own, which who can't see the question has to guess too (RFC 5452, section 4.5).
    let mut socket = UdpSocket::bind(any_of(server.ip()))?;
    socket.connect(server)?;
    socket.send(question.to_vec()).await.0?;
    let mut buffer = Vec::with_capacity(ROOM);
    while *strange < STRANGE {
        buffer.clear();
        let received;
        (received, buffer) = socket.recv(buffer).await;
        match received {
            Ok(_) => {
                if let Some(read) = message::read(&buffer, id, name, kind) {
                    return Ok(read);
                }
            }
            Err(error) => {
                let long = NetError::of(&error).is_some_and(|known| known.kind() == FailureKind::MessageTooLong);
                if !long {
                    return Err(error);
                }
            }
        }
        *strange += 1;
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "floods of what answers something else"))
}

/// Asks over TCP (RFC 7766, section 8: each message behind its length).
async fn over_tcp(server: SocketAddr, question: &[u8], id: u16, name: &HostName, kind: Kind) -> io::Result<Read> {
    let mut stream = Stream::connect_address(Address::from(server)).await?;
    let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(question);
    stream.send(message).await?;
    let mut received = Vec::new();
    loop {
        let wanted = match received.first_chunk() {
            Some(length) => 2 + usize::from(u16::from_be_bytes(*length)),
            None => 2,
        };
        if received.len() >= wanted && received.len() > 2 {
            let whole = received.get(2..wanted).unwrap_or_default();
            let strange = || io::Error::new(io::ErrorKind::InvalidData, "it has answered something else");
            return message::read(whole, id, name, kind).ok_or_else(strange);
        }
        match stream.recv().await? {
            Some(chunk) => received.extend_from_slice(&chunk),
            None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection without an answer")),
        }
    }
}

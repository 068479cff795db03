//! The peer's side of each connection of a script: how its numbers stand to those on the wire.

use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::Family;
use super::packet::{Ends, Raw, Sent, encode_options, flag_bits, show};
use super::script::{Segment, TcpOption, Traffic};

/// Where the stack listens, and where it connects to.
pub(super) const PORT: u16 = 8080;

/// The peer's port of a connection that no line names ports of.
const PEER_PORT: u16 = 40_000;

/// A connection as the script sees it.
pub(super) struct Peer {
    /// The stack's port; not known of one that it has chosen until its SYN is out.
    pub(super) local: Option<u16>,
    pub(super) remote: u16,
    /// What is added to the stack's numbers in the script to get those on the wire; known with its SYN.
    local_offset: Option<u32>,
    /// The same for timestamps.
    timestamp_offset: Option<u32>,
    /// The script's number of the first octet after the peer's SYN.
    pub(super) start: u32,
    /// It has ended or been reset: another SYN begins anew.
    ended: bool,
    /// The next SYN of the stack gives its numbers anew.
    relearn: bool,
}

/// Every connection of a script.
pub(super) struct Peers {
    family: Family,
    all: Vec<Peer>,
    /// The one that lines without ports are about.
    current: usize,
}

/// Comments beside a line that change its packet.
#[derive(Default)]
pub(super) struct Shape {
    corrupt: bool,
    options: Option<Vec<u8>>,
    offset: Option<u8>,
    cut: Option<usize>,
    source: Option<String>,
    destination: Option<String>,
    /// The peer's port of the connection whose numbers are used.
    numbered_as: Option<u16>,
}

impl Shape {
    pub(super) fn read(words: &[String], into: &mut Shape) -> Result<(), String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
        match words[..] {
            ["corrupt", "checksum"] => into.corrupt = true,
            ["options", ref bytes @ ..] => {
                let bytes: Result<Vec<u8>, _> = bytes.iter().map(|byte| u8::from_str_radix(byte, 16)).collect();
                into.options = Some(bytes.map_err(|error| error.to_string())?);
            }
            ["offset", words] => into.offset = Some(number(words)? as u8),
            ["cut", length] => into.cut = Some(usize::from(number(length)?)),
            ["source", "=", place] => into.source = Some(place.into()),
            ["destination", "=", place] => into.destination = Some(place.into()),
            ["numbered", "as", port] => into.numbered_as = Some(number(port)?),
            _ => return Err(format!("no such comment: {}", words.join(" "))),
        }
        Ok(())
    }
}

impl Peers {
    pub(super) fn new(family: Family) -> Peers {
        let mut peers = Peers { family, all: vec![], current: 0 };
        peers.add(Some(PORT), PEER_PORT);
        peers
    }

    fn add(&mut self, local: Option<u16>, remote: u16) -> usize {
        self.all.push(Peer { local, remote, local_offset: None, timestamp_offset: None, start: 1, ended: false, relearn: true });
        self.all.len() - 1
    }

    /// The stack is about to connect: lines without ports are about that connection from now on.
    pub(super) fn connecting(&mut self, remote: u16) {
        self.current = self.add(None, remote);
    }

    pub(super) fn by_ports(&self, local: u16, remote: u16) -> Option<&Peer> {
        self.all.iter().find(|peer| peer.local == Some(local) && peer.remote == remote)
    }

    fn of(&mut self, local: u16, remote: u16) -> usize {
        let found = self.all.iter().position(|peer| peer.local == Some(local) && peer.remote == remote);
        found.unwrap_or_else(|| self.add(Some(local), remote))
    }

    /// What is added to the peer's numbers. Over IPv6 they wrap soon, over IPv4 not.
    fn remote_offset(&self) -> u32 {
        match self.family {
            Family::V4 => 0x2345_6789,
            Family::V6 => 0xffff_fc00,
        }
    }

    fn place(&self, word: &str) -> Result<core::net::IpAddr, String> {
        let (local, _, remote) = self.family.addresses();
        let group = match self.family {
            Family::V4 => core::net::Ipv4Addr::new(224, 0, 0, 1).into(),
            Family::V6 => core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
        };
        match word {
            "local" => Ok(local),
            "remote" => Ok(remote),
            "group" => Ok(group),
            _ => Err(format!("no such place: {word}")),
        }
    }

    /// The frame of a segment that arrives.
    pub(super) fn arriving(&mut self, segment: &Segment, shape: &Shape) -> Result<ostia_wire::Frame, String> {
        let index = match segment.ports {
            Some((source, destination)) => self.of(destination, source),
            None => self.current,
        };
        let offset = self.remote_offset();
        let numbers = match shape.numbered_as {
            Some(port) => self.of(PORT, port),
            None => index,
        };
        let local_offset = self.all[numbers].local_offset.unwrap_or(0);
        let peer = &mut self.all[index];
        if segment.flags.contains('S') && !segment.flags.contains('.') {
            let start = segment.start.wrapping_add(1);
            if peer.ended || start != peer.start {
                peer.relearn = true;
            }
            (peer.start, peer.ended) = (start, false);
        }
        let Some(local) = peer.local else {
            return Err("a segment for a connection whose port isn't known before its SYN".into());
        };
        let timestamp_offset = peer.timestamp_offset;
        let ports = (peer.remote, local);
        let options: Vec<TcpOption> = segment.options.iter().flatten().cloned().collect();
        let options: Vec<TcpOption> = options
            .into_iter()
            .map(|option| match option {
                TcpOption::Timestamps(value, echo) if echo != 0 => {
                    TcpOption::Timestamps(value, echo.wrapping_add(timestamp_offset.unwrap_or(0)))
                }
                TcpOption::Sack(blocks) => {
                    let moved =
                        blocks.iter().map(|(left, right)| (left.wrapping_add(local_offset), right.wrapping_add(local_offset)));
                    TcpOption::Sack(moved.collect())
                }
                other => other,
            })
            .collect();
        let start = segment.start + u32::from(segment.flags.contains('S'));
        let payload = (0..u32::from(segment.length)).map(|at| octet(false, start.wrapping_add(at))).collect();
        let ends = Ends {
            source: self.place(shape.source.as_deref().unwrap_or("remote"))?,
            destination: self.place(shape.destination.as_deref().unwrap_or("local"))?,
        };
        let raw = Raw {
            ends,
            ports,
            sequence: segment.start.wrapping_add(offset),
            acknowledgment: segment.ack.map_or(0, |ack| ack.wrapping_add(local_offset)),
            flags: &segment.flags,
            window: segment.window.unwrap_or(0),
            urgent: segment.urgent,
            options: shape.options.clone().unwrap_or_else(|| encode_options(&options)),
            payload,
            traffic: match segment.traffic {
                Traffic::Any => 0,
                Traffic::Ecn(ecn) => ecn,
                Traffic::Whole(traffic) => traffic,
            },
            offset: shape.offset,
            cut: shape.cut,
            corrupt: shape.corrupt,
        };
        Ok(raw.frame())
    }

    /// The ports, and the first number on the wire, of what an ICMP error quotes.
    pub(super) fn quoted(&self, start: u32) -> ((u16, u16), u32) {
        let peer = &self.all[self.current];
        let sequence = start.wrapping_add(peer.local_offset.unwrap_or(0));
        ((peer.local.unwrap_or(0), peer.remote), sequence)
    }

    /// Compares what was sent with what was expected; learns numbers from SYNs. An error says both in the script's words.
    pub(super) fn compare(&mut self, expected: &Segment, shape: &Shape, sent: &Sent) -> Result<(), String> {
        let (local, remote) = sent.segment.ports.unwrap_or((0, 0));
        let index = match expected.ports {
            Some((source, destination)) => self.of(source, destination),
            None => self.current,
        };
        let numbers = shape.numbered_as.map(|port| self.of(PORT, port));
        let is_syn = flag_bits(&sent.segment.flags) & 2 != 0;
        let peer = &mut self.all[index];
        if is_syn && peer.local.is_none() && peer.remote == remote {
            peer.local = Some(local);
        }
        // A number that isn't zero counts from the SYN before.
        let begins = peer.relearn && (expected.start == 0 || peer.local_offset.is_none());
        if is_syn && expected.flags.contains('S') && peer.local == Some(local) && begins {
            peer.local_offset = Some(sent.segment.start.wrapping_sub(expected.start));
            peer.relearn = false;
        }
        if let (None, Some(value)) = (peer.timestamp_offset, timestamp(&sent.segment))
            && let Some(wanted) = timestamp(expected)
        {
            peer.timestamp_offset = Some(value.wrapping_sub(wanted));
        }
        if flag_bits(&sent.segment.flags) & 5 != 0 {
            peer.ended = true;
        }
        let known = (peer.local, peer.remote);
        let mut found = self.translate(sent, numbers.unwrap_or(index));
        let (from, _, to) = self.family.addresses();
        if sent.ends.source != from || sent.ends.destination != to {
            return Err(format!("from {} to {}", sent.ends.source, sent.ends.destination));
        }
        if known != (Some(local), remote) {
            found.ports = Some((local, remote));
            return Err(format!("expected > {}\n    but came > {}", show(expected), show(&found)));
        }
        let same = flag_bits(&expected.flags) == flag_bits(&found.flags)
            && (expected.start, expected.length) == (found.start, found.length)
            && expected.ack == found.ack
            && expected.window.is_none_or(|window| found.window == Some(window))
            && (expected.urgent == found.urgent || !found.flags.contains('U') && expected.urgent == 0)
            && expected.options.as_ref().is_none_or(|options| found.options.as_ref() == Some(options))
            && match expected.traffic {
                Traffic::Any => true,
                Traffic::Ecn(ecn) => sent.traffic & 3 == ecn,
                Traffic::Whole(traffic) => sent.traffic == traffic,
            }
            && expected.ttl.is_none_or(|ttl| sent.ttl == ttl);
        if !same {
            return Err(format!("expected > {}\n    but came > {}", show(expected), show(&found)));
        }
        let wrong = sent.payload.iter().zip(found.start..).position(|(&byte, number)| byte != octet(true, number));
        match wrong {
            Some(at) if found.length > 0 => {
                Err(format!("octet {} of > {} is not the stream's", found.start.wrapping_add(at as u32), show(&found)))
            }
            _ => Ok(()),
        }
    }

    /// What was sent, in the script's words.
    pub(super) fn say(&self, sent: &Sent) -> String {
        let (local, remote) = sent.segment.ports.unwrap_or((0, 0));
        let index = self.all.iter().position(|peer| peer.local == Some(local) && peer.remote == remote);
        let mut found = self.translate(sent, index.unwrap_or(self.current));
        if index != Some(self.current) {
            found.ports = Some((local, remote));
        }
        show(&found)
    }

    fn translate(&self, sent: &Sent, index: usize) -> Segment {
        let peer = &self.all[index];
        let remote_offset = self.remote_offset();
        let mut found = sent.segment.clone();
        found.ports = None;
        found.traffic = Traffic::Any;
        // A reset of something without ACK has the number zero, which counts from nothing (RFC 9293, 3.10.7.1).
        if !(found.flags == "R." && found.start == 0) {
            found.start = found.start.wrapping_sub(peer.local_offset.unwrap_or(0));
        }
        found.ack = found.ack.map(|ack| ack.wrapping_sub(remote_offset));
        for option in found.options.iter_mut().flatten() {
            match option {
                TcpOption::Timestamps(value, _) => *value = value.wrapping_sub(peer.timestamp_offset.unwrap_or(0)),
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks {
                        (*left, *right) = (left.wrapping_sub(remote_offset), right.wrapping_sub(remote_offset));
                    }
                }
                _ => {}
            }
        }
        found
    }
}

fn timestamp(segment: &Segment) -> Option<u32> {
    segment.options.iter().flatten().find_map(|option| match option {
        TcpOption::Timestamps(value, _) => Some(*value),
        _ => None,
    })
}

/// The octet of a stream at a number of the script: so that one that is out of place is noticed.
pub(super) fn octet(ours: bool, number: u32) -> u8 {
    let side = if ours { 0x5a } else { 0 };
    (number.wrapping_mul(0x9e37_79b1) >> 24) as u8 ^ side
}

//! Questions written, and answers read, without I/O.

use std::net::IpAddr;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use super::ALIASES;
use super::name::HostName;

/// Addresses that are taken from an answer, at most.
const ADDRESSES: usize = 32;
/// The octets of a message's header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;
/// The bit of the header's third octet that says that the message was cut ("TC").
const CUT: u8 = 2;
/// The least octets of a record: the root's name, type, class, lifetime and length (section 4.1.3).
const RECORD: usize = 11;

/// Which family of addresses is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// IPv4.
    A,
    /// IPv6 (RFC 3596).
    Aaaa,
}

impl Kind {
    fn record(self) -> TYPE {
        match self {
            Kind::A => TYPE::A,
            Kind::Aaaa => TYPE::AAAA,
        }
    }
}

/// What a server says of a name. Lifetimes are in seconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// These addresses, at least one.
    Found { addresses: Vec<IpAddr>, ttl: u32 },
    /// It is another name for this, by way of those before; the last one is to be asked for.
    Alias { names: Vec<HostName>, ttl: u32 },
    /// There are none, or `missing` is the name itself; to be kept only if there is a lifetime (RFC 2308, section 5).
    Nothing { missing: bool, ttl: Option<u32> },
}

/// What came in answer to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Read {
    Answer(Answer),
    /// There is more than fits a datagram.
    Cut,
    /// The server can't or won't answer.
    Failed(&'static str),
}

/// A question, to be sent as it is. None if the name can't be written.
pub(super) fn question(id: u16, name: &HostName, kind: Kind) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name.as_str()).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind.record()), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().ok()
}

/// Reads what came. None if it isn't the answer to this very question: garbage, or somebody else's.
pub(super) fn read(message: &[u8], id: u16, name: &HostName, kind: Kind) -> Option<Read> {
    let short = without_additions(message, id)?;
    let packet = Packet::parse(&short).ok()?;
    let [asked] = packet.questions.as_slice() else { return None };
    let same = host_name(&asked.qname).as_ref() == Some(name)
        && asked.qtype == QTYPE::TYPE(kind.record())
        && asked.qclass == QCLASS::CLASS(CLASS::IN);
    if !same || !packet.has_flags(PacketFlag::RESPONSE) || packet.opcode() != simple_dns::OPCODE::StandardQuery {
        return None;
    }
    // What a cut message holds is not looked at (RFC 2181, section 9).
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Read::Cut);
    }
    match packet.rcode() {
        RCODE::NoError => Some(found(&packet, name, kind)),
        RCODE::NameError => Some(Read::Answer(Answer::Nothing { missing: true, ttl: negative_ttl(&packet) })),
        RCODE::FormatError => Some(Read::Failed("it does not understand the question (FORMERR)")),
        RCODE::ServerFailure => Some(Read::Failed("it has failed to find an answer (SERVFAIL)")),
        RCODE::NotImplemented => Some(Read::Failed("it does not answer such questions (NOTIMP)")),
        RCODE::Refused => Some(Read::Failed("it refuses to answer (REFUSED)")),
        _ => Some(Read::Failed("it has failed in a way of its own")),
    }
}

/// The message without its last section, of which nothing is needed, if it may be the answer at all; of one that was cut, the
/// question alone, for it may end anywhere behind that. A count of records that the message can't hold is caught here, before
/// memory is asked for by it.
fn without_additions(message: &[u8], id: u16) -> Option<Vec<u8>> {
    let header: &[u8; HEADER] = message.first_chunk()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let records = usize::from(field(6)) + usize::from(field(8));
    let cut = header[2] & CUT != 0;
    if field(0) != id || field(4) != 1 || !cut && records.saturating_mul(RECORD) > message.len() - HEADER {
        return None;
    }
    let mut short = message.to_vec();
    short[if cut { 6 } else { 10 }..HEADER].fill(0);
    Some(short)
}

/// Follows the aliases in an answer, as far as it tells of them.
fn found(packet: &Packet<'_>, name: &HostName, kind: Kind) -> Read {
    let records = packet.answers.iter().filter(|record| record.class == CLASS::IN);
    let records: Vec<(HostName, &ResourceRecord<'_>)> =
        records.filter_map(|record| Some((host_name(&record.name)?, record))).collect();
    let mut names = Vec::new();
    let mut ttl = u32::MAX;
    while names.len() <= ALIASES {
        let current = names.last().unwrap_or(name);
        let of_current = || records.iter().filter(|(owner, _)| owner == current).map(|(_, record)| *record);
        let (mut addresses, mut lifetime) = (Vec::new(), ttl);
        for record in of_current() {
            if let Some(ip) = address(record, kind)
                && addresses.len() < ADDRESSES
            {
                addresses.push(ip);
                lifetime = lifetime.min(seconds(record.ttl));
            }
        }
        if !addresses.is_empty() {
            return Read::Answer(Answer::Found { addresses, ttl: lifetime });
        }
        let alias = of_current().find_map(|record| match &record.rdata {
            RData::CNAME(target) => Some((host_name(&target.0), seconds(record.ttl))),
            _ => None,
        });
        match alias {
            // A target that no host can have.
            Some((None, _)) => return Read::Failed("it gives an alias that is no name"),
            Some((Some(target), lifetime)) => {
                ttl = ttl.min(lifetime);
                let circle = target == *name || names.contains(&target);
                names.push(target);
                if circle {
                    return Read::Answer(Answer::Alias { names, ttl });
                }
            }
            None => break,
        }
    }
    let denied = negative_ttl(packet);
    if !names.is_empty() && denied.is_none() {
        return Read::Answer(Answer::Alias { names, ttl });
    }
    // Names of other servers and nothing else: this one doesn't ask them for anybody (RFC 2308, section 2.2, "referral").
    let refers = packet.name_servers.iter().any(|record| matches!(record.rdata, RData::NS(_)));
    if denied.is_none() && refers && !packet.has_flags(PacketFlag::RECURSION_AVAILABLE) {
        return Read::Failed("it only refers to other servers");
    }
    let ttl = denied.map(|denied| denied.min(ttl));
    Read::Answer(Answer::Nothing { missing: false, ttl })
}

/// How long it holds that there is nothing: the lesser of the lifetime and the last field of the zone's SOA record (RFC 2308,
/// section 5).
fn negative_ttl(packet: &Packet<'_>) -> Option<u32> {
    packet.name_servers.iter().find_map(|record| match &record.rdata {
        RData::SOA(zone) if record.class == CLASS::IN => Some(seconds(record.ttl).min(seconds(zone.minimum))),
        _ => None,
    })
}

fn address(record: &ResourceRecord<'_>, kind: Kind) -> Option<IpAddr> {
    match (&record.rdata, kind) {
        (RData::A(a), Kind::A) => Some(IpAddr::from(a.address.to_be_bytes())),
        (RData::AAAA(a), Kind::Aaaa) => Some(IpAddr::from(a.address.to_be_bytes())),
        _ => None,
    }
}

/// A lifetime with its first bit set counts as none (RFC 2181, section 8).
fn seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

fn host_name(name: &Name<'_>) -> Option<HostName> {
    HostName::of_labels(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> HostName {
        HostName::parse("www.example.org").expect("a name")
    }

    /// An answer with records of several types, the bytes of which are changed.
    fn sample(kind: Kind) -> Vec<u8> {
        let owner = || Name::new("www.example.org").expect("a name");
        let question = question(7, &name(), kind).expect("a question");
        let mut packet = Packet::parse(&question).expect("reads").into_reply();
        let record = |data| ResourceRecord::new(owner(), CLASS::IN, 60, data);
        let alias = Name::new("a.example.org").expect("a name");
        packet.answers.push(record(RData::CNAME(simple_dns::rdata::CNAME(alias.clone()))));
        packet.answers.push(ResourceRecord::new(alias, CLASS::IN, 30, RData::A(simple_dns::rdata::A { address: 0xc000_0201 })));
        packet.build_bytes_vec_compressed().expect("a message")
    }

    #[test]
    fn a_question_is_what_the_standard_says() {
        let bytes = question(0x1234, &name(), Kind::Aaaa).expect("a question");
        assert_eq!(bytes[..12], [0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[12..], b"\x03www\x07example\x03org\x00\x00\x1c\x00\x01");
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let read = read(&sample(Kind::A), 7, &name(), Kind::A);
        let addresses = vec![[192, 0, 2, 1].into()];
        assert_eq!(read, Some(Read::Answer(Answer::Found { addresses, ttl: 30 })));
    }

    #[test]
    fn a_message_that_was_cut_is_one_wherever_it_ends() {
        let mut message = sample(Kind::A);
        message[2] |= CUT;
        let question = question(7, &name(), Kind::A).expect("a question").len();
        for end in question..=message.len() {
            assert_eq!(read(&message[..end], 7, &name(), Kind::A), Some(Read::Cut), "{end}");
        }
        assert_eq!(read(&message[..question - 1], 7, &name(), Kind::A), None);
        assert_eq!(read(&message, 8, &name(), Kind::A), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn garbage_is_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes, u16::from_be_bytes([*bytes.first().unwrap_or(&0), *bytes.get(1).unwrap_or(&0)]), &name(), Kind::A);
        }

        /// Records of any type with any content, behind a header and a question that are right.
        #[test]
        fn records_may_hold_anything(
            records in prop::collection::vec((0u16..300, prop::collection::vec(any::<u8>(), 0..80), 0usize..4), 0..6),
            cut in 0usize..20,
        ) {
            let mut message = question(7, &name(), Kind::A).expect("a question");
            message[2] = 0x81;
            message[7] = records.len() as u8;
            for (kind, content, odd) in &records {
                message.extend_from_slice(&[0xc0, 12]);
                message.extend_from_slice(&kind.to_be_bytes());
                message.extend_from_slice(&[0, 1, 0, 0, 0, 9]);
                message.extend_from_slice(&((content.len() + odd * (odd / 3)) as u16).to_be_bytes());
                message.extend_from_slice(content);
            }
            message.truncate(message.len() - cut.min(message.len()));
            let _ = read(&message, 7, &name(), Kind::A);
        }

        #[test]
        fn an_answer_with_bytes_changed_never_gives_what_was_not_said(changes in prop::collection::vec((0usize..90, any::<u8>()), 1..6)) {
            let mut message = sample(Kind::A);
            for (at, value) in changes {
                let at = at % message.len();
                message[at] = value;
            }
            if let Some(Read::Answer(Answer::Found { addresses, .. })) = read(&message, 7, &name(), Kind::A) {
                prop_assert!(addresses.len() == 1);
            }
        }
    }
}

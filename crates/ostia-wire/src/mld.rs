//! Multicast listener discovery: membership of IPv6 groups (RFC 2710, version 1; RFC 9777, version 2).
//!
//! Messages go from a link-local address with hop limit 1 and a router alert option (RFC 9777, 5), which a receiver must check.

use core::net::Ipv6Addr;

use crate::groups::{GroupQuery, GroupRecord, GroupRecords};
use crate::icmpv6::{self, Icmpv6, kind};
use crate::malformed::Malformed;
use crate::writer::Writer;

/// All nodes of the link: where general queries go.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link: where version 1 says that it is done.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// All routers that know version 2: where its reports go.
pub const V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// A query (RFC 9777, 5.1), of version 1 or 2.
pub type MldQuery<'a> = GroupQuery<'a, Ipv6Addr, 16>;
/// A record of a version 2 report.
pub type MldRecord<'a> = GroupRecord<'a, Ipv6Addr, 16>;
/// The records of a version 2 report.
pub type MldRecords<'a> = GroupRecords<'a, Ipv6Addr, 16>;

/// A message of multicast listener discovery.
#[derive(Clone, Debug)]
pub enum MldMessage<'a> {
    /// A router asks who listens to a group.
    Query(MldQuery<'a>),
    /// A host listens to a group (version 1).
    ReportV1(Ipv6Addr),
    /// A host listens no longer (version 1).
    Done(Ipv6Addr),
    /// What groups and sources a host wants (version 2).
    ReportV2(MldRecords<'a>),
}

impl<'a> MldMessage<'a> {
    /// Reads a message. The checksum is checked by [`Icmpv6::verify_checksum`].
    ///
    /// # Errors
    /// [`Malformed::Short`], [`Malformed::Length`] if there are fewer sources or records than it says, or if a query has a
    /// length that no version gives it (RFC 9777, 8.1), [`Malformed::Kind`] if it is none of these.
    pub fn parse(icmp: &Icmpv6<'a>) -> Result<MldMessage<'a>, Malformed> {
        let (&[a, b, c, d], rest) = icmp.body().split_first_chunk::<4>().ok_or(Malformed::Short)?;
        let group =
            || rest.split_first_chunk::<16>().map(|(octets, rest)| (Ipv6Addr::from(*octets), rest)).ok_or(Malformed::Short);
        Ok(match icmp.kind() {
            kind::MLD_QUERY => {
                let (group, rest) = group()?;
                MldMessage::Query(query(u16::from_be_bytes([a, b]), group, rest)?)
            }
            kind::MLD_REPORT_V1 => MldMessage::ReportV1(group()?.0),
            kind::MLD_DONE => MldMessage::Done(group()?.0),
            kind::MLD_REPORT_V2 => MldMessage::ReportV2(MldRecords::parse(rest, u16::from_be_bytes([c, d]))?),
            _ => return Err(Malformed::Kind),
        })
    }
}

fn query(code: u16, group: Ipv6Addr, rest: &[u8]) -> Result<MldQuery<'_>, Malformed> {
    match rest {
        [] => Ok(MldQuery::plain(1, u32::from(code), group)),
        _ => MldQuery::plain(2, floating16(code), group).with_sources(rest),
    }
}

/// A value of 16 bits that from 32,768 on has 3 bits of exponent and 12 of mantissa (RFC 9777, 5.1.3).
fn floating16(code: u16) -> u32 {
    if code < 0x8000 { u32::from(code) } else { u32::from(code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3) }
}

/// The largest code whose value is at most `value`.
fn to_floating16(value: u32) -> u16 {
    if value < 0x8000 {
        return value as u16;
    }
    // The highest bit of the value becomes bit 12 of the mantissa, which is not written.
    let exponent = value.ilog2() - 15;
    if exponent > 7 { u16::MAX } else { 0x8000 | (exponent as u16) << 12 | (value >> (exponent + 3) & 0xfff) as u16 }
}

/// What to write as a message of multicast listener discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MldEmit<'a> {
    /// A query, in the form of its version.
    Query(MldQuery<'a>),
    /// Listens to a group (version 1).
    ReportV1(Ipv6Addr),
    /// Listens no longer (version 1).
    Done(Ipv6Addr),
    /// Groups and sources wanted (version 2).
    ReportV2(&'a [MldRecord<'a>]),
}

impl MldEmit<'_> {
    /// Octets of the message.
    pub fn encoded_len(&self) -> usize {
        match self {
            MldEmit::Query(query) if query.version >= 2 => 28 + query.sources.len() * 16,
            MldEmit::ReportV2(records) => 8 + records.iter().map(MldRecord::encoded_len).sum::<usize>(),
            _ => 24,
        }
    }

    /// Writes the ICMPv6 message with its checksum to `buf`, which has exactly [`encoded_len`](Self::encoded_len) octets. Times that cannot be
    /// written exactly are rounded down.
    ///
    /// # Panics
    /// If it has not, or there are more than 65,535 records, or sources in one.
    pub fn emit(&self, source: Ipv6Addr, destination: Ipv6Addr, buf: &mut [u8]) {
        assert_eq!(buf.len(), self.encoded_len(), "a buffer of the message's length");
        let mut writer = Writer::new(buf);
        let mut head = |kind: u8, word: [u16; 2], group: Option<Ipv6Addr>| {
            writer.put(&[kind, 0, 0, 0]);
            writer.put_u16(word[0]);
            writer.put_u16(word[1]);
            if let Some(group) = group {
                writer.put(&group.octets());
            }
        };
        match *self {
            MldEmit::Query(query) => {
                let code =
                    if query.version >= 2 { to_floating16(query.max_response) } else { query.max_response.min(0xffff) as u16 };
                head(kind::MLD_QUERY, [code, 0], Some(query.group));
                if query.version >= 2 {
                    query.put_sources(&mut writer);
                }
            }
            MldEmit::ReportV1(group) => head(kind::MLD_REPORT_V1, [0, 0], Some(group)),
            MldEmit::Done(group) => head(kind::MLD_DONE, [0, 0], Some(group)),
            MldEmit::ReportV2(records) => {
                head(kind::MLD_REPORT_V2, [0, u16::try_from(records.len()).expect("at most 65,535 records")], None);
                records.iter().for_each(|record| record.put(&record.group.octets(), &mut writer));
            }
        }
        icmpv6::finish_checksum(buf, source, destination);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::groups::RecordMode;

    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x77);

    fn written(emit: MldEmit<'_>) -> Vec<u8> {
        let mut bytes = alloc::vec![0xff; emit.encoded_len()];
        let source = "fe80::1".parse().unwrap();
        emit.emit(source, GROUP, &mut bytes);
        assert!(Icmpv6::parse(&bytes).unwrap().verify_checksum(source, GROUP));
        bytes
    }

    /// The message in the form in which it is written.
    fn again<'a>(message: MldMessage<'a>, records: &'a mut Vec<MldRecord<'a>>) -> MldEmit<'a> {
        match message {
            MldMessage::Query(query) => MldEmit::Query(query),
            MldMessage::ReportV1(group) => MldEmit::ReportV1(group),
            MldMessage::Done(group) => MldEmit::Done(group),
            MldMessage::ReportV2(read) => {
                records.extend(read);
                MldEmit::ReportV2(records)
            }
        }
    }

    fn parse(bytes: &[u8]) -> Result<MldMessage<'_>, Malformed> {
        MldMessage::parse(&Icmpv6::parse(bytes)?)
    }

    #[test]
    fn each_message_reads_as_it_was_written() {
        let plain = MldQuery {
            version: 1,
            max_response: 10_000,
            group: GROUP,
            suppress: false,
            robustness: 0,
            interval: 0,
            sources: &[],
        };
        let second = MldQuery {
            version: 2,
            max_response: 65_536,
            suppress: true,
            robustness: 7,
            interval: 128,
            sources: &[[1; 16], [2; 16]],
            ..plain
        };
        let records = [
            MldRecord { mode: RecordMode::ToInclude, group: GROUP, sources: &[] },
            MldRecord { mode: RecordMode::BlockOld, group: GROUP, sources: &[[3; 16]] },
        ];
        for emit in [
            MldEmit::Query(plain),
            MldEmit::Query(second),
            MldEmit::Query(MldQuery { sources: &[], group: Ipv6Addr::UNSPECIFIED, ..second }),
            MldEmit::ReportV1(GROUP),
            MldEmit::Done(GROUP),
            MldEmit::ReportV2(&records),
            MldEmit::ReportV2(&[]),
        ] {
            let bytes = written(emit);
            let mut records = Vec::new();
            assert_eq!(again(parse(&bytes).unwrap(), &mut records), emit);
        }
    }

    #[test]
    fn times_grow_faster_than_their_codes() {
        assert_eq!([0x7fff, 0x8000, 0x8fff, 0xffff].map(floating16), [32_767, 32_768, 65_528, 8_387_584]);
        for code in 0..=u16::MAX {
            assert_eq!(to_floating16(floating16(code)), code);
        }
        assert_eq!((to_floating16(32_769), to_floating16(u32::MAX)), (0x8000, 0xffff));
    }

    #[test]
    fn counts_past_the_end_and_lengths_between_versions_are_refused() {
        let mut query = alloc::vec![0; 28 + 16];
        query[0] = kind::MLD_QUERY;
        query[27] = 1;
        assert!(parse(&query).is_ok());
        query[27] = 2;
        assert_eq!(parse(&query).err(), Some(Malformed::Length));
        assert_eq!(parse(&query[..27]).err(), Some(Malformed::Length));
        assert_eq!(parse(&query[..23]).err(), Some(Malformed::Short));
        let mut report = alloc::vec![0; 8 + 20 + 4];
        (report[0], report[7], report[9]) = (kind::MLD_REPORT_V2, 1, 1);
        let Ok(MldMessage::ReportV2(mut records)) = parse(&report) else { panic!() };
        assert_eq!(records.next(), None, "an unknown mode is passed over");
        report[9] = 2;
        assert_eq!(parse(&report).err(), Some(Malformed::Length), "auxiliary data past the end");
        (report[7], report[9]) = (2, 1);
        assert_eq!(parse(&report).err(), Some(Malformed::Length));
        assert_eq!(parse(&[128, 0, 0, 0, 0, 0, 0, 0]).err(), Some(Malformed::Kind));
    }
}

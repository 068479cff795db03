//! IGMP: membership of IPv4 groups (RFC 1112, version 1; RFC 2236, version 2; RFC 9776, version 3).
//!
//! Messages go with TTL 1, and from version 2 on with a router alert option (RFC 9776, 4).

use core::net::Ipv4Addr;

use crate::checksum;
use crate::malformed::Malformed;
use crate::writer::Writer;

/// All systems of the link: where general queries go.
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers of the link: where version 2 says that it leaves.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// All routers that know version 3: where its reports go.
pub const V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT_V3: u8 = 0x22;

/// What a group record says of the sources that are wanted (RFC 9776, 4.2.13; RFC 9777, 5.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordMode {
    /// The group is wanted from these sources only.
    IsInclude,
    /// The group is wanted from all sources but these.
    IsExclude,
    /// It has changed to these sources only; without any this means that the group was left.
    ToInclude,
    /// It has changed to all sources but these; without any this means that the group was joined.
    ToExclude,
    /// These sources are wanted, too.
    AllowNew,
    /// These sources are wanted no longer.
    BlockOld,
}

impl RecordMode {
    pub(crate) fn from_octet(octet: u8) -> Option<RecordMode> {
        Some(match octet {
            1 => RecordMode::IsInclude,
            2 => RecordMode::IsExclude,
            3 => RecordMode::ToInclude,
            4 => RecordMode::ToExclude,
            5 => RecordMode::AllowNew,
            6 => RecordMode::BlockOld,
            _ => return None,
        })
    }

    pub(crate) fn octet(self) -> u8 {
        match self {
            RecordMode::IsInclude => 1,
            RecordMode::IsExclude => 2,
            RecordMode::ToInclude => 3,
            RecordMode::ToExclude => 4,
            RecordMode::AllowNew => 5,
            RecordMode::BlockOld => 6,
        }
    }
}

/// A query (RFC 9776, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgmpQuery<'a> {
    /// The version of who asks: 1, 2 or 3.
    pub version: u8,
    /// Within how many milliseconds the answer is to come; 10 s in version 1.
    pub max_response: u32,
    /// The group that is asked for; unspecified for all.
    pub group: Ipv4Addr,
    /// Routers are not to restart their timers. Version 3 only.
    pub suppress: bool,
    /// The querier's robustness; 0 if it doesn't say. Version 3 only.
    pub robustness: u8,
    /// Seconds between queries; 0 if it doesn't say. Version 3 only.
    pub interval: u32,
    /// The sources that are asked for; all if none. Version 3 only.
    pub sources: &'a [[u8; 4]],
}

/// A record of a version 3 report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgmpRecord<'a> {
    /// What it says of the sources.
    pub mode: RecordMode,
    /// The group.
    pub group: Ipv4Addr,
    /// The sources.
    pub sources: &'a [[u8; 4]],
}

/// A message of IGMP.
#[derive(Clone, Debug)]
pub enum IgmpMessage<'a> {
    /// A router asks who is in a group.
    Query(IgmpQuery<'a>),
    /// A host is in a group (version 1).
    ReportV1(Ipv4Addr),
    /// A host is in a group (version 2).
    ReportV2(Ipv4Addr),
    /// A host leaves a group (version 2).
    Leave(Ipv4Addr),
    /// What groups and sources a host wants (version 3).
    ReportV3(IgmpRecords<'a>),
}

impl<'a> IgmpMessage<'a> {
    /// Reads a message, and checks its checksum.
    ///
    /// # Errors
    /// [`Malformed::Short`], [`Malformed::Checksum`], [`Malformed::Length`] if there are fewer sources or records than it
    /// says, or if a query has a length that no version gives it (RFC 9776, 7.1), [`Malformed::Kind`] for another type.
    pub fn parse(bytes: &'a [u8]) -> Result<IgmpMessage<'a>, Malformed> {
        let (&[kind, code, _, _, a, b, c, d], rest) = bytes.split_first_chunk::<8>().ok_or(Malformed::Short)?;
        if checksum::fold(checksum::sum(bytes, 0)) != 0 {
            return Err(Malformed::Checksum);
        }
        let group = Ipv4Addr::new(a, b, c, d);
        Ok(match kind {
            QUERY => IgmpMessage::Query(query(code, group, rest)?),
            REPORT_V1 => IgmpMessage::ReportV1(group),
            REPORT_V2 => IgmpMessage::ReportV2(group),
            LEAVE => IgmpMessage::Leave(group),
            REPORT_V3 => IgmpMessage::ReportV3(IgmpRecords::parse(rest, u16::from_be_bytes([c, d]))?),
            _ => return Err(Malformed::Kind),
        })
    }
}

fn query(code: u8, group: Ipv4Addr, rest: &[u8]) -> Result<IgmpQuery<'_>, Malformed> {
    let plain = |version, tenths: u32| {
        let max_response = tenths * 100;
        IgmpQuery { version, max_response, group, suppress: false, robustness: 0, interval: 0, sources: &[] }
    };
    match (code, rest) {
        (0, []) => Ok(plain(1, 100)),
        (_, []) => Ok(plain(2, u32::from(code))),
        (_, [flags, interval, high, low, sources @ ..]) => Ok(IgmpQuery {
            suppress: flags & 8 != 0,
            robustness: flags & 7,
            interval: floating(*interval),
            sources: take(sources, u16::from_be_bytes([*high, *low]))?,
            ..plain(3, floating(code))
        }),
        _ => Err(Malformed::Length),
    }
}

/// A value of 8 bits that from 128 on has 3 bits of exponent and 4 of mantissa (RFC 9776, 4.1.1; RFC 9777, 5.1.9).
pub(crate) fn floating(code: u8) -> u32 {
    if code < 128 { u32::from(code) } else { u32::from(code & 0xf | 0x10) << ((code >> 4 & 7) + 3) }
}

/// The largest code whose value is at most `value`.
pub(crate) fn to_floating(value: u32) -> u8 {
    (0..=255).rev().find(|code| floating(*code) <= value).unwrap_or(0)
}

/// The first `count` addresses.
pub(crate) fn take<const N: usize>(bytes: &[u8], count: u16) -> Result<&[[u8; N]], Malformed> {
    bytes.as_chunks::<N>().0.get(..usize::from(count)).ok_or(Malformed::Length)
}

/// The records of a version 3 report, whose lengths have been checked. Those with an unknown mode are passed over (RFC 9776,
/// 4.2.13).
#[derive(Clone, Debug)]
pub struct IgmpRecords<'a> {
    bytes: &'a [u8],
    count: u16,
}

impl<'a> IgmpRecords<'a> {
    fn parse(bytes: &'a [u8], count: u16) -> Result<IgmpRecords<'a>, Malformed> {
        let mut rest = bytes;
        for _ in 0..count {
            (_, rest) = record(rest)?;
        }
        Ok(IgmpRecords { bytes, count })
    }
}

/// The first record, if its mode is known, and what is behind it.
fn record(bytes: &[u8]) -> Result<(Option<IgmpRecord<'_>>, &[u8]), Malformed> {
    let (&[mode, auxiliary, high, low, a, b, c, d], rest) = bytes.split_first_chunk::<8>().ok_or(Malformed::Length)?;
    let count = u16::from_be_bytes([high, low]);
    let sources = take::<4>(rest, count)?;
    // Auxiliary data are counted in words of 4 octets, and ignored.
    let rest = rest.get((usize::from(count) + usize::from(auxiliary)) * 4..).ok_or(Malformed::Length)?;
    let group = Ipv4Addr::new(a, b, c, d);
    Ok((RecordMode::from_octet(mode).map(|mode| IgmpRecord { mode, group, sources }), rest))
}

impl<'a> Iterator for IgmpRecords<'a> {
    type Item = IgmpRecord<'a>;

    fn next(&mut self) -> Option<IgmpRecord<'a>> {
        while self.count > 0 {
            self.count -= 1;
            let (found, rest) = record(self.bytes).ok()?;
            self.bytes = rest;
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// What to write as a message of IGMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgmpEmit<'a> {
    /// A query, in the form of its version.
    Query(IgmpQuery<'a>),
    /// In a group (version 1).
    ReportV1(Ipv4Addr),
    /// In a group (version 2).
    ReportV2(Ipv4Addr),
    /// Leaves a group (version 2).
    Leave(Ipv4Addr),
    /// Groups and sources wanted (version 3).
    ReportV3(&'a [IgmpRecord<'a>]),
}

impl IgmpEmit<'_> {
    /// Octets of the message.
    pub fn encoded_len(&self) -> usize {
        match self {
            IgmpEmit::Query(query) if query.version >= 3 => 12 + query.sources.len() * 4,
            IgmpEmit::ReportV3(records) => 8 + records.iter().map(|record| 8 + record.sources.len() * 4).sum::<usize>(),
            _ => 8,
        }
    }

    /// Writes the message with its checksum to `buf`, which has exactly [`encoded_len`](Self::encoded_len) octets. Times that cannot be
    /// written exactly are rounded down.
    ///
    /// # Panics
    /// If it has not, or there are more than 65,535 records, or sources in one.
    pub fn emit(&self, buf: &mut [u8]) {
        assert_eq!(buf.len(), self.encoded_len(), "a buffer of the message's length");
        let mut writer = Writer::new(buf);
        let mut head = |kind: u8, code: u8, group: [u8; 4]| {
            writer.put(&[kind, code, 0, 0]);
            writer.put(&group);
        };
        match *self {
            IgmpEmit::Query(query) => {
                let tenths = query.max_response / 100;
                let code = match query.version {
                    1 => 0,
                    2 => tenths.clamp(1, 255) as u8,
                    _ => to_floating(tenths),
                };
                head(QUERY, code, query.group.octets());
                if query.version >= 3 {
                    writer.put_u8(u8::from(query.suppress) << 3 | query.robustness & 7);
                    writer.put_u8(to_floating(query.interval));
                    put_sources(&mut writer, query.sources);
                }
            }
            IgmpEmit::ReportV1(group) => head(REPORT_V1, 0, group.octets()),
            IgmpEmit::ReportV2(group) => head(REPORT_V2, 0, group.octets()),
            IgmpEmit::Leave(group) => head(LEAVE, 0, group.octets()),
            IgmpEmit::ReportV3(records) => {
                let [high, low] = u16::try_from(records.len()).expect("at most 65,535 records").to_be_bytes();
                head(REPORT_V3, 0, [0, 0, high, low]);
                for record in records {
                    writer.put(&[record.mode.octet(), 0]);
                    writer.put_u16(u16::try_from(record.sources.len()).expect("at most 65,535 sources"));
                    writer.put(&record.group.octets());
                    record.sources.iter().for_each(|source| writer.put(source));
                }
            }
        }
        let value = checksum::fold(checksum::sum(buf, 0));
        buf[2..4].copy_from_slice(&value.to_be_bytes());
    }
}

fn put_sources(writer: &mut Writer<'_>, sources: &[[u8; 4]]) {
    writer.put_u16(u16::try_from(sources.len()).expect("at most 65,535 sources"));
    sources.iter().for_each(|source| writer.put(source));
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

    fn written(emit: IgmpEmit<'_>) -> Vec<u8> {
        let mut bytes = alloc::vec![0xff; emit.encoded_len()];
        emit.emit(&mut bytes);
        bytes
    }

    /// The message in the form in which it is written.
    fn again<'a>(message: IgmpMessage<'a>, records: &'a mut Vec<IgmpRecord<'a>>) -> IgmpEmit<'a> {
        match message {
            IgmpMessage::Query(query) => IgmpEmit::Query(query),
            IgmpMessage::ReportV1(group) => IgmpEmit::ReportV1(group),
            IgmpMessage::ReportV2(group) => IgmpEmit::ReportV2(group),
            IgmpMessage::Leave(group) => IgmpEmit::Leave(group),
            IgmpMessage::ReportV3(read) => {
                records.extend(read);
                IgmpEmit::ReportV3(records)
            }
        }
    }

    #[test]
    fn each_message_reads_as_it_was_written() {
        let plain = IgmpQuery {
            version: 2,
            max_response: 10_000,
            group: GROUP,
            suppress: false,
            robustness: 0,
            interval: 0,
            sources: &[],
        };
        let third = IgmpQuery {
            version: 3,
            max_response: 25_600,
            suppress: true,
            robustness: 2,
            interval: 125,
            sources: &[[192, 0, 2, 1], [192, 0, 2, 2]],
            ..plain
        };
        let records = [
            IgmpRecord { mode: RecordMode::ToExclude, group: GROUP, sources: &[] },
            IgmpRecord { mode: RecordMode::IsInclude, group: GROUP, sources: &[[10, 0, 0, 1], [10, 0, 0, 2]] },
        ];
        for emit in [
            IgmpEmit::Query(IgmpQuery { version: 1, ..plain }),
            IgmpEmit::Query(plain),
            IgmpEmit::Query(third),
            IgmpEmit::Query(IgmpQuery { sources: &[], group: Ipv4Addr::UNSPECIFIED, ..third }),
            IgmpEmit::ReportV1(GROUP),
            IgmpEmit::ReportV2(GROUP),
            IgmpEmit::Leave(GROUP),
            IgmpEmit::ReportV3(&records),
            IgmpEmit::ReportV3(&[]),
        ] {
            let bytes = written(emit);
            let mut records = Vec::new();
            assert_eq!(again(IgmpMessage::parse(&bytes).unwrap(), &mut records), emit);
        }
    }

    #[test]
    fn times_grow_faster_than_their_codes() {
        assert_eq!([0, 127, 128, 0x8f, 0xff].map(floating), [0, 127, 128, 248, 31_744]);
        for code in 0..=255 {
            assert_eq!(to_floating(floating(code)), code);
        }
        assert_eq!((to_floating(129), to_floating(u32::MAX)), (128, 255));
    }

    #[test]
    fn counts_past_the_end_and_lengths_between_versions_are_refused() {
        let refused = |mut bytes: Vec<u8>| {
            bytes[2..4].fill(0);
            let value = checksum::fold(checksum::sum(&bytes, 0)).to_be_bytes();
            bytes[2..4].copy_from_slice(&value);
            IgmpMessage::parse(&bytes).err()
        };
        let mut query = alloc::vec![QUERY, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 1, 10, 0, 0, 1];
        assert_eq!(refused(query.clone()), None);
        query[11] = 2;
        assert_eq!(refused(query.clone()), Some(Malformed::Length));
        query.truncate(11);
        assert_eq!(refused(query), Some(Malformed::Length));
        let mut report = alloc::vec![REPORT_V3, 0, 0, 0, 0, 0, 0, 1, 9, 1, 0, 0, 239, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(refused(report.clone()), None, "an unknown mode is passed over");
        report[9] = 2;
        assert_eq!(refused(report), Some(Malformed::Length));
        assert_eq!(refused(alloc::vec![0x99, 0, 0, 0, 0, 0, 0, 0]), Some(Malformed::Kind));
        let mut damaged = written(IgmpEmit::Leave(GROUP));
        damaged[7] ^= 1;
        assert_eq!(IgmpMessage::parse(&damaged).err(), Some(Malformed::Checksum));
        assert_eq!(IgmpMessage::parse(&damaged[..7]).err(), Some(Malformed::Short));
    }
}

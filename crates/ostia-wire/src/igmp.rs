//! IGMP: membership of IPv4 groups (RFC 1112, version 1; RFC 2236, version 2; RFC 9776, version 3).
//!
//! Messages go with TTL 1, and from version 2 on with a router alert option (RFC 9776, 4).

use core::net::Ipv4Addr;

use crate::checksum;
use crate::groups::{GroupQuery, GroupRecord, GroupRecords, floating, to_floating};
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

/// A query (RFC 9776, 4.1), of version 1, 2 or 3. In version 1 the answer is to come within 10 s.
pub type IgmpQuery<'a> = GroupQuery<'a, Ipv4Addr, 4>;
/// A record of a version 3 report.
pub type IgmpRecord<'a> = GroupRecord<'a, Ipv4Addr, 4>;
/// The records of a version 3 report.
pub type IgmpRecords<'a> = GroupRecords<'a, Ipv4Addr, 4>;

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
    match (code, rest) {
        (0, []) => Ok(IgmpQuery::plain(1, 10_000, group)),
        (_, []) => Ok(IgmpQuery::plain(2, u32::from(code) * 100, group)),
        (_, rest) => IgmpQuery::plain(3, floating(code) * 100, group).with_sources(rest),
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
            IgmpEmit::ReportV3(records) => 8 + records.iter().map(IgmpRecord::encoded_len).sum::<usize>(),
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
                    query.put_sources(&mut writer);
                }
            }
            IgmpEmit::ReportV1(group) => head(REPORT_V1, 0, group.octets()),
            IgmpEmit::ReportV2(group) => head(REPORT_V2, 0, group.octets()),
            IgmpEmit::Leave(group) => head(LEAVE, 0, group.octets()),
            IgmpEmit::ReportV3(records) => {
                let [high, low] = u16::try_from(records.len()).expect("at most 65,535 records").to_be_bytes();
                head(REPORT_V3, 0, [0, 0, high, low]);
                records.iter().for_each(|record| record.put(&record.group.octets(), &mut writer));
            }
        }
        let value = checksum::fold(checksum::sum(buf, 0));
        buf[2..4].copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::groups::RecordMode;

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

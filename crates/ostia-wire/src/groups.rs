//! What IGMP version 3 and MLD version 2 have in common (RFC 9776; RFC 9777): queries, and the records of reports.
//!
//! `A` is an address of `N` octets.

use core::marker::PhantomData;

use crate::malformed::Malformed;
use crate::writer::Writer;

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

/// A query (RFC 9776, 4.1; RFC 9777, 5.1). Only the newest version of either protocol has what is behind the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupQuery<'a, A, const N: usize> {
    /// The version of who asks.
    pub version: u8,
    /// Within how many milliseconds the answer is to come.
    pub max_response: u32,
    /// The group that is asked for; unspecified for all.
    pub group: A,
    /// Routers are not to restart their timers.
    pub suppress: bool,
    /// The querier's robustness; 0 if it doesn't say.
    pub robustness: u8,
    /// Seconds between queries; 0 if it doesn't say.
    pub interval: u32,
    /// The sources that are asked for; all if none.
    pub sources: &'a [[u8; N]],
}

impl<'a, A, const N: usize> GroupQuery<'a, A, N> {
    pub(crate) fn plain(version: u8, max_response: u32, group: A) -> Self {
        GroupQuery { version, max_response, group, suppress: false, robustness: 0, interval: 0, sources: &[] }
    }

    /// Reads what is behind the group.
    pub(crate) fn with_sources(self, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let [flags, interval, high, low, sources @ ..] = bytes else { return Err(Malformed::Length) };
        let sources = take(sources, u16::from_be_bytes([*high, *low]))?;
        Ok(GroupQuery { suppress: flags & 8 != 0, robustness: flags & 7, interval: floating(*interval), sources, ..self })
    }

    /// Writes what is behind the group.
    ///
    /// # Panics
    /// If there are more than 65,535 sources.
    pub(crate) fn put_sources(&self, writer: &mut Writer<'_>) {
        writer.put_u8(u8::from(self.suppress) << 3 | self.robustness & 7);
        writer.put_u8(to_floating(self.interval));
        put_count(self.sources.len(), writer);
        self.sources.iter().for_each(|source| writer.put(source));
    }
}

/// A record of a report (RFC 9776, 4.2; RFC 9777, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRecord<'a, A, const N: usize> {
    /// What it says of the sources.
    pub mode: RecordMode,
    /// The group.
    pub group: A,
    /// The sources.
    pub sources: &'a [[u8; N]],
}

impl<'a, A: From<[u8; N]>, const N: usize> GroupRecord<'a, A, N> {
    /// The first record, if its mode is known, and what is behind it.
    fn parse(bytes: &'a [u8]) -> Result<(Option<Self>, &'a [u8]), Malformed> {
        let (&[mode, auxiliary, high, low], rest) = bytes.split_first_chunk::<4>().ok_or(Malformed::Length)?;
        let (&group, rest) = rest.split_first_chunk::<N>().ok_or(Malformed::Length)?;
        let count = u16::from_be_bytes([high, low]);
        let sources = take(rest, count)?;
        // Auxiliary data are counted in words of 4 octets, and ignored.
        let rest = rest.get(usize::from(count) * N + usize::from(auxiliary) * 4..).ok_or(Malformed::Length)?;
        Ok((RecordMode::from_octet(mode).map(|mode| GroupRecord { mode, group: group.into(), sources }), rest))
    }
}

impl<A, const N: usize> GroupRecord<'_, A, N> {
    /// Octets of the record.
    pub(crate) fn encoded_len(&self) -> usize {
        4 + N + self.sources.len() * N
    }

    /// Writes the record, whose group has these octets.
    ///
    /// # Panics
    /// If there are more than 65,535 sources.
    pub(crate) fn put(&self, group: &[u8; N], writer: &mut Writer<'_>) {
        writer.put(&[self.mode.octet(), 0]);
        put_count(self.sources.len(), writer);
        writer.put(group);
        self.sources.iter().for_each(|source| writer.put(source));
    }
}

fn put_count(sources: usize, writer: &mut Writer<'_>) {
    writer.put_u16(u16::try_from(sources).expect("at most 65,535 sources"));
}

/// The records of a report, whose lengths have been checked. Those with an unknown mode are passed over (RFC 9776, 4.2.13;
/// RFC 9777, 5.2.12).
#[derive(Clone, Debug)]
pub struct GroupRecords<'a, A, const N: usize> {
    bytes: &'a [u8],
    count: u16,
    address: PhantomData<A>,
}

impl<'a, A: From<[u8; N]>, const N: usize> GroupRecords<'a, A, N> {
    pub(crate) fn parse(bytes: &'a [u8], count: u16) -> Result<Self, Malformed> {
        let mut rest = bytes;
        for _ in 0..count {
            (_, rest) = GroupRecord::<A, N>::parse(rest)?;
        }
        Ok(GroupRecords { bytes, count, address: PhantomData })
    }
}

impl<'a, A: From<[u8; N]>, const N: usize> Iterator for GroupRecords<'a, A, N> {
    type Item = GroupRecord<'a, A, N>;

    fn next(&mut self) -> Option<GroupRecord<'a, A, N>> {
        while self.count > 0 {
            self.count -= 1;
            let (found, rest) = GroupRecord::parse(self.bytes).ok()?;
            self.bytes = rest;
            if found.is_some() {
                return found;
            }
        }
        None
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
fn take<const N: usize>(bytes: &[u8], count: u16) -> Result<&[[u8; N]], Malformed> {
    bytes.as_chunks::<N>().0.get(..usize::from(count)).ok_or(Malformed::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_grow_faster_than_their_codes() {
        assert_eq!([0, 127, 128, 0x8f, 0xff].map(floating), [0, 127, 128, 248, 31_744]);
        for code in 0..=255 {
            assert_eq!(to_floating(floating(code)), code);
        }
        assert_eq!((to_floating(129), to_floating(u32::MAX)), (128, 255));
    }
}

//! IPv6 extension headers (RFC 8200, 4): the walk over them, their options, and the fragment header.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16, big_endian::U32};

use crate::ipv6::{HEADER_LEN, NEXT_HEADER_AT};
use crate::malformed::Malformed;
use crate::protocol;

/// Headers that a walk passes at most: no sender has use for more, and each costs time.
pub const MAX_HEADERS: usize = 8;
/// Options that are looked at in one header, padding among them.
const MAX_OPTIONS: usize = 64;

/// What an IPv6 packet carries, behind its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper<'a> {
    /// What it is: see [`protocol`]. Of a fragment that is not the first this is what the fragment header names, which may
    /// be a further extension header.
    pub protocol: u8,
    /// Where it stands, from the start of the IPv6 header: what is before is headers.
    pub offset: usize,
    /// What it carries. Of a fragment: what there is of it.
    pub payload: &'a [u8],
    /// Where the field stands that names `protocol`: the pointer of a parameter problem about it.
    pub named_at: usize,
    /// The fragment header, if there is one.
    pub fragment: Option<Fragment>,
    /// The value of a router alert option (RFC 2711).
    pub router_alert: Option<u16>,
}

/// A fragment header, and where the fragment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What the first fragment starts with.
    pub next_header: u8,
    /// Where the fragment stands in the fragmentable part of the packet, in octets.
    pub offset: usize,
    /// Whether fragments follow behind this one.
    pub more: bool,
    /// What the fragments of one packet have in common.
    pub identification: u32,
    /// Where the fragment's octets start, counted from the IPv6 header: they go on to the packet's end.
    pub data_at: usize,
    /// Where the field stands that names the fragment header; put together, the packet has `next_header` there.
    pub named_at: usize,
}

impl Fragment {
    /// Whether it is the whole packet (an atomic fragment, RFC 6946), for which no others are waited.
    pub fn is_whole(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// Why a packet is dropped while its extension headers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: Malformed,
    /// What its source is to be told, if anything.
    pub report: Option<Report>,
}

/// An ICMPv6 parameter problem to be sent (RFC 4443, 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The code: 0 erroneous header field, 1 unrecognised next header, 2 unrecognised option, 3 incomplete chain of headers
    /// in the first fragment (RFC 7112).
    pub code: u8,
    /// The offset of the octet that is wrong, from the start of the IPv6 header.
    pub pointer: u32,
    /// Whether to send it about a packet to a group, too (RFC 4443, 2.4 e.3).
    pub multicast_too: bool,
}

/// Code of a parameter problem: a field has a value that cannot be.
pub const ERRONEOUS_FIELD: u8 = 0;
/// Code of a parameter problem: the next header is not known.
pub const UNKNOWN_NEXT_HEADER: u8 = 1;
/// Code of a parameter problem: the option is not known.
pub const UNKNOWN_OPTION: u8 = 2;
/// Code of a parameter problem: the first fragment does not hold all headers.
pub const INCOMPLETE_CHAIN: u8 = 3;

impl Problem {
    fn silent(what: Malformed) -> Problem {
        Problem { what, report: None }
    }

    fn reported(what: Malformed, code: u8, pointer: usize) -> Problem {
        Problem { what, report: Some(Report { code, pointer: pointer as u32, multicast_too: false }) }
    }
}

impl From<Problem> for Malformed {
    fn from(problem: Problem) -> Malformed {
        problem.what
    }
}

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FragmentHeader {
    next_header: u8,
    reserved: u8,
    offset_and_more: U16,
    identification: U32,
}

/// Octets of a fragment header.
pub const FRAGMENT_HEADER_LEN: usize = size_of::<FragmentHeader>();

/// Writes a fragment header to the first [`FRAGMENT_HEADER_LEN`] bytes. `offset` counts octets, a multiple of 8.
///
/// # Panics
/// If `buf` is shorter.
pub fn emit_fragment(buf: &mut [u8], next_header: u8, offset: u16, more: bool, identification: u32) {
    let header = FragmentHeader {
        next_header,
        reserved: 0,
        offset_and_more: (offset & !7 | u16::from(more)).into(),
        identification: identification.into(),
    };
    header.write_to_prefix(buf).expect("room for the fragment header");
}

/// The hop-by-hop header with a router alert for multicast listener discovery (RFC 2711; RFC 3810, 5), padded to 8 octets.
pub fn router_alert_header(next_header: u8) -> [u8; 8] {
    [next_header, 0, OPTION_ROUTER_ALERT, 2, 0, 0, OPTION_PADN, 0]
}

/// Walks over the extension headers of `packet`, which starts with its IPv6 header. In the first fragment of several the
/// walk goes on behind the fragment header, for all headers must be there (RFC 7112, 5).
#[inline]
pub(crate) fn walk(packet: &[u8], next_header: u8) -> Result<Upper<'_>, Problem> {
    match next_header {
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS => {
            walk_extensions(packet, next_header)
        }
        protocol => Ok(Upper {
            protocol,
            offset: HEADER_LEN,
            payload: packet.get(HEADER_LEN..).unwrap_or_default(),
            named_at: NEXT_HEADER_AT,
            fragment: None,
            router_alert: None,
        }),
    }
}

fn walk_extensions(packet: &[u8], next_header: u8) -> Result<Upper<'_>, Problem> {
    let mut upper = Upper {
        protocol: next_header,
        offset: HEADER_LEN,
        payload: &[],
        named_at: NEXT_HEADER_AT,
        fragment: None,
        router_alert: None,
    };
    for _ in 0..MAX_HEADERS {
        let rest = packet.get(upper.offset..).unwrap_or_default();
        match upper.protocol {
            // Only directly behind the IPv6 header (RFC 8200, 4.1): anywhere else it is not recognised (4).
            protocol::HOP_BY_HOP if upper.offset != HEADER_LEN => {
                return Err(Problem::reported(Malformed::Extension, UNKNOWN_NEXT_HEADER, upper.named_at));
            }
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS | protocol::ROUTING => {
                let header = extension(rest).ok_or_else(|| cut_short(&upper))?;
                if upper.protocol == protocol::ROUTING {
                    // No type of routing header is known, so one that is not used up yet is an error (RFC 8200, 4.4;
                    // RFC 5095, 3).
                    if header.get(3).is_some_and(|left| *left > 0) {
                        return Err(Problem::reported(Malformed::Extension, ERRONEOUS_FIELD, upper.offset + 2));
                    }
                } else {
                    options(header, &mut upper)?;
                }
                upper.named_at = upper.offset;
                upper.protocol = header.first().copied().unwrap_or(protocol::NO_NEXT_HEADER);
                upper.offset += header.len();
            }
            protocol::FRAGMENT => {
                // A second one cannot be: fragments of fragments are not made.
                if upper.fragment.is_some() {
                    return Err(Problem::silent(Malformed::Extension));
                }
                let (header, data) = FragmentHeader::ref_from_prefix(rest).map_err(|_| Problem::silent(Malformed::Short))?;
                let fragment = fragment(header, data, &upper)?;
                upper.fragment = Some(fragment);
                upper.named_at = upper.offset;
                upper.protocol = header.next_header;
                upper.offset += FRAGMENT_HEADER_LEN;
                if fragment.offset > 0 {
                    upper.payload = data;
                    return Ok(upper);
                }
            }
            _ => {
                if is_cut_first_fragment(&upper, rest) {
                    return Err(cut_short(&upper));
                }
                upper.payload = rest;
                return Ok(upper);
            }
        }
    }
    Err(Problem::silent(Malformed::Extension))
}

/// A header of the common form at the start of `rest`: next header, length in units of 8 octets without the first.
fn extension(rest: &[u8]) -> Option<&[u8]> {
    let len = (usize::from(*rest.get(1)?) + 1) * 8;
    rest.get(..len)
}

/// The headers go on past the end: in a first fragment the source is told (RFC 7112, 5).
fn cut_short(upper: &Upper<'_>) -> Problem {
    match upper.fragment {
        Some(fragment) if fragment.more => Problem::reported(Malformed::Short, INCOMPLETE_CHAIN, 0),
        _ => Problem::silent(Malformed::Short),
    }
}

/// Whether a first fragment ends within the header of what it carries (RFC 7112, 5: the upper-layer header belongs to the
/// chain).
fn is_cut_first_fragment(upper: &Upper<'_>, rest: &[u8]) -> bool {
    let least = match upper.protocol {
        protocol::TCP => 20,
        protocol::UDP => 8,
        protocol::ICMPV6 => 4,
        _ => 0,
    };
    upper.fragment.is_some_and(|fragment| fragment.more) && rest.len() < least
}

fn fragment(header: &FragmentHeader, data: &[u8], upper: &Upper<'_>) -> Result<Fragment, Problem> {
    let bits = header.offset_and_more.get();
    let fragment = Fragment {
        next_header: header.next_header,
        offset: usize::from(bits & !7),
        more: bits & 1 == 1,
        identification: header.identification.get(),
        data_at: upper.offset + FRAGMENT_HEADER_LEN,
        named_at: upper.named_at,
    };
    // All but the last have a multiple of 8 octets; the pointer is to the payload length (RFC 8200, 4.5).
    if fragment.more && !data.len().is_multiple_of(8) {
        return Err(Problem::reported(Malformed::Length, ERRONEOUS_FIELD, 4));
    }
    // The packet that they make must not be too long; the pointer is to the offset.
    let unfragmentable = upper.offset - HEADER_LEN;
    if unfragmentable + fragment.offset + data.len() > usize::from(u16::MAX) {
        return Err(Problem::reported(Malformed::Length, ERRONEOUS_FIELD, upper.offset + 2));
    }
    Ok(fragment)
}

const OPTION_PAD1: u8 = 0;
const OPTION_PADN: u8 = 1;
const OPTION_ROUTER_ALERT: u8 = 5;

/// Looks at the options of a header; the upper two bits of an unknown one's kind say what is to be done (RFC 8200, 4.2).
fn options(header: &[u8], upper: &mut Upper<'_>) -> Result<(), Problem> {
    let mut at = 2;
    for _ in 0..MAX_OPTIONS {
        let Some(&kind) = header.get(at) else { return Ok(()) };
        if kind == OPTION_PAD1 {
            at += 1;
            continue;
        }
        let len = header.get(at + 1).ok_or(Problem::silent(Malformed::Option))?;
        let end = at + 2 + usize::from(*len);
        let data = header.get(at + 2..end).ok_or(Problem::silent(Malformed::Option))?;
        match (kind, data) {
            (OPTION_PADN, _) => {}
            (OPTION_ROUTER_ALERT, [a, b]) => upper.router_alert = Some(u16::from_be_bytes([*a, *b])),
            _ => match kind >> 6 {
                0 => {}
                1 => return Err(Problem::silent(Malformed::Option)),
                action => {
                    let mut problem = Problem::reported(Malformed::Option, UNKNOWN_OPTION, upper.offset + at);
                    if let Some(report) = &mut problem.report {
                        report.multicast_too = action == 2;
                    }
                    return Err(problem);
                }
            },
        }
        at = end;
    }
    Err(Problem::silent(Malformed::Option))
}

#[cfg(test)]
mod tests;

//! Options of IPv4 headers (RFC 791, 3.1).

use core::net::Ipv4Addr;

use crate::malformed::Malformed;

/// An option of an IPv4 header. What is in one that is recognised need not be well formed beyond its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Option<'a> {
    /// Routers write their addresses here.
    RecordRoute(Route<'a>),
    /// Loose source and record route. Hosts drop such packets (RFC 7126, 4.3).
    LooseSourceRoute(Route<'a>),
    /// Strict source and record route. Hosts drop such packets (RFC 7126, 4.4).
    StrictSourceRoute(Route<'a>),
    /// Routers write their clocks here.
    Timestamp {
        /// Where the next goes, counted from the option's kind, which is at 1.
        pointer: u8,
        /// How many routers found no room.
        overflow: u8,
        /// Timestamps only (0), with addresses (1), or only of the addresses given (3).
        flag: u8,
        /// The data behind the first four octets.
        data: &'a [u8],
    },
    /// Routers must look at the packet (RFC 2113), as at those of IGMP; the value is 0.
    RouterAlert(u16),
    /// Any other option.
    Other {
        /// Its kind, with the copied flag.
        kind: u8,
        /// Its data, behind kind and length.
        data: &'a [u8],
    },
}

/// The data of a route option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// Where the next address stands, counted from the option's kind, which is at 1; 4 for the first.
    pub pointer: u8,
    data: &'a [u8],
}

impl<'a> Route<'a> {
    /// The addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<'a> {
        self.data.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets))
    }
}

/// The end of the options.
pub const END: u8 = 0;
/// Padding between options.
pub const NO_OPERATION: u8 = 1;
/// Record route.
pub const RECORD_ROUTE: u8 = 7;
/// Timestamp.
pub const TIMESTAMP: u8 = 68;
/// Loose source and record route.
pub const LOOSE_SOURCE_ROUTE: u8 = 131;
/// Strict source and record route.
pub const STRICT_SOURCE_ROUTE: u8 = 137;
/// Router alert.
pub const ROUTER_ALERT: u8 = 148;

/// The router alert option as it stands in the packets of IGMP (RFC 2113, 2.1).
pub const ROUTER_ALERT_BYTES: [u8; 4] = [ROUTER_ALERT, 4, 0, 0];

/// Walks over options. Padding is passed over; behind an option with a wrong length, which is an error, nothing follows.
#[derive(Clone, Debug)]
pub struct Ipv4Options<'a> {
    bytes: &'a [u8],
}

impl<'a> Ipv4Options<'a> {
    /// The options in the octets behind the fixed part of a header.
    pub fn new(bytes: &'a [u8]) -> Ipv4Options<'a> {
        Ipv4Options { bytes }
    }
}

impl<'a> Iterator for Ipv4Options<'a> {
    type Item = Result<Ipv4Option<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = loop {
            match self.bytes {
                [] | [END, ..] => return None,
                [NO_OPERATION, rest @ ..] => self.bytes = rest,
                bytes => break bytes,
            }
        };
        // None of the options that may come here is less than kind and length.
        let option = bytes.get(1).filter(|len| **len >= 2).and_then(|len| bytes.split_at_checked(usize::from(*len)));
        let Some((option, rest)) = option else {
            self.bytes = &[];
            return Some(Err(Malformed::Option));
        };
        self.bytes = rest;
        Some(Ok(match *option {
            [RECORD_ROUTE, _, pointer, ref data @ ..] => Ipv4Option::RecordRoute(Route { pointer, data }),
            [LOOSE_SOURCE_ROUTE, _, pointer, ref data @ ..] => Ipv4Option::LooseSourceRoute(Route { pointer, data }),
            [STRICT_SOURCE_ROUTE, _, pointer, ref data @ ..] => Ipv4Option::StrictSourceRoute(Route { pointer, data }),
            [TIMESTAMP, _, pointer, flags, ref data @ ..] => {
                Ipv4Option::Timestamp { pointer, overflow: flags >> 4, flag: flags & 0xf, data }
            }
            [ROUTER_ALERT, _, a, b] => Ipv4Option::RouterAlert(u16::from_be_bytes([a, b])),
            _ => Ipv4Option::Other { kind: bytes[0], data: option.get(2..).unwrap_or_default() },
        }))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn each_kind_is_recognised_and_padding_passed_over() {
        let bytes = [1, 148, 4, 0, 0, 131, 7, 4, 10, 0, 0, 1, 1, 7, 3, 4, 68, 4, 5, 0x31, 130, 3, 9, 0, 99, 0];
        let options: Vec<_> = Ipv4Options::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(options[0], Ipv4Option::RouterAlert(0));
        let Ipv4Option::LooseSourceRoute(route) = options[1] else { panic!("{:?}", options[1]) };
        assert_eq!((route.pointer, route.addresses().collect::<Vec<_>>()), (4, alloc::vec![Ipv4Addr::new(10, 0, 0, 1)]));
        assert_eq!(options[2], Ipv4Option::RecordRoute(Route { pointer: 4, data: &[] }));
        assert_eq!(options[3], Ipv4Option::Timestamp { pointer: 5, overflow: 3, flag: 1, data: &[] });
        assert_eq!(options[4], Ipv4Option::Other { kind: 130, data: &[9] });
        assert_eq!(options.len(), 5, "nothing is read behind the end of options");
    }

    #[test]
    fn a_wrong_length_ends_the_walk_with_an_error() {
        for bytes in [&[7][..], &[7, 0, 1, 1], &[7, 1], &[7, 5, 4, 0], &[1, 1, 200, 255]] {
            let options: Vec<_> = Ipv4Options::new(bytes).collect();
            assert_eq!(options, [Err(Malformed::Option)], "{bytes:?}");
        }
    }

    #[test]
    fn a_route_too_short_for_its_pointer_is_another_option() {
        assert_eq!(Ipv4Options::new(&[137, 2]).next(), Some(Ok(Ipv4Option::Other { kind: 137, data: &[] })));
    }
}

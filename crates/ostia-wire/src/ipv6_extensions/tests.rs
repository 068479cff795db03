//! The walk over extension headers.

use alloc::vec::Vec;

use super::*;
use crate::ipv6::{Ipv6, Ipv6Emit};

/// A packet whose first header is `first`, with `rest` behind the IPv6 header.
fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = alloc::vec![0; HEADER_LEN];
    let addresses = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    let (source, destination) = addresses;
    Ipv6Emit { source, destination, next_header: first, hop_limit: 64, traffic_class: 0, flow_label: 0 }
        .emit(&mut bytes, rest.len());
    bytes.extend_from_slice(rest);
    bytes
}

/// What the walk finds: protocol, offset, named_at, and how many octets of payload.
fn found(first: u8, rest: &[u8]) -> Result<(u8, usize, usize, usize), Problem> {
    let packet = packet(first, rest);
    let upper = Ipv6::parse(&packet).unwrap().upper()?;
    assert!(upper.payload.len() <= packet.len() - upper.offset.min(packet.len()));
    Ok((upper.protocol, upper.offset, upper.named_at, upper.payload.len()))
}

fn reported(what: Malformed, code: u8, pointer: u32, multicast_too: bool) -> Problem {
    Problem { what, report: Some(Report { code, pointer, multicast_too }) }
}

fn silent(what: Malformed) -> Problem {
    Problem { what, report: None }
}

#[test]
fn without_extension_headers_the_payload_is_what_the_packet_carries() {
    assert_eq!(found(17, &[0; 9]), Ok((17, 40, 6, 9)));
    assert_eq!(found(59, &[]), Ok((59, 40, 6, 0)));
    assert_eq!(found(200, &[1]), Ok((200, 40, 6, 1)), "who sends an error about an unknown one needs where it is named");
}

#[test]
fn headers_are_passed_in_any_order() {
    let mut rest = alloc::vec![60, 0, 5, 2, 0, 0, 1, 0];
    rest.extend([43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    rest.extend([60, 0, 0, 0, 0, 0, 0, 0]);
    rest.extend([6, 0, 4, 1, 9, 0, 0, 0]);
    rest.extend([7; 30]);
    assert_eq!(found(0, &rest), Ok((6, 80, 72, 30)));
    let packet = packet(0, &rest);
    assert_eq!(Ipv6::parse(&packet).unwrap().upper().unwrap().router_alert, Some(0));
}

#[test]
fn hop_by_hop_options_come_first_or_are_not_recognised() {
    let rest = [0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0];
    assert_eq!(found(60, &rest), Err(reported(Malformed::Extension, UNKNOWN_NEXT_HEADER, 40, false)));
}

#[test]
fn a_source_route_still_to_go_is_reported_at_its_type() {
    assert_eq!(found(43, &[6, 0, 0, 1, 0, 0, 0, 0]), Err(reported(Malformed::Extension, ERRONEOUS_FIELD, 42, false)));
    assert_eq!(found(43, &[6, 0, 0, 0, 0, 0, 0, 0]), Ok((6, 48, 40, 0)));
}

#[test]
fn unknown_options_do_what_their_kind_says() {
    let with = |kind: u8| found(60, &[17, 0, 1, 0, kind, 2, 0, 0]).err();
    assert_eq!(with(0x3e), None);
    assert_eq!(with(0x7e), Some(silent(Malformed::Option)));
    assert_eq!(with(0xbe), Some(reported(Malformed::Option, UNKNOWN_OPTION, 44, true)));
    assert_eq!(with(0xfe), Some(reported(Malformed::Option, UNKNOWN_OPTION, 44, false)));
}

#[test]
fn options_past_the_end_of_their_header_are_malformed() {
    assert_eq!(found(60, &[17, 0, 1, 5, 0, 0, 0, 0]), Err(silent(Malformed::Option)));
    assert_eq!(found(60, &[17, 0, 1, 3, 0, 0, 0, 1]), Err(silent(Malformed::Option)), "a kind without a length");
    let mut flood = alloc::vec![17, 31];
    flood.resize(256, 0);
    assert_eq!(found(60, &flood), Err(silent(Malformed::Option)), "more options than anyone looks at");
}

#[test]
fn headers_past_the_end_are_malformed() {
    assert_eq!(found(60, &[]), Err(silent(Malformed::Short)));
    assert_eq!(found(60, &[6]), Err(silent(Malformed::Short)));
    assert_eq!(found(60, &[6, 1, 1, 4, 0, 0, 0, 0]), Err(silent(Malformed::Short)));
    assert_eq!(found(44, &[6, 0, 0, 0, 0, 0, 0]), Err(silent(Malformed::Short)));
}

#[test]
fn a_long_chain_is_not_walked_to_its_end() {
    let chain = |count: usize| [60, 0, 1, 4, 0, 0, 0, 0].repeat(count);
    let mut longest = chain(MAX_HEADERS - 2);
    longest.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    assert!(found(60, &longest).is_ok());
    assert_eq!(found(60, &chain(MAX_HEADERS + 1)), Err(silent(Malformed::Extension)));
}

#[test]
fn a_fragment_says_where_it_stands() {
    let mut rest = alloc::vec![44, 0, 1, 4, 0, 0, 0, 0];
    rest.resize(16, 0);
    emit_fragment(&mut rest[8..], 17, 1232, true, 0xdead_beef);
    rest.extend([5; 24]);
    let packet = packet(60, &rest);
    let upper = Ipv6::parse(&packet).unwrap().upper().unwrap();
    let fragment = upper.fragment.unwrap();
    assert_eq!((upper.protocol, upper.offset, upper.payload), (17, 56, &[5; 24][..]));
    let expected = Fragment { next_header: 17, offset: 1232, more: true, identification: 0xdead_beef, data_at: 56, named_at: 40 };
    assert_eq!(fragment, expected);
    assert!(!fragment.is_whole());
}

#[test]
fn an_atomic_fragment_is_read_to_the_end() {
    let mut rest = alloc::vec![0; 8];
    emit_fragment(&mut rest, 60, 0, false, 7);
    rest.extend([17, 0, 1, 4, 0, 0, 0, 0, 1, 2, 3]);
    let packet = packet(44, &rest);
    let upper = Ipv6::parse(&packet).unwrap().upper().unwrap();
    assert_eq!((upper.protocol, upper.payload), (17, &[1, 2, 3][..]));
    assert!(upper.fragment.unwrap().is_whole());
}

#[test]
fn the_first_fragment_must_hold_all_headers() {
    let first = |next: u8, data: &[u8]| {
        let mut rest = alloc::vec![0; 8];
        emit_fragment(&mut rest, next, 0, true, 7);
        rest.extend_from_slice(data);
        found(44, &rest).err()
    };
    assert_eq!(first(60, &[6, 1, 1, 4, 0, 0, 0, 0]), Some(reported(Malformed::Short, INCOMPLETE_CHAIN, 0, false)));
    assert_eq!(first(6, &[0; 16]), Some(reported(Malformed::Short, INCOMPLETE_CHAIN, 0, false)));
    assert_eq!(first(6, &[0; 24]), None);
    assert_eq!(first(17, &[0; 8]), None);
}

#[test]
fn fragments_that_cannot_be_are_reported() {
    let with = |offset: u16, more: bool, len: usize| {
        let mut rest = alloc::vec![0; 8];
        emit_fragment(&mut rest, 17, offset, more, 7);
        rest.resize(8 + len, 0);
        found(44, &rest).err()
    };
    assert_eq!(with(8, true, 12), Some(reported(Malformed::Length, ERRONEOUS_FIELD, 4, false)));
    assert_eq!(with(8, false, 12), None);
    assert_eq!(with(65_528, false, 8), Some(reported(Malformed::Length, ERRONEOUS_FIELD, 42, false)));
    assert_eq!(with(65_528, false, 7), None);
    let mut behind_options = alloc::vec![44, 0, 1, 4, 0, 0, 0, 0];
    behind_options.resize(16 + 7, 0);
    emit_fragment(&mut behind_options[8..], 17, 65_520, false, 7);
    assert!(found(60, &behind_options).is_ok());
    emit_fragment(&mut behind_options[8..], 17, 65_528, false, 7);
    let expected = reported(Malformed::Length, ERRONEOUS_FIELD, 50, false);
    assert_eq!(found(60, &behind_options), Err(expected), "the headers before it are part of the packet, too");
    let mut twice = alloc::vec![0; 16];
    emit_fragment(&mut twice, 44, 0, false, 7);
    emit_fragment(&mut twice[8..], 17, 0, false, 7);
    assert_eq!(found(44, &twice), Err(silent(Malformed::Extension)));
}

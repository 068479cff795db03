//! Packets cut out of super-segments.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::ipv4::Ipv4Emit;
use crate::ipv6::Ipv6Emit;
use crate::tcp::TcpEmit;
use crate::tcp_options::{TcpOptions, Timestamps};

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn ipv4(transport: &[u8], protocol: u8, identification: u16, dont_fragment: bool) -> Frame {
    let emit = Ipv4Emit {
        source: A,
        destination: B,
        protocol,
        ttl: 64,
        tos: 2,
        identification,
        dont_fragment,
        more_fragments: false,
        fragment_offset: 0,
        options: &[1, 1, 1, 1],
    };
    let mut frame = Frame::from_slice(transport);
    let len = emit.header_len();
    emit.emit(frame.push_front(len), transport.len());
    frame
}

fn ipv6(transport: &[u8], protocol: u8) -> Frame {
    let mut frame = Frame::from_slice(transport);
    frame.push_front(8).copy_from_slice(&[protocol, 0, 1, 4, 0, 0, 0, 0]);
    let emit = Ipv6Emit { source: A6, destination: B6, next_header: 60, hop_limit: 64, traffic_class: 1, flow_label: 0x54321 };
    let len = frame.len();
    emit.emit(frame.push_front(40), len);
    frame
}

fn tcp(flags: Flags, urgent: u16, payload_len: usize) -> Vec<u8> {
    let emit = TcpEmit {
        source_port: 1,
        destination_port: 2,
        sequence: u32::MAX - 1500,
        acknowledgment: 77,
        flags,
        window: 500,
        urgent,
        options: TcpOptions { timestamps: Some(Timestamps { value: 1, echo: 2 }), ..TcpOptions::default() },
        ..TcpEmit::default()
    };
    let mut bytes = alloc::vec![0; emit.header_len()];
    emit.emit(&mut bytes);
    bytes.extend((0..payload_len).map(|n| (n / 7) as u8));
    bytes
}

fn parts(frame: &Frame) -> Vec<Frame> {
    let mut parts = Vec::new();
    let count = segment(frame, &mut |part| parts.push(part)).unwrap();
    assert_eq!(count, parts.len());
    parts
}

#[test]
fn every_packet_over_ipv4_is_whole() {
    let flags = Flags::ACK | Flags::PSH | Flags::FIN | Flags::CWR | Flags::ECE;
    let transport = tcp(flags, 0, 3500);
    let mut frame = ipv4(&transport, protocol::TCP, 0xffff, true);
    frame.meta = crate::Meta { checksum: Checksum::Partial { start: 24, offset: 16 }, gso_size: 1000, arrived: 5 };
    let parts = parts(&frame);
    let mut stream = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let packet = Ipv4::parse(part.as_slice()).unwrap();
        assert!(packet.verify_checksum());
        assert_eq!((packet.total_len(), packet.ttl(), packet.tos()), (part.len(), 64, 2));
        assert_eq!(packet.identification(), 0xffff_u16.wrapping_add(index as u16));
        let tcp = Tcp::parse(packet.payload()).unwrap();
        assert!(tcp.verify_checksum(A.into(), B.into()));
        assert_eq!(tcp.sequence(), (u32::MAX - 1500).wrapping_add(1000 * index as u32));
        let ends = if index == 3 { Flags::FIN | Flags::PSH } else { Flags::NONE };
        let begins = if index == 0 { Flags::CWR } else { Flags::NONE };
        assert_eq!(tcp.flags(), Flags::ACK | Flags::ECE | ends | begins);
        assert_eq!(tcp.option_bytes().len(), 12);
        assert_eq!((part.meta.arrived, part.meta.gso_size, part.meta.checksum), (5, 0, Checksum::Unverified));
        stream.extend_from_slice(tcp.payload());
    }
    assert_eq!(parts.iter().map(Frame::len).collect::<Vec<_>>(), [1056, 1056, 1056, 556]);
    assert_eq!(stream, transport[32..]);
}

#[test]
fn identifications_that_mean_nothing_stay_zero() {
    let ids = |identification, dont_fragment| {
        let mut frame = ipv4(&tcp(Flags::ACK, 0, 20), protocol::TCP, identification, dont_fragment);
        frame.meta.gso_size = 10;
        parts(&frame).iter().map(|part| Ipv4::parse(part.as_slice()).unwrap().identification()).collect::<Vec<_>>()
    };
    assert_eq!((ids(0, true), ids(0, false), ids(9, true)), (alloc::vec![0, 0], alloc::vec![0, 1], alloc::vec![9, 10]));
}

#[test]
fn extension_headers_go_with_every_packet() {
    let mut frame = ipv6(&tcp(Flags::ACK | Flags::PSH, 0, 2001), protocol::TCP);
    frame.meta.gso_size = 1000;
    let parts = parts(&frame);
    assert_eq!(parts.len(), 3);
    for part in &parts {
        let packet = Ipv6::parse(part.as_slice()).unwrap();
        assert_eq!((packet.total_len(), packet.flow_label()), (part.len(), 0x54321));
        let upper = packet.upper().unwrap();
        assert!(Tcp::parse(upper.payload).unwrap().verify_checksum(A6.into(), B6.into()));
    }
}

#[test]
fn datagrams_are_cut_with_headers_of_their_own() {
    let mut datagram = alloc::vec![7; 8 + 250];
    udp::emit(&mut datagram, 53, 54, 250);
    for has_checksum in [false, true] {
        if has_checksum {
            udp::finish_checksum(&mut datagram, A.into(), B.into());
        }
        let mut frame = ipv4(&datagram, protocol::UDP, 1, false);
        frame.meta.gso_size = 100;
        let mut lens = Vec::new();
        for part in parts(&frame) {
            let packet = Ipv4::parse(part.as_slice()).unwrap();
            let udp = Udp::parse(packet.payload()).unwrap();
            assert!(udp.verify_checksum(A.into(), B.into()));
            assert_eq!(udp.checksum() != 0, has_checksum);
            lens.push(udp.payload().len());
        }
        assert_eq!(lens, [100, 100, 50]);
    }
}

#[test]
fn a_partial_sum_of_zero_is_no_missing_checksum() {
    let mut datagram = alloc::vec![7; 8 + 20];
    udp::emit(&mut datagram, 53, 54, 20);
    let mut frame = ipv4(&datagram, protocol::UDP, 1, false);
    frame.meta = crate::Meta { checksum: Checksum::Partial { start: 24, offset: 6 }, gso_size: 10, arrived: 0 };
    for part in parts(&frame) {
        let packet = Ipv4::parse(part.as_slice()).unwrap();
        assert!(Udp::parse(packet.payload()).unwrap().checksum() != 0);
    }
}

#[test]
fn the_urgent_pointer_keeps_its_place() {
    let mut frame = ipv4(&tcp(Flags::ACK | Flags::URG, 15, 30), protocol::TCP, 1, false);
    frame.meta.gso_size = 10;
    let pointers: Vec<_> = parts(&frame)
        .iter()
        .map(|part| {
            let tcp = Tcp::parse(Ipv4::parse(part.as_slice()).unwrap().payload()).unwrap();
            (tcp.flags().contains(Flags::URG), tcp.urgent())
        })
        .collect();
    assert_eq!(pointers, [(true, 15), (true, 5), (false, 0)]);
}

#[test]
fn a_packet_that_stands_for_itself_comes_out_complete() {
    let mut transport = tcp(Flags::ACK, 0, 10);
    let state = tcp::partial_checksum(&mut transport, A.into(), B.into(), 42);
    for gso_size in [0, 10, 1000] {
        let mut frame = ipv4(&transport, protocol::TCP, 1, false);
        let Checksum::Partial { offset, .. } = state else { panic!() };
        frame.meta.checksum = Checksum::Partial { start: 24, offset };
        frame.meta.gso_size = gso_size;
        let parts = parts(&frame);
        let packet = Ipv4::parse(parts[0].as_slice()).unwrap();
        assert!(Tcp::parse(packet.payload()).unwrap().verify_checksum(A.into(), B.into()));
        assert_eq!((parts.len(), parts[0].meta), (1, crate::Meta::default()));
    }
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let refused = |frame: Frame| {
        let mut frame = frame;
        frame.meta.gso_size = 4;
        segment(&frame, &mut |_| panic!("nothing comes out")).err()
    };
    assert_eq!(refused(ipv4(&tcp(Flags::SYN, 0, 9), protocol::TCP, 1, false)), Some(Malformed::Kind));
    assert_eq!(refused(ipv4(&[0; 20], protocol::ICMP, 1, false)), Some(Malformed::Kind));
    assert_eq!(refused(ipv4(&[0; 19], protocol::TCP, 1, false)), Some(Malformed::Short));
    assert_eq!(refused(Frame::default()), Some(Malformed::Short));
    assert_eq!(refused(ipv6(&[0; 7], protocol::UDP)), Some(Malformed::Short));
    let mut fragment = ipv4(&tcp(Flags::ACK, 0, 9), protocol::TCP, 1, false);
    fragment.as_mut_slice()[6] = 0x20;
    assert_eq!(refused(fragment), Some(Malformed::Kind));
    let mut fragment = ipv6(&tcp(Flags::ACK, 0, 9), protocol::TCP);
    let bytes = fragment.as_mut_slice();
    bytes[6] = protocol::FRAGMENT;
    bytes[40..48].copy_from_slice(&[protocol::TCP, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(refused(fragment), Some(Malformed::Kind), "though it is the whole packet");
}

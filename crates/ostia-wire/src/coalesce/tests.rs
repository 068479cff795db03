//! Super-segments made of packets, and the packets made of them again.

use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::ipv4::Ipv4Emit;
use crate::ipv6::Ipv6Emit;
use crate::segment;
use crate::tcp::TcpEmit;
use crate::tcp_options::{SackBlocks, TcpOptions, Timestamps};

/// A segment of a flow; what a test does not set is the same in all.
#[derive(Clone, Copy, Debug)]
struct Make {
    v6: bool,
    port: u16,
    sequence: u32,
    acknowledgment: u32,
    flags: Flags,
    window: u16,
    urgent: u16,
    tsval: Option<u32>,
    sack: SackBlocks,
    flow_label: u32,
    tos: u8,
    ttl: u8,
    identification: u16,
    dont_fragment: bool,
    len: usize,
}

const MAKE: Make = Make {
    v6: false,
    port: 1000,
    sequence: 1,
    acknowledgment: 1,
    flags: Flags::ACK,
    window: 100,
    urgent: 0,
    tsval: None,
    sack: SackBlocks::new(),
    flow_label: 3,
    tos: 0,
    ttl: 64,
    identification: 0,
    dont_fragment: true,
    len: 100,
};

impl Make {
    fn frame(&self) -> Frame {
        let emit = TcpEmit {
            source_port: self.port,
            destination_port: 80,
            sequence: self.sequence,
            acknowledgment: self.acknowledgment,
            flags: self.flags,
            window: self.window,
            urgent: self.urgent,
            options: TcpOptions {
                timestamps: self.tsval.map(|value| Timestamps { value, echo: 9 }),
                sack: self.sack,
                ..TcpOptions::default()
            },
            ..TcpEmit::default()
        };
        let mut frame = Frame::new(self.len);
        frame.extend_zeroed(self.len).iter_mut().enumerate().for_each(|(n, octet)| *octet = (self.sequence as usize + n) as u8);
        let header_len = emit.header_len();
        emit.emit(frame.push_front(header_len));
        let transport_len = frame.len();
        if self.v6 {
            let (source, destination) = (Ipv6Addr::LOCALHOST, Ipv6Addr::from_bits(7));
            tcp::finish_checksum(frame.as_mut_slice(), source.into(), destination.into());
            let (next_header, hop_limit, traffic_class) = (protocol::TCP, self.ttl, self.tos);
            let emit = Ipv6Emit { source, destination, next_header, hop_limit, traffic_class, flow_label: self.flow_label };
            emit.emit(frame.push_front(40), transport_len);
        } else {
            let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
            tcp::finish_checksum(frame.as_mut_slice(), source.into(), destination.into());
            let emit = Ipv4Emit {
                source,
                destination,
                protocol: protocol::TCP,
                ttl: self.ttl,
                tos: self.tos,
                identification: self.identification,
                dont_fragment: self.dont_fragment,
                more_fragments: false,
                fragment_offset: 0,
                options: &[],
            };
            emit.emit(frame.push_front(20), transport_len);
        }
        frame
    }

    /// The one behind it in the stream.
    fn next(self) -> Make {
        let identification = if self.dont_fragment && self.identification == 0 { 0 } else { self.identification.wrapping_add(1) };
        Make { sequence: self.sequence.wrapping_add(self.len as u32), identification, ..self }
    }
}

fn coalesced(makes: &[Make]) -> Vec<Frame> {
    let mut frames = makes.iter().map(Make::frame).collect();
    Coalescer::default().coalesce(&mut frames);
    frames
}

fn cut(frames: &[Frame]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for frame in frames {
        segment(frame, &mut |part| all.push(part.as_slice().to_vec())).unwrap();
    }
    all
}

fn bytes(makes: &[Make]) -> Vec<Vec<u8>> {
    makes.iter().map(|make| make.frame().as_slice().to_vec()).collect()
}

#[test]
fn segments_that_follow_one_another_become_one() {
    for v6 in [false, true] {
        let first = Make { v6, tsval: Some(5), sequence: u32::MAX - 150, flags: Flags::ACK | Flags::CWR, ..MAKE };
        let second = Make { flags: Flags::ACK, ..first.next() };
        let last = Make { flags: Flags::ACK | Flags::PSH | Flags::FIN, len: 30, ..second.next() };
        let frames = coalesced(&[first, second, last]);
        assert_eq!(frames.len(), 1);
        let network_len = if v6 { 40 } else { 20 };
        let whole = &frames[0];
        assert_eq!((whole.meta.gso_size, whole.len()), (100, network_len + 32 + 230));
        assert_eq!(whole.meta.checksum, Checksum::Partial { start: network_len as u16, offset: 16 });
        let mut completed = whole.clone();
        completed.complete_checksum();
        assert!(network(completed.as_slice()).is_some_and(|(at, _, (source, destination))| {
            Tcp::parse(&completed.as_slice()[at..]).unwrap().verify_checksum(source, destination)
        }));
        assert_eq!(cut(&frames), bytes(&[first, second, last]));
    }
}

#[test]
fn any_difference_that_would_be_lost_keeps_segments_apart() {
    let sack = SackBlocks::from_iter([(5, 6)]);
    let next = MAKE.next();
    for (what, second) in [
        ("a gap", Make { sequence: next.sequence + 1, ..next }),
        ("an overlap", Make { sequence: next.sequence - 1, ..next }),
        ("another acknowledgment", Make { acknowledgment: 2, ..next }),
        ("another window", Make { window: 101, ..next }),
        ("timestamps", Make { tsval: Some(1), ..next }),
        ("SACK", Make { sack, ..next }),
        ("CE", Make { tos: 3, ..next }),
        ("another TTL", Make { ttl: 63, ..next }),
        ("an identification", Make { identification: 1, ..next }),
        ("may be fragmented", Make { dont_fragment: false, ..next }),
        ("longer than the first", Make { len: 101, ..next }),
        ("no data", Make { len: 0, ..next }),
        ("ECE", Make { flags: Flags::ACK | Flags::ECE, ..next }),
        ("CWR", Make { flags: Flags::ACK | Flags::CWR, ..next }),
        ("URG", Make { flags: Flags::ACK | Flags::URG, ..next }),
        ("RST", Make { flags: Flags::ACK | Flags::RST, ..next }),
        ("no ACK", Make { flags: Flags::NONE, ..next }),
        ("an urgent pointer without URG", Make { urgent: 1, ..next }),
        ("another flow", Make { port: 1001, ..next }),
        ("the other family", Make { v6: true, ..next }),
    ] {
        let frames = coalesced(&[MAKE, second]);
        assert_eq!(frames.len(), 2, "{what}");
        assert_eq!(cut(&frames), bytes(&[MAKE, second]));
    }
    assert_eq!(coalesced(&[MAKE, next]).len(), 1, "without a difference they are merged");
    let first = Make { v6: true, ..MAKE };
    let next = first.next();
    for second in [Make { tos: 3, ..next }, Make { ttl: 63, ..next }, Make { flow_label: 4, ..next }] {
        assert_eq!(coalesced(&[first, second]).len(), 2, "{second:?}");
    }
    assert_eq!(coalesced(&[first, next]).len(), 1);
}

/// Two segments that would be merged, but for what `change` does to both.
fn after(change: impl Fn(&mut Frame)) -> Vec<Frame> {
    let first = Make { identification: 7, dont_fragment: false, ..MAKE };
    let mut frames: Vec<Frame> = [first, first.next()].iter().map(Make::frame).collect();
    frames.iter_mut().for_each(change);
    Coalescer::default().coalesce(&mut frames);
    frames
}

/// Changes the word at `free` so that the checksum at `at` over `from..` is 0, and writes it as 0xffff.
fn checksum_of_all_ones(frame: &mut Frame, at: usize, free: usize) {
    let bytes = frame.as_mut_slice();
    // What the word had to be less for the checksum to be 0: the checksum itself, in ones' complement.
    let total = u64::from(get(bytes, free)) + u64::from(get(bytes, at));
    put(bytes, free, crate::checksum::reduce(total));
    put(bytes, at, 0xffff);
}

#[test]
fn what_would_not_come_back_the_same_is_not_merged() {
    assert_eq!(after(|_| {}).len(), 1);
    let padded = after(|frame| {
        frame.extend(&[0; 6]);
        frame.meta.checksum = Checksum::Valid;
    });
    assert_eq!(padded.len(), 2, "padding");
    assert_eq!(after(|frame| frame.meta.gso_size = 50).len(), 2, "super-segments");
    let frames = after(|frame| {
        let bytes = frame.as_mut_slice();
        put(bytes, 6, 0x2000);
        put(bytes, 10, 0);
        let value = crate::checksum::fold(crate::checksum::sum(&bytes[..20], 0));
        put(bytes, 10, value);
    });
    assert_eq!(frames.len(), 2, "fragments");
    let frames = after(|frame| checksum_of_all_ones(frame, 36, 130));
    assert!(frames.iter().all(|frame| frame.meta.checksum == Checksum::Valid), "0xffff is right where 0 is");
    assert_eq!(frames.len(), 2);
}

#[test]
fn an_ipv4_checksum_written_as_all_ones_is_not_merged() {
    let first = Make { dont_fragment: false, ..MAKE };
    // The identification after which comes the one that makes the checksum 0.
    let mut sample = Make { identification: 1, ..first }.frame();
    checksum_of_all_ones(&mut sample, 10, 4);
    let first = Make { identification: get(sample.as_slice(), 4).wrapping_sub(1), ..first };
    let mut frames: Vec<Frame> = [first, first.next()].iter().map(Make::frame).collect();
    assert_eq!(get(frames[1].as_slice(), 10), 0);
    assert_eq!(coalesced(&[first, first.next()]).len(), 1);
    put(frames[1].as_mut_slice(), 10, 0xffff);
    assert!(Ipv4::parse(frames[1].as_slice()).unwrap().verify_checksum());
    Coalescer::default().coalesce(&mut frames);
    assert_eq!(frames.len(), 2);
}

#[test]
fn a_short_segment_a_push_and_a_fin_end_a_super_segment() {
    for end in [
        Make { len: 99, ..MAKE.next() },
        Make { flags: Flags::ACK | Flags::PSH, ..MAKE.next() },
        Make { flags: Flags::ACK | Flags::FIN, ..MAKE.next() },
    ] {
        let behind = Make { flags: Flags::ACK, ..end.next() };
        let frames = coalesced(&[MAKE, end, behind]);
        assert_eq!((frames.len(), cut(&frames)), (2, bytes(&[MAKE, end, behind])));
    }
}

#[test]
fn wrong_checksums_are_left_for_the_stack_to_drop() {
    let mut frames: Vec<Frame> = [MAKE, MAKE.next()].iter().map(Make::frame).collect();
    frames[1].as_mut_slice()[60] ^= 1;
    Coalescer::default().coalesce(&mut frames);
    assert_eq!(frames.iter().map(|frame| frame.meta.checksum).collect::<Vec<_>>(), [Checksum::Valid, Checksum::Unverified]);
    let mut frames: Vec<Frame> = [MAKE, MAKE.next()].iter().map(Make::frame).collect();
    frames.iter_mut().for_each(|frame| frame.as_mut_slice()[8] ^= 1);
    Coalescer::default().coalesce(&mut frames);
    assert_eq!(frames.len(), 2, "the IPv4 header's checksum counts, too");
}

#[test]
fn no_super_segment_is_longer_than_a_packet_can_be() {
    let mut makes = alloc::vec![Make { len: 1448, ..MAKE }];
    for _ in 1..100 {
        makes.push(makes[makes.len() - 1].next());
    }
    let frames = coalesced(&makes);
    assert_eq!(frames.len(), 3);
    assert!(frames.iter().all(|frame| frame.len() <= MAX_LEN));
    assert_eq!(cut(&frames), bytes(&makes));
}

#[test]
fn what_is_no_packet_passes_as_it_came() {
    let mut frames: Vec<Frame> = [&[][..], &[0x45], &[0x60; 41], &[0x45; 60], &[0xff; 24]].map(Frame::from_slice).into();
    let before: Vec<_> = frames.iter().map(|frame| frame.as_slice().to_vec()).collect();
    frames.extend([MAKE, MAKE.next()].iter().map(Make::frame));
    Coalescer::default().coalesce(&mut frames);
    assert_eq!(frames.len(), 6);
    assert_eq!(frames[..5].iter().map(|frame| frame.as_slice().to_vec()).collect::<Vec<_>>(), before);
}

/// Streams of up to 20 flows, shuffled into one another, with disturbances.
fn batch() -> impl Strategy<Value = Vec<Make>> {
    let step = (0u16..20, 0u8..12, prop::sample::select(alloc::vec![100usize, 100, 100, 100, 37, 0]), any::<bool>());
    (proptest::collection::vec(step, 1..80), any::<u32>(), any::<u16>(), any::<bool>()).prop_map(|(steps, sequence, id, many)| {
        let mut flows: Vec<Make> = (0..20)
            .map(|port| Make {
                v6: port % 3 == 0,
                port,
                sequence,
                identification: id * (port % 2),
                dont_fragment: port % 5 > 0,
                ..MAKE
            })
            .collect();
        let mut makes = Vec::new();
        for (flow, what, len, psh) in steps {
            let flow = &mut flows[usize::from(if many { flow } else { flow % 3 })];
            let mut make = Make { len, ..*flow };
            match what {
                0 => make.acknowledgment += 1,
                1 => make.flags |= Flags::CWR,
                2 => make.tsval = Some(u32::from(what)),
                3 => make.sequence = make.sequence.wrapping_add(5),
                4 if psh => make.flags |= Flags::PSH,
                _ => {}
            }
            makes.push(make);
            *flow = Make { flags: Flags::ACK, ..make.next() };
        }
        makes
    })
}

proptest! {
    #[test]
    fn cutting_what_was_put_together_gives_every_flow_back(makes in batch()) {
        let frames = coalesced(&makes);
        prop_assert!(frames.len() <= makes.len());
        let (back, before) = (cut(&frames), bytes(&makes));
        prop_assert_eq!(back.len(), before.len());
        for make in &makes {
            let flow = |all: &[Vec<u8>]| {
                let sample = make.frame();
                let flow = Flow::of(sample.as_slice()).unwrap();
                all.iter().filter(|bytes| flow.is_of(bytes)).cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(flow(&back), flow(&before));
        }
    }
}

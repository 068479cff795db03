//! Segments that come in one batch are taken for a train where they can be. Nobody may notice: a stack that is given a batch ends
//! up as one that is given the same frames one at a time, whatever has happened to them on their way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ostia_stack::{Config, Handle, How, Instant, LinkConfig, LinkId, Local, Medium, Stack, Transmit};
use ostia_wire::{Checksum, Frame, MacAddr};
use proptest::prelude::*;

const PORT: u16 = 80;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Net {
    V4,
    V6,
    Ethernet,
}

fn address(net: Net, host: u8) -> IpAddr {
    match net {
        Net::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()).into(),
        _ => Ipv4Addr::new(192, 0, 2, host).into(),
    }
}

fn stack(net: Net, host: u8, buffer: u32) -> (Stack, LinkId) {
    let mut config = Config::default();
    config.timestamps = host != 3;
    config.receive_buffer = buffer;
    let mut stack = Stack::new(config, [host; 32]);
    let medium = if net == Net::Ethernet { Medium::Ethernet(MacAddr([2, 0, 0, 0, 0, host])) } else { Medium::Ip };
    let link = LinkConfig { name: "link".to_owned(), medium, mtu: 1500, checksum_offload: false, gso_max: 0 };
    let link = stack.add_link(link).expect("an MTU that can be");
    let prefix = if net == Net::V6 { 64 } else { 24 };
    stack.add_address(link, address(net, host).into(), prefix).expect("a host's address");
    (stack, link)
}

/// What happens to a frame on its way.
#[derive(Clone, Debug)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    /// Changed places with the one before it.
    Swapped,
    /// A byte, counted from the front (or, of long frames, from anywhere), has other bits.
    Damaged(usize, u8),
    /// The same, by somebody who makes the checksums right, or by a device that says they are.
    Forged(usize, u8),
    /// With bytes behind it, as Ethernet pads; checked by the device or not.
    Padded(usize, bool),
    Cut(usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        40 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => Just(Fate::Swapped),
        1 => (0usize..80, 1u8..=255).prop_map(|(at, bits)| Fate::Damaged(at, bits)),
        1 => (any::<usize>(), 1u8..=255).prop_map(|(at, bits)| Fate::Damaged(at, bits)),
        2 => (0usize..80, 1u8..=255).prop_map(|(at, bits)| Fate::Forged(at, bits)),
        1 => (1usize..20, any::<bool>()).prop_map(|(count, checked)| Fate::Padded(count, checked)),
        1 => (1usize..100).prop_map(Fate::Cut),
    ]
}

fn suffer(frames: Vec<Frame>, fates: &[Fate]) -> Vec<Frame> {
    let mut arrived: Vec<Frame> = Vec::new();
    for (mut frame, fate) in frames.into_iter().zip(fates.iter().cycle()) {
        let len = frame.len();
        match *fate {
            Fate::Arrives => {}
            Fate::Lost => continue,
            Fate::Twice => arrived.push(frame.clone()),
            Fate::Swapped => {
                let last = arrived.pop();
                arrived.push(frame);
                arrived.extend(last);
                continue;
            }
            Fate::Damaged(at, bits) => frame.as_mut_slice()[at % len] ^= bits,
            Fate::Forged(at, bits) => {
                frame.as_mut_slice()[at % len] ^= bits;
                frame.meta.checksum = Checksum::Valid;
            }
            Fate::Padded(count, checked) => {
                frame.extend(&vec![0x55; count]);
                if checked {
                    frame.meta.checksum = Checksum::Valid;
                }
            }
            Fate::Cut(count) => frame.truncate(len.saturating_sub(count)),
        }
        arrived.push(frame);
    }
    arrived
}

/// Everything that can be seen of a stack from outside.
fn seen(stack: &mut Stack, connection: Handle, reads: bool, now: Instant) -> String {
    let (mut text, mut out, mut into) = (String::new(), Vec::<Transmit>::new(), vec![0; 64 << 10]);
    while reads && let Ok(count @ 1..) = stack.recv(connection, &mut into) {
        text.push_str(&format!("{:?}", &into[..count]));
    }
    text.push_str(&format!("{:?} {:?}", stack.state(connection), stack.tcp_info(connection)));
    while stack.poll_transmit(now, &mut out) {}
    out.iter().for_each(|transmit| text.push_str(&format!("{:?}", transmit.frame.as_slice())));
    while let Some(event) = stack.poll_event() {
        text.push_str(&format!("{event:?}"));
    }
    text.push_str(&format!("{:?} {:?}", stack.counters(), stack.drops()));
    text.push_str(&format!("{:?} {:?}", stack.memory(), stack.census()));
    text.push_str(&format!("{:?}", stack.next_deadline()));
    text
}

fn frames(stack: &mut Stack, now: Instant) -> Vec<Frame> {
    let mut out = Vec::new();
    while stack.poll_transmit(now, &mut out) {}
    out.into_iter().map(|transmit| transmit.frame).collect()
}

/// What the receiver's program does after a batch has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Reads,
    Waits,
    /// Reads, and sends a little itself.
    Answers,
    EndsItsStream,
    Closes,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => Just(Deed::Reads),
        6 => Just(Deed::Waits),
        8 => Just(Deed::Answers),
        1 => Just(Deed::EndsItsStream),
        1 => Just(Deed::Closes),
    ]
}

impl Deed {
    fn is_done(self, stack: &mut Stack, connection: Handle) {
        let _ = match self {
            Deed::Answers => stack.send(connection, b"yes").map(drop),
            Deed::EndsItsStream => stack.shutdown(connection, How::Write),
            Deed::Closes => stack.close(connection),
            Deed::Reads | Deed::Waits => Ok(()),
        };
    }
}

/// Octets that the sender hands over, what happens to its frames, and what the receiver does then.
type Round = (usize, Vec<Fate>, Deed);

fn check(net: Net, sender: u8, buffer: u32, rounds: &[Round]) -> Result<(), TestCaseError> {
    let (mut from, from_link) = stack(net, sender, 256 << 10);
    let ((mut batch, link), (mut single, _)) = (stack(net, 2, buffer), stack(net, 2, buffer));
    let local = Local { address: None, port: PORT };
    let listeners = [&mut batch, &mut single].map(|stack| stack.listen(local, 5).expect("nobody listens there"));
    let connection = from.connect((address(net, 2).into(), PORT)).expect("there is a way");
    let mut now = Instant(1_000_000_000);
    // Both receivers hear the same and say the same; the sender hears one of them. On Ethernet they find each other first.
    for _ in 0..8 {
        now.0 += 1_000_000;
        let out = frames(&mut from, now);
        single.input(link, out.clone(), now);
        batch.input(link, out.clone(), now);
        frames(&mut single, now);
        from.input(from_link, frames(&mut batch, now), now);
    }
    let accepted = batch.accept(listeners[0]).expect("it has connected");
    prop_assert_eq!(single.accept(listeners[1]), Ok(accepted));
    for (count, fates, deed) in rounds {
        now.0 += 50_000_000;
        let data: Vec<u8> = (0..*count).map(|place| (place * 7) as u8).collect();
        let _ = from.send(connection, &data);
        let arrived = suffer(frames(&mut from, now), fates);
        // Copies both, so that their buffers are of one size.
        single.input(link, [], now);
        for frame in arrived.clone() {
            single.input(link, [frame], now);
        }
        batch.input(link, arrived.clone(), now);
        deed.is_done(&mut batch, accepted);
        deed.is_done(&mut single, accepted);
        let (mut replies, mut same) = (Vec::new(), Vec::new());
        batch.poll_transmit(now, &mut replies);
        single.poll_transmit(now, &mut same);
        let bytes = |all: &[Transmit]| all.iter().map(|transmit| transmit.frame.as_slice().to_vec()).collect::<Vec<_>>();
        prop_assert_eq!(bytes(&replies), bytes(&same));
        from.input(from_link, replies.into_iter().map(|transmit| transmit.frame), now);
        let reads = !matches!(deed, Deed::Waits);
        prop_assert_eq!(seen(&mut batch, accepted, reads, now), seen(&mut single, accepted, reads, now));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_batch_is_taken_as_its_frames_would_be_one_by_one(
        net in prop_oneof![Just(Net::V4), Just(Net::V6), Just(Net::Ethernet)],
        // Host 3 has no timestamps.
        sender in prop_oneof![Just(1u8), Just(3u8)],
        buffer in prop_oneof![Just(256u32 << 10), Just(20 << 10), Just(5_000)],
        rounds in proptest::collection::vec((1usize..60_000, proptest::collection::vec(fate(), 1..40), deed()), 1..12),
    ) {
        check(net, sender, buffer, &rounds)?;
    }
}

#[test]
fn undamaged_batches_are_taken_as_their_frames_would_be() {
    for net in [Net::V4, Net::V6, Net::Ethernet] {
        check(net, 1, 256 << 10, &vec![(100_000, vec![Fate::Arrives], Deed::Reads); 20]).expect("no difference");
    }
}

//! Packet sockets, in network namespaces of the tests' own: the kernel is at the other end of a veth pair.
#![cfg(target_os = "linux")]

mod common;

use std::net::SocketAddr;

use common::peer::{self, KERNEL, PEER};
use common::{in_namespace, ip, receive_until};
use ostia_link::{Link, Medium, Offload, Packet, PacketConfig};
use ostia_wire::{Frame, MacAddr};

const OWN: MacAddr = MacAddr([2, 7, 7, 7, 7, 7]);

/// A veth pair with the kernel's address on one end, and a packet socket on the other; whether there could be one.
fn open(name: &str, offload: Offload) -> Option<Packet> {
    let made = std::process::Command::new("ip").args("link add kernel0 type veth peer name wire0".split(' ')).output().unwrap();
    if !made.status.success() {
        common::skip(name, "no veth pairs");
        return None;
    }
    ip(&format!("address add {KERNEL}/24 dev kernel0"));
    ip("link set kernel0 up");
    ip("link set wire0 up");
    until_up();
    let link = Packet::open(&PacketConfig { mac: Some(OWN), offload, ..PacketConfig::new("wire0") }).expect("a packet socket");
    ip(&format!("neighbour add {PEER} lladdr {OWN} dev kernel0 nud permanent"));
    Some(link)
}

/// Waits until the kernel has seen that the cable is in: before that it drops what is to be sent.
fn until_up() {
    let until = std::time::Instant::now() + common::PATIENCE;
    while ["kernel0", "wire0"].iter().any(|end| !ip(&format!("link show dev {end}")).contains("state UP")) {
        assert!(std::time::Instant::now() < until, "the pair does not come up");
    }
}

#[test]
fn the_kernel_at_the_other_end_of_a_cable() {
    const NAME: &str = "the_kernel_at_the_other_end_of_a_cable";
    in_namespace(NAME, || {
        for offload in [Offload::On, Offload::Off] {
            let Some(mut link) = open(NAME, offload) else { return };
            let facts = link.facts();
            assert_eq!((facts.name.as_str(), facts.medium, facts.mtu, facts.mac), ("wire0", Medium::Ethernet, 1500, Some(OWN)));
            assert!(ip("-d link show dev wire0").contains("promiscuity 1"));
            peer::ping(&mut link, PEER.into());
            let before = link.statistics().sent.frames;
            let seen = peer::converse(&mut link, SocketAddr::new(PEER.into(), 80));
            // What comes in is as the kernel sent it, either way.
            assert!(seen.largest.0 > 1400 && seen.largest.1 == 1400, "{:?}", seen.largest);
            let sent = link.statistics().sent.frames - before;
            // 20,000 octets are 15 segments, or one super-segment.
            assert_eq!(sent, seen.sent + if offload == Offload::Off { 14 } else { 0 });
            let statistics = link.statistics();
            assert_eq!(statistics.dropped, Default::default());
            drop(link);
            ip("link delete kernel0");
        }
    });
}

#[test]
fn tags_that_the_kernel_takes_out_are_put_back() {
    const NAME: &str = "tags_that_the_kernel_takes_out_are_put_back";
    in_namespace(NAME, || {
        let Some(mut link) = open(NAME, Offload::On) else { return };
        let made = std::process::Command::new("ip")
            .args("link add link kernel0 name tagged0 type vlan id 5".split(' '))
            .output()
            .unwrap();
        if !made.status.success() {
            return common::skip(NAME, "no VLAN interfaces");
        }
        ip("address add 10.9.0.1/24 dev tagged0");
        ip("link set tagged0 up");
        ip(&format!("neighbour add 10.9.0.2 lladdr {OWN} dev tagged0 nud permanent"));
        let socket = std::net::UdpSocket::bind("10.9.0.1:5000").unwrap();
        socket.send_to(b"tagged", "10.9.0.2:6000").unwrap();
        let mut frame = receive_until(&mut link, |_, frame| frame.as_slice().ends_with(b"tagged"));
        assert_eq!(frame.as_slice()[12..18], [0x81, 0, 0, 5, 8, 0]);
        frame.complete_checksum();
        assert!(etherless(&frame), "the checksum's place has moved with the tag");
        // And back, a partial checksum behind a tag.
        let to = peer::packet(Medium::Ip, &frame.as_slice()[18..]).unwrap();
        let mut answer = peer::datagrams(&to, (6000, 5000), b"answer", 0);
        let len = answer.len();
        let header = ostia_wire::Ipv4Emit {
            source: [10, 9, 0, 2].into(),
            destination: [10, 9, 0, 1].into(),
            protocol: 17,
            ttl: 64,
            tos: 0,
            identification: 1,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            options: &[],
        };
        header.emit(answer.push_front(20), len);
        answer.push_front(18).copy_from_slice(&[&frame.as_slice()[6..12], &OWN.0, &[0x81, 0, 0, 5, 8, 0]].concat());
        assert!(link.transmit(&answer).unwrap());
        socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
        let mut buffer = [0; 100];
        let len = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"answer");
    });
}

/// Whether the UDP checksum in a tagged frame is right.
fn etherless(frame: &Frame) -> bool {
    let packet = peer::packet(Medium::Ip, &frame.as_slice()[18..]).expect("an IP packet");
    ostia_wire::Udp::parse(&packet.payload).expect("a datagram").verify_checksum(packet.source, packet.destination)
}

#[test]
fn own_frames_do_not_come_back_and_ends_of_the_interface_are_told_apart() {
    const NAME: &str = "own_frames_do_not_come_back_and_ends_of_the_interface_are_told_apart";
    in_namespace(NAME, || {
        let Some(mut link) = open(NAME, Offload::On) else { return };
        let mut own = vec![0xff; 6];
        own.extend(OWN.0);
        own.extend([0x88, 0xb5]);
        own.extend(b"own frame, of an experimental type");
        let own = Frame::from_slice(&own);
        assert!(link.transmit(&own).unwrap());
        // The ping is behind it.
        receive_nothing_like(&mut link, &own);
        ip("link set wire0 down");
        assert!(link.transmit(&own).unwrap());
        assert_eq!(link.statistics().dropped.sent_down, 1);
        let mut frame = Frame::default();
        for _ in 0..1000 {
            if !link.receive(&mut frame).unwrap() {
                break;
            }
        }
        ip("link set wire0 up");
        until_up();
        peer::ping(&mut link, PEER.into());
        assert!(link.transmit(&Frame::from_slice(&[2; 1519])).unwrap());
        assert_eq!(link.statistics().dropped.sent_too_big, 1);
        ip("link delete kernel0");
        link.transmit(&own).unwrap_err();
        // After what had arrived before.
        let error = (0..1000).find_map(|_| link.receive(&mut frame).err());
        assert_eq!(error.expect("the interface is gone").raw_os_error(), Some(libc::ENETDOWN));
    });
}

/// Whoever waits hears of the interface's end in the midst of it, and hears of it once.
#[test]
fn an_interface_is_gone_for_who_looks_while_it_is_deleted() {
    const NAME: &str = "an_interface_is_gone_for_who_looks_while_it_is_deleted";
    in_namespace(NAME, || {
        for _ in 0..20 {
            let Some(mut link) = open(NAME, Offload::On) else { return };
            let mut deleting = std::process::Command::new("ip").args(["link", "delete", "kernel0"]).spawn().expect("ip runs");
            let (until, mut frame) = (std::time::Instant::now() + common::PATIENCE, Frame::default());
            let error = loop {
                assert!(std::time::Instant::now() < until, "the end was not told");
                let descriptor = link.descriptor().expect("a device has a descriptor");
                let mut polled = [rustix::event::PollFd::new(&descriptor, rustix::event::PollFlags::IN)];
                let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
                rustix::event::poll(&mut polled, Some(&second)).expect("poll works");
                if let Err(error) = link.receive(&mut frame) {
                    break error;
                }
            };
            assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN));
            assert!(deleting.wait().expect("a child").success());
        }
    });
}

fn receive_nothing_like(link: &mut Packet, own: &Frame) {
    struct Watching<'a>(&'a mut Packet, &'a Frame);
    impl Link for Watching<'_> {
        fn facts(&self) -> &ostia_link::Facts {
            self.0.facts()
        }
        fn descriptor(&self) -> Option<ostia_link::Descriptor<'_>> {
            self.0.descriptor()
        }
        fn receive(&mut self, frame: &mut Frame) -> std::io::Result<bool> {
            let got = self.0.receive(frame)?;
            assert!(!got || frame.as_slice() != self.1.as_slice());
            Ok(got)
        }
        fn transmit(&mut self, frame: &Frame) -> std::io::Result<bool> {
            self.0.transmit(frame)
        }
        fn statistics(&self) -> ostia_link::Statistics {
            self.0.statistics()
        }
    }
    peer::ping(&mut Watching(link, own), PEER.into());
}

#[test]
fn what_the_socket_has_no_room_for_is_counted() {
    const NAME: &str = "what_the_socket_has_no_room_for_is_counted";
    in_namespace(NAME, || {
        let Some(link) = open(NAME, Offload::On) else { return };
        let socket = std::net::UdpSocket::bind((KERNEL, 5000)).unwrap();
        // Eight megabytes and more, of which there is room for no more than four and what the kernel adds to each.
        for _ in 0..100_000 {
            socket.send_to(&[0; 1000], (PEER, 6000)).unwrap();
            if link.statistics().dropped.received_no_room > 0 {
                return;
            }
        }
        panic!("nothing was dropped; {:?}", link.statistics());
    });
}

//! TUN and TAP with the kernel at the other end, in network namespaces of the tests' own.
#![cfg(target_os = "linux")]

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use common::peer::{self, KERNEL, PEER};
use common::{in_namespace_with_tun, ip, receive_until};
use ostia_link::{HostSide, Link, Medium, Offload, Tun, TunConfig, TunKind, holder_of, network_of};
use ostia_wire::{Checksum, Frame, MacAddr, Tcp, protocol};

const KERNEL_V6: &str = "fd07::1";
const PEER_V6: &str = "fd07::2";

fn config(kind: TunKind, offload: Offload) -> TunConfig {
    let addresses = [format!("{KERNEL}/24"), format!("{KERNEL_V6}/64")];
    let addresses = addresses.map(|address| address.parse().expect("an address")).to_vec();
    TunConfig { kind, offload, host: HostSide { addresses, ..HostSide::default() }, ..TunConfig::default() }
}

/// A device, with what it takes for the kernel to find the peer on it.
fn open(kind: TunKind, offload: Offload) -> Tun {
    let link = opened(&config(kind, offload));
    neighbours(&link);
    link
}

/// Opens a device. That of the test before is dropped, but may still be open in a program which another test is just starting.
fn opened(config: &TunConfig) -> Tun {
    let until = std::time::Instant::now() + common::PATIENCE;
    loop {
        match Tun::open(config) {
            Err(ostia_link::Error::AddressTaken { .. }) if std::time::Instant::now() < until => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            tun => return tun.expect("a device"),
        }
    }
}

fn neighbours(link: &Tun) {
    if let Some(mac) = link.facts().mac {
        for address in [PEER.to_string(), PEER_V6.to_owned()] {
            // The kernel may be asking already, for a connection of the device before.
            ip(&format!("neighbour replace {address} lladdr {mac} dev {} nud permanent", link.facts().name));
        }
    }
}

fn peer_v6() -> IpAddr {
    PEER_V6.parse().expect("an address")
}

/// Every kind of device, with and without offloads.
fn each(test: impl Fn(&mut Tun, TunKind, Offload)) {
    for kind in [TunKind::Tun, TunKind::Tap] {
        for offload in [Offload::On, Offload::Off] {
            test(&mut open(kind, offload), kind, offload);
        }
    }
}

#[test]
fn the_kernel_pings_a_host_behind_the_device() {
    in_namespace_with_tun("the_kernel_pings_a_host_behind_the_device", || {
        each(|link, _, _| {
            peer::ping(link, PEER.into());
            peer::ping(link, peer_v6());
            let statistics = link.statistics();
            assert!(statistics.received.frames >= 2 && statistics.sent.frames == 2, "{statistics:?}");
            assert_eq!(statistics.dropped, Default::default());
        });
    });
}

#[test]
fn super_segments_go_both_ways_where_the_device_takes_them() {
    in_namespace_with_tun("super_segments_go_both_ways_where_the_device_takes_them", || {
        each(|link, _, offload| {
            for address in [PEER.into(), peer_v6()] {
                let before = link.statistics();
                let seen = peer::converse(link, SocketAddr::new(address, 80));
                let sent = link.statistics().sent.frames - before.sent.frames;
                match offload {
                    Offload::On => {
                        assert!(seen.largest.0 > 1400 && seen.largest.1 == 1400, "{:?}", seen.largest);
                        assert!(seen.partial > 0);
                        assert_eq!(sent, seen.sent, "the super-segment went as one");
                    }
                    Offload::Off => {
                        assert!(seen.largest.0 <= 1400 && seen.largest.1 == 0, "{:?}", seen.largest);
                        assert_eq!(seen.partial, 0);
                        assert_eq!(sent, seen.sent + 14, "20,000 octets are 15 segments");
                    }
                }
            }
            assert_eq!(link.statistics().dropped, Default::default());
        });
    });
}

#[test]
fn facts_are_those_of_the_device() {
    in_namespace_with_tun("facts_are_those_of_the_device", || {
        let tun = Tun::open(&TunConfig { mtu: Some(9000), ..config(TunKind::Tun, Offload::On) }).unwrap();
        let facts = tun.facts();
        assert_eq!((facts.name.as_str(), facts.medium, facts.mtu, facts.mac), ("ostia0", Medium::Ip, 9000, None));
        assert!(facts.checksum_offload && facts.max_gso > 60_000 && facts.frame_room() > 65_535);
        assert!(ip("link show dev ostia0").contains("mtu 9000"));
        let mac = MacAddr([2, 7, 7, 7, 7, 7]);
        let host = HostSide { addresses: vec!["10.8.0.1/24".parse().unwrap()], ..HostSide::default() };
        let config = TunConfig {
            kind: TunKind::Tap,
            name: "own%d".into(),
            offload: Offload::Off,
            mac: Some(mac),
            host,
            ..TunConfig::default()
        };
        let tap = Tun::open(&config).unwrap();
        let facts = tap.facts();
        assert_eq!((facts.name.as_str(), facts.medium, facts.mtu, facts.mac), ("own0", Medium::Ethernet, 1500, Some(mac)));
        assert_eq!((facts.checksum_offload, facts.max_gso, facts.frame_room()), (false, 0, 1519));
        assert_eq!(holder_of(KERNEL.into()).unwrap().as_deref(), Some("ostia0"));
        assert_eq!(holder_of("10.8.0.1".parse().unwrap()).unwrap().as_deref(), Some("own0"));
        assert_eq!(holder_of(PEER.into()).unwrap(), None);
        assert_eq!(network_of(PEER.into(), None).unwrap().as_deref(), Some("ostia0"));
        assert_eq!(network_of(PEER.into(), Some("ostia0")).unwrap(), None);
        assert_eq!(network_of("192.0.2.1".parse().unwrap(), None).unwrap(), None);
        assert_eq!(network_of("fe80::7".parse().unwrap(), None).unwrap(), None, "every link has that one");
        // What was not persistent goes with the descriptor.
        drop(tun);
        assert_eq!(holder_of(KERNEL.into()).unwrap(), None);
        assert!(!ip("link show").contains("ostia0"));
    });
}

#[test]
fn routes_lead_to_the_device() {
    in_namespace_with_tun("routes_lead_to_the_device", || {
        let mut config = config(TunKind::Tun, Offload::On);
        config.host.routes = ["198.51.100.0/24", "2001:db8::/32", "203.0.113.0/24"].map(|route| route.parse().unwrap()).to_vec();
        config.host.routes[2].via = Some(PEER.into());
        let mut link = Tun::open(&config).unwrap();
        for address in ["198.51.100.7", "2001:db8::7", "203.0.113.7"] {
            peer::ping(&mut link, address.parse().unwrap());
        }
    });
}

#[test]
fn a_persistent_device_gets_back_what_it_had() {
    in_namespace_with_tun("a_persistent_device_gets_back_what_it_had", || {
        ip("tuntap add dev keep0 mode tun");
        ip("link set keep0 mtu 1450");
        ip("address add 10.6.0.1/24 dev keep0");
        let mut config = TunConfig { name: "keep0".into(), mtu: Some(1400), ..config(TunKind::Tun, Offload::On) };
        // One that it has, which stays.
        config.host.addresses.push("10.6.0.1/24".parse().unwrap());
        config.host.routes = vec!["198.51.100.0/24".parse().unwrap()];
        let link = Tun::open(&config).unwrap();
        assert_eq!(link.facts().mtu, 1400);
        assert!(ip("route show").contains("198.51.100.0/24"));
        drop(link);
        let link = ip("link show dev keep0");
        assert!(link.contains("mtu 1450") && !link.contains(",UP"), "{link}");
        let addresses = ip("address show dev keep0");
        assert!(
            addresses.contains("10.6.0.1/24") && !addresses.contains("10.7.0.1") && !addresses.contains(KERNEL_V6),
            "{addresses}"
        );
        // Half-way is undone, too.
        config.host.addresses.push("10.6.0.1/16".parse().unwrap());
        config.host.routes.push("198.51.100.0/24".parse().unwrap());
        Tun::open(&config).unwrap_err();
        assert!(ip("link show dev keep0").contains("mtu 1450"));
        ip("link delete keep0");
    });
}

#[test]
fn datagrams_go_in_super_segments_too() {
    in_namespace_with_tun("datagrams_go_in_super_segments_too", || {
        let mut link = open(TunKind::Tun, Offload::On);
        let socket = UdpSocket::bind((KERNEL, 5000)).unwrap();
        socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
        let size: libc::c_int = 1000;
        // SAFETY: the socket is open, and the option an int.
        let set = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, (&raw const size).cast(), 4) };
        assert_eq!(set, 0, "UDP_SEGMENT is known");
        let payload: Vec<u8> = (0..3500u32).map(|at| (at % 251) as u8).collect();
        socket.send_to(&payload, (PEER, 6000)).unwrap();
        let mut got = Vec::new();
        let frame = receive_until(&mut link, |_, frame| {
            let Some(packet) = peer::packet(Medium::Ip, frame.as_slice()).filter(|packet| packet.protocol == protocol::UDP)
            else {
                return false;
            };
            got.extend_from_slice(&packet.payload[8..]);
            got.len() >= payload.len()
        });
        assert!(got == payload);
        // A kernel before 6.2 has cut it.
        assert!(frame.meta.gso_size == 1000 && frame.len() == 28 + 3500 || frame.meta.gso_size == 0 && frame.len() == 28 + 500);
        let to = peer::packet(Medium::Ip, frame.as_slice()).unwrap();
        let back = peer::datagrams(&to, (6000, 5000), &payload, 1000);
        peer::send(&mut link, &to, back);
        let mut buffer = [0; 2000];
        for part in payload.chunks(1000) {
            let len = socket.recv(&mut buffer).unwrap();
            assert!(buffer[..len] == *part);
        }
    });
}

#[test]
fn a_partial_checksum_is_completed_by_either() {
    in_namespace_with_tun("a_partial_checksum_is_completed_by_either", || {
        each(|link, _, _| {
            let socket = UdpSocket::bind((KERNEL, 5000)).unwrap();
            socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
            socket.send_to(b"a question", (PEER, 6000)).unwrap();
            let medium = link.facts().medium;
            let asked = receive_until(link, |link, frame| {
                peer::packet(link.facts().medium, frame.as_slice()).is_some_and(|packet| packet.protocol == protocol::UDP)
            });
            let to = peer::packet(medium, asked.as_slice()).unwrap();
            let answer = peer::datagrams(&to, (6000, 5000), b"an answer", 0);
            assert!(matches!(answer.meta.checksum, Checksum::Partial { .. }));
            peer::send(link, &to, answer);
            let mut buffer = [0; 100];
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"an answer");
        });
    });
}

#[test]
fn a_device_that_is_down_loses_frames_and_one_that_is_gone_is_an_error() {
    in_namespace_with_tun("a_device_that_is_down_loses_frames_and_one_that_is_gone_is_an_error", || {
        each(|link, _, _| {
            let name = link.facts().name.clone();
            ip(&format!("link set {name} down"));
            let frame = Frame::from_slice(&[0x45; 60]);
            assert!(link.transmit(&frame).unwrap());
            assert_eq!(link.statistics().dropped.sent_down, 1);
            let mut into = Frame::default();
            // What the kernel had sent before that may still be there.
            for _ in 0..1000 {
                if !link.receive(&mut into).unwrap() {
                    break;
                }
            }
            ip(&format!("link set {name} up"));
            ip(&format!("link delete {name}"));
            assert_eq!(link.receive(&mut into).unwrap_err().raw_os_error(), Some(libc::EBADFD));
            assert_eq!(link.transmit(&frame).unwrap_err().raw_os_error(), Some(libc::EBADFD));
        });
    });
}

#[test]
fn what_is_longer_than_the_mtu_was_is_counted_as_truncated() {
    in_namespace_with_tun("what_is_longer_than_the_mtu_was_is_counted_as_truncated", || {
        let mut link = open(TunKind::Tun, Offload::Off);
        ip(&format!("link set {} mtu 3000", link.facts().name));
        let socket = UdpSocket::bind((KERNEL, 5000)).unwrap();
        socket.send_to(&[1; 2500], (PEER, 6000)).unwrap();
        socket.send_to(b"the next one", (PEER, 6000)).unwrap();
        receive_until(&mut link, |_, frame| frame.as_slice().ends_with(b"the next one"));
        assert_eq!(link.statistics().dropped.received_truncated, 1);
    });
}

#[test]
fn frames_that_no_device_can_work_with_are_dropped() {
    in_namespace_with_tun("frames_that_no_device_can_work_with_are_dropped", || {
        each(|link, kind, offload| {
            let mut outside = Frame::from_slice(&[0x45; 60]);
            outside.meta.checksum = Checksum::Partial { start: 59, offset: 16 };
            let mut uncut = Frame::from_slice(&[0; 60]);
            uncut.meta.gso_size = 8;
            for frame in [&outside, &uncut, &Frame::default()] {
                assert!(link.transmit(frame).unwrap());
            }
            let malformed = link.statistics().dropped.sent_malformed;
            // Without offloads a checksum outside of the frame is forgotten.
            let expected = if offload == Offload::On { 3 } else { 2 };
            assert_eq!(malformed, expected, "{kind:?} {offload:?}");
            // Nothing of that has hurt the link.
            peer::ping(link, PEER.into());
        });
    });
}

#[test]
fn a_capture_reads_the_same_in_tshark() {
    in_namespace_with_tun("a_capture_reads_the_same_in_tshark", || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tun.pcapng");
        let capture = ostia_link::Capture::create(&file, Default::default()).unwrap();
        let mut frames = 0;
        for kind in [TunKind::Tun, TunKind::Tap] {
            let link = open(kind, Offload::On);
            let mut link = capture.link(link);
            peer::ping(&mut link, PEER.into());
            peer::converse(&mut link, (PEER, 80).into());
            frames += link.statistics().received.frames + link.statistics().sent.frames;
        }
        capture.flush().unwrap();
        let fields = ["frame.number", "_ws.expert.message", "icmp.type", "frame.comment", "tcp.checksum.status", "ip.src"];
        let mut command = std::process::Command::new("tshark");
        command.args(["-o", "tcp.check_checksum:TRUE", "-T", "fields", "-r"]).arg(&file);
        fields.iter().for_each(|field| _ = command.args(["-e", field]));
        let Ok(output) = command.output() else {
            return common::skip("a_capture_reads_the_same_in_tshark", "no tshark on the search path");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(lines.len() as u64, frames);
        for kind in ["8", "0"] {
            assert_eq!(lines.iter().filter(|line| line[2] == kind).count(), 2, "{text}");
        }
        assert!(lines.iter().any(|line| line[3].starts_with("super-segment: stands for packets of up to 1400")), "{text}");
        // 1: good. 0: bad, 2: unverified.
        assert!(lines.iter().all(|line| matches!(line[4], "" | "1")), "{text}");
        assert!(lines.iter().any(|line| line[4] == "1"));
    });
}

#[test]
fn a_segment_of_the_kernel_is_what_its_description_says() {
    in_namespace_with_tun("a_segment_of_the_kernel_is_what_its_description_says", || {
        let mut link = open(TunKind::Tun, Offload::On);
        let connecting = std::thread::spawn(|| std::net::TcpStream::connect((PEER, 81)).map(drop));
        let mut frame = receive_until(&mut link, |_, frame| {
            peer::packet(Medium::Ip, frame.as_slice()).is_some_and(|packet| packet.protocol == protocol::TCP)
        });
        assert_eq!(frame.meta.checksum, Checksum::Partial { start: 20, offset: 16 });
        frame.complete_checksum();
        let packet = peer::packet(Medium::Ip, frame.as_slice()).unwrap();
        let segment = Tcp::parse(&packet.payload).unwrap();
        assert!(segment.verify_checksum(packet.source, packet.destination));
        // Refuse, so that the program need not wait.
        let reset = ostia_wire::TcpEmit {
            source_port: 81,
            destination_port: segment.source_port(),
            acknowledgment: segment.sequence().wrapping_add(1),
            flags: ostia_wire::Flags::RST.with(ostia_wire::Flags::ACK),
            ..Default::default()
        };
        let mut answer = Frame::default();
        reset.emit(answer.push_front(20));
        let len = answer.len();
        answer.meta.checksum = ostia_wire::tcp::partial_checksum(answer.as_mut_slice(), packet.destination, packet.source, len);
        peer::send(&mut link, &packet, answer);
        assert_eq!(connecting.join().unwrap().unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

/// What the kernel's side has works as soon as the device is open.
#[test]
fn the_kernel_takes_what_is_for_its_addresses_at_once() {
    in_namespace_with_tun("the_kernel_takes_what_is_for_its_addresses_at_once", || {
        for _ in 0..20 {
            let addresses = ["10.7.0.1/24", "fd07::1/64"].map(|address| address.parse().expect("an address")).to_vec();
            let host = HostSide { addresses, ..HostSide::default() };
            let _tun = opened(&TunConfig { host, ..TunConfig::default() });
            for address in ["10.7.0.1", "fd07::1"] {
                let said = ip(&format!("route get {address}"));
                assert!(said.starts_with("local "), "{said}");
            }
        }
    });
}

#[test]
fn a_link_local_address_may_be_on_other_interfaces_too() {
    in_namespace_with_tun("a_link_local_address_may_be_on_other_interfaces_too", || {
        let addresses = vec!["fe80::1/64".parse().expect("an address")];
        let config = TunConfig { host: HostSide { addresses, ..HostSide::default() }, ..TunConfig::default() };
        let (one, other) = (opened(&config), opened(&config));
        for link in [&one, &other] {
            let addresses = ip(&format!("address show dev {}", link.facts().name));
            assert!(addresses.contains("fe80::1/64"), "{addresses}");
        }
        assert_eq!(holder_of("fe80::1".parse().expect("an address")).expect("the kernel tells"), None);
    });
}

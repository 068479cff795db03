//! Floods of SYNs from invented addresses: downloads go on through one that the device has room for, and outlast any other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ostia_wire::{Flags, Ipv4Emit, TcpEmit, TcpOptions, protocol, tcp};
use rustix::net::{AddressFamily, SendFlags, SocketType};

use super::capture::Capture;
use super::program::{BOTH, V4, serve};
use super::space::in_namespace;
use crate::downloads::{Files, whole};
use crate::support::http::Client;
use crate::support::site::{Pattern, Site};
use crate::support::{Random, eventually, scaled, seed};

/// SYNs one after the other, of the 500 packets that wait before a TUN device.
const BURST: u64 = 50;

/// So many SYNs come at least: far more than may be half-open.
const ENOUGH: u64 = 20_000;

/// So many if they come as fast as a processor can send them, which is a second or two.
const PLENTY: u64 = 400_000;

#[test]
fn downloads_go_on_in_a_flood_of_syns() {
    in_namespace(concat!(module_path!(), "::downloads_go_on_in_a_flood_of_syns"), &["curl"], |case| {
        let site = Site::new();
        let files = Files::make(&site, case.name);
        let expected = site.fill("big.bin", Pattern(seed(case.name)), scaled(4 << 20, 256 << 20) + 9);
        let server = serve(case, site.root(), &BOTH);
        assert_eq!(whole(&format!("{V4}/big.bin")), expected, "before");
        let quiet = server.resident();
        let flood = Flood::start(seed(case.name));
        assert!(eventually(|| flood.sent() > 1000), "the flood has begun");
        files.fetch_from(V4);
        assert_eq!(whole(&format!("{V4}/big.bin")), expected, "in the flood");
        assert!(eventually(|| flood.sent() >= ENOUGH));
        let grown = server.resident().saturating_sub(quiet);
        flood.stop();
        assert!(grown < 64 << 10, "{grown} KiB more for a flood");
        assert_eq!(whole(&format!("{V4}/big.bin")), expected, "after");
        server.stop();
    });
}

/// Before a flood that fills the device's queue the kernel drops any packet, and who gets through meanwhile is chance. But what was
/// under way comes to its end, and afterwards all is as before.
#[test]
fn a_download_outlasts_a_flood_that_fills_the_device() {
    in_namespace(concat!(module_path!(), "::a_download_outlasts_a_flood_that_fills_the_device"), &[], |case| {
        let site = Site::new();
        let pattern = Pattern(seed(case.name));
        let length = 16 << 20;
        site.fill("big", pattern, length as u64);
        let server = serve(case, site.root(), &BOTH);
        let address = "10.7.0.2:8080".parse().expect("an address");
        let mut client = Client::connect(address);
        let quiet = server.resident();
        let flood = Flood::unpaced(seed(case.name));
        assert!(eventually(|| flood.sent() > 1000), "the flood has begun");
        client.ask("/big");
        // Meanwhile the kernel receives what there is room for.
        assert!(eventually(|| flood.sent() >= PLENTY));
        let grown = server.resident().saturating_sub(quiet);
        flood.stop();
        assert!(grown < 64 << 10, "{grown} KiB more for a flood");
        assert_eq!(client.head().status, 200);
        assert!(pattern.is_at(0, &client.content(length)));
        assert_eq!(Client::connect(address).get("/big").body.len(), length);
        server.stop();
    });
}

/// The answers to a flood are as they should be, too.
#[test]
fn a_flood_is_answered_cleanly() {
    in_namespace(concat!(module_path!(), "::a_flood_is_answered_cleanly"), &[], |case| {
        let site = Site::new();
        let capture = Capture::new();
        let server = serve(case, site.root(), &[&BOTH[..], &["--pcap", capture.path()]].concat());
        let flood = Flood::start(seed(case.name));
        assert!(eventually(|| flood.sent() >= 3000));
        flood.stop();
        server.stop();
        capture.is_clean(case);
    });
}

/// A thread that sends SYNs.
struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Flood {
    /// One that leaves room in the device's queue.
    fn start(seed: u64) -> Flood {
        Flood::of(seed, true)
    }

    /// One as fast as a processor can.
    fn unpaced(seed: u64) -> Flood {
        Flood::of(seed, false)
    }

    fn of(seed: u64, paced: bool) -> Flood {
        let protocol = Some(rustix::net::ipproto::RAW);
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, protocol).expect("root has raw sockets");
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), sent.clone());
        let thread = thread::spawn(move || {
            let to = SocketAddr::from(([10, 7, 0, 2], 8080));
            let mut random = Random(seed);
            while !stopped.load(Ordering::Relaxed) {
                // What the device's queue has no room for is lost, the good with the bad, and none of the stack's affair: a burst
                // leaves room in it.
                let _ = rustix::net::sendto(&socket, &syn(random.next()), SendFlags::empty(), &to);
                let sent = count.fetch_add(1, Ordering::Relaxed);
                if paced && sent % BURST == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Flood { stop, sent, thread }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("sending does not panic");
    }
}

/// A SYN from somewhere in 198.18.0.0/15, the networks for such trials (RFC 2544, C.2.2).
fn syn(random: u64) -> Vec<u8> {
    let source = Ipv4Addr::from(0xc612_0000 | (random as u32 & 0x1_ffff));
    let destination = Ipv4Addr::new(10, 7, 0, 2);
    let header = TcpEmit {
        source_port: (random >> 17) as u16 | 1024,
        destination_port: 8080,
        sequence: (random >> 32) as u32,
        flags: Flags::SYN,
        window: 64_240,
        options: TcpOptions { mss: Some(1460), ..TcpOptions::default() },
        ..TcpEmit::default()
    };
    let outer = Ipv4Emit {
        source,
        destination,
        protocol: protocol::TCP,
        ttl: 64,
        tos: 0,
        identification: random as u16,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        options: &[],
    };
    let (before, length) = (outer.header_len(), header.header_len());
    let mut packet = vec![0; before + length];
    outer.emit(&mut packet, length);
    header.emit(&mut packet[before..]);
    tcp::finish_checksum(&mut packet[before..], IpAddr::V4(source), IpAddr::V4(destination));
    packet
}

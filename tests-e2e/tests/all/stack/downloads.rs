//! Files by curl from Ostia's stack: large ones, many at once, over both families, whatever the MTU.

use super::capture::Capture;
use super::program::{BOTH, V4, V6, serve};
use super::space::{in_namespace, on_driver};
use crate::downloads::{Files, by_ranges, whole};
use crate::support::case::{Case, Driver};
use crate::support::site::{Pattern, Site};
use crate::support::{scaled, seed};

/// The big file, no multiple of any segment.
fn big() -> u64 {
    scaled(64 << 20, 1 << 30) + 12_345
}

#[test]
fn a_big_file_on_io_uring() {
    on_driver(concat!(module_path!(), "::a_big_file_on_io_uring"), Driver::IoUring, &["curl"], a_big_file);
}

#[test]
fn a_big_file_on_epoll() {
    on_driver(concat!(module_path!(), "::a_big_file_on_epoll"), Driver::Epoll, &["curl"], a_big_file);
}

/// Whole over IPv4, in ranges over IPv6, always the same digest.
fn a_big_file(case: Case) {
    let site = Site::new();
    let expected = site.fill("big.bin", Pattern(seed(case.name)), big());
    let server = serve(case, site.root(), &BOTH);
    assert_eq!(whole(&format!("{V4}/big.bin")), expected, "whole, over IPv4");
    assert_eq!(by_ranges(&format!("{V6}/big.bin"), big()), expected, "by ranges, over IPv6");
    server.stop();
}

#[test]
fn two_hundred_at_once() {
    in_namespace(concat!(module_path!(), "::two_hundred_at_once"), &["curl"], |case| {
        let site = Site::new();
        let capture = Capture::new();
        let files = Files::make(&site, case.name);
        let server = serve(case, site.root(), &[&BOTH[..], &["--pcap", capture.path()]].concat());
        files.fetch_from(V4);
        files.fetch_from(V6);
        server.stop();
        capture.is_clean(case);
    });
}

#[test]
fn by_three_workers() {
    on_driver(concat!(module_path!(), "::by_three_workers"), Driver::IoUring, &["curl"], three_workers);
}

#[test]
fn by_three_workers_on_epoll() {
    on_driver(concat!(module_path!(), "::by_three_workers_on_epoll"), Driver::Epoll, &["curl"], three_workers);
}

/// The stack is on one worker, and what the others serve goes through it by messages.
fn three_workers(case: Case) {
    let site = Site::new();
    let files = Files::make(&site, case.name);
    let expected = site.fill("big.bin", Pattern(seed(case.name)), scaled(16 << 20, 256 << 20) + 77);
    let server = serve(case, site.root(), &[&BOTH[..], &["--workers", "3"]].concat());
    let said = server.process.output.wait_for(|line| line.contains("lives on the first of 3 workers").then_some(()));
    assert!(said.is_some(), "it says where the stack lives");
    files.fetch_from(V4);
    files.fetch_from(V6);
    for _ in 0..6 {
        assert_eq!(whole(&format!("{V4}/big.bin")), expected);
    }
    server.stop();
}

#[test]
fn mtu_576() {
    in_namespace(concat!(module_path!(), "::mtu_576"), &["curl"], |case| at_mtu(case, "576", false));
}

#[test]
fn mtu_1280() {
    in_namespace(concat!(module_path!(), "::mtu_1280"), &["curl"], |case| at_mtu(case, "1280", true));
}

#[test]
fn mtu_9000() {
    in_namespace(concat!(module_path!(), "::mtu_9000"), &["curl"], |case| at_mtu(case, "9000", true));
}

#[test]
fn mtu_65535() {
    in_namespace(concat!(module_path!(), "::mtu_65535"), &["curl"], |case| at_mtu(case, "65535", true));
}

/// A file with this MTU, over the families that it allows, with the device's offloads and without.
fn at_mtu(case: Case, mtu: &str, v6: bool) {
    let site = Site::new();
    let expected = site.fill("file.bin", Pattern(seed(case.name)), scaled(3 << 20, 64 << 20) + 321);
    for offload in ["on", "off"] {
        let capture = Capture::new();
        let mut arguments = vec!["--network", "tun", "--mtu", mtu, "--offload", offload, "--pcap", capture.path()];
        arguments.extend(["--ip", "10.7.0.2/24"]);
        if v6 {
            arguments.extend(["--ip", "fd07::2/64"]);
        }
        let server = serve(case, site.root(), &arguments);
        assert_eq!(whole(&format!("{V4}/file.bin")), expected, "IPv4, offload {offload}");
        if v6 {
            assert_eq!(whole(&format!("{V6}/file.bin")), expected, "IPv6, offload {offload}");
        }
        server.stop();
        capture.is_clean(case);
        if offload == "off" {
            let too_long = format!("ip.len > {mtu} || ipv6.plen > {mtu}");
            assert_eq!(capture.select(case, &too_long).unwrap_or_default(), Vec::<String>::new(), "a packet over the MTU");
        }
    }
}

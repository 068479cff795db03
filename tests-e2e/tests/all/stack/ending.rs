//! Ends: SIGTERM while a download runs, and a link that is taken away.

use std::net::TcpStream;

use rustix::process::Signal;

use super::program::{BOTH, Running, echo, serve};
use super::space::{Namespace, cable, in_namespace, ip, on_driver};
use crate::support::case::Driver;
use crate::support::http::Client;
use crate::support::process::Ended;
use crate::support::site::{Pattern, Site};
use crate::support::{eventually, seed};

const LENGTH: usize = 32 << 20;

/// A download in flight comes to its end after SIGTERM, idle connections end at once, new ones are refused.
#[test]
fn sigterm_drains() {
    in_namespace(concat!(module_path!(), "::sigterm_drains"), &[], |case| {
        let site = Site::new();
        let pattern = Pattern(seed(case.name));
        site.fill("big", pattern, LENGTH as u64);
        site.write("small", "content");
        let server = serve(case, site.root(), &BOTH);
        let address = "10.7.0.2:8080".parse().expect("an address");
        let mut idle = Client::connect(address);
        assert_eq!(idle.get("/small").text(), "content");
        let mut client = Client::connect(address);
        client.ask("/big");
        assert_eq!(client.head().status, 200);
        server.process.signal(Signal::TERM);
        assert!(idle.at_end());
        assert!(eventually(|| TcpStream::connect(address).is_err()), "still listening");
        assert!(pattern.is_at(0, &client.content(LENGTH)));
        assert!(client.at_end());
        server.ended_well();
    });
}

/// Who stops it and starts it again finds the device and the addresses free.
#[test]
fn it_can_be_started_again_at_once() {
    for (driver, name) in [
        (Driver::IoUring, concat!(module_path!(), "::it_can_be_started_again_at_once/io_uring")),
        (Driver::Epoll, concat!(module_path!(), "::it_can_be_started_again_at_once/epoll")),
    ] {
        on_driver(name, driver, &[], |case| {
            let site = Site::new();
            site.write("small", "content");
            for _ in 0..5 {
                let server = serve(case, site.root(), &["--network", "tun:mine", "--ip", "10.7.0.2/24", "--ip", "fd07::2/64"]);
                let mut client = Client::connect("10.7.0.2:8080".parse().expect("an address"));
                assert_eq!(client.get("/small").text(), "content");
                server.stop();
                assert!(!ip("link").contains("mine"), "the device has outlived its program");
            }
        });
    }
}

/// Its device is deleted under it while a download runs: it says so and ends, for it has nothing to serve on any more.
#[test]
fn a_deleted_tun_ends_the_server() {
    in_namespace(concat!(module_path!(), "::a_deleted_tun_ends_the_server"), &[], |case| {
        let site = Site::new();
        site.fill("big", Pattern(seed(case.name)), LENGTH as u64);
        let server = serve(case, site.root(), &BOTH);
        let mut client = Client::connect("10.7.0.2:8080".parse().expect("an address"));
        client.ask("/big");
        assert_eq!(client.head().status, 200);
        ip("link delete ostia0");
        told_of_a_lost_link(server, "ostia0");
    });
}

/// The same for one that has nothing to do, and for a packet socket's interface.
#[test]
fn a_deleted_interface_ends_an_idle_server() {
    in_namespace(concat!(module_path!(), "::a_deleted_interface_ends_an_idle_server"), &[], |case| {
        let far = Namespace::new();
        cable(("near", ""), &far, ("far", "10.8.0.1/24"));
        let server = echo(case, &["--network", "packet:near", "--ip", "10.8.0.2/24"]);
        ip("link delete near");
        told_of_a_lost_link(server, "near");
    });
}

/// Datagrams alone are no reason to stay either.
#[test]
fn a_deleted_tun_ends_an_echo_of_datagrams() {
    in_namespace(concat!(module_path!(), "::a_deleted_tun_ends_an_echo_of_datagrams"), &[], |case| {
        let server = echo(case, &["--network", "tun", "--addr", "udp://10.7.0.2:8080"]);
        ip("link delete ostia0");
        told_of_a_lost_link(server, "ostia0");
    });
}

/// It must end by itself, as failed, and say why.
fn told_of_a_lost_link(server: Running, name: &str) {
    let Ended { status, errors, .. } = server.process.wait();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains(name) && errors.contains("gone") && !errors.contains("panicked"), "{errors}");
    assert!(errors.lines().count() < 10, "it says so again and again:\n{errors}");
}

//! SIGTERM and SIGINT: what is in flight is finished, then the program ends well.

use std::io::Read;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::case::{Case, on_both_drivers};
use crate::support::server::Launch;
use crate::support::site::{Pattern, Site};
use crate::support::{eventually, seed};

const LENGTH: usize = 64 << 20;

on_both_drivers! {
    /// A download in flight comes to its end after SIGTERM, new connections are refused.
    fn sigterm_drains(case: Case) {
        drains(case, Signal::TERM);
    }

    /// The same for Ctrl-C.
    fn sigint_drains(case: Case) {
        drains(case, Signal::INT);
    }

    /// Connections that wait for their next request do not hold the end up.
    fn idle_connections_are_closed_at_once(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let server = Launch::new(case, site.root()).start();
        let mut used = server.connect();
        assert_eq!(used.get("/file").text(), "content");
        let mut fresh = TcpStream::connect(server.address).expect("it listens");
        server.process.signal(Signal::TERM);
        assert!(used.at_end());
        assert_eq!(fresh.read(&mut [0]).unwrap_or(0), 0);
        server.ended_well();
    }
}

fn drains(case: Case, signal: Signal) {
    let site = Site::new();
    let pattern = Pattern(seed(case.name));
    site.fill("big", pattern, LENGTH as u64);
    let server = Launch::new(case, site.root()).start();
    let mut client = server.connect();
    client.ask("/big");
    assert_eq!(client.head().status, 200);
    server.process.signal(signal);
    let address = server.address;
    assert!(eventually(|| TcpStream::connect(address).is_err()), "still listening");
    assert!(pattern.is_at(0, &client.content(LENGTH)));
    assert!(client.at_end());
    server.ended_well();
}

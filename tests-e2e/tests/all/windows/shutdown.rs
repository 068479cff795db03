//! Ctrl-C: what is in flight is finished, then the program ends well; a second one ends it at once.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::site::{Pattern, Site};
use crate::support::wine::{ended_with, under_wine};
use crate::support::{eventually, seed};

/// More than fits into the socket's buffers, so that it is in flight until it is read.
const LENGTH: usize = 64 << 20;

under_wine! {
    /// A download in flight comes to its end, new connections are refused, idle ones closed.
    fn ctrl_c_drains(wine: Wine) {
        let site = Site::new();
        let pattern = Pattern(seed(wine.case.name));
        site.fill("big", pattern, LENGTH as u64);
        site.write("file", "content");
        let server = wine.serve(site.root(), 2, &["--drain", "600s"]);
        let mut idle = server.connect();
        assert_eq!(idle.get("/file").text(), "content");
        let mut client = server.connect();
        client.ask("/big");
        assert_eq!(client.head().status, 200);
        server.process.signal(Signal::INT);
        assert!(idle.at_end());
        let address = server.address;
        assert!(eventually(|| TcpStream::connect(address).is_err()), "still listening");
        assert!(pattern.is_at(0, &client.content(LENGTH)));
        assert!(client.at_end());
        ended_with(server, 0);
    }

    /// Whoever asks twice does not want to wait for a client that does not read.
    fn a_second_ctrl_c_ends_at_once(wine: Wine) {
        let site = Site::new();
        site.fill("big", Pattern(1), LENGTH as u64);
        site.write("file", "content");
        let server = wine.serve(site.root(), 2, &["--drain", "600s"]);
        let mut idle = server.connect();
        assert_eq!(idle.get("/file").text(), "content");
        let mut client = server.connect();
        client.ask("/big");
        assert_eq!(client.head().status, 200);
        server.process.signal(Signal::INT);
        // Closed when the first has been heard of.
        assert!(idle.at_end());
        server.process.signal(Signal::INT);
        ended_with(server, 130);
    }

    /// Connections that don't end in the time given for it are cut off, which the exit code tells.
    fn what_does_not_end_is_cut_off(wine: Wine) {
        let site = Site::new();
        site.fill("big", Pattern(1), LENGTH as u64);
        let server = wine.serve(site.root(), 2, &["--drain", "100ms"]);
        let mut client = server.connect();
        client.ask("/big");
        assert_eq!(client.head().status, 200);
        server.process.signal(Signal::INT);
        let ended = ended_with(server, 3);
        assert!(ended.errors.contains("did not end"), "{}", ended.errors);
        client.end_is_reached();
    }
}

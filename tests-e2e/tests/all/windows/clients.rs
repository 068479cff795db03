//! Clients that are silent, slow or too many: the others are served all the same.

use std::net::TcpStream;

use crate::support::http::Client;
use crate::support::server::Server;
use crate::support::site::{Pattern, Site};
use crate::support::wine::under_wine;
use crate::support::{eventually, seed};

/// Far more than a listener has accepts posted.
const SILENT: usize = 300;

/// More than fits into any socket's buffers.
const LARGE: usize = 16 << 20;

under_wine! {
    /// Some connect and send nothing, some half a head, some ask and don't read. Accepts wait for none of them.
    fn those_who_wait_keep_nobody_else_waiting(wine: Wine) {
        let site = Site::new();
        let pattern = Pattern(seed(wine.case.name));
        site.write("file", "content");
        site.fill("large", pattern, LARGE as u64);
        let server = wine.serve(site.root(), 2, &["--header-timeout", "600s", "--idle-timeout", "600s"]);
        let silent: Vec<TcpStream> =
            (0..SILENT).map(|_| TcpStream::connect(server.address).expect("it listens")).collect();
        serves(&server, 20);
        let mut halves: Vec<Client> = (0..100).map(|_| server.connect()).collect();
        halves.iter_mut().for_each(|client| client.send(b"GET /file HTTP/1.1\r\nHos"));
        let mut readers: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        for client in &mut readers {
            client.ask("/large");
            assert_eq!(client.head().status, 200);
        }
        serves(&server, 20);
        // And they are served when they go on.
        for client in &mut halves {
            client.send(b"t: localhost\r\n\r\n");
            assert_eq!(client.response().text(), "content");
        }
        let mut reader = readers.pop().expect("there are some");
        let mut body = vec![0; LARGE];
        let mut length = 0;
        while length < LARGE {
            match reader.read(&mut body[length..]).expect("the rest comes") {
                0 => panic!("cut off after {length} bytes"),
                more => length += more,
            }
        }
        assert!(pattern.is_at(0, &body));
        drop((silent, readers));
        serves(&server, 20);
        server.interrupt();
    }

    /// A head that does not end, and a connection without one, are ended by the server.
    fn slow_connections_are_ended(wine: Wine) {
        let site = Site::new();
        site.write("file", "content");
        let limits = ["--header-timeout=300ms", "--body-timeout=300ms", "--idle-timeout=300ms"];
        let server = wine.serve(site.root(), 2, &limits);
        let mut silent = server.connect();
        let mut slow = server.connect();
        slow.send(b"GET /file HTTP/1.1\r\nHos");
        let mut body = server.connect();
        body.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
        // Reading waits for the server's decision; a hang is the failure.
        assert!(silent.ended_with_408());
        assert!(slow.ended_with_408());
        body.end_is_reached();
        serves(&server, 1);
        server.interrupt();
    }

    /// One connection too many is told so, and there is room again when another has gone.
    fn the_cap_is_told_and_then_lifted(wine: Wine) {
        let site = Site::new();
        site.write("file", "content");
        let server = wine.serve(site.root(), 2, &["--max-connections=2"]);
        let (mut first, mut second) = (server.connect(), server.connect());
        assert_eq!(first.get("/file").text(), "content");
        assert_eq!(second.get("/file").text(), "content");
        let mut third = server.connect();
        let _ = third.try_send(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(third.response().head.status, 503);
        assert_eq!(first.get("/file").text(), "content");
        drop(second);
        let served = eventually(|| {
            let mut client = server.connect();
            client.try_send(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok() && client.response().head.status == 200
        });
        assert!(served, "no room after a connection has gone");
        server.interrupt();
    }

    /// Those who break off in the middle of a file, with a reset, leave the server as it was.
    fn downloads_that_are_broken_off_do_no_harm(wine: Wine) {
        let site = Site::new();
        site.write("file", "content");
        site.fill("large", Pattern(1), LARGE as u64);
        // Wine doesn't always tell of a reset; the limit on idleness ends those that it keeps to itself.
        let server = wine.serve(site.root(), 2, &["--idle-timeout", "1s", "--drain", "600s"]);
        for _ in 0..50 {
            let mut client = server.connect();
            client.ask("/large");
            assert_eq!(client.head().status, 200);
            client.reset();
        }
        serves(&server, 20);
        server.interrupt();
    }
}

/// So many new clients are answered.
fn serves(server: &Server, clients: usize) {
    for _ in 0..clients {
        assert_eq!(server.get("/file").text(), "content");
    }
}

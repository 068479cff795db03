//! Requests that are wrong, odd or slow: the right status over real sockets, and a server that goes on.

use crate::support::case::on_both_drivers;
use crate::support::server::Launch;
use crate::support::site::{Pattern, Site};

/// After these nobody can tell where the next request begins: answered, then closed.
const CLOSING: &[(&str, &[u8], u16)] = &[
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ("folded field", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400),
    ("bare LF", b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    ("blank before colon", b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    (
        "two framings",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("two lengths", b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    ("a signed length", b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\nx", 400),
    ("NUL in a field", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: \0\r\n\r\n", 400),
    ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("no version", b"GET /\r\n\r\n", 400),
    ("another version", b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
    ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
];

/// These are understood, and refused.
const REFUSED: &[(&str, &[u8], u16)] = &[
    ("a truncated escape", b"GET /%4 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("no escape", b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("an escaped NUL", b"GET /file%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("another method", b"DELETE /file HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("an unknown method", b"BREW /file HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("a missing file", b"GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("a stranger's host name", b"GET /file HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 421),
];

on_both_drivers! {
    /// The table of wrong requests, whole and one byte at a time.
    fn wrong_requests_get_their_status(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let server = Launch::new(case, site.root()).start();
        for (closing, table) in [(true, CLOSING), (false, REFUSED)] {
            for (what, request, status) in table {
                for step in [request.len(), 1] {
                    let mut client = server.connect();
                    for piece in request.chunks(step) {
                        // It may have been answered and closed before its last byte.
                        if client.try_send(piece).is_err() {
                            break;
                        }
                    }
                    let answer = client.response();
                    let got = answer.head.status;
                    let misdirected = *status == 421 && [400, 403].contains(&got);
                    assert!(got == *status || misdirected, "{what}: {got}");
                    let allow = answer.head.field("allow").unwrap_or_default();
                    assert_eq!(got == 405, allow.contains("GET") && allow.contains("HEAD"), "{what}");
                    assert!(!closing || client.at_end(), "{what}: not closed");
                }
            }
        }
        assert_eq!(server.get("/file").text(), "content");
        server.stop();
    }

    /// Too long a target or head: the status arrives although there is more that nobody reads.
    fn endless_heads_are_cut_off(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let server = Launch::new(case, site.root()).start();
        let long = "x".repeat(200_000);
        let fields = "A: b\r\n".repeat(20_000);
        for (request, status) in [
            (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414),
            (format!("GET / HTTP/1.1\r\nHost: localhost\r\nA: {long}\r\n\r\n"), 431),
            (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"), 431),
        ] {
            let mut client = server.connect();
            let _ = client.try_send(request.as_bytes());
            let answer = client.response();
            assert_eq!(answer.head.status, status);
        }
        assert_eq!(server.get("/file").text(), "content");
        server.stop();
    }

    /// Good requests in odd forms are answered as usual.
    fn odd_requests_are_served(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let server = Launch::new(case, site.root()).start();
        for request in [
            &b"\r\nGET /file HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            b"GET /file HTTP/1.1\r\nhOST:localhost \t\r\n\r\n",
            b"GET /file?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /%66ile HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET http://localhost/file HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /file HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
            b"GET /file HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            let mut client = server.connect();
            for byte in request.chunks(1) {
                client.send(byte);
            }
            let context = String::from_utf8_lossy(request);
            assert_eq!(client.response().text(), "content", "{context}");
            assert_eq!(client.get("/file").text(), "content", "after {context}");
        }
        let mut old = server.connect();
        old.send(b"GET /file HTTP/1.0\r\n\r\n");
        assert_eq!(old.response().text(), "content");
        assert!(old.at_end(), "HTTP/1.0 ends with its answer");
        let mut last = server.connect();
        last.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(last.response().text(), "content");
        assert!(last.at_end());
        server.stop();
    }

    /// One range of a file (RFC 9110, section 14), or the whole of it.
    fn ranges_are_exact(case: Case) {
        const LENGTH: usize = 1000;
        let site = Site::new();
        let bytes = Pattern(9).bytes(LENGTH);
        site.write("file", &bytes);
        site.write("empty", "");
        let server = Launch::new(case, site.root()).start();
        let mut client = server.connect();
        let table: &[(&str, u16, std::ops::Range<usize>)] = &[
            ("bytes=0-0", 206, 0..1),
            ("bytes=10-19", 206, 10..20),
            ("bytes=999-", 206, 999..LENGTH),
            ("bytes=-1", 206, 999..LENGTH),
            ("bytes=-2000", 206, 0..LENGTH),
            ("bytes=990-2000", 206, 990..LENGTH),
            ("bytes=990-99999999999999999999999999", 206, 990..LENGTH),
            ("bytes=-0", 416, 0..0),
            ("bytes=1000-", 416, 0..0),
            ("bytes=1000-1001", 416, 0..0),
            ("bytes=99999999999999999999999999-", 416, 0..0),
            // Not ranges: ignored (section 14.2).
            ("bytes=20-10", 200, 0..LENGTH),
            ("bytes=a-b", 200, 0..LENGTH),
            ("bytes=-", 200, 0..LENGTH),
            ("bytes=", 200, 0..LENGTH),
            ("lines=1-2", 200, 0..LENGTH),
            // Several ranges may be answered with the whole.
            ("bytes=0-1,5-6", 200, 0..LENGTH),
        ];
        for (range, status, part) in table {
            let request = format!("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: {range}\r\n\r\n");
            client.send(request.as_bytes());
            let answer = client.response();
            assert_eq!(answer.head.status, *status, "{range}");
            let content_range = answer.head.field("content-range");
            match status {
                206 => {
                    let expected = format!("bytes {}-{}/{LENGTH}", part.start, part.end - 1);
                    assert_eq!(content_range, Some(expected.as_str()), "{range}");
                    assert!(answer.body == bytes[part.clone()], "{range}");
                }
                416 => assert_eq!(content_range, Some("bytes */1000"), "{range}"),
                _ => assert!(content_range.is_none() && answer.body == bytes, "{range}"),
            }
        }
        client.send(b"HEAD /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = client.head();
        assert_eq!((head.status, head.length()), (200, LENGTH as u64));
        assert_eq!(head.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(client.get("/empty").body, b"", "and HEAD had no content");
        server.stop();
    }

    /// A head that does not end, and a connection without one, are ended by the server.
    fn slow_connections_are_ended(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let server = Launch::new(case, site.root())
            .argument("--header-timeout=300ms")
            .argument("--body-timeout=300ms")
            .argument("--idle-timeout=300ms")
            .start();
        let mut silent = server.connect();
        let mut slow = server.connect();
        slow.send(b"GET /file HTTP/1.1\r\nHos");
        let mut body = server.connect();
        body.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
        let mut idle = server.connect();
        assert_eq!(idle.get("/file").text(), "content");
        // Reading waits for the server's decision; a hang is the failure.
        assert!(silent.ended_with_408());
        assert!(slow.ended_with_408());
        assert!(idle.ended_with_408());
        body.end_is_reached();
        assert_eq!(server.get("/file").text(), "content");
        server.stop();
    }

    /// One connection too many is told so, and there is room again when another has gone.
    fn the_cap_is_told_and_then_lifted(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let server = Launch::new(case, site.root()).argument("--max-connections=2").start();
        let mut first = server.connect();
        let mut second = server.connect();
        assert_eq!(first.get("/file").text(), "content");
        assert_eq!(second.get("/file").text(), "content");
        let mut third = server.connect();
        let _ = third.try_send(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(third.response().head.status, 503);
        assert!(third.at_end());
        assert_eq!(first.get("/file").text(), "content");
        drop(second);
        let served = crate::support::eventually(|| {
            let mut client = server.connect();
            client.try_send(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok()
                && client.response().head.status == 200
        });
        assert!(served, "no room after a connection has gone");
        server.stop();
    }
}

//! Large files: TransmitFile sends them, whole and by parts, to one and to a hundred.

use std::sync::Barrier;
use std::thread;

use crate::downloads::{by_ranges, whole};
use crate::support::seed;
use crate::support::server::Server;
use crate::support::site::{Pattern, Site};
use crate::support::wine::under_wine;

/// No multiple of any buffer.
const LENGTH: u64 = (256 << 20) + 12_345;

under_wine! {
    /// Twice the same digest; and every byte went by TransmitFile, as the port counts them.
    fn a_big_file(wine: Wine) {
        if !wine.case.has("curl") {
            return;
        }
        let site = Site::new();
        let expected = site.fill("big.bin", Pattern(seed(wine.case.name)), LENGTH);
        let server = wine.serve(site.root(), 2, &["--metrics", "127.0.0.1:0"]);
        let url = server.url("/big.bin");
        assert_eq!(whole(&url), expected, "whole");
        assert_eq!(sent_from_files(&server), LENGTH);
        assert_eq!(by_ranges(&url, LENGTH), expected, "by ranges");
        assert_eq!(sent_from_files(&server), 2 * LENGTH);
        server.interrupt();
    }

    /// A hundred clients that are connected before any asks, each for its own part of a large file and for a small one.
    fn a_hundred_clients_at_once(wine: Wine) {
        const CLIENTS: u64 = 100;
        const PART: u64 = 300_000;
        let site = Site::new();
        let pattern = Pattern(seed(wine.case.name));
        site.fill("large", pattern, CLIENTS * PART);
        site.fill("small", pattern, 1000);
        let server = wine.serve(site.root(), 2, &[]);
        let connected = Barrier::new(CLIENTS as usize);
        thread::scope(|scope| {
            for index in 0..CLIENTS {
                let (server, connected) = (&server, &connected);
                scope.spawn(move || {
                    let mut client = server.connect();
                    connected.wait();
                    for _ in 0..3 {
                        let (from, to) = (index * PART, (index + 1) * PART - 1);
                        let fields = format!("Host: localhost\r\nRange: bytes={from}-{to}");
                        client.send(format!("GET /large HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes());
                        let answer = client.response();
                        assert_eq!((answer.head.status, answer.body.len() as u64), (206, PART));
                        assert!(pattern.is_at(from, &answer.body), "client {index}");
                        assert!(pattern.is_at(0, &client.get("/small").body), "client {index}");
                    }
                });
            }
        });
        server.interrupt();
    }
}

/// How many bytes the workers' ports have sent from files without having to fetch them first: all of them by TransmitFile.
fn sent_from_files(server: &Server) -> u64 {
    let values = server.samples("ostia_port_file_bytes_cached_total");
    assert_eq!(values.len(), 2, "one of each worker");
    values.iter().sum()
}

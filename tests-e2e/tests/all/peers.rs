//! Peers that misbehave: resets, half-closing, not reading. The others are served on.

use crate::support::case::on_both_drivers;
use crate::support::server::Launch;
use crate::support::site::{Pattern, Site};
use crate::support::{Random, eventually, scaled, seed};

const BIG: usize = 16 << 20;

on_both_drivers! {
    /// Connections reset before, during and after an answer leave nothing behind.
    fn resets_are_survived(case: Case) {
        let site = Site::new();
        let pattern = Pattern(seed(case.name));
        site.fill("big", pattern, BIG as u64);
        let server = Launch::new(case, site.root()).start();
        assert_eq!(server.get("/big").body.len(), BIG);
        let mut random = Random(seed(case.name));
        let mut highest = 0;
        for _ in 0..scaled(200, 2_000) {
            let mut client = server.connect();
            match random.below(4) {
                0 => {}
                1 => client.send(b"GET /big HT"),
                2 => client.ask("/big"),
                _ => {
                    client.ask("/big");
                    let mut some = vec![0; 1 + random.below(1 << 18) as usize];
                    client.read(&mut some).expect("some of it comes");
                }
            }
            client.reset();
            highest = highest.max(server.process.descriptors());
        }
        assert!(pattern.is_at(0, &server.get("/big").body));
        // A connection has a descriptor. Those of 200 resets must go away.
        let few = server.process.descriptors().min(40);
        assert!(
            eventually(|| server.process.descriptors() <= few.max(40)),
            "{} descriptors are left of at most {highest}",
            server.process.descriptors()
        );
        server.stop();
    }

    /// A peer that has sent FIN after its request still gets the whole answer, then FIN.
    fn a_half_closed_peer_gets_its_answer(case: Case) {
        let site = Site::new();
        let pattern = Pattern(seed(case.name));
        site.fill("big", pattern, BIG as u64);
        let server = Launch::new(case, site.root()).start();
        for _ in 0..scaled(10, 100) {
            let mut client = server.connect();
            client.ask("/big");
            client.half_close();
            assert!(pattern.is_at(0, &client.response().body));
            assert!(client.at_end());
        }
        server.stop();
    }

    /// Three requests in one piece followed by FIN: three answers, in order.
    fn pipelined_requests_before_a_half_close_are_all_answered(case: Case) {
        let site = Site::new();
        for name in ["a", "b", "c"] {
            site.write(name, name.repeat(1000));
        }
        let server = Launch::new(case, site.root()).start();
        let mut client = server.connect();
        let request = |path| format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.send(["a", "b", "c"].map(request).concat().as_bytes());
        client.half_close();
        for name in ["a", "b", "c"] {
            assert_eq!(client.response().text(), name.repeat(1000));
        }
        assert!(client.at_end());
        server.stop();
    }

    /// Readers that stop hold up nobody, and get the rest when they go on.
    fn a_reader_that_stops_holds_up_nobody(case: Case) {
        let site = Site::new();
        let pattern = Pattern(seed(case.name));
        site.fill("big", pattern, BIG as u64);
        site.write("small", "small");
        let server = Launch::new(case, site.root()).workers(1).start();
        let mut stopped: Vec<_> = (0..scaled(20, 200))
            .map(|_| {
                let mut client = server.connect();
                client.ask("/big");
                assert_eq!(client.head().status, 200);
                client
            })
            .collect();
        for _ in 0..scaled(50, 500) {
            assert_eq!(server.get("/small").body, b"small");
        }
        let mut other = server.connect();
        assert!(pattern.is_at(0, &other.get("/big").body));
        // A sample goes on to the end; the others are dropped in the middle.
        for client in stopped.iter_mut().take(5) {
            let mut body = vec![0; BIG];
            let mut length = 0;
            while length < BIG {
                match client.read(&mut body[length..]).expect("the rest comes") {
                    0 => panic!("ended after {length} bytes"),
                    more => length += more,
                }
            }
            assert!(pattern.is_at(0, &body));
            assert_eq!(client.get("/small").body, b"small");
        }
        drop(stopped);
        assert_eq!(server.get("/small").body, b"small");
        server.stop();
    }
}

//! Names resolved by asking DNS servers: what they answer, and what they do instead of answering.

#[path = "../common/mod.rs"]
mod common;

mod server;
mod stacks;

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use common::on_each;
use ostia::net::{Dns, DnsOptions, Endpoint, FailureKind, Listener, NetError, Network, Resolver, UdpSocket};
use ostia::time::{sleep, timeout};
use server::{Asked, Server};
use simple_dns::RCODE;

/// Answers come at once or never: nobody who answers is too late, on however busy a machine, except where a test is about that.
fn patient() -> DnsOptions {
    let patience = Duration::from_secs(30);
    DnsOptions { timeout: patience, other_family: patience, rounds: 1, ..DnsOptions::default() }
}

/// For servers that never answer.
fn hasty() -> DnsOptions {
    DnsOptions { timeout: Duration::from_millis(50), other_family: Duration::from_secs(30), ..DnsOptions::default() }
}

/// Waits for what the server's tasks have to do yet.
async fn until(done: impl Fn() -> bool, what: &str) {
    for _ in 0..20_000 {
        if done() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("never came: {what}");
}

fn resolver(server: &Server, options: DnsOptions) -> Resolver {
    Dns::with_options(vec![server.address], options).into()
}

async fn resolve(resolver: &Resolver, name: &str) -> io::Result<Vec<String>> {
    Ok(resolver.resolve(name, 80).await?.iter().map(|found| found.ip().to_string()).collect())
}

/// The words of the failure.
async fn failure(resolver: &Resolver, name: &str) -> (FailureKind, String) {
    let error = resolve(resolver, name).await.expect_err(name);
    let known = NetError::of(&error).unwrap_or_else(|| panic!("unnamed: {error}"));
    assert_eq!(known.address(), name);
    (known.kind(), error.to_string())
}

#[test]
fn addresses_of_both_families_come_in_the_servers_order() {
    on_each(|| async {
        let server = Server::start(|asked| asked.with(&["127.0.0.9", "::1", "127.0.0.8"]));
        let resolver = resolver(&server, patient());
        let found = resolve(&resolver, "Both.Example.").await.expect("found");
        let v4: Vec<&String> = found.iter().filter(|ip| ip.starts_with("127")).collect();
        assert_eq!(v4, ["127.0.0.9", "127.0.0.8"]);
        assert_eq!(found.len(), 3);
        // IPv6 comes first where there is a way to it.
        let v6 = UdpSocket::bind("[::]:0".parse().expect("address"))
            .and_then(|socket| socket.connect("[::1]:53".parse().expect("address")));
        assert_eq!(found[if v6.is_ok() { 0 } else { 2 }], "::1");
        let asked = server.asked();
        assert_eq!(asked.len(), 2);
        assert!(asked.iter().all(|asked| asked.name == "both.example" && !asked.tcp));
        assert_ne!(asked[0].v6, asked[1].v6);
        // Each question has a port of its own.
        assert_ne!(asked[0].from, asked[1].from);
    });
}

#[test]
fn a_connect_by_name_goes_where_the_server_says() {
    on_each(|| async {
        let mut listener = Listener::bind(&"127.0.0.1:0".parse().expect("endpoint")).expect("bind");
        let port = listener.local_addr().expect("address").ip().expect("IP").port();
        let server = Server::start(|asked| asked.with(&["127.0.0.1"]));
        let network = Network::kernel().with_resolver(Dns::with_options(vec![server.address], patient()));
        let connecting =
            ostia::spawn(async move { network.connect(&Endpoint::Name("harbour.example".to_owned(), port)).await.map(drop) });
        listener.accept().await.expect("accept");
        connecting.await.expect("no panic").expect("connect");
    });
}

#[test]
fn aliases_are_followed_and_asked_for() {
    on_each(|| async {
        let server = Server::start(|asked| {
            let reply = asked.reply();
            vec![
                match asked.name.as_str() {
                    // The whole way in one answer, in no order.
                    "www.example" if !asked.v6 => reply
                        .address("c.example", Ipv4Addr::new(192, 0, 2, 7).into(), 3600)
                        .alias("B.example", "c.EXAMPLE", 3600)
                        .alias("www.example", "b.example", 3600)
                        .address("other.example", Ipv4Addr::new(192, 0, 2, 66).into(), 3600),
                    // A way that ends outside of the answer.
                    "far.example" => reply.alias("far.example", "near.example", 3600),
                    "near.example" if !asked.v6 => reply.address("near.example", Ipv4Addr::new(192, 0, 2, 8).into(), 3600),
                    _ => reply.zone(60),
                }
                .bytes(),
            ]
        });
        let resolver = resolver(&server, patient());
        assert_eq!(resolve(&resolver, "www.example").await.expect("found"), ["192.0.2.7"]);
        assert_eq!(resolve(&resolver, "far.example").await.expect("found"), ["192.0.2.8"]);
        assert!(server.asked().iter().any(|asked| asked.name == "near.example"));
    });
}

#[test]
fn aliases_in_a_circle_or_without_end_are_given_up() {
    on_each(|| async {
        let server = Server::start(|asked| {
            let reply = asked.reply();
            let next = |text: &str| format!("{}.{text}", text.len());
            vec![
                match asked.name.as_str() {
                    "self.example" => reply.alias("self.example", "self.example", 60),
                    "a.example" => reply.alias("a.example", "b.example", 60).alias("b.example", "a.example", 60),
                    "one.example" => reply.alias("one.example", "two.example", 60),
                    "two.example" => reply.alias("two.example", "one.example", 60),
                    endless => reply.alias(endless, &next(endless), 60),
                }
                .bytes(),
            ]
        });
        let resolver = resolver(&server, patient());
        for name in ["self.example", "a.example", "one.example"] {
            let (kind, text) = failure(&resolver, name).await;
            assert!(kind == FailureKind::NameNotFound && text.contains("circle"), "{text}");
        }
        let before = server.asked().len();
        let (_, text) = failure(&resolver, "far").await;
        assert!(text.contains("too many aliases"), "{text}");
        assert!(server.asked().len() - before <= 2 * 17);
    });
}

#[test]
fn what_was_cut_is_asked_for_over_tcp() {
    on_each(|| async {
        let many: Vec<String> = (1..=30).map(|last| format!("192.0.2.{last}")).collect();
        let told = many.clone();
        let server = Server::start(move |asked| match asked.tcp {
            false => vec![asked.reply().address(&asked.name, Ipv4Addr::new(192, 0, 2, 66).into(), 60).cut().bytes()],
            true => asked.with(&told.iter().map(String::as_str).collect::<Vec<_>>()),
        });
        assert_eq!(resolve(&resolver(&server, patient()), "many.example").await.expect("found"), many);
        let server = Server::start(|asked| if asked.tcp { vec![] } else { vec![asked.reply().cut().bytes()] });
        let (kind, text) = failure(&resolver(&server, patient()), "closed.example").await;
        assert!(kind == FailureKind::NoNameServer && text.contains("closed the connection"), "{text}");
        let server = Server::start(|asked| vec![asked.reply().cut().bytes()]);
        let (_, text) = failure(&resolver(&server, patient()), "cut.example").await;
        assert!(text.contains("cut over TCP too"), "{text}");
    });
}

#[test]
fn a_silent_server_is_asked_again_and_then_named() {
    on_each(|| async {
        let silent = Server::start(|_| Vec::new());
        let (kind, text) = failure(&resolver(&silent, hasty()), "x.example").await;
        assert_eq!(kind, FailureKind::NoNameServer);
        assert!(text.contains(&silent.address.to_string()) && text.contains("no answer within 100ms"), "{text}");
        until(|| silent.asked().len() == 4, "each family in each round").await;
        let ids: std::collections::BTreeSet<u16> = silent.asked().iter().map(|asked| asked.id).collect();
        assert!(ids.len() > 1, "identifiers differ");
    });
}

#[test]
fn the_next_server_is_asked_where_one_fails() {
    on_each(|| async {
        let good = Server::start(|asked| asked.with(&["192.0.2.1"]));
        // A port that nothing listens on: the kernel says so at once.
        let closed = UdpSocket::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        let nobody = closed.local_addr().expect("address");
        closed.close().await.expect("closed");
        let failing: Vec<Server> = [RCODE::ServerFailure, RCODE::Refused, RCODE::NotImplemented, RCODE::FormatError]
            .map(|code| Server::start(move |asked: &Asked| vec![asked.reply().code(code).bytes()]))
            .into();
        let referring = Server::start(|asked| vec![asked.reply().referral().bytes()]);
        let mut servers: Vec<SocketAddr> = failing.iter().map(|server| server.address).collect();
        servers.push(referring.address);
        let mut words = vec!["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR", "refers to other servers"];
        if !common::wine_lacks("the_next_server_is_asked_where_one_fails/closed", "word that nobody listens on a port of UDP") {
            servers.push(nobody);
            words.push("nothing listens there");
        }
        let (kind, text) = failure(&Dns::with_options(servers.clone(), patient()).into(), "x.example").await;
        assert_eq!(kind, FailureKind::NoNameServer);
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        servers.push(good.address);
        let resolver: Resolver = Dns::with_options(servers, patient()).into();
        assert_eq!(resolve(&resolver, "x.example").await.expect("found"), ["192.0.2.1"]);
    });
}

#[test]
fn only_the_answer_to_the_question_counts() {
    on_each(|| async {
        let lies = |asked: &Asked| {
            let lie = |reply: server::Reply| reply.address(&asked.name, Ipv4Addr::new(192, 0, 2, 66).into(), 60).bytes();
            vec![
                lie(asked.reply().id(asked.id ^ 1)),
                lie(asked.reply().question("other.example")),
                b"garbage".to_vec(),
                Vec::new(),
                vec![0xff; 4097],
                // A question is no answer.
                {
                    let mut question = lie(asked.reply());
                    question[2] &= 0x7f;
                    question
                },
                // More records than fit.
                {
                    let mut message = asked.reply().bytes();
                    message[6..10].fill(0xff);
                    message
                },
            ]
        };
        let server = Server::start(move |asked| {
            let mut answers = lies(asked);
            answers.extend(asked.with(&["192.0.2.1"]));
            answers
        });
        assert_eq!(resolve(&resolver(&server, patient()), "x.example").await.expect("found"), ["192.0.2.1"]);
        let liar = Server::start(lies);
        let options = DnsOptions { rounds: 1, timeout: Duration::from_secs(2), ..hasty() };
        let (_, text) = failure(&resolver(&liar, options), "x.example").await;
        assert!(text.contains("answered something else"), "{text}");
        // Addresses of other names are nobody's.
        let stranger =
            Server::start(|asked| vec![asked.reply().address("other.example", Ipv4Addr::new(192, 0, 2, 66).into(), 60).bytes()]);
        let (kind, _) = failure(&resolver(&stranger, patient()), "x.example").await;
        assert_eq!(kind, FailureKind::NameNotFound);
    });
}

#[test]
fn somebody_elses_answer_is_not_heard() {
    on_each(|| async {
        let spoofer = Rc::new(UdpSocket::bind("127.0.0.1:0".parse().expect("address")).expect("bind"));
        let sender = spoofer.clone();
        let server = Server::start(move |asked| {
            let lie = asked.reply().address(&asked.name, Ipv4Addr::new(192, 0, 2, 66).into(), 60).bytes();
            sender.try_send_to(&lie, asked.from).expect("sent");
            asked.with(&["192.0.2.1"])
        });
        assert_eq!(resolve(&resolver(&server, patient()), "x.example").await.expect("found"), ["192.0.2.1"]);
    });
}

#[test]
fn answers_are_kept_as_long_as_they_say() {
    on_each(|| async {
        let server = Server::start(|asked| {
            let reply = asked.reply();
            let address = Ipv4Addr::new(192, 0, 2, 1).into();
            let ttl = match asked.name.as_str() {
                "long.example" => 3600,
                "second.example" => 1,
                // The first bit set: no time at all.
                "odd.example" => u32::MAX,
                _ => 0,
            };
            let reply = match (asked.name.as_str(), asked.v6) {
                ("missing.example", _) => reply.code(RCODE::NameError).zone(60),
                ("unkept.example", _) => reply.code(RCODE::NameError),
                // The alias holds for less long than what it is for.
                ("alias.example", false) => reply.alias("alias.example", "long.example", 0).address("long.example", address, 60),
                (_, true) => reply.zone(3600),
                (name, false) => reply.address(name, address, ttl),
            };
            vec![reply.bytes()]
        });
        let resolver = resolver(&server, patient());
        let count = |name: &str| server.asked().iter().filter(|asked| asked.name == name && !asked.v6).count();
        for name in ["long.example", "none.example", "odd.example", "alias.example", "second.example"] {
            assert_eq!(resolve(&resolver, name).await.expect(name), ["192.0.2.1"]);
        }
        sleep(Duration::from_millis(1100)).await;
        for name in ["LONG.example.", "none.example", "odd.example", "alias.example", "second.example"] {
            assert_eq!(resolve(&resolver, name).await.expect(name), ["192.0.2.1"]);
        }
        let counts = ["long.example", "none.example", "odd.example", "alias.example", "second.example"].map(count);
        assert_eq!(counts, [1, 2, 2, 2, 2]);
        for name in ["missing.example", "unkept.example"].repeat(2) {
            let (kind, text) = failure(&resolver, name).await;
            assert!(kind == FailureKind::NameNotFound && text.contains("NXDOMAIN"), "{text}");
        }
        assert_eq!((count("missing.example"), count("unkept.example")), (1, 2));
    });
}

#[test]
fn a_name_without_addresses_is_no_failure_of_the_servers() {
    on_each(|| async {
        let server = Server::start(|asked| vec![asked.reply().zone(60).bytes()]);
        let (kind, text) = failure(&resolver(&server, patient()), "mail.example").await;
        assert!(kind == FailureKind::NameNotFound && text.contains("has no address"), "{text}");
        let (kind, text) = failure(&resolver(&server, patient()), "not a name").await;
        assert!(kind == FailureKind::NameNotFound && text.contains("letters, digits, hyphens"), "{text}");
    });
}

#[test]
fn a_family_that_is_not_answered_for_does_not_keep_the_other() {
    on_each(|| async {
        // Some servers drop questions for IPv6.
        let server = Server::start(|asked| if asked.v6 { Vec::new() } else { asked.with(&["192.0.2.1"]) });
        let options = DnsOptions { timeout: Duration::from_secs(3600), other_family: Duration::from_millis(20), ..patient() };
        let resolver = resolver(&server, options);
        let found = timeout(Duration::from_secs(60), resolve(&resolver, "x.example")).await.expect("not for an hour");
        assert_eq!(found.expect("found"), ["192.0.2.1"]);
    });
}

#[test]
fn a_search_that_is_dropped_leaves_nothing_behind() {
    on_each(|| async {
        let answering = Rc::new(Cell::new(false));
        let answers = answering.clone();
        let server = Server::start(move |asked| if answers.get() { asked.with(&["192.0.2.1"]) } else { Vec::new() });
        let resolver = resolver(&server, patient());
        let given_up = timeout(Duration::from_millis(20), resolve(&resolver, "x.example")).await;
        assert!(given_up.is_err());
        // The questions have come, though nobody waits for answers.
        until(|| server.asked().len() == 2, "both questions").await;
        answering.set(true);
        assert_eq!(resolve(&resolver, "x.example").await.expect("found"), ["192.0.2.1"]);
    });
}

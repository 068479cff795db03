//! The same over two TCP/IP stacks in this process: every question and answer goes over a link in memory.

use std::net::SocketAddr;

use ostia::net::{Dns, Endpoint, Listener, Network};
use ostia_link::{MemoryConfig, memory};
use ostia_net::{NetConfig, StackEngine};

use crate::common::on_each;
use crate::patient;
use crate::server::Server;

fn network(link: impl ostia_link::Link + 'static, address: &str, seed: u8) -> Network {
    let config = NetConfig::new([seed; 32]).with_address(address.parse().expect("address"), 24);
    Network::of_engine(Box::new(StackEngine::new(Box::new(link), &config).expect("a stack"))).expect("a network")
}

#[test]
fn a_stack_asks_over_itself() {
    on_each(|| async {
        let (here, there) = memory::pair(&MemoryConfig::default());
        let (here, there) = (network(here, "10.7.0.1", 1), network(there, "10.7.0.2", 2));
        let place: SocketAddr = "10.7.0.2:80".parse().expect("address");
        let (server, mut listener) = there
            .scope(async {
                let server = Server::start_at("10.7.0.2:53".parse().expect("address"), |asked| match asked.tcp {
                    // One family by datagrams, the other by a connection.
                    false if asked.v6 => vec![asked.reply().cut().bytes()],
                    _ => asked.with(&["10.7.0.2", "fd07::2"]),
                });
                (server, Listener::bind(&Endpoint::from(place)).expect("bind"))
            })
            .await;
        let here = here.with_resolver(Dns::with_options(vec![server.address], patient()));
        // Not in its scope: the resolver asks over the network that it is of all the same.
        let found = here.resolve(&"harbour.example:80".parse().expect("endpoint")).await.expect("found");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.7.0.2:80", "[fd07::2]:80"], "the stack has no way to the other");
        let asked = server.asked();
        assert!(asked.len() == 3 && asked.iter().all(|asked| asked.from.ip() == SocketAddr::from(([10, 7, 0, 1], 1)).ip()));
        let stream = here.scope(async { ostia::net::Stream::connect(&"harbour.example:80".parse().expect("endpoint")).await });
        let (stream, accepted) = crate::common::join(stream, listener.accept()).await;
        let mut stream = stream.expect("connect");
        accepted.expect("accept").send("ahoy").await.expect("sent");
        assert_eq!(stream.recv().await.expect("received").as_deref(), Some(&b"ahoy"[..]));
    });
}

#[test]
fn a_host_without_a_server_says_so_at_once() {
    on_each(|| async {
        let (here, there) = memory::pair(&MemoryConfig::default());
        let (here, _there) = (network(here, "10.7.0.1", 1), network(there, "10.7.0.2", 2));
        let nobody: SocketAddr = "10.7.0.2:53".parse().expect("address");
        let here = here.with_resolver(Dns::with_options(vec![nobody], patient()));
        let error = here.resolve(&"harbour.example:80".parse().expect("endpoint")).await.expect_err("nobody");
        // Not that it has not answered in time.
        assert!(error.to_string().contains("10.7.0.2:53: nothing listens there"), "{error}");
    });
}

//! Echo requests: over two stacks in this process, and over the kernel where that allows them.

mod common;

use std::io;
use std::net::IpAddr;

use common::{on_each, skip};
use ostia::net::{EchoReply, EchoSocket, Network};
use ostia_link::{Memory, MemoryConfig, memory};
use ostia_net::{NetConfig, StackEngine};

fn network(link: Memory, addresses: [&str; 2], seed: u8) -> Network {
    let mut config = NetConfig::new([seed; 32]);
    for (address, prefix) in addresses.into_iter().zip([24, 64]) {
        config = config.with_address(address.parse().expect("address"), prefix);
    }
    Network::of_engine(Box::new(StackEngine::new(Box::new(link), &config).expect("a stack"))).expect("a network")
}

/// Asks several times, and again with an empty payload.
async fn ask(host: IpAddr) {
    let (mut socket, mut other) = (EchoSocket::open(host).expect("a socket"), EchoSocket::open(host).expect("another"));
    assert_eq!(socket.is_v6(), host.is_ipv6());
    for (sequence, payload) in [(7, &b"ahoy"[..]), (65_535, &[3; 1400]), (0, &[])] {
        socket.send_to(payload, host, sequence).await.expect("sent");
        other.send_to(b"other", host, 77).await.expect("sent");
        let mut room = b"head ".to_vec();
        room.reserve_exact(2000);
        let (received, data) = socket.recv_from(room).await;
        assert_eq!(received.expect("an answer"), EchoReply { from: host, sequence, len: payload.len(), ttl: Some(64) });
        assert_eq!(data, [b"head ", payload].concat());
        let (received, data) = other.recv_from(Vec::with_capacity(100)).await;
        assert_eq!((received.expect("its own answer").sequence, data.as_slice()), (77, &b"other"[..]));
    }
    let wrong: IpAddr = if host.is_ipv6() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    assert_eq!(socket.send_to(b"", wrong, 1).await.expect_err("another family").kind(), io::ErrorKind::InvalidInput);
    socket.close().await.expect("closed");
}

#[test]
fn a_stack_is_answered_by_the_other() {
    on_each(|| async {
        let (here, there) = memory::pair(&MemoryConfig::default());
        let here = network(here, ["10.7.0.1", "fd07::1"], 1);
        let _there = network(there, ["10.7.0.2", "fd07::2"], 2);
        here.scope(async {
            ask("10.7.0.2".parse().expect("address")).await;
            ask("fd07::2".parse().expect("address")).await;
        })
        .await;
    });
}

#[test]
fn the_kernel_answers_itself() {
    on_each(|| async {
        for (host, part) in [("127.0.0.1", "v4"), ("::1", "v6")] {
            let host = host.parse().expect("address");
            match EchoSocket::open(host) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
                    assert!(error.to_string().contains("echo requests"), "{error}");
                    skip(&format!("the_kernel_answers_itself/{part}"), &error.to_string());
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            if part == "v6" && std::net::UdpSocket::bind("[::1]:0").is_err() {
                skip("the_kernel_answers_itself/v6", "no IPv6 here");
                continue;
            }
            ask(host).await;
        }
    });
}

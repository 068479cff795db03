//! The page and the object of a stack that talks to another over a link in memory.

use super::{facts, page};
use ostia::net::{Endpoint, Listener, Network, Stream, UdpSocket};
use ostia_link::{MemoryConfig, memory};
use ostia_net::{NetConfig, Overview, StackEngine};
use std::any::Any;

fn overview(network: &Network) -> Overview {
    let stack = |engine: &mut dyn Any| engine.downcast_mut::<StackEngine>().map(|stack| stack.overview());
    network.with_engine(|engine| stack(engine)).expect("this worker's").expect("a stack")
}

#[test]
fn everything_shows() {
    ostia::block_on(async {
        let (here, there) = memory::pair(&MemoryConfig::default());
        let network = |link, number: u8| {
            let config = NetConfig::new([number; 32]).with_address([10, 7, 0, number].into(), 24);
            Network::of_engine(Box::new(StackEngine::new(Box::new(link), &config).expect("a stack"))).expect("a network")
        };
        let (one, two) = (network(here, 1), network(there, 2));
        let place: Endpoint = "10.7.0.2:80".parse().expect("an endpoint");
        let (mut listener, _udp) = two
            .scope(async {
                let udp = UdpSocket::bind("10.7.0.2:53".parse().expect("an address")).expect("bind");
                (Listener::bind(&place).expect("bind"), udp)
            })
            .await;
        let mut client = one.scope(Stream::connect(&place)).await.expect("connect");
        client.send("ahoy").await.expect("sent");
        let mut server = listener.accept().await.expect("accept");
        server.recv().await.expect("received");
        let seen = overview(&two);
        let text = page::write(&seen);
        for line in ["10.7.0.2/24 manual preferred", "LISTEN", "UNCONN", "ESTAB", "counters", "TcpPassiveOpens", "Netid"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let figures = text.lines().find(|line| line.contains("cwnd:")).expect("the connection's");
        for word in ["rto:", "rtt:", "mss:", "bytes_received:4 ", "snd_wnd:"] {
            assert!(figures.contains(word), "{word}: {figures}");
        }
        let object = facts::of(&seen);
        let states: Vec<&str> =
            object["sockets"].as_array().expect("a list").iter().filter_map(|socket| socket["state"].as_str()).collect();
        assert_eq!(states, ["LISTEN", "ESTAB", "UNCONN"]);
        assert_eq!(object["sockets"][1]["info"]["bytes_received"], 4);
        assert_eq!(object["counters"]["TcpPassiveOpens"], 1);
        assert_eq!(object["addresses"][0]["state"], "preferred");
    });
}

#[test]
fn words_are_those_of_people() {
    assert_eq!(page::word(&ostia_stack::AddressOrigin::LinkLocal), "link-local");
    assert_eq!(page::word(&ostia_link::Medium::Ip), "ip");
}

#[test]
fn a_page_is_cut_to_the_screen() {
    assert_eq!(super::fit("one\ntwo\nthree", 80, 24), "one\ntwo\nthree");
    assert_eq!(super::fit("one\ntwo\nthree\nfour", 4, 4), "one\ntwo\nthre");
    assert_eq!(super::fit("\u{fc}ber\ntwo", 2, 1), "\u{fc}b");
}

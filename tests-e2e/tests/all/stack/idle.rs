//! Connections on which nobody says anything, kept up by keepalive probes, and given up when the peer has vanished.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::sockopt;

use super::capture::Capture;
use super::program::{BOTH, echo, own_stack};
use super::space::{in_namespace, ip};
use crate::support::{DEADLINE, eventually};

/// Idle connections at once.
const IDLE: usize = 50;

/// The kernel probes idle connections, the stack answers, and they are still good.
#[test]
fn the_kernels_probes_are_answered() {
    in_namespace(concat!(module_path!(), "::the_kernels_probes_are_answered"), &[], |case| {
        let capture = Capture::new();
        let server = echo(case, &[&BOTH[..], &["--pcap", capture.path()]].concat());
        let mut streams: Vec<TcpStream> = (0..IDLE).map(|_| probing()).collect();
        for stream in &mut streams {
            converse(stream, b"before");
        }
        // Each probe that was answered is a packet of the stack's; one that wasn't would end its connection after three.
        let before = packets("rx");
        assert!(eventually(|| packets("rx") >= before + 4 * IDLE as u64), "no answers to probes");
        for stream in &mut streams {
            converse(stream, b"behind");
        }
        drop(streams);
        server.stop();
        capture.is_clean(case);
        if let Some(answers) = capture.select(case, "tcp.analysis.keep_alive_ack") {
            assert!(answers.len() >= 3 * IDLE, "{} answers to probes", answers.len());
        }
    });
}

fn probing() -> TcpStream {
    let stream = TcpStream::connect("10.7.0.2:8080").expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline can be set");
    sockopt::set_socket_keepalive(&stream, true).expect("set");
    sockopt::set_tcp_keepidle(&stream, Duration::from_secs(1)).expect("set");
    sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(1)).expect("set");
    sockopt::set_tcp_keepcnt(&stream, 3).expect("set");
    stream
}

fn converse(stream: &mut TcpStream, words: &[u8; 6]) {
    stream.write_all(words).expect("it is open");
    let mut said = [0; 6];
    stream.read_exact(&mut said).expect("it answers");
    assert_eq!(&said, words);
}

/// Packets over the device of this namespace: from the stack (`rx`) or to it (`tx`).
fn packets(direction: &str) -> u64 {
    let shown: serde_json::Value = serde_json::from_str(&ip("-s -j link show dev ostia0")).expect("ip speaks JSON");
    shown[0]["stats64"][direction]["packets"].as_u64().expect("ip counts packets")
}

/// The stack probes a silent peer; and when that has vanished, tells its program so.
#[test]
fn a_vanished_peer_is_noticed() {
    in_namespace(concat!(module_path!(), "::a_vanished_peer_is_noticed"), &[], |case| {
        let capture = Capture::new();
        // On all addresses: the device with the right one is yet to come.
        let listener = TcpListener::bind("[::]:9000").expect("the port is free");
        let client = own_stack(&["--pcap", capture.path(), "hold", "10.7.0.1:9000"]);
        let (_peer, _) = listener.accept().expect("it connects");
        client.output.wait_for(|line| (line == "connected").then_some(())).expect("it says so");
        let before = packets("rx");
        assert!(eventually(|| packets("rx") >= before + 3), "no probes");
        assert_eq!(client.output.text(), "connected", "as long as the peer answers");
        // Nothing reaches it any more, nor does anything come from it.
        ip("link set ostia0 down");
        let ended = client.wait();
        assert!(ended.status.success(), "{}", ended.errors);
        assert!(ended.output.contains("ended: ") && ended.output.contains("timed out"), "{}", ended.output);
        capture.is_clean(case);
        if let Some(answers) = capture.select(case, "tcp.analysis.keep_alive_ack && ip.src == 10.7.0.1") {
            assert!(answers.len() >= 2, "{} answers to probes", answers.len());
        }
    });
}

//! Echoes: half-closed connections, datagrams of every size, ten thousand connections one after the other.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::capture::Capture;
use super::program::{BOTH, echo};
use super::space::in_namespace;
use crate::echo::echo_on_several;
use crate::support::site::{Pattern, Sha, Site};
use crate::support::{DEADLINE, eventually, scaled, seed};

/// Where `ostia echo` listens.
const V4: &str = "10.7.0.2:8080";
const V6: &str = "[fd07::2]:8080";

#[test]
fn all_bytes_come_back() {
    in_namespace(concat!(module_path!(), "::all_bytes_come_back"), &[], |case| {
        let server = echo(case, &BOTH);
        echo_on_several(V4.parse().expect("an address"), seed(case.name));
        echo_on_several(V6.parse().expect("an address"), seed(case.name));
        server.stop();
    });
}

/// netcat says all it has to say, closes its half, and reads the rest.
#[test]
fn netcat_closes_its_half_and_reads_on() {
    in_namespace(concat!(module_path!(), "::netcat_closes_its_half_and_reads_on"), &["nc"], |case| {
        let site = Site::new();
        let capture = Capture::new();
        let expected = site.fill("said", Pattern(seed(case.name)), 5_000_001);
        let server = echo(case, &[&BOTH[..], &["--pcap", capture.path()]].concat());
        for host in ["10.7.0.2", "fd07::2"] {
            let said = File::open(site.path("said")).expect("it was just made");
            let mut netcat = Command::new("nc")
                .args(["-N", host, "8080"])
                .stdin(said)
                .stdout(Stdio::piped())
                .spawn()
                .expect("netcat can be run");
            let heard = Sha::of([netcat.stdout.take().expect("a pipe")]);
            assert!(netcat.wait().expect("a child").success());
            assert_eq!(heard, expected, "{host}");
        }
        server.stop();
        capture.is_clean(case);
    });
}

/// Datagrams up to the longest there are, which go in fragments both ways.
#[test]
fn datagrams_of_every_size_come_back() {
    in_namespace(concat!(module_path!(), "::datagrams_of_every_size_come_back"), &[], |case| {
        let capture = Capture::new();
        let places = ["--addr", "udp://10.7.0.2:8080", "--addr", "udp://[fd07::2]:8080", "--pcap", capture.path()];
        let server = echo(case, &[&BOTH[..], &places].concat());
        for (to, from) in [(V4, "10.7.0.1:0"), (V6, "[fd07::1]:0")] {
            let socket = UdpSocket::bind(from).expect("the kernel's side has it");
            socket.set_read_timeout(Some(DEADLINE)).expect("a deadline can be set");
            socket.connect(to).expect("there is a route");
            for length in [0, 1, 1452, 1453, 1472, 1473, 2953, 9000, 40_000, 65_507] {
                let sent = Pattern(seed(case.name)).bytes(length);
                assert_eq!(socket.send(&sent).expect("it goes out"), length);
                let mut got = vec![0; 1 << 16];
                let came = socket.recv(&mut got).unwrap_or_else(|error| panic!("{length} octets from {to}: {error}"));
                assert!(got[..came] == sent, "{length} octets from {to}");
            }
        }
        server.stop();
        capture.is_clean(case);
    });
}

/// Connections opened and closed in every way. What they took is given back, and the next one is served.
#[test]
fn ten_thousand_connections_come_and_go() {
    in_namespace(concat!(module_path!(), "::ten_thousand_connections_come_and_go"), &[], |case| {
        let server = echo(case, &BOTH);
        let address: SocketAddr = V4.parse().expect("an address");
        // No wave overflows the device's queue of 500 packets: resets that are lost there are never sent again.
        let (waves, wave) = (scaled(40, 400), 250);
        let mut early = 0;
        for number in 0..waves {
            let mut streams: Vec<TcpStream> = (0..wave).map(|_| connect(address)).collect();
            for (at, stream) in streams.iter_mut().enumerate().filter(|(at, _)| at % 4 != 0) {
                stream.write_all(&at.to_be_bytes()).expect("it is open");
            }
            for (at, stream) in streams.iter_mut().enumerate().filter(|(at, _)| at % 2 == 1) {
                let mut said = [0; 8];
                stream.read_exact(&mut said).expect("it answers");
                assert_eq!(said, at.to_be_bytes());
            }
            for (at, stream) in streams.into_iter().enumerate() {
                if at % 4 > 1 {
                    // With a reset.
                    set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket lingers");
                }
            }
            if number == waves / 10 {
                early = server.resident();
            }
        }
        echo_on_several(address, seed(case.name));
        let grown = || server.resident().saturating_sub(early);
        assert!(eventually(|| grown() < 32 << 10), "memory has grown by {} KiB", grown());
        server.stop();
    });
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline can be set");
    stream
}

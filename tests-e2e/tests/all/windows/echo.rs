//! `ostia echo`: what a thousand connections send comes back, whole and in order; and so do datagrams.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::support::process::Process;
use crate::support::site::Pattern;
use crate::support::wine::under_wine;
use crate::support::{DEADLINE, scaled, seed};

const CONNECTIONS: u64 = 1000;

/// What each connection sends in a round: less than a socket's buffers hold, so that one thread can send to all before it reads.
const ROUND: usize = 3000;

under_wine! {
    /// A thousand connections, all open at once, several rounds each.
    fn a_thousand_connections(wine: Wine) {
        raise_descriptors();
        let (process, address) = listen(wine.command(), "127.0.0.1:0", "127.0.0.1:");
        let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(address)).collect();
        let pattern = |index: usize| Pattern(seed(wine.case.name) ^ index as u64);
        let mut buffer = vec![0; ROUND];
        for round in 0..scaled(5, 50) {
            let offset = (round * ROUND) as u64;
            for (index, stream) in streams.iter_mut().enumerate() {
                pattern(index).at(offset, &mut buffer);
                stream.write_all(&buffer).expect("it reads");
            }
            for (index, stream) in streams.iter_mut().enumerate() {
                stream.read_exact(&mut buffer).unwrap_or_else(|error| panic!("{index} in round {round}: {error}"));
                assert!(pattern(index).is_at(offset, &buffer), "{index} in round {round}");
            }
        }
        for (index, stream) in streams.iter_mut().enumerate() {
            stream.shutdown(Shutdown::Write).expect("it is open");
            assert_eq!(stream.read(&mut buffer).expect("it ends"), 0, "{index}");
        }
        end(process);
    }

    /// Datagrams of every size, from several sockets: each gets its own back.
    fn datagrams(wine: Wine) {
        let (process, address) = listen(wine.command(), "udp://127.0.0.1:0", "udp://");
        let sockets: Vec<UdpSocket> = (0..10)
            .map(|_| {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
                socket.set_read_timeout(Some(DEADLINE)).expect("set");
                socket.connect(address).expect("connected");
                socket
            })
            .collect();
        let mut buffer = vec![0; 65_536];
        for length in [0, 1, 100, 1472, 1473, 9000, 65_507] {
            for (index, socket) in sockets.iter().enumerate() {
                let sent = Pattern(index as u64).bytes(length);
                assert_eq!(socket.send(&sent).expect("sent"), length);
                let received = socket.recv(&mut buffer).expect("it comes back");
                assert!(buffer[..received] == sent, "{length} bytes of {index}");
            }
        }
        end(process);
    }
}

/// Starts `ostia echo`; the address stands behind `before` in what it prints.
fn listen(mut command: std::process::Command, place: &str, before: &str) -> (Process, SocketAddr) {
    let process = Process::start(command.args(["echo", "--workers", "2", "--addr", place]));
    let printed = process.output.wait_for(|line| {
        let at = line.strip_prefix("listening on ")?.trim_end();
        at.starts_with(before).then(|| at.trim_start_matches("udp://").parse().ok())?
    });
    let address = printed.unwrap_or_else(|| panic!("no address: {}", process.errors.text()));
    (process, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("set");
    stream.set_write_timeout(Some(DEADLINE)).expect("set");
    stream
}

/// Ctrl-C.
fn end(process: Process) {
    process.signal(Signal::INT);
    let ended = process.wait();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
}

/// A thousand connections are about as many descriptors as a process has by default.
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the hard limit anybody may");
}

//! `ostia echo` over everything that it can listen on, on both drivers.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType};

const DRIVERS: [&str; 2] = ["io_uring", "epoll"];
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `ostia echo` on these addresses, and gives those that it says; `None` where the machine has no io_uring.
fn echo(driver: &str, workers: &str, addresses: &[String]) -> Option<(Server, Vec<String>)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostia"));
    command.args(["echo", "--workers", workers, "--driver", driver]);
    for address in addresses {
        command.args(["--addr", address]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut server = Server(child.expect("the program starts"));
    let mut lines = BufReader::new(server.0.stdout.take().expect("piped")).lines();
    let mut listening = Vec::new();
    for _ in addresses {
        let Some(Ok(line)) = lines.next() else {
            let mut why = String::new();
            server.0.stderr.take().expect("piped").read_to_string(&mut why).expect("readable");
            assert!(driver == "io_uring" && why.contains("io_uring"), "{driver} does not start: {why}");
            eprintln!("SKIPPED on io_uring: {why}");
            return None;
        };
        listening.push(line.strip_prefix("listening on ").expect("says where").to_owned());
    }
    Some((server, listening))
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

#[test]
fn everything_comes_back() {
    for driver in DRIVERS {
        for workers in ["1", "2"] {
            let directory = tempfile::tempdir().expect("directory");
            let path = |name: &str| directory.path().join(name);
            let at = |scheme: &str, name: &str| format!("{scheme}:{}", path(name).display());
            let addresses = [
                "udp://127.0.0.1:0".to_owned(),
                "udp://0.0.0.0:0".to_owned(),
                at("unix-dgram", "d"),
                at("unix-seqpacket", "p"),
                "tcp://127.0.0.1:0".to_owned(),
                at("unix", "s"),
            ];
            let Some((mut server, listening)) = echo(driver, workers, &addresses) else { continue };
            assert_eq!(listening[2..4], addresses[2..4]);

            for listening in &listening[..2] {
                let port = listening.rsplit_once(':').expect("a port").1;
                let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
                socket.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
                socket.connect(format!("127.0.0.1:{port}")).expect("connects");
                let mut got = vec![0; 70_000];
                for len in [0, 1, 1472, 65_507] {
                    socket.send(&pattern(len)).expect("sent");
                    let count = socket.recv(&mut got).expect("comes back");
                    assert!(got[..count] == pattern(len));
                }
            }

            let socket = UnixDatagram::bind(path("me")).expect("bind");
            socket.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
            let mut got = vec![0; 70_000];
            for len in [0, 1, 65_536] {
                socket.send_to(&pattern(len), path("d")).expect("sent");
                let count = socket.recv(&mut got).expect("comes back");
                assert!(got[..count] == pattern(len));
            }
            // Longer ones are dropped whole, and those without an address have nobody to come back to.
            socket.send_to(&pattern(65_537), path("d")).expect("sent");
            UnixDatagram::unbound().expect("socket").send_to(b"x", path("d")).expect("sent");
            socket.send_to(b"after", path("d")).expect("sent");
            let count = socket.recv(&mut got).expect("comes back");
            assert_eq!(&got[..count], b"after");

            let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("socket");
            rustix::net::connect(&socket, &SocketAddrUnix::new(path("p")).expect("short")).expect("connects");
            rustix::net::sockopt::set_socket_timeout(socket.as_fd(), rustix::net::sockopt::Timeout::Recv, Some(PATIENCE))
                .expect("SO_RCVTIMEO");
            for len in [1, 100, 65_536] {
                rustix::net::send(&socket, &pattern(len), SendFlags::empty()).expect("sent");
                let (count, _) = rustix::net::recv(&socket, &mut got[..], RecvFlags::empty()).expect("comes back");
                assert!(got[..count] == pattern(len));
            }

            let mut stream = TcpStream::connect(&listening[4]).expect("connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
            stream.write_all(b"ahoy").expect("sent");
            stream.read_exact(&mut got[..4]).expect("comes back");
            drop(stream);
            let mut stream = UnixStream::connect(path("s")).expect("connects");
            stream.write_all(b"ahoy").expect("sent");
            stream.read_exact(&mut got[..4]).expect("comes back");
            drop(stream);

            let pid = rustix::process::Pid::from_raw(server.0.id() as i32).expect("a process");
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
            assert!(server.0.wait().expect("ends").success());
            for name in ["d", "p", "s"] {
                assert!(!path(name).exists(), "{name} is removed at the end");
            }
        }
    }
}

#[test]
fn datagrams_alone_end_by_a_signal_and_addresses_in_use_are_named() {
    let Some((mut server, listening)) = echo("epoll", "2", &["udp://127.0.0.1:0".to_owned()]) else { return };
    let second = Command::new(env!("CARGO_BIN_EXE_ostia"))
        .args(["echo", "--driver", "epoll", "--addr", &listening[0]])
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("cannot listen on {}: the port is in use", listening[0])), "{told}");
    let pid = rustix::process::Pid::from_raw(server.0.id() as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("kill");
    assert!(server.0.wait().expect("ends").success());
}

//! `ostia echo`, and the example on the raw port: every byte comes back, in order, whatever the sizes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;

use rustix::process::Signal;

use crate::support::case::on_both_drivers;
use crate::support::process::{Process, build, ostia};
use crate::support::site::Pattern;
use crate::support::{DEADLINE, Random, scaled, seed};

on_both_drivers! {
    /// Several connections at once, pieces of random sizes, then half-close and the rest.
    fn all_bytes_come_back(case: Case) {
        let mut command = Command::new(ostia());
        command
            .args(["echo", "--addr", "127.0.0.1:0"])
            .args(["--driver", &case.driver.to_string()]);
        let process = Process::start(&mut command);
        let address = address_of(&process);
        echo_on_several(address, seed(case.name));
        process.signal(Signal::TERM);
        let ended = process.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    }
}

/// The shortest program on the port is an echo server of full value.
#[test]
fn the_example_on_the_raw_port_echoes() {
    let program = build(&["-p", "ostia-port", "--example", "port_echo"], "port_echo");
    let process = Process::start(Command::new(program).arg("127.0.0.1:0"));
    echo_on_several(address_of(&process), seed(module_path!()));
}

fn address_of(process: &Process) -> SocketAddr {
    let printed = process.output.wait_for(address_in);
    printed.unwrap_or_else(|| panic!("no address: {}", process.errors.text()))
}

/// Eight connections at once.
/// Several clients at once, each with pieces of random sizes, then half-close.
pub fn echo_on_several(address: SocketAddr, seed: u64) {
    let length = scaled(8 << 20, 64 << 20);
    let connections: Vec<_> = (0..8).map(|index| thread::spawn(move || echo(address, seed ^ index, length))).collect();
    for connection in connections {
        connection.join().expect("the bytes are the same");
    }
}

/// The first `127.0.0.1:PORT` in a line.
fn address_in(line: &str) -> Option<SocketAddr> {
    let found = &line[line.find("127.0.0.1:")?..];
    let end = found.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
    found[..end.unwrap_or(found.len())].parse().ok()
}

fn echo(address: SocketAddr, seed: u64, length: u64) {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("set");
    stream.set_write_timeout(Some(DEADLINE)).expect("set");
    let pattern = Pattern(seed);
    let mut sending = stream.try_clone().expect("a second handle");
    let writer = thread::spawn(move || {
        let mut random = Random(seed);
        let mut sent = 0;
        while sent < length {
            let bound = 1 << random.below(18);
            let size = (1 + random.below(bound)).min(length - sent);
            let mut piece = vec![0; size as usize];
            pattern.at(sent, &mut piece);
            sending.write_all(&piece).expect("it reads");
            sent += size;
        }
        sending.shutdown(Shutdown::Write).expect("it is open");
    });
    let mut stream = stream;
    let mut block = vec![0; 1 << 17];
    let mut received = 0;
    loop {
        let size = stream.read(&mut block).expect("it answers");
        if size == 0 {
            break;
        }
        assert!(pattern.is_at(received, &block[..size]), "at {received}");
        received += size as u64;
    }
    assert_eq!(received, length);
    writer.join().expect("all was sent");
}

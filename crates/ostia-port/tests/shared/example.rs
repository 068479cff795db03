//! The example that shows the classic server's shape, with clients over loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::common::{patience, repeat};
use crate::{on_every_shared, shared, until};

#[path = "../../examples/iocp_style.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod iocp_style;

/// 11: every client gets back what it sent, in pieces of every size, and after the last of them the server ends.
#[test]
fn s11_the_classic_server_echoes_and_stops() {
    on_every_shared("s11_the_classic_server_echoes_and_stops", |engine| {
        let port = shared(engine, 0);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("address");
        let clients = repeat(24, 400) as u64;
        std::thread::scope(|scope| {
            let server = scope.spawn(|| iocp_style::serve(&port, listener, Some(clients)));
            for batch in 0..clients / 8 {
                let all: Vec<_> = (0..8).map(|n| scope.spawn(move || client(address, batch * 8 + n))).collect();
                all.into_iter().for_each(|client| client.join().expect("no panic"));
            }
            server.join().expect("no panic").expect("the server ends well");
        });
        until(&port, "all workers took one exit packet", |load| load.members == 0 && load.packets == 0);
        assert_eq!(port.load().operations, 4, "the accepts that were posted in advance");
    });
}

/// The stop without a count, as at the end of standard input.
#[test]
fn s11_the_classic_server_stops_when_told() {
    on_every_shared("s11_the_classic_server_stops_when_told", |engine| {
        let port = shared(engine, 0);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("address");
        std::thread::scope(|scope| {
            let server = scope.spawn(|| iocp_style::serve(&port, listener, None));
            client(address, 1);
            until(&port, "its workers wait", |load| load.members == 8 && load.waiting == 8);
            iocp_style::stop(&port);
            server.join().expect("no panic").expect("the server ends well");
        });
    });
}

fn client(address: std::net::SocketAddr, number: u64) {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(patience())).expect("SO_RCVTIMEO");
    for round in 0..10 {
        let sent = crate::common::random::pattern(number, round * 1000, 1 + (round as usize * 777) % 5000);
        stream.write_all(&sent).expect("sent");
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).expect("the echo");
        crate::common::random::assert_pattern(number, round * 1000, &back);
    }
    stream.shutdown(std::net::Shutdown::Write).expect("shut down");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

//! Invariants 10, 13 and 14 of AcceptEx: addresses and first bytes that come with connections, and clients that stay silent.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::task::Poll;
use std::time::Duration;

use ostia_port::{Config, Handle, Op};

use crate::common::peers::{read_up_to, tcp_pair};
use crate::common::{World, on_every_engine};

/// A context that no operation of these tests has.
const ASKED: u64 = 1 << 40;

fn listening(world: &mut World) -> (Handle, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("address");
    (world.port.adopt(listener, 0).expect("adopts"), address)
}

/// 10: whose connection it is comes with it, whichever way it is taken, and of other connections is asked for.
#[test]
fn i10_addresses_come_with_connections() {
    on_every_engine("i10_addresses_come_with_connections", |engine| {
        for accept_data in [0, 100] {
            let mut world = World::new(Config { accept_data, ..engine.config() });
            let (listener, address) = listening(&mut world);
            for round in 0..6 {
                let mut client = TcpStream::connect(address).expect("connects");
                client.write_all(b"first").expect("sent");
                let want = Some((address, client.local_addr().expect("address")));
                let socket = if round % 2 == 0 {
                    world.run(Op::Accept { listener }).payload.into_handle().expect("a connection")
                } else {
                    let mut accepted = None;
                    world.until("a connection", |world| {
                        if let Poll::Ready(got) = world.port.poll_accept_fd(listener, ASKED) {
                            accepted = Some(got.expect("accepted"));
                        }
                        accepted.is_some()
                    });
                    let accepted = accepted.expect("until returned");
                    assert_eq!(accepted.addresses, want, "AcceptEx tells them");
                    world.port.adopt_accepted(accepted, 0)
                };
                assert_eq!(world.port.accepted_from(socket), want);
                let mut got = Vec::new();
                while got.len() < 5 {
                    got.extend_from_slice(&world.run(Op::Recv { socket }).payload.into_chunk().expect("bytes"));
                }
                assert_eq!(got, b"first");
                world.close(socket);
                assert_eq!(world.port.accepted_from(socket), None, "a stale name tells nothing");
            }
            let (near, far) = tcp_pair();
            let want = (near.local_addr().expect("address"), far.local_addr().expect("address"));
            let socket = world.port.adopt(near, 0).expect("adopts");
            assert_eq!(world.port.accepted_from(socket), Some(want), "asked for");
            assert_eq!(world.port.accepted_from(listener), None, "a listener has no peer");
        }
    });
}

/// 10: with first bytes wanted a connection comes with them, and what follows follows; more than there was room for too.
#[test]
fn i10_first_bytes_come_with_connections() {
    on_every_engine("i10_first_bytes_come_with_connections", |engine| {
        let mut world = World::new(Config { accept_data: 16, ..engine.config() });
        let (listener, address) = listening(&mut world);
        let (_, context) = world.submit(Op::AcceptMulti { listener });
        for len in [1usize, 16, 17, 5000] {
            let mut client = TcpStream::connect(address).expect("connects");
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            client.write_all(&bytes).expect("sent");
            let socket = world.take(context).payload.into_handle().expect("a connection");
            // The first are there without a wait.
            let Poll::Ready(Ok(Some(first))) = world.port.poll_recv(socket, ASKED) else { panic!("no first bytes") };
            assert!((1..=16).contains(&first.len()));
            let mut got = first.to_vec();
            while got.len() < len {
                got.extend_from_slice(&world.run(Op::Recv { socket }).payload.into_chunk().expect("bytes"));
            }
            assert_eq!(got, bytes);
            assert!(world.run(Op::Send { socket, data: b"ok".into() }).result.is_ok());
            let mut heard = Vec::new();
            read_up_to(&client, &mut heard, 2);
            assert_eq!(heard, b"ok");
            world.port.close(socket);
        }
    });
}

/// Waits until the other side has ended or broken off the connection.
fn await_end(client: &TcpStream) {
    client.set_read_timeout(Some(crate::common::patience())).expect("SO_RCVTIMEO");
    match std::io::Read::read(&mut &*client, &mut [0; 1]) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert!(error.kind() != std::io::ErrorKind::TimedOut, "a silent client is kept"),
    }
}

/// 13: a hundred clients that connect and say nothing do not keep out one that speaks; those before it are broken off.
#[test]
fn i13_silent_clients_keep_nobody_out() {
    on_every_engine("i13_silent_clients_keep_nobody_out", |engine| {
        let accept_patience = Duration::from_secs(2);
        let config = Config { accept_data: 64, accept_patience, accepts_posted: (1, 32), ..engine.config() };
        let mut world = World::new(config);
        let (listener, address) = listening(&mut world);
        let (_, context) = world.submit(Op::AcceptMulti { listener });
        world.turns(2);
        let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).expect("connects")).collect();
        let mut talking = TcpStream::connect(address).expect("connects");
        talking.write_all(b"heard?").expect("sent");
        let socket = world.take(context).payload.into_handle().expect("the one that speaks");
        let heard = world.run(Op::Recv { socket });
        assert!(b"heard?".starts_with(&heard.payload.into_chunk().expect("bytes")));
        let posted = world.port.accepts_posted(listener).expect("open");
        assert!((1..=32).contains(&posted), "{posted} posted");
        for client in &silent[..50] {
            await_end(client);
        }
        // And whoever speaks now is heard, too.
        let mut late = TcpStream::connect(address).expect("connects");
        late.write_all(b"late").expect("sent");
        assert!(world.take(context).payload.into_handle().is_some());
    });
}

/// 13: without first bytes wanted, silent clients are accepted like any and cost no accept.
#[test]
fn i13_without_first_bytes_the_silent_are_accepted() {
    on_every_engine("i13_without_first_bytes_the_silent_are_accepted", |engine| {
        let mut world = World::new(Config { accepts_posted: (2, 8), ..engine.config() });
        let (listener, address) = listening(&mut world);
        let (_, context) = world.submit(Op::AcceptMulti { listener });
        let clients: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).expect("connects")).collect();
        let accepted: Vec<Handle> = (0..100).map(|_| world.take(context).payload.into_handle().expect("a connection")).collect();
        let posted = world.port.accepts_posted(listener).expect("open");
        assert!((2..=8).contains(&posted), "{posted} posted");
        drop(clients);
        for socket in accepted {
            assert_eq!(world.run(Op::Recv { socket }).result.ok(), Some(0), "its end");
        }
    });
}

//! Serving: bursts, balance, the cap, descriptors running out, hand-over, and a gentle end.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Client};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{drivers, runtime};
use ostia::net::{Endpoint, Stream};
use ostia::serve::{Peer, Served, Server, ServerBuilder, ServerHandle, Spread, until_stop};
use ostia::time::sleep;
use ostia::{DriverChoice, spawn, spawn_blocking};

async fn echo(mut stream: Stream) -> std::io::Result<()> {
    loop {
        let Some(chunk) = until_stop(stream.recv()).await?? else { return Ok(()) };
        stream.send(chunk).await?;
    }
}

fn local() -> Endpoint {
    "127.0.0.1:0".parse().expect("an endpoint")
}

/// Runs a server of these settings on `workers` workers while `clients` runs on a thread of its own; then stops it.
fn serve_while<C: Send + 'static>(
    driver: DriverChoice,
    workers: usize,
    settings: ServerBuilder,
    clients: impl FnOnce(SocketAddr, ServerHandle) -> C + Send + 'static,
) -> (Served, C) {
    runtime(driver, workers).block_on(async {
        let server = settings.listen(local()).build().expect("a server");
        let (handle, address) = (server.handle(), server.addresses()[0].ip().expect("an IP address"));
        let stopping = handle.clone();
        let clients = spawn(async move {
            let done = spawn_blocking(move || clients(address, handle)).await;
            stopping.stop();
            done
        });
        let served = server.run(|stream, _peer| echo(stream)).await.expect("served");
        (served, clients.await.expect("no panic").expect("no panic in the clients"))
    })
}

fn ask(client: &mut Client, text: &[u8]) {
    client.write_all(text).expect("write");
    let mut back = vec![0; text.len()];
    client.read_exact(&mut back).expect("read");
    assert_eq!(back, text);
}

/// Waits until something is so; the bound ends a test that waits for what never comes.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("in vain: {what}");
}

/// Raises the limit of descriptors as far as it goes.
#[cfg(unix)]
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.map_or(1 << 20, |limit| limit as usize)
}

/// There is no limit here but memory, and that of ports for the clients.
#[cfg(windows)]
fn descriptors() -> usize {
    12_000
}

#[test]
fn two_workers_share_a_thousand_connections() {
    for driver in drivers() {
        for spread in [Spread::ReusePort, Spread::LeastLoaded, Spread::RoundRobin] {
            descriptors();
            let (served, each) = serve_while(driver, 2, Server::builder().spread(spread), |address, handle| {
                let mut clients: Vec<Client> = (0..1000).map(|_| Client::connect(address).expect("connect")).collect();
                clients.iter_mut().for_each(|client| ask(client, b"here"));
                assert_eq!(handle.connections(), 1000);
                handle.connections_each()
            });
            assert_eq!(served.accepted, 1000);
            assert_eq!(each.iter().sum::<usize>(), 1000);
            assert!(each.iter().all(|&count| count <= 600), "{driver:?} {spread:?}: {each:?}");
        }
    }
}

#[test]
fn at_the_cap_the_next_waits_until_one_ends() {
    for driver in drivers() {
        let (served, ()) = serve_while(driver, 2, Server::builder().max_connections(3), |address, handle| {
            let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(address).expect("connect")).collect();
            clients.iter_mut().for_each(|client| ask(client, b"one of three"));
            let mut fourth = Client::connect(address).expect("the kernel takes it");
            fourth.write_all(b"hello?").expect("write");
            fourth.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
            let error = fourth.read(&mut [0; 10]).expect_err("nobody serves it");
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
            assert_eq!(handle.connections(), 3);
            drop(clients.pop());
            fourth.set_read_timeout(None).expect("no timeout");
            let mut back = [0; 6];
            fourth.read_exact(&mut back).expect("now it is served");
            assert_eq!(&back, b"hello?");
        });
        assert_eq!((served.accepted, served.rejected), (4, 0));
    }
}

#[test]
fn above_the_cap_connections_are_turned_away_politely() {
    for driver in drivers() {
        let settings = Server::builder().max_connections(2).reject(|mut stream: Stream, _peer: Peer| async move {
            let _ = stream.send("full up").await;
        });
        let (served, ()) = serve_while(driver, 1, settings, |address, handle| {
            let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(address).expect("connect")).collect();
            clients.iter_mut().for_each(|client| ask(client, b"x"));
            for _ in 0..20 {
                let mut text = String::new();
                Client::connect(address).expect("connect").read_to_string(&mut text).expect("read");
                assert_eq!(text, "full up");
            }
            assert_eq!(handle.rejected(), 20);
            drop(clients);
            until("the two have gone", || handle.connections() == 0);
            ask(&mut Client::connect(address).expect("connect"), b"room again");
        });
        assert_eq!((served.accepted, served.rejected), (3, 20));
    }
}

#[test]
fn a_panicking_handler_ends_its_own_connection_only() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 1);
        runtime.block_on(async {
            let server = Server::builder().listen(local()).build().expect("a server");
            let (handle, address) = (server.handle(), server.addresses()[0].ip().expect("an IP address"));
            let calls = Arc::new(AtomicUsize::new(0));
            let clients = spawn(async move {
                spawn_blocking(move || {
                    for call in 0..6 {
                        let mut client = Client::connect(address).expect("connect");
                        let mut back = Vec::new();
                        let _ = client.read_to_end(&mut back);
                        assert_eq!(back, if call % 3 == 2 { &b"fine"[..] } else { b"" });
                    }
                })
                .await
                .expect("no panic in the clients");
                handle.stop();
            });
            let served = server
                .run(move |mut stream: Stream, _| {
                    let call = calls.fetch_add(1, Ordering::SeqCst);
                    assert_ne!(call % 3, 0, "before its first await");
                    async move {
                        assert_ne!(call % 3, 1, "in its future");
                        stream.send("fine").await
                    }
                })
                .await
                .expect("served");
            clients.await.expect("no panic");
            assert_eq!((served.accepted, served.aborted), (6, 0));
        });
    }
}

#[test]
fn a_stop_lets_the_busy_finish_and_drops_the_stuck() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let served = runtime.block_on(async {
            let settings = Server::builder().drain(Duration::from_millis(300));
            let server = settings.listen(local()).build().expect("a server");
            let (handle, address) = (server.handle(), server.addresses()[0].ip().expect("an IP address"));
            let begun = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&begun);
            let clients = spawn(async move {
                spawn_blocking(move || {
                    let mut busy = Client::connect(address).expect("connect");
                    busy.write_all(b"b").expect("write");
                    let mut stuck = Client::connect(address).expect("connect");
                    stuck.write_all(b"s").expect("write");
                    let mut idle = Client::connect(address).expect("connect");
                    until("all three are here", || handle.accepted() == 3 && seen.load(Ordering::SeqCst) == 2);
                    handle.stop();
                    let mut text = String::new();
                    busy.read_to_string(&mut text).expect("read");
                    assert_eq!(text, "finished");
                    assert_eq!(idle.read(&mut [0; 9]).expect("an end"), 0, "the idle one is closed");
                    let _ = stuck.read(&mut [0; 9]);
                    until("nobody listens any more", || Client::connect(address).is_err());
                })
                .await
                .expect("no panic in the clients");
            });
            let served = server
                .run(move |mut stream: Stream, _| {
                    let begun = Arc::clone(&begun);
                    async move {
                        let Some(chunk) = until_stop(stream.recv()).await?? else { return Ok(()) };
                        begun.fetch_add(1, Ordering::SeqCst);
                        if chunk[0] == b's' {
                            return std::future::pending().await;
                        }
                        while !ostia::serve::is_stopping() {
                            sleep(Duration::from_millis(5)).await;
                        }
                        sleep(Duration::from_millis(50)).await;
                        stream.send("finished").await
                    }
                })
                .await
                .expect("served");
            clients.await.expect("no panic");
            served
        });
        assert_eq!((served.accepted, served.aborted), (3, 1), "{driver:?}");
    }
}

#[test]
fn what_waits_in_the_queue_at_the_stop_is_served() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let served = runtime.block_on(async {
            let server = Server::builder().listen(local()).build().expect("a server");
            let (handle, address) = (server.handle(), server.addresses()[0].ip().expect("an IP address"));
            // All connect and ask before the server runs, and it is stopped before it runs.
            let clients = spawn_blocking(move || {
                (0..100)
                    .map(|_| {
                        let mut client = Client::connect(address).expect("connect");
                        client.write_all(b"anyone?").expect("write");
                        client
                    })
                    .collect::<Vec<_>>()
            });
            let clients = clients.await.expect("no panic");
            handle.stop();
            let reading = spawn_blocking(move || {
                for mut client in clients {
                    let mut text = String::new();
                    client.read_to_string(&mut text).expect("no reset");
                    assert_eq!(text, "anyone?");
                }
            });
            let served = server
                .run(|mut stream: Stream, _| async move {
                    let Some(chunk) = stream.recv().await? else { return Ok(()) };
                    stream.send(chunk).await
                })
                .await
                .expect("served");
            reading.await.expect("all were served");
            served
        });
        assert_eq!((served.accepted, served.aborted), (100, 0), "{driver:?}");
    }
}

#[cfg(unix)]
#[test]
fn unix_and_tcp_by_one_server() {
    for driver in drivers() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let mut runtime = runtime(driver, 2);
        runtime.block_on(async {
            let unix = Endpoint::Unix(path.clone());
            let server = Server::builder().listen(unix).listen(local()).build().expect("a server");
            let (handle, addresses) = (server.handle(), server.addresses());
            let address = addresses[1].ip().expect("an IP address");
            let connect_to = path.clone();
            let clients = spawn(async move {
                spawn_blocking(move || {
                    for _ in 0..10 {
                        let mut text = String::new();
                        let mut client = std::os::unix::net::UnixStream::connect(&connect_to).expect("connect");
                        client.read_to_string(&mut text).expect("read");
                        assert_eq!(text, "0 unix:(unnamed)");
                        let mut client = Client::connect(address).expect("connect");
                        text.clear();
                        client.read_to_string(&mut text).expect("read");
                        assert_eq!(text, format!("1 {}", client.local_addr().expect("address")));
                    }
                })
                .await
                .expect("no panic in the clients");
                handle.stop();
            });
            let served = server
                .run(|mut stream: Stream, peer: Peer| async move {
                    let text = format!("{} {}", peer.listener(), peer.address().expect("connected"));
                    stream.send(text).await
                })
                .await
                .expect("served");
            clients.await.expect("no panic");
            assert_eq!(served.accepted, 20);
        });
        assert!(!path.exists(), "the path goes with the server");
    }
}

#[test]
fn binding_errors_name_the_endpoint() {
    let mut runtime = runtime(DriverChoice::Auto, 1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address");
    runtime.block_on(async {
        let error = Server::builder().listen(Endpoint::Ip(address)).build().expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&address.to_string()), "{error}");
        let error = Server::builder().listen("192.0.2.1:80".parse().expect("endpoint")).build().expect_err("not local");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert_eq!(Server::builder().build().expect_err("nowhere").kind(), ErrorKind::InvalidInput);
    });
    let error = Server::builder().listen(local()).build().expect_err("outside of a runtime");
    assert!(error.to_string().contains("worker"), "{error}");
}

/// A socket that somebody else has bound is served by all workers beside one of the server's own, and goes on listening
/// for its owner when the server has ended.
#[test]
fn an_adopted_socket_is_served_and_stays_its_owners() {
    for driver in drivers() {
        for workers in [1, 2] {
            let owned = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
            let adopted = owned.local_addr().expect("address");
            let settings = Server::builder().adopt(owned.try_clone().expect("a copy"));
            runtime(driver, workers).block_on(async {
                let server = settings.listen(local()).build().expect("a server");
                let addresses: Vec<SocketAddr> = server.addresses().iter().filter_map(|address| address.ip()).collect();
                assert_eq!(addresses[0], adopted);
                let handle = server.handle();
                let clients = spawn_blocking(move || {
                    let mut clients: Vec<Client> = (0..40).map(|i| Client::connect(addresses[i % 2]).expect("connect")).collect();
                    clients.iter_mut().for_each(|client| ask(client, b"either way"));
                    handle.stop();
                });
                let served = server.run(|stream, _peer| echo(stream)).await.expect("served");
                assert_eq!((served.accepted, served.aborted), (40, 0));
                clients.await.expect("no panic in the clients");
            });
            let mut late = Client::connect(adopted).expect("it still listens");
            late.write_all(b"owner").expect("write");
            owned.set_nonblocking(false).expect("blocking");
            let mut got = [0; 5];
            owned.accept().expect("accept").0.read_exact(&mut got).expect("read");
            assert_eq!(&got, b"owner");
        }
    }
}

#[test]
fn only_listening_stream_sockets_are_adopted() {
    runtime(DriverChoice::Auto, 1).block_on(async {
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        let error = Server::builder().adopt(datagrams).build().expect_err("no listening socket");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "a socket taken over: not a listening stream socket");
    });
}

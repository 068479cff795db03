//! A stack on one worker, used by all: branches carry what the others send and receive.

mod common;

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use common::{drivers, runtime};
use ostia::net::{Endpoint, ListenOptions, Listener, Network, Stream, UdpOptions, UdpSocket};
use ostia::serve::{Server, until_stop};
use ostia::time::timeout;
use ostia::{JoinSet, WorkerId, spawn_on, workers};
use ostia_net::{NetConfig, StackEngine};

const PATIENCE: Duration = Duration::from_secs(60);

fn ip(host: u8) -> IpAddr {
    [10, 7, 0, host].into()
}

fn at(host: u8, port: u16) -> Endpoint {
    SocketAddr::new(ip(host), port).into()
}

/// Two networks over a link in memory, both of this worker's stacks.
fn networks() -> (Network, Network) {
    let (here, there) = ostia_link::memory::pair(&ostia_link::MemoryConfig::default());
    let network = |number: u8, link| {
        let config = NetConfig::new([number; 32]).with_address(ip(number), 24);
        let engine = StackEngine::new(Box::new(link), &config).expect("a stack");
        Network::of_engine(Box::new(engine)).expect("in a runtime")
    };
    (network(1, here), network(2, there))
}

fn pattern(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|at| (at + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]).collect()
}

async fn read_all(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.recv().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Runs a test on each driver, on the first of three workers, with the others.
fn everywhere<F: Future<Output = ()>>(test: impl Fn(Network, Network, Vec<WorkerId>) -> F) {
    for driver in drivers() {
        println!("on {driver:?}");
        let mut runtime = runtime(driver, 3);
        runtime.block_on(async {
            let (near, far) = networks();
            let others = workers().split_off(1);
            timeout(PATIENCE, test(near, far, others)).await.expect("in time");
        });
        runtime.shutdown(Duration::from_secs(5));
    }
}

/// Runs a task to its end on a worker, over a network.
async fn on<F, T>(worker: WorkerId, network: &Network, task: impl FnOnce() -> F + Send + 'static) -> T
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    network.scope(async { spawn_on(worker, task).await.expect("no panic") }).await
}

#[test]
fn a_server_over_a_stack_has_all_workers() {
    everywhere(|near, far, _| async move {
        let (handle, serving) = near
            .scope(async {
                let server = Server::builder().listen(at(1, 80)).build().expect("a server");
                let handle = server.handle();
                let serving = ostia::spawn(server.run(|mut stream: Stream, _| async move {
                    while let Some(chunk) = until_stop(stream.recv()).await?? {
                        stream.send(chunk).await?;
                    }
                    io::Result::Ok(())
                }));
                (handle, serving)
            })
            .await;
        let mut clients = Vec::new();
        // From the moment at which all workers listen they are dealt out in turn.
        while handle.connections_each().iter().any(|&connections| connections < 10) && clients.len() < 1000 {
            clients.push(far.connect(&at(1, 80)).await.expect("connects"));
        }
        let count = clients.len();
        let mut all = JoinSet::new();
        for (number, mut client) in clients.into_iter().enumerate() {
            all.spawn(async move {
                let data = pattern(100_000, number as u64);
                client.send(data.clone()).await.expect("sent");
                let mut back = Vec::new();
                while back.len() < data.len() {
                    back.extend_from_slice(&client.recv().await.expect("no error").expect("not the end"));
                }
                assert!(back == data, "other bytes came back to client {number}");
                client
            });
        }
        let mut open = Vec::new();
        while let Some(client) = all.join_next().await {
            open.push(client.expect("no panic"));
        }
        let each = handle.connections_each();
        assert_eq!(each.iter().sum::<usize>(), count);
        assert!(each.iter().all(|&connections| connections >= 10), "{each:?}");
        handle.stop();
        drop(open);
        let served = serving.await.expect("no panic").expect("served");
        assert_eq!((served.accepted, served.aborted), (count, 0));
    });
}

#[test]
fn streams_of_a_branch_carry_all_and_end() {
    everywhere(|near, far, others| async move {
        let mut listener = far.listen(&at(2, 80), ListenOptions::default()).await.expect("listens");
        let data = pattern(5 << 20, 3);
        let sent = data.clone();
        let client = ostia::spawn(async move {
            let network = near;
            on(others[1], &network, move || async move {
                let mut stream = Stream::connect(&at(2, 80)).await.expect("connects");
                assert_eq!(stream.peer_addr().expect("a peer").ip(), Some(SocketAddr::new(ip(2), 80)));
                assert_eq!(stream.local_addr().expect("an address").ip().map(|local| local.ip()), Some(ip(1)));
                for piece in sent.chunks(10_000) {
                    stream.send(piece.to_vec()).await.expect("sent");
                }
                stream.shutdown(Shutdown::Write).await.expect("ends");
                read_all(&mut stream).await.expect("all")
            })
            .await
        });
        let mut served = listener.accept().await.expect("accepts");
        assert!(read_all(&mut served).await.expect("all") == data, "other bytes");
        served.send(data.clone()).await.expect("sent");
        served.shutdown(Shutdown::Write).await.expect("ends");
        assert!(client.await.expect("no panic") == data, "other bytes back");
    });
}

/// What nobody reads at a branch stays with its sender: the windows between them are bounded.
#[test]
fn a_branch_that_does_not_read_holds_its_peer_up() {
    everywhere(|near, far, others| async move {
        let mut listener = far.listen(&at(2, 80), ListenOptions::default()).await.expect("listens");
        let (go, gone) = ostia::sync::oneshot::channel::<()>();
        let reader = ostia::spawn(async move {
            on(others[0], &near, move || async move {
                let mut stream = Stream::connect(&at(2, 80)).await.expect("connects");
                gone.await.expect("told");
                read_all(&mut stream).await.expect("all").len()
            })
            .await
        });
        let mut served = listener.accept().await.expect("accepts");
        let mut sent = 0;
        // It is over when nothing has found room for a while.
        while timeout(Duration::from_millis(300), served.send(vec![7; 64 << 10])).await.is_ok_and(|sent| sent.is_ok()) {
            sent += 64 << 10;
            assert!(sent < 8 << 20, "nothing holds the sender up");
        }
        go.send(()).expect("it waits");
        served.send(b"the last".to_vec()).await.expect("there is room again");
        served.shutdown(Shutdown::Write).await.expect("ends");
        let read = reader.await.expect("no panic");
        // The send that was given up has gone or has not.
        assert!([sent + 8, sent + 8 + (64 << 10)].contains(&read), "{read} of {sent}");
    });
}

#[test]
fn a_reset_reaches_a_branch() {
    everywhere(|near, far, others| async move {
        let mut listener = far.listen(&at(2, 80), ListenOptions::default()).await.expect("listens");
        let broken = ostia::spawn(async move {
            on(others[0], &near, || async {
                let mut stream = Stream::connect(&at(2, 80)).await.expect("connects");
                let first = stream.recv().await.expect_err("reset").kind();
                (first, stream.send(b"late".to_vec()).await.is_err())
            })
            .await
        });
        let served = listener.accept().await.expect("accepts");
        served.set_linger(Some(Duration::ZERO)).expect("an option");
        drop(served);
        assert_eq!(broken.await.expect("no panic"), (io::ErrorKind::ConnectionReset, true));
    });
}

#[test]
fn errors_of_a_branch_are_those_of_the_stack() {
    everywhere(|near, far, others| async move {
        let _taken = near.listen(&at(1, 80), ListenOptions::default()).await.expect("listens");
        let told = on(others[0], &near, || async {
            let taken = Listener::bind(&at(1, 80)).expect_err("in use").kind();
            let foreign = Listener::bind(&at(9, 80)).expect_err("not local").kind();
            let refused = Stream::connect(&at(2, 9)).await.expect_err("nobody listens").kind();
            (taken, foreign, refused)
        });
        assert_eq!(told.await, (io::ErrorKind::AddrInUse, io::ErrorKind::AddrNotAvailable, io::ErrorKind::ConnectionRefused));
        drop(far);
    });
}

#[test]
fn datagrams_of_a_branch_go_both_ways() {
    everywhere(|near, far, others| async move {
        let mut socket = far.bind_datagrams(SocketAddr::new(ip(2), 53), UdpOptions::default()).expect("binds");
        let asker = ostia::spawn(async move {
            on(others[1], &near, || async {
                let mut socket = UdpSocket::bind(SocketAddr::new(ip(1), 0)).expect("binds");
                let local = socket.local_addr().expect("an address");
                let mut heard = Vec::new();
                for number in 0..200u8 {
                    let (sent, _) = socket.send_to(vec![number; 1000], SocketAddr::new(ip(2), 53)).await;
                    sent.expect("sent");
                    let (received, data) = socket.recv_from(Vec::with_capacity(2000)).await;
                    assert_eq!(received.expect("received"), (1000, SocketAddr::new(ip(2), 53)));
                    heard.push(data[0]);
                }
                (local, heard)
            })
            .await
        });
        let mut senders = Vec::new();
        for _ in 0..200 {
            let (received, data) = socket.recv_from(Vec::with_capacity(2000)).await;
            let (_, from) = received.expect("received");
            senders.push(from);
            let (sent, _) = socket.send_to(data, from).await;
            sent.expect("sent");
        }
        let (local, heard) = asker.await.expect("no panic");
        assert!(senders.iter().all(|&from| from == local));
        assert!(heard.into_iter().eq(0..200));
    });
}

/// This listener has all of these clients: it greets each, and each hears it.
async fn all_are_greeted(listener: &mut Listener, clients: &mut [Stream]) {
    for _ in &*clients {
        let mut served = timeout(Duration::from_secs(10), listener.accept()).await.expect("in time").expect("accepts");
        served.send(b"salve".to_vec()).await.expect("sent");
        served.close().await.expect("closes");
    }
    for client in clients {
        assert_eq!(read_all(client).await.expect("greeted"), b"salve");
    }
}

/// Connections that were dealt to a listener that closes go to those that stay.
#[test]
fn a_listener_that_leaves_its_group_hands_its_connections_on() {
    everywhere(|near, far, _| async move {
        let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
        let mut stays = near.listen(&at(1, 80), shared).await.expect("listens");
        let leaves = near.listen(&at(1, 80), shared).await.expect("listens too");
        let alone = near.listen(&at(1, 80), ListenOptions::default()).await.expect_err("not shared");
        assert_eq!(alone.kind(), io::ErrorKind::AddrInUse);
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(far.connect(&at(1, 80)).await.expect("connects"));
        }
        leaves.close().await.expect("closes");
        all_are_greeted(&mut stays, &mut clients).await;
    });
}

/// What is on its way to a listener of a branch that closes goes to those that stay, too.
#[test]
fn a_listener_of_a_branch_that_leaves_hands_its_connections_on() {
    everywhere(|near, far, others| async move {
        let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
        let mut stays = near.listen(&at(1, 80), shared).await.expect("listens");
        let (ready, is_ready) = ostia::sync::oneshot::channel::<()>();
        let (go, gone) = ostia::sync::oneshot::channel::<()>();
        let network = near.clone();
        let leaving = ostia::spawn(async move {
            let leaves = move || async move {
                let listener = Listener::bind_with(&at(1, 80), shared).expect("listens too");
                ready.send(()).expect("it waits");
                gone.await.expect("told");
                listener.close().await.expect("closes");
            };
            on(others[0], &network, leaves).await;
        });
        is_ready.await.expect("told");
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(far.connect(&at(1, 80)).await.expect("connects"));
        }
        go.send(()).expect("it waits");
        leaving.await.expect("no panic");
        all_are_greeted(&mut stays, &mut clients).await;
    });
}

/// A server listens on the network that was current when it was built, on every worker.
#[test]
fn a_server_stays_on_the_network_that_it_was_built_on() {
    everywhere(|near, far, _| async move {
        // A port that is free on the host, so that one that listens there by mistake is found.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let all = Endpoint::from(SocketAddr::from(([0, 0, 0, 0], free)));
        let server = near.scope(async { Server::builder().listen(all).build().expect("a server") }).await;
        let handle = server.handle();
        let serving = ostia::spawn(server.run(|mut stream: Stream, _| async move { stream.send(b"salve".to_vec()).await }));
        for _ in 0..3 {
            let mut client = far.connect(&at(1, free)).await.expect("connects");
            assert_eq!(read_all(&mut client).await.expect("greeted"), b"salve");
        }
        let by_the_host = std::net::TcpStream::connect(("127.0.0.1", free)).expect_err("nobody listens there");
        assert_eq!(by_the_host.kind(), io::ErrorKind::ConnectionRefused);
        handle.stop();
        serving.await.expect("no panic").expect("served");
    });
}

//! Connecting: names, races between addresses, giving up, and errors that name the address and a remedy.

mod common;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{alone, drivers, on_each, on_each_with_faults, poll_once, receive_all, runtime};
use ostia::net::{
    ConnectOptions, Endpoint, FailureKind, HostTable, ListenOptions, NetError, Network, Resolve, Resolver, Resolving, Stream,
    TcpListener, TcpStream, UdpSocket,
};
use ostia::serve::{Server, Spread};
use ostia::time::{sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(20);

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("address")
}

/// An address at which connecting neither succeeds nor fails: a listener whose queue is full.
struct Silent {
    address: SocketAddr,
    _listener: rustix::fd::OwnedFd,
    _queued: Vec<std::net::TcpStream>,
}

/// None where the system refuses instead, as Windows does: then the test is counted as skipped.
fn silent(test: &str) -> Option<Silent> {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
    // The standard library starts Winsock, of which rustix knows nothing.
    drop(std::net::UdpSocket::bind(any()));
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
    bind(&listener, &any()).expect("bind");
    listen(&listener, 0).expect("listen");
    let address = SocketAddr::try_from(getsockname(&listener).expect("name")).expect("ip");
    let mut queued = Vec::new();
    let full = loop {
        match std::net::TcpStream::connect_timeout(&address, 100 * MS) {
            Ok(stream) => queued.push(stream),
            Err(error) => break error,
        }
        assert!(queued.len() < 100, "the queue never fills");
    };
    if full.kind() == io::ErrorKind::ConnectionRefused {
        common::skip(test, "a listener whose queue is full refuses, and no other address is sure to be silent");
        return None;
    }
    Some(Silent { address, _listener: listener, _queued: queued })
}

/// An address at which nobody listens.
fn closed() -> SocketAddr {
    StdListener::bind(any()).expect("bind").local_addr().expect("address")
}

/// A resolver that gives these addresses for any name, ports and all.
struct Fixed(Vec<SocketAddr>, Arc<AtomicUsize>);

impl Resolve for Fixed {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolving<'a> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(self.0.clone()) })
    }
}

fn fixed(addresses: &[SocketAddr]) -> Network {
    Network::kernel().with_resolver(Resolver::custom(Fixed(addresses.to_vec(), Arc::default())))
}

fn name() -> Endpoint {
    "harbour.test:1".parse().expect("an endpoint")
}

#[test]
fn the_first_that_answers_wins() {
    let Some(silent) = silent("the_first_that_answers_wins") else { return };
    on_each_with_faults(|| async {
        let mut listener = TcpListener::bind(any()).expect("bind");
        let good = listener.local_addr().expect("address");
        for addresses in [
            vec![good],
            vec![closed(), good],
            vec![silent.address, good],
            vec![closed(), silent.address, closed(), good],
            vec!["[::1]:1".parse().expect("address"), silent.address, good],
        ] {
            let network = fixed(&addresses);
            let options = ConnectOptions { attempt_delay: 10 * MS, ..ConnectOptions::default() };
            let mut stream = timeout(PATIENCE, network.connect_with(&name(), options)).await.expect("in time").expect("connects");
            assert_eq!(stream.peer_addr().expect("peer").ip(), Some(good));
            let mut accepted = listener.accept().await.expect("accepts");
            stream.send("ahoy").await.expect("sent");
            drop(stream);
            assert_eq!(receive_all(&mut accepted).await, b"ahoy");
        }
    });
}

#[test]
fn all_that_fail_give_the_last_error_and_time_limits_hold() {
    let Some(silent) = silent("all_that_fail_give_the_last_error_and_time_limits_hold") else { return };
    on_each(|| async {
        let (one, two) = (closed(), closed());
        let error = fixed(&[one, two]).connect(&name()).await.expect_err("nobody listens");
        assert_eq!(NetError::of(&error).expect("named").kind(), FailureKind::Refused);
        let limited = ConnectOptions { timeout: Some(30 * MS), attempt_delay: 10 * MS, ..ConnectOptions::default() };
        let error = fixed(&[one, silent.address]).connect_with(&name(), limited).await.expect_err("no answer");
        let known = NetError::of(&error).expect("named");
        assert_eq!(
            (known.kind(), known.address(), error.kind()),
            (FailureKind::TimedOut, "harbour.test:1", io::ErrorKind::TimedOut)
        );
        let local = ConnectOptions { local: Some("[::1]:0".parse().expect("address")), ..ConnectOptions::default() };
        let error = fixed(&[one]).connect_with(&name(), local).await.expect_err("of the other family");
        assert_eq!(NetError::of(&error).expect("named").kind(), FailureKind::NotLocal);
        let mut listener = TcpListener::bind(any()).expect("bind");
        let endpoint = Endpoint::Ip(listener.local_addr().expect("address"));
        let local = ConnectOptions { local: Some("127.0.0.7:0".parse().expect("address")), ..ConnectOptions::default() };
        let stream = Stream::connect_with(&endpoint, local).await.expect("connects");
        assert_eq!(stream.local_addr().expect("address").ip().map(|a| a.ip()), Some("127.0.0.7".parse().expect("ip")));
        listener.accept().await.expect("accepts");
    });
}

/// The sockets of this process.
#[cfg(unix)]
fn sockets() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("procfs").flatten();
    links.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))).count()
}

/// The handles of this process, of which sockets are some.
#[cfg(windows)]
fn sockets() -> usize {
    ostia_port::os::process_usage().expect("to be told").handles.expect("to be told") as usize
}

#[test]
fn giving_up_closes_every_attempt() {
    if !alone("giving_up_closes_every_attempt") {
        return;
    }
    let Some(silent) = silent("giving_up_closes_every_attempt") else { return };
    on_each(|| async {
        let before = sockets();
        if before == 0 {
            // As only Wine says; without numbers the calls below are still made.
            assert!(common::wine_lacks("giving_up_closes_every_attempt/closed", "how many handles there are"));
        }
        for round in 0..20 {
            let network = fixed(&[silent.address, silent.address, silent.address]);
            let options = ConnectOptions { attempt_delay: MS, ..ConnectOptions::default() };
            let (limit, endpoint) = ((round % 7) * MS, name());
            assert!(timeout(limit, network.connect_with(&endpoint, options)).await.is_err());
            let directly = Endpoint::Ip(silent.address);
            assert!(poll_once(Stream::connect(&directly)).is_pending());
            assert!(timeout(MS, TcpStream::connect(silent.address)).await.is_err());
        }
        for _ in 0..400 {
            if sockets() == before {
                return;
            }
            sleep(5 * MS).await;
        }
        panic!("{} sockets are left, {before} were there", sockets());
    });
}

/// Whatever a future starts has its network: tasks here and on other workers, in sets, closures that may block, handlers of
/// a server on every worker.
#[test]
fn a_network_is_inherited_by_all_that_is_started() {
    fn known() -> bool {
        matches!(Network::current().resolver(), Resolver::Table(_))
    }
    for driver in drivers() {
        runtime(driver, 2).block_on(async {
            let network = Network::kernel().with_resolver(HostTable::new());
            let inside = network.scope(async {
                assert!(ostia::spawn(async { known() }).await.expect("no panic"));
                assert!(
                    ostia::spawn_named("named", async { ostia::spawn(async { known() }).await })
                        .await
                        .expect("no panic")
                        .expect("no panic")
                );
                for worker in ostia::workers() {
                    assert!(
                        ostia::spawn_on(worker, || async {
                            sleep(MS).await;
                            known()
                        })
                        .await
                        .expect("no panic")
                    );
                }
                assert!(ostia::spawn_blocking(known).await.expect("no panic"));
                let mut set = ostia::JoinSet::new();
                set.spawn(async { known() });
                assert!(set.join_next().await.expect("one").expect("no panic"));
                let builder = Server::builder().spread(Spread::RoundRobin).listen("127.0.0.1:0".parse().expect("an endpoint"));
                let server = builder.build().expect("a server");
                let (handle, address) = (server.handle(), server.addresses()[0].ip().expect("an address"));
                let asking = ostia::spawn(async move {
                    for _ in 0..4 {
                        let mut stream = TcpStream::connect(address).await.expect("connects");
                        let told = stream.recv().await.expect("received").expect("no end");
                        assert_eq!(&told[..], [1]);
                    }
                    handle.stop();
                });
                let serve = async |mut stream: Stream, _| stream.send(vec![u8::from(known())]).await;
                assert_eq!(server.run(serve).await.expect("served").accepted, 4);
                asking.await.expect("no panic");
            });
            inside.await;
            assert!(!known() && !ostia::spawn(async { known() }).await.expect("no panic"), "outside of the scope");
            assert!(!ostia::spawn_blocking(known).await.expect("no panic"), "the thread has forgotten it");
        });
    }
}

#[test]
fn names_belong_to_a_network() {
    on_each(|| async {
        let mut listener = TcpListener::bind(any()).expect("bind");
        let port = listener.local_addr().expect("address").port();
        let table = HostTable::new().with("Harbour.test", ["127.0.0.1".parse::<IpAddr>().expect("ip")]);
        let network = Network::kernel().with_resolver(table);
        let endpoint: Endpoint = format!("harbour.TEST:{port}").parse().expect("an endpoint");
        // Explicitly, and as the network of a future.
        network.connect(&endpoint).await.expect("connects");
        listener.accept().await.expect("accepts");
        let there = endpoint.clone();
        network.scope(async move { Stream::connect(&there).await }).await.expect("connects");
        listener.accept().await.expect("accepts");
        assert!(matches!(Network::current().resolver(), Resolver::Host), "outside of the scope");
        // Scopes nest, and survive being polled again.
        let inner = network.scope(async {
            sleep(MS).await;
            let outer = matches!(Network::current().resolver(), Resolver::Table(_));
            let inner = Network::kernel().scope(async { matches!(Network::current().resolver(), Resolver::Host) }).await;
            outer && inner && matches!(Network::current().resolver(), Resolver::Table(_))
        });
        assert!(inner.await);
        let local = network.listen(&"harbour.test:0".parse().expect("an endpoint"), ListenOptions::default()).await;
        assert!(local.expect("listens").local_addr().expect("address").ip().is_some());
        // The host's own resolver, off this thread.
        let there: Endpoint = format!("localhost:{port}").parse().expect("an endpoint");
        timeout(PATIENCE, Stream::connect(&there)).await.expect("in time").expect("connects");
        // Digits need no resolver.
        let network = Network::kernel().with_resolver(HostTable::new());
        assert_eq!(network.resolver().resolve("::1", 5).await.expect("itself"), ["[::1]:5".parse().expect("address")]);
    });
}

/// What was provoked, the address it must name, and what it must be.
type Case = (&'static str, String, FailureKind, io::Error);

fn check((what, address, kind, error): Case) {
    let known = NetError::of(&error).unwrap_or_else(|| panic!("{what}: {error:?} is not named"));
    assert_eq!(known.kind(), kind, "{what}: {error}");
    assert_eq!(known.address(), address, "{what}: {error}");
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains(known.remedy()) && !known.remedy().is_empty(), "{what}: {text}");
}

#[test]
fn every_error_names_its_address_and_a_remedy() {
    on_each(|| async {
        let mut cases: Vec<Case> = Vec::new();
        let nobody = closed();
        let error = TcpStream::connect(nobody).await.expect_err("refused");
        cases.push(("refused", nobody.to_string(), FailureKind::Refused, error));
        let network = Network::kernel().with_resolver(HostTable::new());
        let error = network.connect(&name()).await.expect_err("no such name");
        cases.push(("name not found", "harbour.test".into(), FailureKind::NameNotFound, error));
        let invalid: Endpoint = "nowhere.invalid:1".parse().expect("an endpoint");
        let error = timeout(PATIENCE * 3, Stream::connect(&invalid)).await.expect("in time").expect_err("no such name");
        cases.push(("name not found by the host", "nowhere.invalid".into(), FailureKind::NameNotFound, error));

        let taken = TcpListener::bind(any()).expect("bind");
        let at = taken.local_addr().expect("address");
        cases.push(("address in use", at.to_string(), FailureKind::AddressInUse, TcpListener::bind(at).expect_err("in use")));
        let udp = UdpSocket::bind(any()).expect("bind");
        let at = udp.local_addr().expect("address");
        cases.push(("UDP address in use", at.to_string(), FailureKind::AddressInUse, UdpSocket::bind(at).expect_err("in use")));
        let foreign: SocketAddr = "192.0.2.77:0".parse().expect("address");
        let error = TcpListener::bind(foreign).expect_err("not ours");
        cases.push(("not local", foreign.to_string(), FailureKind::NotLocal, error));
        let broadcast: SocketAddr = "127.255.255.255:9".parse().expect("address");
        let wide = UdpSocket::bind("0.0.0.0:0".parse().expect("address")).expect("bind");
        let error = wide.send_to("x", broadcast).await.0.expect_err("not allowed");
        cases.push(("no permission", broadcast.to_string(), FailureKind::NoPermission, error));
        let error = udp.send_to(vec![0; 70_000], at).await.0.expect_err("too long");
        cases.push(("message too long", at.to_string(), FailureKind::MessageTooLong, error));

        #[cfg(unix)]
        unix::paths(&mut cases).await;
        cases.into_iter().for_each(check);
    });
}

/// What only Unix has, or lets one count.
#[cfg(unix)]
mod unix {
    use ostia::net::{Listener, UnixDatagram, UnixSeqpacket, UnixStream};

    use super::*;

    /// Errors of paths.
    pub async fn paths(cases: &mut Vec<Case>) {
        let long = format!("/tmp/{}", "x".repeat(200));
        let error = UnixStream::connect(&long).await.expect_err("too long");
        cases.push(("path too long", long.clone(), FailureKind::PathTooLong, error));
        let error = UnixDatagram::bind(&long).expect_err("too long");
        cases.push(("datagram path too long", long.clone(), FailureKind::PathTooLong, error));
        let error = Listener::bind(&Endpoint::Unix(long.clone().into())).expect_err("too long");
        cases.push(("listening path too long", long, FailureKind::PathTooLong, error));
        let error = UnixSeqpacket::connect("/nowhere/at/all").await.expect_err("no such path");
        cases.push(("no such path", "unix:/nowhere/at/all".into(), FailureKind::NoSuchPath, error));
    }

    #[test]
    fn a_refused_bind_names_the_port() {
        if rustix::process::geteuid().is_root() {
            eprintln!("skipped: root may bind any port");
            return;
        }
        on_each(|| async {
            let low: SocketAddr = "127.0.0.1:1".parse().expect("address");
            if let Err(error) = TcpListener::bind(low) {
                check(("no permission", low.to_string(), FailureKind::NoPermission, error));
            }
        });
    }

    #[test]
    fn descriptors_that_run_out_are_named() {
        if !alone("descriptors_that_run_out_are_named") {
            return;
        }
        on_each(|| async {
            let listener = TcpListener::bind(any()).expect("bind");
            let at = listener.local_addr().expect("address");
            let mut held = Vec::new();
            let now = std::fs::read_dir("/proc/self/fd").expect("procfs").count() as u64;
            let old = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let tight = rustix::process::Rlimit { current: Some(now + 20), maximum: old.maximum };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, tight).expect("setrlimit");
            while let Ok(file) = std::fs::File::open("/dev/null") {
                held.push(file);
            }
            let connecting = TcpStream::connect(at).await.expect_err("no descriptor");
            let binding = UdpSocket::bind(at).expect_err("no descriptor");
            let listening = TcpListener::bind(at).expect_err("no descriptor");
            drop(held);
            rustix::process::setrlimit(rustix::process::Resource::Nofile, old).expect("setrlimit");
            for (what, error) in [("connect", connecting), ("bind", binding), ("listen", listening)] {
                check((what, at.to_string(), FailureKind::DescriptorLimit, error));
            }
            TcpStream::connect(at).await.expect("descriptors are there again");
        });
    }

    #[test]
    fn unreachable_networks_are_named() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: a network namespace needs root");
            return;
        }
        // A thread in a network namespace of its own, which goes with it: no interface is up there.
        let tested = std::thread::spawn(|| {
            // SAFETY: only this thread's network namespace changes; its descriptors stay shared.
            if let Err(error) = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) } {
                eprintln!("skipped: no network namespace here: {error}");
                return;
            }
            on_each(|| async {
                let far: SocketAddr = "192.0.2.1:80".parse().expect("address");
                let error = TcpStream::connect(far).await.expect_err("no route");
                check(("connect", far.to_string(), FailureKind::Unreachable, error));
                let socket = UdpSocket::bind("0.0.0.0:0".parse().expect("address")).expect("bind");
                let error = socket.send_to("x", far).await.0.expect_err("no route");
                check(("send", far.to_string(), FailureKind::Unreachable, error));
            });
        });
        tested.join().expect("no panic");
    }
}

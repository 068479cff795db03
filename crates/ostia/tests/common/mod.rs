//! What the runtime's tests share: every test runs on both drivers, with and without injected faults.
#![allow(dead_code, reason = "each test file uses its part")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ostia::net::{ListenOptions, Network, Stream, TcpListener, TcpStream};
use ostia::{Config, DriverChoice, Faults, Runtime};

/// The drivers that this system has.
#[cfg(target_os = "linux")]
pub fn drivers() -> Vec<DriverChoice> {
    let mut drivers = vec![DriverChoice::Epoll];
    match ostia::why_not_uring() {
        None => drivers.push(DriverChoice::IoUring),
        Some(why) => eprintln!("io_uring is left out: {why}"),
    }
    drivers
}

/// The drivers that this system has.
#[cfg(not(target_os = "linux"))]
pub fn drivers() -> Vec<DriverChoice> {
    vec![DriverChoice::Auto]
}

pub fn runtime(driver: DriverChoice, workers: usize) -> Runtime {
    Runtime::builder().workers(workers).driver(driver).build().expect("a runtime")
}

/// Runs a test on one worker of each driver.
pub fn on_each<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for driver in drivers() {
        eprintln!("driver {driver:?}");
        runtime(driver, 1).block_on(test());
    }
}

/// As [`on_each`], then again with faults between port and driver, from a few seeds.
pub fn on_each_with_faults<F: Future<Output = ()>>(test: impl Fn() -> F) {
    on_each(&test);
    for driver in drivers() {
        for seed in [1, 7, 4242] {
            eprintln!("driver {driver:?} with faults of seed {seed}");
            let config = Config { driver, faults: Some(Faults::all(seed)), ..Config::default() };
            Runtime::builder().workers(1).port(config).build().expect("a runtime").block_on(test());
        }
    }
}

/// Both ends of a TCP connection.
pub async fn tcp_pair() -> (TcpStream, TcpStream) {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let address = listener.local_addr().expect("address");
    let connecting = ostia::spawn(async move { TcpStream::connect(address).await });
    let accepted = listener.accept().await.expect("accept");
    (connecting.await.expect("no panic").expect("connect"), accepted)
}

/// Both ends of a connection between two TCP/IP stacks of this worker's, over a link in memory.
pub async fn stack_pair() -> (Stream, Stream) {
    let (here, there) = ostia_link::memory::pair(&ostia_link::MemoryConfig::default());
    let network = |number: u8, link| {
        let config = ostia_net::NetConfig::new([number; 32]).with_address([10, 7, 0, number].into(), 24);
        let engine = ostia_net::StackEngine::new(Box::new(link), &config).expect("a stack");
        Network::of_engine(Box::new(engine)).expect("in a runtime")
    };
    let (near, far) = (network(1, here), network(2, there));
    let endpoint = "10.7.0.2:80".parse().expect("an endpoint");
    let mut listener = far.listen(&endpoint, ListenOptions::default()).await.expect("listens");
    let (connected, accepted) = join(near.connect(&endpoint), listener.accept()).await;
    (connected.expect("connects"), accepted.expect("accepts"))
}

/// What [`stream_pair`] gives.
#[cfg(unix)]
pub type LocalStream = ostia::net::UnixStream;
/// What [`stream_pair`] gives.
#[cfg(not(unix))]
pub type LocalStream = TcpStream;

/// Two streams that are connected to each other, of the simplest kind that the system has.
#[cfg(unix)]
pub fn stream_pair() -> (LocalStream, LocalStream) {
    LocalStream::pair().expect("a pair")
}

/// Two streams that are connected to each other, of the simplest kind that the system has.
#[cfg(not(unix))]
pub fn stream_pair() -> (LocalStream, LocalStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let one = std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (other, _) = listener.accept().expect("accept");
    (TcpStream::from_std(one).expect("in a runtime"), TcpStream::from_std(other).expect("in a runtime"))
}

/// Polls a future once, with a waker of nobody's, and drops it.
pub fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Bytes that tell their place.
pub fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]).collect()
}

/// Awaits two futures at once, in one task.
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut out_a, mut out_b) = (None, None);
    std::future::poll_fn(move |cx| {
        if out_a.is_none()
            && let Poll::Ready(out) = a.as_mut().poll(cx)
        {
            out_a = Some(out);
        }
        if out_b.is_none()
            && let Poll::Ready(out) = b.as_mut().poll(cx)
        {
            out_b = Some(out);
        }
        if out_a.is_none() || out_b.is_none() {
            return Poll::Pending;
        }
        out_a.take().zip(out_b.take()).map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Receives until the end.
pub async fn receive_all(stream: &mut Stream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.recv().await.expect("recv") {
        all.extend_from_slice(&chunk);
    }
    all
}

/// Reports that the test `name` (`test/part` for only a part of it) can't run here.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED {name}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("OSTIA_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        // One write call per line: lines of tests that run at the same time do not mix.
        file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()))
            .expect("the list of skipped tests can be written");
    }
}

/// Whether this is Windows as Wine has it.
pub fn is_wine() -> bool {
    #[cfg(windows)]
    let wine = ostia_port::os::wine_version().is_some();
    #[cfg(not(windows))]
    let wine = false;
    wine
}

/// Skips the test `name` (or `test/part`) under Wine, which lacks what it asks for.
pub fn wine_lacks(name: &str, what: &str) -> bool {
    let lacks = is_wine();
    if lacks {
        skip(name, &format!("Wine 8 lacks this: {what}"));
    }
    lacks
}

/// Runs a test of its file in a process of its own, where nobody else opens descriptors. True in that process.
pub fn alone(test: &str) -> bool {
    if std::env::var_os("OSTIA_ALONE").is_some() {
        return true;
    }
    let mut again = std::process::Command::new(std::env::current_exe().expect("this program"));
    let status = again.args(["--exact", test, "--nocapture"]).env("OSTIA_ALONE", "1").status().expect("runs");
    assert!(status.success(), "{test} failed in a process of its own");
    false
}

//! A link that goes away: whatever waits for its network ends with an error, once, and so does what comes later.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ostia_link::{MemoryConfig, memory};
use ostia_net::{NetConfig, StackEngine};
use ostia_port::{Completion, Config, DriverChoice, EngineId, Op, Port, SocketSpec, os};

/// As long as anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn port(driver: DriverChoice) -> (Port, EngineId, memory::Memory) {
    let mut port = Port::with(Config { driver, ..Config::default() }).expect("a port");
    let (link, other_end) = memory::pair(&MemoryConfig::default());
    let config = NetConfig::new([1; 32]).with_address("10.7.0.2".parse().expect("an address"), 24);
    let engine = port.add_engine(Box::new(StackEngine::new(Box::new(link), &config).expect("a stack")));
    (port, engine, other_end)
}

/// Waits until all of these are done.
fn all(port: &mut Port, count: usize) -> Vec<Completion> {
    let (until, mut done) = (Instant::now() + PATIENCE, Vec::new());
    while done.len() < count {
        assert!(Instant::now() < until, "{} of {count}; outstanding {:?}", done.len(), port.outstanding());
        port.wait(Some(Duration::from_millis(20))).expect("the port works");
        done.extend(std::iter::from_fn(|| port.next()));
    }
    done
}

#[test]
fn what_waits_is_told() {
    let drivers: &[DriverChoice] =
        if cfg!(target_os = "linux") { &[DriverChoice::Auto, DriverChoice::Epoll] } else { &[DriverChoice::Auto] };
    for &driver in drivers {
        let (mut port, engine, other_end) = port(driver);
        let here = |port| SocketAddr::from(([10, 7, 0, 2], port));
        let listener = port
            .open_socket(engine, SocketSpec::Listener { local: here(80), backlog: 8, reuse_port: false }, 0)
            .expect("listens");
        let multi = port
            .open_socket(engine, SocketSpec::Listener { local: here(81), backlog: 8, reuse_port: false }, 0)
            .expect("listens");
        let stream = port.open_socket(engine, SocketSpec::Stream { local: None }, 0).expect("a socket");
        let spec = SocketSpec::Datagram { local: here(53) };
        let datagrams = port.open_socket(engine, spec, 0).expect("a socket");
        port.submit(Op::Accept { listener }, 1);
        port.submit(Op::AcceptMulti { listener: multi }, 2);
        port.submit(Op::Connect { socket: stream, address: SocketAddr::from(([10, 7, 0, 1], 80)).into() }, 3);
        port.submit(Op::recv_from(datagrams, Vec::with_capacity(100)), 4);
        port.wait(Some(Duration::ZERO)).expect("the port works");
        assert!(port.next().is_none(), "nothing has happened yet");

        drop(other_end);
        let mut done = all(&mut port, 4);
        done.sort_by_key(|done| done.context);
        for (context, done) in (1..).zip(done) {
            assert_eq!(done.context, context);
            assert_eq!(done.result.expect_err("the link is gone").raw_os_error(), Some(os::ENETDOWN), "{context}");
        }

        port.submit(Op::Accept { listener }, 5);
        port.submit(Op::recv_from(datagrams, Vec::with_capacity(100)), 6);
        for done in all(&mut port, 2) {
            assert_eq!(done.result.expect_err("the link is gone").raw_os_error(), Some(os::ENETDOWN), "{}", done.context);
        }
        // A port without work waits as long as it is told, which is all that can be seen of its not going round and round.
        port.wait(Some(Duration::from_millis(20))).expect("the port works");
        assert!(port.next().is_none());
    }
}

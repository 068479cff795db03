//! What there is to see of a network while two stacks talk to each other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ostia_link::{MemoryConfig, memory};
use ostia_net::{NetConfig, Overview, Protocol, StackEngine};
use ostia_port::{Address, EngineId, Op, Port, SocketSpec};
use ostia_stack::State;

fn host(number: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 7, 0, number], port))
}

fn overview(port: &mut Port, engine: EngineId) -> Overview {
    let engine: &mut dyn std::any::Any = port.engine_mut(engine).expect("an engine");
    engine.downcast_mut::<StackEngine>().expect("a stack").overview()
}

/// Turns until it looks so.
fn until(port: &mut Port, engine: EngineId, is_so: impl Fn(&Overview) -> bool) -> Overview {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = overview(port, engine);
        if is_so(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "never so: {seen:#?}");
        port.wait(Some(Duration::from_millis(5))).expect("the port works");
        while port.next().is_some() {}
    }
}

#[test]
fn sockets_show_with_their_queues_and_their_ends() {
    let mut port = Port::new().expect("a port");
    let (here, there) = memory::pair(&MemoryConfig::default());
    let mut stack = |number: u8, link| {
        let config = NetConfig::new([number; 32]).with_address(host(number, 0).ip(), 24);
        port.add_engine(Box::new(StackEngine::new(Box::new(link), &config).expect("a stack")))
    };
    let (one, two) = (stack(1, here), stack(2, there));
    let listener = SocketSpec::Listener { local: host(2, 80), backlog: 8, reuse_port: false };
    port.open_socket(two, listener, 0).expect("a listener");
    let udp = port.open_socket(two, SocketSpec::Datagram { local: host(2, 53) }, 0).expect("a socket");
    let client = port.open_socket(one, SocketSpec::Stream { local: None }, 0).expect("a socket");
    port.submit(Op::Connect { socket: client, address: Address::from(host(2, 80)) }, 1);
    // Nobody accepts: the connection waits, without a program.
    let seen = until(&mut port, two, |seen| seen.sockets.iter().any(|socket| socket.receive_queue == 1));
    let states: Vec<_> = seen.sockets.iter().map(|socket| (socket.protocol.as_str(), socket.state)).collect();
    assert_eq!(states, [("tcp", State::Listen), ("udp", State::Closed), ("tcp", State::Established)]);
    assert_eq!((seen.sockets[0].local, seen.sockets[1].local), (host(2, 80), host(2, 53)));
    assert_eq!(seen.census.0, 1);
    assert!(seen.counters.contains(&("TcpPassiveOpens", 1)) && seen.link.statistics.received.frames > 0);
    assert_eq!((seen.addresses.len(), seen.link.gone), (1, None));
    // The client's side has the figures.
    let seen = until(&mut port, one, |seen| seen.sockets.iter().any(|socket| socket.state == State::Established));
    let socket = &seen.sockets[0];
    assert_eq!((socket.peer, socket.send_queue, socket.receive_queue), (Some(host(2, 80)), 0, 0));
    let info = socket.info.as_ref().expect("figures");
    assert!(info.tcpi_snd_cwnd > 0 && info.tcpi_snd_mss > 0 && socket.protocol == Protocol::Tcp);
    // What comes and is not read waits.
    let to = Some(Address::from(host(2, 53)));
    let other = port.open_socket(one, SocketSpec::Datagram { local: host(1, 0) }, 0).expect("a socket");
    assert!(port.try_send_msg(other, b"ahoy", to.as_ref(), &[]).is_ready());
    until(&mut port, two, |seen| seen.sockets.iter().any(|socket| socket.local == host(2, 53) && socket.receive_queue == 4));
    // Nobody listens there: a drop with a reason.
    assert!(port.try_send_msg(other, b"ahoy", Some(&Address::from(host(2, 54))), &[]).is_ready());
    until(&mut port, two, |seen| seen.counters.contains(&("UdpNoPorts", 1)));
    // A closed connection goes on without its program.
    port.submit(Op::Close { handle: client }, 2);
    until(&mut port, one, |seen| seen.sockets.iter().any(|socket| socket.state == State::FinWait2 && socket.info.is_none()));
    let _ = udp;
}

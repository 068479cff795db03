//! The virtual driver: time that jumps, files on the spot, and nothing of the kernel's that could come at any moment.

use std::time::Duration;

#[cfg(unix)]
use ostia_port::Completion;
use ostia_port::{Config, DriverChoice, DriverKind, Op, Packet, Port, VirtualTime};

fn port(time: &VirtualTime) -> Port {
    Port::with(Config { driver: DriverChoice::Virtual, virtual_time: Some(time.clone()), ..Config::default() }).expect("a port")
}

#[cfg(unix)]
fn run(port: &mut Port, op: Op) -> Completion {
    port.submit(op, 1);
    for _ in 0..10 {
        port.wait(Some(Duration::ZERO)).expect("works");
        if let Some(done) = port.next() {
            return done;
        }
    }
    panic!("it is not done at once");
}

#[test]
fn time_jumps_to_whatever_is_next() {
    let time = VirtualTime::new();
    let mut port = port(&time);
    assert_eq!(port.driver(), DriverKind::Virtual);
    let began = port.now();
    for (after, context) in [(3000, 3), (1000, 1), (2000, 2)] {
        port.submit(Op::Timeout { after: Duration::from_secs(after) }, context);
    }
    time.alarm(1_500_000_000_000);
    let mut seen = Vec::new();
    while let Ok(()) = port.wait(None) {
        let now = port.now() - began;
        assert_eq!((now.as_nanos(), port.fresh_now()), (time.nanos().into(), port.now()));
        seen.push((now.as_secs(), port.next().map(|done| done.context)));
    }
    assert!(seen.contains(&(1500, None)), "an alarm is a stop: {seen:?}");
    // The wheel of timers has stops of its own.
    seen.retain(|(_, context)| context.is_some());
    assert_eq!(seen, [(1000, Some(1)), (2000, Some(2)), (3000, Some(3))]);
    let error = port.wait(None).expect_err("nothing can happen any more");
    assert!(error.to_string().contains("nothing can happen"), "{error}");
    // Only for ever is an error: other waits end.
    port.wait(Some(Duration::from_secs(5))).expect("waits");
    assert_eq!(time.nanos(), 3_005_000_000_000);
}

#[test]
fn what_others_post_is_not_missed() {
    let time = VirtualTime::new();
    let mut port = port(&time);
    let remote = port.remote();
    let posted = std::thread::spawn(move || remote.post(Packet { key: 1, context: 2, result: 3 }));
    let _ = posted.join().expect("no panic");
    port.wait(None).expect("there is something");
    assert_eq!((port.next().map(|done| done.context), time.nanos()), (Some(2), 0));
}

#[cfg(unix)]
#[test]
fn files_are_read_and_written_while_time_stands_still() {
    let path = std::env::temp_dir().join(format!("ostia-simulated-{}", std::process::id()));
    std::fs::write(&path, b"hello, harbour").expect("written");
    let time = VirtualTime::new();
    let mut port = port(&time);
    let file = std::fs::File::options().read(true).write(true).open(&path).expect("opened");
    let file = port.adopt(file, 0).expect("adopted");
    let read = run(&mut port, Op::ReadAt { file, buffer: Vec::with_capacity(100), offset: 7 });
    assert_eq!(read.payload.into_vec(), b"harbour");
    let written = run(&mut port, Op::WriteAt { file, data: b"H".to_vec().into(), offset: 7 });
    assert_eq!(written.result.expect("written"), 1);
    run(&mut port, Op::Fsync { file, data_only: false }).result.expect("synced");
    assert_eq!((std::fs::read(&path).expect("read"), time.nanos()), (b"hello, Harbour".to_vec(), 0));
    std::fs::remove_file(&path).expect("removed");
}

#[cfg(unix)]
#[test]
fn what_the_kernel_would_end_in_real_time_is_refused() {
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use ostia_port::os;

    let mut port = port(&VirtualTime::new());
    // Nobody knows when a pipe has something or room, even where it has now.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writer, b"there").expect("written");
    let (from, to) = (port.adopt(reader, 0).expect("adopted"), port.adopt(writer, 0).expect("adopted"));
    let (stream, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
    let socket = port.adopt(stream, 0).expect("adopted");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("an address");
    let _client = TcpStream::connect(address).expect("connects");
    let listener = port.adopt(listener, 0).expect("adopted");
    let refused = [
        Op::Read { file: from, buffer: Vec::with_capacity(1) },
        Op::RecvInto { socket: from, buffer: Vec::with_capacity(1) },
        Op::ReadMulti { file: from },
        Op::Write { file: to, data: b"x".to_vec().into() },
        Op::Poll { handle: from, events: os::POLLIN },
        Op::Splice { from, to, len: 1 },
        Op::Recv { socket },
        Op::RecvMulti { socket },
        Op::RecvInto { socket, buffer: Vec::with_capacity(1) },
        Op::recv_from(socket, Vec::with_capacity(1)),
        Op::Send { socket, data: b"x".to_vec().into() },
        Op::SendZc { socket, data: vec![0; 100_000].into() },
        Op::SendVectored { socket, data: vec![b"x".to_vec().into(), b"y".to_vec().into()] },
        Op::Poll { handle: socket, events: os::POLLOUT },
        Op::Accept { listener },
        Op::AcceptMulti { listener },
        Op::FutexWait { word: Arc::new(AtomicU32::new(1)), expected: 1 },
    ];
    for op in refused {
        let what = format!("{op:?}");
        let done = run(&mut port, op);
        assert_eq!(done.result.expect_err(&what).raw_os_error(), Some(os::EOPNOTSUPP), "{what}");
        assert!(!done.more, "{what}");
    }
    // Valgrind does not know pidfd_open(2).
    if std::env::var_os("OSTIA_VALGRIND").is_none() {
        let mut child = std::process::Command::new("sh").args(["-c", "exit 7"]).spawn().expect("starts");
        let done = run(&mut port, Op::WaitPid { pid: child.id() as i32 });
        assert_eq!(done.result.expect_err("refused").raw_os_error(), Some(os::EOPNOTSUPP));
        assert_eq!(child.wait().expect("left to whoever started it").code(), Some(7));
    }
}

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
    // Nobody knows when a pipe has something, or a socket of the kernel's.
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let reader = port.adopt(reader, 0).expect("adopted");
    let refused = run(&mut port, Op::Read { file: reader, buffer: Vec::with_capacity(1) });
    assert_eq!(refused.result.expect_err("refused").raw_os_error(), Some(ostia_port::os::EOPNOTSUPP));
    let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
    let socket = port.adopt(socket, 0).expect("adopted");
    for op in [Op::Recv { socket }, Op::Send { socket, data: b"x".to_vec().into() }] {
        assert_eq!(run(&mut port, op).result.expect_err("refused").raw_os_error(), Some(ostia_port::os::EOPNOTSUPP));
    }
}

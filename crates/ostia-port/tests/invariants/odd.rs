//! Invariant 7 at its edges: transfers of nothing, and pipes received from as if they were sockets.

use std::time::Duration;

use ostia_port::os::{self, AsRawFd};
use ostia_port::{Buffer, Handle, Op, Payload};

use crate::common::peers::{pipe, tcp_pair};
use crate::common::system::write;
use crate::common::{World, on_every_engine};

/// Each of these operations fails with one of its errors, and gives its buffer back.
pub fn each_fails(world: &mut World, table: Vec<(Op, &[i32])>) {
    for (op, allowed) in table {
        let what = format!("{op:?}");
        let has_buffer = what.contains("buffer") || what.contains("data: St");
        let done = world.run(op);
        let errno = done.result.as_ref().err().and_then(std::io::Error::raw_os_error);
        assert!(errno.is_some_and(|errno| allowed.contains(&errno)), "{what}: {:?}, want one of {allowed:?}", done.result);
        assert!(!has_buffer || !matches!(done.payload, Payload::None), "{what}: the buffer did not come back");
    }
}

/// 7: empty transfers complete, and complete with nothing.
#[test]
fn i07_empty_sends_complete() {
    on_every_engine("i07_empty_sends_complete", |engine| {
        let mut world = World::new(engine.config());
        let (near, mut far) = tcp_pair();
        let socket: Handle = world.port.adopt(near, 0).expect("adopts");
        let empty = || Buffer::Static(b"");
        for op in [
            Op::Send { socket, data: empty() },
            Op::SendZc { socket, data: empty() },
            Op::SendVectored { socket, data: vec![] },
            Op::SendVectored { socket, data: vec![empty(), empty()] },
            Op::SendMsg { socket, message: Box::default() },
            Op::Send { socket, data: b"!".into() },
        ] {
            let what = format!("{op:?}");
            let done = world.run(op);
            assert!(done.result.is_ok(), "{what}: {:?}", done.result);
        }
        let mut got = [0; 1];
        far.set_read_timeout(Some(Duration::from_secs(20))).expect("SO_RCVTIMEO");
        std::io::Read::read_exact(&mut far, &mut got).expect("arrives");
        assert_eq!(&got, b"!");
        assert!(world.port.descriptor(socket).expect("open").as_raw_fd() > 2);
    });
}

/// 7: receives into a buffer of one's own work on a pipe, beside those into the pool's, and lose nothing when cancelled.
#[test]
fn i07_a_pipe_is_received_from_in_every_way() {
    on_every_engine("i07_a_pipe_is_received_from_in_every_way", |engine| {
        let mut world = World::new(engine.config());
        let (near, far) = pipe();
        let socket = world.port.adopt(near, 0).expect("adopts");
        let total = 40_000usize;
        let byte = |at: usize| (at % 251) as u8;
        let writing = std::thread::spawn(move || {
            for from in (0..total).step_by(500) {
                let part: Vec<u8> = (from..from + 500).map(byte).collect();
                assert_eq!(write(&far, &part), Ok(500));
                if from % 4000 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let mut got = Vec::new();
        for round in 0.. {
            let (id, context) = match round % 3 {
                0 => world.submit(Op::Recv { socket }),
                _ => world.submit(Op::RecvInto { socket, buffer: Vec::with_capacity(1 + round * 37 % 3000) }),
            };
            if round % 5 == 4 {
                world.turns(round % 2);
                world.port.cancel(id);
            }
            let done = world.take(context);
            match done.result {
                Err(error) if error.raw_os_error() == Some(os::ECANCELED) => continue,
                Ok(0) => break,
                read => assert!(read.is_ok(), "{read:?}"),
            }
            match done.payload {
                Payload::Chunk(chunk) => got.extend_from_slice(&chunk),
                Payload::Buffer(buffer) => got.extend_from_slice(&buffer),
                _ => panic!("bytes"),
            }
        }
        writing.join().expect("no panic");
        assert_eq!(got.len(), total);
        assert!(got.iter().enumerate().all(|(at, &b)| b == byte(at)), "in order");
    });
}

//! Invariants 3 and 10 for handles that leave a port or are in it twice, and for files beyond what 32 bits say.

use std::io::Write;
use std::task::Poll;

use ostia_port::{Op, os};

use crate::common::peers::{TempFile, read_up_to, tcp_pair};
use crate::common::random::{assert_pattern, pattern};
use crate::common::{World, on_every_engine, skip};

/// 10: a connection goes to another port with what was received and not taken; where Windows can't take a used one off its port it
/// stays, and works on.
#[test]
fn i10_a_connection_goes_to_another_port() {
    const NAME: &str = "i10_a_connection_goes_to_another_port";
    on_every_engine(NAME, |engine| {
        for used in [false, true] {
            let (mut here, mut there) = (World::new(engine.config()), World::new(engine.config()));
            let (near, mut far) = tcp_pair();
            let socket = here.port.adopt(near, 0).expect("adopts");
            if used {
                far.write_all(b"here").expect("sent");
                let done = here.run(Op::RecvInto { socket, buffer: Vec::with_capacity(4) });
                assert!(done.result.is_ok());
            }
            here.port.unread(socket, b"unread".to_vec().into()).expect("open");
            let (world, socket) = match here.port.release_stream(socket) {
                Ok((fd, unread)) => {
                    assert_eq!(unread.iter().flat_map(|chunk| chunk.to_vec()).collect::<Vec<u8>>(), b"unread");
                    assert!(here.port.descriptor(socket).is_err());
                    let socket = there.port.adopt(fd, 0).expect("adopts");
                    (&mut there, socket)
                }
                Err(error) => {
                    assert!(used, "no request was made of it: {error}");
                    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
                    skip(&format!("{NAME}/a used one on {}", engine.name), "Wine 8 has no FileReplaceCompletionInformation");
                    let Poll::Ready(Ok(Some(chunk))) = here.port.poll_recv(socket, 1) else { panic!("the bytes stay") };
                    assert_eq!(&*chunk, b"unread");
                    (&mut here, socket)
                }
            };
            let done = world.run(Op::Send { socket, data: b"goes on".into() });
            assert_eq!(done.result.ok(), Some(7));
            let mut got = Vec::new();
            read_up_to(&far, &mut got, 7);
            assert_eq!(got, b"goes on");
        }
    });
}

/// 3: two handles of one file are both of this port; a file that another port has is refused.
#[test]
fn i03_a_second_handle_of_a_file_is_taken() {
    on_every_engine("i03_a_second_handle_of_a_file_is_taken", |engine| {
        let mut world = World::new(engine.config());
        let file = TempFile::new(&pattern(1, 0, 5000));
        let first = file.open();
        let (second, third) = (first.try_clone().expect("a handle"), first.try_clone().expect("a handle"));
        let first = world.port.adopt(first, 0).expect("adopts");
        let second = world.port.adopt(second, 0).expect("adopts");
        for handle in [first, second, first, second] {
            let done = world.run(Op::ReadAt { file: handle, buffer: Vec::with_capacity(100), offset: 700 });
            assert!(done.result.is_ok_and(|len| len > 0));
            assert_pattern(1, 700, &done.payload.into_vec());
        }
        let mut other = World::new(engine.config());
        let file = other.port.adopt(third, 0).expect("adopts");
        let done = other.run(Op::ReadAt { file, buffer: Vec::with_capacity(100), offset: 0 });
        other.failed(&done, os::EBUSY, "its packets go elsewhere");
    });
}

/// 10: beyond 4 GiB a file is read, written and sent where it was asked for.
#[test]
fn i10_offsets_have_sixty_four_bits() {
    on_every_engine("i10_offsets_have_sixty_four_bits", |engine| {
        let mut world = World::new(engine.config());
        let temporary = TempFile::new(b"");
        // It holds nothing in between.
        let at = (5u64 << 30) + 12_345;
        let file = world.port.adopt(temporary.open(), 0).expect("adopts");
        let mut written = 0;
        while written < 1000 {
            let data = pattern(3, written, (1000 - written) as usize).into();
            written += world.run(Op::WriteAt { file, data, offset: at + written }).result.expect("writes") as u64;
        }
        let done = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(300), offset: at + 500 });
        assert!(done.result.is_ok_and(|len| len > 0));
        assert_pattern(3, 500, &done.payload.into_vec());
        let done = world.run(Op::ReadAt { file, buffer: Vec::with_capacity(300), offset: at + 1000 });
        assert_eq!(done.result.ok(), Some(0), "the end");
        let (near, far) = tcp_pair();
        let socket = world.port.adopt(near, 0).expect("adopts");
        let done = world.run(Op::SendFile { socket, head: b"".into(), file, offset: at + 10, len: 1 << 40 });
        assert_eq!(done.result.ok(), Some(990), "up to the end");
        let mut got = Vec::new();
        read_up_to(&far, &mut got, 990);
        assert_eq!(got.len(), 990);
        assert_pattern(3, 10, &got);
    });
}

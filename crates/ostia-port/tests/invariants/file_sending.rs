//! Invariant 11 for files: cold and warm ranges, truncated files, heads alone, many at once, and sends around them.

use ostia_port::{Buffer, Op, os};

use crate::common::net::{Network, Peer};
use crate::common::peers::TempFile;
use crate::common::random::{assert_pattern, pattern};
use crate::common::system::remembers_resets;
use crate::common::{World, on_every_network};

const STREAM: u64 = 31;

/// Drops a file's pages from the cache; what the system keeps in spite of that stays warm.
fn make_cold(file: &TempFile) {
    file.file.sync_all().expect("fsync");
    // Windows has no such call.
    #[cfg(unix)]
    rustix::fs::fadvise(&file.file, 0, None, rustix::fs::Advice::DontNeed).expect("fadvise");
}

/// Sends a range and compares what arrives.
fn send_and_compare(world: &mut World, file: &TempFile, head: usize, offset: u64, len: u64) {
    let (socket, far) = world.pair(0);
    let handle = world.port.adopt(file.open(), 0).expect("adopts");
    let bytes = Buffer::from(pattern(99, 0, head));
    let (_, context) = world.submit(Op::SendFile { socket, head: bytes, file: handle, offset, len });
    let mut got = Vec::new();
    let done = world.take_while(context, |_| {
        far.drain(&mut got);
    });
    assert_eq!(done.result.ok(), Some(len as usize));
    world.read_up_to(&far, &mut got, head + len as usize);
    assert_eq!(got.len(), head + len as usize);
    assert_pattern(99, 0, &got[..head]);
    assert_pattern(STREAM, offset, &got[head..]);
    world.close(socket);
    world.close(handle);
}

/// 11: ranges that are on the disk only are brought in by another thread, and what arrives is the same.
#[test]
fn i11_cold_and_warm_files_arrive_whole() {
    on_every_network("i11_cold_and_warm_files_arrive_whole", |engine| {
        let mut world = engine.world(engine.config());
        let file = TempFile::on_disk(&pattern(STREAM, 0, 3_000_000));
        for (head, offset, len) in
            [(0, 0, 3_000_000), (500, 1, 4095), (1, 999_999, 1_500_000), (200_000, 2_999_999, 1), (10, 5, 0)]
        {
            make_cold(&file);
            send_and_compare(&mut world, &file, head, offset, len);
            // And warm.
            send_and_compare(&mut world, &file, head, offset, len);
        }
        let statistics = world.port.statistics();
        if engine.network == Network::Kernel {
            assert!(statistics.file_bytes_cached >= 9_000_000, "all bytes went through sendfile");
        } else {
            assert!(statistics.file_bytes_read >= 9_000_000, "all bytes were read for the stack");
        }
        println!("{} bytes were cold", statistics.file_bytes_cold);
    });
}

/// Whether what is in the page cache can be read without waiting, which not every file system says.
#[cfg(target_os = "linux")]
fn says_what_is_warm(file: &TempFile) -> bool {
    let mut byte = [0];
    let into = &mut [std::io::IoSliceMut::new(&mut byte)];
    rustix::io::preadv2(&file.file, into, 0, rustix::io::ReadWriteFlags::NOWAIT).is_ok()
}

/// 11: what is in the page cache goes to a stack at once, without a turn for each piece, but no more of it than leaves others
/// their turn.
#[cfg(target_os = "linux")]
#[test]
fn i11_a_warm_file_is_taken_by_a_stack_at_once() {
    const NAME: &str = "i11_a_warm_file_is_taken_by_a_stack_at_once";
    crate::common::on_every_stack(NAME, |engine| {
        let mut world = engine.world(engine.config());
        let [short, long] = [100_000, 250_000].map(|len| TempFile::on_disk(&pattern(STREAM, 0, len)));
        if engine.faults {
            // They come to requests.
            return;
        }
        if !says_what_is_warm(&short) {
            return crate::common::skip(&format!("{NAME}/{}", engine.name), "the file system doesn't say what is in memory");
        }
        let ends = [(short, 100_000, true), (long, 250_000, false)].map(|(file, len, at_once)| {
            let (socket, far) = world.pair(0);
            let handle = world.port.adopt(file.open(), 0).expect("adopts");
            let before = world.port.statistics().file_bytes_read;
            let head = Buffer::from(b"head");
            let (_, context) = world.submit(Op::SendFile { socket, head, file: handle, offset: 0, len });
            assert_eq!(world.port.has_ready(), at_once, "without a turn, {len} bytes");
            let read = world.port.statistics().file_bytes_read - before;
            assert!(if at_once { read == len } else { 64 << 10 <= read && read < len }, "{read} of {len}");
            let done = world.take(context);
            assert_eq!(done.result.ok(), Some(len as usize));
            (socket, far, len as usize)
        });
        for (socket, far, len) in ends {
            let mut got = Vec::new();
            world.read_up_to(&far, &mut got, 4 + len);
            assert!(got.len() == 4 + len && got.starts_with(b"head"));
            assert_pattern(STREAM, 0, &got[4..]);
            world.close(socket);
        }
    });
}

/// 11: a file truncated while it is sent: never another file's bytes, never a hang, and the completion says how much.
#[test]
fn i11_a_file_truncated_while_it_is_sent_ends_early() {
    on_every_network("i11_a_file_truncated_while_it_is_sent_ends_early", |engine| {
        for cold in [false, true] {
            let mut world = engine.world(engine.config());
            let file = TempFile::on_disk(&pattern(STREAM, 0, 4_000_000));
            if cold {
                make_cold(&file);
            }
            let (socket, far) = world.pair(0);
            let handle = world.port.adopt(file.open(), 0).expect("adopts");
            let (_, context) = world.submit(Op::SendFile { socket, head: b"".into(), file: handle, offset: 0, len: 4_000_000 });
            let mut got = Vec::new();
            world.until("a part to arrive", |_| {
                far.drain(&mut got);
                !got.is_empty()
            });
            file.file.set_len(1000).expect("truncated");
            let done = world.take_while(context, |_| {
                far.drain(&mut got);
            });
            let sent = done.result.expect("a shorter file is no error");
            world.close(socket);
            world.read_up_to(&far, &mut got, usize::MAX);
            assert_eq!(got.len(), sent, "the completion says what the peer got");
            // Pages that were in flight when the file was cut read as zeros from there on; nothing else may differ.
            let differs = got
                .iter()
                .enumerate()
                .find(|&(at, &byte)| byte != crate::common::random::byte_at(STREAM, at as u64) && byte != 0);
            assert!(differs.is_none(), "bytes of something else at {differs:?}");
        }
    });
}

/// 11: one file to many connections at once, each with sends before and behind; none starves.
#[test]
fn i11_one_file_to_many_connections() {
    on_every_network("i11_one_file_to_many_connections", |engine| {
        let mut world = engine.world(engine.config());
        let file = TempFile::on_disk(&pattern(STREAM, 0, 1_500_000));
        make_cold(&file);
        let handle = world.port.adopt(file.open(), 0).expect("adopts");
        let mut peers: Vec<(Peer, Vec<u8>)> = Vec::new();
        let mut contexts = Vec::new();
        for _ in 0..20 {
            let (socket, far) = world.pair(0);
            contexts.push(world.submit(Op::Send { socket, data: b"before".into() }).1);
            let head = Buffer::from(b"head");
            contexts.push(world.submit(Op::SendFile { socket, head, file: handle, offset: 0, len: 1_500_000 }).1);
            contexts.push(world.submit(Op::Send { socket, data: b"behind".into() }).1);
            peers.push((far, Vec::new()));
        }
        for context in contexts {
            let done = world.take_while(context, |_| {
                for (far, got) in &mut peers {
                    far.drain(got);
                }
            });
            assert!(done.result.is_ok(), "{:?}", done.result);
        }
        for (far, got) in &mut peers {
            world.read_up_to(far, got, 1_500_016);
            assert_eq!(got.len(), 1_500_016);
            assert!(got.starts_with(b"beforehead") && got.ends_with(b"behind"));
            assert_pattern(STREAM, 0, &got[10..1_500_010]);
        }
        world.close(handle);
    });
}

/// 11: closing the file while it is being sent ends the sending, not the connection.
#[test]
fn i11_closing_a_file_ends_its_sends() {
    on_every_network("i11_closing_a_file_ends_its_sends", |engine| {
        let mut world = engine.world(engine.config());
        let file = TempFile::on_disk(&pattern(STREAM, 0, 2_000_000));
        let (socket, far) = world.narrow_pair(0);
        let handle = world.port.adopt(file.open(), 0).expect("adopts");
        let send = |world: &mut World| {
            world.submit(Op::SendFile { socket, head: b"".into(), file: handle, offset: 0, len: 2_000_000 }).1
        };
        let (running, queued) = (send(&mut world), send(&mut world));
        world.turns(3);
        let (_, closing) = world.submit(Op::Close { handle });
        let first = world.take(running);
        let sent = first.result.unwrap_or(0);
        assert!(sent < 2_000_000, "the peer has read nothing");
        let second = world.take(queued);
        world.failed(&second, os::ECANCELED, "the one behind it");
        assert_eq!(world.take(closing).result.ok(), Some(0));
        let (_, context) = world.submit(Op::Send { socket, data: b"still here".into() });
        let mut got = Vec::new();
        let done = world.take_while(context, |_| {
            far.drain(&mut got);
        });
        assert_eq!(done.result.ok(), Some(10));
        world.read_up_to(&far, &mut got, sent + 10);
        assert_eq!(got.len(), sent + 10);
        assert_pattern(STREAM, 0, &got[..sent]);
        assert!(got.ends_with(b"still here"));
    });
}

/// 11: a peer that reads a part and resets ends a file's send soon, with a receive waiting beside it or not.
#[test]
fn i11_a_reset_ends_a_files_send() {
    // More than any system takes at once.
    const LEN: u64 = 1 << 30;
    on_every_network("i11_a_reset_ends_a_files_send", |engine| {
        for (receives, reads) in [(true, 0), (true, 100_000), (true, 300_000), (false, 0), (false, 100_000)] {
            let mut world = engine.world(engine.config());
            let file = TempFile::on_disk(b"");
            file.file.set_len(LEN).expect("a file with a hole");
            let (socket, far) = world.narrow_pair(0);
            let handle = world.port.adopt(file.open(), 0).expect("adopts");
            let waiting = receives.then(|| world.submit(Op::Recv { socket }).1);
            let (_, sending) = world.submit(Op::SendFile { socket, head: b"".into(), file: handle, offset: 0, len: LEN });
            let (mut got, mut piece) = (0, [0; 16 << 10]);
            world.until("the peer to have read so much", |_| {
                got += far.try_recv(&mut piece).unwrap_or(0);
                got >= reads
            });
            far.reset();
            if let Some(waiting) = waiting {
                let done = world.take(waiting);
                assert!(done.result.is_err() || !remembers_resets(), "the reset is told");
            }
            let done = world.take(sending);
            let code = done.result.expect_err("the peer has read a part").raw_os_error();
            assert!(matches!(code, Some(os::ECONNRESET | os::EPIPE | os::ECONNABORTED)), "{code:?}");
        }
    });
}

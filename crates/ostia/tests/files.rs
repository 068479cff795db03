//! Files: read and written through the port, sent to sockets without a copy, and streams spliced into each other.

mod common;

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::rc::Rc;

use common::{drivers, on_each, on_each_with_faults, pattern, receive_all, runtime, tcp_pair};
use ostia::fs::{self, File, OpenOptions};
use ostia::{spawn, spawn_on, yield_now};

fn file_of(bytes: &[u8]) -> (tempfile::NamedTempFile, File) {
    let mut named = tempfile::NamedTempFile::new().expect("a file");
    named.write_all(bytes).expect("write");
    let open = File::from_std(named.reopen().expect("open")).expect("in a runtime");
    (named, open)
}

#[test]
fn a_file_is_made_written_synced_and_read_back() {
    on_each_with_faults(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let file = File::create(&path).await.expect("create");
        file.write_all_at(pattern(0, 300_000), 0).await.expect("write");
        let mut at = 0;
        while at < 1000 {
            let (written, buffer) = file.write_at(pattern(at, 1000 - at), 300_000 + at as u64).await;
            assert_eq!(buffer.len(), 1000 - at);
            at += written.expect("write_at");
        }
        file.sync_data().await.expect("sync");
        file.sync_all().await.expect("sync");
        let metadata = file.metadata().await.expect("metadata");
        assert!(metadata.is_file() && metadata.len() == 301_000);
        assert_eq!(fs::metadata(&path).await.expect("metadata").inode(), metadata.inode());
        drop(file);

        let file = File::open(&path).await.expect("open");
        let all = file.read_to_end(0).await.expect("read");
        assert!(all[..300_000] == pattern(0, 300_000) && all[300_000..] == pattern(0, 1000));
        assert_eq!(file.read_to_end(300_500).await.expect("read"), pattern(500, 500));
        let (read, buffer) = file.read_at(b"keep".to_vec(), 0).await;
        assert_eq!(read.expect_err("no room").raw_os_error(), Some(ostia_port::os::EINVAL));
        assert_eq!(buffer, b"keep");
        let mut buffer = b"keep".to_vec();
        buffer.reserve_exact(10);
        let (read, buffer) = file.read_at(buffer, 7).await;
        let read = read.expect("read");
        assert_eq!((&buffer[..4], &buffer[4..]), (&b"keep"[..], &pattern(7, read)[..]));

        let exists = OpenOptions::new().write(true).create_new(true).open(&path).await;
        assert_eq!(exists.expect_err("it exists").kind(), ErrorKind::AlreadyExists);
        assert_eq!(File::open(folder.path().join("none")).await.expect_err("missing").kind(), ErrorKind::NotFound);
        assert_eq!(OpenOptions::new().open(&path).await.expect_err("no access").kind(), ErrorKind::InvalidInput);
        assert_eq!(File::open("a\0b").await.expect_err("a NUL").kind(), ErrorKind::InvalidInput);
        // O_DIRECTORY; FILE_FLAG_BACKUP_SEMANTICS.
        let flags = if cfg!(windows) { 0x0200_0000 } else { 0o200_000 };
        let here = OpenOptions::new().read(true).custom_flags(flags).open(folder.path()).await.expect("a directory");
        OpenOptions::new().read(true).open_at(&here, "log").await.expect("beneath it");
    });
}

#[test]
fn a_reader_gives_every_piece_in_order_whatever_is_dropped() {
    on_each_with_faults(|| async {
        let data = pattern(0, 100_000);
        let (_named, file) = file_of(&data);
        let mut reader = file.reader(10).piece(7001);
        let mut all = Vec::new();
        loop {
            // Given up after one poll: the piece is on its way and must not be skipped.
            if let std::task::Poll::Ready(Ok(Some(piece))) = common::poll_once(reader.next()) {
                all.extend_from_slice(&piece);
            }
            match reader.next().await.expect("read") {
                Some(piece) => {
                    assert!(piece.len() <= 7001);
                    all.extend_from_slice(&piece);
                    reader.recycle(piece);
                }
                None => break,
            }
        }
        assert!(all == data[10..]);
        assert!(reader.next().await.expect("the end again").is_none());
    });
}

#[test]
fn a_file_is_sent_after_its_head_and_a_cut_one_says_so() {
    on_each_with_faults(|| async {
        let data = pattern(0, 2_000_000);
        let (named, file) = file_of(&data);
        let (mut one, other) = tcp_pair().await;
        let mut other = other.into_inner();
        let received = Rc::new(RefCell::new(Vec::new()));
        let into = Rc::clone(&received);
        let reader = spawn(async move {
            while let Some(chunk) = other.recv().await.expect("recv") {
                into.borrow_mut().extend_from_slice(&chunk);
            }
        });
        one.send("before ").await.expect("send");
        assert_eq!(one.send_file(Some("head ".into()), &file, 0..2_000_000).await.expect("send_file"), 2_000_000);
        assert_eq!(one.send_file(None, &file, 1000..1010).await.expect("send_file"), 10);
        assert_eq!(one.send_file(None, &file, 1_999_990..3_000_000).await.expect("send_file"), 10, "the file ends there");
        // What is on its way is still the file's own pages: nobody may cut them off before they have arrived.
        while received.borrow().len() < 2_000_000 + 12 + 20 {
            yield_now().await;
        }
        named.as_file().set_len(1_500_000).expect("cut");
        assert_eq!(one.send_file(None, &file, 1_400_000..2_000_000).await.expect("send_file"), 100_000);
        one.send(" after").await.expect("send");
        one.shutdown(Shutdown::Write).await.expect("shutdown");
        let mut expected = b"before head ".to_vec();
        expected.extend_from_slice(&data);
        expected.extend_from_slice(&data[1000..1010]);
        expected.extend_from_slice(&data[1_999_990..]);
        expected.extend_from_slice(&data[1_400_000..1_500_000]);
        expected.extend_from_slice(b" after");
        reader.await.expect("no panic");
        assert!(*received.borrow() == expected);
    });
}

#[test]
fn a_file_belongs_to_its_worker() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let (_named, file) = file_of(b"cargo");
            let wrong = spawn_on(other, move || async move {
                let (read, _) = file.read_at(Vec::with_capacity(9), 0).await;
                read.expect_err("elsewhere").to_string()
            });
            assert!(wrong.await.expect("no panic").contains("another worker"));
        });
    }
}

/// A relay of `count` connections: what goes in at one end comes out at the other.
async fn relay(count: usize, bytes: usize, receive_first: bool) {
    let mut tasks = Vec::new();
    for number in 0..count {
        let (client, inlet) = tcp_pair().await;
        let (outlet, server) = tcp_pair().await;
        let (mut client, mut inlet) = (client.into_inner(), inlet.into_inner());
        let (mut outlet, mut server) = (outlet.into_inner(), server.into_inner());
        tasks.push(spawn(async move {
            if receive_first {
                let chunk = inlet.recv().await.expect("recv").expect("no end");
                outlet.send(chunk).await.expect("send");
            }
            let moved = inlet.splice_to(&mut outlet, None).await.expect("splice");
            outlet.shutdown(Shutdown::Write).await.expect("shutdown");
            assert!(receive_first || moved == bytes as u64);
        }));
        tasks.push(spawn(async move {
            for piece in pattern(number, bytes).chunks(50_000) {
                client.send(piece.to_vec()).await.expect("send");
            }
            client.shutdown(Shutdown::Write).await.expect("shutdown");
            assert!(client.recv().await.expect("recv").is_none());
        }));
        tasks.push(spawn(async move {
            assert!(receive_all(&mut server).await == pattern(number, bytes));
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

#[test]
fn splicing_moves_every_byte() {
    on_each(|| async {
        relay(1, 3_000_000, false).await;
        // Bytes that the port has received already go first, by chunks.
        relay(2, 500_000, true).await;
    });
}

#[test]
fn splicing_stops_at_its_limit() {
    on_each(|| async {
        let (mut client, mut inlet) = tcp_pair().await;
        let (mut outlet, mut server) = tcp_pair().await;
        client.send(pattern(0, 1000)).await.expect("send");
        assert_eq!(inlet.splice_to(&mut outlet, Some(600)).await.expect("splice"), 600);
        assert_eq!(inlet.splice_to(&mut outlet, Some(0)).await.expect("splice"), 0);
        let mut rest = Vec::new();
        while rest.len() < 400 {
            rest.extend_from_slice(&inlet.recv().await.expect("recv").expect("no end"));
        }
        assert_eq!(rest, pattern(600, 400));
        inlet.unread(ostia::Chunk::from(rest)).expect("unread");
        assert_eq!(inlet.splice_to(&mut outlet, Some(50)).await.expect("by chunks"), 50);
        drop(outlet);
        assert!(receive_all(&mut server).await == pattern(0, 650));
    });
}

/// What only Linux has: pipes that splicing goes through.
#[cfg(target_os = "linux")]
mod pipes {
    use ostia::statistics;
    use ostia::time::sleep;

    use super::*;

    #[test]
    fn pipes_follow_the_load_and_go_when_it_is_over() {
        on_each(|| async {
            relay(20, 300_000, false).await;
            let after = statistics().await[0];
            assert_eq!(after.pipes_in_use, 0);
            assert!((1..=20).contains(&after.pipes_at_rest), "{after:?}");
            // Looked at about once a second; nobody needs them in the meantime.
            let mut looks = 0;
            while statistics().await[0].pipes_at_rest > 0 {
                looks += 1;
                assert!(looks < 100, "idle pipes stay");
                sleep(std::time::Duration::from_millis(100)).await;
            }
            relay(1, 1000, false).await;
        });
    }
}

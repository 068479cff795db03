//! Streams: what is sent arrives, whole and in order, whatever is dropped, cut short or late.

mod common;

use std::io::ErrorKind;
use std::net::Shutdown;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use common::{drivers, join, on_each, on_each_with_faults, pattern, poll_once, receive_all, runtime, tcp_pair};
use ostia::net::{Endpoint, Keepalive, Stream, TcpListener, TcpStream};
use ostia::time::{sleep, timeout};
use ostia::{Buffer, spawn, spawn_on, yield_now};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_megabyte_each_way_at_once() {
    on_each_with_faults(|| async {
        let (mut one, mut other) = tcp_pair().await;
        let data = pattern(0, 1 << 20);
        let back = spawn(async move {
            while let Some(chunk) = other.recv().await.expect("recv") {
                other.send(chunk).await.expect("send");
            }
            other.shutdown(Shutdown::Write).await.expect("shutdown");
        });
        let (mut receiver, mut sender) = one.split();
        let sending = async {
            for piece in data.chunks(10_007) {
                sender.send(piece.to_vec()).await.expect("send");
            }
            sender.shutdown().await.expect("shutdown");
        };
        let receiving = async {
            let mut all = Vec::new();
            while let Some(chunk) = receiver.recv().await.expect("recv") {
                all.extend_from_slice(&chunk);
            }
            all
        };
        let ((), all) = join(sending, receiving).await;
        assert!(all == data);
        back.await.expect("no panic");
    });
}

#[test]
fn dropping_a_receive_loses_no_byte() {
    on_each_with_faults(|| async {
        let (mut one, mut other) = tcp_pair().await;
        let data = pattern(3, 200_000);
        let sending = data.clone();
        let sender = spawn(async move {
            for (i, piece) in sending.chunks(997).enumerate() {
                other.send(piece.to_vec()).await.expect("send");
                if i % 7 == 0 {
                    yield_now().await;
                }
            }
            other.shutdown(Shutdown::Write).await.expect("shutdown");
        });
        let mut all: Vec<u8> = Vec::new();
        for step in 0.. {
            // Given up before it is polled, after one poll, after a while, and by a read into a buffer.
            drop(one.recv());
            match step % 4 {
                0 => {
                    if let Poll::Ready(Ok(Some(chunk))) = poll_once(one.recv()) {
                        all.extend_from_slice(&chunk);
                    }
                }
                1 => match timeout(Duration::ZERO, one.recv()).await {
                    Ok(Ok(Some(chunk))) => all.extend_from_slice(&chunk),
                    Ok(Ok(None)) => break,
                    Ok(Err(error)) => panic!("{error}"),
                    Err(_) => {}
                },
                2 => {
                    if let Poll::Ready((Ok(read), buffer)) = poll_once(one.read(Vec::with_capacity(501))) {
                        all.extend_from_slice(&buffer[..read]);
                    }
                }
                _ => match timeout(MS, one.read(Vec::with_capacity(300))).await {
                    Ok((Ok(0), _)) => break,
                    Ok((Ok(read), buffer)) => all.extend_from_slice(&buffer[..read]),
                    Ok((Err(error), _)) => panic!("{error}"),
                    Err(_) => {}
                },
            }
        }
        sender.await.expect("no panic");
        assert_eq!(all.len(), data.len());
        assert!(all == data);
    });
}

#[test]
fn a_dropped_read_gives_back_what_arrives_late() {
    on_each(|| async {
        let (mut one, mut other) = tcp_pair().await;
        for round in 0..50usize {
            // The read is with the kernel when it is dropped; the bytes come while it is being cancelled.
            assert!(poll_once(one.read(Vec::with_capacity(64))).is_pending());
            ostia::time::sleep(if round % 2 == 0 { Duration::ZERO } else { MS }).await;
            let pending = timeout(Duration::ZERO, one.read(Vec::with_capacity(64))).await;
            assert!(pending.is_err());
            other.send(pattern(round, 40)).await.expect("send");
            let mut got = Vec::new();
            while got.len() < 40 {
                got.extend_from_slice(&one.recv().await.expect("recv").expect("no end"));
            }
            assert_eq!(got, pattern(round, 40));
        }
    });
}

#[test]
fn dropping_an_accept_loses_no_connection() {
    on_each_with_faults(|| async {
        let mut listener = TcpListener::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        let address = listener.local_addr().expect("address");
        let clients = spawn(async move {
            let mut clients = Vec::new();
            for i in 0..100u8 {
                let mut client = TcpStream::connect(address).await.expect("connect");
                client.send(vec![i]).await.expect("send");
                clients.push(client);
            }
            clients
        });
        let mut accepted = Vec::new();
        while accepted.len() < 100 {
            drop(listener.accept());
            if let Poll::Ready(stream) = poll_once(listener.accept()) {
                accepted.push(stream.expect("accept"));
            }
            if let Ok(stream) = timeout(Duration::ZERO, listener.accept()).await {
                accepted.push(stream.expect("accept"));
            }
        }
        let mut seen = [0; 100];
        for stream in &mut accepted {
            let chunk = stream.recv().await.expect("recv").expect("no end");
            seen[usize::from(chunk[0])] += 1;
        }
        assert_eq!(seen, [1; 100]);
        drop(clients.await.expect("no panic"));
    });
}

#[test]
fn a_full_send_queue_waits_and_a_dropped_send_was_not_accepted() {
    on_each(|| async {
        let (mut one, mut other) = tcp_pair().await;
        let mut accepted = 0;
        // Nobody reads: the queue fills, and a send has to wait.
        loop {
            match timeout(20 * MS, one.send(vec![7u8; 32 << 10])).await {
                Ok(sent) => sent.expect("send"),
                Err(_) => break,
            }
            accepted += 32 << 10;
        }
        let reader = spawn(async move { receive_all(&mut other).await });
        one.flush().await.expect("flush");
        one.send(&b"end"[..]).await.expect("send");
        drop(one);
        let all = reader.await.expect("no panic");
        assert_eq!(all.len(), accepted + 3, "what waited in vain is not sent, what was accepted is");
        assert!(all.ends_with(b"\x07end"));
    });
}

#[test]
fn half_closed_both_ways() {
    on_each_with_faults(|| async {
        let (mut one, mut other) = tcp_pair().await;
        one.send("question").await.expect("send");
        one.shutdown(Shutdown::Write).await.expect("shutdown");
        assert_eq!(receive_all(&mut other).await, b"question");
        assert!(other.recv().await.expect("the end again").is_none());
        for _ in 0..100 {
            other.send(&[b'a'; 1000]).await.expect("the other direction goes on");
        }
        other.into_inner().close().await.expect("close");
        assert_eq!(receive_all(&mut one).await.len(), 100_000);
        let late = one.send("late").await;
        assert!(late.is_err() || one.flush().await.is_err(), "sending has been shut down");
    });
}

#[test]
fn every_way_of_sending_keeps_its_order() {
    on_each_with_faults(|| async {
        let (mut one, mut other) = tcp_pair().await;
        let reader = spawn(async move { receive_all(&mut other).await });
        let shared: Arc<[u8]> = Arc::from(pattern(0, 5000));
        let mut expected = Vec::new();
        for round in 0..20 {
            one.send(shared.clone()).await.expect("send");
            let (written, buffer) = one.write_all(pattern(round, 3000)).await;
            written.expect("write_all");
            assert_eq!(buffer, pattern(round, 3000), "the buffer comes back as it was");
            let vector: Vec<Buffer> = vec![vec![1u8; 10].into(), (&b"static"[..]).into(), shared.clone().into()];
            one.send_vectored(vector).await.expect("send_vectored");
            let (sent, back) = one.send_zc(pattern(9, 70_000)).await;
            sent.expect("send_zc");
            assert_eq!(back.len(), 70_000);
            let (written, _) = one.write(vec![2; 77]).await;
            assert_eq!(written.expect("write"), 77);
            for part in [&shared[..], &pattern(round, 3000), &[1; 10], b"static", &shared, &pattern(9, 70_000), &[2; 77]] {
                expected.extend_from_slice(part);
            }
        }
        one.shutdown(Shutdown::Both).await.expect("shutdown");
        assert!(reader.await.expect("no panic") == expected);
    });
}

#[test]
fn owned_halves_in_two_tasks_and_together_again() {
    on_each(|| async {
        let (one, mut other) = tcp_pair().await;
        let (mut receiver, mut sender) = Stream::from(one).into_split();
        let sending = spawn(async move {
            for i in 0..100u8 {
                sender.send(vec![i; 100]).await.expect("send");
            }
            sender.flush().await.expect("flush");
            sender
        });
        let echo = spawn(async move {
            let mut left = 10_000;
            while left > 0 {
                let chunk = other.recv().await.expect("recv").expect("no end");
                left -= chunk.len();
                other.send(chunk).await.expect("send");
            }
            other
        });
        let mut got = 0;
        while got < 10_000 {
            got += receiver.recv().await.expect("recv").expect("no end").len();
        }
        let sender = sending.await.expect("no panic");
        let whole = receiver.reunite(sender).expect("of the same stream");
        drop(whole);
        let mut other = echo.await.expect("no panic");
        assert!(receive_all(&mut other).await.is_empty(), "dropped means closed");
    });
}

#[test]
fn a_reset_is_an_error_and_not_an_end() {
    on_each(|| async {
        // While the receive waits, and before.
        for waits in [true, false] {
            let (mut one, other) = tcp_pair().await;
            let resetting = spawn(async move {
                if waits {
                    sleep(5 * MS).await;
                }
                other.send_nothing_and_reset();
            });
            if !waits {
                resetting.await.expect("no panic");
                sleep(5 * MS).await;
            }
            let end = loop {
                match one.recv().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error.kind()),
                }
            };
            if !waits && common::wine_lacks("a_reset_is_an_error_and_not_an_end/reset before", "it takes such a reset for an end")
            {
                assert_eq!(end, None, "Wine now tells resets that came before: take the mark off");
                continue;
            }
            if end.is_none() && common::wine_lacks("a_reset_is_an_error_and_not_an_end/reset while", "some resets are ends to it")
            {
                continue;
            }
            assert_eq!(end, Some(ErrorKind::ConnectionReset));
        }
    });
}

trait Reset {
    fn send_nothing_and_reset(self);
}

impl Reset for TcpStream {
    fn send_nothing_and_reset(self) {
        Stream::from(self).abort();
    }
}

#[test]
fn options_read_back() {
    on_each(|| async {
        let (one, _other) = tcp_pair().await;
        one.set_nodelay(true).expect("nodelay");
        assert!(one.nodelay().expect("nodelay"));
        let keepalive = Keepalive { idle: Duration::from_secs(30), interval: Duration::from_secs(5), probes: 3 };
        if common::wine_lacks("options_read_back/keepalive", "TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT") {
            one.set_keepalive(Some(keepalive)).expect_err("Wine now has them: take the mark off");
        } else {
            one.set_keepalive(Some(keepalive)).expect("keepalive");
            assert_eq!(one.keepalive().expect("keepalive"), Some(keepalive));
        }
        one.set_keepalive(None).expect("keepalive");
        assert_eq!(one.keepalive().expect("keepalive"), None);
        one.set_send_buffer_size(64 << 10).expect("send buffer");
        assert!(one.send_buffer_size().expect("send buffer") >= 64 << 10);
        one.set_recv_buffer_size(64 << 10).expect("recv buffer");
        assert!(one.recv_buffer_size().expect("recv buffer") >= 64 << 10);
        one.set_linger(Some(Duration::from_secs(1))).expect("linger");
        one.set_ttl(17).expect("ttl");
        for only_linux in [one.set_user_timeout(Duration::from_secs(20)), one.set_quickack(true)] {
            let wanted = if cfg!(target_os = "linux") { None } else { Some(ErrorKind::Unsupported) };
            assert_eq!(only_linux.err().map(|error| error.kind()), wanted);
        }
        assert_eq!(one.peer_addr().expect("peer"), _other.local_addr().expect("local"));
    });
}

#[test]
fn connecting_to_nobody_is_refused() {
    on_each(|| async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        let address = listener.local_addr().expect("address");
        let held = std::net::TcpListener::bind(address).expect_err("it is in use");
        assert_eq!(held.kind(), ErrorKind::AddrInUse);
        Stream::connect(&Endpoint::Ip(address)).await.expect("somebody listens");
        drop(listener);
        // The close is under way; once it is done, connecting is refused.
        let refused = loop {
            match TcpStream::connect(address).await {
                Ok(_) => sleep(MS).await,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset), "{refused}");
    });
}

#[test]
fn another_worker_can_close_a_stream_and_not_use_it() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let (mut one, two) = tcp_pair().await;
            let wrong = spawn_on(other, move || async move {
                let mut two = two;
                let errors = [
                    two.recv().await.map(drop).expect_err("recv"),
                    two.send("x").await.expect_err("send"),
                    two.read(Vec::with_capacity(1)).await.0.map(drop).expect_err("read"),
                    two.set_nodelay(true).expect_err("nodelay"),
                    two.flush().await.expect_err("flush"),
                ];
                errors.map(|error| error.to_string())
            });
            for text in wrong.await.expect("no panic") {
                assert!(text.contains("another worker"), "{text}");
            }
            assert!(one.recv().await.expect("recv").is_none(), "dropped there, it was closed here");
        });
    }
}

#[test]
fn a_stream_moves_to_another_worker_with_what_was_unread() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let (mut one, two) = tcp_pair().await;
            one.send("first ").await.expect("send");
            let mut two = Stream::from(two);
            two.unread(ostia::Chunk::from(b"zeroth ".to_vec())).expect("unread");
            let detached = two.detach().expect("nothing is in flight");
            let moved = spawn_on(other, move || async move {
                let mut two = detached.attach().expect("attach");
                let mut all = Vec::new();
                while !all.ends_with(b"second") {
                    all.extend_from_slice(&two.recv().await.expect("recv").expect("no end"));
                }
                two.send(all).await.expect("send");
            });
            one.send("second").await.expect("send");
            assert_eq!(receive_all(&mut one).await, b"zeroth first second");
            moved.await.expect("no panic");

            let (mut one, two) = tcp_pair().await;
            assert!(poll_once(one.recv()).is_pending());
            assert!(Stream::from(one).detach().is_err(), "a receive is in flight");
            drop(two);
        });
    }
}

#[test]
fn a_closed_listeners_address_is_free_at_once_and_what_it_accepted_is_closed() {
    on_each_with_faults(|| async {
        let mut address = "127.0.0.1:0".parse().expect("address");
        for round in 0..30 {
            let mut listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("round {round}: {error}"));
            address = listener.local_addr().expect("address");
            assert!(poll_once(listener.accept()).is_pending());
            // Accepted ahead, or with the kernel still: nobody takes them.
            let mut clients = Vec::new();
            for _ in 0..5 {
                clients.push(TcpStream::connect(address).await.expect("connect"));
            }
            if round % 2 == 0 {
                sleep(MS).await;
            }
            let mut taken = match round % 3 {
                0 => Some(listener.accept().await.expect("accept")),
                _ => None,
            };
            listener.close().await.expect("close");
            let kept = taken.as_ref().map(|taken| taken.peer_addr().expect("address"));
            for client in &mut clients {
                let at = client.local_addr().expect("address");
                if let Some(taken) = taken.as_mut().filter(|_| Some(at) == kept) {
                    // One that was taken goes on.
                    taken.send("!").await.expect("send");
                    assert_eq!(client.recv().await.expect("recv").as_deref(), Some(&b"!"[..]));
                } else {
                    let end = timeout(Duration::from_secs(20), client.recv()).await.expect("the others end");
                    assert!(!matches!(end, Ok(Some(_))));
                }
            }
        }
    });
}

#[test]
fn listeners_of_another_worker_are_closed_at_home() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
            let address = listener.local_addr().expect("address");
            let refused = spawn_on(other, move || async move { listener.close().await.expect_err("elsewhere").to_string() });
            assert!(refused.await.expect("no panic").contains("another worker"));
            while let Err(error) = TcpListener::bind(address) {
                assert_eq!(error.kind(), ErrorKind::AddrInUse);
                yield_now().await;
            }
        });
    }
}

/// What only Unix has.
#[cfg(unix)]
mod unix {
    use ostia::net::{Listener, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn unix_sockets_do_the_same() {
        on_each_with_faults(|| async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("ostia.sock");
            let mut listener = UnixListener::bind(&path).expect("bind");
            assert_eq!(UnixListener::bind(&path).expect_err("somebody listens").kind(), ErrorKind::AddrInUse);
            let connecting = spawn({
                let path = path.clone();
                async move { UnixStream::connect(path).await.expect("connect") }
            });
            let mut accepted = listener.accept().await.expect("accept");
            let mut connected = connecting.await.expect("no panic");
            connected.send(pattern(0, 100_000)).await.expect("send");
            connected.shutdown(Shutdown::Write).await.expect("shutdown");
            let got = receive_all(&mut accepted).await;
            let differs = got.iter().zip(pattern(0, 100_000)).position(|(a, b)| *a != b);
            assert_eq!((got.len(), differs), (100_000, None));
            assert_eq!(accepted.local_addr().expect("address").path().as_deref(), Some(path.as_path()));
            drop(listener);
            assert!(!path.exists(), "the path goes with its listener");
            // What a crash leaves behind is no hindrance.
            drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
            assert!(path.exists());
            UnixListener::bind(&path).expect("a stale path is taken over");
            std::fs::write(&path, "a file").expect("write");
            assert!(Listener::bind(&Endpoint::Unix(path)).is_err(), "a file is not");
        });
    }

    #[test]
    fn a_closed_unix_listener_has_no_path_and_the_next_keeps_its_own() {
        on_each_with_faults(|| async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("s");
            for _ in 0..20 {
                let listener = UnixListener::bind(&path).expect("bind");
                let mut closing = Box::pin(listener.close());
                let closed = poll_once(closing.as_mut()).is_ready();
                assert!(!path.exists(), "removed first");
                // The next one is there before the former has ended: its path stays.
                let next = UnixListener::bind(&path).expect("bind again");
                if !closed {
                    closing.await.expect("close");
                }
                assert!(path.exists());
                UnixStream::connect(&path).await.expect("connect");
                next.into_inner().close().await.expect("close");
                assert!(!path.exists());
            }
        });
    }
}

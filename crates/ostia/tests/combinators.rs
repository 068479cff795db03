//! What comes one by one, through the combinators of futures-util: channels, connections, ticks, frames.

mod common;

use std::time::Duration;

use common::{on_each, tcp_pair};
use futures_util::{FutureExt, SinkExt, StreamExt, TryStreamExt, stream};
use ostia::codec::{FramedRead, FramedWrite, LengthDelimited, Lines};
use ostia::net::{TcpListener, TcpStream};
use ostia::spawn;
use ostia::sync::mpsc;
use ostia::time::{interval, now};

#[test]
fn channels_are_streams_that_end_with_their_senders() {
    on_each(|| async {
        let (sender, receiver) = mpsc::channel(2);
        let (unbounded, others) = mpsc::unbounded();
        spawn(async move {
            for number in 0..100 {
                sender.send(number).await.expect("a receiver");
                unbounded.send(number).expect("a receiver");
            }
        })
        .detach();
        let evens: Vec<u32> = receiver.filter(|number| std::future::ready(number % 2 == 0)).collect().await;
        assert_eq!(evens, (0..100).step_by(2).collect::<Vec<_>>());
        assert_eq!(others.fold(0, async |sum, number: u32| sum + number).await, 4950);
    });
}

#[test]
fn connections_come_as_a_stream() {
    on_each(|| async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        let address = listener.local_addr().expect("address");
        let clients = spawn(async move {
            let mut all = Vec::new();
            for number in 0..5u8 {
                let mut client = TcpStream::connect(address).await.expect("connect");
                client.send(vec![number]).await.expect("send");
                all.push(client);
            }
            all
        });
        let mut said: Vec<u8> = listener
            .take(5)
            .then(async |connection| connection?.recv().await)
            .try_filter_map(|chunk| async move { Ok(chunk.map(|chunk| chunk[0])) })
            .try_collect()
            .await
            .expect("no error");
        said.sort_unstable();
        assert_eq!(said, [0, 1, 2, 3, 4]);
        drop(clients.await);
    });
}

#[test]
fn ticks_come_as_a_stream_and_none_is_lost_when_its_poll_is_dropped() {
    on_each(|| async {
        let start = now();
        let mut ticks = interval(Duration::from_millis(5));
        let first = ticks.next().await.expect("it never ends");
        assert!(first >= start);
        // Polled, dropped, asked for again.
        assert!(ticks.next().now_or_never().is_none());
        let rest: Vec<_> = ticks.by_ref().take(3).collect().await;
        let all = [first].into_iter().chain(rest).collect::<Vec<_>>();
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(5)), "{all:?}");
    });
}

#[test]
fn frames_go_through_a_sink_and_come_by_a_stream() {
    on_each(|| async {
        let (one, other) = tcp_pair().await;
        let writing = spawn(async move {
            let mut sink = FramedWrite::new(one, LengthDelimited::new());
            // More than is gathered at once, so that some go out before the flush.
            let frames = stream::iter((0..2_000u32).map(|number| Ok(vec![number as u8; 100])));
            sink.send_all(&mut { frames }).await.expect("sent");
            SinkExt::<Vec<u8>>::close(&mut sink).await.expect("flushed");
            assert_eq!(sink.buffered(), 0);
            sink
        });
        let frames = FramedRead::new(other, LengthDelimited::new());
        let numbers: Vec<u8> = frames.take(2_000).map_ok(|frame| frame[50]).try_collect().await.expect("frames");
        assert_eq!(numbers, (0..2_000u32).map(|number| number as u8).collect::<Vec<_>>());
        drop(writing.await);
    });
}

#[test]
fn a_stream_of_frames_ends_after_its_decoders_error() {
    on_each(|| async {
        let (mut one, other) = tcp_pair().await;
        one.send(&b"short\nmuch too long a line\nlost\n"[..]).await.expect("send");
        let mut lines = FramedRead::new(other, Lines::new(8));
        assert_eq!(StreamExt::next(&mut lines).await.expect("a line").expect("short enough"), "short");
        assert!(StreamExt::next(&mut lines).await.expect("an error").is_err());
        assert!(StreamExt::next(&mut lines).await.is_none(), "nobody knows where the next would begin");
    });
}

//! Frames over real streams: dropped at every await, cut anywhere, too long, not text, not whole.

mod common;

use std::fmt::Debug;
use std::io;
use std::net::Shutdown;

use common::{on_each, on_each_with_faults, poll_once, stream_pair, tcp_pair};
use ostia::codec::{Decoder, Encoder, Error, Fixed, FramedRead, FramedWrite, LengthDelimited, Lines, Transmit};
use ostia::net::TcpStream;
use ostia::{join, select, spawn, yield_now};

/// Reads all frames, giving up each `next` after its first poll.
async fn read_impatiently<D: Decoder<Error = Error>>(stream: TcpStream, decoder: D) -> Result<Vec<D::Item>, Error> {
    let mut frames = FramedRead::new(stream, decoder);
    let mut all = Vec::new();
    loop {
        select! {
            frame = frames.next() => match frame? {
                Some(frame) => all.push(frame),
                None => return Ok(all),
            },
            () = yield_now() => {}
        }
    }
}

/// Sends the frames of `items` in pieces of each of these sizes, and reads them impatiently.
async fn in_pieces<C, I>(codec: C, items: &[I], sizes: &[usize])
where
    C: Decoder<Error = Error> + for<'a> Encoder<&'a I, Error = Error> + Clone,
    C::Item: PartialEq<I> + Debug,
    I: Debug,
{
    let mut bytes = Vec::new();
    items.iter().for_each(|item| codec.clone().encode(item, &mut bytes).expect("an item"));
    for &size in sizes {
        let (here, mut there) = tcp_pair().await;
        let bytes = bytes.clone();
        let sending = spawn(async move {
            for piece in bytes.chunks(size) {
                there.send(piece.to_vec()).await.expect("send");
                yield_now().await;
            }
            there.shutdown(Shutdown::Write).await.expect("shutdown");
            there
        });
        let frames = read_impatiently(here, codec.clone()).await.expect("whole frames");
        assert!(frames.len() == items.len() && frames.iter().zip(items).all(|(frame, item)| frame == item), "pieces of {size}");
        sending.await.expect("no panic");
    }
}

#[test]
fn frames_are_whole_whatever_is_dropped_and_wherever_they_are_cut() {
    on_each_with_faults(|| async {
        let small = ([0, 1, 5, 0, 100, 17, 2, 0], &[1, 2, 3, 7][..]);
        let big = ([0, 1, 5, 300, 70_000, 2, 0, 9000], &[64, 1000, 8191, usize::MAX][..]);
        for (lengths, pieces) in [small, big] {
            let blobs: Vec<Vec<u8>> = lengths.iter().map(|&length| common::pattern(length, length)).collect();
            in_pieces(LengthDelimited::new(), &blobs, pieces).await;
            in_pieces(LengthDelimited::new().width(8).little_endian().adjustment(-8), &blobs, pieces).await;
            let lines: Vec<String> = lengths.iter().map(|&length| "é\r".repeat(length / 3) + "end").collect();
            in_pieces(Lines::new(100_000), &lines, pieces).await;
        }
        let parts: Vec<Vec<u8>> = (0..20).map(|from| common::pattern(from, 37)).collect();
        in_pieces(Fixed::new(37), &parts, &[1, 36, 37, 38, 400]).await;
    });
}

/// What a reader makes of these bytes and then silence, or the end.
async fn first_error<D: Decoder<Error = Error>>(decoder: D, bytes: &[u8], end: bool) -> (usize, Error) {
    let (here, mut there) = stream_pair();
    there.send(bytes.to_vec()).await.expect("send");
    if end {
        there.shutdown(Shutdown::Write).await.expect("shutdown");
    }
    let mut frames = FramedRead::new(here, decoder);
    let mut before = 0;
    let error = loop {
        match frames.next().await {
            Ok(Some(_)) => before += 1,
            Ok(None) => panic!("no error"),
            Err(error) => break error,
        }
    };
    assert!(matches!(frames.next().await, Err(Error::Lost)), "where the next frame begins isn't known");
    assert!(frames.unread().is_empty(), "nothing is held any more");
    (before, error)
}

#[test]
fn what_is_no_frame_is_an_error_that_says_why() {
    on_each(|| async {
        let bomb = b"\x00\x00\x00\x01x\xff\xff\xff\xff";
        let (before, error) = first_error(LengthDelimited::new(), bomb, false).await;
        assert!(matches!(error, Error::TooLong { length: 0xffff_ffff, most: 0x80_0000 }), "{error}");
        assert_eq!(before, 1);

        let endless = vec![b'x'; 100_000];
        let (_, error) = first_error(Lines::new(1000), &endless, false).await;
        assert!(matches!(error, Error::TooLong { most: 1000, .. }), "{error}");

        let (before, error) = first_error(Lines::default(), b"good\nb\xc3\xa9d: \xf0\x9f\nnever\n", false).await;
        assert_eq!((before, error.to_string().as_str()), (1, "line 2 is not UTF-8 from its byte 6 on"));

        let (before, error) = first_error(Fixed::new(4), b"fourfo", true).await;
        assert!(matches!((before, error), (1, Error::Truncated { present: 2 })));

        let (before, error) = first_error(LengthDelimited::new(), b"\x00\x00\x00\x02ab\x00\x00", true).await;
        assert!(matches!((before, &error), (1, Error::Truncated { present: 2 })));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn what_a_peer_announces_takes_no_memory() {
    on_each(|| async {
        let (here, mut there) = stream_pair();
        there.send(&b"\x00\x7f\xff\xff only this"[..]).await.expect("send");
        let mut frames = FramedRead::new(here, LengthDelimited::new());
        while frames.unread().len() < 14 {
            assert!(poll_once(frames.next()).is_pending());
            yield_now().await;
        }
        assert!(poll_once(frames.next()).is_pending());
        let (_, _, unread) = frames.into_parts();
        assert_eq!(&unread[..], b"\x00\x7f\xff\xff only this");
    });
}

#[test]
fn a_decoder_without_a_bound_is_bounded_by_its_reader() {
    /// Never finds anything.
    struct Hoarder;
    impl Decoder for Hoarder {
        type Item = ();
        type Error = io::Error;
        fn decode(&mut self, _input: &[u8]) -> io::Result<Option<((), usize)>> {
            Ok(None)
        }
    }
    on_each(|| async {
        let (here, mut there) = stream_pair();
        let sending = spawn(async move { while there.send(vec![0; 10_000]).await.is_ok() {} });
        let mut frames = FramedRead::new(here, Hoarder).max_held(50_000);
        let error = frames.next().await.expect_err("it holds too much");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(Error::from(error).to_string().contains("where 50000 are allowed"));
        drop(frames);
        sending.await.expect("no panic");

        let (here, mut there) = stream_pair();
        there.send("half").await.expect("send");
        drop(there);
        let error = FramedRead::new(here, Hoarder).next().await.expect_err("half a frame");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_line_after_the_last_feed_is_a_line() {
    on_each(|| async {
        let (here, mut there) = stream_pair();
        there.send("one\r\n\ntwo").await.expect("send");
        drop(there);
        let mut lines = FramedRead::new(here, Lines::default());
        for expected in [Some("one"), Some(""), Some("two"), None, None] {
            assert_eq!(lines.next().await.expect("text").as_deref(), expected);
        }
    });
}

#[test]
fn a_dropped_send_sends_all_or_nothing() {
    on_each(|| async {
        let (here, there) = tcp_pair().await;
        let receiving = spawn(async move {
            let mut frames = FramedRead::new(there, LengthDelimited::new());
            let mut all = Vec::new();
            while let Some(frame) = frames.next().await.expect("whole frames") {
                assert!(frame.iter().all(|&byte| byte == frame[0]), "a frame is whole");
                all.push((frame[0], frame.len()));
                for _ in 0..3 {
                    yield_now().await;
                }
            }
            all
        });
        let mut frames = FramedWrite::new(here, LengthDelimited::new());
        let (mut sent, mut given_up) = (Vec::new(), 0);
        for number in 0..250u8 {
            let size = 1 + number as usize * 157;
            if number % 5 == 0 {
                frames.feed(vec![number; size]).await.expect("feed");
                sent.push((number, size));
                continue;
            }
            select! {
                biased;
                result = frames.send(vec![number; size]) => {
                    result.expect("send");
                    sent.push((number, size));
                }
                () = yield_now() => given_up += 1,
            }
        }
        frames.flush().await.expect("flush");
        assert_eq!(frames.buffered(), 0);
        frames.get_mut().shutdown(Shutdown::Write).await.expect("shutdown");
        assert_eq!(receiving.await.expect("no panic"), sent);
        assert!(given_up > 0 && sent.len() > 50, "{given_up} given up, {} sent", sent.len());
    });
}

#[test]
fn an_item_that_has_no_frame_leaves_the_others() {
    on_each(|| async {
        let (here, there) = stream_pair();
        let mut lines = FramedWrite::new(here, Lines::default());
        lines.feed("first").await.expect("a line");
        assert!(matches!(lines.feed("no\nline").await, Err(Error::NotALine { byte: 2 })));
        assert_eq!(lines.buffered(), 6);
        assert!(matches!(lines.send("no\nline").await, Err(Error::NotALine { byte: 2 })));
        lines.send("second").await.expect("a line");
        let (stream, _) = lines.into_parts();
        drop(stream);
        let mut lines = FramedRead::new(there, Lines::default());
        assert_eq!(lines.next().await.expect("text").as_deref(), Some("first"));
        assert_eq!(lines.next().await.expect("text").as_deref(), Some("second"));
        assert_eq!(lines.next().await.expect("text"), None);
    });
}

#[test]
fn both_directions_of_one_stream_at_once() {
    async fn talk(stream: &mut TcpStream) -> u32 {
        let (receiving, sending) = stream.split();
        let mut frames = FramedRead::new(receiving, LengthDelimited::new().width(2));
        let mut out = FramedWrite::new(sending, LengthDelimited::new().width(2));
        let (sum, ()) = join!(
            async {
                let mut sum = 0;
                for _ in 0..200 {
                    let frame = frames.next().await.expect("a frame").expect("not the end");
                    sum += u32::from_be_bytes(frame.try_into().expect("four bytes"));
                }
                sum
            },
            async {
                for number in 0..200u32 {
                    out.feed(number.to_be_bytes()).await.expect("feed");
                    if number % 7 == 0 {
                        out.flush().await.expect("flush");
                    }
                }
                out.flush().await.expect("flush");
            },
        );
        sum
    }
    on_each(|| async {
        let (mut here, mut there) = tcp_pair().await;
        let sums = join!(talk(&mut here), talk(&mut there));
        assert_eq!(sums, (19_900, 19_900));
    });
}

#[test]
fn whatever_streams_can_be_framed() {
    fn framed<T: ostia::codec::Receive>() {}
    fn written<T: Transmit>() {}
    framed::<ostia::net::Stream>();
    framed::<ostia::net::RecvHalf<'_>>();
    framed::<ostia::net::OwnedRecvHalf>();
    framed::<&mut common::LocalStream>();
    written::<ostia::net::Stream>();
    written::<ostia::net::SendHalf<'_>>();
    written::<ostia::net::OwnedSendHalf>();
    written::<&mut TcpStream>();
}

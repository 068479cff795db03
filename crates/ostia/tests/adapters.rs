//! One suite for streams, run over every face that a stream has: Ostia's own, `futures-io`, `tokio::io` and `hyper::rt`.

mod common;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use common::{join, on_each_with_faults, pattern, poll_once, stream_pair, tcp_pair};
use ostia::adapt::Io;
use ostia::net::{Stream, TcpStream};
use ostia::time::timeout;
use ostia::{Buffer, Chunk};

/// A face of a stream, reduced to what the suite asks of it.
trait Face: Sized {
    fn wrap(stream: Stream) -> Self;
    /// Both ends of a connection.
    async fn pair() -> (Stream, Stream) {
        let (one, other) = tcp_pair().await;
        (one.into_inner(), other.into_inner())
    }
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;
    /// Flushes, then ends the sending direction.
    async fn close(&mut self) -> io::Result<()>;
}

struct Native {
    stream: Stream,
    chunk: Option<Chunk>,
}

impl Face for Native {
    fn wrap(stream: Stream) -> Native {
        Native { stream, chunk: None }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.chunk.is_none() {
            match self.stream.poll_recv(cx)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(chunk) => self.chunk = chunk,
            }
        }
        let Some(chunk) = &mut self.chunk else { return Poll::Ready(Ok(0)) };
        let count = chunk.len().min(into.len());
        into[..count].copy_from_slice(&chunk[..count]);
        chunk.advance(count);
        if chunk.is_empty() {
            self.chunk = None;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let len = bytes.len();
        self.stream.poll_send(cx, &mut Some(Buffer::from(bytes))).map_ok(|()| len)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream.flush().await?;
        self.stream.shutdown(std::net::Shutdown::Write).await
    }
}

struct Futures(Io<Stream>);

impl Face for Futures {
    fn wrap(stream: Stream) -> Futures {
        Futures(Io::new(stream))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        futures_util::AsyncRead::poll_read(Pin::new(&mut self.0), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        futures_util::AsyncWrite::poll_write_vectored(Pin::new(&mut self.0), cx, slices)
    }

    async fn close(&mut self) -> io::Result<()> {
        poll_fn(|cx| futures_util::AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)).await?;
        poll_fn(|cx| futures_util::AsyncWrite::poll_close(Pin::new(&mut self.0), cx)).await
    }
}

struct Tokio(Io<Stream>);

impl Face for Tokio {
    fn wrap(stream: Stream) -> Tokio {
        Tokio(Io::new(stream))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(into);
        let read = tokio::io::AsyncRead::poll_read(Pin::new(&mut self.0), cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        assert!(tokio::io::AsyncWrite::is_write_vectored(&self.0));
        tokio::io::AsyncWrite::poll_write_vectored(Pin::new(&mut self.0), cx, slices)
    }

    async fn close(&mut self) -> io::Result<()> {
        poll_fn(|cx| tokio::io::AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)).await?;
        poll_fn(|cx| tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.0), cx)).await
    }
}

struct Hyper(Io<Stream>);

impl Face for Hyper {
    fn wrap(stream: Stream) -> Hyper {
        Hyper(Io::new(stream))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = hyper::rt::ReadBuf::new(into);
        let read = hyper::rt::Read::poll_read(Pin::new(&mut self.0), cx, buffer.unfilled());
        read.map_ok(|()| buffer.filled().len())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        hyper::rt::Write::poll_write_vectored(Pin::new(&mut self.0), cx, slices)
    }

    async fn close(&mut self) -> io::Result<()> {
        poll_fn(|cx| hyper::rt::Write::poll_flush(Pin::new(&mut self.0), cx)).await?;
        poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut self.0), cx)).await
    }
}

/// A face of a stream that two TCP/IP stacks carry, joined by a link in memory.
struct OnStack<F>(F);

impl<F: Face> Face for OnStack<F> {
    fn wrap(stream: Stream) -> OnStack<F> {
        OnStack(F::wrap(stream))
    }

    async fn pair() -> (Stream, Stream) {
        common::stack_pair().await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, slices)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.close().await
    }
}

async fn read<F: Face>(face: &mut F, into: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| face.poll_read(cx, into)).await
}

async fn write<F: Face>(face: &mut F, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    poll_fn(|cx| face.poll_write(cx, slices)).await
}

async fn write_all<F: Face>(face: &mut F, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = write(face, &[IoSlice::new(bytes)]).await.expect("write");
        assert!(count > 0, "a write takes something or waits");
        bytes = &bytes[count..];
    }
}

async fn read_to_end<F: Face>(face: &mut F, size: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        match read(face, &mut buffer).await.expect("read") {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

async fn close<F: Face>(face: &mut F) {
    face.close().await.expect("close");
}

async fn faces<F: Face>() -> (F, F) {
    let (one, other) = F::pair().await;
    (F::wrap(one), F::wrap(other))
}

/// Reads of every size from 1 on see every byte once, whatever the pieces they were written in.
async fn partial_reads<F: Face>() {
    let (mut one, mut other) = faces::<F>().await;
    let data = pattern(1, 40_000);
    let sending = async {
        for (index, piece) in data.chunks(1013).enumerate() {
            write_all(&mut one, piece).await;
            if index % 5 == 0 {
                ostia::yield_now().await;
            }
        }
        close(&mut one).await;
    };
    let receiving = async {
        let mut all = Vec::new();
        let mut buffer = [0; 700];
        for size in (1..=buffer.len()).cycle() {
            match read(&mut other, &mut buffer[..size]).await.expect("read") {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
        all
    };
    let ((), all) = join(sending, receiving).await;
    assert!(all == data, "{} bytes", all.len());
    assert_eq!(read(&mut other, &mut [0; 8]).await.expect("again"), 0, "the end stays the end");
    assert_eq!(read(&mut other, &mut []).await.expect("nothing"), 0);
}

/// All slices of a vectored write go, in order; empty ones do no harm.
async fn vectored_writes<F: Face>() {
    let (mut one, mut other) = faces::<F>().await;
    let data = pattern(2, 3000);
    let slices = [&data[..0], &data[..1], &data[1..999], &data[999..999], &data[999..]].map(IoSlice::new);
    assert_eq!(write(&mut one, &slices).await.expect("write"), data.len());
    close(&mut one).await;
    assert!(read_to_end(&mut other, 4096).await == data);
}

/// Writes long enough to go past the send queue and short ones, some of many slices, leave in the order they were made,
/// also while the peer does not read and the queue is full.
async fn long_writes_keep_their_place<F: Face>() {
    let (mut one, mut other) = faces::<F>().await;
    let data = pattern(7, 6 << 20);
    let sending = async {
        let (mut at, mut round) = (0, 0);
        while at < data.len() {
            let size = [100, 200_000, 16 << 10, 7, 70_000][round % 5];
            let piece = &data[at..(at + size).min(data.len())];
            let slices: Vec<IoSlice<'_>> = piece.chunks(piece.len().div_ceil([1, 3, 200][round % 3])).map(IoSlice::new).collect();
            let count = write(&mut one, &slices).await.expect("write");
            assert!(count > 0 && count <= piece.len());
            at += count;
            round += 1;
        }
        close(&mut one).await;
    };
    let receiving = async {
        // By then the socket's buffers and the queue are full.
        ostia::time::sleep(Duration::from_millis(30)).await;
        read_to_end(&mut other, 32 << 10).await
    };
    let ((), all) = join(sending, receiving).await;
    assert!(all == data, "{} bytes", all.len());
}

/// Closing sends what was written, then the end; reading goes on, and writing after it fails.
async fn closing_is_half<F: Face>() {
    let (mut one, mut other) = faces::<F>().await;
    write_all(&mut one, b"last words").await;
    close(&mut one).await;
    assert_eq!(read_to_end(&mut other, 100).await, b"last words");
    write_all(&mut other, b"the answer").await;
    close(&mut other).await;
    assert_eq!(read_to_end(&mut one, 3).await, b"the answer");
    assert_refused(&mut one).await;
}

/// Writing fails, at the latest after what was accepted before has met its error.
async fn assert_refused<F: Face>(face: &mut F) {
    for _ in 0..50 {
        match write(face, &[IoSlice::new(b"late")]).await {
            Ok(_) => ostia::time::sleep(Duration::from_millis(5)).await,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
                return;
            }
        }
    }
    panic!("writing goes on for ever");
}

/// Futures that are dropped at every await lose no byte and double none, in either direction.
async fn dropped_futures<F: Face>() {
    let (mut one, mut other) = faces::<F>().await;
    let data = pattern(4, 400_000);
    let sending = async {
        let mut at = 0;
        for step in 0usize.. {
            let slice = [IoSlice::new(&data[at..data.len().min(at + 9000)])];
            if slice[0].is_empty() {
                break;
            }
            let written = match step % 3 {
                0 => poll_once(write(&mut one, &slice)),
                1 => timeout(Duration::from_millis(1), write(&mut one, &slice)).await.map_or(Poll::Pending, Poll::Ready),
                _ => Poll::Ready(write(&mut one, &slice).await),
            };
            if let Poll::Ready(count) = written {
                at += count.expect("write");
            }
        }
        close(&mut one).await;
    };
    let receiving = async {
        let mut all: Vec<u8> = Vec::new();
        let mut buffer = [0; 5000];
        for step in 0usize.. {
            let got = match step % 3 {
                0 => poll_once(read(&mut other, &mut buffer)),
                1 => timeout(Duration::from_millis(1), read(&mut other, &mut buffer)).await.map_or(Poll::Pending, Poll::Ready),
                _ => Poll::Ready(read(&mut other, &mut buffer).await),
            };
            match got {
                Poll::Pending => ostia::yield_now().await,
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(count) => all.extend_from_slice(&buffer[..count.expect("read")]),
            }
        }
        all
    };
    let ((), all) = join(sending, receiving).await;
    assert!(all == data, "{} of {} bytes", all.len(), data.len());
}

/// Far more than the sockets hold, both ways at once.
async fn both_ways<F: Face>() {
    let (mut one, mut other) = faces::<F>().await;
    let data = pattern(5, 1 << 20);
    let echo = async {
        let mut buffer = vec![0; 10_000];
        loop {
            match read(&mut other, &mut buffer).await.expect("read") {
                0 => break,
                count => write_all(&mut other, &buffer[..count]).await,
            }
        }
        close(&mut other).await;
    };
    let near = async {
        let (mut all, mut buffer, mut at) = (Vec::new(), vec![0; 16 << 10], 0);
        // One task that writes while it can and reads meanwhile, as protocols do.
        poll_fn(|cx| {
            while at < data.len() {
                match one.poll_write(cx, &[IoSlice::new(&data[at..])]) {
                    Poll::Ready(count) => at += count.expect("write"),
                    Poll::Pending => break,
                }
            }
            while all.len() < data.len() {
                match one.poll_read(cx, &mut buffer) {
                    Poll::Ready(count) => all.extend_from_slice(&buffer[..count.expect("read")]),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(())
        })
        .await;
        close(&mut one).await;
        all
    };
    let ((), all) = join(echo, near).await;
    assert!(all == data);
}

/// A peer's reset is told once by reading, and polling on is an end or an error, never a wait.
async fn polling_after_an_error<F: Face>() {
    let (one, other) = F::pair().await;
    let mut one = F::wrap(one);
    let mut buffer = [0; 10];
    let resetting = async {
        ostia::time::sleep(Duration::from_millis(5)).await;
        other.abort();
    };
    let (first, ()) = join(timeout(Duration::from_secs(20), read(&mut one, &mut buffer)), resetting).await;
    let first = first.expect("an answer");
    if matches!(first, Ok(0)) && common::wine_lacks("polling_after_an_error/the reset", "some resets are ends to it") {
        return;
    }
    assert_eq!(first.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    for _ in 0..3 {
        let again = timeout(Duration::from_secs(20), read(&mut one, &mut buffer)).await.expect("an answer");
        assert!(matches!(again, Ok(0) | Err(_)), "{again:?}");
    }
    assert_refused(&mut one).await;
    let _ = timeout(Duration::from_secs(20), one.close()).await.expect("closing ends");
}

macro_rules! suite {
    ($($name:ident: $face:ty;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn reads_of_every_size() {
                on_each_with_faults(partial_reads::<$face>);
            }

            #[test]
            fn vectored_writes() {
                on_each_with_faults(super::vectored_writes::<$face>);
            }

            #[test]
            fn long_writes_keep_their_place() {
                on_each_with_faults(super::long_writes_keep_their_place::<$face>);
            }

            #[test]
            fn closing_is_half() {
                on_each_with_faults(super::closing_is_half::<$face>);
            }

            #[test]
            fn dropped_futures_lose_nothing() {
                on_each_with_faults(dropped_futures::<$face>);
            }

            #[test]
            fn both_ways_at_once() {
                on_each_with_faults(both_ways::<$face>);
            }

            #[test]
            fn polling_after_an_error() {
                on_each_with_faults(super::polling_after_an_error::<$face>);
            }
        }
    )*};
}

suite! {
    native: Native;
    futures_io: Futures;
    tokio_io: Tokio;
    hyper_rt: Hyper;
    native_on_a_stack: OnStack<Native>;
    futures_io_on_a_stack: OnStack<Futures>;
    tokio_io_on_a_stack: OnStack<Tokio>;
    hyper_rt_on_a_stack: OnStack<Hyper>;
}

/// The chunk is shown itself, consumed in parts, and what is left goes back to the stream.
#[test]
fn buffered_reading_shows_the_chunk_and_gives_the_rest_back() {
    use futures_util::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt};
    on_each_with_faults(|| async {
        let (one, other) = stream_pair();
        let (mut one, mut other) = (Io::new(one), Io::new(other));
        one.write_all(b"first\nsecond\nthe rest").await.expect("write");
        let mut line = Vec::new();
        other.read_until(b'\n', &mut line).await.expect("line");
        assert_eq!(line, b"first\n");
        let shown = poll_fn(|cx| Pin::new(&mut other).poll_fill_buf(cx).map_ok(|bytes| bytes.first().copied())).await;
        assert_eq!(shown.expect("more"), Some(b's'));
        Pin::new(&mut other).consume(2);
        let mut stream = other.into_inner().expect("at home");
        let mut rest = Vec::new();
        while rest.len() < b"cond\nthe rest".len() {
            rest.extend_from_slice(&stream.recv().await.expect("recv").expect("not the end"));
        }
        assert_eq!(rest, b"cond\nthe rest");
    });
}

/// Halves have the faces of their direction.
#[test]
fn halves_are_adapted_too() {
    use futures_util::{AsyncReadExt, AsyncWriteExt};
    on_each_with_faults(|| async {
        let (one, other): (TcpStream, TcpStream) = tcp_pair().await;
        let (receiver, sender) = one.into_inner().into_split();
        let echo = async {
            let mut other = other.into_inner();
            let (receiver, sender) = other.split();
            let (receiver, mut sender) = (Io::new(receiver), Io::new(sender));
            futures_util::io::copy(receiver, &mut sender).await.expect("copy");
            sender.close().await.expect("close");
        };
        let near = async {
            let (mut receiver, mut sender) = (Io::new(receiver), Io::new(sender));
            sender.write_all(b"there and back").await.expect("write");
            sender.close().await.expect("close");
            let mut all = Vec::new();
            receiver.read_to_end(&mut all).await.expect("read");
            all
        };
        let ((), all) = join(echo, near).await;
        assert_eq!(all, b"there and back");
    });
}

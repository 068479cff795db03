//! The one adapter behind all the traits: bytes out of lent chunks, bytes into the send queue.

use std::io;
use std::io::IoSlice;
use std::task::{Context, Poll, ready};

use ostia_port::os::{ENOTCONN, ENOTSOCK};
use ostia_port::{Buffer, Chunk};

#[cfg(unix)]
use crate::net::UnixStream;
use crate::net::raw::Raw;
use crate::net::{OwnedRecvHalf, OwnedSendHalf, RecvHalf, SendHalf, Stream, TcpStream};
use crate::process::{ChildStderr, ChildStdin, ChildStdout};

/// The most bytes that one write copies: what a stream's send queue holds by default.
const WRITE_MAX: usize = 64 << 10;
/// Writes of so many bytes try to go out at once, which costs a system call that short ones share with others, but no copy.
const DIRECT_MIN: usize = 16 << 10;

mod sealed {
    use crate::net::raw::Raw;

    /// What has a stream's handle.
    pub trait HasRaw {
        fn raw(&self) -> Raw;
    }
}

use sealed::HasRaw;

/// Streams, halves and pipes that can receive.
pub trait Receiving: HasRaw {}

/// Streams, halves and pipes that can send.
pub trait Sending: HasRaw {}

macro_rules! adaptable {
    ($($name:ty: $($ability:ident)+, |$it:ident| $raw:expr;)*) => {$(
        impl HasRaw for $name {
            #[inline]
            fn raw(&self) -> Raw {
                let $it = self;
                $raw
            }
        }
        $(impl $ability for $name {})+
    )*};
}

adaptable! {
    Stream: Receiving Sending, |it| it.raw;
    TcpStream: Receiving Sending, |it| it.raw;
    RecvHalf<'_>: Receiving, |it| it.raw();
    OwnedRecvHalf: Receiving, |it| it.raw();
    SendHalf<'_>: Sending, |it| it.raw();
    OwnedSendHalf: Sending, |it| it.raw();
    ChildStdin: Sending, |it| it.raw();
    ChildStdout: Receiving, |it| it.raw();
    ChildStderr: Receiving, |it| it.raw();
}

#[cfg(unix)]
adaptable! {
    UnixStream: Receiving Sending, |it| it.raw;
}

/// A stream (or a half of one) with the I/O traits of other libraries; see [the module](crate::adapt).
///
/// * Reading copies from the chunk that the stream lends; `AsyncBufRead` shows that chunk itself. After an error, which is
///   told once, the next read finds the end of the stream.
/// * Writing copies into the stream's bounded send queue, up to 64 KiB a call and all slices of a vectored write as one.
///   A write of 16 KiB or more that finds the queue empty is first offered to the socket as it is, and not copied.
///   A pending write has taken nothing.
/// * Flushing is done at once: the stream goes on sending what it has accepted by itself, as a socket does with its send
///   buffer. An error of it meets the next write.
/// * Closing (shutting down) waits until everything has gone out and then ends the sending direction; the peer sees the end
///   of the stream, and reading goes on. A pipe is closed altogether.
///
/// An `Io` is as much at home on one worker as its stream is.
#[derive(Debug)]
pub struct Io<S> {
    stream: S,
    /// What is left of the chunk that was received last.
    chunk: Option<Chunk>,
    /// The send queue was full: there must be room before bytes are copied.
    full: bool,
    /// The sending direction has been ended.
    shut: bool,
}

impl<S> Io<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Io<S> {
        Io { stream, chunk: None, full: false, shut: false }
    }

    /// The stream. Receiving from it directly would overtake what was received and not yet read here.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// As [`get_ref`](Self::get_ref), to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: Receiving> Io<S> {
    /// The stream back; what was received and not yet read is what its next receive gives.
    ///
    /// # Errors
    /// On another worker, and the unread bytes are lost with the stream.
    pub fn into_inner(self) -> io::Result<S> {
        if let Some(chunk) = self.chunk.filter(|chunk| !chunk.is_empty()) {
            self.stream.raw().unread(chunk)?;
        }
        Ok(self.stream)
    }

    /// Shows what has been received, after receiving if nothing is left; nothing at the end of the stream.
    #[inline]
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.chunk.as_ref().is_none_or(|chunk| chunk.is_empty()) {
            // The buffer goes back to its pool before the next one is asked for.
            self.chunk = None;
            self.chunk = ready!(self.stream.raw().poll_recv(cx))?;
        }
        Poll::Ready(Ok(self.chunk.as_deref().unwrap_or_default()))
    }

    /// Takes `count` bytes off what was shown.
    #[inline]
    pub(super) fn consume_front(&mut self, count: usize) {
        let Some(chunk) = &mut self.chunk else { return };
        chunk.advance(count.min(chunk.len()));
        if chunk.is_empty() {
            self.chunk = None;
        }
    }

    /// Gives `put` as much of what has been received as fits into `room`; the number of bytes, 0 at the end.
    #[inline]
    pub(super) fn poll_copy(&mut self, cx: &mut Context<'_>, room: usize, put: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let available = ready!(self.poll_fill(cx))?;
        let count = available.len().min(room);
        put(&available[..count]);
        self.consume_front(count);
        Poll::Ready(Ok(count))
    }
}

impl<S: Sending> Io<S> {
    /// Copies as much of the slices into the send queue as one write takes.
    pub(super) fn poll_write_slices(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let total = slices.iter().fold(0usize, |sum, slice| sum.saturating_add(slice.len()));
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        let raw = self.stream.raw();
        if self.full {
            // Without bytes this only asks for room.
            ready!(raw.poll_send(cx, &mut None))?;
            self.full = false;
        }
        if total >= DIRECT_MIN
            && let Poll::Ready(sent) = raw.try_send_slices(slices)
        {
            return Poll::Ready(sent);
        }
        let total = total.min(WRITE_MAX);
        let mut bytes = Vec::with_capacity(total);
        for slice in slices {
            let room = total - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let sent = raw.poll_send(cx, &mut Some(Buffer::Vec(bytes)));
        self.full = sent.is_pending();
        ready!(sent)?;
        Poll::Ready(Ok(total))
    }

    /// Waits until everything accepted has gone out, then ends the sending direction.
    pub(super) fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        let raw = self.stream.raw();
        ready!(raw.poll_flush(cx))?;
        self.shut = true;
        let ended = raw.end_sending();
        Poll::Ready(match ended {
            // The peer has gone altogether: there is nobody left to be told of the end.
            Err(error) if error.raw_os_error() == Some(ENOTCONN) => Ok(()),
            // A pipe has one direction: its end is the closing.
            Err(error) if error.raw_os_error() == Some(ENOTSOCK) => {
                raw.close();
                Ok(())
            }
            ended => ended,
        })
    }
}

impl<S> From<S> for Io<S> {
    fn from(stream: S) -> Io<S> {
        Io::new(stream)
    }
}

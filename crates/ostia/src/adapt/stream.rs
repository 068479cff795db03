//! Receivers, listeners, intervals, directories and frames as `futures_core::Stream`; frames as `futures_sink::Sink`.
//!
//! Cancelling is that of the methods behind: an item that nobody has been given stays for the next poll.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;

use crate::codec::{Decoder, Encoder, FramedRead, FramedWrite, Receive, Transmit};
use crate::fs::{DirEntry, ReadDir};
use crate::net::{Listener, TcpListener, TcpStream};
#[cfg(unix)]
use crate::net::{UnixListener, UnixStream};
use crate::sync::mpsc;
use crate::time::Interval;

/// Ends when all senders are gone, or after [`close`](mpsc::Receiver::close), once what was sent before is out.
impl<T> Stream for mpsc::Receiver<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

/// Ends as that of a bounded channel.
impl<T> Stream for mpsc::UnboundedReceiver<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

/// The moments at which ticks were due; never ends.
impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedStream for Interval {
    fn is_terminated(&self) -> bool {
        false
    }
}

/// Connections and errors of accepting; never ends.
impl Stream for Listener {
    type Item = io::Result<crate::net::Stream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(Some)
    }
}

/// As that of [`Listener`].
impl Stream for TcpListener {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        TcpListener::poll_accept(&mut self, cx).map(Some)
    }
}

/// As that of [`Listener`].
#[cfg(unix)]
impl Stream for UnixListener {
    type Item = io::Result<UnixStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        UnixListener::poll_accept(&mut self, cx).map(Some)
    }
}

/// Entries and errors of listing; ends with the directory.
impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ReadDir::poll_next(&mut self, cx).map(Result::transpose)
    }
}

/// Frames; ends at the end of the stream, and after an error of the decoder.
impl<S: Receive + Unpin, D: Decoder + Unpin> Stream for FramedRead<S, D> {
    type Item = Result<D::Item, D::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_lost() {
            return Poll::Ready(None);
        }
        FramedRead::poll_next(&mut self, cx).map(Result::transpose)
    }
}

/// Frames: `start_send` [feeds](FramedWrite::feed), and what was fed goes out by `poll_flush`. `poll_close` flushes and
/// leaves the stream open, whose end is its owner's to decide.
impl<Item, S: Transmit + Unpin, E: Encoder<Item> + Unpin> Sink<Item> for FramedWrite<S, E> {
    type Error = E::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E::Error>> {
        if self.has_enough() {
            ready!(FramedWrite::poll_flush(&mut self, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, item: Item) -> Result<(), E::Error> {
        self.encode(item)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E::Error>> {
        FramedWrite::poll_flush(&mut self, cx).map_err(E::Error::from)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E::Error>> {
        Sink::<Item>::poll_flush(self, cx)
    }
}

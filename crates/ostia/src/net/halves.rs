//! The two halves of a stream, and what both they and the whole stream do.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::Shutdown;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use ostia_port::{Address, Buffer, Chunk, Op};

use crate::fs::File;
use crate::here;
use crate::net::Stream;
use crate::net::raw::{Raw, Recv, Send};
use crate::net::stream::returned;

pub(crate) async fn read(raw: Raw, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
    match here::home(raw.worker, |core| Ok(core.left_reads.get() > 0)) {
        Ok(true) => return read_after_others(raw, buffer).await,
        Ok(false) => {}
        Err(error) => return (Err(error), buffer),
    }
    let from = buffer.len();
    let operation = match raw.post(Op::RecvInto { socket: raw.handle, buffer }) {
        Ok(operation) => operation.unreading(raw.handle, from),
        Err(error) => return (Err(error), Vec::new()),
    };
    match operation.await {
        Ok(done) => (done.result, returned(done.payload).into_vec()),
        Err(error) => (Err(error), Vec::new()),
    }
}

/// Reads while a read that was given up may still be with the kernel: a second one in the kernel's hands could overtake
/// its bytes, so this one copies what comes from the pool.
async fn read_after_others(raw: Raw, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
    let room = buffer.capacity() - buffer.len();
    if room == 0 {
        return (Err(io::ErrorKind::InvalidInput.into()), buffer);
    }
    let mut chunk = match Recv::new(raw).await {
        Ok(Some(chunk)) => chunk,
        Ok(None) => return (Ok(0), buffer),
        Err(error) => return (Err(error), buffer),
    };
    let taken = room.min(chunk.len());
    buffer.extend_from_slice(&chunk[..taken]);
    chunk.advance(taken);
    (raw.unread(chunk).map(|()| taken), buffer)
}

pub(crate) async fn send_vectored(raw: Raw, data: Vec<Buffer>) -> io::Result<()> {
    raw.post(Op::SendVectored { socket: raw.handle, data })?.kept().await?.result.map(drop)
}

pub(crate) async fn send_zc(raw: Raw, data: Buffer) -> (io::Result<()>, Buffer) {
    finish_send(raw, Op::SendZc { socket: raw.handle, data }).await
}

pub(crate) async fn write_all(raw: Raw, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
    let (result, buffer) = finish_send(raw, Op::Send { socket: raw.handle, data: Buffer::Vec(buffer) }).await;
    (result, buffer.into_vec())
}

async fn finish_send(raw: Raw, op: Op) -> (io::Result<()>, Buffer) {
    let operation = match raw.post(op) {
        Ok(operation) => operation.kept(),
        Err(error) => return (Err(error), Buffer::default()),
    };
    match operation.await {
        Ok(done) => (done.result.map(drop), returned(done.payload)),
        Err(error) => (Err(error), Buffer::default()),
    }
}

pub(crate) async fn send_file(raw: Raw, head: Option<Buffer>, file: &File, range: Range<u64>) -> io::Result<u64> {
    let head = head.unwrap_or_default();
    let len = range.end.saturating_sub(range.start);
    let file = file.raw_on(raw.worker)?;
    let sent = raw.post(Op::SendFile { socket: raw.handle, head, file, offset: range.start, len })?.await?.result?;
    Ok(sent as u64)
}

pub(crate) async fn shutdown(raw: Raw, how: Shutdown) -> io::Result<()> {
    raw.post(Op::Shutdown { socket: raw.handle, how })?.kept().await?.result.map(drop)
}

macro_rules! receiving {
    () => {
        /// As [`Stream::recv`].
        ///
        /// # Errors
        /// As there.
        #[inline]
        pub fn recv(&mut self) -> Recv<'_> {
            Recv::new(self.raw())
        }

        /// As [`Stream::poll_recv`].
        #[inline]
        pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
            self.raw().poll_recv(cx)
        }

        /// As [`Stream::read`], cancelling too.
        ///
        /// # Errors
        /// As there.
        pub async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
            read(self.raw(), buffer).await
        }

        /// As [`Stream::unread`].
        ///
        /// # Errors
        /// As there.
        pub fn unread(&mut self, chunk: Chunk) -> io::Result<()> {
            self.raw().unread(chunk)
        }
    };
}

macro_rules! sending {
    () => {
        /// As [`Stream::send`].
        ///
        /// # Errors
        /// As there.
        #[inline]
        pub fn send(&mut self, data: impl Into<Buffer>) -> Send<'_> {
            Send::new(self.raw(), data.into())
        }

        /// As [`Stream::poll_send`].
        #[inline]
        pub fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Option<Buffer>) -> Poll<io::Result<()>> {
            self.raw().poll_send(cx, data)
        }

        /// As [`Stream::send_vectored`], cancelling too.
        ///
        /// # Errors
        /// As there.
        pub async fn send_vectored(&mut self, data: Vec<Buffer>) -> io::Result<()> {
            send_vectored(self.raw(), data).await
        }

        /// As [`Stream::send_zc`], cancelling too.
        ///
        /// # Errors
        /// As there.
        pub async fn send_zc(&mut self, data: impl Into<Buffer>) -> (io::Result<()>, Buffer) {
            send_zc(self.raw(), data.into()).await
        }

        /// As [`Stream::write_all`], cancelling too.
        ///
        /// # Errors
        /// As there.
        pub async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
            write_all(self.raw(), buffer).await
        }

        /// As [`Stream::send_file`], cancelling too.
        ///
        /// # Errors
        /// As there.
        pub async fn send_file(&mut self, head: Option<Buffer>, file: &File, range: Range<u64>) -> io::Result<u64> {
            send_file(self.raw(), head, file, range).await
        }

        /// As [`Stream::flush`]. Cancel safe.
        ///
        /// # Errors
        /// As there.
        pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> + use<'_> {
            let raw = self.raw();
            std::future::poll_fn(move |cx| raw.poll_flush(cx))
        }

        /// Ends the sending direction after what was accepted; the peer sees the end of the stream. Cancelled: it may
        /// have happened.
        ///
        /// # Errors
        /// As [`Stream::shutdown`].
        pub async fn shutdown(&mut self) -> io::Result<()> {
            shutdown(self.raw(), Shutdown::Write).await
        }
    };
}

macro_rules! addresses {
    () => {
        /// As [`Stream::peer_addr`].
        ///
        /// # Errors
        /// As there.
        pub fn peer_addr(&self) -> io::Result<Address> {
            self.raw().peer()
        }
    };
}

/// The receiving half of a stream, borrowed: see [`Stream::split`].
#[derive(Debug)]
pub struct RecvHalf<'a>(Raw, PhantomData<&'a mut Stream>);

impl RecvHalf<'_> {
    pub(crate) fn new(raw: Raw) -> Self {
        RecvHalf(raw, PhantomData)
    }

    pub(crate) fn raw(&self) -> Raw {
        self.0
    }

    receiving!();
    addresses!();
}

/// The sending half of a stream, borrowed: see [`Stream::split`].
#[derive(Debug)]
pub struct SendHalf<'a>(Raw, PhantomData<&'a mut Stream>);

impl SendHalf<'_> {
    pub(crate) fn new(raw: Raw) -> Self {
        SendHalf(raw, PhantomData)
    }

    pub(crate) fn raw(&self) -> Raw {
        self.0
    }

    sending!();
    addresses!();
}

/// The receiving half of a stream, by itself: see [`Stream::into_split`].
#[derive(Debug)]
pub struct OwnedRecvHalf(Arc<Stream>);

impl OwnedRecvHalf {
    pub(crate) fn raw(&self) -> Raw {
        self.0.raw
    }

    /// The stream again, from its two halves.
    ///
    /// # Errors
    /// Both halves back if they are not of the same stream.
    pub fn reunite(self, other: OwnedSendHalf) -> Result<Stream, (OwnedRecvHalf, OwnedSendHalf)> {
        if !Arc::ptr_eq(&self.0, &other.0) {
            return Err((self, other));
        }
        drop(other);
        Arc::try_unwrap(self.0).map_err(|whole| (OwnedRecvHalf(Arc::clone(&whole)), OwnedSendHalf(whole)))
    }

    receiving!();
    addresses!();
}

/// The sending half of a stream, by itself: see [`Stream::into_split`]. Dropping it does not end the direction while
/// the other half lives: call [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct OwnedSendHalf(Arc<Stream>);

impl OwnedSendHalf {
    pub(crate) fn raw(&self) -> Raw {
        self.0.raw
    }

    sending!();
    addresses!();
}

pub(crate) fn owned(stream: Stream) -> (OwnedRecvHalf, OwnedSendHalf) {
    let shared = Arc::new(stream);
    (OwnedRecvHalf(Arc::clone(&shared)), OwnedSendHalf(shared))
}

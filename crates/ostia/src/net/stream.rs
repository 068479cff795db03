//! Connected stream sockets: receiving, sending, files, half-closing.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::ops::Range;
use std::task::{Context, Poll};

use ostia_port::os::OwnedFd;
use ostia_port::{Address, Buffer, Chunk, Kind, Payload};

use crate::fs::File;
use crate::here;
use crate::net::raw::{Raw, Recv, Send};
use crate::net::{ConnectOptions, Endpoint, Network, OwnedRecvHalf, OwnedSendHalf, RecvHalf, SendHalf, connect, halves, splice};

/// A connected stream socket, TCP or Unix.
///
/// What the peer has sent belongs to the stream, not to whoever asked for it: dropping any receiving future at any await
/// loses no byte. Dropping the stream closes it, after what [`send`](Self::send) has accepted has gone out (for at most
/// the port's [`linger`](crate::Config::linger) time).
///
/// It is a handle of 12 bytes and may be sent to other threads; used on another than its worker, every call fails and
/// says so. Dropped there, it is closed at home.
#[derive(Debug)]
pub struct Stream {
    pub(crate) raw: Raw,
}

impl Stream {
    pub(crate) fn from_raw(raw: Raw) -> Stream {
        Stream { raw }
    }

    /// Connects to the first address of an endpoint that answers, on the [current](Network::current) network. The families of
    /// a name's addresses take turns, the next is tried beside one that is slow, and the first connection wins (RFC 8305).
    ///
    /// Cancelled: all attempts are given up and their sockets closed.
    ///
    /// # Errors
    /// Of the last attempt that failed (connect(2)), or of the resolver; a [`NetError`](crate::net::NetError).
    pub async fn connect(endpoint: &Endpoint) -> io::Result<Stream> {
        Stream::connect_with(endpoint, ConnectOptions::default()).await
    }

    /// As [`connect`](Self::connect), with options. Cancelling as there.
    ///
    /// # Errors
    /// As there; TimedOut after [`ConnectOptions::timeout`].
    pub async fn connect_with(endpoint: &Endpoint, options: ConnectOptions) -> io::Result<Stream> {
        connect::connect(&Network::current(), endpoint, options).await
    }

    /// Connects to one address, on the current network. Cancelled: as for [`connect`](Self::connect).
    ///
    /// # Errors
    /// As connect(2), naming the address.
    pub async fn connect_address(address: Address) -> io::Result<Stream> {
        connect::attempt(Network::current().carrier, address, None).await
    }

    /// Takes over a connected socket from the standard library or elsewhere, for this worker.
    ///
    /// # Errors
    /// InvalidInput if it is no stream socket; outside of a runtime.
    pub fn from_fd(socket: impl Into<OwnedFd>) -> io::Result<Stream> {
        let socket = socket.into();
        if rustix::net::sockopt::socket_type(&socket)? != rustix::net::SocketType::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket"));
        }
        Stream::adopt(socket)
    }

    /// Takes over what is known to be a stream socket.
    pub(crate) fn adopt(socket: OwnedFd) -> io::Result<Stream> {
        here::with(|core| {
            let handle = core.port.borrow_mut().adopt_as(socket, Kind::Stream, 0);
            Stream { raw: Raw { worker: core.id, handle } }
        })
        .ok_or_else(here::elsewhere)
    }

    /// Receives: lends what has arrived, as a chunk of the worker's pool; none at the end of the stream.
    ///
    /// Cancel safe: bytes that arrive after the future was dropped wait for the next call.
    ///
    /// # Errors
    /// As recv(2), once: ECONNRESET, also if a send was told before; ENOBUFS if this stream's owner holds its whole share of a strained pool.
    #[inline]
    pub fn recv(&mut self) -> Recv<'_> {
        Recv::new(self.raw)
    }

    /// As [`recv`](Self::recv), for futures written by hand.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        self.raw.poll_recv(cx)
    }

    /// Puts bytes back: the next receive finds them first. For who has read too far.
    ///
    /// # Errors
    /// On another worker.
    pub fn unread(&mut self, chunk: Chunk) -> io::Result<()> {
        self.raw.unread(chunk)
    }

    /// Reads into the spare capacity of `buffer`, appending; gives it back with the number of bytes, 0 at the end.
    ///
    /// Cancelled: the buffer is lost, but no byte is: what had arrived for it waits for the next call.
    ///
    /// # Errors
    /// EINVAL if the buffer has no spare capacity; else as recv(2).
    pub async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        halves::read(self.raw, buffer).await
    }

    /// Sends bytes: done when they are accepted into the stream's send queue, which waits while that is full (64 KiB by
    /// default). Order is kept. What is accepted goes out even if the stream is dropped then; an error meets a later call.
    ///
    /// Cancelled: nothing of this data was accepted.
    ///
    /// # Errors
    /// As send(2), of this data or of earlier: EPIPE, ECONNRESET.
    #[inline]
    pub fn send(&mut self, data: impl Into<Buffer>) -> Send<'_> {
        Send::new(self.raw, data.into())
    }

    /// As [`send`](Self::send), for futures written by hand: takes `data` when it is accepted.
    #[inline]
    pub fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Option<Buffer>) -> Poll<io::Result<()>> {
        self.raw.poll_send(cx, data)
    }

    /// Sends several buffers as one run of bytes, in one system call where that goes; done when the kernel has them.
    ///
    /// Cancelled after its first poll: they still go out whole, unless the stream is closed meanwhile.
    ///
    /// # Errors
    /// As send(2).
    pub async fn send_vectored(&mut self, data: Vec<Buffer>) -> io::Result<()> {
        halves::send_vectored(self.raw, data).await
    }

    /// Sends bytes and waits until their memory is free again, without copying them where the kernel can do that
    /// (from 64 KiB on); gives the buffer back. Cancelling as for [`send_vectored`](Self::send_vectored).
    ///
    /// # Errors
    /// As send(2).
    pub async fn send_zc(&mut self, data: impl Into<Buffer>) -> (io::Result<()>, Buffer) {
        halves::send_zc(self.raw, data.into()).await
    }

    /// Writes all of `buffer` and gives it back; done when the kernel has it. Cancelling as for
    /// [`send_vectored`](Self::send_vectored).
    ///
    /// # Errors
    /// As send(2).
    pub async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        halves::write_all(self.raw, buffer).await
    }

    /// Writes `buffer` and gives it back with the number of bytes written, which is all of them: a stream's writes are
    /// never short without an error. Cancelling as for [`send_vectored`](Self::send_vectored).
    ///
    /// # Errors
    /// As send(2).
    pub async fn write(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let (result, buffer) = self.write_all(buffer).await;
        (result.map(|()| buffer.len()), buffer)
    }

    /// Sends `head` and then a range of a file, without copying the file's bytes (sendfile(2)). Gives the number of the
    /// file's bytes sent: fewer than asked for mean that the file ends earlier.
    ///
    /// Cancelled: a part may have gone out, and the stream should be closed.
    ///
    /// # Errors
    /// As sendfile(2); on another worker than the stream's or the file's.
    pub async fn send_file(&mut self, head: Option<Buffer>, file: &File, range: Range<u64>) -> io::Result<u64> {
        halves::send_file(self.raw, head, file, range).await
    }

    /// Moves what the peer sends on to another stream, `limit` bytes or until the end, in the kernel where that goes
    /// (splice(2) through a pooled pipe, on Linux). Gives the number of bytes moved.
    ///
    /// Where [`recv`](Self::recv) has been used on the stream before, and on other systems, the bytes go by chunks instead: they are
    /// received and sent, and not copied in between. `to` is not shut down at the end. Cancelled: bytes that have left the stream may not have reached `to`; close both.
    ///
    /// # Errors
    /// As splice(2) on either side, or as [`recv`](Self::recv) and [`send`](Self::send).
    pub async fn splice_to(&mut self, to: &mut Stream, limit: Option<u64>) -> io::Result<u64> {
        splice::splice(self.raw, to.raw, limit).await
    }

    /// Waits until the kernel has taken everything that was accepted for sending. Cancel safe.
    ///
    /// # Errors
    /// As send(2) for any of it.
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> + use<'_> {
        let raw = self.raw;
        std::future::poll_fn(move |cx| raw.poll_flush(cx))
    }

    /// Ends one or both directions; sending after what was accepted has gone out. The peer then sees the end of the
    /// stream, and the other direction goes on.
    ///
    /// Cancelled: it may have happened.
    ///
    /// # Errors
    /// ENOTCONN if the connection is gone.
    pub async fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        halves::shutdown(self.raw, how).await
    }

    /// Closes the stream and waits until everything accepted has gone out and the descriptor is closed.
    ///
    /// Cancelled: the closing goes on.
    ///
    /// # Errors
    /// As close(2); on another worker.
    pub async fn close(self) -> io::Result<()> {
        self.raw.closed().await
    }

    /// Closes the stream at once: what was accepted and has not gone out is dropped, and a TCP peer sees a reset.
    pub fn abort(self) {
        // On another worker the drop closes it at home, in the gentle way.
        let _ = here::home(self.raw.worker, |core| {
            core.port.borrow_mut().abort(self.raw.handle);
            Ok(())
        });
    }

    /// Two halves that can be used at the same time in one task.
    pub fn split(&mut self) -> (RecvHalf<'_>, SendHalf<'_>) {
        (RecvHalf::new(self.raw), SendHalf::new(self.raw))
    }

    /// Two halves that can go to different tasks of this worker. The stream is closed when both are gone.
    #[must_use]
    pub fn into_split(self) -> (OwnedRecvHalf, OwnedSendHalf) {
        halves::owned(self)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// ENOTCONN; on another worker.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.raw.peer()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// On another worker.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.raw.local()
    }

    /// Takes the stream off its worker, with what was received and not read, so that another can
    /// [attach](Detached::attach) it.
    ///
    /// # Errors
    /// On another worker. ResourceBusy while something is in flight: unsent data, or a receive. A receive is in flight
    /// from the first [`recv`](Self::recv) that had to wait. Unsupported on versions of Windows that can't take a socket off a
    /// completion port (before 8.1), and for the streams of an [engine](Network::of_engine). The stream is closed then.
    pub fn detach(self) -> io::Result<Detached> {
        let (socket, unread) = here::home(self.raw.worker, |core| {
            core.forget_handle(self.raw.handle);
            core.port.borrow_mut().release_stream(self.raw.handle)
        })?;
        Ok(Detached { socket, unread })
    }
}

/// A stream on its way from one worker to another.
#[derive(Debug)]
pub struct Detached {
    socket: OwnedFd,
    unread: Vec<Chunk>,
}

impl Detached {
    /// Makes it a stream of the current worker; what was unread comes first.
    ///
    /// # Errors
    /// Outside of a runtime.
    pub fn attach(self) -> io::Result<Stream> {
        let mut stream = Stream::adopt(self.socket)?;
        for chunk in self.unread.into_iter().rev() {
            stream.unread(chunk)?;
        }
        Ok(stream)
    }
}

impl Drop for Stream {
    #[inline]
    fn drop(&mut self) {
        self.raw.close();
    }
}

/// The buffer that a completed operation gives back.
pub(crate) fn returned(payload: Payload) -> Buffer {
    match payload {
        Payload::Buffer(buffer) => buffer,
        _ => Buffer::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_small_handle_that_can_travel() {
        fn travels<T: std::marker::Send + Sync + 'static>() {}
        travels::<Stream>();
        assert_eq!(size_of::<Stream>(), 12);
    }
}

//! The pipes to a child and from it: what streams do in both directions, each of these does in one.

use std::future::Future;
use std::io;
use std::task::{Context, Poll};

use ostia_port::os::OwnedFd;
use ostia_port::{Buffer, Chunk, Kind, Op};

use crate::here;
use crate::net::halves;
use crate::net::raw::{Raw, Recv, Send};
use crate::task::{self, spawn_here};
use crate::worker::Core;

/// The context of a notification that wakes nobody.
const NOBODY: u64 = u64::MAX;

/// Gives a pipe to a worker.
fn adopt(core: &Core, pipe: impl Into<OwnedFd>) -> Raw {
    let handle = core.port.borrow_mut().adopt_as(pipe.into(), Kind::Pipe, 0);
    Raw { worker: core.id, handle }
}

/// Whether everything accepted has been written. Nobody is told when it has.
fn written(core: &Core, raw: Raw) -> Poll<io::Result<()>> {
    core.port.borrow_mut().poll_flush(raw.handle, NOBODY)
}

/// A descriptor of one's own for a pipe on which nothing is going on.
fn taken_out(raw: Raw) -> io::Result<OwnedFd> {
    raw.descriptor(|fd| fd.try_clone_to_owned())
}

/// The error of taking a pipe out while something is going on.
fn busy(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, why)
}

/// The writing end of a child's standard input.
///
/// Dropping it closes it, after what [`send`](Self::send) has accepted has been written: the child takes its time, and what
/// it never reads is dropped when it ends. That goes on by itself as a task of the worker; at the worker's end the rest is
/// lost. Await [`flush`](Self::flush) or [`close`](Self::close) to know.
///
/// It may be sent to other threads; used on another than its worker, every call fails and says so. Dropped there, it is
/// closed at home.
#[derive(Debug)]
pub struct ChildStdin {
    raw: Raw,
}

impl ChildStdin {
    pub(super) fn new(core: &Core, pipe: impl Into<OwnedFd>) -> ChildStdin {
        ChildStdin { raw: adopt(core, pipe) }
    }

    pub(crate) fn raw(&self) -> Raw {
        self.raw
    }

    /// Sends bytes: done when they are accepted into the pipe's send queue, which waits while that is full (64 KiB by default,
    /// besides what the pipe itself holds). Order is kept. An error of what was accepted meets a later call.
    ///
    /// Cancelled: nothing of this data was accepted.
    ///
    /// # Errors
    /// EPIPE if the child has closed its input or has ended; on another worker.
    #[inline]
    pub fn send(&mut self, data: impl Into<Buffer>) -> Send<'_> {
        Send::new(self.raw, data.into())
    }

    /// As [`send`](Self::send), for futures written by hand: takes `data` when it is accepted.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Option<Buffer>) -> Poll<io::Result<()>> {
        self.raw.poll_send(cx, data)
    }

    /// Writes all of `buffer` and gives it back; done when it is in the pipe, which need not mean that the child has read it.
    ///
    /// Cancelled after its first poll: it still goes out whole and in its place.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        halves::write_all(self.raw, buffer).await
    }

    /// Waits until everything that was accepted is in the pipe. Cancel safe.
    ///
    /// # Errors
    /// As for [`send`](Self::send), of any of it.
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> + use<'_> {
        let raw = self.raw;
        std::future::poll_fn(move |cx| raw.poll_flush(cx))
    }

    /// Waits until everything that was accepted is in the pipe, and closes it: the child finds the end behind it.
    ///
    /// Cancelled: as dropping it; the closing goes on.
    ///
    /// # Errors
    /// As for [`send`](Self::send). The pipe is closed then too.
    pub async fn close(mut self) -> io::Result<()> {
        self.flush().await?;
        self.raw.post(Op::Close { handle: self.raw.handle })?.kept().await?.result.map(drop)
    }

    /// Takes the pipe's descriptor out of the runtime: a blocking one, as the standard library and other children want it; on
    /// Windows one for overlapped requests, which stays associated with the worker's completion port if it was ever written to.
    ///
    /// # Errors
    /// ResourceBusy while accepted bytes have not gone out: [`flush`](Self::flush) first; the pipe is then closed as by
    /// dropping it. No descriptor left; on another worker.
    pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
        here::home(self.raw.worker, |core| match written(core, self.raw) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Err(busy("bytes are still to be written to the pipe")),
        })?;
        taken_out(self.raw)
    }
}

/// Closes a handle when it is dropped.
struct Closing(Raw);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Closes a pipe when everything accepted has been written or can't be any more, however long the child takes: the port
/// by itself would give up after its linger time, and the child would take what it got for the whole.
fn close_when_written(core: &Core, raw: Raw) {
    let closing = Closing(raw);
    if written(core, raw).is_ready() {
        return;
    }
    let (_, writing) = spawn_here(core, 0, async move {
        let closing = closing;
        // An error means that the child no longer reads.
        let _ = std::future::poll_fn(|cx| closing.0.poll_flush(cx)).await;
    });
    writing.detach();
}

impl Drop for ChildStdin {
    fn drop(&mut self) {
        let raw = self.raw;
        let at_home = here::home(raw.worker, |core| {
            close_when_written(core, raw);
            Ok(())
        });
        if at_home.is_err() {
            // A worker that has gone has closed it.
            task::call(raw.worker, move |core| close_when_written(core, raw));
        }
    }
}

macro_rules! reading_end {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// What the child has written belongs to the pipe, not to whoever asked for it: dropping any receiving future at any
        /// await loses no byte. Received and unread bytes are bounded (64 KiB by default, besides what the pipe itself holds);
        /// past that the child waits. Dropping this closes it, and the child's next write fails.
        ///
        /// It may be sent to other threads; used on another than its worker, every call fails and says so. Dropped there, it
        /// is closed at home.
        #[derive(Debug)]
        pub struct $name {
            raw: Raw,
        }

        impl $name {
            pub(super) fn new(core: &Core, pipe: impl Into<OwnedFd>) -> $name {
                $name { raw: adopt(core, pipe) }
            }

            pub(crate) fn raw(&self) -> Raw {
                self.raw
            }

            /// Receives: lends what has been written, as a chunk of the worker's pool; none at the end, which comes when
            /// nobody has the other end open any more: neither the child nor those that it has started.
            ///
            /// Cancel safe: bytes that come after the future was dropped wait for the next call.
            ///
            /// # Errors
            /// As read(2), once; ENOBUFS if this pipe's owner holds its whole share of a strained pool; on another worker.
            #[inline]
            pub fn recv(&mut self) -> Recv<'_> {
                Recv::new(self.raw)
            }

            /// As [`recv`](Self::recv), for futures written by hand.
            ///
            /// # Errors
            /// As there.
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
            /// Cancelled: the buffer is lost, but no byte is: what had come for it waits for the next call.
            ///
            /// # Errors
            /// EINVAL if the buffer has no spare capacity; else as read(2).
            pub async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
                halves::read(self.raw, buffer).await
            }

            /// Takes the pipe's descriptor out of the runtime: a blocking one, as the standard library and other children
            /// want it; on Windows one for overlapped requests.
            ///
            /// # Errors
            /// ResourceBusy once a receive has had to wait, for the pipe is being read since; it is closed then. No
            /// descriptor left; on another worker.
            pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
                if here::home(self.raw.worker, |core| Ok(core.port.borrow().is_receiving(self.raw.handle)))? {
                    return Err(busy("the pipe is being read, or holds bytes that were read and not taken"));
                }
                taken_out(self.raw)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.raw.close();
            }
        }
    };
}

reading_end! {
    /// The reading end of a child's standard output.
    ChildStdout
}

reading_end! {
    /// The reading end of a child's standard error.
    ChildStderr
}

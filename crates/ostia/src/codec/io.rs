//! What frames are read from and written to.

use std::io;
use std::task::{Context, Poll};

use ostia_port::{Buffer, Chunk};

#[cfg(unix)]
use crate::net::UnixStream;
use crate::net::{OwnedRecvHalf, OwnedSendHalf, RecvHalf, SendHalf, Stream, TcpStream};
use crate::process::{ChildStderr, ChildStdin, ChildStdout};

/// Something that chunks of bytes come from, as from [`Stream::poll_recv`].
pub trait Receive {
    /// The next bytes; none at the end. Pending loses nothing: bytes that come belong to whoever asks next.
    ///
    /// # Errors
    /// As recv(2).
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>>;
}

/// Something that takes bytes, as [`Stream::poll_send`] does.
pub trait Transmit {
    /// Takes all of `data`, or none of it if it is pending.
    ///
    /// # Errors
    /// As send(2).
    fn poll_transmit(&mut self, cx: &mut Context<'_>, data: &mut Option<Buffer>) -> Poll<io::Result<()>>;
}

macro_rules! receive {
    ($($name:ty),*) => {$(
        impl Receive for $name {
            #[inline]
            fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
                self.poll_recv(cx)
            }
        }
    )*};
}

macro_rules! transmit {
    ($($name:ty),*) => {$(
        impl Transmit for $name {
            #[inline]
            fn poll_transmit(&mut self, cx: &mut Context<'_>, data: &mut Option<Buffer>) -> Poll<io::Result<()>> {
                self.poll_send(cx, data)
            }
        }
    )*};
}

receive!(Stream, TcpStream, RecvHalf<'_>, OwnedRecvHalf, ChildStdout, ChildStderr);
transmit!(Stream, TcpStream, SendHalf<'_>, OwnedSendHalf, ChildStdin);
#[cfg(unix)]
receive!(UnixStream);
#[cfg(unix)]
transmit!(UnixStream);

impl<T: Receive + ?Sized> Receive for &mut T {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        (**self).poll_receive(cx)
    }
}

impl<T: Transmit + ?Sized> Transmit for &mut T {
    fn poll_transmit(&mut self, cx: &mut Context<'_>, data: &mut Option<Buffer>) -> Poll<io::Result<()>> {
        (**self).poll_transmit(cx, data)
    }
}

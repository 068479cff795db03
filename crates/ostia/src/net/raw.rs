//! What every owner of a socket is made of: the worker and the handle, and the futures of the hot path.

use std::future::Future;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use ostia_port::os::BorrowedFd;
use ostia_port::{Address, Buffer, Chunk, Handle, Op, OptionName, SocketOption};

use crate::net::socket;
use crate::operation::{self, Operation};
use crate::worker::Side;
use crate::{here, inbox};

/// A handle and the worker whose port it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Raw {
    pub(crate) worker: u32,
    pub(crate) handle: Handle,
}

impl Raw {
    #[inline]
    pub(crate) fn poll_recv(self, cx: &Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        here::home_poll(self.worker, |core| {
            core.poll_handle(cx, self.handle, Side::Receive, |port, context| port.poll_recv(self.handle, context))
        })
    }

    /// Sends what the socket takes now, past the queue if that is empty.
    pub(crate) fn try_send_slices(self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        here::home_poll(self.worker, |core| core.port.borrow_mut().try_send_slices(self.handle, slices))
    }

    #[inline]
    pub(crate) fn poll_send(self, cx: &Context<'_>, data: &mut Option<Buffer>) -> Poll<io::Result<()>> {
        here::home_poll(self.worker, |core| {
            core.poll_handle(cx, self.handle, Side::Send, |port, context| port.poll_send(self.handle, data, context))
        })
    }

    pub(crate) fn poll_flush(self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        here::home_poll(self.worker, |core| {
            core.poll_handle(cx, self.handle, Side::Send, |port, context| port.poll_flush(self.handle, context))
        })
    }

    /// Puts bytes back in front of what is unread.
    pub(crate) fn unread(self, chunk: Chunk) -> io::Result<()> {
        here::home(self.worker, |core| core.port.borrow_mut().unread(self.handle, chunk))
    }

    /// Calls `f` with the descriptor.
    pub(crate) fn descriptor<R>(self, f: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>) -> io::Result<R> {
        here::home(self.worker, |core| f(core.port.borrow().descriptor(self.handle)?))
    }

    /// The address of this end.
    pub(crate) fn local(self) -> io::Result<Address> {
        match self.is_engines() {
            true => here::home(self.worker, |core| core.port.borrow().local_addr(self.handle)),
            false => self.descriptor(socket::local),
        }
    }

    /// The address of the other end.
    pub(crate) fn peer(self) -> io::Result<Address> {
        match self.is_engines() {
            true => here::home(self.worker, |core| core.port.borrow().peer_addr(self.handle)),
            false => self.descriptor(socket::peer),
        }
    }

    /// Whether it is a socket of an engine, which has no descriptor.
    pub(crate) fn is_engines(self) -> bool {
        here::home(self.worker, |core| Ok(core.port.borrow().is_engines(self.handle))).unwrap_or(false)
    }

    /// Sets an option: an engine's, or the system's by its descriptor.
    pub(crate) fn set(self, option: SocketOption, system: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        match self.is_engines() {
            true => here::home(self.worker, |core| core.port.borrow_mut().set_option(self.handle, option)),
            false => self.descriptor(system),
        }
    }

    /// Asks an engine for an option, from whose value `of` takes what is wanted, or the system by the descriptor.
    pub(crate) fn get<T>(
        self,
        name: OptionName,
        of: impl FnOnce(SocketOption) -> Option<T>,
        system: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.is_engines() {
            true => here::home(self.worker, |core| {
                let option = core.port.borrow().option(self.handle, name)?;
                of(option).ok_or_else(|| io::ErrorKind::InvalidData.into())
            }),
            false => self.descriptor(system),
        }
    }

    /// Names the one peer of an engine's datagram socket.
    pub(crate) fn connect_datagrams(self, peer: SocketAddr) -> io::Result<()> {
        here::home(self.worker, |core| core.port.borrow_mut().connect_socket(self.handle, peer))
    }

    /// Ends the sending direction at once.
    pub(crate) fn end_sending(self) -> io::Result<()> {
        match self.is_engines() {
            true => here::home(self.worker, |core| core.port.borrow_mut().shutdown_socket(self.handle, Shutdown::Write)),
            false => self.descriptor(|fd| Ok(rustix::net::shutdown(fd, rustix::net::Shutdown::Write)?)),
        }
    }

    pub(crate) fn post(self, op: Op) -> io::Result<Operation> {
        operation::post_home(self.worker, op)
    }

    /// Closes the handle; done when the descriptor is closed. Dropping the future doesn't stop it.
    pub(crate) async fn closed(self) -> io::Result<()> {
        let closing = self.post(Op::Close { handle: self.handle })?.kept();
        closing.await?.result.map(drop)
    }

    /// Closes the handle, from any thread.
    pub(crate) fn close(self) {
        let mut closed = false;
        here::with(|core| {
            if core.id == self.worker {
                core.close(self.handle);
                closed = true;
            }
        });
        if !closed {
            // A worker that has gone has closed it.
            let _ = inbox::send(self.worker, inbox::Message::Close(self.handle));
        }
    }
}

/// The future of [`Stream::recv`](crate::net::Stream::recv).
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Recv<'a> {
    raw: Raw,
    _stream: PhantomData<&'a mut ()>,
}

impl Recv<'_> {
    #[inline]
    pub(crate) fn new(raw: Raw) -> Self {
        Recv { raw, _stream: PhantomData }
    }
}

impl Future for Recv<'_> {
    type Output = io::Result<Option<Chunk>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.raw.poll_recv(cx)
    }
}

/// The future of [`Stream::send`](crate::net::Stream::send).
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Send<'a> {
    raw: Raw,
    data: Option<Buffer>,
    _stream: PhantomData<&'a mut ()>,
}

impl Send<'_> {
    #[inline]
    pub(crate) fn new(raw: Raw, data: Buffer) -> Self {
        Send { raw, data: Some(data), _stream: PhantomData }
    }
}

impl Future for Send<'_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let raw = self.raw;
        raw.poll_send(cx, &mut self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hot_futures_are_small() {
        assert_eq!(size_of::<Raw>(), 12);
        assert_eq!(size_of::<Recv<'_>>(), 12);
        assert!(size_of::<Send<'_>>() <= 48, "{}", size_of::<Send<'_>>());
        assert!(size_of::<crate::time::Timeout<Recv<'_>>>() <= 32);
    }
}

//! What all sockets that keep boundaries have in common: receiving and sending by trying, and waiting to try again.
//!
//! A datagram stays with the kernel, or on the port's handle, until a poll takes it into the caller's memory, so there is
//! nothing that a dropped future could lose, and an idle socket holds no memory.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ostia_port::os::{EMSGSIZE, OwnedFd, POLLOUT};
use ostia_port::{Address, Buffer, Handle, Kind, Op, Port};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::here;
use crate::net::failure::naming;
use crate::net::message::{SEGMENT, sends_singly};
use crate::net::raw::Raw;
use crate::net::{Incoming, Outgoing, socket, sockopt};
use crate::time::sleep;
use crate::worker::Side;

/// The most segments of one call: what every kernel with UDP_SEGMENT takes.
const SEGMENTS_MAX: usize = 64;
/// The most bytes that one call carries in segments.
const SEGMENTED_MAX: usize = 65_507;
/// How long a send waits at first when the receiver's queue is full, of which poll(2) says nothing, and at most.
const FULL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(32));

/// A socket of datagrams, of whatever kind.
#[derive(Debug)]
pub(crate) struct Datagrams {
    pub(crate) raw: Raw,
}

impl Datagrams {
    /// Takes over what is known to be a socket of this kind.
    pub(crate) fn adopt(socket: OwnedFd) -> io::Result<Datagrams> {
        here::with(|core| {
            let handle = core.port.borrow_mut().adopt_as(socket, Kind::Datagram, 0);
            Datagrams { raw: Raw { worker: core.id, handle } }
        })
        .ok_or_else(here::elsewhere)
    }

    pub(crate) fn try_clone(&self) -> io::Result<Datagrams> {
        let clone = Datagrams::adopt(self.raw.descriptor(|fd| fd.try_clone_to_owned())?)?;
        for Raw { worker, handle } in [self.raw, clone.raw] {
            here::home(worker, |core| {
                core.port.borrow_mut().receive_singly(handle);
                Ok(())
            })?;
        }
        Ok(clone)
    }

    /// Closes the socket and waits until the descriptor is closed.
    pub(crate) async fn close(self) -> io::Result<()> {
        self.raw.closed().await
    }

    /// What to call the socket in an error.
    #[cold]
    fn name(&self) -> String {
        match self.raw.local() {
            Ok(address) => address.to_string(),
            Err(_) => "a closed socket".into(),
        }
    }

    #[cold]
    fn receive_failed(&self, error: io::Error) -> io::Error {
        let error = socket::of_datagrams(error);
        // An error on a connected socket is about its peer.
        match self.raw.peer() {
            Ok(peer) => naming("receive from", peer, error),
            Err(_) => naming("receive on", self.name(), error),
        }
    }

    #[cold]
    fn send_failed(&self, to: Option<&Address>, error: io::Error) -> io::Error {
        let error = socket::of_datagrams(error);
        match to {
            Some(to) => naming("send to", to, error),
            None => match self.raw.peer() {
                Ok(peer) => naming("send to", peer, error),
                Err(_) => naming("send from", self.name(), error),
            },
        }
    }

    /// Receives into `buffer`'s spare capacity, on UDP: the sender too, if it is no error that there was more.
    #[inline]
    pub(crate) fn poll_recv_ip(&self, cx: &Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<(usize, SocketAddr)>> {
        let before = buffer.len();
        if buffer.capacity() == before {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, "no room to receive into")));
        }
        let Raw { worker, handle } = self.raw;
        let polled = here::home_poll(worker, |core| {
            core.poll_handle(cx, handle, Side::Receive, |port, context| port.poll_recv_from(handle, buffer, context))
        });
        match polled {
            Poll::Ready(Ok((len, Some(from)))) if len == buffer.len() - before => Poll::Ready(Ok((len, from))),
            Poll::Ready(Ok((_, Some(from)))) => Poll::Ready(Err(self.cut(Some(&Address::from(from))))),
            Poll::Ready(Ok((_, None))) => {
                let what = "a datagram without an IP address";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.receive_failed(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Tries to receive; if nothing is there, the caller is woken once there is.
    #[inline]
    pub(super) fn poll_receive<T>(
        &self,
        cx: &Context<'_>,
        attempt: impl FnOnce(&mut Port, Handle) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Raw { worker, handle } = self.raw;
        let polled = here::home_poll(worker, |core| {
            core.poll_handle(cx, handle, Side::Receive, |port, context| match attempt(port, handle) {
                Poll::Pending => match port.poll_readable(handle, context) {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                },
                ready => ready,
            })
        });
        match polled {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.receive_failed(error))),
            polled => polled,
        }
    }

    #[cold]
    pub(super) fn cut(&self, peer: Option<&Address>) -> io::Error {
        let error = io::Error::from_raw_os_error(EMSGSIZE);
        match peer {
            Some(peer) => naming("receive a whole datagram from", peer, error),
            None => naming("receive a whole datagram on", self.name(), error),
        }
    }

    pub(crate) async fn recv_ip(&self, mut buffer: Vec<u8>) -> (io::Result<(usize, SocketAddr)>, Vec<u8>) {
        let received = poll_fn(|cx| self.poll_recv_ip(cx, &mut buffer)).await;
        (received, buffer)
    }

    pub(crate) fn poll_recv_msg(&self, cx: &Context<'_>, incoming: &mut Incoming) -> Poll<io::Result<()>> {
        self.poll_receive(cx, |port, handle| incoming.receive(port, handle))
    }

    /// Sends at once; pending if there is no room.
    #[inline]
    pub(crate) fn try_send(&self, data: &[u8], to: Option<&Address>, control: &[u8]) -> Poll<io::Result<()>> {
        let Raw { worker, handle } = self.raw;
        match here::home_poll(worker, |core| core.port.borrow_mut().try_send_msg(handle, data, to, control)) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.send_failed(to, error))),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Sends with the turn, or never.
    #[inline]
    pub(crate) fn post(&self, data: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        let Raw { worker, handle } = self.raw;
        here::home(worker, |core| core.port.borrow_mut().post_datagram(handle, data, to))
    }

    /// As `try_send`; if there is no room, `cx` is woken when there may be.
    #[inline]
    pub(crate) fn poll_send(&self, cx: &Context<'_>, data: &[u8], to: Option<&Address>) -> Poll<io::Result<()>> {
        let Raw { worker, handle } = self.raw;
        let polled = here::home_poll(worker, |core| {
            core.poll_handle(cx, handle, Side::Send, |port, context| match port.try_send_msg(handle, data, to, &[]) {
                Poll::Pending => match port.poll_writable(handle, context) {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                },
                ready => ready,
            })
        });
        match polled {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.send_failed(to, error))),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Sends one datagram, waiting for room.
    #[inline]
    pub(crate) async fn send(&self, data: &[u8], to: Option<&Address>, control: &[u8]) -> io::Result<()> {
        let spent = poll_fn(|cx| match here::with(|core| core.spend(cx)) {
            Some(false) => Poll::Pending,
            _ => Poll::Ready(()),
        });
        spent.await;
        match self.try_send(data, to, control) {
            Poll::Ready(sent) => sent,
            Poll::Pending => self.send_later(data, to, control).await,
        }
    }

    #[cold]
    async fn send_later(&self, data: &[u8], to: Option<&Address>, control: &[u8]) -> io::Result<()> {
        let mut pause = FULL.0;
        loop {
            self.wait_for_room(&mut pause).await?;
            if let Poll::Ready(sent) = self.try_send(data, to, control) {
                return sent;
            }
        }
    }

    /// Waits until a send is worth another try.
    async fn wait_for_room(&self, pause: &mut Duration) -> io::Result<()> {
        let at_once = !self.raw.is_engines()
            && self.raw.descriptor(|fd| {
                let mut polled = [PollFd::new(&fd, PollFlags::OUT)];
                Ok(rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
            })?;
        if at_once {
            // There is room here, so it is a receiver that this socket is not connected to whose queue is full: nothing
            // tells when that changes (unix(7) sockets only).
            sleep(*pause).await;
            *pause = (*pause * 2).min(FULL.1);
            return Ok(());
        }
        self.raw.post(Op::Poll { handle: self.raw.handle, events: POLLOUT })?.await?.result.map(drop)
    }

    /// Sends a message with what goes beside it.
    pub(crate) async fn send_msg(&self, message: &Outgoing<'_>) -> io::Result<()> {
        let to = message.to.as_ref();
        let v6 = message.needs_family() && self.raw.descriptor(socket::is_v6)?;
        let Some(size) = message.segment else {
            return self.send(&message.data, to, &message.control(v6, None)).await;
        };
        if size == 0 || size > SEGMENTED_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "segments must be of 1 to 65,507 bytes"));
        }
        if message.data.len() <= size {
            return self.send(&message.data, to, &message.control(v6, None)).await;
        }
        let at_once = (SEGMENTED_MAX / size).min(SEGMENTS_MAX);
        for run in message.data.chunks(size * at_once) {
            if run.len() > size && self.segments() {
                match self.send(run, to, &message.control(v6, Some(size))).await {
                    Err(error) if errno(&error).is_some_and(sends_singly) => {}
                    sent => {
                        sent?;
                        continue;
                    }
                }
            }
            let control = message.control(v6, None);
            for segment in run.chunks(size) {
                self.send(segment, to, &control).await?;
            }
        }
        Ok(())
    }

    /// Whether the kernel cuts segments.
    fn segments(&self) -> bool {
        static MISSING: AtomicBool = AtomicBool::new(false);
        if MISSING.load(Ordering::Relaxed) {
            return false;
        }
        let has = self.raw.descriptor(|fd| sockopt::int(fd, SEGMENT)).is_ok();
        MISSING.store(!has, Ordering::Relaxed);
        has
    }

    pub(crate) async fn send_buffer(&self, data: Buffer, to: Option<&Address>) -> (io::Result<()>, Buffer) {
        let sent = self.send(&data, to, &[]).await;
        (sent, data)
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.raw.close();
    }
}

/// The system's error code, also of an error that was given a name on its way.
fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| crate::net::NetError::of(error)?.raw_os_error())
}

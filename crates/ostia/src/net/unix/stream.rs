//! Unix sockets of bytes by name, and descriptors and credentials over them.

use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::task::{Context, Poll};

use ostia_port::Op;
use ostia_port::os::{OwnedFd, POLLIN, POLLOUT};
use rustix::net::sockopt as options;

use crate::here;
use crate::net::message::Credentials;
use crate::net::raw::Raw;
use crate::net::typed::wrapper;
use crate::net::unix::{PEER_PIDFD, address};
use crate::net::{Endpoint, Incoming, Listener, Outgoing, Stream, sockopt};

wrapper! {
    /// A connected Unix socket.
    UnixStream: Stream
}

wrapper! {
    /// A listening Unix socket, whose path goes with it.
    UnixListener: Listener
}

impl UnixStream {
    /// Connects to the socket at a path. Cancelled: the attempt is given up.
    ///
    /// # Errors
    /// As connect(2); a [`NetError`](crate::net::NetError).
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        Stream::connect_address(address(path.as_ref())?).await.map(UnixStream)
    }

    /// Two sockets that are connected to each other (socketpair(2)).
    ///
    /// # Errors
    /// When there are no descriptors left; outside of a runtime.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        Ok((UnixStream(Stream::from_fd(one)?), UnixStream(Stream::from_fd(other)?)))
    }
}

impl UnixListener {
    /// Listens at a path, which must not exist, or be a socket that nobody answers on any more.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        Listener::bind(&Endpoint::Unix(path.as_ref().to_owned())).map(UnixListener)
    }

    /// Takes the next connection. Cancel safe.
    ///
    /// # Errors
    /// As [`Listener::accept`].
    pub async fn accept(&mut self) -> io::Result<UnixStream> {
        self.0.accept().await.map(UnixStream)
    }

    /// As [`accept`](Self::accept), for futures written by hand.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        self.0.poll_accept(cx).map_ok(UnixStream)
    }
}

/// Descriptors and credentials over a stream of bytes.
impl UnixStream {
    /// Receives bytes with the descriptors and credentials that were sent with them: see [`Incoming`]; nothing received at
    /// the end of the stream. What one call gives ends behind a message with descriptors at the latest.
    ///
    /// Cancel safe: nothing is lost, and `incoming` is empty.
    ///
    /// # Errors
    /// As recvmsg(2). InvalidInput once `recv` or `poll_recv` has been used on this stream: they receive ahead, and the
    /// kernel drops the descriptors of what is received so.
    pub async fn recv_msg(&mut self, incoming: &mut Incoming) -> io::Result<()> {
        let Raw { worker, handle } = self.raw;
        loop {
            let received = here::home_poll(worker, |core| {
                let mut port = core.port.borrow_mut();
                if port.is_receiving(handle) {
                    let why = "the stream has been received from without room for descriptors (recv)";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, why)));
                }
                incoming.receive(&mut port, handle)
            });
            match received {
                Poll::Ready(done) => return done,
                Poll::Pending => self.raw.post(Op::Poll { handle, events: POLLIN })?.await?.result.map(drop)?,
            }
        }
    }

    /// Sends bytes with descriptors and credentials, after what was accepted for sending before: see [`Outgoing`]. There must
    /// be at least one byte, which the descriptors go with.
    ///
    /// Cancelled: a part may have gone out, and the stream should be closed.
    ///
    /// # Errors
    /// As sendmsg(2); InvalidInput without a byte.
    pub async fn send_msg(&mut self, message: &Outgoing<'_>) -> io::Result<()> {
        if message.data.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a stream carries descriptors with bytes only"));
        }
        self.flush().await?;
        let Raw { worker, handle } = self.raw;
        let control = message.control(false, None);
        let mut sent = 0;
        while sent < message.data.len() {
            let control = if sent == 0 { control.as_slice() } else { &[] };
            let rest = &message.data[sent..];
            match here::home_poll(worker, |core| core.port.borrow_mut().try_send_msg(handle, rest, None, control)) {
                Poll::Ready(taken) => sent += taken?,
                Poll::Pending => self.raw.post(Op::Poll { handle, events: POLLOUT })?.await?.result.map(drop)?,
            }
        }
        Ok(())
    }

    /// Whether messages tell who sent them: see [`Incoming::credentials`] (SO_PASSCRED).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_pass_credentials(&self, on: bool) -> io::Result<()> {
        self.raw.descriptor(|fd| Ok(options::set_socket_passcred(fd, on)?))
    }

    /// The process at the other end, as it was when it connected or began to listen (SO_PEERCRED).
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        self.raw.descriptor(sockopt::peer_credentials)
    }

    /// A descriptor of the process at the other end, which names it for good (SO_PEERPIDFD, Linux 6.5).
    ///
    /// # Errors
    /// ENOPROTOOPT where the kernel lacks it; ESRCH or EINVAL if the process has been reaped.
    pub fn peer_pidfd(&self) -> io::Result<OwnedFd> {
        self.raw.descriptor(|fd| sockopt::descriptor(fd, PEER_PIDFD))
    }
}

//! listen(2) and accept(2).

use std::os::fd::RawFd;

use ostia_stack::{Hook, Local, Verdict};

use crate::address::Domain;
use crate::core::Core;
use crate::descriptors::Id;
use crate::socket::{Kind, Listener, Socket, Stage, Stream};
use crate::world::Patience;
use crate::{Errno, Sockaddr, World};

/// net.core.somaxconn.
const BACKLOG_MOST: u32 = 4096;

/// A listener without an address takes both families, so one that is for one of them refuses the other.
fn only(v4: bool) -> Hook {
    Box::new(move |incoming| if incoming.local.0.is_v4() == v4 { Verdict::Accept } else { Verdict::Refuse })
}

impl Core {
    fn listen(&mut self, id: Id, backlog: i32) -> Result<(), Errno> {
        // Below 0 it is a very large number.
        let backlog = (backlog as u32).min(BACKLOG_MOST);
        let socket = self.socket_mut(id)?;
        if socket.kind() == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        match &mut socket.stage {
            Stage::Listening(listener) => {
                listener.backlog = backlog;
                return Ok(());
            }
            Stage::Fresh => {}
            _ => return Err(Errno::EINVAL),
        }
        let (address, port) = self.bind_to_any(id)?;
        if self.is_taken(id, (address, port)) {
            return Err(Errno::EADDRINUSE);
        }
        let socket = self.socket(id)?;
        let v4 = socket.domain == Domain::V4;
        let options = socket.settings.of_connection(self.stack.options(), v4);
        let any = address.is_unspecified();
        let hook = match (any, v4, socket.settings.v6_only) {
            (true, true, _) => Some(only(true)),
            (true, false, true) => Some(only(false)),
            _ => None,
        };
        let local = Local { address: (!any).then_some(address), port };
        let handle = self.stack.listen_with(local, backlog as usize, options, hook)?;
        let socket = self.socket_mut(id)?;
        socket.stage = Stage::Listening(Listener { handle, backlog });
        self.names(handle, id);
        Ok(())
    }

    fn accept(&mut self, id: Id, nonblocking: bool, close_on_exec: bool) -> Result<(RawFd, Sockaddr), Errno> {
        let socket = self.socket(id)?;
        let Stage::Listening(listener) = &socket.stage else { return Err(Errno::EINVAL) };
        let mut accepted = Socket::new(socket.domain, Kind::Stream, nonblocking);
        accepted.settings = socket.settings.clone();
        let handle = self.stack.accept(listener.handle)?;
        let (local, remote) = self.stack.addresses(handle)?;
        self.ledger.accepted(local, remote);
        accepted.bound = Some(local);
        accepted.stage = Stage::Stream(Stream { handle, read: 0, connecting: false, active: false, remote });
        let peer = Sockaddr::seen_by(accepted.domain, remote.0, remote.1);
        match self.add(accepted, close_on_exec) {
            Ok(fd) => Ok((fd, peer)),
            Err(error) => {
                // Nobody will ever have it.
                let _ = self.stack.abort(handle);
                Err(error)
            }
        }
    }
}

impl World {
    /// listen(2). Connections that wait are bounded by `backlog`, and that by 4096.
    ///
    /// # Errors
    /// EADDRINUSE if another listens there; EINVAL if it is connected; EOPNOTSUPP if it is no stream; EBADF, ENOTSOCK.
    pub fn listen(&self, fd: RawFd, backlog: i32) -> Result<(), Errno> {
        let mut inside = self.enter();
        let id = inside.id(fd)?;
        inside.listen(id, backlog)
    }

    /// accept4(2): the oldest connection that waits, and its peer's name. `flags` are SOCK_NONBLOCK and SOCK_CLOEXEC. The new
    /// socket has the listener's options.
    ///
    /// # Errors
    /// EAGAIN if none waits and the socket doesn't, or SO_RCVTIMEO is up; EINVAL if it doesn't listen, or of other flags;
    /// EOPNOTSUPP if it is no stream; EMFILE, and then the connection is reset; EBADF, ENOTSOCK.
    pub fn accept4(&self, fd: RawFd, flags: i32) -> Result<(RawFd, Sockaddr), Errno> {
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(Errno::EINVAL);
        }
        let (id, patience) = {
            let mut inside = self.enter();
            let id = inside.id(fd)?;
            let socket = inside.socket(id)?;
            if socket.kind() == Kind::Datagram {
                return Err(Errno::EOPNOTSUPP);
            }
            (id, Patience::of(socket.nonblocking, socket.settings.receive_timeout))
        };
        let (nonblocking, close_on_exec) = (flags & libc::SOCK_NONBLOCK != 0, flags & libc::SOCK_CLOEXEC != 0);
        self.block(patience, |core| core.accept(id, nonblocking, close_on_exec))
    }
}

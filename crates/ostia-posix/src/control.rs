//! fcntl(2) and ioctl(2) of sockets.

use std::ffi::c_ulong;
use std::os::fd::RawFd;

use crate::socket::{Kind, Stage};
use crate::{Errno, World};

/// asm-generic/ioctls.h, sockios.h and linux/sockios.h. The type that C libraries have these numbers in isn't the same everywhere.
const FIONREAD: c_ulong = 0x541b;
const TIOCOUTQ: c_ulong = 0x5411;
pub(crate) const FIONBIO: c_ulong = 0x5421;
const SIOCATMARK: c_ulong = 0x8905;
const SIOCOUTQNSD: c_ulong = 0x894b;

impl World {
    /// fcntl(2): F_GETFL and F_SETFL, of which O_NONBLOCK counts; F_GETFD and F_SETFD answer as the kernel's descriptor would.
    ///
    /// # Errors
    /// EINVAL of other commands, EBADF.
    pub fn fcntl(&self, fd: RawFd, command: i32, argument: i64) -> Result<i32, Errno> {
        let mut inside = self.enter();
        let id = inside.find(fd).ok_or(Errno::EBADF)?;
        match command {
            libc::F_GETFL => {
                let nonblocking = inside.sockets.get(&id).is_some_and(|socket| socket.nonblocking);
                Ok(libc::O_RDWR | if nonblocking { libc::O_NONBLOCK } else { 0 })
            }
            libc::F_SETFL => {
                if let Some(socket) = inside.sockets.get_mut(&id) {
                    socket.nonblocking = argument as i32 & libc::O_NONBLOCK != 0;
                }
                Ok(0)
            }
            libc::F_GETFD => inside.descriptors.close_on_exec(fd, None),
            libc::F_SETFD => inside.descriptors.close_on_exec(fd, Some(argument as i32 & libc::FD_CLOEXEC != 0)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// ioctl(2): FIONREAD (SIOCINQ), TIOCOUTQ (SIOCOUTQ), SIOCOUTQNSD, SIOCATMARK answer with a number, FIONBIO takes one.
    ///
    /// # Errors
    /// EINVAL of a listener that is asked for its queues; ENOTTY of other requests; EBADF, ENOTSOCK.
    pub fn ioctl(&self, fd: RawFd, request: c_ulong, argument: i32) -> Result<i32, Errno> {
        let mut inside = self.enter();
        let id = inside.id(fd)?;
        if request == FIONBIO {
            inside.socket_mut(id)?.nonblocking = argument != 0;
            return Ok(0);
        }
        let socket = inside.socket(id)?;
        let count = |octets: u64| i32::try_from(octets).unwrap_or(i32::MAX);
        if request == SIOCATMARK {
            // Urgent octets stand in the stream: the mark is before the last of them.
            let left = socket.handle().and_then(|handle| inside.stack.urgent_left(handle).ok().flatten());
            return match socket.kind() {
                Kind::Stream => Ok(i32::from(left == Some(1))),
                Kind::Datagram => Err(Errno::ENOTTY),
            };
        }
        let listens = matches!(socket.stage, Stage::Listening(_));
        match request {
            _ if listens && [FIONREAD, TIOCOUTQ, SIOCOUTQNSD].contains(&request) => Err(Errno::EINVAL),
            FIONREAD => match &socket.stage {
                Stage::Datagrams(datagrams) => Ok(count(datagrams.queue.front().map_or(0, |first| first.frame.len() as u64))),
                _ => Ok(count(inside.unread(socket))),
            },
            TIOCOUTQ => Ok(count(inside.unacknowledged(socket).0)),
            SIOCOUTQNSD if socket.kind() == Kind::Stream => Ok(count(inside.unacknowledged(socket).1)),
            _ => Err(Errno::ENOTTY),
        }
    }
}

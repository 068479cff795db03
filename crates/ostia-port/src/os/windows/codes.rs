//! The numbers that operations speak in, under the names that Unix gives them: errors of Winsock and Windows (winerror.h),
//! events of WSAPoll, flags of WSAMSG.
//!
//! Where Winsock and Windows have a number each for the same thing, operations report Winsock's: see
//! [`error_of`](crate::os::error::error_of).

use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Networking::WinSock as sock;

/// It is not allowed.
pub const EACCES: i32 = sock::WSAEACCES;
/// The address is in use.
pub const EADDRINUSE: i32 = sock::WSAEADDRINUSE;
/// The address is none of this host's.
pub const EADDRNOTAVAIL: i32 = sock::WSAEADDRNOTAVAIL;
/// It would have to wait.
pub const EAGAIN: i32 = sock::WSAEWOULDBLOCK;
/// The handle is not open.
pub const EBADF: i32 = win::ERROR_INVALID_HANDLE as i32;
/// It is in use.
pub const EBUSY: i32 = win::ERROR_BUSY as i32;
/// The operation was cancelled.
pub const ECANCELED: i32 = win::ERROR_OPERATION_ABORTED as i32;
/// There is no such process to wait for.
pub const ECHILD: i32 = win::ERROR_WAIT_NO_CHILDREN as i32;
/// The connection was broken off on this side.
pub const ECONNABORTED: i32 = sock::WSAECONNABORTED;
/// Nobody listens there.
pub const ECONNREFUSED: i32 = sock::WSAECONNREFUSED;
/// The peer has broken the connection off.
pub const ECONNRESET: i32 = sock::WSAECONNRESET;
/// The host can't be reached.
pub const EHOSTUNREACH: i32 = sock::WSAEHOSTUNREACH;
/// A call was interrupted.
pub const EINTR: i32 = sock::WSAEINTR;
/// An argument is wrong.
pub const EINVAL: i32 = sock::WSAEINVAL;
/// A device has failed.
pub const EIO: i32 = win::ERROR_IO_DEVICE as i32;
/// It is connected already.
pub const EISCONN: i32 = sock::WSAEISCONN;
/// Too many sockets are open.
pub const EMFILE: i32 = sock::WSAEMFILE;
/// A datagram is longer than it may be, or than the room for it.
pub const EMSGSIZE: i32 = sock::WSAEMSGSIZE;
/// The network is down.
pub const ENETDOWN: i32 = sock::WSAENETDOWN;
/// The network can't be reached.
pub const ENETUNREACH: i32 = sock::WSAENETUNREACH;
/// There is no such option.
pub const ENOPROTOOPT: i32 = sock::WSAENOPROTOOPT;
/// There is no buffer space.
pub const ENOBUFS: i32 = sock::WSAENOBUFS;
/// There is no such file.
pub const ENOENT: i32 = win::ERROR_FILE_NOT_FOUND as i32;
/// The system has no such call.
pub const ENOSYS: i32 = win::ERROR_CALL_NOT_IMPLEMENTED as i32;
/// The socket is not connected.
pub const ENOTCONN: i32 = sock::WSAENOTCONN;
/// It is no socket.
pub const ENOTSOCK: i32 = sock::WSAENOTSOCK;
/// It can't be done with this.
pub const EOPNOTSUPP: i32 = sock::WSAEOPNOTSUPP;
/// Nobody reads any more what is written.
pub const EPIPE: i32 = win::ERROR_BROKEN_PIPE as i32;
/// It has no positions.
pub const ESPIPE: i32 = win::ERROR_SEEK_ON_DEVICE as i32;
/// The time was over.
pub const ETIMEDOUT: i32 = sock::WSAETIMEDOUT;

/// Control data had no room.
pub const MSG_CTRUNC: i32 = sock::MSG_CTRUNC as i32;
/// A datagram was longer than the room for it.
pub const MSG_TRUNC: i32 = sock::MSG_TRUNC as i32;

/// There is something to read.
pub const POLLIN: i16 = sock::POLLRDNORM;
/// There is room to write.
pub const POLLOUT: i16 = sock::POLLWRNORM;
/// An error.
pub const POLLERR: i16 = sock::POLLERR;
/// The peer has gone.
pub const POLLHUP: i16 = sock::POLLHUP;

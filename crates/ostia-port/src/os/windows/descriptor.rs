//! Descriptors: sockets and other handles under one name, as Unix has them.
//!
//! Windows has two kinds of owners, for a socket must be closed by closesocket. A port keeps the handle's number, which
//! fits in 32 bits: Windows promises that handles shared with 32-bit programs may be cut and sign-extended
//! ("Interprocess communication between 32-bit and 64-bit applications").

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::windows::io::{
    AsHandle, AsRawHandle, AsRawSocket, AsSocket, BorrowedHandle, BorrowedSocket, FromRawHandle, FromRawSocket, IntoRawHandle,
    IntoRawSocket, OwnedHandle, OwnedSocket,
};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock as sock;
use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_CHAR, FILE_TYPE_DISK, FILE_TYPE_PIPE, GetFileType};

use crate::handle::Kind;

/// The number of a socket or another handle.
pub type RawFd = i32;

/// The number as Windows' calls take it.
#[inline]
pub(crate) fn handle_of(fd: RawFd) -> HANDLE {
    fd as isize as HANDLE
}

/// The number as Winsock's calls take it.
#[inline]
pub(crate) fn socket_of(fd: RawFd) -> sock::SOCKET {
    fd as isize as usize
}

/// A socket or another handle that is closed when this is dropped.
#[derive(Debug)]
pub struct OwnedFd(Owned);

#[derive(Debug)]
enum Owned {
    Socket(OwnedSocket),
    Handle(OwnedHandle),
}

impl OwnedFd {
    /// The socket, if it is one.
    ///
    /// # Errors
    /// Gives anything else back.
    pub fn into_socket(self) -> Result<OwnedSocket, OwnedFd> {
        match self.0 {
            Owned::Socket(socket) => Ok(socket),
            other => Err(OwnedFd(other)),
        }
    }

    /// The handle, if it is no socket.
    ///
    /// # Errors
    /// Gives a socket back.
    pub fn into_handle(self) -> Result<OwnedHandle, OwnedFd> {
        match self.0 {
            Owned::Handle(handle) => Ok(handle),
            other => Err(OwnedFd(other)),
        }
    }

    /// Another owner of the same socket or file (WSADuplicateSocket, DuplicateHandle).
    ///
    /// # Errors
    /// When there is no room for another handle.
    pub fn try_clone(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.0, Owned::Socket(_))
    }
}

/// A socket or another handle that somebody else keeps open for the time of the borrow.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedFd<'fd> {
    fd: RawFd,
    _owner: PhantomData<&'fd OwnedFd>,
}

impl BorrowedFd<'_> {
    /// Borrows what has this number.
    ///
    /// # Safety
    /// It stays open for as long as the borrow lasts.
    pub unsafe fn borrow_raw(fd: RawFd) -> Self {
        BorrowedFd { fd, _owner: PhantomData }
    }

    /// Another owner of the same socket or file (WSADuplicateSocket, DuplicateHandle).
    ///
    /// # Errors
    /// When there is no room for another handle.
    pub fn try_clone_to_owned(&self) -> io::Result<OwnedFd> {
        if is_socket(self.fd) {
            Ok(self.as_socket().try_clone_to_owned()?.into())
        } else {
            Ok(self.as_handle().try_clone_to_owned()?.into())
        }
    }
}

/// What has a descriptor to lend.
pub trait AsFd {
    /// Lends it.
    fn as_fd(&self) -> BorrowedFd<'_>;
}

/// What has a descriptor's number to tell.
pub trait AsRawFd {
    /// Tells it.
    fn as_raw_fd(&self) -> RawFd;
}

/// What gives a descriptor up to its number.
pub trait IntoRawFd {
    /// Gives it up: nobody closes it from now on.
    fn into_raw_fd(self) -> RawFd;
}

/// What can be made of a descriptor's number.
pub trait FromRawFd {
    /// Takes it over.
    ///
    /// # Safety
    /// It is open, and nobody else closes it.
    unsafe fn from_raw_fd(fd: RawFd) -> Self;
}

impl<T: AsFd + ?Sized> AsFd for &T {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (**self).as_fd()
    }
}

impl AsFd for BorrowedFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        *self
    }
}

impl AsRawFd for BorrowedFd<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

impl AsFd for OwnedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        BorrowedFd { fd: self.as_raw_fd(), _owner: PhantomData }
    }
}

impl AsRawFd for OwnedFd {
    fn as_raw_fd(&self) -> RawFd {
        match &self.0 {
            Owned::Socket(socket) => socket.as_raw_socket() as RawFd,
            Owned::Handle(handle) => handle.as_raw_handle() as isize as RawFd,
        }
    }
}

impl IntoRawFd for OwnedFd {
    fn into_raw_fd(self) -> RawFd {
        match self.0 {
            Owned::Socket(socket) => socket.into_raw_socket() as RawFd,
            Owned::Handle(handle) => handle.into_raw_handle() as isize as RawFd,
        }
    }
}

impl FromRawFd for OwnedFd {
    unsafe fn from_raw_fd(fd: RawFd) -> OwnedFd {
        // SAFETY: by the caller's promise.
        OwnedFd(unsafe {
            if is_socket(fd) {
                Owned::Socket(OwnedSocket::from_raw_socket(socket_of(fd) as u64))
            } else {
                Owned::Handle(OwnedHandle::from_raw_handle(handle_of(fd)))
            }
        })
    }
}

/// For options of sockets, which fail with WSAENOTSOCK on anything else.
impl AsSocket for BorrowedFd<'_> {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        // SAFETY: open for as long as the borrow lasts, by the promise of whoever made it.
        unsafe { BorrowedSocket::borrow_raw(socket_of(self.fd) as u64) }
    }
}

/// For options of sockets, which fail with WSAENOTSOCK on anything else.
impl AsSocket for OwnedFd {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        // SAFETY: open for as long as its owner, which is borrowed.
        unsafe { BorrowedSocket::borrow_raw(socket_of(self.as_raw_fd()) as u64) }
    }
}

impl AsHandle for BorrowedFd<'_> {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        // SAFETY: open for as long as the borrow lasts, by the promise of whoever made it.
        unsafe { BorrowedHandle::borrow_raw(handle_of(self.fd)) }
    }
}

impl AsHandle for OwnedFd {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        // SAFETY: open for as long as its owner, which is borrowed.
        unsafe { BorrowedHandle::borrow_raw(handle_of(self.as_raw_fd())) }
    }
}

impl From<OwnedSocket> for OwnedFd {
    fn from(socket: OwnedSocket) -> OwnedFd {
        OwnedFd(Owned::Socket(socket))
    }
}

impl From<OwnedHandle> for OwnedFd {
    fn from(handle: OwnedHandle) -> OwnedFd {
        OwnedFd(Owned::Handle(handle))
    }
}

macro_rules! sockets {
    ($($of:ty),*) => {$(
        impl From<$of> for OwnedFd {
            fn from(socket: $of) -> OwnedFd {
                OwnedSocket::from(socket).into()
            }
        }

        impl AsFd for $of {
            fn as_fd(&self) -> BorrowedFd<'_> {
                BorrowedFd { fd: self.as_raw_socket() as RawFd, _owner: PhantomData }
            }
        }

        impl AsRawFd for $of {
            fn as_raw_fd(&self) -> RawFd {
                self.as_raw_socket() as RawFd
            }
        }

        /// As on Unix, what it really is shows at its first use.
        impl From<OwnedFd> for $of {
            fn from(fd: OwnedFd) -> $of {
                let socket = fd.into_raw_fd();
                // SAFETY: its owner has just given it up.
                unsafe { OwnedSocket::from_raw_socket(socket_of(socket) as u64) }.into()
            }
        }
    )*};
}

macro_rules! handles {
    ($($of:ty),*) => {$(
        impl From<$of> for OwnedFd {
            fn from(handle: $of) -> OwnedFd {
                OwnedHandle::from(handle).into()
            }
        }

        impl AsFd for $of {
            fn as_fd(&self) -> BorrowedFd<'_> {
                BorrowedFd { fd: self.as_raw_handle() as isize as RawFd, _owner: PhantomData }
            }
        }

        impl AsRawFd for $of {
            fn as_raw_fd(&self) -> RawFd {
                self.as_raw_handle() as isize as RawFd
            }
        }
    )*};
}

/// As on Unix, what it really is shows at its first use.
impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        let handle = fd.into_raw_fd();
        // SAFETY: its owner has just given it up.
        unsafe { OwnedHandle::from_raw_handle(handle_of(handle)) }.into()
    }
}

sockets!(TcpStream, TcpListener, UdpSocket);
handles!(File, std::process::ChildStdin, std::process::ChildStdout, std::process::ChildStderr);

/// An integer option of a socket.
pub(crate) fn int_option(fd: RawFd, level: i32, name: i32) -> Result<i32, i32> {
    let (mut value, mut len) = (0i32, size_of::<i32>() as i32);
    // SAFETY: the value and its length are locals.
    let result = unsafe { sock::getsockopt(socket_of(fd), level, name, (&raw mut value).cast(), &mut len) };
    // SAFETY: no conditions.
    if result == 0 { Ok(value) } else { Err(unsafe { sock::WSAGetLastError() }) }
}

/// Whether it is a socket: only those have a type.
pub(crate) fn is_socket(fd: RawFd) -> bool {
    int_option(fd, sock::SOL_SOCKET, sock::SO_TYPE).is_ok()
}

/// What a descriptor is.
pub(crate) fn kind_of(fd: &OwnedFd) -> io::Result<Kind> {
    let raw = fd.as_raw_fd();
    if fd.is_socket() {
        let option = |name| int_option(raw, sock::SOL_SOCKET, name).map_err(io::Error::from_raw_os_error);
        return Ok(match option(sock::SO_TYPE)? {
            sock::SOCK_STREAM if option(sock::SO_ACCEPTCONN)? != 0 => Kind::Listener,
            sock::SOCK_STREAM => Kind::Stream,
            _ => Kind::Datagram,
        });
    }
    // SAFETY: the handle is open.
    match unsafe { GetFileType(handle_of(raw)) } {
        FILE_TYPE_DISK => Ok(Kind::File),
        FILE_TYPE_PIPE => Ok(Kind::Pipe),
        FILE_TYPE_CHAR => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a console or a character device can't be waited for by a completion port: use a thread",
        )),
        _ => Err(io::Error::from_raw_os_error(super::codes::EBADF)),
    }
}

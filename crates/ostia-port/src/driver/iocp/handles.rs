//! What the driver knows of handles: what they are, and that their requests complete to this port.

use std::sync::OnceLock;
use std::{io, ptr};

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_COMPLETION_INFORMATION, FileReplaceCompletionInformation, NtSetInformationFile,
};
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, HANDLE};
use windows_sys::Win32::Networking::WinSock as sock;
use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_DISK, FILE_TYPE_PIPE, GetFileType, SetFileCompletionNotificationModes};
use windows_sys::Win32::System::IO::{CreateIoCompletionPort, IO_STATUS_BLOCK};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::WindowsProgramming::{FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE};

use crate::os::descriptor::{handle_of, int_option, socket_of};
use windows_sys::core::{BOOL, s};

use crate::os::codes::EBUSY;
use crate::os::{RawFd, error, file};

/// What a handle is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Stream,
    Datagram,
    /// A file or pipe that was opened for overlapped requests.
    File,
    Pipe,
    /// One that was not: only threads can wait for it.
    Waiting,
}

/// One handle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) what: What,
    /// The address family of a socket.
    pub(super) family: i32,
    /// A request that succeeds at once makes no packet.
    pub(super) skips: bool,
    /// The socket below those of layered providers, which polls name.
    pub(super) base: RawFd,
}

/// All handles, by number.
#[derive(Default)]
pub(super) struct Handles {
    known: Vec<Option<Known>>,
}

/// Handles are multiples of four ("Kernel objects").
fn place(fd: RawFd) -> usize {
    fd as u32 as usize / 4
}

impl Handles {
    /// What a handle is; at the first time it is associated with the port.
    #[inline]
    pub(super) fn know(&mut self, fd: RawFd, port: HANDLE) -> Result<Known, i32> {
        match self.known.get(place(fd)) {
            Some(Some(known)) => Ok(*known),
            _ => self.meet(fd, port),
        }
    }

    #[cold]
    fn meet(&mut self, fd: RawFd, port: HANDLE) -> Result<Known, i32> {
        let mut known = examine(fd)?;
        if known.what != What::Waiting {
            // SAFETY: the port keeps the handle open while a request names it. The key is its number.
            let associated = unsafe { CreateIoCompletionPort(handle_of(fd), port, fd as u32 as usize, 0) };
            known.skips = match (associated.is_null(), error::last()) {
                (false, _) => known.skips && skip_on_success(handle_of(fd)),
                // Associated already: with this port, if it is another handle of what this port knows; so its packets come here.
                (true, ERROR_INVALID_PARAMETER) => self.twin(fd).ok_or(EBUSY)?.skips,
                (true, code) => return Err(code as i32),
            };
        }
        if self.known.len() <= place(fd) {
            self.known.resize(place(fd) + 1, None);
        }
        self.known[place(fd)] = Some(known);
        Ok(known)
    }

    /// What is known of another handle of the same file or socket.
    fn twin(&self, fd: RawFd) -> Option<Known> {
        let known = self.known.iter().enumerate().filter_map(|(place, known)| Some((place, (*known)?)));
        known
            .filter(|(_, known)| known.what != What::Waiting)
            .find_map(|(place, known)| same_object(fd, (place as u32 * 4) as RawFd).then_some(known))
    }

    /// Takes a handle off this port, so that another may have it. One that no request was made of was never on it.
    pub(super) fn release(&mut self, fd: RawFd) -> io::Result<()> {
        if self.known.get(place(fd)).copied().flatten().is_none_or(|known| known.what == What::Waiting) {
            return Ok(());
        }
        let nowhere = FILE_COMPLETION_INFORMATION { Port: ptr::null_mut(), Key: ptr::null_mut() };
        // SAFETY: plain data for which zeroes are valid.
        let mut status = unsafe { std::mem::zeroed::<IO_STATUS_BLOCK>() };
        // SAFETY: the handle is open, and both records are locals of the lengths said.
        let result = unsafe {
            let (info, len) = ((&raw const nowhere).cast(), size_of_val(&nowhere) as u32);
            NtSetInformationFile(handle_of(fd), &mut status, info, len, FileReplaceCompletionInformation)
        };
        if result < 0 {
            let text = "a socket on which requests were made stays with its completion port: \
                        this system can't replace that (FileReplaceCompletionInformation, since Windows 8.1)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        self.forget(fd);
        Ok(())
    }

    /// A handle is about to be closed, or belongs to another port from now on: its number may be another's.
    pub(super) fn forget(&mut self, fd: RawFd) {
        if let Some(known) = self.known.get_mut(place(fd)) {
            *known = None;
        }
    }
}

/// Whether two handles are of one file or socket (CompareObjectHandles, which Windows has since version 10).
fn same_object(one: RawFd, other: RawFd) -> bool {
    type Compare = unsafe extern "system" fn(HANDLE, HANDLE) -> BOOL;
    static COMPARE: OnceLock<Option<Compare>> = OnceLock::new();
    let compare = COMPARE.get_or_init(|| {
        // SAFETY: that module is in every process; the function has the type that handleapi.h says.
        unsafe {
            let module = GetModuleHandleA(s!("kernelbase.dll"));
            let found = GetProcAddress(module, s!("CompareObjectHandles"))?;
            Some(std::mem::transmute::<unsafe extern "system" fn() -> isize, Compare>(found))
        }
    });
    // SAFETY: handles are only compared.
    compare.is_some_and(|compare| unsafe { compare(handle_of(one), handle_of(other)) } != 0)
}

/// Whether packets of what succeeds at once can be done without, and from now on are.
pub(super) fn skip_on_success(handle: HANDLE) -> bool {
    let modes = FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE;
    // SAFETY: the handle is open.
    unsafe { SetFileCompletionNotificationModes(handle, modes as u8) != 0 }
}

fn examine(fd: RawFd) -> Result<Known, i32> {
    if let Ok(kind) = int_option(fd, sock::SOL_SOCKET, sock::SO_TYPE) {
        let protocol = protocol(fd).map_err(|error| error.raw_os_error().unwrap_or(sock::WSAENOTSOCK))?;
        let what = if kind == sock::SOCK_STREAM { What::Stream } else { What::Datagram };
        // A layered provider whose sockets are no handles of the system may make a packet all the same. And of datagrams
        // receives that are cut may complete twice (KB 2568167).
        let skips = protocol.dwServiceFlags1 & sock::XP1_IFS_HANDLES != 0 && what == What::Stream;
        let base = if protocol.ProtocolChain.ChainLen == 1 { fd } else { base_of(fd) };
        return Ok(Known { what, family: protocol.iAddressFamily, skips, base });
    }
    // SAFETY: the handle is open, or the call says that it is not.
    let what = match unsafe { GetFileType(handle_of(fd)) } {
        FILE_TYPE_DISK | FILE_TYPE_PIPE if !file::is_overlapped(fd) => What::Waiting,
        FILE_TYPE_DISK => What::File,
        FILE_TYPE_PIPE => What::Pipe,
        _ => return Err(error::last() as i32),
    };
    Ok(Known { what, family: 0, skips: true, base: fd })
}

/// The base provider's socket (SIO_BASE_HANDLE).
fn base_of(fd: RawFd) -> RawFd {
    let (mut base, mut len) = (0usize, 0u32);
    // SAFETY: what is written are locals of the lengths said.
    let result = unsafe {
        let (out, room) = ((&raw mut base).cast(), size_of::<usize>() as u32);
        sock::WSAIoctl(socket_of(fd), sock::SIO_BASE_HANDLE, ptr::null(), 0, out, room, &mut len, ptr::null_mut(), None)
    };
    if result == 0 { base as RawFd } else { fd }
}

/// What Winsock says of a socket's provider (SO_PROTOCOL_INFOW).
pub(super) fn protocol(fd: RawFd) -> io::Result<sock::WSAPROTOCOL_INFOW> {
    // SAFETY: plain data for which zeroes are valid.
    let mut info = unsafe { std::mem::zeroed::<sock::WSAPROTOCOL_INFOW>() };
    let mut len = size_of_val(&info) as i32;
    // SAFETY: the record and its length are locals.
    let result =
        unsafe { sock::getsockopt(socket_of(fd), sock::SOL_SOCKET, sock::SO_PROTOCOL_INFOW, (&raw mut info).cast(), &mut len) };
    if result == 0 { Ok(info) } else { Err(io::Error::from_raw_os_error(error::last_of_socket())) }
}

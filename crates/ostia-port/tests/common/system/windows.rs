//! What tests ask of Windows directly.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use ostia_port::DriverChoice;
use ostia_port::os::{self, OwnedFd};
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_PENDING, GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Networking::WinSock as sock;
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_NO_BUFFERING, FILE_FLAG_OVERLAPPED, OPEN_EXISTING, PIPE_ACCESS_INBOUND,
    ReadFile, WriteFile,
};
use windows_sys::Win32::System::IO::{GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{CreateNamedPipeW, PeekNamedPipe};
use windows_sys::Win32::System::Threading::{
    CreateEventW, GetCurrentProcess, GetProcessHandleCount, INFINITE, WaitForSingleObject,
};

use crate::common::Engine;
use crate::common::net::Network;

pub const EMSGSIZE: i32 = sock::WSAEMSGSIZE;

pub const ENGINES: [Engine; 2] = [
    Engine { name: "iocp", driver: DriverChoice::Iocp, faults: false, network: Network::Kernel },
    Engine { name: "iocp+faults", driver: DriverChoice::Iocp, faults: true, network: Network::Kernel },
];

/// Ports whose sockets are those of a stack: none here.
pub const STACKS: [Engine; 0] = [];

/// What a send meets on a connection that has been reset, once the reset was told.
pub const SENT_AFTER_RESET: &[i32] = &[os::ECONNRESET, os::ECONNABORTED, os::ENOTCONN];
/// What a send meets after its own side was shut down.
pub const SENT_AFTER_END: &[i32] = &[os::EPIPE];
/// What a shutdown meets on a connection that has been reset.
pub const SHUT_AFTER_RESET: &[i32] = &[os::ENOTCONN, os::ECONNRESET];
/// What a poll of nothing in particular says of a connection that was reset.
pub const BROKEN: i16 = os::POLLERR | os::POLLHUP;
/// Events of which only urgent data would be one.
pub const URGENT: i16 = sock::POLLRDBAND;

/// What a test says that must do without that.
pub const FORGETS_RESETS: &str = "Wine 8 forgets a reset that comes while nothing waits on the connection";

/// Whether a reset that comes while nobody waits on the connection is told by the next receive. Wine 8 forgets it: there even
/// std's read finds the end of the stream.
pub fn remembers_resets() -> bool {
    static REMEMBERS: OnceLock<bool> = OnceLock::new();
    *REMEMBERS.get_or_init(|| {
        let (near, far) = crate::common::peers::tcp_pair();
        crate::common::peers::reset(far);
        std::io::Read::read(&mut &near, &mut [0; 1]).is_err()
    })
}

/// How many handles the process has open.
pub fn open_descriptors() -> usize {
    let mut count = 0;
    // SAFETY: the process's own pseudo-handle, and a local.
    unsafe { GetProcessHandleCount(GetCurrentProcess(), &mut count) };
    count as usize
}

/// Windows has no such limit that matters here.
pub fn raise_descriptor_limit() -> u64 {
    u64::MAX
}

/// Windows chooses its segments by itself.
pub fn set_segment_size(_: &TcpListener) {}

/// A pipe: its reading and its writing end, both opened for overlapped requests.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_of(64 << 10)
}

/// A pipe that holds 4 KiB.
pub fn narrow_pipe() -> (OwnedFd, OwnedFd) {
    pipe_of(4096)
}

fn pipe_of(size: u32) -> (OwnedFd, OwnedFd) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(r"\\.\pipe\ostia-port-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
    // SAFETY: the name ends with a NUL; no security attributes.
    let (reader, writer) = unsafe {
        let reader =
            CreateNamedPipeW(name.as_ptr(), PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED, 0, 1, size, size, 0, ptr::null());
        let flags = FILE_FLAG_OVERLAPPED;
        (reader, CreateFileW(name.as_ptr(), GENERIC_WRITE, 0, ptr::null(), OPEN_EXISTING, flags, ptr::null_mut()))
    };
    assert!(reader != INVALID_HANDLE_VALUE && writer != INVALID_HANDLE_VALUE, "a pipe: {}", std::io::Error::last_os_error());
    // SAFETY: made just now, and nobody else's.
    unsafe { (OwnedHandle::from_raw_handle(reader).into(), OwnedHandle::from_raw_handle(writer).into()) }
}

/// Carries out one overlapped call and waits for its end. The pipe is in no port.
fn overlapped(pipe: HANDLE, call: impl FnOnce(*mut OVERLAPPED, &mut u32) -> i32) -> Result<usize, i32> {
    // SAFETY: an event without a name; plain data for which zeroes are valid.
    let (event, mut place) = unsafe { (CreateEventW(ptr::null(), 1, 0, ptr::null()), std::mem::zeroed::<OVERLAPPED>()) };
    // SAFETY: made just now.
    let _event = unsafe { OwnedHandle::from_raw_handle(event) };
    place.hEvent = event;
    let mut done = 0;
    let begun = call(&mut place, &mut done);
    // SAFETY: no conditions.
    let code = unsafe { GetLastError() };
    if begun == 0 && code != ERROR_IO_PENDING {
        return Err(code as i32);
    }
    // SAFETY: the place is that of the call, which is waited for.
    match unsafe { GetOverlappedResult(pipe, &place, &mut done, 1) } {
        // SAFETY: no conditions.
        0 => Err(unsafe { GetLastError() } as i32),
        _ => Ok(done as usize),
    }
}

/// Writes to a pipe, waiting for room.
pub fn write(pipe: impl AsHandle, bytes: &[u8]) -> Result<usize, i32> {
    let pipe = pipe.as_handle().as_raw_handle();
    // SAFETY: the call is waited for, so that the bytes outlive it.
    overlapped(pipe, |place, done| unsafe { WriteFile(pipe, bytes.as_ptr(), bytes.len() as u32, done, place) })
}

/// Reads a pipe, waiting for bytes.
pub fn read(pipe: impl AsHandle, into: &mut [u8]) -> Result<usize, i32> {
    let pipe = pipe.as_handle().as_raw_handle();
    // SAFETY: the call is waited for, so that the memory outlives it.
    let got = overlapped(pipe, |place, done| unsafe { ReadFile(pipe, into.as_mut_ptr(), into.len() as u32, done, place) });
    if got == Err(ERROR_BROKEN_PIPE as i32) { Ok(0) } else { got }
}

/// Reads a pipe to its end.
pub fn read_to_end(pipe: OwnedFd) -> Vec<u8> {
    let (mut all, mut scratch) = (Vec::new(), [0; 8192]);
    loop {
        match read(&pipe, &mut scratch).expect("read") {
            0 => return all,
            count => all.extend_from_slice(&scratch[..count]),
        }
    }
}

/// Whether a pipe has something to read, or has ended.
pub fn is_readable(pipe: impl AsHandle) -> bool {
    let mut there = 0;
    let null = ptr::null_mut();
    // SAFETY: the handle is open and the number a local.
    let peeked =
        unsafe { PeekNamedPipe(pipe.as_handle().as_raw_handle(), null, 0, ptr::null_mut(), &mut there, ptr::null_mut()) };
    peeked == 0 || there > 0
}

/// Does something with a stream that doesn't wait for once.
fn at_once<T>(stream: &TcpStream, what: impl FnOnce(&mut &TcpStream) -> std::io::Result<T>) -> Result<T, i32> {
    stream.set_nonblocking(true).expect("FIONBIO");
    let result = what(&mut &*stream);
    stream.set_nonblocking(false).expect("FIONBIO");
    result.map_err(|error| error.raw_os_error().expect("a system's error"))
}

/// Receives what is there; EAGAIN if nothing is.
pub fn try_recv(stream: &TcpStream, into: &mut [u8]) -> Result<usize, i32> {
    at_once(stream, |stream| std::io::Read::read(stream, into))
}

/// Sends what there is room for; EAGAIN if none is.
pub fn try_send(stream: &TcpStream, bytes: &[u8]) -> Result<usize, i32> {
    at_once(stream, |stream| std::io::Write::write(stream, bytes))
}

/// Reads a file at an offset.
pub fn read_at(file: &File, into: &mut [u8], offset: u64) {
    let mut done = 0;
    while done < into.len() {
        match file.seek_read(&mut into[done..], offset + done as u64).expect("reads") {
            0 => panic!("the file ends at {}", offset + done as u64),
            count => done += count,
        }
    }
}

/// Opens a folder.
pub fn open_folder(path: &std::path::Path) -> File {
    File::options().read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path).expect("opens")
}

/// Options for files that a port is to have.
pub fn for_ports(options: &mut std::fs::OpenOptions) -> &mut std::fs::OpenOptions {
    options.custom_flags(FILE_FLAG_OVERLAPPED)
}

/// Options for reading past the cache.
pub fn past_the_cache() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.read(true).custom_flags(FILE_FLAG_OVERLAPPED | FILE_FLAG_NO_BUFFERING);
    options
}

/// A name of a child that stays its own.
pub struct ChildName(pub OwnedFd);

impl ChildName {
    pub fn of(child: &Child) -> ChildName {
        ChildName(child.as_handle().try_clone_to_owned().expect("a handle").into())
    }

    /// Waits until it has ended.
    pub fn await_end(&self) {
        // SAFETY: the handle is open.
        unsafe { WaitForSingleObject(self.0.as_handle().as_raw_handle(), INFINITE) };
    }
}

/// Lets go of a child.
pub fn forget(child: Child) {
    drop(child);
}

/// A child that ends with 7 when its input does.
pub fn patient_child() -> Command {
    let mut command = Command::new("cmd");
    command.args(["/c", "set /p line=& exit 7"]).stdin(Stdio::piped());
    command
}

//! The floor for readiness: a hand-written single-thread epoll echo loop. Edge triggered, one shared buffer, memory
//! for a connection only while its peer does not read. With `--mode udp` datagrams: see `udp.rs`.

#[path = "../../common/args.rs"]
mod args;
mod udp;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

const BUFFER: usize = 64 * 1024;
const EVENTS: usize = 512;
/// The token of the listening socket; descriptors are never that large.
const LISTENER: u64 = u64::MAX;
/// Events after which no more data will arrive.
const HANGUP: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

fn main() -> io::Result<()> {
    let args = args::Args::parse(&["mode"]);
    if args.own("mode") == Some("udp") {
        return udp::serve(&args);
    }
    let listener = args::listen(args.addr)?;
    listener.set_nonblocking(true)?;
    // SAFETY: takes no pointer.
    let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    watch(epoll, listener.as_raw_fd(), libc::EPOLLIN as u32, LISTENER)?;
    args::announce(listener.local_addr()?);

    let mut buffer = vec![0_u8; BUFFER];
    let mut stalled: HashMap<RawFd, Stalled> = HashMap::new();
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    loop {
        // SAFETY: `events` has room for EVENTS entries.
        let n = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as i32, -1) };
        if n < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        for event in &events[..n as usize] {
            let token = event.u64;
            if token == LISTENER {
                accept(epoll, listener.as_raw_fd())?;
                continue;
            }
            let fd = token as RawFd;
            // Once the peer has sent its last byte no further edge comes: read to the end now.
            let ending = event.events & HANGUP != 0;
            let open = if stalled.is_empty() {
                pump(fd, ending, &mut buffer, &mut stalled)
            } else {
                resume(fd, ending, &mut buffer, &mut stalled)
            };
            if !open {
                stalled.remove(&fd);
                // SAFETY: this loop owns the descriptor and forgets it here.
                unsafe { libc::close(fd) };
            }
        }
    }
}

/// Bytes received that the peer has not made room for.
struct Stalled {
    bytes: Vec<u8>,
    sent: usize,
}

/// Accepts until the queue is empty.
fn accept(epoll: RawFd, listener: RawFd) -> io::Result<()> {
    loop {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: the address is not asked for.
        let fd = unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), flags) };
        if fd < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(()),
                Some(libc::EINTR | libc::ECONNABORTED) => continue,
                _ => return Err(error),
            }
        }
        let interest = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
        watch(epoll, fd, interest, fd as u64)?;
    }
}

/// Sends what is left over first, then goes on echoing. False: the connection is finished.
fn resume(fd: RawFd, ending: bool, buffer: &mut [u8], stalled: &mut HashMap<RawFd, Stalled>) -> bool {
    if let Some(rest) = stalled.get_mut(&fd) {
        match send(fd, &rest.bytes[rest.sent..]) {
            Ok(n) => rest.sent += n,
            Err(()) => return false,
        }
        if rest.sent < rest.bytes.len() {
            return true;
        }
        stalled.remove(&fd);
    }
    pump(fd, ending, buffer, stalled)
}

/// Echoes until there is nothing more to receive or no more room to send. False: the connection is finished.
fn pump(fd: RawFd, ending: bool, buffer: &mut [u8], stalled: &mut HashMap<RawFd, Stalled>) -> bool {
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
        let n = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        if n == 0 {
            return false;
        }
        if n < 0 {
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EAGAIN) => return true,
                Some(libc::EINTR) => continue,
                _ => return false,
            }
        }
        let n = n as usize;
        let sent = match send(fd, &buffer[..n]) {
            Ok(sent) => sent,
            Err(()) => return false,
        };
        if sent < n {
            stalled.insert(fd, Stalled { bytes: buffer[sent..n].to_vec(), sent: 0 });
            return true;
        }
        // Fewer bytes than asked for: the queue was empty, and the next bytes raise a new edge.
        if n < buffer.len() && !ending {
            return true;
        }
    }
}

/// Sends as much as fits; an error means that the connection is gone.
fn send(fd: RawFd, bytes: &[u8]) -> Result<usize, ()> {
    loop {
        // SAFETY: the kernel reads at most `bytes.len()` bytes from `bytes`.
        let n = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        if n >= 0 {
            return Ok(n as usize);
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EAGAIN) => return Ok(0),
            Some(libc::EINTR) => {}
            _ => return Err(()),
        }
    }
}

fn watch(epoll: RawFd, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events, u64: token };
    // SAFETY: both descriptors are open and `event` outlives the call.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) }).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

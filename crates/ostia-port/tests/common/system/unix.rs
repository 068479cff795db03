//! What tests ask of a Unix system directly.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

use ostia_port::DriverChoice;
use rustix::io::Errno;

use crate::common::Engine;
use crate::common::net::Network;

pub const EMSGSIZE: i32 = libc::EMSGSIZE;

pub const ENGINES: [Engine; 4] = [
    Engine { name: "io_uring", driver: DriverChoice::IoUring, faults: false, network: Network::Kernel },
    Engine { name: "epoll", driver: DriverChoice::Epoll, faults: false, network: Network::Kernel },
    Engine { name: "io_uring+faults", driver: DriverChoice::IoUring, faults: true, network: Network::Kernel },
    Engine { name: "epoll+faults", driver: DriverChoice::Epoll, faults: true, network: Network::Kernel },
];

/// Ports whose sockets are those of a stack, on each driver.
pub const STACKS: [Engine; 4] = [
    Engine { name: "stack", driver: DriverChoice::IoUring, faults: false, network: Network::Stack },
    Engine { name: "stack_on_epoll", driver: DriverChoice::Epoll, faults: false, network: Network::Stack },
    Engine { name: "stack+faults", driver: DriverChoice::IoUring, faults: true, network: Network::Stack },
    Engine { name: "stack_on_epoll+faults", driver: DriverChoice::Epoll, faults: true, network: Network::Stack },
];

/// Ports that have a branch of a stack which another thread's port has.
pub const BRANCHES: [Engine; 2] = [
    Engine { name: "branch", driver: DriverChoice::IoUring, faults: false, network: Network::Branch },
    Engine { name: "branch+faults", driver: DriverChoice::IoUring, faults: true, network: Network::Branch },
];

/// Ports in virtual time: their sockets are those of a stack, and there are no others.
pub const SIMULATED: [Engine; 2] = [
    Engine { name: "simulated", driver: DriverChoice::Virtual, faults: false, network: Network::Stack },
    Engine { name: "simulated+faults", driver: DriverChoice::Virtual, faults: true, network: Network::Stack },
];

/// What a send meets on a connection that has been reset, once the reset was told.
pub const SENT_AFTER_RESET: &[i32] = &[libc::EPIPE];
/// What a send meets after its own side was shut down.
pub const SENT_AFTER_END: &[i32] = &[libc::EPIPE];
/// What a shutdown meets on a connection that has been reset.
pub const SHUT_AFTER_RESET: &[i32] = &[libc::ENOTCONN];
/// What a poll of nothing in particular says of a connection that was reset.
pub const BROKEN: i16 = libc::POLLERR | libc::POLLHUP;
/// Events of which only urgent data would be one.
pub const URGENT: i16 = libc::POLLPRI;

/// What a test says that must do without that.
pub const FORGETS_RESETS: &str = "Wine 8 forgets a reset that comes while nothing waits on the connection";

/// Whether a reset that comes while nobody waits on the connection is told by the next receive.
pub fn remembers_resets() -> bool {
    true
}

/// How many descriptors the process has open.
pub fn open_descriptors() -> usize {
    // Reading the folder takes a descriptor itself, the same in every count.
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Raises the soft limit of descriptors to the hard one; answers what can be had.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Loopback's segments are 64 KiB, and a window smaller than one is only probed now and then: ask for the usual ones.
pub fn set_segment_size(listener: &TcpListener) {
    let size: libc::c_int = 1400;
    // SAFETY: one int is read.
    let set = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_MAXSEG,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "TCP_MAXSEG");
}

/// A pipe: its reading and its writing end.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe")
}

/// A pipe that holds 4 KiB.
pub fn narrow_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("F_SETPIPE_SZ");
    (reader, writer)
}

fn errno(error: Errno) -> i32 {
    error.raw_os_error()
}

/// Writes to a pipe, waiting for room.
pub fn write(pipe: impl AsFd, bytes: &[u8]) -> Result<usize, i32> {
    rustix::io::write(pipe, bytes).map_err(errno)
}

/// Reads a pipe, waiting for bytes.
pub fn read(pipe: impl AsFd, into: &mut [u8]) -> Result<usize, i32> {
    rustix::io::read(pipe, into).map_err(errno)
}

/// Reads a pipe to its end.
pub fn read_to_end(pipe: OwnedFd) -> Vec<u8> {
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut File::from(pipe), &mut all).expect("read");
    all
}

/// Whether a pipe has something to read, or has ended.
pub fn is_readable(pipe: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&now)) == Ok(1)
}

/// Receives what is there; EAGAIN if nothing is.
pub fn try_recv(stream: &TcpStream, into: &mut [u8]) -> Result<usize, i32> {
    rustix::net::recv(stream, into, rustix::net::RecvFlags::DONTWAIT).map(|(count, _)| count).map_err(errno)
}

/// Sends what there is room for; EAGAIN if none is.
pub fn try_send(stream: &TcpStream, bytes: &[u8]) -> Result<usize, i32> {
    rustix::net::send(stream, bytes, rustix::net::SendFlags::DONTWAIT).map_err(errno)
}

/// Reads a file at an offset.
pub fn read_at(file: &File, into: &mut [u8], offset: u64) {
    file.read_exact_at(into, offset).expect("reads");
}

/// Opens a folder.
pub fn open_folder(path: &std::path::Path) -> File {
    File::open(path).expect("opens")
}

/// Options for files that a port is to have.
pub fn for_ports(options: &mut std::fs::OpenOptions) -> &mut std::fs::OpenOptions {
    options
}

/// Options for reading past the page cache.
pub fn past_the_cache() -> std::fs::OpenOptions {
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), libc::O_DIRECT);
    options
}

/// A name of a child that stays its own.
pub struct ChildName(pub OwnedFd);

impl ChildName {
    pub fn of(child: &Child) -> ChildName {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let pid = Pid::from_raw(child.id() as i32).expect("a number");
        ChildName(pidfd_open(pid, PidfdFlags::empty()).expect("a descriptor"))
    }

    /// Waits until it has ended, and leaves its status.
    pub fn await_end(&self) {
        use rustix::event::{PollFd, PollFlags, poll};
        let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None);
    }
}

/// Lets go of a child that is reaped: std must not wait for it, for the number may be somebody else's.
pub fn forget(child: Child) {
    std::mem::forget(child);
}

/// A child that ends with 7 when its input does.
pub fn patient_child() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "read line; exit 7"]).stdin(Stdio::piped());
    command
}

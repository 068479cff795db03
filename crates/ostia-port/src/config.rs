//! How a port is set up: driver, queue lengths, bounds.

use std::io;
use std::time::Duration;

use crate::driver::Faults;
use crate::features::Features;
use crate::pool::PoolConfig;
use crate::virtual_time::VirtualTime;

/// Which driver carries a port's operations out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum DriverChoice {
    /// The system's best: on Linux io_uring where the kernel has and allows it, else epoll; on Windows IOCP; on the BSDs and
    /// macOS kqueue.
    #[default]
    Auto,
    /// io_uring or an error.
    IoUring,
    /// epoll(7) and, for files, a few threads.
    Epoll,
    /// A Windows I/O completion port.
    Iocp,
    /// kqueue(2) and, for files, a few threads.
    Kqueue,
    /// For simulations: time is [virtual](Config::virtual_time) and jumps to the next thing that is to happen, files are read
    /// and written on the spot, and there are no sockets but those of engines: operations on others fail with EOPNOTSUPP.
    /// When nothing can happen any more, waiting for it is an error of the port.
    Virtual,
}

/// The driver that a port runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum DriverKind {
    /// Linux io_uring(7).
    IoUring,
    /// Linux epoll(7).
    Epoll,
    /// A Windows I/O completion port.
    Iocp,
    /// kqueue(2) of the BSDs and macOS.
    Kqueue,
    /// None: a simulation's.
    Virtual,
}

impl std::fmt::Display for DriverKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DriverKind::IoUring => "io_uring",
            DriverKind::Epoll => "epoll",
            DriverKind::Iocp => "iocp",
            DriverKind::Kqueue => "kqueue",
            DriverKind::Virtual => "virtual",
        })
    }
}

impl DriverChoice {
    /// What can be chosen on this system, for messages.
    pub const HERE: &str = if cfg!(target_os = "linux") {
        "auto, io_uring or epoll"
    } else if cfg!(windows) {
        "auto or iocp"
    } else {
        "auto or kqueue"
    };

    /// The error of a driver of another system.
    pub(crate) fn elsewhere(self) -> io::Error {
        let text = format!("the driver {self:?} is another system's: use {}", DriverChoice::HERE);
        io::Error::new(io::ErrorKind::Unsupported, text)
    }
}

impl std::str::FromStr for DriverChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DriverChoice, String> {
        Ok(match text {
            "auto" => DriverChoice::Auto,
            "io_uring" | "io-uring" | "iouring" => DriverChoice::IoUring,
            "epoll" => DriverChoice::Epoll,
            "iocp" => DriverChoice::Iocp,
            "kqueue" => DriverChoice::Kqueue,
            other => return Err(format!("'{other}' is no driver: use {}", DriverChoice::HERE)),
        })
    }
}

/// The settings of a [`Port`](crate::Port). Every bound is checked when the port is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which driver. Default [`DriverChoice::Auto`].
    pub driver: DriverChoice,
    /// The io_uring features that may be used, if the kernel has them. Default all.
    pub features: Features,
    /// Entries in the submission queue, 1 to 32,768; rounded up to a power of two. A full queue is submitted early,
    /// never an error. Default 256.
    pub submission_entries: u32,
    /// Entries in the completion queue, at least `submission_entries`. Overflow costs time, never completions.
    /// Default 4,096.
    pub completion_entries: u32,
    /// The pool of receive buffers.
    pub pool: PoolConfig,
    /// How many bytes received on one handle may wait unread before its receiving is paused and the peer's window
    /// closes, at least 1 KiB. Default 64 KiB.
    pub unread_max: usize,
    /// How many accepted connections may wait on one listener before accepting is paused. Default 256.
    pub accepted_max: usize,
    /// Bounds of the accepts posted at once on a listener where one request can't accept repeatedly. Default 1 to 32.
    pub accepts_posted: (usize, usize),
    /// On Windows, how many bytes an accept waits for, so that a connection comes with its first bytes: 0 (the default) to
    /// 64 KiB. Elsewhere accepting and receiving are apart. Only for protocols in which clients speak first.
    pub accept_data: usize,
    /// How long a client may stay silent that an accept waits for so, in whole seconds; then it is broken off. While clients
    /// that are silent hold all posted accepts of a port, a second is enough. Default 5 s.
    pub accept_patience: Duration,
    /// Sends of at least this many bytes lend their memory to the network card where that is no copy in disguise;
    /// `usize::MAX` turns it off. Default 64 KiB.
    pub send_zc_min: usize,
    /// The most threads that carry out file operations for a driver that can't, and cold reads of `send_file`; 1 to
    /// 256. They exist only while there is work. Default 4.
    pub blocking_threads: usize,
    /// How long a closed handle may take to deliver sends that were already accepted. Default 30 s.
    pub linger: Duration,
    /// How long [`Port`](crate::Port)'s drop waits for operations in flight, before it leaks their memory rather than
    /// free it. Default 10 s.
    pub teardown: Duration,
    /// The clock of a port on the [virtual driver](DriverChoice::Virtual), if it is to be shared. Others don't have one. Default
    /// none: a clock of the port's own.
    pub virtual_time: Option<VirtualTime>,
    /// Faults to inject, for tests. Default none.
    pub faults: Option<Faults>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            driver: DriverChoice::Auto,
            features: Features::all(),
            submission_entries: 256,
            completion_entries: 4096,
            pool: PoolConfig::default(),
            unread_max: 64 << 10,
            accepted_max: 256,
            accepts_posted: (1, 32),
            accept_data: 0,
            accept_patience: Duration::from_secs(5),
            send_zc_min: 64 << 10,
            blocking_threads: 4,
            linger: Duration::from_secs(30),
            teardown: Duration::from_secs(10),
            virtual_time: None,
            faults: None,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> io::Result<()> {
        let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        self.pool.check()?;
        if !(1..=32_768).contains(&self.submission_entries) {
            return wrong(format!("submission_entries is {}: it must be 1 to 32768", self.submission_entries));
        }
        if self.completion_entries < self.submission_entries || self.completion_entries > 65_536 {
            return wrong(format!(
                "completion_entries is {}: it must be submission_entries ({}) to 65536",
                self.completion_entries, self.submission_entries
            ));
        }
        if self.unread_max < 1024 || self.unread_max > u32::MAX as usize / 4 {
            return wrong(format!("unread_max is {}: it must be 1024 to {}", self.unread_max, u32::MAX / 4));
        }
        if self.accepted_max == 0 {
            return wrong("accepted_max is 0: it must be at least 1".into());
        }
        let (few, many) = self.accepts_posted;
        if few == 0 || few > many || many > 1024 {
            return wrong(format!("accepts_posted is {few} to {many}: it must satisfy 1 <= least <= most <= 1024"));
        }
        if self.accept_data > 64 << 10 {
            return wrong(format!("accept_data is {}: it must be 0 to 65536", self.accept_data));
        }
        if !(1..=256).contains(&self.blocking_threads) {
            return wrong(format!("blocking_threads is {}: it must be 1 to 256", self.blocking_threads));
        }
        Ok(())
    }
}

//! What the command line has of its own on Linux: drivers, and what help says of addresses and signals.

use clap::ValueEnum;
use ostia::DriverChoice;

/// Which driver carries the I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// io_uring where it works, else epoll
    #[default]
    Auto,
    /// io_uring or an error
    #[value(name = "io_uring", alias = "io-uring", alias = "iouring")]
    IoUring,
    /// epoll
    Epoll,
}

impl From<Driver> for DriverChoice {
    fn from(driver: Driver) -> DriverChoice {
        match driver {
            Driver::Auto => DriverChoice::Auto,
            Driver::IoUring => DriverChoice::IoUring,
            Driver::Epoll => DriverChoice::Epoll,
        }
    }
}

/// Of `--addr`.
pub(super) const ADDRESSES: &str = "Where to listen: HOST:PORT, an IPv6 host in brackets, or unix:PATH; repeat for more; \
    port 0 picks a free one; systemd: the sockets that systemd hands over, which is the default where it does";

/// Of `--addr` of `ostia echo`.
pub(super) const ECHO_ADDRESSES: &str = "Where to listen: HOST:PORT or tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, \
    unix-dgram:PATH, unix-seqpacket:PATH, an IPv6 host in brackets, @NAME as PATH for an abstract name; repeat for more; \
    port 0 picks a free one. Datagrams are echoed up to 64 KiB";

/// Of `--drain`.
pub(super) const DRAIN: &str = "How long connections may finish what they are doing after SIGTERM or SIGINT";

/// Of `--revalidate`.
pub(super) const REVALIDATE: &str = "Longest time a cached file is believed without a look at the disk; changes that inotify \
    tells of are seen at once";

/// Of `--log-file`.
pub(super) const LOG_FILE: &str =
    "Log to a file instead: errors, warnings and, unless --access-log says otherwise, requests. SIGUSR1 reopens it";

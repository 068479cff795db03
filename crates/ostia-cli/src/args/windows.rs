//! What the command line has of its own on Windows: drivers, and what help says of addresses and of the end.

use clap::ValueEnum;
use ostia::DriverChoice;

/// Which driver carries the I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// The system's completion port
    #[default]
    Auto,
    /// The same, or an error
    Iocp,
}

impl From<Driver> for DriverChoice {
    fn from(driver: Driver) -> DriverChoice {
        match driver {
            Driver::Auto => DriverChoice::Auto,
            Driver::Iocp => DriverChoice::Iocp,
        }
    }
}

/// Of `--addr`.
pub(super) const ADDRESSES: &str =
    "Where to listen: HOST:PORT, an IPv6 host in brackets; repeat for more; port 0 picks a free one";

/// Of `--addr` of `ostia echo`.
pub(super) const ECHO_ADDRESSES: &str = "Where to listen: HOST:PORT or tcp://HOST:PORT, udp://HOST:PORT, an IPv6 host in \
    brackets; repeat for more; port 0 picks a free one. Datagrams are echoed up to 64 KiB";

/// Of `--drain`.
pub(super) const DRAIN: &str = "How long connections may finish what they are doing after Ctrl-C or Ctrl-Break, or when the \
    console is closed, for which Windows gives a program 5 s at most";

/// Of `--revalidate`.
pub(super) const REVALIDATE: &str =
    "Of no effect on Windows, where a cached file is compared with the disk whenever it is asked for";

/// Of `--log-file`.
pub(super) const LOG_FILE: &str = "Log to a file instead: errors, warnings and, unless --access-log says otherwise, requests";

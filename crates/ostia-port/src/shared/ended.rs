//! What a shared port answers when it doesn't do what it was asked: it has ended, or a queue is full.

use crate::os::raw;
use std::fmt;
use std::io;

/// The shared port has ended: nothing is submitted, posted or handed out any more (ERROR_ABANDONED_WAIT_0 of Windows).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortEnded {
    /// The system's error that left the port unusable; 0 when it was ended on purpose.
    errno: i32,
}

impl PortEnded {
    pub(super) const CLOSED: PortEnded = PortEnded { errno: 0 };

    pub(super) fn failed(error: &io::Error) -> PortEnded {
        PortEnded { errno: error.raw_os_error().unwrap_or(raw::EIO) }
    }

    /// The system's error that left the port unusable; none when it was ended by [`SharedPort::end`](crate::SharedPort::end).
    #[must_use]
    pub fn cause(self) -> Option<io::Error> {
        (self.errno != 0).then(|| io::Error::from_raw_os_error(self.errno))
    }
}

impl fmt::Display for PortEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause() {
            None => f.write_str("the shared port was ended"),
            Some(error) => write!(f, "the shared port became unusable: {error}"),
        }
    }
}

impl std::error::Error for PortEnded {}

impl From<PortEnded> for io::Error {
    fn from(ended: PortEnded) -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, ended)
    }
}

/// Why something was not taken; it comes back unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused<T> {
    /// The queue is full: try again when others have been dealt with.
    Full(T),
    /// The port has ended.
    Ended(T),
}

impl<T> Refused<T> {
    /// What was refused.
    pub fn into_inner(self) -> T {
        match self {
            Refused::Full(item) | Refused::Ended(item) => item,
        }
    }

    /// Whether it may be taken later.
    pub fn is_full(&self) -> bool {
        matches!(self, Refused::Full(_))
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Refused<U> {
        match self {
            Refused::Full(item) => Refused::Full(change(item)),
            Refused::Ended(item) => Refused::Ended(change(item)),
        }
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "the shared port's queue is full",
            Refused::Ended(_) => "the shared port has ended",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for Refused<T> {}

impl<T> From<Refused<T>> for io::Error {
    fn from(refused: Refused<T>) -> io::Error {
        let kind = if refused.is_full() { io::ErrorKind::WouldBlock } else { io::ErrorKind::BrokenPipe };
        io::Error::new(kind, refused.to_string())
    }
}

//! Linux: its own names, nearly all of them those of libc.

pub(crate) mod asleep;
pub(crate) mod child;
pub(crate) mod gong;
pub(crate) mod memory;
pub(crate) mod metadata;
pub(crate) mod open;
pub(crate) mod syscalls;
pub(crate) mod thread;
pub(crate) mod time;

pub(crate) use super::unix::{calls, descriptor, message, path, raw};

/// The numbers that operations speak in, with one that not every Unix has.
pub mod codes {
    pub use libc::POLLRDHUP;

    pub use super::super::unix::codes::*;
}

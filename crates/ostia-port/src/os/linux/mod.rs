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

pub(crate) use super::unix::{calls, codes, descriptor, message, path, raw};

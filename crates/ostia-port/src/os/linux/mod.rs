//! Linux: its own names, nearly all of them those of libc.

pub(crate) mod asleep;
pub(crate) mod child;
pub(crate) mod codes;
pub(crate) mod descriptor;
pub(crate) mod gong;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod metadata;
pub(crate) mod open;
pub(crate) mod path;
pub(crate) mod syscalls;
pub(crate) mod thread;
pub(crate) mod time;

/// The system's types and numbers by the names that libc gives them.
pub(crate) use libc as raw;

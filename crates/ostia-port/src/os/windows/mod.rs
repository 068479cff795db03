//! Windows: its own calls behind the names that the rest of the crate uses.

pub(crate) mod about;
pub(crate) mod asleep;
pub(crate) mod child;
pub(crate) mod codes;
pub(crate) mod descriptor;
pub(crate) mod error;
pub(crate) mod extension;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod gong;
pub(crate) mod identity;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod metadata;
pub(crate) mod open;
pub(crate) mod path;
pub(crate) mod raw;
pub(crate) mod syscalls;
pub(crate) mod thread;
pub(crate) mod time;

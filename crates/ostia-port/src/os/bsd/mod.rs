//! FreeBSD and macOS: their own calls behind the names that the rest of the crate uses. Type-checked, and never run yet.

#[cfg(not(any(target_os = "freebsd", target_os = "macos")))]
compile_error!("of the systems with kqueue only FreeBSD and macOS are known here");

pub(crate) mod asleep;
pub(crate) mod child;
pub(crate) mod futex;
pub(crate) mod gong;
#[cfg(target_os = "macos")]
pub(crate) mod listening;
pub(crate) mod memory;
pub(crate) mod metadata;
pub(crate) mod open;
pub(crate) mod queue;
pub(crate) mod syscalls;
pub(crate) mod thread;
pub(crate) mod time;

pub(crate) use super::unix::{calls, codes, descriptor, message, path, raw};

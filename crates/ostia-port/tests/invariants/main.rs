//! The port's invariants, numbered as in ARCHITECTURE.md: each has tests that try to break it, on every engine.
//!
//! Memory (`ownership.rs`, `leases.rs`):
//!
//! 1. An operation owns its buffer, and all that its request points to, until its completion has been taken.
//! 2. Dropping interest frees nothing.
//! 3. A descriptor is closed only when no request names it.
//! 4. A port's end frees nothing that the kernel may still write to, and leaves nothing behind.
//! 5. A late event or a stale name can't reach a reused place.
//! 6. Lent bytes are never written, on whichever thread and however late they are given back.
//!
//! Completions (`completions.rs`, `odd.rs`; of Unix alone `odd_unix.rs`, of Windows alone `windows/`):
//!
//! 7. Every operation completes exactly once, with its buffer, whatever races.
//! 8. A cancel is never lost, not even with a full submission queue.
//! 9. Nothing posted is refused, nothing reaped is lost, whatever overflows.
//!
//! Data (`data.rs`, `datagrams.rs`, `sending.rs`, `silent.rs`, `file_sending.rs`):
//!
//! 10. What has arrived belongs to the handle: no cancel loses or doubles a byte or a connection.
//! 11. Sends leave in the order in which they were posted, each whole.
//!
//! Bounds (`bounds.rs`, `load.rs`):
//!
//! 12. Received-but-unread bytes are bounded per handle, leased buffers and copies per port.
//! 13. Want of buffers is an error only to the hoarder; one hot connection starves nobody.
//! 14. What is kept ready follows the load between its bounds, and its memory is returned.
//!
//! Tests of data, sends, leases, bounds and places run with the kernel's sockets and with those of a stack; what is made differently for those
//! has tests in `engines.rs`.
//!
//! Threads and time (`threads.rs`):
//!
//! 15. No wake-up is lost: packets from other threads arrive once, in each thread's order, and wake a sleeping port.
//! 16. A timer never fires early.

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod completions;
mod data;
mod datagrams;
#[cfg(target_os = "linux")]
mod engines;
mod file_sending;
mod leases;
mod load;
mod odd;
#[cfg(unix)]
mod odd_unix;
mod ownership;
mod sending;
mod silent;
mod threads;
#[cfg(windows)]
mod windows;

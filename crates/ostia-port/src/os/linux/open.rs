//! How a file is opened (openat2(2)).

use super::raw;

/// How to open a file: the `flags`, `mode` and `resolve` of openat2(2). `O_CLOEXEC` is always added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// `O_RDONLY`, `O_CREAT` and so on.
    pub flags: i32,
    /// Permissions of a created file.
    pub mode: u32,
    /// `RESOLVE_BENEATH` and so on; 0 leaves the path unrestricted and works on every kernel.
    pub resolve: u64,
}

/// What [`Sys::Open`](crate::sys::Sys::Open) points to.
pub(crate) type RawOpenHow = raw::open_how;

pub(crate) fn raw_open_how(how: OpenHow) -> RawOpenHow {
    // SAFETY: plain data for which zeroes are valid; the type can't be built otherwise.
    let mut raw: raw::open_how = unsafe { std::mem::zeroed() };
    raw.flags = (how.flags | libc::O_CLOEXEC) as u64;
    // openat2 refuses a mode where no file can be made.
    let makes = how.flags & libc::O_CREAT != 0 || how.flags & libc::O_TMPFILE == libc::O_TMPFILE;
    raw.mode = if makes { how.mode.into() } else { 0 };
    raw.resolve = how.resolve;
    raw
}

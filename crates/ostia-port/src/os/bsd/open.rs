//! How a file is opened (openat(2)), and what of Linux' openat2(2) there is.

use super::raw;
use crate::op::OpenHow;

/// What [`Sys::Open`](crate::sys::Sys::Open) points to.
pub(crate) struct RawOpenHow {
    pub(crate) flags: i32,
    pub(crate) mode: u32,
    /// What was asked for can't be had: the open fails with EOPNOTSUPP rather than go where it must not.
    pub(crate) refused: bool,
}

/// `RESOLVE_BENEATH` as Linux numbers it, which is what [`OpenHow::resolve`] speaks.
#[cfg(target_os = "freebsd")]
const BENEATH: u64 = 0x08;

pub(crate) fn raw_open_how(how: OpenHow) -> RawOpenHow {
    let flags = how.flags | raw::O_CLOEXEC;
    match how.resolve {
        0 => RawOpenHow { flags, mode: how.mode, refused: false },
        // Fails with ENOTCAPABLE where Linux says EXDEV.
        #[cfg(target_os = "freebsd")]
        BENEATH => RawOpenHow { flags: flags | raw::O_RESOLVE_BENEATH, mode: how.mode, refused: false },
        _ => RawOpenHow { flags, mode: how.mode, refused: true },
    }
}

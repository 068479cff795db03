//! How a file is opened (openat(2)), and what of Linux' openat2(2) there is.

use super::raw;

/// How to open a file: the `flags` and `mode` of openat(2), and `resolve` as Linux' openat2(2) has it. `O_CLOEXEC` is always
/// added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// `O_RDONLY`, `O_CREAT` and so on.
    pub flags: i32,
    /// Permissions of a created file.
    pub mode: u32,
    /// 0 leaves the path unrestricted. On FreeBSD 8 (`RESOLVE_BENEATH`) keeps it below the directory that it starts from
    /// (`O_RESOLVE_BENEATH`; ENOTCAPABLE). Whatever else is asked for fails with EOPNOTSUPP.
    pub resolve: u64,
}

/// What [`Sys::Open`](crate::sys::Sys::Open) points to.
pub(crate) struct RawOpenHow {
    pub(crate) flags: i32,
    pub(crate) mode: u32,
    /// What was asked for can't be had: the open fails with EOPNOTSUPP rather than go where it must not.
    pub(crate) refused: bool,
}

/// `RESOLVE_BENEATH` as Linux numbers it.
#[cfg(target_os = "freebsd")]
const BENEATH: u64 = 0x08;

pub(crate) fn raw_open_how(how: OpenHow) -> RawOpenHow {
    let flags = how.flags | raw::O_CLOEXEC;
    match how.resolve {
        0 => RawOpenHow { flags, mode: how.mode, refused: false },
        #[cfg(target_os = "freebsd")]
        BENEATH => RawOpenHow { flags: flags | raw::O_RESOLVE_BENEATH, mode: how.mode, refused: false },
        _ => RawOpenHow { flags, mode: how.mode, refused: true },
    }
}

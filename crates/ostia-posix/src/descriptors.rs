//! Descriptors: every socket has one of the kernel's, so that its number is nobody else's, and close(2) frees it.
//!
//! Behind it stands an empty memory file (memfd_create(2)), for each of these has an inode of its own: when a program has closed
//! the number behind this crate's back, and the kernel has given it to something else, that shows. Nothing can be written to it: who
//! asks the kernel to, and not this crate, hears that it can't be, and doesn't believe that a socket has sent it.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::FdFlags;

use crate::Errno;

/// The name of a socket or an epoll instance, which is never given twice.
pub(crate) type Id = u64;

struct Slot {
    file: OwnedFd,
    inode: (u64, u64),
    id: Id,
}

impl Slot {
    /// Whether the number still leads to the file that was opened.
    fn holds(&self) -> bool {
        inode(&self.file) == Some(self.inode)
    }
}

/// From numbers to names.
#[derive(Default)]
pub(crate) struct Descriptors(HashMap<RawFd, Slot>);

fn inode(file: &OwnedFd) -> Option<(u64, u64)> {
    let stat = rustix::fs::fstat(file).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

impl Descriptors {
    /// Takes a number from the kernel. With it comes the name of what had the number before and was closed unseen.
    ///
    /// Errors: those of memfd_create(2), EMFILE above all.
    pub(crate) fn open(&mut self, id: Id, close_on_exec: bool) -> Result<(RawFd, Option<Id>), Errno> {
        let flags = if close_on_exec { MemfdFlags::CLOEXEC } else { MemfdFlags::empty() };
        let file = rustix::fs::memfd_create("ostia", flags | MemfdFlags::ALLOW_SEALING).map_err(Errno::of_system)?;
        // Without seals it is as good, to who makes no mistakes.
        let _ = rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SEAL);
        let inode = inode(&file).ok_or(Errno::ENOMEM)?;
        let fd = file.as_raw_fd();
        let stale = self.0.insert(fd, Slot { file, inode, id });
        Ok((fd, stale.map(forget)))
    }

    /// What a number names; `Err(Some)` is what it named before it was closed unseen.
    pub(crate) fn find(&mut self, fd: RawFd) -> Result<Id, Option<Id>> {
        match self.0.get(&fd) {
            Some(slot) if slot.holds() => Ok(slot.id),
            Some(_) => Err(self.0.remove(&fd).map(forget)),
            None => Err(None),
        }
    }

    /// Whether a number is closed by execve(2); sets it first, if that is asked for.
    ///
    /// Errors: EBADF, those of fcntl(2).
    pub(crate) fn close_on_exec(&mut self, fd: RawFd, set: Option<bool>) -> Result<i32, Errno> {
        let slot = self.0.get(&fd).ok_or(Errno::EBADF)?;
        if let Some(set) = set {
            let flags = if set { FdFlags::CLOEXEC } else { FdFlags::empty() };
            rustix::io::fcntl_setfd(&slot.file, flags).map_err(Errno::of_system)?;
            return Ok(0);
        }
        let flags = rustix::io::fcntl_getfd(&slot.file).map_err(Errno::of_system)?;
        Ok(if flags.contains(FdFlags::CLOEXEC) { libc::FD_CLOEXEC } else { 0 })
    }

    /// Gives a number back to the kernel.
    pub(crate) fn close(&mut self, fd: RawFd) {
        self.0.remove(&fd);
    }
}

impl Drop for Descriptors {
    /// What was closed unseen isn't closed once more.
    fn drop(&mut self) {
        for (_, slot) in self.0.drain() {
            if !slot.holds() {
                forget(slot);
            }
        }
    }
}

/// The number is somebody else's by now: it must not be closed.
fn forget(slot: Slot) -> Id {
    let _ = slot.file.into_raw_fd();
    slot.id
}

/// Why a number that names nothing here can't be used: ENOTSOCK if it is open, EBADF if it isn't.
pub(crate) fn foreign(fd: RawFd) -> Errno {
    match std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")) {
        Ok(_) => Errno::ENOTSOCK,
        Err(_) => Errno::EBADF,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels_and_go_back_to_it() {
        let mut descriptors = Descriptors::default();
        let (a, _) = descriptors.open(1, true).expect("a descriptor");
        let (b, _) = descriptors.open(2, false).expect("a descriptor");
        assert_ne!(a, b);
        assert_eq!((descriptors.find(a), descriptors.find(b)), (Ok(1), Ok(2)));
        assert_eq!(foreign(a), Errno::ENOTSOCK, "open, and no socket of the kernel's");
        descriptors.close(a);
        assert_eq!(descriptors.find(a), Err(None));
        assert_eq!(foreign(-1), Errno::EBADF);
        descriptors.close(b);
    }
}

//! Opens what lies beneath one directory, and nothing else, from the directory's descriptor.
//!
//! Where the kernel has openat2(2), it keeps every look-up beneath the root (`RESOLVE_BENEATH`)
//! and away from magic links; symbolic links that stay beneath the root are followed. Elsewhere
//! paths are walked name by name, and symbolic links are not followed at all.
//!
//! A name is first opened with `O_PATH`, which touches no device, queues at no FIFO, and can't
//! block on what it names. Only a regular file is then opened for reading.

use super::{Kind, OpenError, Opened, Wait};
use crate::files::Meta;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Whether a worker opens files itself: the kernel says when that would have to wait.
pub const IN_PLACE: bool = true;

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::XDEV | Errno::NXIO | Errno::NODEV => OpenError::NotFound,
            Errno::LOOP => OpenError::Symlink,
            Errno::ACCESS | Errno::PERM => OpenError::Forbidden,
            Errno::AGAIN => OpenError::WouldBlock,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => OpenError::Exhausted,
            other => OpenError::Other(other.into()),
        }
    }
}

impl Kind {
    /// `None` for what is never served: devices, FIFOs, sockets.
    pub fn of(kind: FileType) -> Option<Kind> {
        match kind {
            FileType::RegularFile => Some(Kind::File),
            FileType::Directory => Some(Kind::Directory),
            _ => None,
        }
    }
}

/// The directory that is served. Shared by all workers and the blocking pool.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// openat2 works here; without it no symbolic link is followed.
    openat2: bool,
    /// openat2 knows `RESOLVE_CACHED`.
    cached: bool,
}

impl Root {
    /// Opens `dir`. It stays the root even when it is renamed.
    ///
    /// # Errors
    /// Those of open(2): absent, not a directory, not permitted.
    pub fn open(dir: &Path) -> io::Result<Root> {
        let fd = rustix::fs::openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        // A place can be opened by anybody; whether what lies in it can be reached is another matter.
        rustix::fs::accessat(&fd, ".", Access::EXEC_OK, AtFlags::EACCESS)?;
        // Probed by trying: a filter may forbid the call on a kernel that has it.
        let probe = |flags| rustix::fs::openat2(&fd, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags).is_ok();
        let openat2 = probe(ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS);
        let cached = openat2 && probe(ResolveFlags::BENEATH | ResolveFlags::CACHED);
        Ok(Root { fd, openat2, cached })
    }

    /// The same root as a kernel without openat2 would serve it.
    #[cfg(test)]
    pub fn without_openat2(mut self) -> Root {
        (self.openat2, self.cached) = (false, false);
        self
    }

    /// Whether openat2 keeps look-ups beneath the root, so that symbolic links are followed.
    pub fn is_guarded(&self) -> bool {
        self.openat2
    }

    /// The root's own descriptor, a place.
    pub fn place(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The root's own state.
    ///
    /// # Errors
    /// As fstat(2) says.
    pub fn meta(&self) -> io::Result<Meta> {
        Ok(Meta::of(&self.fd)?)
    }

    /// Opens a canonical path (see [`canonical`](crate::files::path::canonical)), following symbolic links that stay
    /// beneath the root, where openat2 guards them.
    ///
    /// # Errors
    /// [`OpenError`]; never `Symlink`.
    pub fn find(&self, path: &[u8], wait: Wait) -> Result<Opened, OpenError> {
        let relative = relative(path);
        let found = if self.openat2 {
            self.open_both(self.fd.as_fd(), relative, ResolveFlags::empty(), wait)
        } else {
            self.walk(relative, wait)
        };
        match found {
            Err(OpenError::Symlink) => Err(OpenError::NotFound),
            other => other,
        }
    }

    /// Opens one name in a directory beneath the root; a symbolic link is an error.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn find_in(&self, dir: BorrowedFd<'_>, name: &[u8], wait: Wait) -> Result<Opened, OpenError> {
        self.open_both(dir, name, ResolveFlags::NO_SYMLINKS, wait)
    }

    /// The present state of what a canonical path names, without opening it, and without following
    /// symbolic links.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn stat(&self, path: &[u8], wait: Wait) -> Result<Meta, OpenError> {
        let relative = relative(path);
        if !self.openat2 {
            return match self.walk(relative, wait)? {
                Opened::File(_, meta) | Opened::Directory(_, meta) => Ok(meta),
            };
        }
        let place = self.open_one(self.fd.as_fd(), relative, OFlags::PATH, ResolveFlags::NO_SYMLINKS, wait)?;
        Ok(Meta::of(&place)?)
    }

    /// As [`Root::stat`], for when no descriptor is left: looks at each name on the way in turn. May
    /// wait for a disk, though hardly for what was looked at before.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn stat_without_descriptor(&self, path: &[u8]) -> Result<Meta, OpenError> {
        let relative = relative(path);
        let mut ends = memchr::memchr_iter(b'/', relative).chain([relative.len()]).peekable();
        while let Some(end) = ends.next() {
            let stat = rustix::fs::statat(&self.fd, &relative[..end], AtFlags::SYMLINK_NOFOLLOW)?;
            match (FileType::from_raw_mode(stat.st_mode), ends.peek()) {
                (FileType::Symlink, _) => return Err(OpenError::Symlink),
                (_, None) => return Ok(Meta::from(&stat)),
                _ => {}
            }
        }
        Err(OpenError::NotFound)
    }

    /// Whether a canonical path leads to a file or a directory, following symbolic links that stay
    /// beneath the root, and its present state.
    ///
    /// # Errors
    /// [`OpenError`]; `NotFound` for all that is neither.
    pub fn kind(&self, path: &[u8], wait: Wait) -> Result<(Kind, Meta), OpenError> {
        if !self.openat2 {
            return match self.find(path, wait)? {
                Opened::File(_, meta) => Ok((Kind::File, meta)),
                Opened::Directory(_, meta) => Ok((Kind::Directory, meta)),
            };
        }
        let place = self.open_one(self.fd.as_fd(), relative(path), OFlags::PATH, ResolveFlags::empty(), wait)?;
        let stat = rustix::fs::fstat(&place)?;
        Ok((Kind::of(FileType::from_raw_mode(stat.st_mode)).ok_or(OpenError::NotFound)?, Meta::from(&stat)))
    }

    fn walk(&self, relative: &[u8], wait: Wait) -> Result<Opened, OpenError> {
        let mut names = relative.split(|&b| b == b'/').peekable();
        let mut dir: Option<OwnedFd> = None;
        while let Some(name) = names.next() {
            let place = dir.as_ref().map_or(self.fd.as_fd(), |fd| fd.as_fd());
            match self.find_in(place, name, wait)? {
                Opened::Directory(fd, _) if names.peek().is_some() => dir = Some(fd),
                found if names.peek().is_none() => return Ok(found),
                _ => return Err(OpenError::NotFound),
            }
        }
        Err(OpenError::NotFound)
    }

    /// First as a place, then for reading if it is a regular file.
    fn open_both(&self, dir: BorrowedFd<'_>, path: &[u8], extra: ResolveFlags, wait: Wait) -> Result<Opened, OpenError> {
        // A name may come to mean another file between the two; three losses in a row are no chance.
        for _ in 0..3 {
            let place = self.open_one(dir, path, OFlags::PATH, extra, wait)?;
            let stat = rustix::fs::fstat(&place)?;
            let meta = Meta::from(&stat);
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => return Ok(Opened::Directory(place, meta)),
                FileType::Symlink => return Err(OpenError::Symlink),
                FileType::RegularFile => {}
                _ => return Err(OpenError::NotFound),
            }
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            let file = self.open_one(dir, path, flags, extra, wait)?;
            let stat = rustix::fs::fstat(&file)?;
            let reopened = Meta::from(&stat);
            let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if regular && (reopened.dev, reopened.ino) == (meta.dev, meta.ino) {
                return Ok(Opened::File(File::from(file), reopened));
            }
        }
        Err(OpenError::NotFound)
    }

    fn open_one(
        &self,
        dir: BorrowedFd<'_>,
        path: &[u8],
        flags: OFlags,
        extra: ResolveFlags,
        wait: Wait,
    ) -> Result<OwnedFd, OpenError> {
        let flags = flags | OFlags::CLOEXEC;
        if !self.openat2 {
            return Ok(rustix::fs::openat(dir, path, flags | OFlags::NOFOLLOW, Mode::empty())?);
        }
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | extra;
        if wait == Wait::Never && self.cached {
            resolve |= ResolveFlags::CACHED;
        }
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve) {
                // A rename elsewhere raced with a `..` in a symbolic link, or a signal came.
                Err(Errno::AGAIN | Errno::INTR) if wait == Wait::Allowed && tries < 16 => tries += 1,
                result => return Ok(result?),
            }
        }
    }
}

/// A canonical path as the kernel takes it from the root's descriptor.
fn relative(path: &[u8]) -> &[u8] {
    let inner = path.strip_prefix(b"/").unwrap_or(path);
    let inner = inner.strip_suffix(b"/").unwrap_or(inner);
    if inner.is_empty() { b"." } else { inner }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    fn both(dir: &Path) -> [Root; 2] {
        [Root::open(dir).unwrap(), Root::open(dir).unwrap().without_openat2()]
    }

    fn text(opened: Result<Opened, OpenError>) -> String {
        match opened.unwrap() {
            Opened::File(mut file, meta) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!(text.len() as u64, meta.size);
                text
            }
            Opened::Directory(..) => "directory".into(),
        }
    }

    #[test]
    fn files_and_directories_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/c.txt"), "content").unwrap();
        for root in both(dir.path()) {
            for wait in [Wait::Never, Wait::Allowed] {
                assert_eq!(text(root.find(b"/a/b/c.txt", wait)), "content");
                assert_eq!(text(root.find(b"/", wait)), "directory");
                assert_eq!(text(root.find(b"/a/b/", wait)), "directory");
                assert!(matches!(root.find(b"/a/x", Wait::Allowed), Err(OpenError::NotFound)));
                assert!(matches!(root.find(b"/a/b/c.txt/x", Wait::Allowed), Err(OpenError::NotFound)));
                let meta = root.stat(b"/a/b/c.txt", wait).unwrap();
                assert_eq!(meta.size, 7);
                assert_eq!(root.stat_without_descriptor(b"/a/b/c.txt").unwrap(), meta);
            }
        }
    }

    #[test]
    fn nothing_but_regular_files_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o644)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        symlink("/dev/zero", dir.path().join("zero")).unwrap();
        for root in both(dir.path()) {
            for name in ["/fifo", "/socket", "/zero"] {
                assert!(matches!(root.find(name.as_bytes(), Wait::Allowed), Err(OpenError::NotFound)), "{name}");
            }
        }
        // A device itself, where there are some.
        let root = Root::open(Path::new("/dev")).unwrap();
        assert!(matches!(root.find(b"/null", Wait::Allowed), Err(OpenError::NotFound)));
    }

    #[test]
    fn symbolic_links_lead_only_within() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("sub/file"), "inside").unwrap();
        symlink("sub/file", at("to-file")).unwrap();
        symlink("sub", at("to-sub")).unwrap();
        symlink("../sub/file", at("sub/up")).unwrap();
        symlink(outside.path(), at("absolute")).unwrap();
        symlink("../..", at("sub/out")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/proc/self/root", at("magic")).unwrap();
        let [guarded, walked] = both(dir.path());
        for name in ["/to-file", "/to-sub/file", "/sub/up"] {
            assert_eq!(text(guarded.find(name.as_bytes(), Wait::Allowed)), "inside", "{name}");
            assert!(matches!(walked.find(name.as_bytes(), Wait::Allowed), Err(OpenError::NotFound)), "{name}");
            assert!(matches!(guarded.stat(name.as_bytes(), Wait::Allowed), Err(OpenError::Symlink)), "{name}");
            assert!(matches!(walked.stat_without_descriptor(name.as_bytes()), Err(OpenError::Symlink)), "{name}");
        }
        for root in [&guarded, &walked] {
            for name in ["/absolute", "/absolute/secret", "/sub/out", "/sub/out/etc/passwd", "/loop", "/magic/etc/passwd"] {
                assert!(matches!(root.find(name.as_bytes(), Wait::Allowed), Err(OpenError::NotFound)), "{name}");
            }
        }
    }

    #[test]
    fn a_step_meets_links_as_links() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        symlink("file", dir.path().join("link")).unwrap();
        for root in both(dir.path()) {
            assert_eq!(text(root.find_in(root.place(), b"file", Wait::Allowed)), "x");
            assert!(matches!(root.find_in(root.place(), b"link", Wait::Allowed), Err(OpenError::Symlink)));
        }
    }

    #[test]
    fn the_root_must_be_a_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Root::open(file.path()).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(Root::open(Path::new("/nonexistent")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

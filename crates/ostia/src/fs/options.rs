//! How a file is opened, and the opening.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ostia_port::{Handle, Op, OpenHow, Payload};

use crate::fs::File;
use crate::fs::failure::naming;
use crate::net::raw::Raw;
use crate::{here, operation};

/// How a file is opened; see [`std::fs::OpenOptions`] for what the flags mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    flags: i32,
    resolve: u64,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

macro_rules! flag {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: bool) -> OpenOptions {
            self.$name = $name;
            self
        }
    };
}

impl OpenOptions {
    /// Nothing set: add [`read`](Self::read) or [`write`](Self::write).
    #[must_use]
    pub const fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            flags: 0,
            resolve: 0,
        }
    }

    flag! {
        /// For reading.
        read
    }
    flag! {
        /// For writing.
        write
    }
    flag! {
        /// Every write goes to the end (O_APPEND).
        append
    }
    flag! {
        /// An existing file is emptied.
        truncate
    }
    flag! {
        /// A missing file is made.
        create
    }
    flag! {
        /// The file must not exist and is made.
        create_new
    }

    /// Permissions of a file that is made, less the umask. Default 0o666.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> OpenOptions {
        self.mode = mode;
        self
    }

    /// Further flags of open(2), such as `O_DIRECT` or `O_NONBLOCK`.
    #[must_use]
    pub fn custom_flags(mut self, flags: i32) -> OpenOptions {
        self.flags = flags;
        self
    }

    /// Resolution flags of openat2(2), such as `RESOLVE_BENEATH` (Linux 5.6).
    #[must_use]
    pub fn resolve(mut self, flags: u64) -> OpenOptions {
        self.resolve = flags;
        self
    }

    fn how(&self) -> io::Result<OpenHow> {
        let access = match (self.read, self.write || self.append) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            (true, false) => libc::O_RDONLY,
            (false, false) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "open for reading or for writing")),
        };
        let makes = self.truncate || self.create || self.create_new;
        if makes && access == libc::O_RDONLY {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "creating or truncating needs write"));
        }
        let mut flags = access | self.flags;
        flags |= if self.append { libc::O_APPEND } else { 0 };
        flags |= if self.truncate { libc::O_TRUNC } else { 0 };
        flags |= if self.create_new { libc::O_CREAT | libc::O_EXCL } else { 0 };
        flags |= if self.create { libc::O_CREAT } else { 0 };
        Ok(OpenHow { flags, mode: self.mode, resolve: self.resolve })
    }

    /// Opens a file. Cancelled: nothing happened, but that a file may have been made.
    ///
    /// # Errors
    /// As openat2(2), naming the path; InvalidInput for options that contradict each other or a path with a NUL. Outside of a
    /// runtime.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_from(None, path.as_ref()).await
    }

    /// As [`open`](Self::open), a relative path starting from an open directory.
    ///
    /// # Errors
    /// As there; if the directory belongs to another worker.
    pub async fn open_at(&self, directory: &File, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_from(Some(directory.here()?), path.as_ref()).await
    }

    async fn open_from(&self, directory: Option<Handle>, path: &Path) -> io::Result<File> {
        let opened = async { open(directory, path, self.how()?).await };
        opened.await.map_err(|error| naming("open", path, error))
    }
}

/// Opens a file; the error does not name the path yet.
pub(super) async fn open(directory: Option<Handle>, path: &Path, how: OpenHow) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let done = operation::post(Op::Open { directory, path, how })?.await?;
    done.result?;
    match done.payload {
        Payload::Handle(handle) => here::with(|core| File::from_raw(Raw { worker: core.id, handle })).ok_or_else(here::elsewhere),
        _ => Err(io::Error::other("an open has completed without a file")),
    }
}

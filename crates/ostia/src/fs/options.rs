//! How a file is opened, and the opening.

use std::io;
use std::path::Path;

use ostia_port::os::system_path;
use ostia_port::{Handle, Op, OpenHow, Payload};

use crate::fs::failure::naming;
use crate::fs::{File, system};
use crate::net::raw::Raw;
use crate::{here, operation};

/// How a file is opened; see [`std::fs::OpenOptions`] for what the flags mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
    pub(super) truncate: bool,
    pub(super) create: bool,
    pub(super) create_new: bool,
    /// What only this system has.
    pub(super) more: system::More,
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
            more: system::More::NONE,
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
        /// Every write goes to the end (O_APPEND; FILE_APPEND_DATA without FILE_WRITE_DATA).
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

    fn how(&self) -> io::Result<OpenHow> {
        let writes = self.write || self.append;
        if !self.read && !writes {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "open for reading or for writing"));
        }
        if !writes && (self.truncate || self.create || self.create_new) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "creating or truncating needs write"));
        }
        Ok(system::how(self))
    }

    /// Opens a file. Cancelled: nothing happened, but that a file may have been made.
    ///
    /// # Errors
    /// As openat2(2) or CreateFileW, naming the path; InvalidInput for options that contradict each other or a path with a NUL. Outside of a
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
    let path = system_path(path)?;
    let done = operation::post(Op::Open { directory, path, how })?.await?;
    done.result?;
    match done.payload {
        Payload::Handle(handle) => here::with(|core| File::from_raw(Raw { worker: core.id, handle })).ok_or_else(here::elsewhere),
        _ => Err(io::Error::other("an open has completed without a file")),
    }
}

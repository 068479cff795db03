//! What is in a directory, listed a bounded number of entries at a time.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::FileType;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ostia_port::Metadata;

use crate::fs::calls::blocking;
use crate::fs::failure::naming;
use crate::fs::symlink_metadata;
use crate::task::{JoinHandle, spawn_blocking};

/// The most entries that are listed at once, and so the most that wait in memory.
const BATCH: usize = 64;

/// Lists a directory. Cancelled: nothing happened.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # ostia::block_on(async {
/// use ostia::fs;
///
/// fs::write(folder.path().join("manifest"), "amphorae").await?;
/// let mut entries = fs::read_dir(folder.path()).await?;
/// while let Some(entry) = entries.next().await? {
///     assert!(entry.file_type().is_file());
///     assert_eq!(entry.file_name(), "manifest");
/// }
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
///
/// # Errors
/// As opendir(3), naming the path: NotFound, NotADirectory.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path: Arc<Path> = path.as_ref().into();
    let own = Arc::clone(&path);
    // The first entries come with the opening: most directories are listed by this one call.
    match blocking(move || Ok(list(std::fs::read_dir(&*own)?, own))).await {
        Ok((entries, rest)) => Ok(ReadDir { path, entries, rest }),
        Err(error) => Err(naming("list", &path, error)),
    }
}

type Entries = VecDeque<io::Result<DirEntry>>;

/// What is left of a listing.
enum Rest {
    Open(std::fs::ReadDir),
    Listing(JoinHandle<(Entries, Rest)>),
    End,
}

/// The entries of a directory, in no order, without `.` and `..`; see [`read_dir`]. It has the directory open, and at most 64
/// entries in memory. What is added or removed meanwhile may be listed or not.
///
/// It belongs to no worker. With the feature `futures` it is a `Stream`.
pub struct ReadDir {
    path: Arc<Path>,
    entries: Entries,
    rest: Rest,
}

impl ReadDir {
    /// The next entry; none at the end. Cancel safe: what was being listed is there for the next call.
    ///
    /// # Errors
    /// As readdir(3), naming the directory, or as lstat(2), naming the entry, where the file system doesn't tell its type
    /// otherwise. The listing goes on with what can still be listed.
    pub async fn next(&mut self) -> io::Result<Option<DirEntry>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for futures written by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Poll::Ready(entry.map(Some));
            }
            match std::mem::replace(&mut self.rest, Rest::End) {
                Rest::End => return Poll::Ready(Ok(None)),
                Rest::Open(listing) => {
                    let path = Arc::clone(&self.path);
                    self.rest = Rest::Listing(spawn_blocking(move || list(listing, path)));
                }
                Rest::Listing(mut call) => match Pin::new(&mut call).poll(cx) {
                    Poll::Ready(Ok((entries, rest))) => (self.entries, self.rest) = (entries, rest),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(naming("list", &self.path, io::Error::other(error)))),
                    Poll::Pending => {
                        self.rest = Rest::Listing(call);
                        return Poll::Pending;
                    }
                },
            }
        }
    }
}

/// Lists the next entries.
fn list(mut listing: std::fs::ReadDir, path: Arc<Path>) -> (Entries, Rest) {
    let mut entries = VecDeque::new();
    while entries.len() < BATCH {
        let Some(next) = listing.next() else { return (entries, Rest::End) };
        let entry = next.map_err(|error| naming("list", &path, error)).and_then(|entry| match entry.file_type() {
            Ok(kind) => Ok(Some(DirEntry {
                directory: Arc::clone(&path),
                name: entry.file_name(),
                kind,
                #[cfg(unix)]
                inode: std::os::unix::fs::DirEntryExt::ino(&entry),
            })),
            // Removed since it was listed: as if it had been before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(naming("ask about", &entry.path(), error)),
        });
        entries.extend(entry.transpose());
    }
    (entries, Rest::Open(listing))
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("path", &self.path).finish_non_exhaustive()
    }
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct DirEntry {
    directory: Arc<Path>,
    name: OsString,
    kind: FileType,
    #[cfg(unix)]
    pub(super) inode: u64,
}

impl DirEntry {
    /// The name in its directory.
    #[must_use]
    pub fn file_name(&self) -> &OsStr {
        &self.name
    }

    /// The name behind the path that [`read_dir`] was given.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// File, directory, symbolic link (which is not followed) or what else, as it was when it was listed.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        self.kind
    }

    /// As [`symlink_metadata`] of its path. Cancelling as there.
    ///
    /// # Errors
    /// As there: NotFound if it has been removed since.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        symlink_metadata(self.path()).await
    }
}

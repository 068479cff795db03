//! What is done to paths: renaming, removing, making, linking, asking.

use std::io;
use std::path::{Path, PathBuf};

use ostia_port::os::system_path;
use ostia_port::{Metadata, Op};

use crate::fs::calls::blocking;
use crate::fs::failure::{naming, naming_both};
use crate::fs::file::stated;
use crate::fs::options::open;
use crate::fs::system;
use crate::operation;

/// One closure on a thread, with a path of its own.
pub(super) async fn on_path<T, F>(doing: &'static str, path: &Path, work: F) -> io::Result<T>
where
    F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    let own = path.to_owned();
    blocking(move || work(&own)).await.map_err(|error| naming(doing, path, error))
}

/// As [`on_path`], with two.
pub(super) async fn on_paths<T, F>(doing: &'static str, path: &Path, to: &Path, work: F) -> io::Result<T>
where
    F: FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    let (own, own_to) = (path.to_owned(), to.to_owned());
    blocking(move || work(&own, &own_to)).await.map_err(|error| naming_both(doing, path, to, error))
}

/// Metadata of a path, symbolic links followed. Cancelled: nothing happened.
///
/// # Errors
/// As statx(2), naming the path; InvalidInput for a path with a NUL; outside of a runtime.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    status(path).await.map_err(|error| naming("ask about", path, error))
}

async fn status(path: &Path) -> io::Result<Metadata> {
    let path = system_path(path)?;
    let done = operation::post(Op::Statx { file: None, path: Some(path) })?.await?;
    done.result?;
    stated(done.payload)
}

/// Metadata of a path, which may be a symbolic link: that is not followed. Cancelled: nothing happened.
///
/// It uses a descriptor for as long as it takes (O_PATH).
///
/// # Errors
/// As openat2(2) and statx(2), naming the path; InvalidInput for a path with a NUL; outside of a runtime.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    let asked = async { open(None, path, system::to_ask()).await?.metadata().await };
    asked.await.map_err(|error| naming("ask about", path, error))
}

/// Whether there is something at a path, symbolic links followed: one that leads nowhere is nothing. What is true now may be
/// false when it is acted upon. Cancelled: nothing happened.
///
/// # Errors
/// As [`metadata`], where it can't be told: no permission to look.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Brings a directory to its device: what makes a rename, a new file or a removal in it durable (fsync(2)). Each directory is
/// synced for itself: for one that was made, its parent. Cancelled: it may have happened.
///
/// # Errors
/// As openat2(2) and fsync(2), naming the path: NotADirectory. Outside of a runtime.
pub async fn sync_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let synced = async {
        let directory = open(None, path, system::to_sync()).await?;
        if system::OPENS_FILES_TOO && !directory.metadata().await?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        directory.sync_all().await?;
        directory.close().await
    };
    synced.await.map_err(|error| naming("sync the directory", path, error))
}

/// Gives what is at `from` the name `to`, in the place of a file that has it, at once: others see the old or the new one, and
/// so will they after a crash, which of them only [`sync_dir`] decides. Both must be on one file system.
///
/// Cancelled: it may happen.
///
/// # Errors
/// As rename(2), naming both paths: CrossesDevices, DirectoryNotEmpty, IsADirectory.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    on_paths("rename", from.as_ref(), to.as_ref(), |from, to| std::fs::rename(from, to)).await
}

/// Copies a file's bytes and permissions to `to`, which is made or overwritten, within the kernel where that goes
/// (copy_file_range(2)); how many bytes. Not synced. Cancelled: it may have been copied in part, or goes on to the end.
///
/// # Errors
/// As open(2) and write(2), naming both paths: InvalidInput if `from` is no regular file.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    on_paths("copy", from.as_ref(), to.as_ref(), |from, to| std::fs::copy(from, to)).await
}

/// Gives a file another name, on the same file system. A symbolic link is not followed. Cancelled: it may happen.
///
/// # Errors
/// As link(2), naming both paths: AlreadyExists, CrossesDevices, PermissionDenied for a directory.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    on_paths("link", original.as_ref(), link.as_ref(), |original, link| std::fs::hard_link(original, link)).await
}

/// What a symbolic link says. Cancelled: nothing happened.
///
/// # Errors
/// As readlink(2), naming the path: InvalidInput if it is no symbolic link.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    on_path("read the link", path.as_ref(), |path| std::fs::read_link(path)).await
}

/// The absolute path without symbolic links, `.` and `..`; all of it must exist. Cancelled: nothing happened.
///
/// # Errors
/// As realpath(3), naming the path.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    on_path("resolve", path.as_ref(), |path| std::fs::canonicalize(path)).await
}

/// Makes a directory in one that exists, with permissions of 0o777 less the umask. Cancelled: it may happen.
///
/// # Errors
/// As mkdir(2), naming the path: AlreadyExists, NotFound.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("make the directory", path.as_ref(), |path| std::fs::create_dir(path)).await
}

/// Makes a directory and all that is missing above it, as [`create_dir`] does each; one that exists is as good. Cancelled: it
/// may happen, in part too.
///
/// # Errors
/// As mkdir(2), naming the path: NotADirectory or AlreadyExists where something else is in the way. Some may have been made.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("make the directory", path.as_ref(), |path| std::fs::create_dir_all(path)).await
}

/// Removes a name of a file, a symbolic link itself. The file goes with its last name, once nobody has it open. Cancelled: it
/// may happen.
///
/// # Errors
/// As unlink(2), naming the path: NotFound, IsADirectory.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("remove", path.as_ref(), |path| std::fs::remove_file(path)).await
}

/// Removes an empty directory. Cancelled: it may happen.
///
/// # Errors
/// As rmdir(2), naming the path: NotFound, NotADirectory, DirectoryNotEmpty.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("remove the directory", path.as_ref(), |path| std::fs::remove_dir(path)).await
}

/// Removes a directory with all that is in it; symbolic links are removed and not followed. Cancelled: it may go on to the end.
///
/// # Errors
/// As rmdir(2) and unlink(2), naming the directory: NotFound if there is none. Some may have been removed.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("remove the directory", path.as_ref(), |path| std::fs::remove_dir_all(path)).await
}

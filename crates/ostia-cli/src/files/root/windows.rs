//! Opens what lies beneath one directory, and nothing else, where paths are all there is to open by.
//!
//! A path is walked name by name from the root down. Each name is opened without following it where it leads, and its handle
//! is asked by which path Windows itself knows it: only the very path that was asked for will do. So a short alias, another
//! case, a name that was cut at its end are found out, and so is what has been put in the way between two steps. Where a name is
//! a symbolic link or a junction, its target is read and walked like the rest if it lies beneath the root, and is never opened
//! otherwise: a link to another machine makes no connection.
//!
//! Under Wine the links of the Unix side open as what they lead to, whose path is another: they are not followed.

use super::{Kind, OpenError, Opened, Wait};
use crate::files::Meta;
use crate::files::windows_names::may_name;
use ostia_port::os::{AsFd, BorrowedFd, final_path};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions, ReadDir};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

/// Whether a worker opens files itself: never, for nobody says when that would have to wait for a disk.
pub const IN_PLACE: bool = false;

/// Rights (winnt.h).
const FILE_LIST_DIRECTORY: u32 = 0x1;
const FILE_READ_ATTRIBUTES: u32 = 0x80;
const GENERIC_READ: u32 = 0x8000_0000;

/// What others may do with the same file meanwhile (winnt.h).
const FILE_SHARE_READ: u32 = 0x1;
const FILE_SHARE_WRITE: u32 = 0x2;
const FILE_SHARE_DELETE: u32 = 0x4;

/// How to open (winbase.h): directories too; links themselves; for I/O that a completion port hears of.
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const FILE_FLAG_OVERLAPPED: u32 = 0x4000_0000;

/// More links on one way are a loop, as they are for Linux.
const LINKS_MAX: u32 = 40;

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            // No such file, path, drive; a bad name, network path or network name; what was deleted and is still open somewhere;
            // a name too long; a file on the way; a link that can't be understood or leads in a circle.
            Some(2 | 3 | 15 | 53 | 67 | 123 | 161 | 206 | 267 | 303 | 681 | 1920 | 1921 | 4390..=4394) => OpenError::NotFound,
            // Wine says so of the metadata of a device, a FIFO, a socket.
            Some(87) => OpenError::NotFound,
            Some(5 | 1314) => OpenError::Forbidden,
            // Another program has it for itself.
            Some(32 | 33) => OpenError::WouldBlock,
            // Handles, memory, quota.
            Some(4 | 8 | 14 | 1450 | 1455 | 1816) => OpenError::Exhausted,
            _ => OpenError::Other(error),
        }
    }
}

/// The directory that is served. Shared by all workers and the blocking pool.
#[derive(Debug)]
pub struct Root {
    /// Held so that nobody can rename or remove it: its path is what everything is opened by.
    dir: File,
    /// As Windows knows it, `\\?\` in front, so that no name in it is read as anything else. That of a whole drive ends in a
    /// separator.
    path: OsString,
    /// The same without a separator at its end.
    base: OsString,
}

/// What lies at a path: that very name, not followed if it is a link.
#[derive(Debug)]
struct Found {
    path: OsString,
    file: File,
    meta: Metadata,
}

impl Root {
    /// Opens `dir`. It can't be renamed as long as it is the root.
    ///
    /// # Errors
    /// Absent, not a directory, not permitted; a volume that has neither a letter nor a folder.
    pub fn open(dir: &Path) -> io::Result<Root> {
        let dir = OpenOptions::new()
            .access_mode(FILE_READ_ATTRIBUTES | FILE_LIST_DIRECTORY)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
            .open(dir)?;
        if !dir.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let path = final_path(&dir)?.into_os_string();
        let trimmed = path.to_str().and_then(|text| text.strip_suffix('\\')).map(OsString::from);
        Ok(Root { dir, base: trimmed.unwrap_or_else(|| path.clone()), path })
    }

    /// The root's own handle.
    pub fn place(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The root's own state.
    ///
    /// # Errors
    /// When it can't be read any more.
    pub fn meta(&self) -> io::Result<Meta> {
        Meta::of(&self.dir)
    }

    /// Opens a canonical path (see [`canonical`](crate::files::path::canonical)), following links that stay beneath the root.
    ///
    /// # Errors
    /// [`OpenError`]; `WouldBlock` with [`Wait::Never`].
    pub fn find(&self, path: &[u8], wait: Wait) -> Result<Opened, OpenError> {
        if wait == Wait::Never {
            return Err(OpenError::WouldBlock);
        }
        let found = self.walk(path)?;
        if found.kind()? == Kind::Directory {
            let meta = Meta::of(&found.file)?;
            return Ok(Opened::Directory(found.file.into(), meta));
        }
        // The name may have come to mean something else: the handle that is read from has to answer for itself.
        let found = Found::at(found.path, GENERIC_READ, FILE_FLAG_OVERLAPPED)?;
        match found.kind()? {
            Kind::Directory => Err(OpenError::NotFound),
            Kind::File => {
                let meta = Meta::of(&found.file)?;
                Ok(Opened::File(found.file, meta))
            }
        }
    }

    /// Would open one name in a directory without waiting.
    ///
    /// # Errors
    /// Always `WouldBlock`: see [`IN_PLACE`].
    pub fn find_in(&self, _: BorrowedFd<'_>, _: &[u8], _: Wait) -> Result<Opened, OpenError> {
        Err(OpenError::WouldBlock)
    }

    /// The present state of what a canonical path names, following no link. This may wait for a disk, though hardly for what
    /// was looked at before.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn stat(&self, path: &[u8], _: Wait) -> Result<Meta, OpenError> {
        // One step is enough: with a link on the way, what is opened has another path.
        let found = Found::at(self.join(names(path)?), FILE_READ_ATTRIBUTES, 0)?;
        found.kind()?;
        Ok(Meta::of(&found.file)?)
    }

    /// As [`Root::stat`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn stat_without_descriptor(&self, path: &[u8]) -> Result<Meta, OpenError> {
        self.stat(path, Wait::Allowed)
    }

    /// Whether a canonical path leads to a file or a directory, following links that stay beneath the root, and its present
    /// state.
    ///
    /// # Errors
    /// [`OpenError`]; `NotFound` for all that is neither.
    pub fn kind(&self, path: &[u8], _: Wait) -> Result<(Kind, Meta), OpenError> {
        let found = self.walk(path)?;
        Ok((found.kind()?, Meta::of(&found.file)?))
    }

    /// Gives the names in a directory to `read`.
    ///
    /// # Errors
    /// [`OpenError`], `NotFound` when it isn't a directory (any more).
    pub fn read_dir<T>(&self, path: &[u8], read: impl FnOnce(ReadDir) -> io::Result<T>) -> Result<T, OpenError> {
        let found = self.walk(path)?;
        if found.kind()? != Kind::Directory {
            return Err(OpenError::NotFound);
        }
        // Names are read by the path once more. While this handle is open nobody renames the directory or one above it; and
        // that it has not been made a link meanwhile is seen afterwards.
        let share = FILE_SHARE_READ | FILE_SHARE_WRITE;
        let _held = Found::shared(found.path.clone(), FILE_READ_ATTRIBUTES | FILE_LIST_DIRECTORY, 0, share)?;
        let names = read(std::fs::read_dir(&found.path)?)?;
        match Found::at(found.path, FILE_READ_ATTRIBUTES, 0)?.kind()? {
            Kind::Directory => Ok(names),
            Kind::File => Err(OpenError::NotFound),
        }
    }

    /// Goes down the path, turning aside where a link leads.
    fn walk(&self, path: &[u8]) -> Result<Found, OpenError> {
        // What lies ahead, the nearest name last, and how far it has been walked.
        let mut ahead: Vec<OsString> = names(path)?.map(OsString::from).collect();
        ahead.reverse();
        let mut walked: Vec<OsString> = Vec::new();
        let mut links = 0;
        loop {
            walked.extend(ahead.pop());
            let found = Found::at(self.join(walked.iter()), FILE_READ_ATTRIBUTES, 0)?;
            if found.meta.file_type().is_symlink() {
                links += 1;
                if links > LINKS_MAX {
                    return Err(OpenError::NotFound);
                }
                walked.pop();
                let target = std::fs::read_link(&found.path)?;
                self.turn(&target, &mut walked, &mut ahead).ok_or(OpenError::NotFound)?;
            } else if ahead.is_empty() {
                return Ok(found);
            } else if !found.meta.is_dir() {
                return Err(OpenError::NotFound);
            }
        }
    }

    /// Puts a link's target ahead; `None` when it leads out of the root.
    fn turn(&self, target: &Path, walked: &mut Vec<OsString>, ahead: &mut Vec<OsString>) -> Option<()> {
        let inner = match target.has_root() || matches!(target.components().next(), Some(Component::Prefix(_))) {
            true => {
                walked.clear();
                plain(target.as_os_str())?.strip_prefix(plain(&self.path)?).ok()?.to_owned()
            }
            false => target.to_owned(),
        };
        // `..` takes back the name before it, link or not, as Windows has it.
        let mut names: Vec<OsString> = Vec::new();
        for component in inner.components() {
            match component {
                Component::Normal(name) if may_name(name.to_str()?.as_bytes()) => names.push(name.to_owned()),
                Component::CurDir => {}
                Component::ParentDir => drop(names.pop().or_else(|| walked.pop())?),
                _ => return None,
            }
        }
        ahead.extend(names.into_iter().rev());
        Some(())
    }

    fn join(&self, names: impl Iterator<Item = impl AsRef<OsStr>>) -> OsString {
        let mut path = self.base.clone();
        for name in names {
            path.push("\\");
            path.push(name);
        }
        if path == self.base { self.path.clone() } else { path }
    }
}

impl Found {
    /// Opens what lies at this path, which must be its own.
    fn at(path: OsString, access: u32, flags: u32) -> Result<Found, OpenError> {
        Found::shared(path, access, flags, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
    }

    fn shared(path: OsString, access: u32, flags: u32, share: u32) -> Result<Found, OpenError> {
        let file = OpenOptions::new()
            .access_mode(access)
            .share_mode(share)
            .custom_flags(flags | FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(&path)?;
        let meta = file.metadata()?;
        match final_path(&file)?.into_os_string() == path {
            true => Ok(Found { path, file, meta }),
            false => Err(OpenError::NotFound),
        }
    }

    fn kind(&self) -> Result<Kind, OpenError> {
        match self.meta.file_type() {
            kind if kind.is_dir() => Ok(Kind::Directory),
            kind if kind.is_file() => Ok(Kind::File),
            _ => Err(OpenError::NotFound),
        }
    }
}

/// The names of a canonical path, each of which may name something.
fn names(path: &[u8]) -> Result<impl Iterator<Item = &str>, OpenError> {
    let text = std::str::from_utf8(path).map_err(|_| OpenError::NotFound)?;
    let names = text.split('/').filter(|name| !name.is_empty());
    match names.clone().all(|name| may_name(name.as_bytes())) {
        true => Ok(names),
        false => Err(OpenError::NotFound),
    }
}

/// A path without `\\?\` in front, as targets of links are written.
fn plain(path: &OsStr) -> Option<PathBuf> {
    let text = path.to_str()?;
    Some(match (text.strip_prefix(r"\\?\UNC\"), text.strip_prefix(r"\\?\")) {
        (Some(share), _) => format!(r"\\{share}").into(),
        (None, Some(rest)) => rest.into(),
        (None, None) => text.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::windows::fs::FileExt as _;
    use std::os::windows::fs::symlink_dir;

    struct World {
        dir: tempfile::TempDir,
        root: Root,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join("root").join(name);
        std::fs::create_dir_all(at("Sub/deep")).unwrap();
        std::fs::write(at("file.txt"), "inside").unwrap();
        std::fs::write(at("Sub/deep/a rather long name.text"), "deep").unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        World { dir, root }
    }

    /// Reports that a test can't run here.
    fn skip(name: &str, reason: &str) {
        let line = format!("SKIPPED {name}: {reason}\n");
        eprint!("{line}");
        if let Some(path) = std::env::var_os("OSTIA_SKIPPED") {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped tests can be written");
        }
    }

    impl World {
        fn get(&self, path: &str) -> Result<String, OpenError> {
            match self.root.find(path.as_bytes(), Wait::Allowed)? {
                Opened::Directory(..) => Ok("directory".into()),
                Opened::File(file, meta) => {
                    let mut bytes = vec![0; 100];
                    let length = file.seek_read(&mut bytes, 0).unwrap();
                    assert_eq!(length as u64, meta.size);
                    assert_eq!(self.root.stat(path.as_bytes(), Wait::Never).unwrap(), meta);
                    Ok(String::from_utf8(bytes[..length].to_vec()).unwrap())
                }
            }
        }

        fn is_nothing(&self, path: &str) -> bool {
            matches!(self.get(path), Err(OpenError::NotFound))
                && matches!(self.root.stat(path.as_bytes(), Wait::Allowed), Err(OpenError::NotFound))
                && self.root.kind(path.as_bytes(), Wait::Allowed).is_err()
        }
    }

    #[test]
    fn names_lead_to_files_as_their_directories_have_them() {
        let world = world();
        assert_eq!(world.get("/file.txt").unwrap(), "inside");
        assert_eq!(world.get("/Sub/deep/a rather long name.text").unwrap(), "deep");
        for path in ["/", "/Sub", "/Sub/", "/Sub/deep/"] {
            assert_eq!(world.get(path).unwrap(), "directory", "{path}");
        }
        for path in [
            "/FILE.TXT",
            "/File.txt",
            "/sub/deep/a rather long name.text",
            "/Sub/DEEP/",
            "/nothing",
            "/file.txt/x",
            "/file.txt.",
            "/file.txt ",
            "/file.txt::$DATA",
            "/C:/Windows",
            "/NUL",
            "/Sub\\deep",
            "/../secret",
            "/Sub/../file.txt",
            "/./file.txt",
        ] {
            assert!(world.is_nothing(path), "{path}");
        }
        assert!(matches!(world.root.find(b"/\xff", Wait::Allowed), Err(OpenError::NotFound)));
    }

    #[test]
    fn short_aliases_are_found_out() {
        let world = world();
        // As Windows and as Wine make them up, where they do at all.
        for path in ["/Sub/deep/ARATHE~1.TEX", "/Sub/deep/A_RA~1.TEX", "/FILE~1.TXT"] {
            assert!(world.is_nothing(path), "{path}");
        }
        // A long name of that form is one like any other.
        std::fs::write(world.dir.path().join("root").join("FILE~1.TXT"), "long").unwrap();
        assert_eq!(world.get("/FILE~1.TXT").unwrap(), "long");
    }

    #[test]
    fn nothing_is_opened_on_a_worker() {
        let world = world();
        assert!(matches!(world.root.find(b"/file.txt", Wait::Never), Err(OpenError::WouldBlock)));
        assert!(matches!(world.root.find_in(world.root.place(), b"file.txt", Wait::Never), Err(OpenError::WouldBlock)));
    }

    #[test]
    fn what_was_read_can_be_replaced_and_the_root_can_not() {
        let world = world();
        let path = world.dir.path().join("root").join("file.txt");
        assert_eq!(world.get("/file.txt").unwrap(), "inside");
        std::fs::write(path.with_extension("new"), "new").unwrap();
        std::fs::rename(path.with_extension("new"), &path).expect("nothing is held open");
        assert_eq!(world.get("/file.txt").unwrap(), "new");
        let elsewhere = world.dir.path().join("elsewhere");
        assert!(std::fs::rename(world.dir.path().join("root"), elsewhere).is_err());
    }

    #[test]
    fn names_are_read_from_directories_only() {
        let world = world();
        let count = |path: &str| world.root.read_dir(path.as_bytes(), |names| Ok(names.count()));
        assert_eq!((count("/").unwrap(), count("/Sub/").unwrap()), (2, 1));
        for path in ["/file.txt", "/SUB/", "/gone/"] {
            assert!(matches!(count(path), Err(OpenError::NotFound)), "{path}");
        }
    }

    #[test]
    fn a_whole_drive_can_be_the_root() {
        let drive = std::env::temp_dir().ancestors().last().unwrap().to_owned();
        let root = Root::open(&drive).unwrap();
        assert!(matches!(root.find(b"/", Wait::Allowed), Ok(Opened::Directory(..))));
        assert!(matches!(root.find(b"/no such name here", Wait::Allowed), Err(OpenError::NotFound)));
    }

    #[test]
    fn the_root_must_be_a_directory() {
        let world = world();
        let kind = |name: &str| Root::open(&world.dir.path().join(name)).unwrap_err().kind();
        assert_eq!((kind("secret"), kind("missing")), (io::ErrorKind::NotADirectory, io::ErrorKind::NotFound));
    }

    #[test]
    fn links_lead_only_within() {
        let world = world();
        let at = |name: &str| world.dir.path().join("root").join(name);
        // Wine says that it has made one.
        let made = symlink_dir("Sub", at("link")).and_then(|()| std::fs::symlink_metadata(at("link")));
        if !made.as_ref().is_ok_and(|meta| meta.file_type().is_symlink()) {
            return skip("links_lead_only_within", &format!("no symbolic link can be made: {made:?}"));
        }
        symlink_dir(r"..\Sub\deep", at(r"Sub\up")).unwrap();
        symlink_dir(at("Sub"), at("absolute")).unwrap();
        symlink_dir("loop", at("loop")).unwrap();
        symlink_dir("..", at("out")).unwrap();
        symlink_dir(world.dir.path(), at("far")).unwrap();
        for path in
            ["/link/deep/a rather long name.text", "/Sub/up/a rather long name.text", "/absolute/deep/a rather long name.text"]
        {
            assert_eq!(world.get(path).unwrap(), "deep", "{path}");
        }
        for path in ["/loop", "/out", "/out/secret", "/far/secret"] {
            assert!(world.is_nothing(path), "{path}");
        }
    }

    #[test]
    fn a_link_turns_aside_only_beneath_the_root() {
        let world = world();
        let turned = |target: &str, from: &[&str]| {
            let mut walked: Vec<OsString> = from.iter().map(OsString::from).collect();
            let mut ahead = vec![OsString::from("rest")];
            world.root.turn(Path::new(target), &mut walked, &mut ahead)?;
            walked.extend(ahead.into_iter().rev());
            Some(walked.join(OsStr::new("/")).into_string().unwrap())
        };
        let base = plain(&world.root.base).unwrap();
        let inside = |name: &str| base.join(name).to_str().unwrap().to_owned();
        for (target, from, way) in [
            ("x", &["a"][..], "a/x/rest"),
            (r"x\y", &[], "x/y/rest"),
            (r"..\x", &["a", "b"], "a/x/rest"),
            (r".\x\..\y", &["a"], "a/y/rest"),
            (r"..\..", &["a", "b"], "rest"),
            (&inside(r"x\y"), &["a"], "x/y/rest"),
            (&format!(r"\\?\{}", inside("x")), &["a"], "x/rest"),
        ] {
            assert_eq!(turned(target, from).as_deref(), Some(way), "{target}");
        }
        let sibling = format!("{}x", base.display());
        let parent = base.parent().unwrap().to_str().unwrap().to_owned();
        for target in [
            "..",
            r"x\..\..",
            r"..\x",
            r"\x",
            "C:x",
            r"C:\",
            r"\\server\share\x",
            r"\\?\UNC\server\share\x",
            r"\\.\NUL",
            r"\\?\pipe\x",
            "NUL",
            "file:stream",
            "x.",
            &sibling,
            &parent,
        ] {
            assert_eq!(turned(target, &[]), None, "{target}");
        }
    }

    #[test]
    fn paths_lose_what_only_windows_itself_writes() {
        for (path, without) in [
            (r"\\?\C:\x", r"C:\x"),
            (r"\\?\UNC\server\share\x", r"\\server\share\x"),
            (r"C:\x", r"C:\x"),
            (r"\\server\share", r"\\server\share"),
        ] {
            assert_eq!(plain(OsStr::new(path)).as_deref(), Some(Path::new(without)));
        }
    }
}

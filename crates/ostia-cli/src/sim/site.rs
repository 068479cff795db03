//! The folders that are served in a scenario: the machine's own, or made up; and what clients compare with.

use crate::errors::Failure;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The most that made-up files may have together.
const MOST: u64 = 1 << 30;
/// The longest file that a client compares with: it is held in memory.
const LONGEST: u64 = 1 << 30;

/// The longest name that file systems take.
const LONGEST_NAME: usize = 255;

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Where it is.
    pub(super) folder: PathBuf,
    /// It goes when nobody needs it any more.
    _made: Option<Arc<TempDir>>,
}

impl Site {
    /// A folder of the machine.
    pub(super) fn of(folder: PathBuf) -> Result<Site, Failure> {
        match folder.is_dir() {
            true => Ok(Site { folder, _made: None }),
            false => Err(Failure::usage(
                format!("there is no folder {} to be served", folder.display()),
                "name one; what is no full path is seen from the scenario's own folder",
            )),
        }
    }

    /// A folder of files of these sizes, whose content is a function of their names.
    pub(super) fn made_up(files: &BTreeMap<String, u64>) -> Result<Site, Failure> {
        let total = files.values().fold(0u64, |sum, size| sum.saturating_add(*size));
        if files.is_empty() || total > MOST {
            let what = format!("{} files of {total} bytes together can't be made up", files.len());
            return Err(Failure::usage(what, "name some, of 1 GiB at most together"));
        }
        let failed = |error: io::Error| {
            Failure::new(
                format!("the files to be served can't be written: {error}"),
                "make room in the folder for temporary files",
            )
        };
        let folder = TempDir::with_prefix("ostia-sim-").map_err(failed)?;
        #[cfg(unix)]
        super::interrupted::removes(folder.path()).map_err(failed)?;
        for (name, size) in files {
            let plain = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
            // Those that begin with a dot are not served.
            if !plain
                || name.len() > LONGEST_NAME
                || name.starts_with('.')
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            {
                return Err(Failure::usage(
                    format!("'{name}' can't be a file's name here"),
                    "use up to 255 letters, digits, '-', '_' and '.', this one not at the beginning",
                ));
            }
            write(&folder.path().join(name), name, *size).map_err(failed)?;
        }
        Ok(Site { folder: folder.path().to_owned(), _made: Some(Arc::new(folder)) })
    }

    /// The content of the file that a path of a URL names.
    pub(super) fn content(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let inside = path.trim_start_matches('/');
        let inside = if inside.is_empty() || inside.ends_with('/') { format!("{inside}index.html") } else { inside.to_owned() };
        let plain = Path::new(&inside).components().all(|part| matches!(part, Component::Normal(_)));
        let file = self.folder.join(&inside);
        let wrong = |why: String| {
            Failure::usage(
                format!("the file behind '{path}' can't be compared with: {why}"),
                "name a file that is served, as it is written there",
            )
        };
        if !plain {
            return Err(wrong("it lies outside of the folder".to_owned()));
        }
        match std::fs::metadata(&file) {
            Ok(meta) if !meta.is_file() => Err(wrong("it is no file".to_owned())),
            Ok(meta) if meta.len() > LONGEST => Err(wrong("it is longer than 1 GiB".to_owned())),
            Ok(_) => std::fs::read(&file).map_err(|error| wrong(error.to_string())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }
}

fn write(path: &Path, name: &str, size: u64) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    // Any number but 0, from the name (FNV-1a); then Marsaglia's xorshift.
    let mut state =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)) | 1;
    let mut left = size;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let some = left.min(8) as usize;
        file.write_all(&bytes[..some])?;
        left -= some as u64;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_files_are_the_same_each_time() {
        let files = BTreeMap::from([("a.bin".to_owned(), 1001), ("b.bin".to_owned(), 1001), ("index.html".to_owned(), 0)]);
        let (one, other) = (Site::made_up(&files).unwrap(), Site::made_up(&files).unwrap());
        let a = one.content("/a.bin").unwrap();
        assert_eq!((a.len(), &a), (1001, &other.content("/a.bin").unwrap()));
        assert_ne!(a, one.content("/b.bin").unwrap());
        assert_eq!(one.content("/").unwrap(), b"");
        assert!(one.content("/../x").is_err() && one.content("/missing").is_err());
        let folder = one.folder.clone();
        drop(one);
        assert!(!folder.exists());
    }

    #[test]
    fn names_and_sizes_have_bounds() {
        let long = "a".repeat(256);
        for (name, size) in [("../a", 1), ("a/b", 1), ("", 1), ("a b", 1), (".a", 1), (&long, 1), ("a", MOST + 1)] {
            assert!(Site::made_up(&BTreeMap::from([(name.to_owned(), size)])).is_err(), "{name} {size}");
        }
        assert!(Site::made_up(&BTreeMap::new()).is_err());
    }
}

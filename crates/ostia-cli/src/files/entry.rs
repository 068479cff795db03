//! A file as it is served: its metadata and validators, a rendered head, and its content when small.

use super::root::{OpenError, Opened, Root, Wait};
use super::{Meta, system};
use crate::http::conditional::Validators;
use crate::http::response::{Clock, Head, Persistence, Status, patch_date};
use crate::mime;
use std::cell::{OnceCell, RefCell};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Files up to this size, in bytes, are served from memory.
pub const SMALL: u64 = 16 << 10;

/// A change younger than this, in milliseconds, may be followed by another that no time stamp
/// tells from it: FAT counts in steps of two seconds. Such content is read anew each time.
pub const YOUNG_MS: i64 = 2_000;

/// Where a file's bytes come from.
#[derive(Debug)]
pub enum Content {
    /// All of them, as they were in one state of the file.
    Bytes(Box<[u8]>),
    /// The file, open for reading.
    File(File),
}

/// What a canonical path turned out to be when it was looked up without the cache.
#[derive(Debug)]
pub enum Fetched {
    /// A file; for a path that ends in a slash the directory's `index.html`.
    File(Meta, Content),
    /// A directory whose path lacks the final slash.
    Redirect,
    /// A directory without `index.html`.
    Listing,
}

/// Looks a canonical path up beneath the root. Can run on any thread.
///
/// # Errors
/// [`OpenError`]; `WouldBlock` only with [`Wait::Never`].
pub fn fetch(root: &Root, path: &[u8], wait: Wait) -> Result<Fetched, OpenError> {
    let slash = path.ends_with(b"/");
    match root.find(path, wait)? {
        Opened::File(..) if slash => Err(OpenError::NotFound),
        Opened::File(file, meta) => load(file, meta, wait).map(|(meta, content)| Fetched::File(meta, content)),
        Opened::Directory(..) if !slash => Ok(Fetched::Redirect),
        Opened::Directory(..) => match root.find(&[path, b"index.html"].concat(), wait) {
            Ok(Opened::File(file, meta)) => load(file, meta, wait).map(|(meta, content)| Fetched::File(meta, content)),
            Ok(Opened::Directory(..)) | Err(OpenError::NotFound) => Ok(Fetched::Listing),
            Err(error) => Err(error),
        },
    }
}

/// Whether `meta` shows a change so recent that content read now can't be told from later content.
/// A time far in the future can, for the next change will show another.
pub fn is_young(meta: &Meta, now_ms: i64) -> bool {
    let age = now_ms.saturating_sub(meta.mtime.saturating_mul(1000));
    age.unsigned_abs() < YOUNG_MS.unsigned_abs()
}

/// Reads a small file whole, or keeps a large one open. The bytes are of one state of the file: its
/// metadata are the same before and after, else it is read again, and in the end kept open.
///
/// # Errors
/// [`OpenError`]; `WouldBlock` only with [`Wait::Never`].
pub fn load(file: File, mut meta: Meta, wait: Wait) -> Result<(Meta, Content), OpenError> {
    for _ in 0..3 {
        if meta.size > SMALL {
            break;
        }
        let Some(bytes) = system::read_all(&file, meta.size as usize, wait)? else {
            break;
        };
        let after = Meta::of(&file)?;
        if after == meta && bytes.len() as u64 == meta.size {
            return Ok((meta, Content::Bytes(bytes.into_boxed_slice())));
        }
        meta = after;
    }
    Ok((meta, Content::File(file)))
}

/// An open file that becomes the worker's port's when it is first sent.
#[derive(Debug)]
pub struct OpenFile {
    opened: RefCell<Option<File>>,
    adopted: OnceCell<ostia::fs::File>,
}

impl OpenFile {
    fn new(file: File) -> OpenFile {
        OpenFile { opened: RefCell::new(Some(file)), adopted: OnceCell::new() }
    }

    /// The file for operations on this worker.
    ///
    /// # Errors
    /// Outside of a runtime; the file is closed then.
    pub fn adopted(&self) -> io::Result<&ostia::fs::File> {
        let opened = self.opened.take();
        if let Some(file) = opened {
            let file = ostia::fs::File::from_std(file)?;
            return Ok(self.adopted.get_or_init(|| file));
        }
        self.adopted.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Reads a part of a file that has not been adopted.
    #[cfg(test)]
    pub fn read(&self, range: std::ops::Range<u64>) -> Vec<u8> {
        let file = self.opened.take().expect("not adopted");
        let mut part = vec![0; (range.end - range.start) as usize];
        let mut read = 0;
        while let Ok(n @ 1..) = system::read_at(&file, &mut part[read..], range.start + read as u64) {
            read += n;
        }
        part.truncate(read);
        self.opened.replace(Some(file));
        part
    }
}

/// One state of a file, ready to be served.
#[derive(Debug)]
pub struct Entry {
    /// The state.
    pub meta: Meta,
    /// Its tag and date.
    pub validators: Validators,
    /// Its media type.
    pub content_type: Box<str>,
    /// The open file; `None` when the content is held in memory.
    pub file: Option<OpenFile>,
    whole: RefCell<Whole>,
}

/// The head of a 200 on a kept connection, with the content after it when that is in memory.
#[derive(Debug)]
struct Whole {
    bytes: Arc<[u8]>,
    head: usize,
    second: i64,
}

impl Entry {
    /// Prepares a file of this name to be served, which is shown with these validators.
    pub fn new(name: &[u8], meta: Meta, validators: Validators, content: Content, clock: &Clock) -> Entry {
        let content_type = mime::content_type(name).into_boxed_str();
        let mut bytes = Vec::with_capacity(512);
        let head = Head::new(&mut bytes, Status::Ok, clock, Persistence::Keep);
        describe(head, &content_type, &validators).length(meta.size).end();
        let head = bytes.len();
        let file = match content {
            Content::Bytes(content) => {
                bytes.extend_from_slice(&content);
                None
            }
            Content::File(file) => Some(OpenFile::new(file)),
        };
        let whole = Whole { bytes: bytes.into(), head, second: clock.seconds() };
        Entry { meta, validators, content_type, file, whole: RefCell::new(whole) }
    }

    /// The fields that 200 and 206 share.
    pub fn describe<'a>(&self, head: Head<'a>) -> Head<'a> {
        describe(head, &self.content_type, &self.validators)
    }

    /// The fields that a 304 repeats (RFC 9110 section 15.4.5).
    pub fn identify<'a>(&self, head: Head<'a>) -> Head<'a> {
        identify(head, &self.validators)
    }

    /// The whole answer to a plain GET on a kept connection: head and, when it is in memory,
    /// content. Shared, not copied; the date is brought up to the second in place while nobody
    /// else holds the bytes.
    pub fn whole(&self, clock: &Clock) -> Arc<[u8]> {
        let mut whole = self.whole.borrow_mut();
        if whole.second != clock.seconds() {
            if Arc::get_mut(&mut whole.bytes).is_none() {
                whole.bytes = Arc::from(&whole.bytes[..]);
            }
            if let Some(bytes) = Arc::get_mut(&mut whole.bytes) {
                patch_date(bytes, Status::Ok, clock);
            }
            whole.second = clock.seconds();
        }
        whole.bytes.clone()
    }

    /// Appends the head of [`Entry::whole`] alone: the answer to a plain HEAD.
    pub fn append_head(&self, clock: &Clock, out: &mut Vec<u8>) {
        let bytes = self.whole(clock);
        out.extend_from_slice(&bytes[..self.whole.borrow().head]);
    }

    /// Appends a part of the content that is in memory; nothing when the file is open instead.
    pub fn append(&self, range: std::ops::Range<u64>, out: &mut Vec<u8>) {
        let whole = self.whole.borrow();
        let content = &whole.bytes[whole.head..];
        if let Some(part) = content.get(range.start as usize..range.end as usize) {
            out.extend_from_slice(part);
        }
    }
}

fn describe<'a>(head: Head<'a>, content_type: &str, validators: &Validators) -> Head<'a> {
    let head = head.field("Content-Type", content_type.as_bytes());
    identify(head.field("Accept-Ranges", b"bytes"), validators)
}

fn identify<'a>(head: Head<'a>, validators: &Validators) -> Head<'a> {
    // A browser may keep a copy, and asks each time whether it is current.
    let head = head.field("ETag", validators.tag()).field("Cache-Control", b"no-cache");
    match validators.last_modified() {
        Some(date) => head.field("Last-Modified", date),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::root::IN_PLACE;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    fn now_ms() -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
    }

    fn write_old(path: &std::path::Path, content: &[u8]) {
        std::fs::write(path, content).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }

    fn fetched(root: &Root, path: &str, wait: Wait) -> Result<Fetched, OpenError> {
        fetch(root, path.as_bytes(), wait)
    }

    #[test]
    fn what_a_path_is_depends_on_its_slash() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("with")).unwrap();
        std::fs::create_dir_all(dir.path().join("without/index.html")).unwrap();
        write_old(&dir.path().join("with/index.html"), b"<p>");
        let root = Root::open(dir.path()).unwrap();
        assert!(matches!(fetched(&root, "/with", Wait::Allowed), Ok(Fetched::Redirect)));
        assert!(matches!(fetched(&root, "/with/", Wait::Allowed), Ok(Fetched::File(..))));
        assert!(matches!(fetched(&root, "/without/", Wait::Allowed), Ok(Fetched::Listing)));
        assert!(matches!(fetched(&root, "/", Wait::Allowed), Ok(Fetched::Listing)));
        assert!(matches!(fetched(&root, "/with/index.html/", Wait::Allowed), Err(OpenError::NotFound)));
        assert!(matches!(fetched(&root, "/gone", Wait::Allowed), Err(OpenError::NotFound)));
    }

    #[test]
    fn small_files_are_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        write_old(&dir.path().join("small"), &[7; SMALL as usize]);
        write_old(&dir.path().join("large"), &[7; SMALL as usize + 1]);
        write_old(&dir.path().join("empty"), b"");
        std::fs::write(dir.path().join("young"), b"x").unwrap();
        let waits: &[Wait] = if IN_PLACE { &[Wait::Allowed, Wait::Never] } else { &[Wait::Allowed] };
        for &wait in waits {
            match fetched(&root, "/small", wait).unwrap() {
                Fetched::File(meta, Content::Bytes(bytes)) => {
                    assert_eq!((meta.size, &bytes[..]), (SMALL, &[7; SMALL as usize][..]));
                }
                other => panic!("{other:?}"),
            }
            assert!(matches!(fetched(&root, "/large", wait), Ok(Fetched::File(_, Content::File(_)))));
            assert!(matches!(fetched(&root, "/empty", wait), Ok(Fetched::File(_, Content::Bytes(b))) if b.is_empty()));
            assert!(
                matches!(fetched(&root, "/young", wait), Ok(Fetched::File(meta, Content::Bytes(_))) if is_young(&meta, now_ms()))
            );
        }
    }

    #[test]
    fn a_file_that_changed_since_it_was_measured_is_measured_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_old(&path, b"short");
        let file = File::open(&path).unwrap();
        let meta = Meta::of(&file).unwrap();
        write_old(&path, b"much longer now");
        let (meta, content) = load(file, meta, Wait::Allowed).unwrap();
        match content {
            Content::Bytes(bytes) => assert_eq!(bytes.len() as u64, meta.size),
            Content::File(_) => assert_eq!(meta.size, 15),
        }
    }

    #[test]
    fn the_whole_answer_is_shared_and_its_date_moves() {
        let mut clock = Clock::default();
        clock.set(784_111_777);
        let meta = Meta { dev: 1, ino: 2, size: 2, mtime: 700_000_000, mtime_nsec: 0, ctime: 0, ctime_nsec: 0 };
        let entry = Entry::new(b"a.txt", meta, Validators::new(&meta, 784_111_777_000), Content::Bytes((*b"hi").into()), &clock);
        let first = entry.whole(&clock);
        assert!(first.ends_with(b"\r\n\r\nhi"));
        assert!(Arc::ptr_eq(&first, &entry.whole(&clock)));
        clock.set(784_111_778);
        let second = entry.whole(&clock);
        assert!(!Arc::ptr_eq(&first, &second), "bytes that are being sent must not change");
        let has = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
        assert!(has(&first, "08:49:37 GMT\r\nX-") && has(&second, "08:49:38 GMT\r\nX-"));
        let before = second.as_ptr();
        drop((first, second));
        clock.set(784_111_779);
        let third = entry.whole(&clock);
        assert_eq!(third.as_ptr(), before, "patched in place when unshared");
        assert!(has(&third, "08:49:39 GMT\r\nX-"));
        assert!(has(&third, "Content-Type: text/plain; charset=utf-8\r\n") && has(&third, "Content-Length: 2\r\n"));
        let mut out = Vec::new();
        entry.append(1..2, &mut out);
        assert_eq!(out, b"i");
    }
}

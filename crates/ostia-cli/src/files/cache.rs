//! The open files of one worker: found by a request's path in one look-up, and never stale.
//!
//! Before the first look-up of a turn the worker calls [`Cache::refresh`], which drains inotify:
//! whatever was written, truncated, renamed or removed before a request was sent has been heard of
//! by then. What inotify doesn't tell (see [`super::watch`]) is found by comparing metadata, at
//! the latest after the time set with `--revalidate`; without inotify, at every request.
//!
//! Where a worker opens nothing itself ([`IN_PLACE`]), the blocking pool does. What came of it is
//! held if it is in memory, and compared with the disk in every turn that asks for it. A file held
//! open would be in the way of those who replace it.

use super::Meta;
use super::entry::{Content, Entry, Fetched, fetch, is_young, load};
use super::path::{PathError, canonical};
use super::root::{IN_PLACE, OpenError, Opened, Root, Wait};
use super::tree::{Dir, Tree};
use super::watch::{Change, Watch, Watcher};
use crate::http::conditional::Validators;
use crate::http::response::{Clock, Status};
use lru::LruCache;
use ostia_port::os::OwnedFd;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How a cache is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most files held; each may hold a descriptor, or [`SMALL`](super::entry::SMALL) bytes.
    pub capacity: NonZeroUsize,
    /// Longest time an entry is believed without comparing its metadata.
    pub revalidate: Duration,
    /// Whether names that begin with a dot are served.
    pub hidden: bool,
    /// For simulations: what lies on a disk is read at once, whether it is cached or not, and answers show nothing of files that
    /// would differ from copy to copy (inode, time of change).
    pub simulated: bool,
}

impl Settings {
    /// Whether a look-up may wait for a disk.
    fn wait(&self) -> Wait {
        if self.simulated { Wait::Allowed } else { Wait::Never }
    }

    /// One state of a file, as it is served.
    fn entry(&self, name: &[u8], meta: Meta, content: Content, clock: &Clock, now_ms: i64) -> Entry {
        let shown = if self.simulated { Meta { ino: 0, mtime: 0, mtime_nsec: 0, ..meta } } else { meta };
        Entry::new(name, meta, Validators::new(&shown, now_ms), content, clock)
    }
}

/// What a request's path is.
#[derive(Debug)]
pub enum Look {
    /// A file to be served.
    File(Rc<Entry>),
    /// A directory, asked for without its final slash: redirect to [`Cache::path`] with one.
    Redirect,
    /// A directory without `index.html`: list [`Cache::path`].
    Listing,
    /// The answer lies on a disk: [`fetch`] [`Cache::path`] on the blocking pool.
    Cold,
    /// Nothing that can be served.
    Error(Status),
}

#[derive(Debug)]
struct Slot {
    entry: Rc<Entry>,
    dir: Rc<Dir>,
    /// `None` when the file's own inode could not be watched.
    watch: Option<Watch>,
    checked: Instant,
}

/// Counters of one cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Look-ups answered from the cache.
    pub hits: u64,
    /// Look-ups that had to open the file.
    pub misses: u64,
    /// Entries dropped because the file changed.
    pub changed: u64,
}

/// The cache of one worker.
#[derive(Debug)]
pub struct Cache {
    root: Arc<Root>,
    settings: Settings,
    watcher: Option<Rc<Watcher>>,
    tree: Tree,
    files: LruCache<Rc<[u8]>, Slot>,
    path: Vec<u8>,
    /// Descriptors kept back for opening files when connections have taken all others.
    spare: Vec<OwnedFd>,
    counters: Counters,
}

/// How many descriptors are kept back: enough to open a file in a new directory, and for some files
/// too large to be held in memory.
const SPARE: usize = 8;

impl Cache {
    /// An empty cache over `root`.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new(root: Arc<Root>, settings: Settings, now: Instant) -> std::io::Result<Cache> {
        let watcher = if settings.simulated { None } else { Watcher::new() };
        Self::with_watcher(root, settings, now, watcher)
    }

    fn with_watcher(root: Arc<Root>, settings: Settings, now: Instant, watcher: Option<Rc<Watcher>>) -> std::io::Result<Cache> {
        let tree = Tree::new(&root, watcher.clone(), settings.revalidate, settings.wait(), now)?;
        let files = LruCache::new(settings.capacity);
        let mut cache =
            Cache { root, settings, watcher, tree, files, path: Vec::new(), spare: Vec::new(), counters: Counters::default() };
        cache.keep_spare();
        Ok(cache)
    }

    /// The canonical path of the last look-up that was not answered with a file from the cache.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The root, for work on the blocking pool.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// What the cache has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether changes are heard of; without it every hit is checked.
    pub fn is_watched(&self) -> bool {
        self.tree.is_watched()
    }

    /// Drops what has changed. To be called before the first look-up that serves bytes received
    /// since the last call.
    pub fn refresh(&mut self) {
        let Some(watcher) = self.watcher.clone() else {
            return;
        };
        watcher.drain(|change| self.apply(change));
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Everything => {
                self.counters.changed += self.files.len() as u64;
                self.files.clear();
                self.tree.clear();
            }
            Change::File(key) => self.forget(&key),
            Change::Directory(dir) => dir.expire(),
            Change::Name(dir, name) => {
                dir.expire_child(&name);
                self.forget(&[dir.path(), &name].concat());
                if *name == *b"index.html" {
                    self.forget(dir.path());
                }
            }
        }
    }

    fn forget(&mut self, key: &[u8]) {
        self.counters.changed += u64::from(self.files.pop(key).is_some());
    }

    /// Looks up the path of a request, as it was sent. Never waits for a disk.
    pub fn look(&mut self, raw: &[u8], now: Instant, clock: &Clock) -> Look {
        // Most paths are canonical as they are sent.
        if let Some(entry) = self.hit(raw, now) {
            return Look::File(entry);
        }
        let mut path = std::mem::take(&mut self.path);
        let decoded = canonical(raw, self.settings.hidden, &mut path);
        let look = match decoded {
            Err(PathError::Malformed) => Look::Error(Status::BadRequest),
            Err(PathError::Nothing) => Look::Error(Status::NotFound),
            Ok(()) if path != raw => match self.hit(&path, now) {
                Some(entry) => Look::File(entry),
                None => self.miss(&path, now, clock),
            },
            Ok(()) => self.miss(&path, now, clock),
        };
        self.path = path;
        look
    }

    fn hit(&mut self, key: &[u8], now: Instant) -> Option<Rc<Entry>> {
        let slot = self.files.get_mut(key)?;
        let told = slot.watch.is_some() && slot.dir.is_watched();
        let recent = told && now.saturating_duration_since(slot.checked) < self.settings.revalidate;
        if slot.dir.is_fresh() {
            // What was found in this turn is as new as its requests, all of which were received before.
            let found_now = !IN_PLACE && slot.checked == now;
            if recent || found_now || still_same(&self.root, key, slot, self.settings.wait()) {
                if !recent {
                    slot.checked = now;
                }
                self.counters.hits += 1;
                return Some(slot.entry.clone());
            }
            // No event told of it, so the directories above may have changed unheard as well.
            slot.dir.expire_upwards();
        }
        self.forget(key);
        None
    }

    fn miss(&mut self, path: &[u8], now: Instant, clock: &Clock) -> Look {
        self.counters.misses += 1;
        let mut result = self.open(path, now, clock);
        if let Err(OpenError::Exhausted) = result {
            if self.spare.is_empty() {
                self.close_one();
            }
            self.spare.clear();
            result = self.open(path, now, clock);
        }
        self.keep_spare();
        match result {
            Ok(look) => look,
            Err(OpenError::WouldBlock) => Look::Cold,
            Err(error) => Look::Error(status_of(&error)),
        }
    }

    /// Closes the file that was not asked for longest, of those that are held open.
    fn close_one(&mut self) {
        let oldest = self.files.iter().rev().find(|(_, slot)| slot.entry.file.is_some());
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.files.pop(&key);
        }
    }

    /// Keeps descriptors back, so far as there are any.
    fn keep_spare(&mut self) {
        while self.spare.len() < SPARE
            && let Ok(spare) = self.root.place().try_clone_to_owned()
        {
            self.spare.push(spare);
        }
    }

    /// Opens, watches and caches a file.
    fn open(&mut self, path: &[u8], now: Instant, clock: &Clock) -> Result<Look, OpenError> {
        let split = path.len() - path.iter().rev().take_while(|&&b| b != b'/').count();
        let (parent, name) = path.split_at(split);
        let index = name.is_empty();
        let name = if index { b"index.html" } else { name };
        let dir = match self.tree.enter(&self.root, parent, now) {
            Err(OpenError::Symlink) => return self.open_through_links(path, clock),
            other => other?,
        };
        let file = match self.root.find_in(dir.place(), name, self.settings.wait()) {
            Ok(Opened::File(file, _)) => file,
            Ok(Opened::Directory(..)) | Err(OpenError::NotFound) if index => {
                return Ok(Look::Listing);
            }
            Ok(Opened::Directory(..)) => return Ok(Look::Redirect),
            Err(OpenError::Symlink) => return self.open_through_links(path, clock),
            Err(error) => return Err(error),
        };
        let key: Rc<[u8]> = path.into();
        // Watched first, measured and read afterwards: no change falls between.
        let watch = self.watcher.as_ref().and_then(|watcher| watcher.watch_file(&file, key.clone()));
        let meta = Meta::of(&file)?;
        let now_ms = now_ms();
        let (meta, content) = load(file, meta, self.settings.wait())?;
        let entry = Rc::new(self.settings.entry(name, meta, content, clock, now_ms));
        if entry.file.is_some() || !is_young(&meta, now_ms) {
            self.files.put(key, Slot { entry: entry.clone(), dir, watch, checked: now });
        }
        Ok(Look::File(entry))
    }

    /// Goes on after [`Look::Cold`] for a path, which was `asked` for in that turn, with what came of [`fetch`].
    pub fn fetched(&mut self, result: Result<Fetched, OpenError>, path: &[u8], asked: Instant, clock: &Clock) -> Look {
        let look = look_of_fetch(result, path, clock, &self.settings);
        if !IN_PLACE
            && let Look::File(entry) = &look
            && entry.file.is_none()
            && !is_young(&entry.meta, now_ms())
        {
            // It is as new as the requests of the turn that asked; those of later ones have it checked.
            let slot = Slot { entry: entry.clone(), dir: self.tree.root(), watch: None, checked: asked };
            self.files.put(path.into(), slot);
        }
        look
    }

    /// What is reached through a symbolic link is looked up each time.
    fn open_through_links(&mut self, path: &[u8], clock: &Clock) -> Result<Look, OpenError> {
        let now_ms = now_ms();
        let fetched = fetch(&self.root, path, self.settings.wait())?;
        Ok(look_of(fetched, path, clock, now_ms, &self.settings))
    }
}

/// What came of [`fetch`] on the blocking pool, as a look-up would have put it.
fn look_of_fetch(result: Result<Fetched, OpenError>, path: &[u8], clock: &Clock, settings: &Settings) -> Look {
    match result {
        Ok(fetched) => look_of(fetched, path, clock, now_ms(), settings),
        Err(error) => Look::Error(status_of(&error)),
    }
}

fn look_of(fetched: Fetched, path: &[u8], clock: &Clock, now_ms: i64, settings: &Settings) -> Look {
    match fetched {
        Fetched::Redirect => Look::Redirect,
        Fetched::Listing => Look::Listing,
        Fetched::File(meta, content) => {
            let name = match path.rsplit(|&b| b == b'/').next() {
                Some(b"") | None => b"index.html",
                Some(name) => name,
            };
            Look::File(Rc::new(settings.entry(name, meta, content, clock, now_ms)))
        }
    }
}

/// Whether the path still names the same state of the same file, by its metadata.
fn still_same(root: &Root, key: &[u8], slot: &Slot, wait: Wait) -> bool {
    let index;
    let path = match key.ends_with(b"/") {
        true => {
            index = [key, b"index.html"].concat();
            &index
        }
        false => key,
    };
    let meta = match root.stat(path, wait) {
        Err(OpenError::Exhausted) => root.stat_without_descriptor(path),
        other => other,
    };
    meta.is_ok_and(|meta| meta == slot.entry.meta) && is_settled(&slot.entry)
}

/// Whether the entry is as good as one made now: one made of a file that had just changed has a
/// weak tag.
fn is_settled(entry: &Entry) -> bool {
    !entry.validators.tag().starts_with(b"W/") || is_young(&entry.meta, now_ms())
}

/// The wall clock in milliseconds since the epoch.
pub fn now_ms() -> i64 {
    ostia::time::wall().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// The status that tells a client of the error.
pub fn status_of(error: &OpenError) -> Status {
    match error {
        OpenError::NotFound | OpenError::Symlink => Status::NotFound,
        OpenError::Forbidden => Status::Forbidden,
        OpenError::WouldBlock | OpenError::Exhausted => Status::ServiceUnavailable,
        OpenError::Other(_) => Status::InternalServerError,
    }
}

#[cfg(all(test, unix))]
#[path = "cache_tests.rs"]
mod tests;

#[cfg(all(test, windows))]
#[path = "cache_windows_tests.rs"]
mod tests;

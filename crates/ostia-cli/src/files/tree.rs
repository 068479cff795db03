//! The directories on the way to cached files, each held open and watched.
//!
//! A directory is watched before anything is looked up in it, and its parent before itself. So
//! whatever happens to a path after it was resolved has queued an event on one of its directories.

use super::Meta;
use super::root::{OpenError, Opened, Root, Wait};
use super::watch::{Watch, Watcher};
use lru::LruCache;
use ostia_port::os::{AsFd, BorrowedFd, OwnedFd};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

/// Directories that stay open although no cached file lies in them.
const RECENT: NonZeroUsize = NonZeroUsize::new(128).unwrap();

/// The directories in one, by name. Whoever could choose names that collide could fill the disk as well, so the hash needs no
/// secret, and a simulation none of the system's randomness.
type Children = HashMap<Box<[u8]>, Weak<Dir>, BuildHasherDefault<DefaultHasher>>;

/// A directory beneath the root, reached without symbolic links.
#[derive(Debug)]
pub struct Dir {
    place: OwnedFd,
    meta: Meta,
    /// Canonical, with its final slash.
    path: Box<[u8]>,
    parent: Option<Rc<Dir>>,
    children: RefCell<Children>,
    stale: Cell<bool>,
    /// It and all above it are watched.
    watched: bool,
    checked: Cell<Instant>,
    _watch: Option<Watch>,
}

impl Dir {
    /// Canonical path, with its final slash.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The open place.
    pub fn place(&self) -> BorrowedFd<'_> {
        self.place.as_fd()
    }

    /// Whether its path still led here when events were last drained, so far as they tell.
    pub fn is_fresh(&self) -> bool {
        !self.stale.get() && self.parent.as_ref().is_none_or(|parent| parent.is_fresh())
    }

    /// Whether it and all directories above it are watched.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Its path may lead elsewhere now: it and all beneath it must be looked up again. The root is
    /// found by no path, so for the root this means only what lies in it.
    pub fn expire(&self) {
        if self.parent.is_some() {
            self.stale.set(true);
        } else {
            for child in self.children.borrow().values().filter_map(Weak::upgrade) {
                child.stale.set(true);
            }
        }
    }

    /// The same for the directory of this name in it, if one is known.
    pub fn expire_child(&self, name: &[u8]) {
        if let Some(child) = self.children.borrow().get(name).and_then(Weak::upgrade) {
            child.stale.set(true);
        }
    }

    /// It and all above it must be looked up again.
    pub fn expire_upwards(&self) {
        self.expire();
        if let Some(parent) = &self.parent {
            parent.expire_upwards();
        }
    }
}

/// The known directories of one worker.
#[derive(Debug)]
pub struct Tree {
    root: Rc<Dir>,
    watcher: Option<Rc<Watcher>>,
    recent: LruCache<Box<[u8]>, Rc<Dir>>,
    revalidate: Duration,
    /// Whether a look-up may wait for a disk.
    wait: Wait,
}

impl Tree {
    /// A tree that knows its root only. Directories are looked up again after `revalidate`.
    ///
    /// # Errors
    /// When no descriptor is left, or the root can't be read any more.
    pub fn new(
        root: &Root,
        watcher: Option<Rc<Watcher>>,
        revalidate: Duration,
        wait: Wait,
        now: Instant,
    ) -> std::io::Result<Tree> {
        let place = root.place().try_clone_to_owned()?;
        let root = new_dir(place, root.meta()?, b"/".as_slice().into(), None, watcher.as_ref(), now);
        Ok(Tree { root, watcher, recent: LruCache::new(RECENT), revalidate, wait })
    }

    /// The directory that all paths begin in.
    pub fn root(&self) -> Rc<Dir> {
        self.root.clone()
    }

    /// Whether changes in directories are heard of at all.
    pub fn is_watched(&self) -> bool {
        self.root.watched
    }

    /// Goes to the directory of this canonical path, which ends in a slash.
    ///
    /// # Errors
    /// [`OpenError`]: `Symlink` when one lies on the way, `NotFound` when a file does.
    pub fn enter(&mut self, root: &Root, path: &[u8], now: Instant) -> Result<Rc<Dir>, OpenError> {
        let mut dir = self.root.clone();
        let mut from = 1;
        while let Some(length) = memchr::memchr(b'/', &path[from..]) {
            let name = &path[from..from + length];
            from += length + 1;
            dir = self.child(root, &dir, name, &path[..from], now)?;
        }
        if dir.parent.is_some() && self.recent.get(path).is_none_or(|known| !Rc::ptr_eq(known, &dir)) {
            self.recent.put(path.into(), dir.clone());
        }
        Ok(dir)
    }

    fn child(&self, root: &Root, dir: &Rc<Dir>, name: &[u8], path: &[u8], now: Instant) -> Result<Rc<Dir>, OpenError> {
        let known = dir.children.borrow().get(name).and_then(Weak::upgrade).filter(|child| !child.stale.get());
        if let Some(known) = &known
            && known.watched
            && now.saturating_duration_since(known.checked.get()) < self.revalidate
        {
            return Ok(known.clone());
        }
        let (place, meta) = match root.find_in(dir.place(), name, self.wait)? {
            Opened::Directory(place, meta) => (place, meta),
            Opened::File(..) => return Err(OpenError::NotFound),
        };
        if let Some(known) = known {
            if known.watched && (known.meta.dev, known.meta.ino) == (meta.dev, meta.ino) {
                known.checked.set(now);
                return Ok(known);
            }
            known.expire();
        }
        let child = new_dir(place, meta, path.into(), Some(dir.clone()), self.watcher.as_ref(), now);
        let mut children = dir.children.borrow_mut();
        // Names whose directories were let go are swept out before the table would grow.
        if children.len() == children.capacity() {
            children.retain(|_, child| child.strong_count() > 0);
        }
        children.insert(name.into(), Rc::downgrade(&child));
        Ok(child)
    }

    /// Forgets all directories but the root.
    pub fn clear(&mut self) {
        self.root.expire();
        self.recent.clear();
    }
}

fn new_dir(
    place: OwnedFd,
    meta: Meta,
    path: Box<[u8]>,
    parent: Option<Rc<Dir>>,
    watcher: Option<&Rc<Watcher>>,
    now: Instant,
) -> Rc<Dir> {
    Rc::new_cyclic(|this| {
        let watch = watcher.and_then(|watcher| watcher.watch_directory(&place, this.clone()));
        let watched = watch.is_some() && parent.as_ref().is_none_or(|parent| parent.watched);
        Dir {
            place,
            meta,
            path,
            parent,
            children: RefCell::default(),
            stale: Cell::new(false),
            watched,
            checked: Cell::new(now),
            _watch: watch,
        }
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::files::watch::Change;

    struct World {
        dir: tempfile::TempDir,
        root: Root,
        watcher: Rc<Watcher>,
        tree: Tree,
        now: Instant,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let watcher = Watcher::new().expect("inotify is needed for this test");
        let now = Instant::now();
        let tree = Tree::new(&root, Some(watcher.clone()), Duration::from_secs(1), Wait::Never, now).unwrap();
        World { dir, root, watcher, tree, now }
    }

    impl World {
        fn enter(&mut self, path: &str) -> Result<Rc<Dir>, OpenError> {
            self.tree.enter(&self.root, path.as_bytes(), self.now)
        }

        fn drain(&self) -> Vec<String> {
            let mut seen = Vec::new();
            self.watcher.drain(|change| match change {
                Change::Name(dir, name) => {
                    dir.expire_child(&name);
                    seen.push(format!("{}{}", String::from_utf8_lossy(dir.path()), String::from_utf8_lossy(&name)));
                }
                Change::Directory(dir) => {
                    dir.expire();
                    seen.push(String::from_utf8_lossy(dir.path()).into_owned());
                }
                other => seen.push(format!("{other:?}")),
            });
            seen
        }
    }

    #[test]
    fn a_directory_is_opened_once() {
        let mut world = world();
        let first = world.enter("/a/b/").unwrap();
        assert!(first.is_fresh() && first.is_watched());
        assert_eq!(first.path(), b"/a/b/");
        assert!(Rc::ptr_eq(&first, &world.enter("/a/b/").unwrap()));
        // Absent, or not known to the kernel's caches.
        assert!(matches!(world.enter("/a/x/"), Err(OpenError::NotFound | OpenError::WouldBlock)));
        world.now += Duration::from_secs(5);
        assert!(Rc::ptr_eq(&first, &world.enter("/a/b/").unwrap()), "checked, and still the same");
    }

    #[test]
    fn a_rename_above_is_heard_of() {
        let mut world = world();
        let old = world.enter("/a/b/").unwrap();
        std::fs::rename(world.dir.path().join("a"), world.dir.path().join("c")).unwrap();
        std::fs::create_dir_all(world.dir.path().join("a/b")).unwrap();
        let seen = world.drain();
        assert!(seen.contains(&"/a".to_owned()), "{seen:?}");
        assert!(!old.is_fresh());
        let new = world.enter("/a/b/").unwrap();
        assert!(!Rc::ptr_eq(&old, &new) && new.is_fresh());
    }

    #[test]
    fn without_watches_every_entry_looks_again() {
        let mut world = world();
        world.tree = Tree::new(&world.root, None, Duration::from_secs(1), Wait::Never, world.now).unwrap();
        let old = world.enter("/a/").unwrap();
        assert!(!old.is_watched() && !world.tree.is_watched());
        assert!(!Rc::ptr_eq(&old, &world.enter("/a/").unwrap()));
    }

    #[test]
    fn what_is_let_go_is_watched_no_more() {
        let mut world = world();
        drop(world.enter("/a/b/").unwrap());
        assert_eq!(world.watcher.watched(), 3);
        world.tree.clear();
        assert_eq!(world.watcher.watched(), 1);
    }

    #[test]
    fn a_symlink_or_a_file_on_the_way_is_told() {
        let mut world = world();
        std::os::unix::fs::symlink("a", world.dir.path().join("link")).unwrap();
        std::fs::write(world.dir.path().join("file"), "").unwrap();
        assert!(matches!(world.enter("/link/"), Err(OpenError::Symlink)));
        assert!(matches!(world.enter("/file/"), Err(OpenError::NotFound)));
    }
}

//! inotify: says which cached files and directories have changed since it was last asked.
//!
//! A write, truncation, rename or removal has queued its event before the system call returns, so
//! one who asks afterwards hears of it. Watches are set on inodes, not names: a change through
//! another hard link is heard of too. Not heard of are writes through mmap, and changes that
//! another machine makes on a network file system; for those entries also grow old.

use super::{Change, Target};
use crate::files::tree::Dir;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::rc::{Rc, Weak};

/// The inotify instance of one worker.
#[derive(Debug)]
pub struct Watcher {
    fd: OwnedFd,
    targets: RefCell<Targets>,
}

#[derive(Debug, Default)]
struct Targets {
    by_watch: BTreeMap<i32, Vec<(u64, Target)>>,
    next: u64,
}

/// A target's interest in an inode; ends when dropped.
#[derive(Debug)]
pub struct Watch {
    watcher: Rc<Watcher>,
    descriptor: i32,
    id: u64,
}

impl Watcher {
    /// A new instance; `None` where there is none to be had (a limit, a filter, a foreign kernel),
    /// in which case cached entries must be checked each time.
    pub fn new() -> Option<Rc<Watcher>> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        Some(Rc::new(Watcher { fd, targets: RefCell::default() }))
    }

    /// Watches a file's inode. `None` when the limit of watches is reached or /proc isn't mounted.
    pub fn watch_file(self: &Rc<Self>, file: &impl AsFd, key: Rc<[u8]>) -> Option<Watch> {
        let mask = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        self.add(file, mask, Target::File(key))
    }

    /// Watches a directory and the names in it. `None` as for [`Watcher::watch_file`].
    pub fn watch_directory(self: &Rc<Self>, place: &impl AsFd, dir: Weak<Dir>) -> Option<Watch> {
        let mask = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        self.add(place, mask, Target::Directory(dir))
    }

    fn add(self: &Rc<Self>, fd: &impl AsFd, mask: WatchFlags, target: Target) -> Option<Watch> {
        // The magic link names the very inode that is open, whatever has become of its path.
        let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        let descriptor = inotify::add_watch(&self.fd, path, mask).ok()?;
        let mut targets = self.targets.borrow_mut();
        let id = targets.next;
        targets.next += 1;
        targets.by_watch.entry(descriptor).or_default().push((id, target));
        Some(Watch { watcher: self.clone(), descriptor, id })
    }

    /// Reads all events that are queued, without waiting, and reports what they mean.
    pub fn drain(&self, mut changed: impl FnMut(Change)) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes());
                    self.report(event.wd(), event.events(), name, &mut changed);
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // Nothing to be read any more, for whatever reason: nothing is certain.
                Err(_) => return changed(Change::Everything),
            }
        }
    }

    fn report(&self, watch: i32, events: ReadFlags, name: Option<&[u8]>, changed: &mut impl FnMut(Change)) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return changed(Change::Everything);
        }
        // Cloned, for the receiver may drop watches.
        let targets = match self.targets.borrow().by_watch.get(&watch) {
            Some(targets) => targets.clone(),
            None => return,
        };
        for (_, target) in targets {
            match (target, name) {
                (Target::File(key), _) => changed(Change::File(key)),
                (Target::Directory(dir), name) => match (dir.upgrade(), name) {
                    (Some(dir), Some(name)) => changed(Change::Name(dir, name.into())),
                    (Some(dir), None) => changed(Change::Directory(dir)),
                    (None, _) => {}
                },
            }
        }
    }

    /// How many inodes are watched.
    pub fn watched(&self) -> usize {
        self.targets.borrow().by_watch.len()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut targets = self.watcher.targets.borrow_mut();
        let Some(list) = targets.by_watch.get_mut(&self.descriptor) else {
            return;
        };
        list.retain(|(id, _)| *id != self.id);
        if list.is_empty() {
            targets.by_watch.remove(&self.descriptor);
            // It fails when the inode is gone, and the watch with it.
            let _ = inotify::remove_watch(&self.watcher.fd, self.descriptor);
        }
    }
}

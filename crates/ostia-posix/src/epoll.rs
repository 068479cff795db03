//! epoll(7).
//!
//! Whether something is ready is looked up when it is asked for. For edges every socket counts what happens to it: a watcher
//! that remembers the counts of its last report sees that there is something new, as Linux's wake-ups would have told it.

use std::collections::HashMap;
use std::os::fd::RawFd;

use crate::core::Core;
use crate::descriptors::{self, Id};
use crate::readiness::{ERR, Edges, HUP};
use crate::world::Patience;
use crate::{Errno, World};

/// What epoll_wait(2) tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpollEvent {
    /// EPOLLIN and so on.
    pub events: u32,
    /// What epoll_ctl(2) was given.
    pub data: u64,
}

const EDGE: u32 = libc::EPOLLET as u32;
const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
/// How, not what.
const MANNERS: u32 = EDGE | ONE_SHOT | EXCLUSIVE | libc::EPOLLWAKEUP as u32;

/// A descriptor that is watched.
struct Item {
    id: Id,
    events: u32,
    data: u64,
    /// As it stood when it was looked at last; none since it was added or changed, so that the first look tells.
    seen: Option<Edges>,
}

/// An epoll instance.
#[derive(Default)]
pub(crate) struct Epoll {
    items: HashMap<RawFd, Item>,
    /// In which order they are looked at: who was told of goes last.
    order: Vec<RawFd>,
}

impl Epoll {
    /// A socket is gone, and is watched no more.
    pub(crate) fn forget(&mut self, id: Id) {
        self.items.retain(|_, item| item.id != id);
        self.order.retain(|fd| self.items.contains_key(fd));
    }
}

impl Core {
    fn epoll(&mut self, fd: RawFd) -> Result<Id, Errno> {
        match self.find(fd) {
            Some(id) if self.epolls.contains_key(&id) => Ok(id),
            Some(_) => Err(Errno::EINVAL),
            None => Err(match descriptors::foreign(fd) {
                Errno::ENOTSOCK => Errno::EINVAL,
                error => error,
            }),
        }
    }

    /// The bits of an item that are to be told, and the edges as they stand.
    fn report(&self, item: &Item) -> (u32, Option<Edges>) {
        let wanted = item.events & !MANNERS;
        if wanted == 0 {
            // One that has had its one shot hears nothing, not even of errors.
            return (0, item.seen);
        }
        let edges = self.edges(item.id);
        let news = match (item.events & EDGE != 0, item.seen, edges) {
            (true, Some(seen), Some(edges)) => edges.differ(&seen, wanted),
            _ => true,
        };
        (if news { self.mask(item.id) & wanted } else { 0 }, edges)
    }

    /// Whether there is something to be told.
    pub(crate) fn has_events(&self, epoll: Id) -> bool {
        let Some(epoll) = self.epolls.get(&epoll) else { return false };
        epoll.items.values().any(|item| self.report(item).0 != 0)
    }

    fn collect(&mut self, epoll: Id, most: usize) -> Result<Vec<EpollEvent>, Errno> {
        let Some(mut set) = self.epolls.remove(&epoll) else { return Err(Errno::EBADF) };
        let (mut events, mut told) = (Vec::new(), Vec::new());
        for &fd in &set.order {
            if events.len() >= most {
                break;
            }
            let Some(item) = set.items.get_mut(&fd) else { continue };
            let (bits, edges) = self.report(item);
            item.seen = edges;
            if bits == 0 {
                continue;
            }
            events.push(EpollEvent { events: bits, data: item.data });
            told.push(fd);
            if item.events & ONE_SHOT != 0 {
                item.events &= MANNERS;
            }
        }
        set.order.retain(|fd| !told.contains(fd));
        set.order.append(&mut told);
        self.epolls.insert(epoll, set);
        if events.is_empty() { Err(Errno::EAGAIN) } else { Ok(events) }
    }

    fn control(&mut self, epfd: RawFd, op: i32, fd: RawFd, event: Option<EpollEvent>) -> Result<(), Errno> {
        let epoll = self.find(epfd).ok_or_else(|| match descriptors::foreign(epfd) {
            Errno::ENOTSOCK => Errno::EINVAL,
            error => error,
        })?;
        let Some(id) = self.find(fd) else {
            // What is none of this world's can't be watched.
            return Err(if descriptors::foreign(fd) == Errno::EBADF { Errno::EBADF } else { Errno::EPERM });
        };
        if fd == epfd || self.epolls.contains_key(&id) {
            return Err(Errno::EINVAL);
        }
        let Some(set) = self.epolls.get_mut(&epoll) else { return Err(Errno::EINVAL) };
        let known = set.items.contains_key(&fd);
        match op {
            libc::EPOLL_CTL_ADD if known => Err(Errno::EEXIST),
            libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL if !known => Err(Errno::ENOENT),
            libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD => {
                let EpollEvent { events, data } = event.ok_or(Errno::EFAULT)?;
                let exclusive = events & EXCLUSIVE != 0;
                let was_exclusive = set.items.get(&fd).is_some_and(|item| item.events & EXCLUSIVE != 0);
                if op == libc::EPOLL_CTL_MOD && (exclusive || was_exclusive) {
                    return Err(Errno::EINVAL);
                }
                // These are told unasked.
                set.items.insert(fd, Item { id, events: events | ERR | HUP, data, seen: None });
                if !known {
                    set.order.push(fd);
                }
                self.changes += 1;
                Ok(())
            }
            libc::EPOLL_CTL_DEL => {
                set.items.remove(&fd);
                set.order.retain(|&other| other != fd);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

impl World {
    /// epoll_create1(2); `flags` is 0 or EPOLL_CLOEXEC.
    ///
    /// # Errors
    /// EINVAL of other flags, EMFILE.
    pub fn epoll_create(&self, flags: i32) -> Result<RawFd, Errno> {
        if flags & !libc::EPOLL_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        let mut inside = self.enter();
        let id = inside.new_id();
        let fd = inside.open_descriptor(id, flags & libc::EPOLL_CLOEXEC != 0)?;
        inside.epolls.insert(id, Epoll::default());
        Ok(fd)
    }

    /// epoll_ctl(2), for this world's sockets.
    ///
    /// # Errors
    /// EEXIST, ENOENT, EBADF, EINVAL as epoll_ctl(2) has them; EPERM of descriptors that aren't this world's; EFAULT if there is
    /// no event where one is needed.
    pub fn epoll_ctl(&self, epfd: RawFd, op: i32, fd: RawFd, event: Option<EpollEvent>) -> Result<(), Errno> {
        self.enter().control(epfd, op, fd, event)
    }

    /// epoll_wait(2): at most `most` events. `timeout` is in milliseconds, below 0 for ever; none if it is up.
    ///
    /// # Errors
    /// EINVAL if `most` is 0 or it is no epoll instance, EBADF, ECANCELED if the world is over.
    pub fn epoll_wait(&self, epfd: RawFd, most: usize, timeout: i32) -> Result<Vec<EpollEvent>, Errno> {
        if most == 0 || i32::try_from(most).is_err() {
            return Err(Errno::EINVAL);
        }
        let epoll = self.enter().epoll(epfd)?;
        match self.block(Patience::of_millis(timeout), |core| core.collect(epoll, most)) {
            Err(Errno::EAGAIN) => Ok(Vec::new()),
            outcome => outcome,
        }
    }
}

//! What members must know at once, without asking the port thread: names for operations, and which handle has which key.

use std::io;

use crate::handle::Handle;
use crate::op::OpId;
use crate::os::raw;
use crate::slab::{Record, Slab};
use crate::tag::{Tag, TagKind};

/// An operation from its submission until its last packet has been reaped.
struct Ticket {
    generation: u32,
    next_free: u32,
    /// Its end was asked for: once is enough.
    cancelling: bool,
}

impl Record for Ticket {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn vacant(generation: u32, next_free: u32) -> Ticket {
        Ticket { generation, next_free, cancelling: false }
    }

    fn next_free(&self) -> u32 {
        self.next_free
    }
}

/// A handle as members know it.
#[derive(Clone, Copy)]
struct Known {
    /// Of the handle that was last seen at this index; 0 when none is open.
    generation: u32,
    /// Its key, if it was given one.
    key: Option<u64>,
}

/// See the file's head.
pub(super) struct Registry {
    tickets: Slab<Ticket>,
    handles: Vec<Known>,
}

impl Registry {
    pub(super) fn new() -> Registry {
        Registry { tickets: Slab::new(), handles: Vec::new() }
    }

    /// A name for a new operation.
    pub(super) fn issue(&mut self) -> OpId {
        let mut name = Tag::NOBODY;
        self.tickets.insert_with(|index, generation| {
            name = Tag::new(TagKind::Op, index, generation);
            Ticket { generation, next_free: 0, cancelling: false }
        });
        OpId(name)
    }

    /// The operation is over; its name means nothing any more.
    pub(super) fn expire(&mut self, id: OpId) {
        if self.ticket(id).is_some() {
            self.tickets.discard(id.0.index());
        }
    }

    /// Whether an operation is to be cancelled that is not over and was not cancelled before.
    pub(super) fn cancel(&mut self, id: OpId) -> bool {
        self.ticket(id).is_some_and(|ticket| !std::mem::replace(&mut ticket.cancelling, true))
    }

    fn ticket(&mut self, id: OpId) -> Option<&mut Ticket> {
        // A name that was made up may carry any generation; those of records in use are odd.
        let (index, generation) = (id.0.index(), id.0.generation());
        self.tickets.at_mut(index).filter(|ticket| ticket.generation == generation)
    }

    /// How many operations are not over.
    pub(super) fn operations(&self) -> usize {
        self.tickets.len()
    }

    /// A handle has been opened.
    pub(super) fn opened(&mut self, handle: Handle, key: Option<u64>) {
        if self.handles.len() <= handle.index() {
            self.handles.resize(handle.index() + 1, Known { generation: 0, key: None });
        }
        self.handles[handle.index()] = Known { generation: handle.generation, key };
    }

    fn known(&mut self, handle: Handle) -> Option<&mut Known> {
        self.handles.get_mut(handle.index()).filter(|known| known.generation == handle.generation)
    }

    /// Whether a handle is open and not being closed.
    pub(super) fn is_open(&mut self, handle: Handle) -> bool {
        self.known(handle).is_some()
    }

    /// A handle is being closed. False if it was not open.
    pub(super) fn closing(&mut self, handle: Handle) -> bool {
        self.known(handle).map(|known| known.generation = 0).is_some()
    }

    /// Gives a handle its key, once.
    pub(super) fn associate(&mut self, handle: Handle, key: u64) -> io::Result<()> {
        let known = self.known(handle).ok_or_else(|| io::Error::from_raw_os_error(raw::EBADF))?;
        match known.key {
            None => {
                known.key = Some(key);
                Ok(())
            }
            Some(old) => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("the handle is associated already, with the key {old}: adopt and associate give it only once"),
            )),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_operation_and_is_cancelled_once() {
        let mut registry = Registry::new();
        let first = registry.issue();
        assert!(registry.cancel(first));
        assert!(!registry.cancel(first), "the second time there is nothing to do");
        registry.expire(first);
        let second = registry.issue();
        assert_ne!(first, second);
        assert_eq!(first.0.index(), second.0.index(), "the place is reused");
        assert!(!registry.cancel(first), "the old name reaches nobody");
        registry.expire(first);
        assert_eq!(registry.operations(), 1);
        assert!(registry.cancel(second));
        assert!(!registry.cancel(OpId(Tag::new(TagKind::Op, 77, 2))));
    }

    #[test]
    fn a_handle_is_associated_once_while_it_is_open() {
        let mut registry = Registry::new();
        let handle = Handle { index: 3, generation: 5 };
        assert_eq!(registry.associate(handle, 1).map_err(|e| e.raw_os_error()), Err(Some(raw::EBADF)));
        registry.opened(handle, None);
        registry.associate(handle, 1).expect("the first time");
        for key in [1, 2] {
            assert_eq!(registry.associate(handle, key).map_err(|e| e.kind()), Err(io::ErrorKind::AlreadyExists));
        }
        assert!(registry.closing(handle) && !registry.closing(handle));
        assert!(registry.associate(handle, 2).is_err(), "it is closed");
        let next = Handle { index: 3, generation: 7 };
        registry.opened(next, Some(9));
        assert!(registry.associate(handle, 2).is_err() && registry.associate(next, 2).is_err());
    }
}

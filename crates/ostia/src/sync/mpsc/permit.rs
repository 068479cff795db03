//! Room in a bounded channel that is held before there is a message for it.

use std::fmt;
use std::iter::FusedIterator;
use std::mem::ManuallyDrop;

use crate::sync::error::SendError;
use crate::sync::mpsc::bounded::{Sender, Shared};

/// Room for a message, from [`Sender::reserve`]. Dropping it gives the room to the next.
#[must_use = "the room is given back as soon as the permit is dropped"]
pub struct Permit<'a, T> {
    shared: &'a Shared<T>,
}

impl<'a, T> Permit<'a, T> {
    pub(super) fn new(shared: &'a Shared<T>) -> Permit<'a, T> {
        Permit { shared }
    }

    /// Sends a message, at once. It is dropped if the receiver is gone meanwhile, as it would be if it had been queued a
    /// moment before; one that was only closed still receives it.
    pub fn send(self, value: T) {
        // The message takes the room with it.
        let _ = ManuallyDrop::new(self).shared.push(value);
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.shared.give_back(1);
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mpsc::Permit")
    }
}

/// Room for messages, from [`Sender::reserve_many`], as one [`Permit`] after the other. Dropping it gives back what is left.
#[must_use = "the room is given back as soon as the permits are dropped"]
pub struct PermitIterator<'a, T> {
    shared: &'a Shared<T>,
    left: usize,
}

impl<'a, T> PermitIterator<'a, T> {
    pub(super) fn new(shared: &'a Shared<T>, left: usize) -> PermitIterator<'a, T> {
        PermitIterator { shared, left }
    }
}

impl<'a, T> Iterator for PermitIterator<'a, T> {
    type Item = Permit<'a, T>;

    fn next(&mut self) -> Option<Permit<'a, T>> {
        self.left = self.left.checked_sub(1)?;
        Some(Permit::new(self.shared))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for PermitIterator<'_, T> {}
impl<T> FusedIterator for PermitIterator<'_, T> {}

impl<T> Drop for PermitIterator<'_, T> {
    fn drop(&mut self) {
        self.shared.give_back(self.left);
    }
}

impl<T> fmt::Debug for PermitIterator<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::PermitIterator").field("left", &self.left).finish()
    }
}

/// Room for a message and the sender to send it with, from [`Sender::reserve_owned`]. Dropping it gives the room back and
/// drops the sender.
#[must_use = "the room is given back as soon as the permit is dropped"]
pub struct OwnedPermit<T> {
    sender: Sender<T>,
    used: bool,
}

impl<T> OwnedPermit<T> {
    pub(super) fn new(sender: Sender<T>) -> OwnedPermit<T> {
        OwnedPermit { sender, used: false }
    }

    /// Sends a message, at once, and gives the sender back.
    ///
    /// # Errors
    /// The message back, if the receiver is gone meanwhile; one that was only closed still receives it.
    pub fn send(mut self, value: T) -> Result<Sender<T>, SendError<T>> {
        // The message takes the room with it.
        self.used = true;
        self.sender.shared.push(value)?;
        Ok(self.sender.clone())
    }

    /// Gives the room back, and the sender.
    #[must_use]
    pub fn release(self) -> Sender<T> {
        self.sender.clone()
    }
}

impl<T> Drop for OwnedPermit<T> {
    fn drop(&mut self) {
        if !self.used {
            self.sender.shared.give_back(1);
        }
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mpsc::OwnedPermit")
    }
}

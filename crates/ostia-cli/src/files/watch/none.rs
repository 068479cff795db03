//! No watcher: there is none to be had, so that cached files are compared with the disk in every turn.
//!
//! What a comparison sees are a file's identity, size and times. Windows promises that times are right once whoever wrote has
//! closed the file: until then a write that leaves the size as it was may stay unseen.

use super::Change;
use crate::files::tree::Dir;
use std::fs::File;
use std::rc::{Rc, Weak};

/// Would tell of changes. There is none.
#[derive(Debug)]
pub enum Watcher {}

/// Interest in a file or a directory. There is none.
#[derive(Debug)]
pub enum Watch {}

impl Watcher {
    /// Always `None`: cached entries must be checked in every turn.
    pub fn new() -> Option<Rc<Watcher>> {
        None
    }

    /// Watches a file.
    pub fn watch_file(&self, _: &File, _: Rc<[u8]>) -> Option<Watch> {
        match *self {}
    }

    /// Watches a directory and the names in it.
    pub fn watch_directory<Place>(&self, _: &Place, _: Weak<Dir>) -> Option<Watch> {
        match *self {}
    }

    /// Reports all changes since the last call.
    pub fn drain(&self, _: impl FnMut(Change)) {
        match *self {}
    }
}

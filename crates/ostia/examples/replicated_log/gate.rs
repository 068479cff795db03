//! A gate between a node and the others, for who wants to see what happens when it is shut.

use std::cell::Cell;
use std::rc::Rc;

/// Open at first. Clones are the same gate. While it is shut, what the node sends to others and what they send to it is lost;
/// clients get through.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    shut: Rc<Cell<bool>>,
}

impl Gate {
    pub fn shut(&self) {
        self.shut.set(true);
    }

    pub fn open(&self) {
        self.shut.set(false);
    }

    pub fn is_open(&self) -> bool {
        !self.shut.get()
    }
}

//! A rig: one operation with all that it needs around it, and how to tell whether it did its work.

use ostia_port::{Completion, Handle, Op};

use crate::common::World;
use crate::matrix::{Bench, Reason};

/// What stands around an operation under test.
pub trait Rig {
    /// The operation, anew each time.
    fn op(&mut self) -> Op;

    /// Makes it able to complete: the peer writes, the child ends.
    fn happen(&mut self, world: &mut World);

    /// What the peer does meanwhile, such as reading what arrives.
    fn turn(&mut self) {}

    /// Verifies the completion of an operation that was not cancelled.
    fn verify(&mut self, world: &mut World, done: Completion);

    /// Verifies what a cancelled operation's completion brings, its buffer above all.
    fn cancelled(&mut self, world: &mut World, done: Completion);

    /// The handle whose closing ends the operation.
    fn handle(&self) -> Option<Handle>;

    /// Posted before the close it is done before the close.
    fn outlives_close(&self) -> bool {
        false
    }

    /// Its memory is the kernel's until the peer has acknowledged it, cancelled or not.
    fn lends_memory(&self) -> bool {
        false
    }

    /// After a cancelled operation another one on the same handle does the work: nothing was lost.
    fn recovers(&self) -> bool {
        true
    }
}

/// Builds a rig in a world.
pub type Build = fn(&mut World) -> Box<dyn Rig>;

/// A special situation: a test of its own or the reason that there is none.
#[derive(Clone, Copy)]
pub enum Special {
    Test(fn(&mut Bench)),
    No(Reason),
}

/// A row of the matrix.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    /// Why the system has no such operation.
    pub not_here: Option<Reason>,
    /// Builds the rig; none for rows whose every cell is special.
    pub rig: Option<Build>,
    /// The operation does not complete before its rig makes it happen.
    pub waits: bool,
    /// Cancelling has an effect while it waits.
    pub cancellable: bool,
    pub done: Option<fn(&mut Bench)>,
    pub short: Special,
    pub end_of_file: Special,
    pub reset: Special,
    pub dry: Special,
    /// Instead of the general test.
    pub cancel: Option<Special>,
    pub closed: Option<Special>,
    pub dropped: Option<fn(&mut Bench)>,
    pub full: Option<fn(&mut Bench)>,
}

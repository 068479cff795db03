//! Named faults, which the tests put in to prove that some test would notice them. Outside of tests there are none.

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// Old timestamps are taken.
    NoPaws,
    /// The window takes one octet more than it says.
    WindowOneMore,
    /// A reset anywhere in the window counts.
    ResetAnywhere,
    /// Any acknowledgment opens a connection.
    AnyAckOpens,
    /// An acknowledgment of what was never sent counts.
    UnsentAckCounts,
    /// An acknowledgment from long ago is taken without a word.
    AncientAckCounts,
    /// An old segment brings its old window back.
    OldWindowCounts,
    /// A partial acknowledgment sends nothing again.
    PartialAckIgnored,
    /// Two duplicate acknowledgments are taken for a loss.
    TwoDuplicatesSuffice,
    /// A gap is not told of at once.
    GapNotAcknowledged,
    /// Every acknowledgment is delayed.
    EveryAckDelayed,
    /// Data is sent beyond the peer's window.
    SendBeyondWindow,
    /// A cork holds nothing.
    NoCork,
    /// Small segments are never held.
    NoNagle,
    /// Windows are announced however little they have grown.
    SillyWindows,
    /// A user timeout is not kept.
    NoUserTimeout,
    /// The retransmission timeout does not grow.
    NoBackOff,
    /// A closed window is not probed.
    NoProbe,
    /// The accept queue has no bound.
    NoAcceptBound,
}

/// Whether a fault is put in.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn on(_: Mutation) -> bool {
    false
}

#[cfg(test)]
pub(crate) use tests::{on, with};

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use std::thread_local;

    use super::Mutation;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    pub(crate) fn on(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }

    /// Does something with a fault put in.
    pub(crate) fn with<T>(mutation: Mutation, work: impl FnOnce() -> T) -> T {
        struct Restore;
        impl Drop for Restore {
            fn drop(&mut self) {
                ACTIVE.set(None);
            }
        }
        ACTIVE.set(Some(mutation));
        let _restore = Restore;
        work()
    }
}

//! Named faults, which the tests put in to prove that some test would notice them. Outside of tests there are none.

macro_rules! mutations {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A fault.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Mutation {
            $($(#[$doc])* $name,)*
        }

        #[cfg(test)]
        impl Mutation {
            /// Every fault.
            pub(crate) const ALL: &'static [Mutation] = &[$(Mutation::$name,)*];
        }
    };
}

mutations! {
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
    /// An acknowledgment of what was sent again ends the back-off.
    BackOffForgotten,
    /// An acknowledgment with another window is taken for a duplicate.
    WindowChangeIsDuplicate,
    /// Duplicate acknowledgments tell of nothing.
    NoFastRetransmit,
    /// A loss does not make the congestion window smaller.
    LossHalvesNothing,
    /// The congestion window grows though it is not used.
    UnusedWindowGrows,
    /// FIN-WAIT-2 without a program never ends.
    FinWait2ForEver,
    /// An acknowledgment does not restart the retransmission timer.
    TimerNotRestarted,
    /// A timeout leaves the congestion window as it was.
    TimeoutKeepsWindow,
    /// Data is sent again for ever.
    RetriesForEver,
    /// Probes of an idle peer go on for ever.
    KeepaliveGivesUpNever,
    /// The acknowledgment of a FIN is delayed.
    FinAcknowledgedLate,
    /// Data for a program that has closed is swallowed.
    DataAfterCloseTaken,
    /// Duplicates are not reported.
    NoDsack,
    /// There is no TIME-WAIT.
    NoTimeWait,
    /// A SYN in the window ends a connection.
    SynResets,
    /// Segments without ACK are taken.
    AckNotNeeded,
    /// The window of a SYN is scaled.
    SynWindowScaled,
    /// The newest timestamp is echoed, also of what lies beyond a gap.
    NewestTimestampEchoed,
    /// Challenge ACKs have no bound.
    ChallengesWithoutBound,
    /// Closing with data unread ends in order.
    UnreadDataForgotten,
    /// The urgent pointer points to the last urgent octet, not behind it.
    UrgentPointerOneLess,
    /// PSH is never set.
    NoPush,
    /// What is unread does not count off the window.
    UnreadDataNotCounted,
    /// The congestion window lasts through idle times.
    IdleWindowKept,
    /// An MSS of a few octets is believed.
    TinyMssBelieved,
    /// A window scale above 14 is believed.
    AnyScaleBelieved,
    /// A wrong checksum is taken.
    ChecksumIgnored,
    /// Signed segments are taken without a key.
    SignatureIgnored,
    /// A SYN with FIN opens a connection.
    SynFinOpens,
    /// Nothing is reset where nobody listens.
    SilentWhereNobodyListens,
    /// A reset is answered with a reset.
    ResetsAnswered,
    /// An ICMP error is believed that quotes nothing in flight.
    AnyPathMtuBelieved,
    /// Connections without a program have no bound.
    OrphansWithoutBound,
    /// A FIN does not begin TIME-WAIT anew.
    TimeWaitNotRestarted,
    /// A reset ends TIME-WAIT in spite of RFC 1337.
    Rfc1337Forgotten,
    /// An old SYN ends TIME-WAIT.
    OldSynReopens,
    /// Any acknowledgment is taken for a cookie.
    AnyCookieCounts,
    /// What a cookie's timestamp keeps is forgotten.
    CookieOptionsForgotten,
    /// The same SYN is answered however soon it comes again.
    EverySynAnswered,
    /// Old half-open connections make no room for young ones.
    OldHalfOpensStay,
    /// A SYN-ACK is not sent again.
    SynAckOnce,
    /// What limited transmit has sent counts when the congestion window is halved.
    LimitedTransmitCounts,
    /// A fast retransmission does not start the timer anew.
    RetransmissionKeepsTimer,
    /// With SACK an acknowledgment that tells of nothing new is a duplicate.
    EmptyAcksAreDuplicates,
    /// What is sent again has lost its PSH.
    PushOnce,
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

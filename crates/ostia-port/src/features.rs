//! What the running kernel's io_uring can do, found by trying, each part maskable.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

/// A set of io_uring features. [`Features::all`] is what this crate can use; a port's
/// [`features`](crate::Port::features) are those that the kernel has and the configuration doesn't mask.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Features(u32);

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Features {
            $($(#[$doc])* pub const $name: Features = Features(1 << $bit);)*
            const NAMES: &[(Features, &str)] = &[$((Features::$name, $text)),*];
        }
    };
}

features! {
    /// One thread submits (Linux 6.0), which spares the kernel locks.
    SINGLE_ISSUER = 0, "single_issuer";
    /// Completions are worked out when the thread asks for them (6.1), not by interrupting it.
    DEFER_TASKRUN = 1, "defer_taskrun";
    /// No inter-processor interrupts for completions (5.19).
    COOP_TASKRUN = 2, "coop_taskrun";
    /// The ring is named by an index, not looked up as a descriptor at every call (5.18).
    REGISTERED_RING = 3, "registered_ring";
    /// No index array between queue and entries (6.6).
    NO_SQARRAY = 4, "no_sqarray";
    /// Buffers are picked from a shared ring when data arrives (5.19).
    BUFFER_RING = 5, "buffer_ring";
    /// One buffer serves several receives (6.12).
    INCREMENTAL_BUFFERS = 6, "incremental_buffers";
    /// One request receives again and again (6.0).
    MULTISHOT_RECV = 7, "multishot_recv";
    /// One request accepts again and again (5.19).
    MULTISHOT_ACCEPT = 8, "multishot_accept";
    /// One request reads a pipe again and again (6.7).
    MULTISHOT_READ = 9, "multishot_read";
    /// Sends that lend their memory to the network card, with a report whether they did (6.2).
    SEND_ZC = 10, "send_zc";
    /// Messages from ring to ring (5.18).
    MSG_RING = 11, "msg_ring";
    /// Requests that only complete visibly when they fail (5.17).
    SKIP_SUCCESS = 12, "skip_success";
    /// Waiting for a futex in the ring (6.7).
    FUTEX = 13, "futex";
    /// Idle waits are not accounted as I/O pressure (6.15).
    NO_IOWAIT = 14, "no_iowait";
    /// Waits end at a moment rather than after a time, which spares reading the clock (6.12).
    ABS_TIMEOUT = 15, "abs_timeout";
    /// Sends that go out at once make no completion entry; only those that don't are heard of (6.0).
    SILENT_SEND = 16, "silent_send";
}

impl Features {
    /// Everything this crate knows to use.
    pub const fn all() -> Features {
        Features((1 << 17) - 1)
    }

    /// Nothing beyond what Linux 5.11 has.
    pub const fn none() -> Features {
        Features(0)
    }

    /// Whether all of `other` are in this set.
    #[inline]
    pub const fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set less `other`.
    #[must_use]
    pub const fn without(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }

    /// The single features in this set with their names.
    pub fn iter(self) -> impl Iterator<Item = (Features, &'static str)> {
        Features::NAMES.iter().copied().filter(move |&(feature, _)| self.contains(feature))
    }

    /// The feature of this name, as [`iter`](Self::iter) gives it.
    pub fn named(name: &str) -> Option<Features> {
        Features::NAMES.iter().find(|(_, text)| *text == name).map(|&(feature, _)| feature)
    }
}

impl BitOr for Features {
    type Output = Features;
    fn bitor(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }
}

impl BitAnd for Features {
    type Output = Features;
    fn bitand(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }
}

impl Not for Features {
    type Output = Features;
    fn not(self) -> Features {
        Features::all().without(self)
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(_, name)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_behave_as_sets_and_names_lead_back() {
        let set = Features::SEND_ZC | Features::FUTEX;
        assert!(set.contains(Features::FUTEX) && !set.contains(Features::MSG_RING));
        assert_eq!(set.without(Features::FUTEX), Features::SEND_ZC);
        assert_eq!(!Features::none(), Features::all());
        for (feature, name) in Features::all().iter() {
            assert_eq!(Features::named(name), Some(feature));
        }
        assert_eq!(Features::all().iter().count(), 17);
    }
}

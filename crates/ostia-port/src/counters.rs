//! What a port counts. Counters belong to the port's thread and cost an addition each.

use std::cell::Cell;

/// A number that only the port's thread changes.
#[derive(Debug, Default)]
pub(crate) struct Count(Cell<u64>);

impl Count {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.set(self.0.get() + more);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Count,)* }

        /// A port's counters at one moment. All count from the port's beginning.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Statistics { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            pub(crate) fn read(&self) -> Statistics {
                Statistics { $($name: self.$name.get(),)* }
            }
        }

        impl Statistics {
            /// Every counter with its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// Adds another port's counters to these.
            pub fn add(&mut self, other: &Statistics) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Operations that were submitted.
    operations;
    /// Completions that were taken.
    completions;
    /// Bytes received into the pool or into operations' own buffers.
    bytes_received;
    /// Bytes sent, `send_file` included.
    bytes_sent;
    /// System calls the driver made.
    syscalls;
    /// Waits for events.
    turns;
    /// Wake-ups by other threads.
    wakeups;
    /// Requests handed to threads that may block.
    blocking_jobs;
    /// Times that a receive found no buffer ready and was repeated.
    buffers_dry;
    /// Bytes copied out because half of the pool was leased.
    bytes_copied_out;
    /// Receives refused because the connection held its share of a pool past its hard limit.
    copies_refused;
    /// Times that receiving was paused because a connection had too much unread.
    receives_paused;
    /// Times that the submission queue was full and had to be submitted early.
    submission_full;
    /// Times that the kernel had to keep completions because the completion queue was full.
    completion_overflow;
    /// Bytes that `send_file` sent from the page cache without a copy.
    file_bytes_cached;
    /// Bytes that `send_file` first had brought into the page cache by another thread.
    file_bytes_cold;
    /// Bytes that `send_file` read and sent, where the kernel could not send them itself: to the sockets of engines.
    file_bytes_read;
    /// Zero-copy sends that were zero-copy.
    sends_zero_copy;
    /// Zero-copy sends that the kernel copied after all; their handle sends plainly from then on.
    sends_copied_after_all;
    /// Operations whose memory was leaked because they did not end within the teardown's deadline.
    leaked;
}

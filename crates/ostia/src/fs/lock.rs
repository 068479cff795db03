//! Locks on open files: flock(2), LockFileEx.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::fs::calls::{Held, blocking};
use crate::fs::{File, system};
use crate::task::spawn_blocking;
use crate::time::sleep;

/// How long a lock that is held by somebody else is left alone before it is tried again, at first and at most.
const HELD: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(32));

/// Which kind of lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lock {
    Exclusive,
    Shared,
}

/// One try of a lock: asked for, and then either got or given up, whichever comes first.
struct Try {
    held: Held,
    state: AtomicU8,
}

const ASKED: u8 = 0;
const GOT: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Try {
    /// From `ASKED` to `state`; else what it was already.
    fn settle(&self, state: u8) -> Result<u8, u8> {
        self.state.compare_exchange(ASKED, state, Ordering::AcqRel, Ordering::Acquire)
    }

    fn release(&self) {
        // It was got by this descriptor: there is nothing that could fail here but the file system, of which nobody could
        // be told any more.
        let _ = system::unlock(self.held.file());
    }
}

/// The future's share in a try: dropped before it has given the lock out, it sees to its release.
struct Wanted(Option<Arc<Try>>);

impl Drop for Wanted {
    fn drop(&mut self) {
        if let Some(attempt) = self.0.take()
            && attempt.settle(GIVEN_UP) == Err(GOT)
        {
            spawn_blocking(move || attempt.release()).detach();
        }
    }
}

/// Locks that programs agree on by flock(2), as [`std::fs::File::lock`] does: one exclusive or any number of shared ones on a
/// file at a time. They bind those who ask for them, and nobody else. On Windows (LockFileEx) they bind everybody: whoever reads or
/// writes a file that somebody else has locked, or writes one that is locked shared, fails with ERROR_LOCK_VIOLATION.
///
/// A lock belongs to the open file, which [clones](File::try_clone) share: two of this process that opened the same path
/// exclude each other, two clones don't. It goes with the last of them, after [`close`](File::close) at the latest. Locking again
/// turns one kind into the other, and not atomically: somebody else may come between. A call that is dropped may take the lock
/// from a clone that gets it at that moment; calls of one `File` come one after the other.
impl File {
    /// Waits until the file can be locked exclusively, and locks it.
    ///
    /// It is tried at once, and then again after 1 to 32 ms, for nothing tells when a lock becomes free but a thread that waits
    /// in the system call; that could not be interrupted, and enough of them would keep the one who holds the lock from working.
    /// So who waits is served in no order.
    ///
    /// Cancelled: the file is not locked, nor will be. One that was locked before may have lost its lock.
    ///
    /// # Errors
    /// As flock(2) or LockFileEx: ENOLCK, EOPNOTSUPP on file systems without locks. On another worker.
    pub async fn lock(&self) -> io::Result<()> {
        self.lock_patiently(Lock::Exclusive).await
    }

    /// As [`lock`](Self::lock), shared with others that lock it so. Cancelling as there.
    ///
    /// # Errors
    /// As there.
    pub async fn lock_shared(&self) -> io::Result<()> {
        self.lock_patiently(Lock::Shared).await
    }

    /// Locks the file exclusively if nobody else has it locked; whether it did. Cancelling as for [`lock`](Self::lock).
    ///
    /// # Errors
    /// As there.
    pub async fn try_lock(&self) -> io::Result<bool> {
        self.try_one(Lock::Exclusive).await
    }

    /// Locks the file shared if nobody else has it locked exclusively; whether it did. Cancelling as for [`lock`](Self::lock).
    ///
    /// # Errors
    /// As there.
    pub async fn try_lock_shared(&self) -> io::Result<bool> {
        self.try_one(Lock::Shared).await
    }

    /// Gives the lock up; without one, does nothing. Cancelled: it may happen.
    ///
    /// # Errors
    /// As flock(2); on another worker.
    pub async fn unlock(&self) -> io::Result<()> {
        let call = self.calls().begin_locking().await;
        let held = self.held(call)?;
        blocking(move || system::unlock(held.file())).await
    }

    async fn lock_patiently(&self, how: Lock) -> io::Result<()> {
        let mut pause = HELD.0;
        while !self.try_one(how).await? {
            sleep(pause).await;
            pause = (pause * 2).min(HELD.1);
        }
        Ok(())
    }

    async fn try_one(&self, how: Lock) -> io::Result<bool> {
        let call = self.calls().begin_locking().await;
        let attempt = Arc::new(Try { held: self.held(call)?, state: AtomicU8::new(ASKED) });
        let mut wanted = Wanted(Some(Arc::clone(&attempt)));
        let tried = blocking(move || {
            let got = system::try_lock(attempt.held.file(), how)?;
            if got && attempt.settle(GOT).is_err() {
                attempt.release();
            }
            Ok(got)
        });
        let tried = tried.await;
        // Given out from here on.
        wanted.0 = None;
        tried
    }
}

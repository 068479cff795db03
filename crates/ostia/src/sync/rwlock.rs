//! A lock for many readers or one writer, which may be held across awaits.
//!
//! It is fair: all who wait stand in one row, readers and writers, and nobody overtakes. Readers that stand together are
//! let in together. A writer that waits holds later readers up, so a stream of readers can't keep it out for ever. For the
//! same reason, **don't lock for reading twice in one task**: with a writer between the two, both wait for ever.
//!
//! **A holder that panics** unlocks. There is no poisoning: the next finds the value as it was left.
//!
//! ```
//! use ostia::sync::RwLock;
//!
//! static LIMITS: RwLock<(u32, u32)> = RwLock::new((1, 2));
//!
//! ostia::block_on(async {
//!     let (one, other) = (LIMITS.read().await, LIMITS.read().await);
//!     assert_eq!(*one, *other);
//!     drop((one, other));
//!     LIMITS.write().await.1 = 5;
//!     assert_eq!(*LIMITS.read().await, (1, 5));
//! });
//! ```

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::sync::block::block;
use crate::sync::mutex::TryLockError;
use crate::sync::permits::Permits;
use crate::sync::primitives::const_fn;

/// A reader takes one permit, a writer all: so many readers at once, which no process can have.
const ALL: usize = Permits::MOST;

/// A value that many may read or one may change. See the [module](self).
///
/// **Cancellation**: dropping a future that waits leaves the row; a lock it had just been given goes to the next.
pub struct RwLock<T: ?Sized> {
    permits: Permits,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through guards (and through `&mut` and by value): one that writes, or some that read. Moving
// the lock moves the value: `T: Send`.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: as above; sharing the lock lets threads read the value at once (`T: Sync`) and change it in turn (`T: Send`).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    const_fn! {
        /// An unlocked lock.
        #[must_use]
        pub const fn new(value: T) -> RwLock<T> {
            RwLock { permits: Permits::new(ALL), value: UnsafeCell::new(value) }
        }
    }

    /// The value, without the lock.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until there is no writer, nor one waiting before. Cancelled: it leaves the row.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        // The permits are never closed.
        let _ = self.permits.acquire(1).await;
        RwLockReadGuard { lock: self }
    }

    /// Waits until there is nobody else. Cancelled: it leaves the row.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        let _ = self.permits.acquire(ALL).await;
        RwLockWriteGuard { lock: self }
    }

    /// Locks for reading if that goes at once.
    ///
    /// # Errors
    /// If there is a writer, or anybody waits.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        self.permits.try_acquire(1).map_err(|_| TryLockError(()))?;
        Ok(RwLockReadGuard { lock: self })
    }

    /// Locks for writing if that goes at once.
    ///
    /// # Errors
    /// If there is anybody.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        self.permits.try_acquire(ALL).map_err(|_| TryLockError(()))?;
        Ok(RwLockWriteGuard { lock: self })
    }

    /// As [`read`](Self::read), for a guard that borrows nothing. Cancelled: it leaves the row.
    pub async fn read_owned(self: Arc<Self>) -> OwnedRwLockReadGuard<T> {
        let _ = self.permits.acquire(1).await;
        OwnedRwLockReadGuard { lock: self }
    }

    /// As [`write`](Self::write), for a guard that borrows nothing. Cancelled: it leaves the row.
    pub async fn write_owned(self: Arc<Self>) -> OwnedRwLockWriteGuard<T> {
        let _ = self.permits.acquire(ALL).await;
        OwnedRwLockWriteGuard { lock: self }
    }

    /// As [`try_read`](Self::try_read), for a guard that borrows nothing.
    ///
    /// # Errors
    /// As there.
    pub fn try_read_owned(self: Arc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError> {
        self.permits.try_acquire(1).map_err(|_| TryLockError(()))?;
        Ok(OwnedRwLockReadGuard { lock: self })
    }

    /// As [`try_write`](Self::try_write), for a guard that borrows nothing.
    ///
    /// # Errors
    /// As there.
    pub fn try_write_owned(self: Arc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError> {
        self.permits.try_acquire(ALL).map_err(|_| TryLockError(()))?;
        Ok(OwnedRwLockWriteGuard { lock: self })
    }

    /// As [`read`](Self::read), for a plain thread, which sleeps meanwhile.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_read(&self) -> RwLockReadGuard<'_, T> {
        block("blocking_read", self.read())
    }

    /// As [`write`](Self::write), for a plain thread, which sleeps meanwhile.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_write(&self) -> RwLockWriteGuard<'_, T> {
        block("blocking_write", self.write())
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Ok(guard) => f.debug_struct("RwLock").field("value", &&*guard).finish(),
            Err(_) => f.debug_struct("RwLock").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

/// An [`RwLock`] held for reading; dropping it unlocks.
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// An [`RwLock`] held for writing; dropping it unlocks.
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// An [`RwLock`] in an `Arc`, held for reading; dropping it unlocks.
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct OwnedRwLockReadGuard<T: ?Sized> {
    lock: Arc<RwLock<T>>,
}

/// An [`RwLock`] in an `Arc`, held for writing; dropping it unlocks.
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct OwnedRwLockWriteGuard<T: ?Sized> {
    lock: Arc<RwLock<T>>,
}

macro_rules! guard {
    ($name:ident $(, $life:lifetime)?; $permits:expr) => {
        impl<$($life,)? T: ?Sized> Deref for $name<$($life,)? T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: while this guard lives nobody changes the value, but through this guard borrowed mutably.
                unsafe { &*self.lock.value.get() }
            }
        }

        impl<$($life,)? T: ?Sized> Drop for $name<$($life,)? T> {
            #[inline]
            fn drop(&mut self) {
                self.lock.permits.release($permits);
            }
        }

        impl<$($life,)? T: ?Sized + fmt::Debug> fmt::Debug for $name<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<$($life,)? T: ?Sized + fmt::Display> fmt::Display for $name<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

guard!(RwLockReadGuard, 'a; 1);
guard!(RwLockWriteGuard, 'a; ALL);
guard!(OwnedRwLockReadGuard; 1);
guard!(OwnedRwLockWriteGuard; ALL);

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has all permits, so there is no other, and it is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for OwnedRwLockWriteGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader, with no writer in between. Readers that wait next in the row are let in.
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let lock = ManuallyDrop::new(self).lock;
        lock.permits.release(ALL - 1);
        RwLockReadGuard { lock }
    }
}

impl<T: ?Sized> OwnedRwLockWriteGuard<T> {
    /// Goes on as a reader, with no writer in between. Readers that wait next in the row are let in.
    pub fn downgrade(self) -> OwnedRwLockReadGuard<T> {
        let lock = Arc::clone(&self.lock);
        // The guard's own share of the `Arc` goes, its drop does not run.
        let mut whole = ManuallyDrop::new(self);
        // SAFETY: `whole` is never dropped nor used again, so its `Arc` is dropped here once.
        unsafe { std::ptr::drop_in_place(&raw mut whole.lock) };
        lock.permits.release(ALL - 1);
        OwnedRwLockReadGuard { lock }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn many_readers_or_one_writer() {
        let lock = Arc::new(RwLock::new(5));
        let readers = [lock.try_read().expect("free"), lock.try_read().expect("free")];
        assert!(lock.try_write().is_err());
        drop(readers);
        let mut writer = lock.try_write().expect("free");
        *writer += 1;
        assert!(lock.try_read().is_err() && lock.try_write().is_err());
        assert_eq!(format!("{lock:?} {writer:?}"), "RwLock { value: <locked> } 6");
        let reader = writer.downgrade();
        assert_eq!((*reader, *lock.try_read().expect("only readers")), (6, 6));
        assert!(lock.try_write().is_err());
        drop(reader);
        assert_eq!(lock.permits.available(), ALL);
    }

    #[test]
    fn owned_guards_keep_the_lock_alive_and_are_downgraded() {
        let lock = Arc::new(RwLock::new(String::from("a")));
        let mut writer = Arc::clone(&lock).try_write_owned().expect("free");
        writer.push('b');
        let reader = writer.downgrade();
        assert_eq!(Arc::strong_count(&lock), 2);
        let second = Arc::clone(&lock).try_read_owned().expect("only readers");
        drop(reader);
        assert_eq!(*second, "ab");
        drop(second);
        assert_eq!(Arc::strong_count(&lock), 1);
        assert_eq!(lock.permits.available(), ALL);
    }
}

//! A lock that is waited for without blocking the thread, and may be held across awaits.
//!
//! Where no await lies between locking and unlocking, `std::sync::Mutex` is the better lock; and what is used by the tasks
//! of one worker only can be a `Cell` or a `RefCell`, for tasks need not be `Send`. This one is for what a task must have
//! for itself *while it waits* for something else: a connection that takes one request at a time, a file being rewritten.
//!
//! It is fair: the lock goes to those who wait in the order in which they began to wait.
//!
//! **A holder that panics** unlocks. There is no poisoning: the next finds the value as it was left, so keep it whole at
//! every point that may panic, and at every await, where the holder may be dropped.
//!
//! ```
//! use ostia::sync::Mutex;
//!
//! static LOG: Mutex<Vec<u32>> = Mutex::new(Vec::new());
//!
//! ostia::block_on(async {
//!     let writing = ostia::spawn(async {
//!         let mut log = LOG.lock().await;
//!         log.push(1);
//!         ostia::yield_now().await;
//!         log.push(2);
//!     });
//!     ostia::yield_now().await;
//!     assert_eq!(*LOG.lock().await, [1, 2]);
//!     writing.await.unwrap();
//! });
//! ```

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::sync::block::block;
use crate::sync::permits::Permits;
use crate::sync::primitives::const_fn;

/// A value that one at a time may use. See the [module](self).
///
/// **Cancellation**: dropping a future that waits leaves the row; a lock it had just been given goes to the next.
pub struct Mutex<T: ?Sized> {
    /// One permit, which is the lock.
    permits: Permits,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through guards only, of which there is one at a time (and through `&mut` and by value). So
// the value moves between threads, but no two use it at once: `T: Send` is enough, as for `std::sync::Mutex`.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// The lock is held, or others wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TryLockError(pub(crate) ());

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is held, or others wait for it")
    }
}

impl std::error::Error for TryLockError {}

impl<T> Mutex<T> {
    const_fn! {
        /// An unlocked mutex.
        #[must_use]
        pub const fn new(value: T) -> Mutex<T> {
            Mutex { permits: Permits::new(1), value: UnsafeCell::new(value) }
        }
    }

    /// The value, without the mutex.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock. Cancelled: it leaves the row.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        // The permits are never closed.
        let _ = self.permits.acquire(1).await;
        MutexGuard { mutex: self }
    }

    /// Takes the lock if it is free and nobody waits for it.
    ///
    /// # Errors
    /// If not.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        self.permits.try_acquire(1).map_err(|_| TryLockError(()))?;
        Ok(MutexGuard { mutex: self })
    }

    /// As [`lock`](Self::lock), for a guard that borrows nothing. Cancelled: it leaves the row.
    pub async fn lock_owned(self: Arc<Self>) -> OwnedMutexGuard<T> {
        let _ = self.permits.acquire(1).await;
        OwnedMutexGuard { mutex: self }
    }

    /// As [`try_lock`](Self::try_lock), for a guard that borrows nothing.
    ///
    /// # Errors
    /// As there.
    pub fn try_lock_owned(self: Arc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        self.permits.try_acquire(1).map_err(|_| TryLockError(()))?;
        Ok(OwnedMutexGuard { mutex: self })
    }

    /// As [`lock`](Self::lock), for a plain thread, which sleeps meanwhile.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_lock(&self) -> MutexGuard<'_, T> {
        block("blocking_lock", self.lock())
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Ok(guard) => f.debug_struct("Mutex").field("value", &&*guard).finish(),
            Err(_) => f.debug_struct("Mutex").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

/// The lock of a [`Mutex`]; dropping it unlocks.
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

// SAFETY: a shared guard gives `&T` only, which `T: Sync` allows. (Left to itself it would be `Sync` with `T: Send`.)
unsafe impl<T: ?Sized + Send + Sync> Sync for MutexGuard<'_, T> {}

/// The lock of a [`Mutex`] in an `Arc`; dropping it unlocks.
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct OwnedMutexGuard<T: ?Sized> {
    mutex: Arc<Mutex<T>>,
}

// SAFETY: as for `MutexGuard`.
unsafe impl<T: ?Sized + Send + Sync> Sync for OwnedMutexGuard<T> {}

macro_rules! guard {
    ($name:ident $(, $life:lifetime)?) => {
        impl<$($life,)? T: ?Sized> Deref for $name<$($life,)? T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: this guard is the only one, and gives `&mut T` only through itself borrowed mutably.
                unsafe { &*self.mutex.value.get() }
            }
        }

        impl<$($life,)? T: ?Sized> DerefMut for $name<$($life,)? T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: as above.
                unsafe { &mut *self.mutex.value.get() }
            }
        }

        impl<$($life,)? T: ?Sized> Drop for $name<$($life,)? T> {
            #[inline]
            fn drop(&mut self) {
                self.mutex.permits.release(1);
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

guard!(MutexGuard, 'a);
guard!(OwnedMutexGuard);

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that this is the lock of.
    #[must_use]
    pub fn mutex(this: &Self) -> &'a Mutex<T> {
        this.mutex
    }
}

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// The mutex that this is the lock of.
    #[must_use]
    pub fn mutex(this: &Self) -> &Arc<Mutex<T>> {
        &this.mutex
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let mutex = Arc::new(Mutex::new(1));
        let mut guard = mutex.try_lock().expect("it is free");
        *guard += 1;
        assert_eq!(mutex.try_lock().expect_err("it is held"), TryLockError(()));
        assert_eq!(format!("{mutex:?} {guard:?} {guard}"), "Mutex { value: <locked> } 2 2");
        drop(guard);
        let owned = Arc::clone(&mutex).try_lock_owned().expect("it is free");
        assert!(mutex.try_lock().is_err());
        drop(owned);
        assert_eq!(format!("{mutex:?}"), "Mutex { value: 2 }");
        assert_eq!(Arc::into_inner(mutex).map(Mutex::into_inner), Some(2));
    }

    #[test]
    fn values_without_a_size_can_be_locked() {
        let mutex: Box<Mutex<[u8]>> = Box::new(Mutex::new([1, 2, 3]));
        mutex.try_lock().expect("it is free")[1] = 9;
        assert_eq!(*mutex.try_lock().expect("it is free"), [1, 9, 3]);
    }
}

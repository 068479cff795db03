//! A semaphore: so many may, the others wait in a row.
//!
//! A [`Semaphore`] bounds how much of something is in use: connections to a database, memory, requests in flight. It is
//! fair: permits go to those who wait in the order in which they began to wait, and nobody overtakes, not even by
//! [`try_acquire`](Semaphore::try_acquire). So who wants many gets them, and holds up those behind until then.
//!
//! ```
//! use ostia::sync::Semaphore;
//!
//! static UPLOADS: Semaphore = Semaphore::new(2);
//!
//! ostia::block_on(async {
//!     let first = UPLOADS.acquire().await.unwrap();
//!     let both = UPLOADS.acquire_many(2);
//!     drop(first);
//!     assert_eq!(both.await.unwrap().count(), 2);
//!     assert_eq!(UPLOADS.available_permits(), 2);
//! });
//! ```

use std::fmt;
use std::sync::Arc;

use crate::sync::block::block;
use crate::sync::permits::{Permits, Refusal};
use crate::sync::primitives::const_fn;

/// Permits that can be taken, waited for, and given back. See the [module](self).
///
/// **Cancellation**: dropping a future that waits leaves the row; permits it had just been given go to the next.
pub struct Semaphore {
    permits: Permits,
}

/// The semaphore was closed: it gives out no permits any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcquireError(());

/// Why [`Semaphore::try_acquire`] gave no permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryAcquireError {
    /// There are not so many now, or others wait for them.
    NoPermits,
    /// The semaphore was closed.
    Closed,
}

impl From<Refusal> for TryAcquireError {
    fn from(refusal: Refusal) -> TryAcquireError {
        match refusal {
            Refusal::NoPermits => TryAcquireError::NoPermits,
            Refusal::Closed => TryAcquireError::Closed,
        }
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore is closed")
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryAcquireError::NoPermits => "the semaphore has no permits to spare now",
            TryAcquireError::Closed => "the semaphore is closed",
        })
    }
}

impl std::error::Error for AcquireError {}
impl std::error::Error for TryAcquireError {}

impl Semaphore {
    /// The most permits a semaphore can have.
    pub const MAX_PERMITS: usize = Permits::MOST;

    const_fn! {
        /// A semaphore of this many permits.
        ///
        /// # Panics
        /// If they are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
        #[must_use]
        pub const fn new(permits: usize) -> Semaphore {
            assert!(permits <= Self::MAX_PERMITS, "a semaphore can't have so many permits");
            Semaphore { permits: Permits::new(permits) }
        }
    }

    /// How many permits nobody has. With others about, this may be wrong by the time it is looked at.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.permits.available()
    }

    /// Adds permits, which go to those who wait first.
    ///
    /// # Panics
    /// If there would be more than [`MAX_PERMITS`](Self::MAX_PERMITS) to take.
    pub fn add_permits(&self, count: usize) {
        let most = Self::MAX_PERMITS - self.available_permits();
        assert!(count <= most, "a semaphore can't have so many permits");
        self.permits.release(count);
    }

    /// Takes up to `count` of the permits that nobody has away for good; gives how many.
    pub fn forget_permits(&self, count: usize) -> usize {
        self.permits.forget(count)
    }

    /// Closes the semaphore: all who wait and all who come get an error. Permits that are out stay good.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// Waits for a permit. Cancelled: it leaves the row.
    ///
    /// # Errors
    /// If the semaphore is or gets closed.
    pub async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.acquire_many(1).await
    }

    /// Waits for `count` permits at once. If there will never be so many this waits for ever, and all others behind it.
    /// Cancelled: it leaves the row.
    ///
    /// # Errors
    /// If the semaphore is or gets closed.
    pub async fn acquire_many(&self, count: usize) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.permits.acquire(count).await.map_err(|_| AcquireError(()))?;
        Ok(SemaphorePermit { semaphore: self, count })
    }

    /// Takes a permit if there is one and nobody waits.
    ///
    /// # Errors
    /// If not, and if the semaphore is closed.
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if there are so many and nobody waits.
    ///
    /// # Errors
    /// If not, and if the semaphore is closed.
    pub fn try_acquire_many(&self, count: usize) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.permits.try_acquire(count)?;
        Ok(SemaphorePermit { semaphore: self, count })
    }

    /// As [`acquire`](Self::acquire), for a permit that borrows nothing. Cancelled: it leaves the row.
    ///
    /// # Errors
    /// As there.
    pub async fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_owned(1).await
    }

    /// As [`acquire_many`](Self::acquire_many), for a permit that borrows nothing. Cancelled: it leaves the row.
    ///
    /// # Errors
    /// As there.
    pub async fn acquire_many_owned(self: Arc<Self>, count: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.permits.acquire(count).await.map_err(|_| AcquireError(()))?;
        Ok(OwnedSemaphorePermit { semaphore: self, count })
    }

    /// As [`try_acquire`](Self::try_acquire), for a permit that borrows nothing.
    ///
    /// # Errors
    /// As there.
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// As [`try_acquire_many`](Self::try_acquire_many), for a permit that borrows nothing.
    ///
    /// # Errors
    /// As there.
    pub fn try_acquire_many_owned(self: Arc<Self>, count: usize) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.permits.try_acquire(count)?;
        Ok(OwnedSemaphorePermit { semaphore: self, count })
    }

    /// As [`acquire_many`](Self::acquire_many), for a plain thread, which sleeps meanwhile.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_acquire_many(&self, count: usize) -> Result<SemaphorePermit<'_>, AcquireError> {
        block("blocking_acquire_many", self.acquire_many(count))
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available_permits()).field("closed", &self.is_closed()).finish()
    }
}

/// Permits of a [`Semaphore`], which go back when this is dropped, be it by a panic.
#[must_use = "permits go back as soon as they are dropped"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

/// Permits of a [`Semaphore`] in an `Arc`, which go back when this is dropped, be it by a panic.
#[must_use = "permits go back as soon as they are dropped"]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    count: usize,
}

macro_rules! permit {
    ($name:ident $(<$life:lifetime>)?, $same:expr, $clone:expr) => {
        impl $(<$life>)? $name $(<$life>)? {
            /// How many permits these are.
            #[must_use]
            pub fn count(&self) -> usize {
                self.count
            }

            /// Lets them go without giving them back: the semaphore has fewer then.
            pub fn forget(mut self) {
                self.count = 0;
            }

            /// Adds permits of the same semaphore to these.
            ///
            /// # Panics
            /// If they are of another one.
            pub fn merge(&mut self, mut other: Self) {
                let same: fn(&Self, &Self) -> bool = $same;
                assert!(same(self, &other), "permits of two semaphores can't be merged");
                self.count += std::mem::take(&mut other.count);
            }

            /// Takes `count` of these apart; none if there are fewer.
            pub fn split(&mut self, count: usize) -> Option<Self> {
                self.count = self.count.checked_sub(count)?;
                let clone: fn(&Self) -> _ = $clone;
                Some(Self { semaphore: clone(self), count })
            }
        }

        impl $(<$life>)? Drop for $name $(<$life>)? {
            fn drop(&mut self) {
                if self.count > 0 {
                    self.semaphore.permits.release(self.count);
                }
            }
        }

        impl $(<$life>)? fmt::Debug for $name $(<$life>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("count", &self.count).finish()
            }
        }
    };
}

permit!(SemaphorePermit<'a>, |one, other| std::ptr::eq(one.semaphore, other.semaphore), |this| this.semaphore);
permit!(OwnedSemaphorePermit, |one, other| Arc::ptr_eq(&one.semaphore, &other.semaphore), |this| Arc::clone(&this.semaphore));

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn permits_are_split_merged_and_forgotten() {
        let semaphore = Arc::new(Semaphore::new(10));
        let mut all = semaphore.try_acquire_many(8).expect("there are ten");
        let some = all.split(3).expect("there are eight");
        assert!(all.split(6).is_none());
        assert_eq!((all.count(), some.count(), semaphore.available_permits()), (5, 3, 2));
        some.forget();
        all.merge(semaphore.try_acquire().expect("there are two"));
        drop(all);
        assert_eq!(semaphore.available_permits(), 7);

        let mut owned = Arc::clone(&semaphore).try_acquire_many_owned(7).expect("there are seven");
        let apart = owned.split(7).expect("all of them");
        assert_eq!((owned.count(), apart.count()), (0, 7));
        assert_eq!(semaphore.try_acquire().expect_err("none is left"), TryAcquireError::NoPermits);
        drop((owned, apart));
        assert_eq!(semaphore.forget_permits(3), 3);
        semaphore.add_permits(1);
        assert_eq!(semaphore.available_permits(), 5);
    }

    #[test]
    #[should_panic(expected = "permits of two semaphores")]
    fn permits_of_two_semaphores_stay_apart() {
        let (one, other) = (Semaphore::new(1), Semaphore::new(1));
        one.try_acquire().expect("one").merge(other.try_acquire().expect("one"));
    }
}

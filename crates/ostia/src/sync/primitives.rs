//! The few things of the standard library that threads meet in, exchanged for loom's where its models run.

#[cfg(all(loom, test))]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::sync::PoisonError;
#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Locks, whatever has become of those who had it before: nothing here is half done when a panic passes through.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a function `const`, except where loom's types stand in, which can't be made at compile time.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis const fn $name:ident($($args:tt)*) -> $output:ty $body:block) => {
        $(#[$meta])*
        #[cfg(not(all(loom, test)))]
        $vis const fn $name($($args)*) -> $output $body

        $(#[$meta])*
        #[cfg(all(loom, test))]
        $vis fn $name($($args)*) -> $output $body
    };
}
pub(crate) use const_fn;

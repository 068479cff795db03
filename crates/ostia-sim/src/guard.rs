//! The guard of test binaries: a program in a world that reads the system's clock or its source of randomness ends the process.
//!
//! The standard library reads both by functions of the C library, and a function that an executable defines itself comes before
//! the library's. So these two stand here in their place, for the whole program. Outside of worlds they pass on to the system.

use std::backtrace::Backtrace;
use std::cell::Cell;

thread_local! {
    /// This thread runs a world's programs. Without a destructor and constant at first, so that it can be asked at any time.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// While it lives this thread is inside of a world.
pub(crate) struct Inside;

impl Inside {
    pub(crate) fn enter() -> Inside {
        INSIDE.set(true);
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// Ends the process if this thread is inside of a world.
fn check(what: &str, instead: &str) {
    if INSIDE.replace(false) {
        let trace = Backtrace::force_capture();
        eprintln!("a program in a world reads {what}: use {instead}, or the world is not the same each time\n{trace}");
        std::process::abort();
    }
}

/// clock_gettime(2).
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    check("the system's clock", "ostia::time");
    // SAFETY: the arguments are the caller's, for the very call.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as libc::c_int }
}

/// getrandom(2).
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(bytes: *mut libc::c_void, len: libc::size_t, flags: libc::c_uint) -> libc::ssize_t {
    check("the system's source of randomness (perhaps by the RandomState of a HashMap)", "ostia::random or a BTreeMap");
    // SAFETY: the arguments are the caller's, for the very call.
    unsafe { libc::syscall(libc::SYS_getrandom, bytes, len, flags) as libc::ssize_t }
}

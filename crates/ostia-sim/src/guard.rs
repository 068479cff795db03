//! The guard of test binaries: a program in a world that reads the system's clock or its source of randomness ends the process.
//!
//! The standard library reads both by functions of the C library, and a function that an executable defines itself comes before
//! the library's. So these stand here in their place, for the whole program. Outside of worlds they pass on to the system.
//!
//! What goes past the C library is not seen: system calls of one's own (as those of `rustix`), /dev/urandom, and all that happens
//! on threads that a program starts.

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

/// gettimeofday(2).
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, zone: *mut libc::c_void) -> libc::c_int {
    check("the system's clock", "ostia::time");
    // SAFETY: the arguments are the caller's, for the very call.
    unsafe { libc::syscall(libc::SYS_gettimeofday, time, zone) as libc::c_int }
}

/// time(2).
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn time(into: *mut libc::time_t) -> libc::time_t {
    check("the system's clock", "ostia::time");
    let mut now = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    // SAFETY: it writes to `now`; `into` is the caller's, null or to be written to.
    unsafe {
        libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_REALTIME, &raw mut now);
        if let Some(into) = into.as_mut() {
            *into = now.tv_sec;
        }
    }
    now.tv_sec
}

/// getentropy(3): 256 bytes at most, all of them or none.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(bytes: *mut libc::c_void, len: libc::size_t) -> libc::c_int {
    // SAFETY: `len` bytes are the caller's; the system gives as few as 256 at once. A thread always has its errno.
    unsafe {
        if len > 256 {
            *libc::__errno_location() = libc::EIO;
            return -1;
        }
        if getrandom(bytes, len, 0) == len as libc::ssize_t { 0 } else { -1 }
    }
}

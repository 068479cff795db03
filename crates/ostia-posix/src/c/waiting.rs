//! poll(2) and epoll(7).

use std::ffi::{c_int, c_void};
use std::time::{Duration, Instant};

use libc::{epoll_event, nfds_t, pollfd};

use super::{borrow, int, last_error, memory};
use crate::{EpollEvent, Errno, PollFd, World};

/// How often the kernel's descriptors are looked at, in milliseconds, while a poll waits for some of both.
const SLICE: i32 = 10;

/// Descriptors of a poll, at most: more than any table has by default.
const MOST: nfds_t = 1 << 20;

/// poll(2), also of the kernel's descriptors. If all are the world's, or all the kernel's, it sleeps until there is something.
///
/// # Safety
/// `world` is from [`into_raw`](super::into_raw), and not released yet; `count` entries may be read and written at `entries`
/// unless that is null.
pub unsafe extern "C" fn poll(world: *mut c_void, entries: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    let outcome = world.and_then(|world| {
        if count > MOST {
            return Err(Errno::EINVAL);
        }
        let count = count as usize;
        if entries.is_null() && count > 0 {
            return Err(Errno::EFAULT);
        }
        // SAFETY: each is one of those that the caller says are there.
        let mut all: Vec<pollfd> =
            (0..count).map(|at| unsafe { memory::object(entries.add(at).cast_const()) }).collect::<Result<_, _>>()?;
        let ready = poll_all(&world, &mut all, timeout)?;
        for (at, entry) in all.into_iter().enumerate() {
            // SAFETY: it was read there.
            unsafe { memory::put(entries.add(at), entry) }?;
        }
        Ok(ready)
    });
    int(outcome)
}

fn poll_all(world: &World, all: &mut [pollfd], timeout: c_int) -> Result<c_int, Errno> {
    let own: Vec<bool> = all.iter().map(|entry| entry.fd >= 0 && world.has(entry.fd)).collect();
    let foreign = all.iter().zip(&own).any(|(entry, own)| entry.fd >= 0 && !own);
    if foreign && !own.contains(&true) {
        return poll_kernel(all, timeout);
    }
    let mut ours: Vec<PollFd> = all.iter().zip(&own).map(|(entry, &own)| mine(entry, own)).collect();
    let end = u64::try_from(timeout).ok().map(|millis| Instant::now() + Duration::from_millis(millis));
    loop {
        let slice = match (foreign, end) {
            (false, _) => timeout,
            (true, None) => SLICE,
            (true, Some(end)) => {
                let left = end.saturating_duration_since(Instant::now()).as_millis();
                c_int::try_from(left).unwrap_or(SLICE).min(SLICE)
            }
        };
        let theirs = if foreign { look_at_kernel(all, &own)? } else { 0 };
        let found = world.poll(&mut ours, if theirs > 0 { 0 } else { slice })?;
        for (entry, (polled, own)) in all.iter_mut().zip(ours.iter().zip(&own)) {
            if *own {
                entry.revents = polled.revents;
            } else if entry.fd < 0 {
                entry.revents = 0;
            }
        }
        let ready = found + theirs;
        if ready > 0 || !foreign || end.is_some_and(|end| Instant::now() >= end) {
            return c_int::try_from(ready).map_err(|_| Errno::EINVAL);
        }
    }
}

/// The entry as the world sees it; one that isn't its own is passed over.
fn mine(entry: &pollfd, own: bool) -> PollFd {
    PollFd { fd: if own { entry.fd } else { -1 }, events: entry.events, revents: 0 }
}

/// The kernel's entries as they are now; how many have something.
fn look_at_kernel(all: &mut [pollfd], own: &[bool]) -> Result<usize, Errno> {
    let mut theirs: Vec<pollfd> =
        all.iter().zip(own).map(|(entry, &own)| pollfd { fd: if own { -1 } else { entry.fd }, ..*entry }).collect();
    let ready = poll_kernel(&mut theirs, 0)?;
    for (entry, (polled, _)) in all.iter_mut().zip(theirs.iter().zip(own)).filter(|(_, (_, own))| !**own) {
        entry.revents = polled.revents;
    }
    usize::try_from(ready).map_err(|_| Errno::EINVAL)
}

fn poll_kernel(all: &mut [pollfd], timeout: c_int) -> Result<c_int, Errno> {
    // SAFETY: the slice is this many entries long, and its own.
    match unsafe { libc::poll(all.as_mut_ptr(), all.len() as nfds_t, timeout) } {
        -1 => Err(last_error()),
        ready => Ok(ready),
    }
}

/// epoll_create(2).
///
/// # Safety
/// As [`poll()`].
pub unsafe extern "C" fn epoll_create(world: *mut c_void, size: c_int) -> c_int {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    int(world.and_then(|world| if size > 0 { world.epoll_create(0) } else { Err(Errno::EINVAL) }))
}

/// epoll_create1(2).
///
/// # Safety
/// As [`poll()`].
pub unsafe extern "C" fn epoll_create1(world: *mut c_void, flags: c_int) -> c_int {
    // SAFETY: the caller's.
    int(unsafe { borrow(world) }.and_then(|world| world.epoll_create(flags)))
}

/// epoll_ctl(2).
///
/// # Safety
/// As [`poll()`]; `event` is null, or may be read.
pub unsafe extern "C" fn epoll_ctl(world: *mut c_void, epfd: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int {
    // SAFETY: the caller's.
    let (world, event) = unsafe { (borrow(world), memory::object(event.cast_const())) };
    let event = match op {
        libc::EPOLL_CTL_DEL => None,
        _ => match event {
            Ok(event) => Some(EpollEvent { events: event.events, data: event.u64 }),
            Err(error) => return int(Err(error)),
        },
    };
    int(world.and_then(|world| world.epoll_ctl(epfd, op, fd, event)).map(|()| 0))
}

/// epoll_wait(2).
///
/// # Safety
/// As [`poll()`]; `most` events may be written at `events` unless that is null.
pub unsafe extern "C" fn epoll_wait(
    world: *mut c_void,
    epfd: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's.
    let world = unsafe { borrow(world) };
    let outcome = world.and_then(|world| {
        let most = usize::try_from(most).map_err(|_| Errno::EINVAL)?;
        if events.is_null() && most > 0 {
            return Err(Errno::EFAULT);
        }
        let found = world.epoll_wait(epfd, most, timeout)?;
        for (at, event) in found.iter().enumerate() {
            // SAFETY: there are at most `most`, for which the caller says that there is room.
            unsafe { memory::put(events.add(at), epoll_event { events: event.events, u64: event.data }) }?;
        }
        c_int::try_from(found.len()).map_err(|_| Errno::EINVAL)
    });
    int(outcome)
}

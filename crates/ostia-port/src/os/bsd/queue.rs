//! kqueue(2): making one, telling it of changes, asking it for what has happened.

use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::event::kqueue::{self, Event, EventFilter, EventFlags, UserDefinedFlags, UserFlags};
use rustix::io::{self, FdFlags};

/// A queue that an exec(2) closes.
pub(crate) fn create() -> io::Result<OwnedFd> {
    let queue = kqueue::kqueue()?;
    rustix::io::fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
    Ok(queue)
}

/// An event of the user's own (EVFILT_USER): added with EV_ADD, and happening with NOTE_TRIGGER. The two are changes of their
/// own, for older kernels don't see the trigger of one that they add.
pub(crate) fn user(ident: isize, flags: EventFlags, trigger: bool) -> Event {
    let what = if trigger { UserFlags::TRIGGER } else { UserFlags::empty() };
    Event::new(EventFilter::User { ident, flags: what, user_flags: UserDefinedFlags::new(0) }, flags, ptr::null_mut())
}

/// Makes changes; the first that fails ends it.
pub(crate) fn change(queue: BorrowedFd<'_>, changes: &[Event]) -> io::Result<()> {
    let mut nothing: [MaybeUninit<Event>; 0] = [];
    // SAFETY: no descriptor is named but such as their owners take out of the queue, or close, before they are used again.
    unsafe { kqueue::kevent(queue, changes, &mut nothing[..], Some(Duration::ZERO)) }?;
    Ok(())
}

/// What has happened, if anything has.
pub(crate) fn take(queue: BorrowedFd<'_>) -> io::Result<Option<Event>> {
    let mut room = [MaybeUninit::<Event>::uninit()];
    // SAFETY: no change is made.
    let (events, _) = unsafe { kqueue::kevent(queue, &[], &mut room[..], Some(Duration::ZERO)) }?;
    Ok(events.first().copied())
}

//! C's memory as slices.

use std::ffi::c_void;
use std::io::{IoSlice, IoSliceMut};

use crate::{Errno, Sockaddr};

/// UIO_MAXIOV: pieces of a vectored call, at most.
const PIECES: usize = 1024;

/// Bytes that are thrown away by one call, at most.
const THROWN_AWAY: usize = 1 << 20;

/// Bytes to be read.
///
/// # Safety
/// `start` is null, or `len` bytes there are readable while the slice lives.
pub unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Result<&'a [u8], Errno> {
    match (start.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Errno::EFAULT),
        // No object is longer (std::slice::from_raw_parts).
        (false, len) if isize::try_from(len).is_err() => Err(Errno::EFAULT),
        // SAFETY: not null, and the caller says that so many bytes may be read.
        (false, len) => Ok(unsafe { std::slice::from_raw_parts(start.cast(), len) }),
    }
}

/// Bytes to be written.
///
/// # Safety
/// `start` is null, or `len` bytes there are writable, and nobody else's, while the slice lives.
pub unsafe fn bytes_mut<'a>(start: *mut c_void, len: usize) -> Result<&'a mut [u8], Errno> {
    match (start.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Errno::EFAULT),
        (false, len) if isize::try_from(len).is_err() => Err(Errno::EFAULT),
        // SAFETY: not null, and the caller says that so many bytes may be written.
        (false, len) => Ok(unsafe { std::slice::from_raw_parts_mut(start.cast(), len) }),
    }
}

/// Where received bytes go. Who wants them thrown away (MSG_TRUNC of a stream) needs no place for them: `spare` stands for it.
///
/// # Safety
/// As [`bytes_mut`].
pub(super) unsafe fn to_fill(start: *mut c_void, len: usize, flags: i32, spare: &mut Vec<u8>) -> Result<&mut [u8], Errno> {
    if start.is_null() && flags & libc::MSG_TRUNC != 0 {
        spare.resize(len.min(THROWN_AWAY), 0);
        return Ok(spare);
    }
    // SAFETY: as the caller says.
    unsafe { bytes_mut(start, len) }
}

/// An object to be read.
///
/// # Safety
/// `start` is null, or a `T` there is readable; it needn't be aligned.
pub unsafe fn object<T: Copy>(start: *const T) -> Result<T, Errno> {
    if start.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: not null, and the caller says that a `T` is there.
    Ok(unsafe { start.read_unaligned() })
}

/// An object to be written.
///
/// # Safety
/// `place` is null, or has room for a `T`; it needn't be aligned.
pub unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Errno> {
    if place.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: not null, and the caller says that there is room for a `T`.
    unsafe { place.write_unaligned(value) };
    Ok(())
}

/// The rows of a `struct iovec`; EINVAL of too many.
///
/// # Safety
/// `rows` is null, or `count` of them are there.
unsafe fn rows(rows: *const libc::iovec, count: usize) -> Result<Vec<libc::iovec>, Errno> {
    if count > PIECES {
        return Err(Errno::EINVAL);
    }
    // SAFETY: each is one of those that the caller says are there; null is looked at first.
    (0..count).map(|at| unsafe { object(if rows.is_null() { rows } else { rows.add(at) }) }).collect()
}

/// What a vectored call sends.
///
/// # Safety
/// `row` is null, or `count` rows are there, each of them null or of readable bytes while the slices live.
pub(super) unsafe fn to_send<'a>(row: *const libc::iovec, count: usize) -> Result<Vec<IoSlice<'a>>, Errno> {
    // SAFETY: as the caller says.
    let rows = unsafe { rows(row, count) }?;
    // SAFETY: as the caller says of each row.
    rows.into_iter().map(|row| unsafe { bytes(row.iov_base, row.iov_len) }.map(IoSlice::new)).collect()
}

/// Where a vectored call receives.
///
/// # Safety
/// As [`to_send`], of bytes that may be written, and no two rows share any.
pub(super) unsafe fn to_receive<'a>(row: *const libc::iovec, count: usize) -> Result<Vec<IoSliceMut<'a>>, Errno> {
    // SAFETY: as the caller says.
    let rows = unsafe { rows(row, count) }?;
    // SAFETY: as the caller says of each row.
    rows.into_iter().map(|row| unsafe { bytes_mut(row.iov_base, row.iov_len) }.map(IoSliceMut::new)).collect()
}

/// A name that a program has given; none if it is null.
///
/// # Safety
/// As [`bytes`].
pub(super) unsafe fn name<'a>(start: *const libc::sockaddr, len: libc::socklen_t) -> Result<Option<&'a [u8]>, Errno> {
    if start.is_null() {
        return Ok(None);
    }
    // sizeof(struct sockaddr_storage): the kernel takes no more.
    if len as usize > size_of::<libc::sockaddr_storage>() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: not null, and the caller says that so many bytes may be read.
    Ok(Some(unsafe { bytes(start.cast(), len as usize) }?))
}

/// Writes a name, as much of it as there is room for, and its whole length. Where there is no place for it, nothing.
///
/// # Safety
/// `place` is null, or `len` is null or says how many bytes there may be written.
pub(super) unsafe fn put_name(
    place: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    found: Option<Sockaddr>,
) -> Result<(), Errno> {
    if place.is_null() {
        return Ok(());
    }
    // SAFETY: null is looked at; else the caller says that a length is there.
    let room = unsafe { object(len) }?;
    if i32::try_from(room).is_err() {
        return Err(Errno::EINVAL);
    }
    let found = found.as_ref().map_or(&[][..], Sockaddr::as_bytes);
    let count = found.len().min(room as usize);
    // SAFETY: not null, and the caller says that there is so much room.
    let place = unsafe { bytes_mut(place.cast(), count) }?;
    place.copy_from_slice(&found[..count]);
    // SAFETY: the length was read there.
    unsafe { put(len, found.len() as libc::socklen_t) }
}

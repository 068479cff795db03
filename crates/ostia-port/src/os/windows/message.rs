//! Pieces of the header of WSASendMsg and WSARecvMsg that not every system lays out alike.

use super::raw;

/// One piece of memory of a header.
#[inline]
pub(crate) fn iovec(ptr: *mut u8, len: usize) -> raw::iovec {
    raw::iovec { iov_len: u32::try_from(len).unwrap_or(u32::MAX), iov_base: ptr.cast() }
}

/// How much control data a header has.
#[inline]
pub(crate) fn control_len(head: &raw::msghdr) -> usize {
    head.msg_controllen as usize
}

/// Where a piece's memory begins, and how long it is.
#[inline]
pub(crate) fn memory_of(piece: &raw::iovec) -> (*mut u8, usize) {
    (piece.iov_base.cast(), piece.iov_len as usize)
}

/// How many pieces a header has.
#[inline]
pub(crate) fn pieces_of(head: &raw::msghdr) -> usize {
    head.msg_iovlen as usize
}

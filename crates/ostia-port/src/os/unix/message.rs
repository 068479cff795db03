//! Pieces of the headers of sendmsg(2) and recvmsg(2) that not every system lays out alike.

use super::raw;

/// One piece of memory of a header.
#[inline]
pub(crate) fn iovec(ptr: *mut u8, len: usize) -> raw::iovec {
    raw::iovec { iov_base: ptr.cast(), iov_len: len }
}

/// How much control data a header has.
#[inline]
pub(crate) fn control_len(head: &raw::msghdr) -> usize {
    head.msg_controllen as _
}

/// Where a piece's memory begins, and how long it is.
#[inline]
pub(crate) fn memory_of(piece: &raw::iovec) -> (*mut u8, usize) {
    (piece.iov_base.cast(), piece.iov_len)
}

/// How many pieces a header has.
#[inline]
pub(crate) fn pieces_of(head: &raw::msghdr) -> usize {
    head.msg_iovlen as _
}

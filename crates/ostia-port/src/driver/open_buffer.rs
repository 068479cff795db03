//! Receiving into the pool without a buffer ring: one buffer is open at a time and filled front to back.

use std::os::fd::RawFd;

use crate::pool::{Empty, Pool};
use crate::sys::Event;
use crate::syscalls;
use crate::tag::Tag;

/// Less room than this isn't offered to a receive: the buffer is closed and the next one opened.
const ROOM_MIN: usize = 4096;

/// How a descriptor is read.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// recv(2), never waiting.
    Socket,
    /// read(2): only after poll said that it won't wait, unless `RWF_NOWAIT` can be trusted to say so.
    Pipe { polled: bool },
}

/// The buffer that is being filled.
#[derive(Default)]
pub(crate) struct OpenBuffer {
    current: Option<(Empty, usize)>,
}

impl OpenBuffer {
    /// Receives once from `fd`. `Err(EAGAIN)`: nothing there; `Err(ENOBUFS)`: the pool is dry.
    pub(crate) fn receive(&mut self, tag: Tag, fd: RawFd, how: How, pool: &Pool) -> Result<Event, i32> {
        let size = pool.config().buffer_size;
        let (empty, offset) = match self.current.take() {
            Some(open) => open,
            None => (pool.take().ok_or(libc::ENOBUFS)?, 0),
        };
        // SAFETY: `offset` is below the buffer's size.
        let at = unsafe { empty.ptr.add(offset) }.as_ptr();
        // SAFETY: the rest of the buffer is ours to fill: `offset` is past all that was lent.
        let got = unsafe { read_once(fd, how, at, size - offset) };
        if got <= 0 {
            self.current = Some((empty, offset));
            return if got == 0 { Ok(Event::last(tag, 0)) } else { Err(-got) };
        }
        let (len, end) = (got as usize, offset + got as usize);
        let part = if size - end < ROOM_MIN.min(size / 2) {
            // SAFETY: those bytes were written just now, and the buffer is not written to again before it is free.
            unsafe { pool.lend_last(empty.index, offset, len) }
        } else {
            // SAFETY: as above; later receives start behind them.
            let part = unsafe { pool.lend(empty.index, offset, len) };
            self.current = Some((empty, end));
            part
        };
        Ok(Event { chunk: Some(pool.chunk(part)), ..Event::last(tag, got) })
    }

    /// Gives the open buffer back.
    pub(crate) fn close(&mut self, pool: &Pool) {
        if let Some((empty, _)) = self.current.take() {
            pool.put_back(empty);
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.current.is_some()
    }
}

/// # Safety
/// `len` bytes from `ptr` are the caller's to fill.
unsafe fn read_once(fd: RawFd, how: How, ptr: *mut u8, len: usize) -> i32 {
    use crate::sys::{CURRENT, Sys};
    let sys = match how {
        How::Socket => Sys::Recv { fd, ptr, len },
        How::Pipe { .. } => Sys::Read { fd, ptr, len, offset: CURRENT },
    };
    // SAFETY: by the caller's promise.
    let got = unsafe { syscalls::attempt(&sys) }.unwrap_or(-libc::EINVAL);
    match how {
        // A terminal or an old device knows no RWF_NOWAIT: wait for poll, then read.
        How::Pipe { polled: true } if got == -libc::EOPNOTSUPP => {
            // SAFETY: as above.
            unsafe { syscalls::carry_out(&sys) }
        }
        How::Pipe { polled: false } if got == -libc::EOPNOTSUPP => -libc::EAGAIN,
        _ => got,
    }
}

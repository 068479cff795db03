//! Receiving into the pool without a buffer ring: one buffer is open at a time and filled front to back.

use crate::os::raw;
use crate::pool::{Empty, Pool};
use crate::sys::Event;
use crate::tag::Tag;

/// Less room than this isn't offered to a receive: the buffer is closed and the next one opened.
const ROOM_MIN: usize = 4096;

/// The buffer that is being filled.
#[derive(Default)]
pub(crate) struct OpenBuffer {
    current: Option<(Empty, usize)>,
}

impl OpenBuffer {
    /// Receives once: `read` fills memory of a length from its start and says how much it filled, or a negated errno.
    /// `Err(EAGAIN)`: nothing there; `Err(ENOBUFS)`: the pool is dry.
    ///
    /// # Safety
    /// `read` writes to that memory alone, and has written as much as it says.
    pub(crate) unsafe fn receive(
        &mut self,
        tag: Tag,
        pool: &Pool,
        read: impl FnOnce(*mut u8, usize) -> i32,
    ) -> Result<Event, i32> {
        let size = pool.config().buffer_size;
        let (empty, offset) = match self.current.take() {
            Some(open) => open,
            None => (pool.take().ok_or(raw::ENOBUFS)?, 0),
        };
        // SAFETY: `offset` is below the buffer's size.
        let at = unsafe { empty.ptr.add(offset) }.as_ptr();
        // The rest of the buffer is ours to fill: `offset` is past all that was lent.
        let got = read(at, size - offset);
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

//! `send_file`: the head, then a range of a file without copying it, by what the system has for that.

#[cfg(unix)]
mod pages;
mod reading;
#[cfg(windows)]
mod transmit;
#[cfg(unix)]
mod warm;

#[cfg(unix)]
pub(crate) use pages::Progress;
#[cfg(windows)]
pub(crate) use transmit::{Known, Progress};
#[cfg(unix)]
pub(super) use warm::Known;

pub(crate) use reading::Piece;

use crate::handle::Handle;
use crate::os::raw;
use crate::port::Port;
use crate::slot::Work;
use crate::tag::Tag;

impl Port {
    /// Ends it; what has gone out counts, whatever came then.
    fn end_file(&mut self, handle: Handle, index: u32, result: Result<(), i32>) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        let sent = slot.result;
        if let Work::SendFile(send) = &slot.work {
            let file = send.file;
            self.release(file);
        }
        let result = match result {
            Ok(()) => sent,
            Err(raw::ECANCELED) if sent > 0 => sent,
            Err(errno) => -i64::from(errno),
        };
        self.end_send(handle, index, result);
    }

    /// Goes on with those that had used up their share.
    pub(super) fn continue_files(&mut self) {
        if self.unfinished.is_empty() {
            return;
        }
        let mut tags: Vec<Tag> = std::mem::take(&mut self.unfinished);
        for tag in tags.drain(..) {
            if let Some(slot) = self.slots.get(tag.index(), tag.generation())
                && let Some(handle) = slot.handle
            {
                self.advance_file(handle, tag.index());
            }
        }
        // Keeps the allocation, unless somebody was put off again meanwhile.
        if self.unfinished.is_empty() {
            self.unfinished = tags;
        }
    }
}

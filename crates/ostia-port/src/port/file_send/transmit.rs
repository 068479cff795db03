//! By TransmitFile, which Windows carries out by itself: head and file in one request, as many bytes as it takes at once.

use crate::handle::Handle;
use crate::os::{file, raw};
use crate::port::Port;
use crate::slot::Work;
use crate::sys::Sys;

/// How much one request is asked to send: the call takes no more than 2 GiB.
const SHARE: u64 = 1 << 30;

/// How far a send has come.
#[derive(Default)]
pub(crate) struct Progress {
    /// How much of the head and of the file the request in flight is to send.
    asked: u64,
    /// The file is shorter than was asked for: nothing comes behind this request.
    last: bool,
}

/// Windows looks after its cache by itself.
pub(crate) struct Known;

impl Known {
    pub(crate) fn new() -> Known {
        Known
    }
}

/// How much of a range is sent next of a file that is so long.
fn share(from: u64, end: u64, size: u64) -> u32 {
    end.min(size).saturating_sub(from).min(SHARE) as u32
}

impl Port {
    /// Has Windows send the next share.
    pub(in crate::port) fn advance_file(&mut self, handle: Handle, index: u32) {
        if self.is_engines(handle) {
            return self.advance_file_by_reading(handle, index);
        }
        match self.next_share(handle, index) {
            Ok(Some(sys)) => self.start_single(index, sys),
            Ok(None) => self.end_file(handle, index, Ok(())),
            Err(code) => self.end_file(handle, index, Err(code)),
        }
    }

    /// What is to be sent next; none if all has been.
    fn next_share(&mut self, handle: Handle, index: u32) -> Result<Option<Sys>, i32> {
        let fd = self.sock(handle).map_err(|_| raw::EBADF)?.fd;
        let slot = self.slots.at_mut(index).ok_or(raw::EBADF)?;
        let cancelling = slot.cancelling;
        let Work::SendFile(send) = &mut slot.work else { return Err(raw::EINVAL) };
        if cancelling {
            return Err(raw::ECANCELED);
        }
        let from = self.socks.get(send.file.index, send.file.generation).ok_or(raw::EBADF)?.fd;
        // Asked for what is not there, the call fails after it has sent the rest.
        let len = if send.progress.last { 0 } else { share(send.offset, send.end, file::size(from)?) };
        let head = &send.head[send.head_sent..];
        let head_len = file::length(head.len());
        if len == 0 && head_len == 0 {
            return Ok(None);
        }
        send.progress.asked = u64::from(len) + u64::from(head_len);
        let (offset, head) = (send.offset, head.as_ptr());
        Ok(Some(Sys::TransmitFile { fd, file: from, offset, len, head, head_len }))
    }

    /// A share has gone out, or as much of it as could.
    pub(in crate::port) fn on_file_event(&mut self, handle: Handle, index: u32, result: i32) {
        if self.is_engines(handle) {
            return self.on_file_event_by_reading(handle, index, result);
        }
        let Some(slot) = self.slots.at_mut(index) else { return };
        let Work::SendFile(send) = &mut slot.work else { return };
        if result < 0 {
            return self.end_file(handle, index, Err(-result));
        }
        let sent = result as u64;
        let of_head = sent.min((send.head.len() - send.head_sent) as u64);
        send.head_sent += of_head as usize;
        send.offset += sent - of_head;
        // The file has been cut meanwhile.
        send.progress.last |= sent < send.progress.asked;
        slot.result += (sent - of_head) as i64;
        self.counters.bytes_sent.add(sent);
        self.counters.file_bytes_cached.add(sent - of_head);
        self.advance_file(handle, index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_sent_in_shares_that_one_call_takes() {
        assert_eq!(share(0, 10, 100), 10);
        assert_eq!(share(0, u64::MAX, 100), 100, "no more than there is");
        assert_eq!(share(100, 200, 100), 0);
        assert_eq!(share(500, 600, 100), 0, "behind the end");
        let (mut at, end, mut shares) = (7u64, (5 << 30) + 7, 0);
        while at < end {
            let len = share(at, end, u64::MAX);
            assert!(len > 0 && len <= 1 << 30, "the call takes less than 2 GiB");
            at += u64::from(len);
            shares += 1;
        }
        assert_eq!((at, shares), (end, 5));
    }
}

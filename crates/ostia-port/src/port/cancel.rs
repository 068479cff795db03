//! Cancelling: what only waits here ends here; what the driver has is asked back and ends when the driver says so.

use crate::handle::Handle;
use crate::op::OpId;
use crate::os::{AsRawFd, raw};
use crate::port::Port;
use crate::slot::{State, Work};

impl Port {
    /// Asks for the end of an operation. Its completion comes in any case: with ECANCELED, or with its normal result if
    /// that was faster. What cancelling means for each operation is said at [`Op`](crate::Op). An operation that has
    /// completed, or whose completion was taken, is left alone.
    pub fn cancel(&mut self, id: OpId) {
        if self.slots.get(id.index(), id.0.generation()).is_some() {
            self.cancel_slot(id.index());
        }
    }

    pub(super) fn cancel_slot(&mut self, index: u32) {
        let Some(slot) = self.slots.at_mut(index) else { return };
        let handle = slot.handle;
        match (slot.state, &slot.work, handle) {
            (State::Done, ..) | (_, Work::Close, _) => {}
            (State::Queued, Work::Accept { .. } | Work::Recv { .. } | Work::RecvInto { .. }, Some(handle)) => {
                // What has arrived stays with the handle.
                self.unlink_receiver(handle, index);
                self.complete(index, -i64::from(raw::ECANCELED));
            }
            (State::Queued, Work::Timeout(key), _) => {
                let key = *key;
                self.timers.remove(key);
                self.complete(index, -i64::from(raw::ECANCELED));
            }
            (State::Queued, Work::SendFile(_), Some(handle)) => {
                self.unlink_send(handle, index);
                if let Some(Work::SendFile(send)) = self.slots.at(index).map(|slot| &slot.work) {
                    let file = send.file;
                    self.release(file);
                }
                self.complete(index, -i64::from(raw::ECANCELED));
            }
            (State::Queued, _, Some(handle)) => {
                self.unlink_send(handle, index);
                self.complete(index, -i64::from(raw::ECANCELED));
            }
            (State::Queued, ..) => self.complete(index, -i64::from(raw::ECANCELED)),
            (State::Silent, ..) => {
                slot.cancelling = true;
                self.hurry = true;
            }
            (State::InFlight, ..) => {
                slot.cancelling = true;
                if let Some(handle) = handle
                    && self.leave_to_notice(handle, index)
                {
                    return;
                }
                let Some(slot) = self.slots.at(index) else { return };
                // A splice waits for either of its descriptors.
                let second = if let Work::Splice { to, .. } = slot.work { self.sock(to).ok().map(|sock| sock.fd) } else { None };
                let fd = self.request_fd(index, handle);
                self.push_cancel(self.slot_id(index), fd);
                if let Some(fd) = second {
                    self.push_cancel(self.slot_id(index), fd);
                }
            }
        }
    }

    /// The descriptor that an operation's request waits for.
    fn request_fd(&self, index: u32, handle: Option<Handle>) -> i32 {
        if let Some(Work::WaitPid { pidfd, .. }) = self.slots.at(index).map(|slot| &slot.work) {
            return pidfd.as_raw_fd();
        }
        handle.and_then(|handle| self.sock(handle).ok()).map_or(-1, |sock| sock.fd)
    }

    /// The operations that belong to a handle. Looked for only when a handle closes with some in flight.
    pub(super) fn slots_of(&self, handle: Handle) -> Vec<u32> {
        let uses = |index: &u32| {
            self.slots.at(*index).is_some_and(|slot| {
                slot.handle == Some(handle)
                    || match &slot.work {
                        Work::Splice { from, to, .. } => *from == handle || *to == handle,
                        Work::SendFile(send) => send.file == handle,
                        Work::Open { directory, .. } => *directory == Some(handle),
                        _ => false,
                    }
            })
        };
        self.slots.indices().filter(uses).collect()
    }
}

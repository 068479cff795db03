//! Requests that Windows has: each with its OVERLAPPED in a place that never moves and is not used again before its packet.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{SO_CONNECT_TIME, SOCKADDR_STORAGE, SOL_SOCKET, TRANSMIT_FILE_BUFFERS};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::poll::PollInfo;
use crate::os::descriptor::int_option;
use crate::os::file::place;
use crate::os::{AsRawFd, OwnedFd};
use crate::slab::NONE;
use crate::sys::Sys;
use crate::tag::{Tag, TagKind};

/// Requests in one allocation.
const PAGE: usize = 32;

/// Where a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Nobody's.
    Free,
    /// Windows has it: a packet will come.
    Out,
    /// A receive that found more at once than its turn's share: it goes on in the next turn.
    Again,
}

/// What a request needs besides what [`Sys`] says.
pub(super) enum Extra {
    Nothing,
    /// The socket that a connection is to be accepted on, and the room for addresses and first bytes.
    Accept {
        socket: OwnedFd,
        room: Box<[u8]>,
    },
    /// What is asked of a socket, and what holds.
    Poll(PollInfo),
    /// The head that TransmitFile sends.
    Heads(TRANSMIT_FILE_BUFFERS),
    /// A wait for a process.
    Process {
        watch: Box<Watch>,
        wait: HANDLE,
    },
}

/// A wait that a thread of the system's carries out, and tells of by a packet.
pub(super) struct Watch {
    pub(super) port: HANDLE,
    pub(super) overlapped: *mut OVERLAPPED,
    told: AtomicBool,
}

impl Watch {
    pub(super) fn new(port: HANDLE, overlapped: *mut OVERLAPPED) -> Watch {
        Watch { port, overlapped, told: AtomicBool::new(false) }
    }

    /// The packet is on its way.
    pub(super) fn tell(&self) {
        self.told.store(true, Ordering::Release);
    }

    pub(super) fn has_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }
}

/// One request. Its address names it to Windows: the OVERLAPPED comes first.
#[repr(C)]
pub(super) struct Request {
    overlapped: UnsafeCell<OVERLAPPED>,
    index: u32,
    /// The next of the same name, or the next that is free.
    next: u32,
    pub(super) tag: Tag,
    pub(super) sys: Sys,
    pub(super) state: State,
    /// Its end was asked for.
    pub(super) cancelled: bool,
    /// What Windows reads and writes of the flags of a receive.
    pub(super) flags: u32,
    pub(super) extra: Extra,
}

impl Request {
    fn free(index: u32) -> Request {
        Request {
            overlapped: UnsafeCell::new(place(0)),
            index,
            next: NONE,
            tag: Tag::NOBODY,
            sys: Sys::Close { fd: -1 },
            state: State::Free,
            cancelled: false,
            flags: 0,
            extra: Extra::Nothing,
        }
    }

    /// For how many seconds a client has been connected to an accept's socket that has said nothing yet.
    pub(super) fn silent_for(&self) -> i32 {
        match &self.extra {
            Extra::Accept { socket, .. } => int_option(socket.as_raw_fd(), SOL_SOCKET, SO_CONNECT_TIME).unwrap_or(NOBODY),
            _ => NOBODY,
        }
    }

    /// What Windows is given, set to a place in a file.
    pub(super) fn overlapped_at(&mut self, offset: u64) -> *mut OVERLAPPED {
        *self.overlapped.get_mut() = place(offset);
        self.overlapped.get()
    }

    /// Whether a call that failed has left a warning as its status (STATUS_BUFFER_OVERFLOW): that is no failure to Windows,
    /// which makes a packet all the same.
    pub(super) fn has_warning(&mut self) -> bool {
        self.overlapped.get_mut().Internal as u32 >> 30 == 2
    }

    /// What Windows was given.
    pub(super) fn overlapped(&self) -> *mut OVERLAPPED {
        self.overlapped.get()
    }
}

/// All of a driver's requests.
pub(super) struct Requests {
    pages: Vec<Box<[Request; PAGE]>>,
    free: u32,
    /// How many Windows has.
    pub(super) out: usize,
    /// The first request of each operation's slot, and of each handle's receiving side.
    of_slots: Vec<u32>,
    of_handles: Vec<u32>,
}

impl Requests {
    pub(super) fn new() -> Requests {
        Requests { pages: Vec::new(), free: NONE, out: 0, of_slots: Vec::new(), of_handles: Vec::new() }
    }

    /// A place for a request, which is named by its tag from now on.
    pub(super) fn insert(&mut self, tag: Tag, sys: Sys) -> u32 {
        if self.free == NONE {
            let base = (self.pages.len() * PAGE) as u32;
            self.pages.push(Box::new(std::array::from_fn(|i| Request::free(base + i as u32))));
            for index in (base..base + PAGE as u32).rev() {
                let free = std::mem::replace(&mut self.free, index);
                self.get(index).next = free;
            }
        }
        let index = self.free;
        let head = self.head(tag).map_or(NONE, |head| std::mem::replace(head, index));
        let request = self.get(index);
        let free = std::mem::replace(&mut request.next, head);
        (request.tag, request.sys, request.state) = (tag, sys, State::Out);
        (request.cancelled, request.flags) = (false, 0);
        self.free = free;
        index
    }

    /// Frees the place of a request that Windows is done with.
    pub(super) fn remove(&mut self, index: u32) {
        let request = self.get(index);
        let (tag, next) = (request.tag, request.next);
        request.state = State::Free;
        request.extra = Extra::Nothing;
        let first = self.head(tag).map_or(NONE, |head| *head);
        if first == index
            && let Some(head) = self.head(tag)
        {
            *head = next;
        }
        let mut at = if first == index { NONE } else { first };
        while at != NONE {
            let other = self.get(at);
            if other.next == index {
                other.next = next;
                break;
            }
            at = other.next;
        }
        let free = std::mem::replace(&mut self.free, index);
        self.get(index).next = free;
    }

    /// The request at an index that was given out.
    #[inline]
    pub(super) fn get(&mut self, index: u32) -> &mut Request {
        &mut self.pages[index as usize / PAGE][index as usize % PAGE]
    }

    /// The request that a packet is of.
    ///
    /// # Safety
    /// The address is that of an OVERLAPPED of these requests.
    pub(super) unsafe fn of_packet(overlapped: *mut OVERLAPPED) -> u32 {
        // SAFETY: the OVERLAPPED is the first field of a request, whose page is never freed while Windows has it; only a
        // field is read that nobody writes meanwhile.
        unsafe { (*overlapped.cast::<Request>()).index }
    }

    /// The requests of this name for which `which` holds; the first of them.
    pub(super) fn find(&mut self, tag: Tag, which: impl Fn(&Request) -> bool) -> Option<u32> {
        let mut at = *self.head(tag)?;
        while at != NONE {
            let request = self.get(at);
            if request.tag == tag && which(request) {
                return Some(at);
            }
            at = request.next;
        }
        None
    }

    /// All requests for which `which` holds. For what happens once a second.
    pub(super) fn which(&self, which: impl Fn(&Request) -> bool) -> Vec<u32> {
        self.pages.iter().flat_map(|page| page.iter()).filter(|request| which(request)).map(|request| request.index).collect()
    }

    fn head(&mut self, tag: Tag) -> Option<&mut u32> {
        let heads = match tag.kind()? {
            TagKind::Op => &mut self.of_slots,
            TagKind::Receive => &mut self.of_handles,
            _ => return None,
        };
        let at = tag.index() as usize;
        if heads.len() <= at {
            heads.resize(at + 1, NONE);
        }
        heads.get_mut(at)
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        if self.out > 0 {
            // Windows still writes to those: they are never freed. The port counts them as leaked.
            std::mem::forget(std::mem::take(&mut self.pages));
        }
    }
}

/// What SO_CONNECT_TIME says of a socket that nobody has connected to.
pub(super) const NOBODY: i32 = -1;

/// What AcceptEx needs for each of its two addresses (mswsock.h).
pub(super) const NAME: usize = size_of::<SOCKADDR_STORAGE>() + 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_by_name_and_stay_where_they_are() {
        let mut requests = Requests::new();
        let (a, b) = (Tag::new(TagKind::Receive, 7, 1), Tag::new(TagKind::Op, 7, 1));
        let first = requests.insert(a, Sys::Receive { fd: 4 });
        let address = requests.get(first).overlapped();
        let others: Vec<u32> = (0..100).map(|_| requests.insert(a, Sys::Accept { fd: 4, multi: false })).collect();
        let op = requests.insert(b, Sys::Receive { fd: 8 });
        assert_eq!(requests.get(first).overlapped(), address);
        // SAFETY: an address of these requests.
        assert_eq!(unsafe { Requests::of_packet(address) }, first);
        assert_eq!(requests.find(b, |_| true), Some(op));
        assert_eq!(requests.find(a, |r| matches!(r.sys, Sys::Receive { .. })), Some(first));
        assert_eq!(requests.find(Tag::new(TagKind::Op, 7, 3), |_| true), None, "of another generation");
        others.into_iter().for_each(|index| requests.remove(index));
        requests.remove(first);
        assert_eq!(requests.find(a, |_| true), None);
        assert_eq!(requests.find(b, |_| true), Some(op));
    }
}

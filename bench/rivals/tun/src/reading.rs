//! No stack: frames are read as they come and let go, by two ways that a link can be read. Each waits in a ring, as a port does.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, Submitter, cqueue, opcode};
use ostia_link::Link;

use crate::{Failure, Plan};

/// Room for any frame with its header: 64 KiB, rounded up to whole pages.
const ROOM: usize = 68 << 10;
/// Frames that are read in one turn.
const SHARE: usize = 64;
/// Buffers in the ring; a power of two.
const BUFFERS: u16 = 64;

/// How a link is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// One poll, then read(2) into buffers of the reader's until there is nothing, as `ostia-net` does.
    Poll,
    /// One multishot read into buffers that the ring has, each given back when its frame is let go.
    Multishot,
    /// The same, each frame copied into memory of its own, and its buffer given back at once.
    MultishotCopied,
}

pub fn serve(plan: &Plan, way: Way) -> Result<(), Failure> {
    let link = plan.open()?;
    let fd = link.descriptor().ok_or("a device has a descriptor")?.as_raw_fd();
    let mut ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(256)?;
    println!("ready");
    match way {
        Way::Poll => by_poll(&mut ring, fd),
        Way::Multishot => by_multishot(&mut ring, fd, false),
        Way::MultishotCopied => by_multishot(&mut ring, fd, true),
    }
}

fn by_poll(ring: &mut IoUring, fd: RawFd) -> Result<(), Failure> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        let poll = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build();
        // SAFETY: a poll has no memory.
        unsafe { ring.submission().push(&poll)? };
        ring.submit_and_wait(1)?;
        ring.completion().for_each(drop);
        let mut more = true;
        while more {
            more = false;
            while taken.len() < SHARE {
                let mut frame = frames.pop().unwrap_or_else(|| Vec::with_capacity(ROOM));
                // SAFETY: the kernel writes no more than there is room for.
                let count = unsafe { libc::read(fd, frame.as_mut_ptr().cast(), ROOM) };
                let Ok(count) = usize::try_from(count) else {
                    frames.push(frame);
                    break;
                };
                // SAFETY: the kernel has written so many bytes.
                unsafe { frame.set_len(count) };
                taken.push(frame);
                more = taken.len() == SHARE;
            }
            taken.drain(..).for_each(|frame| let_go(frame, &mut frames));
        }
    }
}

fn by_multishot(ring: &mut IoUring, fd: RawFd, copies: bool) -> Result<(), Failure> {
    // SAFETY: the descriptor is open. A ring doesn't wait for what must not block.
    unsafe { libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) & !libc::O_NONBLOCK) };
    let mut buffers = Buffers::new(&ring.submitter())?;
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let mut taken: Vec<Vec<u8>> = Vec::new();
    let mut reads = false;
    loop {
        if !reads {
            let read = opcode::ReadMulti::new(Fd(fd), 0, 0).offset(u64::MAX).build();
            // SAFETY: its memory is the buffers', which stay.
            unsafe { ring.submission().push(&read)? };
            reads = true;
        }
        ring.submit_and_wait(1)?;
        for done in ring.completion() {
            reads &= cqueue::more(done.flags());
            match usize::try_from(done.result()) {
                Ok(len) => {
                    let Some(id) = cqueue::buffer_select(done.flags()) else { continue };
                    if copies {
                        let mut frame = frames.pop().unwrap_or_else(|| Vec::with_capacity(ROOM));
                        frame.extend_from_slice(buffers.bytes(id, len));
                        taken.push(frame);
                    } else {
                        std::hint::black_box(buffers.bytes(id, len).first());
                    }
                    buffers.give(id);
                }
                Err(_) if done.result() == -libc::ENOBUFS => {}
                Err(_) => return Err(io::Error::from_raw_os_error(-done.result()).into()),
            }
        }
        buffers.publish();
        taken.drain(..).for_each(|frame| let_go(frame, &mut frames));
    }
}

/// A frame has been used.
fn let_go(mut frame: Vec<u8>, frames: &mut Vec<Vec<u8>>) {
    std::hint::black_box(frame.first());
    frame.clear();
    frames.push(frame);
}

/// Whole-frame buffers in a provided ring.
struct Buffers {
    ring: NonNull<BufRingEntry>,
    arena: NonNull<u8>,
    tail: u16,
}

impl Buffers {
    fn new(submitter: &Submitter<'_>) -> io::Result<Buffers> {
        let ring: NonNull<BufRingEntry> = map(usize::from(BUFFERS) * size_of::<BufRingEntry>())?.cast();
        let arena = map(usize::from(BUFFERS) * ROOM)?;
        // SAFETY: the mapping holds so many entries, is page aligned and lives as long as the process.
        unsafe { submitter.register_buf_ring_with_flags(ring.as_ptr() as u64, BUFFERS, 0, 0)? };
        let mut buffers = Buffers { ring, arena, tail: 0 };
        (0..BUFFERS).for_each(|id| buffers.give(id));
        buffers.publish();
        Ok(buffers)
    }

    fn at(&self, id: u16) -> *const u8 {
        // SAFETY: ids come from the ring, which only ever holds ids below BUFFERS.
        unsafe { self.arena.as_ptr().add(usize::from(id) * ROOM) }
    }

    fn bytes(&self, id: u16, len: usize) -> &[u8] {
        // SAFETY: the kernel has filled so many bytes of a buffer that it doesn't have now.
        unsafe { std::slice::from_raw_parts(self.at(id), len.min(ROOM)) }
    }

    /// Puts a buffer into the ring, to be seen by the kernel at the next [`publish`](Self::publish).
    fn give(&mut self, id: u16) {
        let addr = self.at(id) as u64;
        // SAFETY: the place is below BUFFERS, and the kernel does not read an entry before the tail passes it.
        let entry = unsafe { &mut *self.ring.as_ptr().add(usize::from(self.tail & (BUFFERS - 1))) };
        entry.set_addr(addr);
        entry.set_len(ROOM as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail lies in the first entry's reserved field, which `set_*` never writes; the kernel reads it atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Anonymous zeroed memory that is never given back.
fn map(len: usize) -> io::Result<NonNull<u8>> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

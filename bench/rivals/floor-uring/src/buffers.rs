//! The provided buffer ring and the arena behind it: a few buffers lie in the ring, the rest wait on a stack, so that
//! the buffer used last, still in the cache, is the next one the kernel fills.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// Bytes in a buffer.
pub const SIZE: usize = 16 * 1024;
/// Buffers in the ring at the start of each turn; a power of two.
const IN_RING: u16 = 64;
/// Buffers there are; untouched ones cost address space only.
pub const COUNT: u16 = 16 * 1024;
/// The only buffer group.
pub const GROUP: u16 = 0;

/// All buffers, and which of them the kernel may fill.
pub struct Buffers {
    ring: NonNull<BufRingEntry>,
    arena: NonNull<u8>,
    /// Buffers that are neither in the ring nor in use, last used on top.
    spare: Vec<u16>,
    /// Buffers from here on have never been used.
    fresh: u16,
    tail: u16,
    in_ring: u16,
}

impl Buffers {
    /// Maps the arena and registers the ring.
    pub fn new(submitter: &Submitter<'_>) -> io::Result<Buffers> {
        let ring: NonNull<BufRingEntry> = map(usize::from(IN_RING) * size_of::<BufRingEntry>())?.cast();
        let arena = map(usize::from(COUNT) * SIZE)?;
        // SAFETY: the mapping holds IN_RING entries, is page aligned and lives as long as the process.
        unsafe { submitter.register_buf_ring_with_flags(ring.as_ptr() as u64, IN_RING, GROUP, 0)? };
        Ok(Buffers { ring, arena, spare: Vec::with_capacity(2 * usize::from(IN_RING)), fresh: 0, tail: 0, in_ring: 0 })
    }

    /// Where a buffer begins.
    pub fn at(&self, id: u16) -> *const u8 {
        // SAFETY: ids come from the ring, which only ever holds ids below COUNT.
        unsafe { self.arena.as_ptr().add(usize::from(id) * SIZE) }
    }

    /// The kernel has taken a buffer out of the ring.
    pub fn taken(&mut self) {
        self.in_ring -= 1;
    }

    /// A buffer is free again.
    pub fn release(&mut self, id: u16) {
        self.spare.push(id);
    }

    /// Whether the kernel would find a buffer.
    pub fn any(&self) -> bool {
        self.in_ring > 0
    }

    /// Fills the ring up.
    pub fn refill(&mut self) {
        if self.in_ring == IN_RING {
            return;
        }
        while self.in_ring < IN_RING {
            let id = match self.spare.pop() {
                Some(id) => id,
                None if self.fresh < COUNT => {
                    self.fresh += 1;
                    self.fresh - 1
                }
                None => break,
            };
            let slot = usize::from(self.tail & (IN_RING - 1));
            let addr = self.at(id) as u64;
            // SAFETY: `slot` is below IN_RING, and the kernel does not read an entry before the tail passes it.
            let entry = unsafe { &mut *self.ring.as_ptr().add(slot) };
            entry.set_addr(addr);
            entry.set_len(SIZE as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            self.in_ring += 1;
        }
        // SAFETY: the tail lies in the first entry's reserved field, which `set_*` never writes; the kernel reads it
        // atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Anonymous zeroed memory that is never given back.
fn map(len: usize) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

//! The provided buffer ring: the kernel picks a buffer when data arrives, so an idle connection holds none.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::driver::Env;
use crate::driver::uring::setup::Ring;
use crate::pool::{Empty, Part, Pool, PoolConfig};

/// Whose buffers a ring has. Their numbers tell them apart, so that a completion is of one ring or the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// Of streams and pipes.
    Bytes,
    /// Of datagrams.
    Datagrams,
}

impl Group {
    pub(crate) const fn number(self) -> u16 {
        self as u16
    }

    /// The number of its first buffer.
    const fn first(self) -> u16 {
        match self {
            Group::Bytes => 0,
            // A pool has fewer buffers than this.
            Group::Datagrams => 1 << 15,
        }
    }

    /// Whose the buffer of this number is.
    #[inline]
    pub(crate) const fn of(id: u16) -> Group {
        if id < Group::Datagrams.first() { Group::Bytes } else { Group::Datagrams }
    }
}

/// Stands for "nothing yet, and no memory behind it" where else is written how much of a buffer is filled.
const COLD: u32 = u32::MAX;
/// IOU_PBUF_RING_INC of io_uring_register_buf_ring(3).
const INCREMENTAL: u16 = 2;

/// The ring shared with the kernel, and this side's book of it.
///
/// The kernel takes buffers first in, first out, so what is in the ring is what the processor's cache must hold: only
/// as many as a turn needs are put in (`target`, which grows when the ring runs dry and shrinks when it was too many),
/// and of the free ones the warmest.
pub(crate) struct BufferRing {
    group: Group,
    entries: NonNull<BufRingEntry>,
    bytes: usize,
    mask: u16,
    tail: u16,
    ready: usize,
    target: usize,
    /// Bounds of `target`.
    bounds: (usize, usize),
    /// The fewest that were ready since the last look, and whether the ring ran dry since.
    low: usize,
    dried: bool,
    /// How much of each buffer the kernel has filled, by the buffer's number.
    filled: Vec<u32>,
    /// What stands at each place of the ring.
    places: Vec<u16>,
}

impl BufferRing {
    pub(crate) fn new(ring: &Ring, config: &PoolConfig, group: Group, incremental: bool) -> io::Result<BufferRing> {
        let count = config.ready_max.next_power_of_two() as u16;
        let bytes = (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(rustix::param::page_size());
        // SAFETY: an anonymous private mapping at an address of the kernel's choice; it aliases nothing.
        let at = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)? };
        let flags = if incremental { INCREMENTAL } else { 0 };
        // SAFETY: the mapping is page-aligned, large enough, and unmapped only after the group is unregistered.
        let registered =
            unsafe { ring.uring().submitter().register_buf_ring_with_flags(at as u64, count, group.number(), flags) };
        if let Err(error) = registered {
            // SAFETY: mapped above, used by nobody.
            let _ = unsafe { munmap(at, bytes) };
            return Err(error);
        }
        Ok(BufferRing {
            group,
            entries: NonNull::new(at.cast()).expect("mmap never returns null"),
            bytes,
            mask: count - 1,
            tail: 0,
            ready: 0,
            target: config.ready_min,
            bounds: (config.ready_min, config.ready_max),
            low: 0,
            dried: false,
            filled: vec![0; config.buffers],
            places: vec![0; usize::from(count)],
        })
    }

    /// Fills the ring up to the target.
    #[inline]
    pub(crate) fn refill(&mut self, pool: &Pool) {
        if self.ready >= self.target {
            return;
        }
        while self.ready < self.target {
            let Some(Empty { index, ptr }) = pool.take() else { break };
            let place = self.tail & self.mask;
            self.filled[index as usize] = 0;
            self.places[usize::from(place)] = index as u16;
            // SAFETY: `place` is below the ring's length; the kernel reads it only once the tail has passed it.
            let entry = unsafe { &mut *self.entries.as_ptr().add(usize::from(place)) };
            entry.set_addr(ptr.as_ptr() as u64);
            entry.set_len(pool.config().buffer_size as u32);
            entry.set_bid(self.group.first() | index as u16);
            self.tail = self.tail.wrapping_add(1);
            self.ready += 1;
        }
        self.publish();
    }

    fn publish(&self) {
        // SAFETY: the first entry's reserved field is the tail; it is a u16 the kernel reads with acquire.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// The kernel has put `len` bytes into buffer `id`, and will put `more` there or not.
    #[inline]
    pub(crate) fn taken(&mut self, id: u16, len: u32, more: bool, env: &Env<'_>) -> Option<Part> {
        let index = u32::from(id & !self.group.first());
        let filled = self.filled.get_mut(index as usize)?;
        if *filled == COLD {
            *filled = 0;
            env.pool.warmed();
        }
        let offset = *filled as usize;
        *filled += len;
        // SAFETY: the kernel has written these bytes (its completion says so) and writes only behind them from now on.
        unsafe {
            if more {
                return Some(env.pool.lend(index, offset, len as usize));
            }
            self.ready -= 1;
            self.low = self.low.min(self.ready);
            Some(env.pool.lend_last(index, offset, len as usize))
        }
    }

    /// A receive found the ring empty: from now on more buffers stand ready.
    pub(crate) fn ran_dry(&mut self) {
        if !std::mem::replace(&mut self.dried, true) || self.ready == 0 {
            self.target = (self.target * 2).min(self.bounds.1);
        }
    }

    /// Called now and then: fewer buffers stand ready if half were never used since, and those that wait in the
    /// kernel's hands give up their memory until data comes, if the kernel is `quiet`.
    pub(crate) fn cool(&mut self, pool: &Pool, quiet: bool) {
        let unused = std::mem::replace(&mut self.low, self.ready);
        if !std::mem::replace(&mut self.dried, false) && unused > self.target / 2 {
            self.target = (self.target / 2).max(self.bounds.0);
        }
        if !quiet {
            return;
        }
        // The kernel fills the oldest first; those behind the ones needed lately are cold.
        for back in 0..unused.saturating_sub(self.bounds.0).min(self.ready) as u16 {
            let index = self.places[usize::from(self.tail.wrapping_sub(back + 1) & self.mask)];
            let filled = &mut self.filled[usize::from(index)];
            if *filled == 0 {
                *filled = COLD;
                pool.chill(u32::from(index));
            }
        }
    }

    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// Takes the ring away from the kernel and the buffers out of it; nothing may be in flight.
    pub(crate) fn surrender(self, ring: &Ring, pool: &Pool) {
        if ring.uring().submitter().unregister_buf_ring(self.group.number()).is_err() {
            // The kernel still has it: then it keeps the memory too.
            std::mem::forget(self);
            return;
        }
        for back in 0..self.ready as u16 {
            let index = self.places[usize::from(self.tail.wrapping_sub(back + 1) & self.mask)];
            pool.put_back(Empty { index: u32::from(index), ptr: NonNull::dangling() });
        }
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: unregistered by `surrender` before; a ring that was not surrendered is closed, and its kernel side
        // keeps its own reference to the pages.
        let _ = unsafe { munmap(self.entries.as_ptr().cast(), self.bytes) };
    }
}

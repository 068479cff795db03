//! The pool of receive buffers: one reservation of address space, memory taken lazily and given back when idle.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bell::Bell;
use crate::chunk::{Block, Chunk, free_table};
use crate::os::memory;

/// Bounds of the pool of receive buffers that a port lends [`Chunk`]s from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Size of one buffer in bytes: a power of two from 4 KiB to 1 MiB. One buffer carries many small receives where
    /// the kernel consumes buffers incrementally (Linux 6.12), one receive otherwise. Default 64 KiB.
    pub buffer_size: usize,
    /// The most buffers that are ever in use at once, 2 to 32,768. Past half of them, received bytes are copied out to
    /// memory of their exact size. Default 512 (32 MiB of address space; memory is taken only when used).
    pub buffers: usize,
    /// How many buffers stay ready for the kernel at least, 1 to `buffers`. Default 4.
    pub ready_min: usize,
    /// How many buffers are made ready for the kernel at most, `ready_min` to `buffers`. Default 128.
    pub ready_max: usize,
    /// How many bytes may be lent out as exact copies, once the pool is strained, before a connection that already
    /// holds its share gets ENOBUFS. Connections that hold little are never refused. Default 64 MiB.
    pub copies_max: usize,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig { buffer_size: 64 << 10, buffers: 512, ready_min: 4, ready_max: 128, copies_max: 64 << 20 }
    }
}

impl PoolConfig {
    pub(crate) fn check(&self) -> io::Result<()> {
        let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if !self.buffer_size.is_power_of_two() || !(4 << 10..=1 << 20).contains(&self.buffer_size) {
            return wrong(format!("pool.buffer_size is {}: it must be a power of two from 4096 to 1048576", self.buffer_size));
        }
        if !(2..=32_768).contains(&self.buffers) {
            return wrong(format!("pool.buffers is {}: it must be 2 to 32768", self.buffers));
        }
        if self.ready_min == 0 || self.ready_min > self.ready_max || self.ready_max > self.buffers {
            return wrong(format!(
                "pool.ready_min is {} and pool.ready_max {}: they must satisfy 1 <= ready_min <= ready_max <= buffers ({})",
                self.ready_min, self.ready_max, self.buffers
            ));
        }
        Ok(())
    }
}

/// The number that tells threads apart for the length of their lives.
fn thread_token() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}

/// What chunks need of the pool. Freed by whoever is last: the pool itself or the last chunk that outlives it.
pub(crate) struct Shared {
    /// The token of the port's thread; 0 once the port is gone.
    owner: AtomicUsize,
    free: LocalList,
    remote: Mutex<Remote>,
    remote_waits: AtomicBool,
    bell: Arc<Bell>,
    base: NonNull<u8>,
    blocks: NonNull<Block>,
    buffer_size: usize,
    buffers: usize,
}

/// Buffers at rest, touched by the owner thread only.
struct LocalList(RefCell<Vec<u32>>);

struct Remote {
    returned: Vec<u32>,
    /// Set when the pool has gone: how many buffers are still out.
    orphans: Option<usize>,
}

impl Shared {
    /// Takes buffer `index` back from its last reference.
    ///
    /// # Safety
    /// `shared` is live (a pool or at least one of its buffers is out) and nobody refers to buffer `index` any more.
    pub(crate) unsafe fn give_back(shared: *const Shared, index: u32) {
        // SAFETY: live by the caller's promise.
        let this = unsafe { &*shared };
        if this.owner.load(Ordering::Relaxed) == thread_token() {
            this.free.0.borrow_mut().push(index);
            return;
        }
        let mut remote = this.remote.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orphans) = &mut remote.orphans {
            *orphans -= 1;
            let last = *orphans == 0;
            drop(remote);
            if last {
                // SAFETY: the pool is gone and this was the last buffer out, so nobody else can reach `shared`.
                unsafe { Shared::free(shared.cast_mut()) };
            }
            return;
        }
        remote.returned.push(index);
        this.remote_waits.store(true, Ordering::Release);
        drop(remote);
        this.bell.ring();
    }

    /// Unmaps everything.
    ///
    /// # Safety
    /// `shared` came from [`Pool::new`] and nothing refers to it or its buffers.
    unsafe fn free(shared: *mut Shared) {
        // SAFETY: Pool::new leaked it from a Box; by the caller's promise this is the only path left to it.
        let this = unsafe { Box::from_raw(shared) };
        // SAFETY: mapped by Pool::new with this length; no references into it remain.
        unsafe {
            memory::release(this.base, this.buffer_size * this.buffers);
            free_table(this.blocks.as_ptr(), this.buffers);
        }
    }
}

/// The ledger of bytes copied out of a strained pool.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    bytes: AtomicUsize,
    returns: Mutex<Vec<(u64, u32)>>,
}

impl Copies {
    pub(crate) fn took(&self, len: usize) {
        self.bytes.fetch_add(len, Ordering::Relaxed);
    }

    pub(crate) fn gave_back(&self, holder: u64, len: usize) {
        self.bytes.fetch_sub(len, Ordering::Relaxed);
        self.returns.lock().unwrap_or_else(PoisonError::into_inner).push((holder, len as u32));
    }

    /// How many bytes are out.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What has come back since this was last asked, by holder.
    pub(crate) fn take_returns(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut *self.returns.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A buffer on its way between the pool and a driver: nobody reads it yet.
#[derive(Debug)]
pub(crate) struct Empty {
    pub(crate) index: u32,
    pub(crate) ptr: NonNull<u8>,
}

/// A part of a pool's buffer that bytes were received into, with one reference to the buffer: a [`Chunk`] in three numbers.
///
/// It has no way home of its own: who drops one instead of having [`Pool::chunk`] make the chunk leaks the buffer.
#[derive(Debug)]
#[must_use = "a part that is dropped leaks its buffer"]
pub(crate) struct Part {
    index: u32,
    offset: u32,
    len: u32,
}

impl Part {
    #[inline]
    pub(crate) fn into_raw(self) -> (u32, u32, u32) {
        (self.index, self.offset, self.len)
    }

    /// The part that [`into_raw`](Self::into_raw) has taken apart.
    ///
    /// # Safety
    /// To be called once for each `into_raw`, and the part is of the same pool still.
    #[inline]
    pub(crate) unsafe fn from_raw((index, offset, len): (u32, u32, u32)) -> Part {
        Part { index, offset, len }
    }
}

/// The port's side of the pool.
pub(crate) struct Pool {
    shared: NonNull<Shared>,
    config: PoolConfig,
    /// Buffers that were ever taken; those above have never been touched.
    fresh: Cell<u32>,
    /// Buffers lent to the driver: in its ring, or being filled.
    with_driver: Cell<usize>,
    /// The fewest buffers at rest since the last look, and how many of the coldest are already without memory.
    idle_low: Cell<usize>,
    cold: Cell<usize>,
    /// How many that the driver holds are without memory.
    chilled: Cell<usize>,
    pub(crate) copies: Arc<Copies>,
}

impl Pool {
    pub(crate) fn new(config: PoolConfig, bell: Arc<Bell>) -> io::Result<Pool> {
        config.check()?;
        let bytes = config.buffer_size * config.buffers;
        let base = memory::reserve(bytes)?;
        let layout = Layout::array::<Block>(config.buffers).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout is not empty: there are at least two buffers.
        let blocks = unsafe { alloc_zeroed(layout) };
        let Some(blocks) = NonNull::new(blocks.cast::<Block>()) else { handle_alloc_error(layout) };
        let shared = Box::leak(Box::new(Shared {
            owner: AtomicUsize::new(thread_token()),
            free: LocalList(RefCell::new(Vec::new())),
            remote: Mutex::new(Remote { returned: Vec::new(), orphans: None }),
            remote_waits: AtomicBool::new(false),
            bell,
            base,
            blocks,
            buffer_size: config.buffer_size,
            buffers: config.buffers,
        }));
        Ok(Pool {
            shared: NonNull::from(shared),
            config,
            fresh: Cell::new(0),
            with_driver: Cell::new(0),
            idle_low: Cell::new(0),
            cold: Cell::new(0),
            chilled: Cell::new(0),
            copies: Arc::default(),
        })
    }

    #[inline]
    fn shared(&self) -> &Shared {
        // SAFETY: freed only after the pool is dropped.
        unsafe { self.shared.as_ref() }
    }

    /// Where the memory is that a pool leaks which is dropped while buffers are out.
    pub(crate) fn address(&self) -> usize {
        self.shared.as_ptr() as usize
    }

    pub(crate) fn config(&self) -> &PoolConfig {
        &self.config
    }

    #[inline]
    fn ptr(&self, index: u32) -> NonNull<u8> {
        debug_assert!((index as usize) < self.config.buffers);
        // SAFETY: `index` is below `buffers`, so the offset lies in the mapping.
        unsafe { self.shared().base.add(index as usize * self.config.buffer_size) }
    }

    #[inline]
    fn block(&self, index: u32) -> NonNull<Block> {
        debug_assert!((index as usize) < self.config.buffers);
        // SAFETY: `index` is below `buffers`, the length of the table.
        unsafe { self.shared().blocks.add(index as usize) }
    }

    /// Takes a buffer for the driver, the warmest first; none when all are out.
    pub(crate) fn take(&self) -> Option<Empty> {
        let mut free = self.shared().free.0.borrow_mut();
        let index = match free.pop() {
            Some(index) => index,
            None if (self.fresh.get() as usize) < self.config.buffers => {
                self.fresh.set(self.fresh.get() + 1);
                self.fresh.get() - 1
            }
            None => return None,
        };
        self.idle_low.set(self.idle_low.get().min(free.len()));
        self.cold.set(self.cold.get().min(free.len()));
        drop(free);
        self.with_driver.set(self.with_driver.get() + 1);
        let block = Block::pooled(index, self.shared.as_ptr());
        // SAFETY: the buffer was free, so nobody refers to its block; the table outlives the pool.
        unsafe { self.block(index).write(block) };
        Some(Empty { index, ptr: self.ptr(index) })
    }

    /// The driver is done with a buffer that it still held a reference to.
    pub(crate) fn put_back(&self, empty: Empty) {
        self.with_driver.set(self.with_driver.get() - 1);
        // SAFETY: `Empty` owns the reference that `take` made.
        unsafe { Block::release(self.block(empty.index)) };
    }

    /// Lends `len` bytes at `offset` of a buffer the driver holds, which keeps it.
    ///
    /// # Safety
    /// Those bytes have been written, and nobody writes to them again while the buffer has references.
    #[inline]
    pub(crate) unsafe fn lend(&self, index: u32, offset: usize, len: usize) -> Part {
        self.assert_within(index, offset, len);
        // SAFETY: the driver holds a reference, so the block is live.
        unsafe { Block::acquire(self.block(index)) };
        Part { index, offset: offset as u32, len: len as u32 }
    }

    /// Lends as [`Pool::lend`] does, and with it the driver's own reference.
    ///
    /// # Safety
    /// As for `lend`; the driver must hold the buffer and forget it.
    #[inline]
    pub(crate) unsafe fn lend_last(&self, index: u32, offset: usize, len: usize) -> Part {
        self.assert_within(index, offset, len);
        self.with_driver.set(self.with_driver.get() - 1);
        Part { index, offset: offset as u32, len: len as u32 }
    }

    #[inline]
    fn assert_within(&self, index: u32, offset: usize, len: usize) {
        let within = (index as usize) < self.config.buffers && offset + len <= self.config.buffer_size;
        assert!(within, "a driver lends within a buffer");
    }

    /// The chunk that a part stands for.
    #[inline]
    pub(crate) fn chunk(&self, part: Part) -> Chunk {
        let Part { index, offset, len } = part;
        // SAFETY: the part was made by `lend`, which has checked its range and which has its caller's word that the bytes
        // are written and left alone; the reference that it took, or was given, passes to the chunk.
        unsafe { Chunk::from_block(self.block(index), self.ptr(index).add(offset as usize), len) }
    }

    /// How many buffers chunks hold on to.
    #[inline]
    pub(crate) fn leased(&self) -> usize {
        self.fresh.get() as usize - self.shared().free.0.borrow().len() - self.with_driver.get()
    }

    /// Whether no buffer is at rest.
    pub(crate) fn is_dry(&self) -> bool {
        self.at_rest() == 0
    }

    /// How many buffers nobody has.
    pub(crate) fn at_rest(&self) -> usize {
        self.config.buffers - self.fresh.get() as usize + self.shared().free.0.borrow().len()
    }

    /// Whether received bytes should be copied out rather than lent: half of the pool is leased.
    #[inline]
    pub(crate) fn strained(&self) -> bool {
        self.leased() >= self.config.buffers / 2
    }

    /// Fetches what other threads gave back.
    #[inline]
    pub(crate) fn collect(&self) {
        if self.shared().remote_waits.load(Ordering::Relaxed) {
            self.collect_remote();
        }
    }

    #[cold]
    fn collect_remote(&self) {
        self.shared().remote_waits.store(false, Ordering::Relaxed);
        let mut remote = self.shared().remote.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared().free.0.borrow_mut().append(&mut remote.returned);
    }

    /// Called now and then: gives back the memory of buffers that were not needed since the last call, down to
    /// `ready_min`. Returns how many bytes went.
    pub(crate) fn cool(&self) -> usize {
        let free = self.shared().free.0.borrow();
        let idle = self.idle_low.replace(free.len()).min(free.len());
        let from = self.cold.get().min(free.len());
        let to = idle.saturating_sub(self.config.ready_min).max(from);
        for &index in &free[from..to] {
            // SAFETY: the buffer is free: nobody reads it, and its next user writes before reading.
            unsafe { memory::give_back(self.ptr(index), self.config.buffer_size) };
        }
        self.cold.set(to);
        (to - from) * self.config.buffer_size
    }

    /// A buffer that was chilled is being filled.
    pub(crate) fn warmed(&self) {
        self.chilled.set(self.chilled.get().saturating_sub(1));
    }

    /// Takes the memory from a buffer that the driver holds and the kernel has not begun to fill.
    pub(crate) fn chill(&self, index: u32) {
        self.chilled.set(self.chilled.get() + 1);
        // SAFETY: nothing has been received into it, so nobody reads it; a later receive faults new pages in.
        unsafe { memory::give_back(self.ptr(index), self.config.buffer_size) };
    }

    /// Bytes of buffers that have memory behind them (touched and neither cooled nor chilled).
    pub(crate) fn resident(&self) -> usize {
        (self.fresh.get() as usize - self.cold.get() - self.chilled.get()) * self.config.buffer_size
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.collect();
        let shared = self.shared.as_ptr();
        let out = self.fresh.get() as usize - self.shared().free.0.borrow().len();
        self.shared().owner.store(0, Ordering::Relaxed);
        let mut remote = self.shared().remote.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that came back between `collect` and the lock are not out any more.
        let out = out - remote.returned.len();
        remote.orphans = Some(out);
        drop(remote);
        if out == 0 {
            // SAFETY: nothing is out, so no chunk can reach `shared`, and the pool ends here.
            unsafe { Shared::free(shared) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(buffers: usize) -> Pool {
        let config = PoolConfig { buffer_size: 4096, buffers, ready_min: 1, ready_max: buffers, ..PoolConfig::default() };
        Pool::new(config, Arc::new(Bell::new().expect("eventfd"))).expect("pool")
    }

    fn filled(pool: &Pool, byte: u8) -> Chunk {
        let empty = pool.take().expect("a buffer");
        // SAFETY: the buffer is 4096 bytes and ours; written, then lent.
        unsafe {
            empty.ptr.as_ptr().write_bytes(byte, 4096);
            pool.chunk(pool.lend_last(empty.index, 0, 4096))
        }
    }

    #[test]
    fn buffers_come_back_warmest_first_and_run_out() {
        let pool = pool(2);
        let (a, b) = (filled(&pool, 1), filled(&pool, 2));
        assert!(pool.take().is_none());
        assert_eq!(pool.leased(), 2);
        let address = b.as_ptr();
        drop(a);
        drop(b);
        let again = pool.take().expect("a buffer");
        assert_eq!(again.ptr.as_ptr().cast_const(), address);
        pool.put_back(again);
    }

    #[test]
    fn chunks_outlive_the_pool_and_cross_threads() {
        let pool = pool(8);
        let chunks: Vec<Chunk> = (0..8).map(|i| filled(&pool, i)).collect();
        let mut chunks = chunks.into_iter();
        let early: Vec<Chunk> = chunks.by_ref().take(4).collect();
        std::thread::spawn(move || drop(early)).join().expect("no panic");
        pool.collect();
        assert_eq!(pool.leased(), 4);
        drop(pool);
        let late: Vec<Chunk> = chunks.collect();
        let threads: Vec<_> = late
            .into_iter()
            .map(|chunk| std::thread::spawn(move || assert!(chunk.iter().all(|&b| b >= 4 && b == chunk[0]))))
            .collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
    }

    #[test]
    fn idle_buffers_lose_their_memory_and_work_again() {
        let pool = pool(16);
        drop((0..16).map(|i| filled(&pool, i)).collect::<Vec<_>>());
        pool.cool();
        assert_eq!(pool.cool(), 15 * 4096, "all but ready_min");
        assert_eq!(pool.resident(), 4096);
        assert_eq!(pool.cool(), 0, "nothing is given back twice");
        let again: Vec<Chunk> = (0..16).map(|i| filled(&pool, i)).collect();
        assert!(again.iter().enumerate().all(|(i, c)| c[4095] == i as u8));
    }

    #[test]
    fn wrong_bounds_are_named() {
        for config in [
            PoolConfig { buffer_size: 5000, ..PoolConfig::default() },
            PoolConfig { buffers: 1, ready_max: 1, ready_min: 1, ..PoolConfig::default() },
            PoolConfig { ready_min: 9, ready_max: 8, ..PoolConfig::default() },
        ] {
            assert!(config.check().expect_err("refused").to_string().starts_with("pool."));
        }
    }
}

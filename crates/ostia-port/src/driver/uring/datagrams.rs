//! Receiving datagrams ahead of being asked for: with buffers of their own, for one that finds too little room is cut.

use std::io;
use std::sync::Arc;

use crate::bell::Bell;
use crate::counters::Counters;
use crate::driver::Env;
use crate::driver::uring::buffers::{BufferRing, Group};
use crate::driver::uring::setup::Ring;
use crate::pool::{Part, Pool, PoolConfig};
use crate::sys::DATAGRAM_NAME;

/// The least power of two that holds the longest datagram (65,535 bytes) with its header and address. Of a short one only
/// the first page is ever touched.
const BUFFER: usize = 128 << 10;

/// The pool that datagrams are received into, and its ring. Made when the first is to be.
pub(super) struct Datagrams {
    pub(super) pool: Pool,
    ring: BufferRing,
    /// How much room the kernel leaves for address and control data.
    pub(super) header: Box<libc::msghdr>,
}

impl Datagrams {
    pub(super) fn new(ring: &Ring, bell: &Arc<Bell>) -> io::Result<Datagrams> {
        let config = PoolConfig { buffer_size: BUFFER, ready_min: 16, ready_max: 256, ..PoolConfig::default() };
        let pool = Pool::new(config, Arc::clone(bell))?;
        let mut ring = BufferRing::new(ring, &config, Group::Datagrams, false)?;
        ring.refill(&pool);
        // SAFETY: plain data for which zeroes are valid.
        let mut header: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        header.msg_namelen = DATAGRAM_NAME as libc::socklen_t;
        Ok(Datagrams { pool, ring, header })
    }

    pub(super) fn refill(&mut self) {
        self.pool.collect();
        self.ring.refill(&self.pool);
    }

    /// The kernel has put a datagram into buffer `id`.
    pub(super) fn taken(&mut self, id: u16, len: u32, counters: &Counters) -> Option<Part> {
        self.ring.taken(id, len, false, &Env { pool: &self.pool, counters })
    }

    /// A receive has found no buffer: whether it was one of these.
    pub(super) fn ran_dry(&mut self) -> bool {
        let dry = self.ring.ready() == 0;
        if dry {
            self.ring.ran_dry();
        }
        dry
    }

    pub(super) fn cool(&mut self, quiet: bool) {
        self.ring.cool(&self.pool, quiet);
        self.pool.cool();
    }

    pub(super) fn surrender(self, ring: &Ring) {
        self.ring.surrender(ring, &self.pool);
    }
}

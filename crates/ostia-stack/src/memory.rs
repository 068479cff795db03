//! One budget of memory for everything that packets and peers can make the stack keep.

/// What is in use and what may be. Sizes are true sizes: whole allocations, not the bytes that are of interest in them.
#[derive(Clone, Debug)]
pub struct Budget {
    used: usize,
    limit: usize,
    peak: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Budget {
        Budget { used: 0, limit, peak: 0 }
    }

    /// Takes so much, if that is within the limit.
    #[must_use]
    pub(crate) fn take(&mut self, size: usize) -> bool {
        let used = self.used.saturating_add(size);
        if used > self.limit {
            return false;
        }
        self.used = used;
        self.peak = self.peak.max(used);
        true
    }

    /// Whether so much more would be within the limit.
    pub(crate) fn has_room(&self, size: usize) -> bool {
        size <= self.free()
    }

    /// How much more would be within the limit.
    pub(crate) fn free(&self) -> usize {
        self.limit.saturating_sub(self.used)
    }

    /// Takes so much whatever the limit says: what the program itself has queued.
    pub(crate) fn force(&mut self, size: usize) {
        self.used = self.used.saturating_add(size);
        self.peak = self.peak.max(self.used);
    }

    /// Gives so much back.
    pub(crate) fn give(&mut self, size: usize) {
        debug_assert!(size <= self.used, "given back more than was taken");
        self.used = self.used.saturating_sub(size);
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The most bytes that were ever in use.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Bytes that may be in use.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether more than three quarters are used: what can be done without is given up.
    pub fn is_pressed(&self) -> bool {
        self.used > self.limit / 4 * 3
    }
}

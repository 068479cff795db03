//! Writes fields one behind the other.

/// A place in a buffer. Writing past the end panics: emitters ask for room with their `len` first.
pub(crate) struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buf: &'a mut [u8]) -> Writer<'a> {
        Writer { buf, at: 0 }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.buf[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    pub(crate) fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    pub(crate) fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Zeros up to `at`, counted from where the writer started.
    pub(crate) fn zero_to(&mut self, at: usize) {
        self.buf[self.at..at].fill(0);
        self.at = at;
    }

    pub(crate) fn len(&self) -> usize {
        self.at
    }
}

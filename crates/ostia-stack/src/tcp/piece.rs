//! What the receive queues hold: pieces of a stream of bytes.

use ostia_wire::Frame;

/// Some bytes of a stream, with the memory that they keep in use. Nothing is copied when they are trimmed.
pub(crate) trait Piece {
    /// How many bytes.
    fn len(&self) -> usize;

    /// Drops the first `count` bytes, at most all.
    fn trim_front(&mut self, count: usize);

    /// Drops the last `count` bytes, at most all.
    fn trim_back(&mut self, count: usize);

    /// How much memory the piece keeps in use: a whole allocation, though few of its bytes may be left.
    fn truesize(&self) -> usize;
}

impl Piece for Frame {
    fn len(&self) -> usize {
        Frame::len(self)
    }

    fn trim_front(&mut self, count: usize) {
        self.pull(count);
    }

    fn trim_back(&mut self, count: usize) {
        self.truncate(Frame::len(self).saturating_sub(count));
    }

    fn truesize(&self) -> usize {
        Frame::truesize(self)
    }
}

//! A file read piece by piece, each next piece while the one before is being used.

use std::io;

use ostia_port::Op;

use crate::fs::File;
use crate::operation::Operation;

/// How much a [`Reader`] reads at once unless told otherwise.
pub(super) const DEFAULT_PIECE: usize = 128 << 10;

/// A file's bytes in order, read ahead by one piece; see [`File::reader`].
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a File,
    /// Where the next read begins that has not been posted.
    offset: u64,
    piece: usize,
    ahead: Option<Operation>,
    spare: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File, offset: u64) -> Reader<'a> {
        Reader { file, offset, piece: DEFAULT_PIECE, ahead: None, spare: Vec::new() }
    }

    /// Reads pieces of at most this many bytes, at least 1. Default 128 KiB.
    #[must_use]
    pub fn piece(mut self, bytes: usize) -> Self {
        self.piece = bytes.max(1);
        self
    }

    /// The next piece; none at the end of the file. Cancel safe: the piece being read is given out by the next call.
    ///
    /// # Errors
    /// As pread(2); the reader then stays where it is.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ahead.is_none() {
            self.post()?;
        }
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        let done = ahead.await;
        self.ahead = None;
        let done = done?;
        let read = done.result?;
        let piece = done.payload.into_vec();
        if read == 0 {
            self.spare = piece;
            return Ok(None);
        }
        self.offset += read as u64;
        self.post()?;
        Ok(Some(piece))
    }

    /// Takes a piece back that is not needed any more: its memory serves a later read.
    pub fn recycle(&mut self, mut piece: Vec<u8>) {
        piece.clear();
        self.spare = piece;
    }

    fn post(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.spare);
        buffer.reserve_exact(self.piece);
        let op = Op::ReadAt { file: self.file.raw.handle, buffer, offset: self.offset };
        self.ahead = Some(self.file.post(op)?);
        Ok(())
    }
}

//! Frames on streams: where a message begins and ends in a run of bytes.
//!
//! A stream gives bytes in pieces that have nothing to do with what was sent at once. A [`Decoder`] finds the messages in
//! them, an [`Encoder`] marks them, and [`FramedRead`] and [`FramedWrite`] put these on a stream, or on a half of one.
//!
//! | frames | are |
//! |---|---|
//! | [`LengthDelimited`] | a length of 1, 2, 4 or 8 bytes, then so many bytes |
//! | [`Lines`] | text up to a line feed |
//! | [`Fixed`] | so many bytes each |
//!
//! **Dropping a [`next`](FramedRead::next) loses nothing**: bytes of a frame that is not whole stay with the reader, and
//! the next call goes on with them. **Dropping a [`send`](FramedWrite::send)** sends all of the frame or nothing.
//!
//! **Everything is bounded.** A frame that is longer than its codec allows is refused as soon as that can be known (at its
//! length, not after it has been read), and memory is taken as bytes arrive, never because a peer has announced them.
//! Between frames a reader holds no memory of its own, only what is left of the chunk that it is reading.
//!
//! After an error of the decoder it isn't known where the next frame begins, so there is none: later calls fail.
//!
//! ```
//! use ostia::codec::{FramedRead, FramedWrite, LengthDelimited};
//! # #[cfg(unix)]
//! use ostia::net::UnixStream;
//!
//! # #[cfg(unix)]
//! ostia::block_on(async {
//!     let (here, there) = UnixStream::pair().unwrap();
//!     let mut frames = FramedWrite::new(here, LengthDelimited::new());
//!     frames.send("a frame").await.unwrap();
//!     frames.send("").await.unwrap();
//!     drop(frames);
//!
//!     let mut frames = FramedRead::new(there, LengthDelimited::new());
//!     assert_eq!(frames.next().await.unwrap().as_deref(), Some(&b"a frame"[..]));
//!     assert_eq!(frames.next().await.unwrap().as_deref(), Some(&b""[..]));
//!     assert!(frames.next().await.unwrap().is_none());
//! });
//! ```

mod error;
mod fixed;
mod io;
mod length;
mod lines;
mod read;
mod write;

pub use error::Error;
pub use fixed::Fixed;
pub use io::{Receive, Transmit};
pub use length::LengthDelimited;
pub use lines::Lines;
pub use read::FramedRead;
pub use write::FramedWrite;

/// Finds frames in bytes.
pub trait Decoder {
    /// What a frame is made into.
    type Item;
    /// What can be wrong with one. Errors of the stream come through it too.
    type Error: From<std::io::Error>;

    /// Looks for a frame at the beginning of `input`; gives it with its length in bytes, which is at most that of `input`
    /// and at least 1. None if it isn't whole: the next call then has the same bytes and some more, so what was learnt
    /// about these may be kept in `self`.
    ///
    /// It must refuse a frame that would be too long as soon as it can tell; that is what bounds a reader's memory.
    ///
    /// # Errors
    /// If these bytes can't be the beginning of a frame. There are no more frames then.
    fn decode(&mut self, input: &[u8]) -> Result<Option<(Self::Item, usize)>, Self::Error>;

    /// As [`decode`](Self::decode), for what is left when the stream has ended and `decode` has found nothing in it. It is
    /// not empty, and is gone after this.
    ///
    /// # Errors
    /// If it is no frame; unless overridden, always.
    fn decode_end(&mut self, input: &[u8]) -> Result<Option<Self::Item>, Self::Error> {
        let _ = input;
        Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the stream ends in the middle of a frame").into())
    }
}

/// Makes frames of items.
pub trait Encoder<Item> {
    /// What can be wrong with an item. Errors of the stream come through it too.
    type Error: From<std::io::Error>;

    /// Appends the frame of `item` to `output`. What was appended before an error is taken away again.
    ///
    /// # Errors
    /// If there is no frame for this item. Others can be sent after it.
    fn encode(&mut self, item: Item, output: &mut Vec<u8>) -> Result<(), Self::Error>;
}

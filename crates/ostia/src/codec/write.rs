//! Frames into a stream.

use std::fmt;
use std::task::{Context, Poll, ready};

use ostia_port::Buffer;

use crate::codec::{Encoder, Transmit};

/// Frames that are fed are sent before the next when there are so many bytes of them.
const ENOUGH: usize = 64 << 10;

/// Writes frames. See the [module](crate::codec).
///
/// [`send`](Self::send) hands each frame to the stream; [`feed`](Self::feed) gathers frames, which go out together at the
/// next [`flush`](Self::flush) or `send`, or when there are 64 KiB of them.
pub struct FramedWrite<S, E> {
    sink: S,
    encoder: E,
    /// Whole frames that were fed and not handed over.
    fed: Vec<u8>,
    /// Such frames on their way.
    sending: Option<Buffer>,
}

impl<S, E> FramedWrite<S, E> {
    /// Frames into `sink`, as `encoder` makes them.
    pub fn new(sink: S, encoder: E) -> FramedWrite<S, E> {
        FramedWrite { sink, encoder, fed: Vec::new(), sending: None }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.sink
    }

    /// The stream. What is sent through it comes before frames that were fed and not flushed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The encoder.
    pub fn encoder_mut(&mut self) -> &mut E {
        &mut self.encoder
    }

    /// How many bytes of frames were fed and not handed to the stream.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.fed.len() + self.sending.as_ref().map_or(0, |buffer| buffer.len())
    }

    /// The stream and the encoder; frames that were fed and not flushed are dropped.
    #[must_use]
    pub fn into_parts(self) -> (S, E) {
        (self.sink, self.encoder)
    }

    /// Whether frames that were fed are to go out before the next.
    pub(crate) fn has_enough(&self) -> bool {
        self.buffered() >= ENOUGH
    }

    /// Appends a frame, or nothing.
    pub(crate) fn encode<Item>(&mut self, item: Item) -> Result<(), E::Error>
    where
        E: Encoder<Item>,
    {
        let before = self.fed.len();
        let result = self.encoder.encode(item, &mut self.fed);
        if result.is_err() {
            self.fed.truncate(before);
        }
        result
    }
}

impl<S: Transmit, E> FramedWrite<S, E> {
    /// Sends a frame, after those that were fed; done when the stream has accepted it, as
    /// [`Stream::send`](crate::net::Stream::send) is.
    ///
    /// Cancelled: nothing of this frame is sent; those that were fed stay for the next call.
    ///
    /// # Errors
    /// The encoder's, after which nothing of the frame is sent and others can be; or the stream's.
    pub async fn send<Item>(&mut self, item: Item) -> Result<(), E::Error>
    where
        E: Encoder<Item>,
    {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
        // Kept in this future: if it is dropped, so is the frame.
        self.encode(item)?;
        let mut frame = Some(Buffer::from(std::mem::take(&mut self.fed)));
        Ok(std::future::poll_fn(|cx| self.sink.poll_transmit(cx, &mut frame)).await?)
    }

    /// Puts a frame with those that wait to be sent together. Waits only to send them when they are enough.
    ///
    /// Cancelled: nothing of this frame is sent; those that were fed stay for the next call.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn feed<Item>(&mut self, item: Item) -> Result<(), E::Error>
    where
        E: Encoder<Item>,
    {
        if self.has_enough() {
            std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
        }
        self.encode(item)
    }

    /// Hands frames that were fed to the stream; done when it has accepted them. Cancel safe.
    ///
    /// # Errors
    /// As send(2).
    pub async fn flush(&mut self) -> std::io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`flush`](Self::flush), for futures written by hand.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            if self.sending.is_none() {
                if self.fed.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.sending = Some(Buffer::from(std::mem::take(&mut self.fed)));
            }
            let sent = ready!(self.sink.poll_transmit(cx, &mut self.sending));
            self.sending = None;
            sent?;
        }
    }
}

impl<S: fmt::Debug, E: fmt::Debug> fmt::Debug for FramedWrite<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedWrite")
            .field("sink", &self.sink)
            .field("encoder", &self.encoder)
            .field("buffered", &self.buffered())
            .finish()
    }
}

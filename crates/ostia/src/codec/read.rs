//! Frames from a stream.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use ostia_port::Chunk;

use crate::codec::{Decoder, Error, Receive};

/// The most bytes of a frame that is not whole, unless set otherwise.
const MOST: usize = 16 << 20;

/// Reads frames. See the [module](crate::codec).
pub struct FramedRead<S, D> {
    source: S,
    decoder: D,
    /// The rest of a chunk, while no frame spans two.
    chunk: Option<Chunk>,
    /// Otherwise what is not decoded yet, from `start` on.
    held: Vec<u8>,
    start: usize,
    most: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// The stream has ended; what is held may be a frame.
    Ending,
    Ended,
    /// The decoder has failed.
    Lost,
}

impl<S, D> FramedRead<S, D> {
    /// Frames from `source` as `decoder` finds them.
    pub fn new(source: S, decoder: D) -> FramedRead<S, D> {
        FramedRead { source, decoder, chunk: None, held: Vec::new(), start: 0, most: MOST, state: State::Open }
    }

    /// Sets how many bytes may be held of a frame that is not whole, whatever the decoder allows. Default 16 MiB; with the
    /// codecs of this module their own bounds come first, if they are lower.
    #[must_use]
    pub fn max_held(mut self, bytes: usize) -> FramedRead<S, D> {
        self.most = bytes;
        self
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.source
    }

    /// The stream. What is received from it here is missing in the frames.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The decoder.
    pub fn decoder_mut(&mut self) -> &mut D {
        &mut self.decoder
    }

    /// What was received and has not been given out in a frame.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        match &self.chunk {
            Some(chunk) => chunk,
            None => &self.held[self.start..],
        }
    }

    /// The stream, the decoder, and what was received and has not been given out in a frame: to go on by other means.
    #[must_use]
    pub fn into_parts(self) -> (S, D, Chunk) {
        let unread = match self.chunk {
            Some(chunk) => chunk,
            None => Chunk::from(self.held[self.start..].to_vec()),
        };
        (self.source, self.decoder, unread)
    }

    fn consume(&mut self, count: usize) {
        match &mut self.chunk {
            Some(chunk) => {
                chunk.advance(count);
                if chunk.is_empty() {
                    self.chunk = None;
                }
            }
            None => {
                self.start += count;
                if self.start >= self.held.len() {
                    self.let_go();
                }
            }
        }
    }

    /// Nothing is held, and so no memory.
    fn let_go(&mut self) {
        self.chunk = None;
        self.held = Vec::new();
        self.start = 0;
    }

    /// More has come for a frame that is not whole, or for a new one.
    fn add(&mut self, more: Chunk) {
        let begun = match self.chunk.take() {
            Some(chunk) => chunk,
            None if self.held.is_empty() => {
                self.chunk = (!more.is_empty()).then_some(more);
                return;
            }
            None => Chunk::from(Vec::new()),
        };
        // What is decoded makes room at most once for as many bytes as there are left.
        if self.start > self.held.len() / 2 {
            self.held.drain(..self.start);
            self.start = 0;
        }
        self.held.extend_from_slice(&begun);
        self.held.extend_from_slice(&more);
    }
}

impl<S: Receive, D: Decoder> FramedRead<S, D> {
    /// Waits for the next frame; none at the end of the stream.
    ///
    /// Cancel safe: what has arrived of a frame stays for the next call.
    ///
    /// # Errors
    /// The stream's, after which it can be called again if the stream can; or the decoder's, after which there are no more
    /// frames, and every call fails.
    pub async fn next(&mut self) -> Result<Option<D::Item>, D::Error> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Whether the decoder has failed, so that nobody knows where the next frame begins.
    #[cfg(feature = "futures")]
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// As [`next`](Self::next), for futures written by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<D::Item>, D::Error>> {
        loop {
            match self.state {
                State::Ended => return Poll::Ready(Ok(None)),
                State::Lost => return Poll::Ready(Err(io::Error::from(Error::Lost).into())),
                State::Open | State::Ending => {}
            }
            if !self.unread().is_empty() {
                if let Some(frame) = self.decode()? {
                    return Poll::Ready(Ok(Some(frame)));
                }
                if self.state == State::Ending {
                    return Poll::Ready(self.decode_end());
                }
                let length = self.unread().len();
                if length > self.most {
                    self.lose();
                    let error = Error::TooLong { length: length as u64, most: self.most as u64 };
                    return Poll::Ready(Err(io::Error::from(error).into()));
                }
            } else if self.state == State::Ending {
                self.state = State::Ended;
                continue;
            }
            match self.source.poll_receive(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(Some(chunk))) => self.add(chunk),
                Poll::Ready(Ok(None)) => self.state = State::Ending,
            }
        }
    }

    fn decode(&mut self) -> Result<Option<D::Item>, D::Error> {
        let input = match &self.chunk {
            Some(chunk) => &chunk[..],
            None => &self.held[self.start..],
        };
        match self.decoder.decode(input) {
            Ok(Some((frame, used))) => {
                assert!((1..=input.len()).contains(&used), "a decoder uses some of its input, and no more than there is");
                self.consume(used);
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.lose();
                Err(error)
            }
        }
    }

    fn decode_end(&mut self) -> Result<Option<D::Item>, D::Error> {
        let input = match &self.chunk {
            Some(chunk) => &chunk[..],
            None => &self.held[self.start..],
        };
        let last = self.decoder.decode_end(input);
        self.let_go();
        self.state = if last.is_ok() { State::Ended } else { State::Lost };
        last
    }

    fn lose(&mut self) {
        self.state = State::Lost;
        self.let_go();
    }
}

impl<S: fmt::Debug, D: fmt::Debug> fmt::Debug for FramedRead<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedRead")
            .field("source", &self.source)
            .field("decoder", &self.decoder)
            .field("unread", &self.unread().len())
            .field("state", &self.state)
            .finish()
    }
}

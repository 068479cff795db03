//! Finds the end of a request's body, which is read and thrown away (RFC 9112 sections 6 and 7).

use super::request::Reject;
use super::response::Status;

/// How a request announced its body, and how far it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    state: State,
    /// Content bytes that may still come; beyond them the request is refused with 413.
    allowance: u64,
    /// Bytes of chunk extensions and trailers that may still come; beyond them 431.
    framing_allowance: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Content of known length, the whole body (`last`) or one chunk of it.
    Data {
        left: u64,
        last: bool,
    },
    /// In the hexadecimal length of a chunk.
    Size {
        value: u64,
        digits: u8,
    },
    /// In a chunk extension, up to its CR.
    Extension {
        size: u64,
    },
    /// Before the LF that ends a chunk's length line.
    SizeLf {
        size: u64,
    },
    /// Before the CR and the LF that end a chunk's data.
    DataCr,
    DataLf,
    /// In the trailer section; `empty` while the line has no byte yet.
    Trailer {
        empty: bool,
    },
    TrailerLf {
        empty: bool,
    },
    Done,
}

impl Body {
    /// A body of `length` bytes. Refused with 413 when that is more than `limit`.
    pub fn with_length(length: u64, limit: u64) -> Result<Self, Reject> {
        if length > limit {
            return Err(Reject::new(Status::ContentTooLarge, "the request's body is too large"));
        }
        let state = if length == 0 { State::Done } else { State::Data { left: length, last: true } };
        Ok(Body { state, allowance: limit, framing_allowance: 0 })
    }

    /// A chunked body of at most `limit` content bytes.
    pub fn chunked(limit: u64) -> Self {
        Body { state: State::Size { value: 0, digits: 0 }, allowance: limit, framing_allowance: 8192 }
    }

    /// Whether the whole body has been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on, and returns how many bytes of `input` belong to the body: all of them unless the
    /// body ends first.
    ///
    /// # Errors
    /// 400 for a malformed chunk (a bare LF and a wrong length among them), 413 past the content
    /// limit, 431 past the limit for extensions and trailers. The connection must be closed then,
    /// for where the next request begins is no longer known.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, Reject> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            if let State::Data { left, last } = self.state {
                let take = left.min((input.len() - at) as u64);
                at += take as usize;
                self.state = match (left - take, last) {
                    (0, true) => State::Done,
                    (0, false) => State::DataCr,
                    (left, last) => State::Data { left, last },
                };
            } else {
                self.state = self.step(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// One byte of chunk framing.
    fn step(&mut self, byte: u8) -> Result<State, Reject> {
        let bad = |why| Err(Reject::new(Status::BadRequest, why));
        Ok(match self.state {
            State::Size { value, digits } => match (byte as char).to_digit(16) {
                Some(_) if digits == 16 => return bad("a chunk's length has too many digits"),
                Some(digit) => State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 },
                None if digits == 0 => return bad("a chunk without a length"),
                None if byte == b'\r' => State::SizeLf { size: value },
                None if byte == b';' => State::Extension { size: value },
                None => return bad("a chunk's length is not hexadecimal"),
            },
            State::Extension { size } => {
                self.spend_framing()?;
                match byte {
                    b'\r' => State::SizeLf { size },
                    b'\t' | b' '..=b'~' | 0x80.. => State::Extension { size },
                    _ => return bad("a control character in a chunk extension"),
                }
            }
            State::SizeLf { .. } if byte != b'\n' => {
                return bad("a chunk's length line without its LF");
            }
            State::SizeLf { size: 0 } => State::Trailer { empty: true },
            State::SizeLf { size } => match self.allowance.checked_sub(size) {
                None => {
                    return Err(Reject::new(Status::ContentTooLarge, "the request's body is too large"));
                }
                Some(rest) => {
                    self.allowance = rest;
                    State::Data { left: size, last: false }
                }
            },
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => State::Size { value: 0, digits: 0 },
            State::DataCr | State::DataLf => return bad("a chunk longer than its length"),
            State::Trailer { empty } => {
                self.spend_framing()?;
                match byte {
                    b'\r' => State::TrailerLf { empty },
                    b'\t' | b' '..=b'~' | 0x80.. => State::Trailer { empty: false },
                    _ => return bad("a control character in a trailer"),
                }
            }
            State::TrailerLf { .. } if byte != b'\n' => {
                return bad("a trailer line without its LF");
            }
            State::TrailerLf { empty: true } => State::Done,
            State::TrailerLf { empty: false } => State::Trailer { empty: true },
            state @ (State::Data { .. } | State::Done) => state,
        })
    }

    fn spend_framing(&mut self) -> Result<(), Reject> {
        match self.framing_allowance.checked_sub(1) {
            Some(rest) => self.framing_allowance = rest,
            None => {
                return Err(Reject::new(Status::RequestHeaderFieldsTooLarge, "trailers too large"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` whole and byte by byte; both must agree. Gives the bytes taken, or the status.
    fn read(mut body: Body, text: &[u8]) -> Result<(usize, bool), u16> {
        let mut slow = body.clone();
        let whole = body.feed(text).map(|n| (n, body.is_done())).map_err(|r| r.status.code());
        let mut taken = 0;
        let bytewise = loop {
            if slow.is_done() || taken == text.len() {
                break Ok((taken, slow.is_done()));
            }
            match slow.feed(&text[taken..taken + 1]) {
                Ok(n) => taken += n,
                Err(reject) => break Err(reject.status.code()),
            }
        };
        assert_eq!(whole, bytewise);
        whole
    }

    #[test]
    fn a_length_is_counted_down() {
        assert_eq!(read(Body::with_length(5, 10).unwrap(), b"helloGET"), Ok((5, true)));
        assert_eq!(read(Body::with_length(5, 10).unwrap(), b"hel"), Ok((3, false)));
        assert_eq!(read(Body::with_length(0, 10).unwrap(), b"GET"), Ok((0, true)));
        assert_eq!(Body::with_length(11, 10).unwrap_err().status.code(), 413);
    }

    #[test]
    fn chunks_end_at_the_empty_one() {
        let text = b"5\r\nhello\r\n0A;name=\"v\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET";
        assert_eq!(read(Body::chunked(15), text), Ok((text.len() - 3, true)));
        assert_eq!(read(Body::chunked(0), b"0\r\n\r\n"), Ok((5, true)));
        assert_eq!(read(Body::chunked(9), b"5\r\nhel"), Ok((6, false)));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for text in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"+5\r\n",
            b"0x5\r\n",
            b"5 \r\n",
            b"5\nhello",
            b"5\r\nhello!\r\n",
            b"5\r\nhello\n0\r\n",
            b"5\rX",
            b"5;\nx",
            b"0\r\n\nX",
            b"0\r\nA: b\n\r\n",
            b"0\r\n\rX",
            b"11111111111111111\r\n",
        ] {
            assert_eq!(read(Body::chunked(100), text), Err(400), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn limits_hold_for_content_and_for_framing() {
        assert_eq!(read(Body::chunked(5), b"5\r\nhello\r\n1\r\n"), Err(413));
        assert_eq!(read(Body::chunked(5), b"FFFFFFFFFFFFFFFF\r\n"), Err(413));
        let mut long = b"1;".to_vec();
        long.resize(9000, b'x');
        assert_eq!(read(Body::chunked(5), &long), Err(431));
        let mut trailers = b"0\r\n".to_vec();
        trailers.resize(9000, b'x');
        assert_eq!(read(Body::chunked(5), &trailers), Err(431));
    }
}

//! Lines of text.

use crate::codec::{Decoder, Encoder, Error};

/// Lines of UTF-8, each ended by a line feed, which a carriage return may come before. The ends are not part of the items.
///
/// What comes after the last line feed is a line too, if it is not empty.
#[derive(Clone, Debug)]
pub struct Lines {
    most: usize,
    /// Bytes of the present line that have been searched for its end.
    searched: usize,
    /// Lines that were received.
    line: u64,
}

impl Lines {
    /// Lines of up to `max_length` bytes, without their ends.
    #[must_use]
    pub fn new(max_length: usize) -> Lines {
        Lines { most: max_length, searched: 0, line: 0 }
    }

    fn text(&mut self, line: &[u8]) -> Result<String, Error> {
        self.searched = 0;
        self.line += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.most {
            return Err(self.too_long(line.len()));
        }
        match str::from_utf8(line) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(Error::NotUtf8 { line: self.line, byte: error.valid_up_to() }),
        }
    }

    fn too_long(&self, length: usize) -> Error {
        Error::TooLong { length: length as u64, most: self.most as u64 }
    }
}

impl Default for Lines {
    /// Lines of up to 64 KiB.
    fn default() -> Lines {
        Lines::new(64 << 10)
    }
}

impl Decoder for Lines {
    type Item = String;
    type Error = Error;

    fn decode(&mut self, input: &[u8]) -> Result<Option<(String, usize)>, Error> {
        // The longest line with a carriage return and a line feed is as far as one needs to look.
        let within = input.len().min(self.most.saturating_add(2));
        match input[self.searched.min(within)..within].iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                let end = self.searched + end;
                self.text(&input[..end]).map(|text| Some((text, end + 1)))
            }
            // One more byte may be a carriage return.
            None if input.len() > self.most.saturating_add(1) => Err(self.too_long(input.len())),
            None if input.len() > self.most && input[self.most] != b'\r' => Err(self.too_long(input.len())),
            None => {
                self.searched = within;
                Ok(None)
            }
        }
    }

    fn decode_end(&mut self, input: &[u8]) -> Result<Option<String>, Error> {
        self.text(input).map(Some)
    }
}

impl<T: AsRef<str>> Encoder<T> for Lines {
    type Error = Error;

    fn encode(&mut self, item: T, output: &mut Vec<u8>) -> Result<(), Error> {
        let line = item.as_ref();
        if line.len() > self.most {
            return Err(self.too_long(line.len()));
        }
        if let Some(byte) = line.find('\n') {
            return Err(Error::NotALine { byte });
        }
        if line.ends_with('\r') {
            return Err(Error::NotALine { byte: line.len() - 1 });
        }
        output.extend_from_slice(line.as_bytes());
        output.push(b'\n');
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_lines_in_any_pieces() {
        let text = "one\r\n\n\r\ntwo\rand\n".as_bytes();
        for step in 1..=text.len() {
            let (mut codec, mut lines, mut from) = (Lines::new(7), Vec::new(), 0);
            for until in (step..text.len()).step_by(step).chain([text.len()]) {
                while let Some((line, used)) = codec.decode(&text[from..until]).expect("lines") {
                    lines.push(line);
                    from += used;
                }
            }
            assert_eq!((lines, from), (["one", "", "", "two\rand"].map(String::from).to_vec(), text.len()), "step {step}");
        }
    }

    #[test]
    fn endless_lines_are_refused_as_soon_as_they_are_too_long() {
        let mut codec = Lines::new(3);
        assert_eq!(codec.decode(b"abc").expect("not yet"), None);
        assert_eq!(codec.decode(b"abc\r").expect("not yet"), None);
        assert_eq!(codec.decode(b"abc\r\n").expect("a line"), Some(("abc".into(), 5)));
        assert!(matches!(Lines::new(3).decode(b"abcd"), Err(Error::TooLong { length: 4, most: 3 })));
        assert!(matches!(Lines::new(3).decode(b"abcd\n"), Err(Error::TooLong { length: 4, most: 3 })));
        assert!(matches!(Lines::new(3).decode(b"abc\rd"), Err(Error::TooLong { most: 3, .. })));
        assert!(matches!(Lines::new(3).decode_end(b"abcd"), Err(Error::TooLong { length: 4, most: 3 })));
        assert_eq!(Lines::new(0).decode(b"\n").expect("a line"), Some((String::new(), 1)));
    }

    #[test]
    fn the_place_of_what_is_not_utf8_is_named() {
        let mut codec = Lines::default();
        assert!(codec.decode(b"fine\n").is_ok_and(|line| line.is_some()));
        let error = codec.decode(b"not \xfffine\n").expect_err("not UTF-8");
        assert_eq!(error.to_string(), "line 2 is not UTF-8 from its byte 4 on");
    }

    #[test]
    fn only_lines_are_sent() {
        let mut output = Vec::new();
        Lines::new(4).encode("abcd", &mut output).expect("a line");
        assert_eq!(output, b"abcd\n");
        assert!(matches!(Lines::new(4).encode("a\nb", &mut output), Err(Error::NotALine { byte: 1 })));
        assert!(matches!(Lines::new(4).encode("ab\r", &mut output), Err(Error::NotALine { byte: 2 })));
        assert!(matches!(Lines::new(4).encode("abcde", &mut output), Err(Error::TooLong { length: 5, most: 4 })));
    }
}

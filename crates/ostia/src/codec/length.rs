//! Frames that begin with their length.

use crate::codec::{Decoder, Encoder, Error};

/// Frames with a length field: by default 4 bytes, the most significant first, that count the bytes after them.
///
/// ```text
/// | offset | length field | contents                        |
/// |        | says `field` | `field` + adjustment bytes      |
/// ```
///
/// A received frame is its contents; with [`keep_head`](Self::keep_head), the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LengthDelimited {
    width: usize,
    little_endian: bool,
    offset: usize,
    adjustment: i64,
    most: usize,
    keep_head: bool,
}

impl LengthDelimited {
    /// A length of 4 bytes, the most significant first, and contents of up to 8 MiB.
    #[must_use]
    pub fn new() -> LengthDelimited {
        LengthDelimited { width: 4, little_endian: false, offset: 0, adjustment: 0, most: 8 << 20, keep_head: false }
    }

    /// How many bytes the length field has.
    ///
    /// # Panics
    /// If they are not 1, 2, 4 or 8.
    #[must_use]
    pub fn width(mut self, bytes: usize) -> LengthDelimited {
        assert!(matches!(bytes, 1 | 2 | 4 | 8), "a length field has 1, 2, 4 or 8 bytes");
        self.width = bytes;
        self
    }

    /// The length field's least significant byte comes first.
    #[must_use]
    pub fn little_endian(mut self) -> LengthDelimited {
        self.little_endian = true;
        self
    }

    /// How many bytes come before the length field. Such frames can be received, not sent.
    #[must_use]
    pub fn offset(mut self, bytes: usize) -> LengthDelimited {
        self.offset = bytes;
        self
    }

    /// What is to be added to the field to get the number of bytes after it: negative if it counts itself or what comes
    /// before it, positive if it leaves something of what comes after it out.
    #[must_use]
    pub fn adjustment(mut self, bytes: i64) -> LengthDelimited {
        self.adjustment = bytes;
        self
    }

    /// The most bytes that may come after the length field. A frame with more is refused when its length has arrived.
    #[must_use]
    pub fn max_length(mut self, bytes: usize) -> LengthDelimited {
        self.most = bytes;
        self
    }

    /// A received frame has its length field too, and what comes before it.
    #[must_use]
    pub fn keep_head(mut self) -> LengthDelimited {
        self.keep_head = true;
        self
    }

    fn head(&self) -> usize {
        self.offset + self.width
    }

    fn field(&self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        if self.little_endian { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }
}

impl Default for LengthDelimited {
    fn default() -> LengthDelimited {
        LengthDelimited::new()
    }
}

impl Decoder for LengthDelimited {
    type Item = Vec<u8>;
    type Error = Error;

    fn decode(&mut self, input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Error> {
        let Some(field) = input.get(self.offset..self.head()) else { return Ok(None) };
        let field = self.field(field);
        let length = field.checked_add_signed(self.adjustment).ok_or(Error::BadLength { field })?;
        let Some(contents) = usize::try_from(length).ok().filter(|&contents| contents <= self.most) else {
            return Err(Error::TooLong { length, most: self.most as u64 });
        };
        let whole = self.head().checked_add(contents).ok_or(Error::BadLength { field })?;
        let from = if self.keep_head { 0 } else { self.head() };
        Ok(input.get(from..whole).map(|frame| (frame.to_vec(), whole)))
    }

    fn decode_end(&mut self, input: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Err(Error::Truncated { present: input.len() })
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for LengthDelimited {
    type Error = Error;

    fn encode(&mut self, item: T, output: &mut Vec<u8>) -> Result<(), Error> {
        let item = item.as_ref();
        if self.offset > 0 {
            let what = "frames with something before their length can't be made from their contents";
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, what).into());
        }
        let length = item.len() as u64;
        if item.len() > self.most {
            return Err(Error::TooLong { length, most: self.most as u64 });
        }
        let field = length.checked_sub_signed(self.adjustment).ok_or(Error::BadLength { field: length })?;
        if self.width < 8 && field >> (8 * self.width) != 0 {
            return Err(Error::TooLong { length, most: (1 << (8 * self.width)) - 1 });
        }
        let bytes = field.to_be_bytes();
        let bytes = &bytes[8 - self.width..];
        if self.little_endian {
            output.extend(bytes.iter().rev())
        } else {
            output.extend_from_slice(bytes)
        }
        output.extend_from_slice(item);
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn round_trip(mut codec: LengthDelimited, contents: &[u8], expected: &[u8]) {
        let mut output = Vec::new();
        codec.encode(contents, &mut output).expect("it fits");
        assert_eq!(output, expected, "{codec:?}");
        for part in 0..output.len() {
            assert_eq!(codec.decode(&output[..part]).expect("not yet"), None, "{codec:?}");
        }
        output.push(99);
        assert_eq!(codec.decode(&output).expect("whole"), Some((contents.to_vec(), expected.len())), "{codec:?}");
    }

    #[test]
    fn every_width_and_order() {
        let codec = LengthDelimited::new();
        round_trip(codec.width(1), b"ab", &[2, b'a', b'b']);
        round_trip(codec.width(2), b"ab", &[0, 2, b'a', b'b']);
        round_trip(codec.width(2).little_endian(), b"ab", &[2, 0, b'a', b'b']);
        round_trip(codec, b"", &[0, 0, 0, 0]);
        round_trip(codec.little_endian(), b"a", &[1, 0, 0, 0, b'a']);
        round_trip(codec.width(8), b"a", &[0, 0, 0, 0, 0, 0, 0, 1, b'a']);
        round_trip(codec.width(8).little_endian(), b"a", &[1, 0, 0, 0, 0, 0, 0, 0, b'a']);
    }

    #[test]
    fn the_field_may_count_itself_or_less_than_all() {
        round_trip(LengthDelimited::new().width(2).adjustment(-2), b"ab", &[0, 4, b'a', b'b']);
        round_trip(LengthDelimited::new().width(1).adjustment(1), b"ab", &[1, b'a', b'b']);
        let mut codec = LengthDelimited::new().width(2).adjustment(-2);
        assert!(matches!(codec.decode(&[0, 1]), Err(Error::BadLength { field: 1 })));
        let mut codec = LengthDelimited::new().width(8).adjustment(1);
        assert!(matches!(codec.decode(&[0xff; 8]), Err(Error::BadLength { field: u64::MAX })));
        assert!(matches!(codec.encode("", &mut Vec::new()), Err(Error::BadLength { field: 0 })));
    }

    #[test]
    fn what_comes_before_the_length_is_passed_over_or_kept() {
        let mut codec = LengthDelimited::new().width(1).offset(2);
        assert_eq!(codec.decode(b"hi\x01xy").expect("whole"), Some((b"x".to_vec(), 4)));
        assert_eq!(codec.keep_head().decode(b"hi\x01xy").expect("whole"), Some((b"hi\x01x".to_vec(), 4)));
        assert_eq!(codec.decode(b"hi").expect("not yet"), None);
        assert!(matches!(codec.encode("x", &mut Vec::new()), Err(Error::Io(_))));
    }

    #[test]
    fn too_much_is_refused_at_its_length() {
        let mut codec = LengthDelimited::new().max_length(3);
        assert!(codec.decode(&[0, 0, 0, 3]).expect("allowed").is_none());
        assert!(matches!(codec.decode(&[0, 0, 0, 4]), Err(Error::TooLong { length: 4, most: 3 })));
        assert!(matches!(codec.encode("four", &mut Vec::new()), Err(Error::TooLong { length: 4, most: 3 })));
        let mut wide = LengthDelimited::new().width(8).max_length(usize::MAX);
        assert!(matches!(wide.decode(&[0xff; 8]), Err(Error::BadLength { .. })));
        let mut narrow = LengthDelimited::new().width(1);
        assert!(matches!(narrow.encode([0; 256], &mut Vec::new()), Err(Error::TooLong { length: 256, most: 255 })));
    }
}

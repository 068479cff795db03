//! Frames that are all of one length.

use crate::codec::{Decoder, Encoder, Error};

/// Frames of so many bytes each, with nothing between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fixed {
    length: usize,
}

impl Fixed {
    /// Frames of `length` bytes.
    ///
    /// # Panics
    /// If that is 0.
    #[must_use]
    pub fn new(length: usize) -> Fixed {
        assert!(length > 0, "frames of no length can't be told apart");
        Fixed { length }
    }
}

impl Decoder for Fixed {
    type Item = Vec<u8>;
    type Error = Error;

    fn decode(&mut self, input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Error> {
        Ok(input.get(..self.length).map(|frame| (frame.to_vec(), self.length)))
    }

    fn decode_end(&mut self, input: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Err(Error::Truncated { present: input.len() })
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for Fixed {
    type Error = Error;

    fn encode(&mut self, item: T, output: &mut Vec<u8>) -> Result<(), Error> {
        let item = item.as_ref();
        if item.len() != self.length {
            return Err(Error::WrongLength { length: item.len(), expected: self.length });
        }
        output.extend_from_slice(item);
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn cuts_into_equal_parts() {
        let mut codec = Fixed::new(3);
        let mut output = Vec::new();
        codec.encode("abc", &mut output).expect("three bytes");
        assert!(matches!(codec.encode("ab", &mut output), Err(Error::WrongLength { length: 2, expected: 3 })));
        assert_eq!(codec.decode(b"abcdef").expect("a frame"), Some((b"abc".to_vec(), 3)));
        assert_eq!(codec.decode(b"ab").expect("not yet"), None);
        assert!(matches!(codec.decode_end(b"ab"), Err(Error::Truncated { present: 2 })));
        assert_eq!(output, b"abc");
    }
}

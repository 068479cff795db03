//! Which part of a file a `Range` field asks for (RFC 9110 section 14).

use std::ops::Range;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole file, with 200: the field is malformed, of another unit, or asks for several
    /// ranges, all of which a server may ignore (section 14.2).
    Whole,
    /// These bytes, with 206. Never empty, and within the file.
    Bytes(Range<u64>),
    /// Nothing, with 416: the range begins past the end.
    Unsatisfiable,
}

/// Reads the field's value for a file of `size` bytes. Numbers too large for 64 bits count as
/// larger than any file.
pub fn select(value: &[u8], size: u64) -> Part {
    let Some(equals) = memchr::memchr(b'=', value) else {
        return Part::Whole;
    };
    let (unit, spec) = (&value[..equals], value[equals + 1..].trim_ascii());
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return Part::Whole;
    }
    let Some(dash) = memchr::memchr(b'-', spec) else {
        return Part::Whole;
    };
    // A comma (several ranges) is no digit, so it ends in `Whole` too.
    let (Some(first), Some(last)) = (number(&spec[..dash]), number(&spec[dash + 1..])) else {
        return Part::Whole;
    };
    match (first, last) {
        (None, None) => Part::Whole,
        (None, Some(0)) => Part::Unsatisfiable,
        // The last bytes of an empty file are the whole of it, and no Content-Range could say so.
        (None, Some(_)) if size == 0 => Part::Whole,
        (None, Some(suffix)) => Part::Bytes(size.saturating_sub(suffix)..size),
        (Some(first), Some(last)) if last < first => Part::Whole,
        (Some(first), _) if first >= size => Part::Unsatisfiable,
        (Some(first), last) => Part::Bytes(first..last.map_or(size, |last| last.saturating_add(1).min(size))),
    }
}

/// `*DIGIT`: `Some(None)` when empty, `None` when there is anything else.
fn number(digits: &[u8]) -> Option<Option<u64>> {
    if digits.is_empty() {
        return Some(None);
    }
    digits
        .iter()
        .try_fold(0u64, |n, digit| digit.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form() {
        for (value, size, part) in [
            ("bytes=0-0", 10, Part::Bytes(0..1)),
            ("bytes=2-5", 10, Part::Bytes(2..6)),
            ("bytes=2-", 10, Part::Bytes(2..10)),
            ("bytes=-3", 10, Part::Bytes(7..10)),
            ("bytes=-30", 10, Part::Bytes(0..10)),
            ("bytes=9-100", 10, Part::Bytes(9..10)),
            ("Bytes = 1-2 ", 10, Part::Bytes(1..3)),
            ("bytes=10-", 10, Part::Unsatisfiable),
            ("bytes=10-20", 10, Part::Unsatisfiable),
            ("bytes=-0", 10, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=-5", 0, Part::Whole),
            ("bytes=5-2", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=0-1,", 10, Part::Whole),
            ("bytes=", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("bytes=1--2", 10, Part::Whole),
            ("bytes=1 - 2", 10, Part::Whole),
            ("items=0-1", 10, Part::Whole),
            ("0-1", 10, Part::Whole),
            ("", 10, Part::Whole),
            ("bytes=18446744073709551616-", 10, Part::Unsatisfiable),
            ("bytes=0-18446744073709551615", 10, Part::Bytes(0..10)),
            ("bytes=0-99999999999999999999999999", 10, Part::Bytes(0..10)),
            ("bytes=-99999999999999999999999999", 10, Part::Bytes(0..10)),
            ("bytes=99999999999999999999-99999999999999999998", 10, Part::Unsatisfiable),
            ("bytes=18446744073709551614-18446744073709551615", u64::MAX, Part::Bytes(u64::MAX - 1..u64::MAX)),
        ] {
            assert_eq!(select(value.as_bytes(), size), part, "{value} of {size}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(value in "bytes=[0-9]{0,21}-[0-9]{0,21}", size: u64) {
            if let Part::Bytes(range) = select(value.as_bytes(), size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn no_value_panics(value: Vec<u8>, size: u64) {
            select(&value, size);
        }
    }
}

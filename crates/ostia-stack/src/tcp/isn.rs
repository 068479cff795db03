//! Initial sequence numbers (RFC 6528) and the offsets of timestamps (RFC 7323, 5.4).

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::tcp::seq::Seq;
use crate::time::Instant;

/// What a hash is for, so that one key may serve both.
#[derive(Clone, Copy)]
enum Purpose {
    Sequence = 1,
    Timestamp = 2,
}

/// The initial sequence number of a connection: M + F(tuple, key), where M counts 4 µs and F is SipHash-2-4 (RFC 6528, 3).
/// Nobody foretells it without the key, and that of a later connection between the same addresses and ports is higher. `tuple`
/// is the local address and port and the remote address and port, always in one form.
pub(crate) fn isn(key: &[u8; 16], tuple: &[u8], now: Instant) -> Seq {
    Seq((now.0 / 4000) as u32) + hash(key, Purpose::Sequence, tuple)
}

/// What is added to the clock in the timestamps of a connection. As it differs between tuples, timestamps don't tell how long
/// the host runs, nor which connections come from one host; as it is the same for one tuple, they go on from an old connection
/// to its successor.
pub(crate) fn timestamp_offset(key: &[u8; 16], tuple: &[u8]) -> u32 {
    hash(key, Purpose::Timestamp, tuple)
}

fn hash(key: &[u8; 16], purpose: Purpose, tuple: &[u8]) -> u32 {
    let mut hasher = SipHasher24::new_with_key(key);
    // Bytes only: integers would be hashed in the machine's order.
    hasher.write(&[purpose as u8]);
    hasher.write(tuple);
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    const KEY: [u8; 16] = *b"0123456789abcdef";

    #[test]
    fn it_counts_four_microseconds() {
        let first = isn(&KEY, b"tuple", Instant(0));
        assert_eq!(isn(&KEY, b"tuple", Instant(3999)), first);
        assert_eq!(isn(&KEY, b"tuple", Instant(4000)), first + 1);
        assert_eq!(isn(&KEY, b"tuple", Instant(0) + Duration::from_secs(1)), first + 250_000);
    }

    #[test]
    fn the_clock_wraps_without_harm() {
        let wrap = Instant(4000 << 32);
        assert_eq!(isn(&KEY, b"tuple", wrap), isn(&KEY, b"tuple", Instant(0)));
        assert!(isn(&KEY, b"tuple", wrap - Duration::from_micros(4)).before(isn(&KEY, b"tuple", wrap)));
    }

    #[test]
    fn the_same_bytes_give_the_same_numbers_everywhere() {
        // SipHash-2-4 of "\x01tuple", computed byte by byte as one message.
        let expected = SipHasher24::new_with_key(&KEY).hash(b"\x01tuple") as u32;
        assert_eq!(isn(&KEY, b"tuple", Instant(0)), Seq(expected));
        let expected = SipHasher24::new_with_key(&KEY).hash(b"\x02tuple") as u32;
        assert_eq!(timestamp_offset(&KEY, b"tuple"), expected);
    }

    proptest! {
        #[test]
        fn tuples_keys_and_purposes_give_numbers_of_their_own(key: [u8; 16], other: [u8; 16], a: [u8; 36], b: [u8; 36]) {
            prop_assume!(key != other && a != b);
            let now = Instant(0);
            prop_assert_ne!(isn(&key, &a, now), isn(&key, &b, now));
            prop_assert_ne!(isn(&key, &a, now), isn(&other, &a, now));
            prop_assert_ne!(isn(&key, &a, now).0, timestamp_offset(&key, &a));
            prop_assert_ne!(timestamp_offset(&key, &a), timestamp_offset(&key, &b));
        }
    }
}

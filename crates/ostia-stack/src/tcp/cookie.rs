//! SYN cookies: a handshake that keeps nothing until it has succeeded (RFC 4987, 3.6).
//!
//! A cookie is the SYN-ACK's sequence number. It is a hash of the addresses and ports, plus the peer's initial sequence number,
//! plus the minute in the top 8 bits, plus 24 bits that are a hash of all those and the index of the peer's MSS. So numbers of
//! later minutes are higher, as they should be for a successor of an old connection; and who hasn't seen the SYN-ACK hits a valid
//! one in about 2^28 tries. The other options go into the low bits of the timestamp that the peer echoes.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::random::Random;
use crate::tcp::seq::Seq;
use crate::time::Instant;

/// The segment sizes that a cookie can stand for: a small one, the least that every IPv4 host takes (RFC 9293, 3.7.1), the least
/// of IPv6, two of tunnels, those of Ethernet with IPv6 and with IPv4, and that of jumbo frames. One below the first is taken for
/// the first.
const MSS_TABLE: [u16; 8] = [256, 536, 1220, 1300, 1380, 1440, 1460, 8940];

/// A cookie is valid in the minute in which it was made and in the next: for one minute at least and two at most.
const VALID_MINUTES: u64 = 2;

/// How many bits of a cookie are a hash with the MSS in it; the minute is above them.
const HASH_BITS: u32 = 24;

/// What one step of the MSS table adds to the hash. Were it 1, then who acknowledges a few octets more than the SYN, as the peer
/// of a connection does that has just ended, would bring a valid cookie for another MSS and another initial sequence number.
const STEP_BITS: u32 = HASH_BITS - 3;

/// How many low bits of a timestamp hold options.
const OPTION_BITS: u32 = 6;

/// A window scale that stands for none.
const NO_SCALE: u32 = 15;

/// What a hash is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// Differs between tuples and is the same every minute.
    Base = 1,
    /// Proves the minute and the MSS.
    Proof = 2,
}

/// The keys of cookies. After [`rotate`](Self::rotate) the old key is tried too, until the next rotation: so cookies that are on
/// their way stay valid if the key is changed no more often than every [two minutes](VALID_MINUTES).
pub(crate) struct CookieKeys {
    current: [u8; 16],
    previous: Option<[u8; 16]>,
}

/// The options of a SYN that a cookie has no room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct CookieOptions {
    /// The peer's window scale, 0 to 14 (RFC 7323, 2.2); none if the peer doesn't scale.
    pub(crate) window_scale: Option<u8>,
    /// Whether the peer may be sent SACK blocks.
    pub(crate) sack: bool,
    /// Whether the SYN asked for ECN.
    pub(crate) ecn: bool,
}

impl CookieKeys {
    /// The first key.
    pub(crate) fn new(random: &mut Random) -> CookieKeys {
        CookieKeys { current: random.key(), previous: None }
    }

    /// Takes a new key. What is made from now on is made with it.
    pub(crate) fn rotate(&mut self, random: &mut Random) {
        self.previous = Some(core::mem::replace(&mut self.current, random.key()));
    }

    /// The sequence number of the SYN-ACK for a SYN with the initial sequence number `irs` and this MSS. `tuple` is the local
    /// address and port and the remote address and port, always in one form.
    pub(crate) fn make(&self, tuple: &[u8], irs: Seq, mss: u16, now: Instant) -> Seq {
        // The largest that isn't larger.
        let index = MSS_TABLE.partition_point(|&known| known <= mss).saturating_sub(1) as u32;
        let minute = minute(now);
        let proof = hash(&self.current, Purpose::Proof, tuple, irs, minute).wrapping_add(index << STEP_BITS);
        base(&self.current, tuple, irs) + (minute as u32).wrapping_shl(HASH_BITS) + low(proof)
    }

    /// What MSS the cookie stands for, if it is one for this tuple, and not too old. `irs` is the sequence number of the
    /// acknowledgment less one, and `cookie` its acknowledgment number less one.
    pub(crate) fn check(&self, tuple: &[u8], irs: Seq, cookie: Seq, now: Instant) -> Option<u16> {
        let now = minute(now);
        [Some(self.current), self.previous].iter().flatten().find_map(|key| {
            let content = cookie.since(base(key, tuple, irs));
            let age = u64::from((now as u32).wrapping_sub(content >> HASH_BITS) & 0xff);
            let minute = now.checked_sub(age).filter(|_| age < VALID_MINUTES)?;
            let steps = low(content.wrapping_sub(hash(key, Purpose::Proof, tuple, irs, minute)));
            let index = steps.is_multiple_of(1 << STEP_BITS).then_some(steps >> STEP_BITS)?;
            MSS_TABLE.get(index as usize).copied()
        })
    }
}

/// Puts options into the low bits of the timestamp of a SYN-ACK. The result isn't after `timestamp`, for a later segment must not
/// have an earlier one (RFC 7323, 5.3).
pub(crate) fn encode_options(timestamp: u32, options: CookieOptions) -> u32 {
    let scale = options.window_scale.map_or(NO_SCALE, |scale| u32::from(scale.min(14)));
    let bits = scale | u32::from(options.sack) << 4 | u32::from(options.ecn) << 5;
    let mask = (1 << OPTION_BITS) - 1;
    let encoded = timestamp & !mask | bits;
    if bits > timestamp & mask { encoded.wrapping_sub(1 << OPTION_BITS) } else { encoded }
}

/// The options in a timestamp that the peer has echoed. Meaningful only together with a valid cookie, and not proven by it: a
/// peer that changes its echo fools itself.
pub(crate) fn decode_options(timestamp: u32) -> CookieOptions {
    let scale = timestamp & 0xf;
    CookieOptions {
        window_scale: (scale != NO_SCALE).then_some(scale as u8),
        sack: timestamp & 1 << 4 != 0,
        ecn: timestamp & 1 << 5 != 0,
    }
}

fn minute(now: Instant) -> u64 {
    now.secs() / 60
}

fn low(bits: u32) -> u32 {
    bits & ((1 << HASH_BITS) - 1)
}

fn base(key: &[u8; 16], tuple: &[u8], irs: Seq) -> Seq {
    irs + hash(key, Purpose::Base, tuple, Seq(0), 0)
}

fn hash(key: &[u8; 16], purpose: Purpose, tuple: &[u8], irs: Seq, minute: u64) -> u32 {
    let mut hasher = SipHasher24::new_with_key(key);
    // Bytes only: integers would be hashed in the machine's order.
    hasher.write(&[purpose as u8]);
    hasher.write(&irs.0.to_le_bytes());
    hasher.write(&minute.to_le_bytes());
    hasher.write(tuple);
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_acknowledges_more_than_the_cookie_brings_none_back() {
        let (keys, _) = keys();
        let now = Instant(0) + MINUTE * 5;
        for mss in MSS_TABLE {
            let cookie = keys.make(b"tuple", Seq(99), mss, now);
            assert_eq!(keys.check(b"tuple", Seq(99), cookie, now), Some(mss));
            for octets in 1..70_000 {
                assert_eq!(keys.check(b"tuple", Seq(99), cookie + octets, now), None, "{octets} octets behind it");
            }
        }
    }

    fn keys() -> (CookieKeys, Random) {
        let mut random = Random::new([7; 32]);
        (CookieKeys::new(&mut random), random)
    }

    #[test]
    fn the_mss_is_the_largest_known_one_that_is_not_larger() {
        let (keys, _) = keys();
        for (mss, expected) in [(1460, 1460), (1459, 1440), (536, 536), (535, 256), (65_535, 8940), (1, 256), (0, 256)] {
            let cookie = keys.make(b"tuple", Seq(9), mss, Instant(0));
            assert_eq!(keys.check(b"tuple", Seq(9), cookie, Instant(0)), Some(expected));
        }
    }

    #[test]
    fn a_cookie_is_valid_in_its_minute_and_the_next() {
        let (keys, _) = keys();
        let made = Instant(0) + MINUTE * 1000 + Duration::from_secs(59);
        let cookie = keys.make(b"tuple", Seq(9), 1460, made);
        let check = |now: Instant| keys.check(b"tuple", Seq(9), cookie, now);
        assert_eq!(check(made), Some(1460));
        assert_eq!(check(made + MINUTE), Some(1460));
        assert_eq!(check(made + Duration::from_secs(61)), None);
        assert_eq!(check(made + MINUTE * 2), None);
        assert_eq!(check(made + MINUTE * 256), None, "when the minute's 8 bits come again");
        assert_eq!(check(made - MINUTE), None, "before it was made");
        assert_eq!(check(Instant(0)), None);
    }

    #[test]
    fn the_old_key_stays_valid_until_the_next_rotation() {
        let (mut keys, mut random) = keys();
        let cookie = keys.make(b"tuple", Seq(9), 1460, Instant(0));
        keys.rotate(&mut random);
        assert_eq!(keys.check(b"tuple", Seq(9), cookie, Instant(0)), Some(1460));
        assert_ne!(keys.make(b"tuple", Seq(9), 1460, Instant(0)), cookie, "new ones are made with the new key");
        keys.rotate(&mut random);
        assert_eq!(keys.check(b"tuple", Seq(9), cookie, Instant(0)), None);
    }

    #[test]
    fn later_cookies_have_higher_numbers() {
        let (keys, _) = keys();
        let at = |minute: u32| keys.make(b"tuple", Seq(9), 1460, Instant(0) + MINUTE * minute);
        assert!((0..100).all(|minute| at(minute).before(at(minute + 1))));
    }

    #[test]
    fn a_guess_is_hardly_ever_right() {
        let (keys, mut random) = keys();
        let tries = 1 << 18;
        let hits = (0..tries).filter(|_| keys.check(b"tuple", Seq(9), Seq(random.u32()), Instant(0)).is_some()).count();
        assert!(hits <= 1, "{hits} of {tries}");
    }

    #[test]
    fn options_survive_in_a_timestamp() {
        for bits in 0..64 {
            let options = decode_options(bits);
            for timestamp in [0, 1, 63, 64, 12_345, u32::MAX] {
                let encoded = encode_options(timestamp, options);
                assert_eq!(decode_options(encoded), options);
                assert!(timestamp.wrapping_sub(encoded) < 64, "it isn't after the clock, nor long before");
            }
        }
        let large = CookieOptions { window_scale: Some(200), ..CookieOptions::default() };
        assert_eq!(decode_options(encode_options(500, large)).window_scale, Some(14), "RFC 7323, 2.3");
    }

    proptest! {
        #[test]
        fn a_cookie_is_for_one_tuple_and_one_initial_number(
            seed: [u8; 32],
            a: [u8; 36],
            b: [u8; 36],
            irs: u32,
            other: u32,
            mss in 256u16..,
            seconds in 0u64..1 << 32,
            wait in 0u64..300,
        ) {
            prop_assume!(a != b && irs != other);
            let keys = CookieKeys::new(&mut Random::new(seed));
            let made = Instant(seconds * 1_000_000_000);
            let later = made + Duration::from_secs(wait);
            let cookie = keys.make(&a, Seq(irs), mss, made);
            let is_fresh = later.secs() / 60 - made.secs() / 60 < 2;
            let known = keys.check(&a, Seq(irs), cookie, later);
            prop_assert_eq!(known.is_some(), is_fresh);
            prop_assert!(known.is_none_or(|known| known <= mss));
            prop_assert_eq!(keys.check(&b, Seq(irs), cookie, later), None);
            prop_assert_eq!(keys.check(&a, Seq(other), cookie, later), None);
        }
    }
}

//! Bytes that are nearly packets: random, but for the fields that most random bytes would fail at.

use proptest::prelude::*;

/// The header of an IPv4 packet and what is behind it.
pub fn ipv4() -> impl Strategy<Value = Vec<u8>> {
    let version_and_len = prop_oneof![8 => 0x45u8..0x50, 1 => any::<u8>()];
    (proptest::collection::vec(any::<u8>(), 0..120), version_and_len, -2i32..30).prop_map(|(mut bytes, first, padding)| {
        let total_len = (bytes.len() as i32 - padding.max(0) * i32::from(padding % 3 == 0) + i32::from(padding == -1)) as u16;
        set(&mut bytes, 0, &[first]);
        set(&mut bytes, 2, &total_len.to_be_bytes());
        bytes
    })
}

/// The header of an IPv6 packet and what is behind it, which `next_header` names.
pub fn ipv6(next_header: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0x12, 0x34, 0x56, 0, 0, next_header, 64];
    bytes.extend(1..33);
    set(&mut bytes, 4, &(rest.len() as u16).to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

/// A TCP segment; options are likely to be some.
pub fn tcp() -> impl Strategy<Value = Vec<u8>> {
    let option = prop_oneof![
        Just(vec![0u8]),
        Just(vec![1]),
        any::<u16>().prop_map(|mss| [&[2, 4][..], &mss.to_be_bytes()].concat()),
        any::<u8>().prop_map(|shift| vec![3, 3, shift]),
        Just(vec![4, 2]),
        (1usize..5, any::<[u8; 32]>()).prop_map(|(n, blocks)| [&[5, 2 + 8 * n as u8], &blocks[..8 * n]].concat()),
        any::<[u8; 8]>().prop_map(|times| [&[8, 10][..], &times].concat()),
        proptest::collection::vec(any::<u8>(), 1..6),
    ];
    let options = proptest::collection::vec(option, 0..5).prop_map(|options| options.concat());
    (any::<[u8; 20]>(), options, proptest::collection::vec(any::<u8>(), 0..40), prop_oneof![9 => Just(true), 1 => Just(false)])
        .prop_map(|(header, mut options, payload, fits)| {
            options.truncate(40);
            options.resize(options.len().next_multiple_of(4), 0);
            let mut bytes = [&header[..], &options, &payload].concat();
            if fits {
                bytes[12] = ((5 + options.len() / 4) << 4) as u8 | bytes[12] & 0xf;
            }
            bytes
        })
}

/// A UDP datagram.
pub fn udp() -> impl Strategy<Value = Vec<u8>> {
    (proptest::collection::vec(any::<u8>(), 0..60), -3i32..20).prop_map(|(mut bytes, padding)| {
        let len = (bytes.len() as i32 - padding).max(0) as u16;
        set(&mut bytes, 4, &len.to_be_bytes());
        bytes
    })
}

/// Writes where there is room.
pub fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

//! Ways to damage a packet.

use ostia_wire::checksum;

use crate::random::Random;

/// Values that length and offset fields go wrong with.
const EXTREMES: [u8; 12] = [0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xfe, 0xff, 0x45];

/// Damages `bytes` in one of the ways.
pub fn damage(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(9) {
        0 => with(bytes, at, |octet| *octet ^= 1 << random.below(8)),
        1 => with(bytes, at, |octet| *octet = random.next() as u8),
        2 => with(bytes, at, |octet| *octet = *random.pick(&EXTREMES)),
        // A field of 16 bits, where lengths are.
        3 => {
            let value = *random.pick(&[0u16, 1, 7, 8, 20, 40, 0x7fff, 0x8000, 0xfff8, 0xffff]);
            for (offset, octet) in value.to_be_bytes().into_iter().enumerate() {
                with(bytes, at + offset, |place| *place = octet);
            }
        }
        4 => bytes.truncate(at),
        5 => bytes.extend((0..random.below(64)).map(|_| random.next() as u8)),
        // The end of another packet in place of this one's.
        6 => {
            let other = random.pick(seeds);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len())..]);
        }
        // A part said twice.
        7 => {
            let end = (at + 1 + random.below(16)).min(bytes.len());
            let part = bytes.get(at..end).unwrap_or_default().to_vec();
            bytes.splice(at..at, part);
        }
        // IGMP is read behind its checksum only: make it right again.
        _ => {
            if bytes.len() >= 4 {
                bytes[2..4].fill(0);
                let value = checksum::fold(checksum::sum(bytes, 0));
                bytes[2..4].copy_from_slice(&value.to_be_bytes());
            }
        }
    }
}

fn with(bytes: &mut [u8], at: usize, change: impl FnOnce(&mut u8)) {
    if let Some(octet) = bytes.get_mut(at) {
        change(octet);
    }
}

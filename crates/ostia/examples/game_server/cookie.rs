//! Numbers that only the server can make: cookies that prove an address, tokens that name a session.

use std::net::{IpAddr, SocketAddr};

use crate::bytes::Put;
use crate::seeded::Seeded;

/// The server's secret, and how long a cookie is good for.
#[derive(Debug)]
pub struct Keys {
    key: (u64, u64),
    /// In ticks. A cookie is good for at least this and less than twice as long.
    epoch: u32,
}

impl Keys {
    /// From a seed, which must be unknown to clients where they are not trusted.
    pub fn new(seed: u64, epoch: u32) -> Keys {
        let mut secret = Seeded::new(seed ^ 0x636f_6f6b_6965);
        Keys { key: (secret.next(), secret.next()), epoch: epoch.max(1) }
    }

    /// What a client at `from` has to send back, to show that it receives there.
    pub fn cookie(&self, from: SocketAddr, nonce: u64, tick: u32) -> u64 {
        self.make(0, from, nonce, tick / self.epoch)
    }

    pub fn is_good(&self, cookie: u64, from: SocketAddr, nonce: u64, tick: u32) -> bool {
        let epoch = tick / self.epoch;
        let before = epoch.checked_sub(1);
        cookie == self.make(0, from, nonce, epoch) || before.is_some_and(|epoch| cookie == self.make(0, from, nonce, epoch))
    }

    /// What a session's datagrams carry, which who can't read them doesn't know.
    pub fn token(&self, from: SocketAddr, nonce: u64, tick: u32) -> u64 {
        self.make(1, from, nonce, tick)
    }

    fn make(&self, purpose: u8, from: SocketAddr, nonce: u64, time: u32) -> u64 {
        let mut message = Vec::with_capacity(32);
        message.put_u8(purpose);
        match from.ip() {
            IpAddr::V4(ip) => message.put(&ip.octets()),
            IpAddr::V6(ip) => message.put(&ip.octets()),
        }
        message.put_u16(from.port());
        message.put_u64(nonce);
        message.put_u32(time);
        siphash(self.key, &message)
    }
}

/// SipHash-2-4 (Aumasson, Bernstein 2012): who doesn't know the key can't guess the hash of anything.
pub fn siphash(key: (u64, u64), message: &[u8]) -> u64 {
    let mut v = [
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ];
    let words = message.chunks_exact(8);
    let mut last = [0u8; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = message.len() as u8;
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    for word in words.map(word).chain([word(&last)]) {
        v[3] ^= word;
        (0..2).for_each(|_| round(&mut v));
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

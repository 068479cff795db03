//! The four-tuple that names a connection on the wire.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::state::State;
use crate::address::Address;
use crate::env::Env;
use crate::trace::Step;

/// Both ends of a connection, seen from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tuple {
    pub(crate) local: Address,
    pub(crate) remote: Address,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    /// The link, plus one, of addresses that mean something on one link only (RFC 4007); else 0.
    pub(crate) zone: u16,
}

impl Tuple {
    /// All of it, for keyed hashes.
    pub(crate) fn bytes(&self) -> [u8; 38] {
        let mut bytes = [0; 38];
        bytes[..16].copy_from_slice(self.local.bytes());
        bytes[16..32].copy_from_slice(self.remote.bytes());
        bytes[32..34].copy_from_slice(&self.local_port.to_be_bytes());
        bytes[34..36].copy_from_slice(&self.remote_port.to_be_bytes());
        bytes[36..].copy_from_slice(&self.zone.to_be_bytes());
        bytes
    }

    /// A hash that nobody without the key can aim at: peers choose their own address and port.
    pub(crate) fn hash(&self, key: &[u8; 16]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(key);
        hasher.write(&self.bytes());
        hasher.finish()
    }

    /// Tells the tracer that the connection is in another state.
    pub(crate) fn trace_state(&self, from: State, to: State, env: &mut Env) {
        let cause = env.cause;
        env.trace(|| Step::State {
            local: (self.local, self.local_port),
            remote: (self.remote, self.remote_port),
            from,
            to,
            cause,
        });
    }

    /// Whether both ends are one, as a LAND packet has it.
    pub(crate) fn is_land(&self) -> bool {
        self.local == self.remote && self.local_port == self.remote_port
    }
}

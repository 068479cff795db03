//! Path MTUs below the link's, for each destination that told of one (RFC 1191, RFC 8201).

use crate::address::Address;
use crate::env::Env;
use crate::ip::learned::Learned;
use crate::time::Instant;

/// The least path MTU that is believed over IPv4. A forged report of less would make a sender work for its headers alone;
/// real paths below it are fragmented on instead.
pub(crate) const MIN_V4: u32 = 552;

/// The least MTU that a link with IPv6 has (RFC 8200, 5): a report of less is not believed (RFC 8201, 4).
pub(crate) const MIN_V6: u32 = 1280;

/// What is known about paths.
#[derive(Default)]
pub(crate) struct PathMtus(Learned<u32>);

impl PathMtus {
    /// The path MTU to a destination on a link of the given MTU.
    #[inline]
    pub(crate) fn get(&self, destination: Address, link_mtu: u32) -> u32 {
        self.0.get(destination).map_or(link_mtu, |mtu| mtu.min(link_mtu))
    }

    /// Learns that longer packets than this don't get there; whether that is news. What is too little to be true counts as
    /// the least that may be, and a report of more than what is known is not believed: only time raises it.
    pub(crate) fn learn(&mut self, destination: Address, mtu: u32, env: &Env) -> bool {
        let least = if destination.is_v4() { MIN_V4 } else { MIN_V6 };
        let mtu = mtu.max(least);
        let old = self.0.get(destination);
        if old.is_some_and(|old| old < mtu) || env.config.path_mtus == 0 {
            return false;
        }
        self.0.put(destination, mtu, env.now + env.config.path_mtu_age, env.config.path_mtus);
        old != Some(mtu)
    }

    /// Forgets what is too old; whether there was any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        self.0.expire(now)
    }

    /// When the next one gets too old.
    pub(crate) fn deadline(&self) -> Instant {
        self.0.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::ip::testing::addr;
    use core::time::Duration;

    fn env() -> Env {
        Env::new(Config::default(), [0; 32])
    }

    #[test]
    fn a_path_mtu_lowers_the_links_and_ends_with_age() {
        let (mut paths, mut env) = (PathMtus::default(), env());
        assert!(paths.learn(addr("192.0.2.1"), 1400, &env));
        assert_eq!(paths.get(addr("192.0.2.1"), 1500), 1400);
        assert_eq!(paths.get(addr("192.0.2.1"), 1300), 1300);
        assert_eq!(paths.get(addr("192.0.2.2"), 1500), 1500);
        assert_eq!(paths.deadline(), Instant::default() + Duration::from_secs(600));
        env.now = paths.deadline();
        assert!(paths.expire(env.now));
        assert_eq!(paths.get(addr("192.0.2.1"), 1500), 1500);
        assert_eq!(paths.deadline(), Instant::NEVER);
    }

    #[test]
    fn neither_raised_by_a_report_nor_lowered_under_the_least() {
        let (mut paths, env) = (PathMtus::default(), env());
        assert!(paths.learn(addr("192.0.2.1"), 1000, &env));
        assert!(!paths.learn(addr("192.0.2.1"), 1400, &env));
        assert_eq!(paths.get(addr("192.0.2.1"), 1500), 1000);
        assert!(paths.learn(addr("192.0.2.1"), 68, &env));
        assert_eq!(paths.get(addr("192.0.2.1"), 1500), MIN_V4);
        assert!(paths.learn(addr("2001:db8::1"), 100, &env));
        assert_eq!(paths.get(addr("2001:db8::1"), 1500), MIN_V6);
    }
}

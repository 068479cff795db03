//! Path MTUs below the link's, for each destination that told of one (RFC 1191, RFC 8201).

use alloc::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::env::Env;
use crate::time::Instant;

/// The least path MTU that is believed over IPv4. A forged report of less would make a sender work for its headers alone;
/// real paths below it are fragmented on instead.
pub(crate) const MIN_V4: u32 = 552;

/// The least MTU that a link with IPv6 has (RFC 8200, 5): a report of less is not believed (RFC 8201, 4).
pub(crate) const MIN_V6: u32 = 1280;

#[derive(Clone, Copy)]
struct Entry {
    mtu: u32,
    until: Instant,
}

/// What is known about paths. It is bounded: the entry that ends first makes room for a new one.
#[derive(Default)]
pub(crate) struct PathMtus {
    entries: BTreeMap<Address, Entry>,
    ends: BTreeSet<(Instant, Address)>,
}

impl PathMtus {
    /// The path MTU to a destination on a link of the given MTU.
    pub(crate) fn get(&self, destination: Address, link_mtu: u32) -> u32 {
        if self.entries.is_empty() {
            return link_mtu;
        }
        self.entries.get(&destination).map_or(link_mtu, |entry| entry.mtu.min(link_mtu))
    }

    /// Learns that longer packets than this don't get there; whether that is news. What is too little to be true counts as
    /// the least that may be, and a report of more than what is known is not believed: only time raises it.
    pub(crate) fn learn(&mut self, destination: Address, mtu: u32, env: &Env) -> bool {
        let least = if destination.is_v4() { MIN_V4 } else { MIN_V6 };
        let mtu = mtu.max(least);
        let old = self.entries.get(&destination).copied();
        if old.is_some_and(|old| old.mtu < mtu) {
            return false;
        }
        if let Some(old) = old {
            self.ends.remove(&(old.until, destination));
        } else if env.config.path_mtus == 0 {
            return false;
        } else if self.entries.len() >= env.config.path_mtus
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.entries.remove(&first);
        }
        let until = env.now + env.config.path_mtu_age;
        self.entries.insert(destination, Entry { mtu, until });
        self.ends.insert((until, destination));
        old.is_none_or(|old| old.mtu != mtu)
    }

    /// Forgets what is too old; whether there was any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let mut any = false;
        while self.ends.first().is_some_and(|&(until, _)| until <= now)
            && let Some((_, destination)) = self.ends.pop_first()
        {
            self.entries.remove(&destination);
            any = true;
        }
        any
    }

    /// When the next one gets too old.
    pub(crate) fn deadline(&self) -> Instant {
        self.ends.first().map_or(Instant::NEVER, |&(until, _)| until)
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

    #[test]
    fn the_bound_holds_and_the_oldest_goes_first() {
        let (mut paths, mut env) = (PathMtus::default(), env());
        env.config.path_mtus = 2;
        for (step, address) in ["192.0.2.1", "192.0.2.2", "192.0.2.3"].into_iter().enumerate() {
            env.now = Instant(step as u64);
            paths.learn(addr(address), 1000, &env);
        }
        assert_eq!(paths.get(addr("192.0.2.1"), 1500), 1500);
        assert_eq!(paths.get(addr("192.0.2.2"), 1500), 1000);
        assert_eq!(paths.get(addr("192.0.2.3"), 1500), 1000);
        assert_eq!(paths.entries.len(), paths.ends.len());
    }
}

//! The routing table: the longest prefix first, then the least metric, then the route that was added first.

use alloc::vec::Vec;

use crate::address::Address;
use crate::ip::link::LinkId;
use crate::ip::prefix::Prefix;

/// Where a route comes from; each source withdraws only its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// The program.
    Manual,
    /// The prefix of an assigned address.
    Connected,
    /// A DHCP lease.
    Dhcp,
    /// A router's advertisement.
    Advertised,
}

/// One route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) prefix: Prefix,
    /// The next hop; none if the destinations are on the link.
    pub(crate) gateway: Option<Address>,
    pub(crate) link: LinkId,
    /// Lower is better.
    pub(crate) metric: u32,
    pub(crate) origin: Origin,
}

/// Routes of one prefix length, sorted by prefix and metric.
struct Bucket {
    length: u8,
    entries: Vec<Entry>,
}

/// Every route of both families. A look-up is one binary search for each prefix length that occurs.
#[derive(Default)]
pub(crate) struct Routes {
    v4: Vec<Bucket>,
    v6: Vec<Bucket>,
}

impl Routes {
    fn table(&mut self, v4: bool) -> &mut Vec<Bucket> {
        if v4 { &mut self.v4 } else { &mut self.v6 }
    }

    /// Adds a route; false if the very same is there.
    pub(crate) fn add(&mut self, entry: Entry) -> bool {
        let length = entry.prefix.length();
        let table = self.table(entry.prefix.is_v4());
        let at = match table.binary_search_by(|bucket| length.cmp(&bucket.length)) {
            Ok(at) => at,
            Err(at) => {
                table.insert(at, Bucket { length, entries: Vec::new() });
                at
            }
        };
        let Some(Bucket { entries, .. }) = table.get_mut(at) else { return false };
        if entries.contains(&entry) {
            return false;
        }
        let key = |entry: &Entry| (entry.prefix.bits(), entry.metric);
        let place = entries.partition_point(|other| key(other) <= key(&entry));
        entries.insert(place, entry);
        true
    }

    /// Removes every route that `is` says; whether there was one.
    pub(crate) fn remove(&mut self, mut is: impl FnMut(&Entry) -> bool) -> bool {
        let mut found = false;
        for table in [&mut self.v4, &mut self.v6] {
            for bucket in table.iter_mut() {
                let before = bucket.entries.len();
                bucket.entries.retain(|entry| !is(entry));
                found |= bucket.entries.len() < before;
            }
            table.retain(|bucket| !bucket.entries.is_empty());
        }
        found
    }

    /// The best route to a destination among those that `usable` lets pass.
    pub(crate) fn lookup(&self, destination: Address, mut usable: impl FnMut(&Entry) -> bool) -> Option<&Entry> {
        let table = if destination.is_v4() { &self.v4 } else { &self.v6 };
        for bucket in table {
            let cut = bucket.entries.first()?.prefix.cut(destination);
            let start = bucket.entries.partition_point(|entry| entry.prefix.bits() < cut);
            let same = bucket.entries.get(start..).unwrap_or_default().iter().take_while(|entry| entry.prefix.bits() == cut);
            if let Some(entry) = same.into_iter().find(|entry| usable(entry)) {
                return Some(entry);
            }
        }
        None
    }

    /// Whether an address is the next hop of any route on a link.
    pub(crate) fn is_gateway(&self, link: LinkId, address: Address) -> bool {
        self.iter().any(|entry| entry.link == link && entry.gateway == Some(address))
    }

    /// Every route, IPv4 first, in the order in which they are looked at.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.v4.iter().chain(&self.v6).flat_map(|bucket| &bucket.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::testing::addr;
    use proptest::prelude::*;

    fn entry(destination: &str, length: u8, gateway: &str, metric: u32) -> Entry {
        let gateway = (!gateway.is_empty()).then(|| addr(gateway));
        let prefix = Prefix::new(addr(destination), length).unwrap();
        Entry { prefix, gateway, link: LinkId(0), metric, origin: Origin::Manual }
    }

    fn gateway(routes: &Routes, destination: &str) -> Option<Address> {
        routes.lookup(addr(destination), |_| true).and_then(|entry| entry.gateway)
    }

    #[test]
    fn the_longest_prefix_wins_and_then_the_least_metric() {
        let mut routes = Routes::default();
        assert!(routes.add(entry("0.0.0.0", 0, "10.0.0.1", 5)));
        assert!(routes.add(entry("0.0.0.0", 0, "10.0.0.2", 1)));
        assert!(routes.add(entry("10.1.0.0", 16, "10.0.0.3", 9)));
        assert!(routes.add(entry("10.1.2.0", 24, "10.0.0.4", 100)));
        assert!(!routes.add(entry("10.1.2.0", 24, "10.0.0.4", 100)));
        assert_eq!(gateway(&routes, "192.0.2.1"), Some(addr("10.0.0.2")));
        assert_eq!(gateway(&routes, "10.1.9.9"), Some(addr("10.0.0.3")));
        assert_eq!(gateway(&routes, "10.1.2.9"), Some(addr("10.0.0.4")));
        assert_eq!(gateway(&routes, "2001:db8::1"), None);
        assert!(routes.remove(|entry| entry.metric == 1));
        assert_eq!(gateway(&routes, "192.0.2.1"), Some(addr("10.0.0.1")));
    }

    #[test]
    fn what_is_not_usable_is_passed_over_down_to_shorter_prefixes() {
        let mut routes = Routes::default();
        routes.add(entry("::", 0, "fe80::1", 0));
        routes.add(entry("2001:db8::", 32, "fe80::2", 0));
        let found = routes.lookup(addr("2001:db8::5"), |entry| entry.gateway != Some(addr("fe80::2")));
        assert_eq!(found.and_then(|entry| entry.gateway), Some(addr("fe80::1")));
        assert!(routes.is_gateway(LinkId(0), addr("fe80::2")) && !routes.is_gateway(LinkId(1), addr("fe80::2")));
    }

    proptest! {
        #[test]
        fn a_look_up_finds_what_a_search_of_every_route_finds(
            routes in proptest::collection::vec((any::<u32>(), 0u8..=32, 0u32..3), 0..40),
            targets in proptest::collection::vec(any::<u32>(), 20),
        ) {
            let mut table = Routes::default();
            let mut all = Vec::new();
            for (network, length, metric) in routes {
                let prefix = Prefix::new(core::net::Ipv4Addr::from(network & 0xf0f0_ffff).into(), length).unwrap();
                let entry = Entry { prefix, gateway: None, link: LinkId(0), metric, origin: Origin::Manual };
                if table.add(entry) {
                    all.push(entry);
                }
            }
            for target in targets {
                let target = Address::from(core::net::Ipv4Addr::from(target & 0xf0f0_ffff));
                let best = all.iter().filter(|entry| entry.prefix.contains(target))
                    .min_by_key(|entry| (core::cmp::Reverse(entry.prefix.length()), entry.metric));
                let found = table.lookup(target, |_| true);
                prop_assert_eq!(found.map(|entry| (entry.prefix, entry.metric)), best.map(|entry| (entry.prefix, entry.metric)));
            }
        }
    }
}

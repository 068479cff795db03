//! What a link learns from router advertisements: default routers, prefixes, its MTU, addresses (RFC 4861, 6.3; RFC 4862; RFC 4191).
//!
//! Everything is bounded, so that a flood of advertisements fills a few places and no more.

use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::Ipv6Addr;
use core::time::Duration;

use ostia_wire::{NdpOption, NdpOptions, Preference, PrefixInformation, RouterAdvertisement};
use siphasher::sip::SipHasher24;

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::addresses::{AddressOrigin, Assigned, Assignment};
use crate::ip::link::LinkId;
use crate::ip::path_mtu::MIN_V6;
use crate::ip::prefix::Prefix;
use crate::ip::routes::{self, Entry};
use crate::time::Instant;

/// Default routers, prefixes on the link, addresses from prefixes, and name servers that are kept, at most.
const MAX_ROUTERS: usize = 8;
const MAX_PREFIXES: usize = 16;
const MAX_ADDRESSES: usize = 16;
const MAX_DNS: usize = 8;
/// The wait before the first solicitation (RFC 4861, 10), and between the first two (RFC 7559, 2), which doubles up to an hour.
const SOLICIT_DELAY: Duration = Duration::from_secs(1);
const SOLICIT_FIRST: Duration = Duration::from_secs(4);
const SOLICIT_MOST: Duration = Duration::from_secs(3600);
/// An advertisement shortens a longer life to this at most (RFC 4862, 5.5.3 e).
const TWO_HOURS: Duration = Duration::from_secs(7200);
/// Attempts at an address that nobody has (RFC 7217, 6: IDGEN_RETRIES).
const ATTEMPTS: u8 = 3;
/// The metric of a default router of high preference; each step lower adds as much again.
const METRIC: u32 = 1024;

/// What a link has learned.
pub(crate) struct Slaac {
    enabled: bool,
    /// When routers are asked for next, and how long the wait after that is.
    solicit_at: Instant,
    interval: Duration,
    routers: Vec<(Address, Instant)>,
    prefixes: Vec<(Prefix, Instant)>,
    dns: Vec<(Address, Instant)>,
    mtu: Option<u32>,
    /// The times that are set, so that they are varied anew only when they change.
    times: (u32, u32),
}

impl Default for Slaac {
    fn default() -> Slaac {
        Slaac {
            enabled: false,
            solicit_at: Instant::NEVER,
            interval: SOLICIT_FIRST,
            routers: Vec::new(),
            prefixes: Vec::new(),
            dns: Vec::new(),
            mtu: None,
            times: (0, 0),
        }
    }
}

impl Slaac {
    /// The MTU that a router has told.
    pub(crate) fn mtu(&self) -> Option<u32> {
        self.mtu
    }

    /// The name servers that routers have told.
    pub(crate) fn dns(&self) -> impl Iterator<Item = Address> + '_ {
        self.dns.iter().map(|&(address, _)| address)
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Instant {
        let ends = self.routers.iter().chain(&self.dns).map(|&(_, until)| until);
        let ends = ends.chain(self.prefixes.iter().map(|&(_, until)| until));
        ends.fold(self.solicit_at, Instant::min)
    }

    /// Asks for routers again, as when the link comes up.
    pub(crate) fn solicit_soon(&mut self, env: &mut Env) {
        if self.enabled {
            self.interval = SOLICIT_FIRST;
            self.solicit_at = env.now + Duration::from_nanos(env.random.below(SOLICIT_DELAY.as_nanos() as u64));
        }
    }
}

/// A lifetime in seconds from now on.
fn until(now: Instant, seconds: u32) -> Instant {
    if seconds == u32::MAX { Instant::NEVER } else { now + Duration::from_secs(u64::from(seconds)) }
}

impl Ip {
    /// Whether a link configures itself from router advertisements.
    pub(crate) fn set_slaac(&mut self, id: LinkId, on: bool, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        if on == link.slaac.enabled {
            return;
        }
        link.slaac = Slaac { enabled: on, ..Slaac::default() };
        if on {
            link.slaac.solicit_soon(env);
            self.add_link_local(id, 0, env);
            return;
        }
        self.routes.remove(|entry| entry.link == id && entry.origin == routes::Origin::Advertised);
        let Some(link) = self.link(id) else { return };
        let made = |origin| origin == AddressOrigin::Advertised;
        let gone: Vec<Address> =
            link.addresses.iter().filter(|assigned| made(assigned.origin)).map(|assigned| assigned.address).collect();
        for address in gone {
            self.remove_address(id, address, env);
        }
        self.changed();
    }

    /// Gives a link its link-local address, if it has none (RFC 4291, 2.8).
    pub(super) fn add_link_local(&mut self, id: LinkId, attempt: u8, env: &mut Env) {
        let Some(link) = self.link(id) else { return };
        if link.config.mtu < MIN_V6
            || link.addresses.iter().any(|assigned| assigned.address.is_link_local_v6() && assigned.is_wanted())
        {
            return;
        }
        let prefix = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
        let address = self.stable_address(id, prefix, attempt);
        self.assign(
            id,
            Assignment {
                address,
                prefix: 64,
                origin: AddressOrigin::LinkLocal,
                preferred_until: Instant::NEVER,
                valid_until: Instant::NEVER,
                probe: true,
                attempt,
            },
            env,
        );
    }

    /// An address in a prefix of 64 bits that stays the same on this link and says nothing of it (RFC 7217, 5).
    fn stable_address(&self, id: LinkId, prefix: Ipv6Addr, attempt: u8) -> Address {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(&prefix.octets()[..8]);
        if let Some(link) = self.link(id) {
            hasher.write(link.config.name.as_bytes());
            hasher.write(link.mac().map_or([0; 6], |mac| mac.0).as_slice());
        }
        hasher.write_u8(attempt);
        // Zero is the routers' own (RFC 4291, 2.6.1).
        let identifier = hasher.finish().max(1);
        Ipv6Addr::from_bits(prefix.to_bits() & !u128::from(u64::MAX) | u128::from(identifier)).into()
    }

    /// Somebody has an address that this host has made: another is tried, a few times.
    pub(super) fn try_another_address(&mut self, id: LinkId, taken: Address, env: &mut Env) {
        let Some(assigned) = self.link(id).and_then(|link| link.addresses.get(taken)).copied() else { return };
        let attempt = assigned.attempt + 1;
        if attempt >= ATTEMPTS {
            return;
        }
        match assigned.origin {
            AddressOrigin::LinkLocal => self.add_link_local(id, attempt, env),
            AddressOrigin::Advertised => {
                let Some(prefix) = taken.v6() else { return };
                let address = self.stable_address(id, prefix, attempt);
                let Assigned { preferred_until, valid_until, origin, .. } = assigned;
                self.remove_address(id, taken, env);
                self.assign(
                    id,
                    Assignment { address, prefix: 64, origin, preferred_until, valid_until, probe: true, attempt },
                    env,
                );
            }
            AddressOrigin::Manual | AddressOrigin::Dhcp => {}
        }
    }

    /// A router has advertised itself, validly.
    pub(super) fn input_router_advert(
        &mut self,
        id: LinkId,
        router: Address,
        advert: RouterAdvertisement,
        options: NdpOptions<'_>,
        env: &mut Env,
    ) -> Result<(), Reason> {
        let link = self.links.get_mut(usize::from(id.0)).ok_or(Reason::LinkDown)?;
        if !link.slaac.enabled {
            return Err(Reason::AdvertsOff);
        }
        let times = (advert.reachable_time, advert.retransmit_timer);
        if link.slaac.times != times {
            link.slaac.times = times;
            let time = |millis: u32| (millis > 0).then(|| Duration::from_millis(u64::from(millis)));
            link.neighbours.set_times(time(times.0), time(times.1), env);
        }
        self.default_router(id, router, advert, env)?;
        for option in options {
            match option {
                NdpOption::SourceLinkLayer(mac) => {
                    let Some(link) = self.links.get_mut(usize::from(id.0)).filter(|link| link.mac().is_some()) else { continue };
                    let released = link.neighbours.seen(router, mac, Some(true), env);
                    self.release(id, released, env);
                }
                NdpOption::Mtu(mtu) => self.advertised_mtu(id, mtu),
                NdpOption::PrefixInformation(info) => {
                    let link_local = Address::from(info.prefix).is_link_local_v6();
                    if link_local || info.prefix.is_multicast() || info.preferred_lifetime > info.valid_lifetime {
                        continue;
                    }
                    if info.on_link {
                        self.on_link_prefix(id, &info, env);
                    }
                    if info.autonomous && info.prefix_len == 64 {
                        self.autonomous_prefix(id, &info, env);
                    }
                }
                NdpOption::Rdnss { lifetime, servers } => {
                    let Some(link) = self.links.get_mut(usize::from(id.0)) else { continue };
                    let dns = &mut link.slaac.dns;
                    for server in servers.iter() {
                        dns.retain(|&(known, _)| known != Address::from(server));
                        if lifetime > 0 && dns.len() < MAX_DNS {
                            dns.push((server.into(), until(env.now, lifetime)));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn advertised_mtu(&mut self, id: LinkId, mtu: u32) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        if mtu >= MIN_V6 && mtu <= link.config.mtu && link.slaac.mtu != Some(mtu) {
            link.slaac.mtu = Some(mtu);
            self.changed();
        }
    }

    /// The list of default routers (RFC 4861, 6.3.4), as routes.
    fn default_router(&mut self, id: LinkId, router: Address, advert: RouterAdvertisement, env: &mut Env) -> Result<(), Reason> {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return Ok(()) };
        let routers = &mut link.slaac.routers;
        let before = routers.len();
        routers.retain(|&(known, _)| known != router);
        if advert.lifetime == 0 {
            if routers.len() < before {
                self.remove_router(id, router);
            }
            return Ok(());
        }
        if routers.len() >= MAX_ROUTERS {
            return Err(Reason::RateLimit);
        }
        routers.push((router, until(env.now, u32::from(advert.lifetime))));
        // Somebody answers: there is no need to ask on.
        link.slaac.solicit_at = Instant::NEVER;
        let metric = match advert.preference {
            Preference::High => METRIC,
            Preference::Medium => METRIC * 2,
            Preference::Low => METRIC * 3,
        };
        let Some(prefix) = Prefix::new(Address::UNSPECIFIED, 0) else { return Ok(()) };
        let origin = routes::Origin::Advertised;
        let entry = Entry { prefix, gateway: Some(router), link: id, metric, origin };
        let other = |there: &Entry| there.metric != metric && Entry { metric, ..*there } == entry;
        let moved = self.routes.remove(other);
        if self.routes.add(entry) || moved {
            self.changed();
        }
        Ok(())
    }

    /// A router says in another way that it is none any more (RFC 4861, 7.2.5).
    pub(super) fn router_resigned(&mut self, id: LinkId, router: Address) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        link.slaac.routers.retain(|&(known, _)| known != router);
        self.remove_router(id, router);
    }

    fn remove_router(&mut self, id: LinkId, router: Address) {
        let origin = routes::Origin::Advertised;
        self.routes.remove(|entry| entry.link == id && entry.gateway == Some(router) && entry.origin == origin);
        self.changed();
    }

    /// The list of prefixes whose addresses are on the link (RFC 4861, 6.3.4), as routes.
    fn on_link_prefix(&mut self, id: LinkId, info: &PrefixInformation, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        let Some(prefix) = Prefix::new(info.prefix.into(), info.prefix_len).filter(|prefix| prefix.length() > 0) else { return };
        let prefixes = &mut link.slaac.prefixes;
        let before = prefixes.len();
        prefixes.retain(|&(known, _)| known != prefix);
        let known = prefixes.len() < before;
        let entry = Entry { prefix, gateway: None, link: id, metric: METRIC, origin: routes::Origin::Advertised };
        if info.valid_lifetime == 0 {
            if known {
                self.routes.remove(|there| *there == entry);
                self.changed();
            }
        } else if prefixes.len() >= MAX_PREFIXES {
            env.drop(Reason::RateLimit);
        } else {
            prefixes.push((prefix, until(env.now, info.valid_lifetime)));
            if self.routes.add(entry) {
                self.changed();
            }
        }
    }

    /// An address from a prefix, made or prolonged (RFC 4862, 5.5.3).
    fn autonomous_prefix(&mut self, id: LinkId, info: &PrefixInformation, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        let Some(prefix) = Prefix::new(info.prefix.into(), info.prefix_len) else { return };
        let made = link.addresses.iter().filter(|assigned| assigned.origin == AddressOrigin::Advertised);
        let (mut count, mut known) = (0, None);
        for assigned in made {
            count += 1;
            if assigned.prefix == prefix {
                known = Some(*assigned);
            }
        }
        let preferred_until = until(env.now, info.preferred_lifetime);
        let wanted = until(env.now, info.valid_lifetime);
        if let Some(known) = known {
            // Nobody can end an address at once by forging an advertisement (5.5.3 e).
            let valid_until = if wanted > env.now + TWO_HOURS || wanted > known.valid_until {
                wanted
            } else {
                known.valid_until.min(env.now + TWO_HOURS)
            };
            if link.addresses.set_lifetimes(known.address, preferred_until, valid_until, env.now) {
                self.changed();
            }
            return;
        }
        if info.valid_lifetime == 0 {
            return;
        }
        if count >= MAX_ADDRESSES {
            return env.drop(Reason::RateLimit);
        }
        let address = self.stable_address(id, info.prefix, 0);
        let origin = AddressOrigin::Advertised;
        let assignment =
            Assignment { address, prefix: 64, origin, preferred_until, valid_until: wanted, probe: true, attempt: 0 };
        self.assign(id, assignment, env);
    }

    /// Does what is due: asks for routers, forgets what has ended.
    pub(super) fn expire_slaac(&mut self, id: LinkId, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        let slaac = &mut link.slaac;
        if slaac.deadline() > env.now {
            return;
        }
        let solicit = slaac.solicit_at <= env.now;
        if solicit {
            // Within a tenth of the interval, so that hosts which start together don't ask together (RFC 7559, 2).
            let tenth = slaac.interval.as_nanos() as u64 / 10;
            slaac.solicit_at = env.now + slaac.interval + Duration::from_nanos(env.random.below(tenth));
            slaac.interval = (slaac.interval * 2).min(SOLICIT_MOST);
        }
        let ended: Vec<Address> = slaac.routers.iter().filter(|router| router.1 <= env.now).map(|router| router.0).collect();
        slaac.routers.retain(|router| router.1 > env.now);
        let gone: Vec<Prefix> = slaac.prefixes.iter().filter(|prefix| prefix.1 <= env.now).map(|prefix| prefix.0).collect();
        slaac.prefixes.retain(|prefix| prefix.1 > env.now);
        slaac.dns.retain(|dns| dns.1 > env.now);
        if slaac.routers.is_empty() && !ended.is_empty() {
            slaac.solicit_soon(env);
        }
        for router in ended {
            self.remove_router(id, router);
        }
        for prefix in gone {
            let origin = routes::Origin::Advertised;
            self.routes
                .remove(|entry| entry.link == id && entry.prefix == prefix && entry.gateway.is_none() && entry.origin == origin);
            self.changed();
        }
        if solicit {
            self.send_router_solicit(id, env);
        }
    }
}

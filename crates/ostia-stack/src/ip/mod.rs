//! The network layer: IPv4 and IPv6 with all that goes with them, from frames to transport packets and back.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ostia_wire::Frame;

use crate::Config;
use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::random::Random;
use crate::tcp::limiter::Limiter;
use crate::time::Instant;

mod addresses;
mod arp;
mod dhcp;
mod dhcp_client;
mod forward;
mod groups;
mod icmp;
mod icmp_out;
mod identification;
mod input;
mod learned;
pub(crate) mod link;
mod manage;
mod membership;
mod ndp;
mod neighbours;
mod outbox;
mod output;
mod packet;
mod path_mtu;
mod prefix;
mod reassembly;
mod redirects;
mod routes;
mod select;
mod slaac;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use addresses::{AddressOrigin, AddressState, LinkAddress};
pub use dhcp::Lease;
pub use link::{LOOPBACK, LinkConfig, LinkId, Medium, Transmit};
pub use neighbours::{Neighbour, NeighbourState};
pub(crate) use packet::{Head, Icmp, Input, IpHeader, Packet, Quoted, Refusal, Route, protocol};

use identification::Identifications;
use learned::Learned;
use link::Link;
use outbox::Outbox;
use path_mtu::PathMtus;
use reassembly::Reassembly;
use redirects::Redirect;
use routes::Routes;

/// Something that this host has for itself.
enum Local {
    /// A whole IP packet, and the link that it counts as having come by.
    Frame(LinkId, Frame),
    /// A packet that IP has used, for raw sockets.
    Copy(Packet),
    /// An error that this host has found itself.
    Error(Quoted),
}

/// The network layer of one host.
pub(crate) struct Ip {
    links: Vec<Link>,
    /// The addresses that packets may be sent to and from, as sorted numbers, each with the link that has it.
    locals: Vec<(u128, LinkId)>,
    routes: Routes,
    path_mtus: PathMtus,
    redirects: Learned<Redirect>,
    reassembly: Reassembly,
    /// Frames to be sent.
    pub(crate) out: Outbox,
    local: VecDeque<Local>,
    /// Goes up with whatever may change a route.
    generation: u32,
    identifications: Identifications,
    /// How many ICMP errors may be sent.
    errors: Limiter,
    /// Of addresses that are made (RFC 7217).
    secret: [u8; 16],
    /// Protocols that raw sockets want, one bit each.
    raw: [u64; 4],
}

impl Ip {
    pub(crate) fn new(config: &Config, random: &mut Random) -> Ip {
        Ip {
            links: Vec::new(),
            locals: Vec::new(),
            routes: Routes::default(),
            path_mtus: PathMtus::default(),
            redirects: Learned::default(),
            reassembly: Reassembly::default(),
            out: Outbox::default(),
            local: VecDeque::new(),
            generation: 0,
            identifications: Identifications::new(random),
            errors: Limiter::new(config.icmp_errors, config.icmp_errors.div_ceil(20).max(1)),
            secret: random.key(),
            raw: [0; 4],
        }
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(usize::from(id.0))
    }

    /// Where the IP header of a link's frames begins.
    #[inline]
    pub(crate) fn header_at(&self, link: LinkId) -> usize {
        match self.link(link).map(|link| link.config.medium) {
            Some(Medium::Ethernet(_)) => ostia_wire::ethernet::HEADER_LEN,
            _ => 0,
        }
    }

    /// Whether an address is this host's own, and usable.
    #[inline]
    pub(crate) fn is_local(&self, address: Address) -> bool {
        self.local(address).is_some() || address.is_loopback()
    }

    /// The link that has an own address.
    #[inline]
    fn local(&self, address: Address) -> Option<LinkId> {
        let number = prefix::number(address);
        // Few hosts have many: then looking at each is faster than a search.
        match &self.locals[..] {
            few @ ([] | [_] | [_, _] | [_, _, _] | [_, _, _, _]) => {
                few.iter().find(|local| local.0 == number).map(|local| local.1)
            }
            many => many.binary_search_by_key(&number, |local| local.0).ok().and_then(|at| many.get(at)).map(|local| local.1),
        }
    }

    /// Whether a route still is what a look-up would give.
    #[inline]
    pub(crate) fn is_current(&self, route: &Route) -> bool {
        route.generation == self.generation
    }

    /// The longest IP packet that a route takes, as far as is known now.
    pub(crate) fn path_mtu(&self, route: &Route) -> u32 {
        match self.link(route.link) {
            Some(link) => self.path_mtus.get(route.destination, link.mtu(route.destination.is_v4())),
            None => route.mtu,
        }
    }

    /// Believes that packets longer than this don't get to a destination. The transport calls it when the error quoted
    /// something that it had sent.
    pub(crate) fn learn_path_mtu(&mut self, destination: Address, mtu: u32, env: &mut Env) {
        if self.path_mtus.learn(destination, mtu, env) {
            self.changed();
        }
    }

    /// The transport knows that what it sends by a route arrives (RFC 4861, 7.3.1).
    #[inline]
    pub(crate) fn confirm(&mut self, route: &Route, env: &Env) {
        if let Some(link) = self.links.get_mut(usize::from(route.link.0)) {
            link.neighbours.confirm(route.next_hop, env);
        }
    }

    /// The transport doubts that what it sends by a route arrives: whether the next hop is there is found out anew (RFC 1122,
    /// 3.3.1.4; RFC 9293, 3.8.3 MUST-20).
    pub(crate) fn doubt(&mut self, route: &Route) {
        if let Some(link) = self.links.get_mut(usize::from(route.link.0)) {
            link.neighbours.doubt(route.next_hop);
        }
    }

    /// Protocols of which raw sockets want copies.
    pub(crate) fn set_raw(&mut self, protocols: [u64; 4]) {
        self.raw = protocols;
    }

    fn wants_raw(&self, protocol: u8) -> bool {
        self.raw.get(usize::from(protocol / 64)).is_some_and(|bits| bits >> (protocol % 64) & 1 == 1)
    }

    /// Something that routes depend on is different.
    fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// The addresses of all links, anew.
    fn collect_locals(&mut self) {
        self.locals.clear();
        for (at, link) in self.links.iter_mut().enumerate() {
            let id = LinkId(at as u16);
            self.locals.extend(link.addresses.usable().map(|assigned| (prefix::number(assigned.address), id)));
            link.broadcasts = link.addresses.usable().filter_map(|assigned| assigned.prefix.broadcast()).collect();
        }
        self.locals.sort_unstable();
        self.changed();
    }

    /// Does what is due.
    pub(crate) fn turn(&mut self, env: &mut Env) {
        if self.deadline(env) > env.now {
            return;
        }
        for at in 0..self.links.len() {
            let id = LinkId(at as u16);
            if self.link(id).is_none_or(|link| !link.up) {
                continue;
            }
            self.expire_addresses(id, env);
            self.expire_slaac(id, env);
            self.expire_dhcp(id, env);
            self.expire_neighbours(id, env);
            self.expire_groups(id, env);
        }
        if self.reassembly.deadline(env) <= env.now {
            let mut expired = Vec::new();
            self.reassembly.expire(env, &mut expired);
            for late in expired {
                if let Some(first) = late.first {
                    self.report(&first, late.link, icmp_out::Problem::Reassembly, env);
                }
            }
        }
        if self.path_mtus.expire(env.now) | self.redirects.expire(env.now) {
            self.changed();
        }
    }

    /// When something is due next; at once, if there are packets for this host itself.
    pub(crate) fn deadline(&self, env: &Env) -> Instant {
        if !self.local.is_empty() {
            return env.now;
        }
        let links = self.links.iter().filter(|link| link.up).map(Link::deadline);
        let learned = self.path_mtus.deadline().min(self.redirects.deadline());
        links.fold(self.reassembly.deadline(env).min(learned), Instant::min)
    }

    fn expire_neighbours(&mut self, id: LinkId, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        if link.neighbours.deadline() > env.now {
            return;
        }
        let (mut ask, mut gone) = (Vec::new(), Vec::new());
        link.neighbours.expire(env, &mut ask, &mut gone);
        for solicit in ask {
            self.solicit(id, solicit, env);
        }
        for neighbour in gone {
            if self.routes.is_gateway(id, neighbour.address) || self.is_redirected_to(id, neighbour.address) {
                // Connections look for another router.
                self.changed();
            }
            for frame in neighbour.frames {
                env.drop(Reason::NoNeighbour);
                // Own sockets are told as a router would tell them (RFC 4861, 7.2.2); others by ICMP.
                match self.quoted(frame.as_slice(), Icmp::HostUnreachable, id) {
                    Some(quoted) => self.raise(quoted),
                    None => self.report(frame.as_slice(), id, icmp_out::Problem::NoNeighbour, env),
                }
            }
        }
    }
}

//! The addresses of one link: where they come from, how long they last, and whether somebody else has them (RFC 4862, RFC 5227).

use alloc::vec::Vec;
use core::time::Duration;

use crate::address::Address;
use crate::env::Env;
use crate::ip::prefix::Prefix;
use crate::time::Instant;

/// How long an answer to a solicitation for a tentative address is waited for (RFC 4862, 5.1, and RFC 4861, 10). One is sent.
const DAD_WAIT: Duration = Duration::from_secs(1);
/// The longest wait before it, when all hosts of a link were prompted at once (RFC 4862, 5.4.2).
const DAD_DELAY: Duration = Duration::from_secs(1);
/// ARP probes for a leased address. RFC 5227, 1.1, spreads them over 4 to 7 s, which would be felt at each start; a DHCP server
/// has looked before it gave the address away (RFC 2131, 3.1).
const ARP_PROBES: u8 = 3;
const ARP_PROBE_WAIT: Duration = Duration::from_millis(200);
/// Between two defences of an address (RFC 5227, 2.4).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// Who has assigned an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AddressOrigin {
    /// The program.
    Manual,
    /// A DHCP server.
    Dhcp,
    /// The stack itself, from a router's advertisement (RFC 4862).
    Advertised,
    /// The stack itself, for the link alone (RFC 4862, 5.3).
    LinkLocal,
}

/// What an address can be used for (RFC 4862, 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AddressState {
    /// Not yet: it is still being asked whether somebody else has it.
    Tentative,
    /// For everything.
    Preferred,
    /// For what goes on; new connections should take another.
    Deprecated,
    /// For nothing: somebody else has it.
    Duplicate,
}

/// An address of a link, for display.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkAddress {
    /// The address.
    pub address: Address,
    /// How many bits of it are the network's.
    pub prefix: u8,
    /// Who has assigned it.
    pub origin: AddressOrigin,
    /// What it can be used for.
    pub state: AddressState,
}

/// An address of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assigned {
    pub(crate) address: Address,
    pub(crate) prefix: Prefix,
    pub(crate) origin: AddressOrigin,
    pub(crate) state: AddressState,
    pub(crate) preferred_until: Instant,
    pub(crate) valid_until: Instant,
    /// When the next question is to be asked, or the silence has lasted long enough.
    probe_at: Instant,
    probes_left: u8,
    defended: Option<Instant>,
    /// How many were tried before it, for the same prefix (RFC 7217, 6).
    pub(crate) attempt: u8,
}

impl Assigned {
    /// Whether packets to it are for this host.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.state, AddressState::Preferred | AddressState::Deprecated)
    }
}

/// How an address is to be assigned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assignment {
    pub(crate) address: Address,
    pub(crate) prefix: u8,
    pub(crate) origin: AddressOrigin,
    pub(crate) preferred_until: Instant,
    pub(crate) valid_until: Instant,
    /// Whether others on the link are to be asked first.
    pub(crate) probe: bool,
    pub(crate) attempt: u8,
}

/// What is to be done about an address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// Ask whether somebody has it.
    Probe(Address),
    /// Nobody has: it can be used.
    Usable(Address),
    /// Its state has changed otherwise.
    Changed,
    /// Its time is over, and it is gone.
    Expired(Assigned),
}

/// The addresses of one link, in the order in which they were assigned.
#[derive(Default)]
pub(crate) struct Addresses(Vec<Assigned>);

impl Addresses {
    /// Assigns an address; none if it is there already, or the prefix is too long.
    pub(crate) fn add(&mut self, what: Assignment, env: &mut Env) -> Option<Due> {
        let prefix = Prefix::new(what.address, what.prefix)?;
        if self.get(what.address).is_some() {
            return None;
        }
        let v4 = what.address.is_v4();
        let prompted = what.origin == AddressOrigin::Advertised;
        let delay = if prompted { Duration::from_nanos(env.random.below(DAD_DELAY.as_nanos() as u64)) } else { Duration::ZERO };
        self.0.push(Assigned {
            address: what.address,
            prefix,
            origin: what.origin,
            state: if what.probe { AddressState::Tentative } else { AddressState::Preferred },
            preferred_until: what.preferred_until,
            valid_until: what.valid_until,
            probe_at: if what.probe { env.now + delay } else { Instant::NEVER },
            probes_left: if v4 { ARP_PROBES } else { 1 },
            defended: None,
            attempt: what.attempt,
        });
        Some(if what.probe { Due::Changed } else { Due::Usable(what.address) })
    }

    /// Takes an address away.
    pub(crate) fn remove(&mut self, address: Address) -> Option<Assigned> {
        let at = self.0.iter().position(|assigned| assigned.address == address)?;
        Some(self.0.remove(at))
    }

    /// An address, in whatever state.
    pub(crate) fn get(&self, address: Address) -> Option<&Assigned> {
        self.0.iter().find(|assigned| assigned.address == address)
    }

    /// An address, in whatever state.
    pub(crate) fn get_mut(&mut self, address: Address) -> Option<&mut Assigned> {
        self.0.iter_mut().find(|assigned| assigned.address == address)
    }

    /// Every one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Assigned> {
        self.0.iter()
    }

    /// The addresses that can be used.
    pub(crate) fn usable(&self) -> impl Iterator<Item = &Assigned> {
        self.0.iter().filter(|assigned| assigned.is_usable())
    }

    /// Somebody else has a tentative address (RFC 4862, 5.4.5). Whether there was one.
    pub(crate) fn is_duplicate(&mut self, address: Address) -> bool {
        let Some(assigned) = self.get_mut(address).filter(|assigned| assigned.state == AddressState::Tentative) else {
            return false;
        };
        assigned.state = AddressState::Duplicate;
        assigned.probe_at = Instant::NEVER;
        true
    }

    /// Whether an address in use is to be defended now against somebody who claims it (RFC 5227, 2.4 b).
    pub(crate) fn defend(&mut self, address: Address, now: Instant) -> bool {
        let Some(assigned) = self.get_mut(address).filter(|assigned| assigned.is_usable()) else { return false };
        let due = assigned.defended.is_none_or(|last| now.since(last) >= DEFEND_INTERVAL);
        if due {
            assigned.defended = Some(now);
        }
        due
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, now: Instant, due: &mut Vec<Due>) {
        if self.deadline() > now {
            return;
        }
        for assigned in &mut self.0 {
            if assigned.probe_at <= now {
                if let Some(left) = assigned.probes_left.checked_sub(1) {
                    assigned.probes_left = left;
                    assigned.probe_at = now + if assigned.address.is_v4() { ARP_PROBE_WAIT } else { DAD_WAIT };
                    due.push(Due::Probe(assigned.address));
                } else {
                    assigned.probe_at = Instant::NEVER;
                    assigned.state = AddressState::Preferred;
                    due.push(Due::Usable(assigned.address));
                }
            }
            if assigned.preferred_until <= now && assigned.state == AddressState::Preferred {
                assigned.state = AddressState::Deprecated;
                due.push(Due::Changed);
            }
        }
        self.0.retain(|assigned| {
            let stays = assigned.valid_until > now;
            if !stays {
                due.push(Due::Expired(*assigned));
            }
            stays
        });
    }

    /// Lifetimes anew, from an advertisement or a lease.
    pub(crate) fn set_lifetimes(
        &mut self,
        address: Address,
        preferred_until: Instant,
        valid_until: Instant,
        now: Instant,
    ) -> bool {
        let Some(assigned) = self.get_mut(address) else { return false };
        assigned.preferred_until = preferred_until;
        assigned.valid_until = valid_until;
        if assigned.state == AddressState::Deprecated && preferred_until > now {
            assigned.state = AddressState::Preferred;
            return true;
        }
        false
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Instant {
        let each = self.0.iter().map(|assigned| {
            let fades = if assigned.state == AddressState::Preferred { assigned.preferred_until } else { Instant::NEVER };
            assigned.probe_at.min(assigned.valid_until).min(fades)
        });
        each.min().unwrap_or(Instant::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::ip::testing::addr;

    fn assignment(address: &str, prefix: u8, probe: bool) -> Assignment {
        let (preferred_until, valid_until) = (Instant::NEVER, Instant::NEVER);
        let origin = AddressOrigin::Manual;
        Assignment { address: addr(address), prefix, origin, preferred_until, valid_until, probe, attempt: 0 }
    }

    fn due(addresses: &mut Addresses, env: &mut Env) -> std::string::String {
        let mut out = Vec::new();
        env.now = addresses.deadline();
        addresses.expire(env.now, &mut out);
        let words = out.iter().map(|due| match due {
            Due::Probe(address) => std::format!("probe {address}"),
            Due::Usable(address) => std::format!("usable {address}"),
            Due::Changed => std::string::String::from("changed"),
            Due::Expired(assigned) => std::format!("expired {}", assigned.address),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn an_address_is_usable_when_nobody_answered_for_it() {
        let (mut all, mut env) = (Addresses::default(), Env::new(Config::default(), [0; 32]));
        assert!(matches!(all.add(assignment("2001:db8::1", 64, true), &mut env), Some(Due::Changed)));
        assert!(all.add(assignment("2001:db8::1", 64, true), &mut env).is_none());
        assert_eq!(all.usable().count(), 0);
        assert_eq!(due(&mut all, &mut env), "probe 2001:db8::1");
        assert_eq!(due(&mut all, &mut env), "usable 2001:db8::1");
        assert_eq!((env.now.secs(), all.usable().count(), all.deadline()), (1, 1, Instant::NEVER));
    }

    #[test]
    fn an_address_that_somebody_has_is_never_used() {
        let (mut all, mut env) = (Addresses::default(), Env::new(Config::default(), [0; 32]));
        all.add(assignment("2001:db8::1", 64, true), &mut env);
        due(&mut all, &mut env);
        assert!(all.is_duplicate(addr("2001:db8::1")) && !all.is_duplicate(addr("2001:db8::1")));
        assert_eq!((all.usable().count(), all.deadline()), (0, Instant::NEVER));
        all.add(assignment("10.0.0.1", 24, false), &mut env);
        assert!(!all.is_duplicate(addr("10.0.0.1")));
        assert!(all.defend(addr("10.0.0.1"), env.now) && !all.defend(addr("10.0.0.1"), env.now));
    }

    #[test]
    fn lifetimes_deprecate_and_then_end_an_address() {
        let (mut all, mut env) = (Addresses::default(), Env::new(Config::default(), [0; 32]));
        let at = |secs| Instant::default() + Duration::from_secs(secs);
        all.add(Assignment { preferred_until: at(10), valid_until: at(20), ..assignment("2001:db8::1", 64, false) }, &mut env);
        assert_eq!(due(&mut all, &mut env), "changed");
        assert_eq!(all.get(addr("2001:db8::1")).map(|assigned| assigned.state), Some(AddressState::Deprecated));
        assert!(all.set_lifetimes(addr("2001:db8::1"), at(30), at(40), env.now));
        assert_eq!(due(&mut all, &mut env), "changed");
        assert_eq!(due(&mut all, &mut env), "expired 2001:db8::1");
        assert_eq!(all.iter().count(), 0);
    }
}

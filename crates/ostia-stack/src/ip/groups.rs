//! Multicast membership of one link, told to routers by IGMP (RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 9777).
//!
//! Both protocols have one machine here. Sources are not filtered: a member wants a group from everybody. Reports take the
//! newest version's form until a router of an older version is heard.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use crate::address::Address;
use crate::env::Env;
use crate::time::Instant;

/// How often a change is told, for reports get lost (RFC 3376, 8.1).
const ROBUSTNESS: u8 = 2;
/// Between the reports of one change, at most (RFC 3376, 8.11), and where old routers are about (RFC 2236, 8.10).
const UNSOLICITED: Duration = Duration::from_secs(1);
const UNSOLICITED_OLD: Duration = Duration::from_secs(10);
/// How long an old router is believed to be there (RFC 3376, 8.12, with the default query interval).
const OLD_QUERIER: Duration = Duration::from_secs(2 * 125 + 10);

/// What a report says of a group (RFC 3376, 4.2.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Record {
    /// A member, as a query asked (MODE_IS_EXCLUDE).
    Is,
    /// A member from now on (CHANGE_TO_EXCLUDE_MODE).
    Joined,
    /// No member any more (CHANGE_TO_INCLUDE_MODE).
    Left,
}

/// A message to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// IGMPv3 or MLDv2: a report of many groups, all of one family.
    Records(Vec<(Record, Address)>),
    /// IGMPv1.
    ReportV1(Address),
    /// IGMPv2 or MLDv1.
    Report(Address),
    /// IGMPv2's leave, MLDv1's done.
    Leave(Address),
}

/// The versions of IGMP; MLD's are 2 and 3, as what they were made after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Version {
    V1,
    V2,
    V3,
}

struct Member {
    /// How many want it; none: the leaving is still being told.
    users: u32,
    /// Reports of the last change still to be sent, and when the next is due.
    changes: u8,
    change_at: Instant,
    /// When a query is to be answered.
    answer_at: Instant,
    /// Whether the last report heard of it was ours, so that routers may not know of others (RFC 2236, 6).
    reporter: bool,
}

/// How long routers of old versions are believed to be there.
#[derive(Clone, Copy, Default)]
struct Queriers {
    v1_until: Option<Instant>,
    v2_until: Option<Instant>,
}

/// The groups of one link.
#[derive(Default)]
pub(crate) struct Groups {
    members: BTreeMap<Address, Member>,
    v4: Queriers,
    v6: Queriers,
}

/// Whether routers need to know: not of the groups of all hosts, nor of what stays on the host (RFC 3376, 5; RFC 9777, 6).
fn is_reported(group: Address) -> bool {
    match (group.v4(), group.v6()) {
        (Some(v4), _) => v4 != Ipv4Addr::new(224, 0, 0, 1),
        (_, Some(v6)) => v6 != Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1) && v6.octets()[1] & 0xf > 1,
        _ => false,
    }
}

impl Groups {
    /// Whether packets to a group are wanted.
    pub(crate) fn contains(&self, group: Address) -> bool {
        self.members.get(&group).is_some_and(|member| member.users > 0)
    }

    /// One more wants a group.
    pub(crate) fn join(&mut self, group: Address, env: &Env) {
        let fresh = Member { users: 0, changes: 0, change_at: Instant::NEVER, answer_at: Instant::NEVER, reporter: false };
        let member = self.members.entry(group).or_insert(fresh);
        member.users += 1;
        if member.users == 1 && is_reported(group) {
            member.changes = ROBUSTNESS;
            member.change_at = env.now;
        }
    }

    /// One less wants a group; false if none did.
    pub(crate) fn leave(&mut self, group: Address, env: &Env) -> bool {
        let version = self.version(group.is_v4(), env.now);
        let Some(member) = self.members.get_mut(&group).filter(|member| member.users > 0) else { return false };
        member.users -= 1;
        if member.users > 0 {
            return true;
        }
        let silent = match version {
            Version::V1 => true,
            Version::V2 => !member.reporter,
            Version::V3 => false,
        };
        if silent || !is_reported(group) {
            self.members.remove(&group);
            return true;
        }
        member.changes = if version == Version::V3 { ROBUSTNESS } else { 1 };
        member.change_at = env.now;
        member.answer_at = Instant::NEVER;
        true
    }

    /// A router asks: about one group, or about all.
    pub(crate) fn query(&mut self, v4: bool, group: Option<Address>, version: Version, within: Duration, env: &mut Env) {
        let until = Some(env.now + OLD_QUERIER);
        let queriers = if v4 { &mut self.v4 } else { &mut self.v6 };
        match version {
            Version::V1 => queriers.v1_until = until,
            Version::V2 => queriers.v2_until = until,
            Version::V3 => {}
        }
        let nanos = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
        let newest = self.version(v4, env.now) == Version::V3;
        // One report answers for all groups at once; old ones are spread, so that others may answer first.
        let together = env.now + Duration::from_nanos(env.random.below(nanos));
        for (&address, member) in &mut self.members {
            let asked = group.is_none_or(|group| group == address) && address.is_v4() == v4;
            if member.users == 0 || !asked || !is_reported(address) {
                continue;
            }
            let at = if newest { together } else { env.now + Duration::from_nanos(env.random.below(nanos)) };
            member.answer_at = member.answer_at.min(at);
        }
    }

    /// Another member has answered: with the old versions that is enough (RFC 2236, 3).
    pub(crate) fn heard(&mut self, group: Address, now: Instant) {
        if self.version(group.is_v4(), now) == Version::V3 {
            return;
        }
        if let Some(member) = self.members.get_mut(&group) {
            member.answer_at = Instant::NEVER;
            member.reporter = false;
        }
    }

    /// Everything told is told again, as when the link comes up.
    pub(crate) fn tell_again(&mut self, now: Instant) {
        self.members.retain(|_, member| member.users > 0);
        for (&group, member) in &mut self.members {
            if is_reported(group) {
                member.changes = ROBUSTNESS;
                member.change_at = now;
            }
        }
    }

    /// What is to be sent now.
    pub(crate) fn expire(&mut self, env: &mut Env, out: &mut Vec<Message>) {
        if self.deadline() > env.now {
            return;
        }
        for v4 in [true, false] {
            let version = self.version(v4, env.now);
            let mut records = Vec::new();
            for (&group, member) in self.members.iter_mut().filter(|(group, _)| group.is_v4() == v4) {
                let changed = member.change_at <= env.now;
                if !changed && member.answer_at > env.now {
                    continue;
                }
                if changed {
                    member.changes = member.changes.saturating_sub(1);
                    let most = if version == Version::V3 { UNSOLICITED } else { UNSOLICITED_OLD };
                    let wait = Duration::from_nanos(env.random.below(most.as_nanos() as u64));
                    member.change_at = if member.changes > 0 { env.now + wait } else { Instant::NEVER };
                }
                if member.answer_at <= env.now {
                    member.answer_at = Instant::NEVER;
                }
                let stays = member.users > 0;
                member.reporter = stays;
                match version {
                    Version::V3 => records.push(match (changed, stays) {
                        (false, _) => (Record::Is, group),
                        (true, true) => (Record::Joined, group),
                        (true, false) => (Record::Left, group),
                    }),
                    Version::V2 if stays => out.push(Message::Report(group)),
                    Version::V2 => out.push(Message::Leave(group)),
                    Version::V1 if stays => out.push(Message::ReportV1(group)),
                    Version::V1 => {}
                }
            }
            if !records.is_empty() {
                out.push(Message::Records(records));
            }
        }
        self.members.retain(|_, member| member.users > 0 || member.changes > 0);
    }

    /// When something is to be sent next.
    pub(crate) fn deadline(&self) -> Instant {
        self.members.values().map(|member| member.change_at.min(member.answer_at)).min().unwrap_or(Instant::NEVER)
    }

    fn version(&self, v4: bool, now: Instant) -> Version {
        let queriers = if v4 { &self.v4 } else { &self.v6 };
        match queriers {
            Queriers { v1_until: Some(until), .. } if now < *until => Version::V1,
            Queriers { v2_until: Some(until), .. } if now < *until => Version::V2,
            _ => Version::V3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::ip::testing::addr;

    fn env() -> Env {
        Env::new(Config::default(), [2; 32])
    }

    fn due(groups: &mut Groups, env: &mut Env) -> Vec<Message> {
        let mut out = Vec::new();
        groups.expire(env, &mut out);
        out
    }

    #[test]
    fn joining_and_leaving_are_told_twice_each() {
        let (mut groups, mut env) = (Groups::default(), env());
        let group = addr("239.1.2.3");
        groups.join(group, &env);
        assert_eq!(due(&mut groups, &mut env), [Message::Records(std::vec![(Record::Joined, group)])]);
        assert!(due(&mut groups, &mut env).is_empty());
        env.now = groups.deadline();
        assert!(env.now.is_set() && env.now <= Instant::default() + UNSOLICITED);
        assert_eq!(due(&mut groups, &mut env).len(), 1);
        assert_eq!(groups.deadline(), Instant::NEVER);
        assert!(groups.leave(group, &env) && !groups.contains(group) && !groups.leave(group, &env));
        assert_eq!(due(&mut groups, &mut env), [Message::Records(std::vec![(Record::Left, group)])]);
        env.now = groups.deadline();
        assert_eq!(due(&mut groups, &mut env).len(), 1);
        assert!(groups.members.is_empty());
    }

    #[test]
    fn a_group_lasts_until_the_last_that_wants_it_leaves() {
        let (mut groups, env) = (Groups::default(), env());
        groups.join(addr("ff02::1:ff00:1"), &env);
        groups.join(addr("ff02::1:ff00:1"), &env);
        assert!(groups.leave(addr("ff02::1:ff00:1"), &env) && groups.contains(addr("ff02::1:ff00:1")));
    }

    #[test]
    fn the_groups_of_all_hosts_are_never_told() {
        let (mut groups, mut env) = (Groups::default(), env());
        groups.join(addr("224.0.0.1"), &env);
        groups.join(addr("ff02::1"), &env);
        groups.query(true, None, Version::V3, Duration::from_secs(10), &mut env);
        groups.query(false, None, Version::V3, Duration::from_secs(10), &mut env);
        assert_eq!(groups.deadline(), Instant::NEVER);
        assert!(groups.contains(addr("224.0.0.1")));
    }

    #[test]
    fn a_query_is_answered_within_its_time_by_one_report_for_all() {
        let (mut groups, mut env) = (Groups::default(), env());
        for group in ["239.0.0.1", "239.0.0.2", "ff05::2"] {
            groups.join(addr(group), &env);
        }
        while groups.deadline().is_set() {
            env.now = groups.deadline();
            due(&mut groups, &mut env);
        }
        let asked = env.now;
        groups.query(true, None, Version::V3, Duration::from_secs(10), &mut env);
        env.now = groups.deadline();
        assert!(env.now <= asked + Duration::from_secs(10));
        let both = [(Record::Is, addr("239.0.0.1")), (Record::Is, addr("239.0.0.2"))];
        assert_eq!(due(&mut groups, &mut env), [Message::Records(both.to_vec())]);
        assert_eq!(groups.deadline(), Instant::NEVER);
    }

    #[test]
    fn old_routers_get_old_reports_and_others_reports_suffice() {
        let (mut groups, mut env) = (Groups::default(), env());
        groups.query(true, None, Version::V2, Duration::from_secs(10), &mut env);
        let group = addr("239.0.0.1");
        groups.join(group, &env);
        assert_eq!(due(&mut groups, &mut env), [Message::Report(group)]);
        env.now = groups.deadline();
        due(&mut groups, &mut env);
        groups.query(true, Some(group), Version::V2, Duration::from_secs(1), &mut env);
        groups.heard(group, env.now);
        assert_eq!(groups.deadline(), Instant::NEVER);
        assert!(groups.leave(group, &env));
        assert!(due(&mut groups, &mut env).is_empty());
        groups.join(group, &env);
        due(&mut groups, &mut env);
        groups.leave(group, &env);
        assert_eq!(due(&mut groups, &mut env), [Message::Leave(group)]);
        env.now = env.now + OLD_QUERIER;
        groups.join(group, &env);
        assert_eq!(due(&mut groups, &mut env), [Message::Records(std::vec![(Record::Joined, group)])]);
    }
}

//! IGMP and MLD on the wire: queries in, reports out (RFC 2236, RFC 9776, RFC 2710, RFC 9777).

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use ostia_wire::icmpv6::Icmpv6;
use ostia_wire::ipv4::Ipv4Emit;
use ostia_wire::ipv4_options::ROUTER_ALERT_BYTES;
use ostia_wire::ipv6_extensions::router_alert_header;
use ostia_wire::mld::V2_ROUTERS;
use ostia_wire::{Frame, IgmpEmit, IgmpMessage, IgmpRecord, MacAddr, MldEmit, MldMessage, MldRecord, RecordMode, igmp, mld};

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::groups::{Message, Record, Version};
use crate::ip::input::Origin;
use crate::ip::link::LinkId;
use crate::ip::output::OwnV6;
use crate::ip::packet::{Packet, protocol};

/// Records of one report, at most, so that it fits the least MTU.
const RECORDS: usize = 50;
const V4_HEADER_LEN: usize = 24;

impl Ip {
    /// An IGMP message for this host.
    pub(super) fn input_igmp(&mut self, packet: &Packet, env: &mut Env) -> Result<(), Reason> {
        let message = IgmpMessage::parse(packet.frame.as_slice()).map_err(|malformed| match malformed {
            ostia_wire::Malformed::Checksum => Reason::Checksum,
            _ => Reason::Malformed,
        })?;
        let link = self.links.get_mut(usize::from(packet.link.0)).ok_or(Reason::LinkDown)?;
        match message {
            IgmpMessage::Query(query) => {
                let version = match query.version {
                    1 => Version::V1,
                    2 => Version::V2,
                    _ => Version::V3,
                };
                // A query by one address would tell that host alone (RFC 9776, 9.1 and 5.2).
                if packet.unicast && query.group.is_unspecified() {
                    return Err(Reason::QueryInvalid);
                }
                let group = (!query.group.is_unspecified()).then(|| query.group.into());
                let within = Duration::from_millis(u64::from(query.max_response));
                link.groups.query(true, group, version, within, env);
            }
            IgmpMessage::ReportV1(group) | IgmpMessage::ReportV2(group) => link.groups.heard(group.into(), env.now),
            // For routers.
            IgmpMessage::Leave(_) | IgmpMessage::ReportV3(_) => {}
        }
        Ok(())
    }

    /// An MLD message for this host, whose checksum is right.
    pub(super) fn input_mld(&mut self, packet: &Packet, origin: Origin, env: &mut Env) -> Result<(), Reason> {
        if packet.hop_limit != 1 || !origin.alerted || !packet.source.is_link_local_v6() {
            return Err(Reason::QueryInvalid);
        }
        let message = Icmpv6::parse(packet.frame.as_slice()).map_err(|_| Reason::Malformed)?;
        let message = MldMessage::parse(&message).map_err(|_| Reason::Malformed)?;
        let link = self.links.get_mut(usize::from(packet.link.0)).ok_or(Reason::LinkDown)?;
        match message {
            MldMessage::Query(query) => {
                let version = if query.version == 1 { Version::V2 } else { Version::V3 };
                if packet.unicast && query.group.is_unspecified() {
                    return Err(Reason::QueryInvalid);
                }
                let group = (!query.group.is_unspecified()).then(|| query.group.into());
                let within = Duration::from_millis(u64::from(query.max_response));
                link.groups.query(false, group, version, within, env);
            }
            MldMessage::ReportV1(group) => link.groups.heard(group.into(), env.now),
            MldMessage::Done(_) | MldMessage::ReportV2(_) => {}
        }
        Ok(())
    }

    /// Sends the reports that are due.
    pub(super) fn expire_groups(&mut self, id: LinkId, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        let mut out = Vec::new();
        link.groups.expire(env, &mut out);
        for message in out {
            match message {
                Message::ReportV1(group) | Message::Report(group) | Message::Leave(group) => match (group.v4(), group.v6()) {
                    (Some(group), _) => {
                        let (emit, to) = match message {
                            Message::ReportV1(_) => (IgmpEmit::ReportV1(group), group),
                            Message::Report(_) => (IgmpEmit::ReportV2(group), group),
                            _ => (IgmpEmit::Leave(group), igmp::ALL_ROUTERS),
                        };
                        self.send_igmp(id, &emit, to, env);
                    }
                    (_, Some(group)) => {
                        let (emit, to) = match message {
                            Message::Leave(_) => (MldEmit::Done(group), mld::ALL_ROUTERS),
                            _ => (MldEmit::ReportV1(group), group),
                        };
                        self.send_mld(id, &emit, to, env);
                    }
                    _ => {}
                },
                Message::Records(records) => records.chunks(RECORDS).for_each(|records| self.send_records(id, records, env)),
            }
        }
    }

    fn send_records(&mut self, id: LinkId, records: &[(Record, Address)], env: &mut Env) {
        let v4: Vec<_> = records.iter().filter_map(|(what, group)| Some((mode(*what), group.v4()?))).collect();
        let v4: Vec<_> = v4.into_iter().map(|(mode, group)| IgmpRecord { mode, group, sources: &[] }).collect();
        if !v4.is_empty() {
            self.send_igmp(id, &IgmpEmit::ReportV3(&v4), igmp::V3_ROUTERS, env);
        }
        let v6: Vec<_> = records.iter().filter_map(|(what, group)| Some((mode(*what), group.v6()?))).collect();
        let v6: Vec<_> = v6.into_iter().map(|(mode, group)| MldRecord { mode, group, sources: &[] }).collect();
        if !v6.is_empty() {
            self.send_mld(id, &MldEmit::ReportV2(&v6), V2_ROUTERS, env);
        }
    }

    fn send_igmp(&mut self, id: LinkId, emit: &IgmpEmit<'_>, destination: Ipv4Addr, env: &mut Env) {
        let Some(link) = self.link(id) else { return };
        let own = link.addresses.usable().find_map(|assigned| assigned.address.v4());
        let mut frame = Frame::new(emit.encoded_len());
        emit.emit(frame.extend_zeroed(emit.encoded_len()));
        let payload = frame.len();
        let header = Ipv4Emit {
            // Without an address it is sent all the same (RFC 9776, 4.2.13).
            source: own.unwrap_or(Ipv4Addr::UNSPECIFIED),
            destination,
            protocol: protocol::IGMP,
            ttl: 1,
            // Internetwork control (RFC 9776, 4).
            tos: 0xc0,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            options: &ROUTER_ALERT_BYTES,
        };
        header.emit(frame.push_front(V4_HEADER_LEN), payload);
        env.counters.ip_out_requests += 1;
        self.send_to_mac(id, MacAddr::multicast_v4(destination), frame, env);
    }

    fn send_mld(&mut self, id: LinkId, emit: &MldEmit<'_>, destination: Ipv6Addr, env: &mut Env) {
        let Some(link) = self.link(id) else { return };
        // Before there is a link-local address, from none (RFC 3590, 4).
        let own = link.addresses.usable().map(|assigned| assigned.address).find(|address| address.is_link_local_v6());
        let source = own.and_then(Address::v6).unwrap_or(Ipv6Addr::UNSPECIFIED);
        let mut frame = Frame::new(emit.encoded_len());
        emit.emit(source, destination, frame.extend_zeroed(emit.encoded_len()));
        let extension = router_alert_header(protocol::ICMPV6);
        frame.push_front(extension.len()).copy_from_slice(&extension);
        let own = OwnV6 { source, destination, hop_limit: 1, next_header: ostia_wire::protocol::HOP_BY_HOP };
        self.own_v6(own, &mut frame, env);
        self.send_to_mac(id, MacAddr::multicast_v6(destination), frame, env);
    }
}

fn mode(record: Record) -> RecordMode {
    match record {
        Record::Is => RecordMode::IsExclude,
        Record::Joined => RecordMode::ToExclude,
        Record::Left => RecordMode::ToInclude,
    }
}

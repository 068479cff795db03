//! ARP: IPv4's questions for link addresses, their answers, and conflicts (RFC 826, RFC 5227).

use core::net::Ipv4Addr;

use ostia_wire::Frame;
use ostia_wire::arp::{self, Arp, Operation};
use ostia_wire::ethernet::MacAddr;

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::link::LinkId;
use crate::ip::neighbours::Advert;

impl Ip {
    /// An ARP packet has arrived. `from` is the sender that the Ethernet header names.
    pub(crate) fn input_arp(&mut self, id: LinkId, bytes: &[u8], to: MacAddr, env: &mut Env) -> Result<(), Reason> {
        let arp = Arp::parse(bytes).map_err(|_| Reason::Malformed)?;
        let link = self.links.get_mut(usize::from(id.0)).ok_or(Reason::LinkDown)?;
        let own = link.mac().ok_or(Reason::UnknownProtocol)?;
        if arp.sender_mac == own {
            // Our own question, sent back by the link: neither news nor a conflict.
            return Err(Reason::MartianSource);
        }
        if !arp.sender_mac.is_unicast()
            || arp.sender_ip.is_multicast()
            || arp.sender_ip.is_broadcast()
            || arp.sender_ip.is_loopback()
        {
            return Err(Reason::MartianSource);
        }
        let (sender, target) = (Address::from(arp.sender_ip), Address::from(arp.target_ip));
        let probe = arp.sender_ip.is_unspecified();
        // A conflict is a packet from our address, or while we ask for it a probe for it (RFC 5227, 2.1.1).
        let claimed = if probe && arp.operation == Operation::Request { target } else { sender };
        if link.addresses.is_duplicate(claimed) {
            self.address_conflict(id, claimed, env);
            return Ok(());
        }
        if !probe && link.addresses.get(sender).is_some_and(|assigned| assigned.is_usable()) {
            if link.addresses.defend(sender, env.now) {
                self.announce(id, arp.sender_ip, env);
            }
            return Err(Reason::AddressConflict);
        }
        let for_us = link.addresses.get(target).is_some_and(|assigned| assigned.is_usable());
        match arp.operation {
            Operation::Request if for_us => {
                if !probe {
                    let released = link.neighbours.seen(sender, arp.sender_mac, None, env);
                    self.release(id, released, env);
                }
                if self.out.is_full(&env.memory) {
                    return Err(Reason::TransmitQueue);
                }
                let reply = Arp {
                    operation: Operation::Reply,
                    sender_mac: own,
                    sender_ip: arp.target_ip,
                    target_mac: arp.sender_mac,
                    target_ip: arp.sender_ip,
                };
                self.send_arp(id, &reply, arp.sender_mac, env);
                Ok(())
            }
            // Whatever a packet says of a neighbour that is known already is taken (RFC 826); only a reply to ourselves
            // confirms that it hears us.
            Operation::Request | Operation::Reply if !probe => {
                let solicited = arp.operation == Operation::Reply && for_us && to == own;
                let advert = Advert { target: sender, mac: Some(arp.sender_mac), solicited, overrides: true, router: false };
                let released = link.neighbours.advertised(advert, env);
                self.release(id, released, env);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Asks who has an address: for a packet that waits, or to see whether a neighbour is still there.
    pub(crate) fn ask_arp(&mut self, id: LinkId, target: Ipv4Addr, to: Option<MacAddr>, source: Ipv4Addr, env: &mut Env) {
        let Some(own) = self.link(id).and_then(|link| link.mac()) else { return };
        let operation = Operation::Request;
        let arp = Arp { operation, sender_mac: own, sender_ip: source, target_mac: MacAddr::ZERO, target_ip: target };
        self.send_arp(id, &arp, to.unwrap_or(MacAddr::BROADCAST), env);
    }

    /// Tells everybody who has an own address (RFC 5227, 2.3).
    pub(crate) fn announce(&mut self, id: LinkId, address: Ipv4Addr, env: &mut Env) {
        self.ask_arp(id, address, None, address, env);
    }

    fn send_arp(&mut self, id: LinkId, arp: &Arp, to: MacAddr, env: &mut Env) {
        let mut frame = Frame::new(arp::LEN);
        arp.emit(frame.extend_zeroed(arp::LEN));
        self.send_to_mac(id, to, frame, env);
    }
}

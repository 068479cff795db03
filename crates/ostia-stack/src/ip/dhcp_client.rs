//! The DHCP client on the wire (RFC 2131): its messages out, the answers in, and what a lease configures.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use ostia_wire::dhcpv4::{CLIENT_PORT, Dhcp, DhcpEmit, SERVER_PORT};
use ostia_wire::dhcpv4_options::{DhcpOption, MessageType, code};
use ostia_wire::ipv4::Ipv4Emit;
use ostia_wire::{Checksum, Frame, MacAddr, Udp, udp};

use crate::Error;
use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::addresses::{AddressOrigin, Assignment};
use crate::ip::dhcp::{self, Answer, Ask, Kind, Lease, Step};
use crate::ip::link::LinkId;
use crate::ip::packet::{Head, protocol};
use crate::ip::prefix::Prefix;
use crate::ip::routes::{Entry, Origin};

/// What is asked for. Classless routes come first, for they replace the routers (RFC 3442).
const PARAMETERS: [u8; 7] = [
    code::CLASSLESS_ROUTES,
    code::SUBNET_MASK,
    code::ROUTERS,
    code::DNS_SERVERS,
    code::LEASE_TIME,
    code::RENEWAL_TIME,
    code::REBINDING_TIME,
];
/// The longest message that is taken.
const LONGEST: u16 = 1500;
/// Routes and name servers of a lease, at most.
const ROUTES: usize = 32;
const NAME_SERVERS: usize = 8;
/// Worse than what the program sets, which has 0 by default.
const METRIC: u32 = 1024;
const HARDWARE_ETHERNET: u8 = 1;

impl Ip {
    /// Whether a link gets its IPv4 address by DHCP. What it has got is given back when that is switched off.
    ///
    /// Errors: [`Error::InvalidInput`] unless it is an Ethernet link.
    pub(crate) fn set_dhcp(&mut self, id: LinkId, on: bool, env: &mut Env) -> Result<(), Error> {
        let link = self.links.get_mut(usize::from(id.0)).ok_or(Error::InvalidInput)?;
        if link.mac().is_none() {
            return Err(Error::InvalidInput);
        }
        match (on, &link.dhcp) {
            (true, None) => link.dhcp = Some(dhcp::Dhcp::new(env)),
            (false, Some(client)) => {
                let mut steps = Vec::new();
                client.stop(&mut steps);
                self.dhcp_steps(id, steps, env);
                if let Some(link) = self.links.get_mut(usize::from(id.0)) {
                    link.dhcp = None;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The lease that a link has.
    pub(crate) fn dhcp_lease(&self, id: LinkId) -> Option<&Lease> {
        self.link(id)?.dhcp.as_ref()?.lease()
    }

    /// Sends what is due.
    pub(super) fn expire_dhcp(&mut self, id: LinkId, env: &mut Env) {
        let Some(client) = self.links.get_mut(usize::from(id.0)).and_then(|link| link.dhcp.as_mut()) else { return };
        let mut steps = Vec::new();
        client.expire(env, &mut steps);
        self.dhcp_steps(id, steps, env);
    }

    /// Nobody else has an address that may be the leased one: from now on it is used, and so are its routes.
    pub(super) fn dhcp_address_usable(&mut self, id: LinkId, address: Address) {
        let Some(client) = self.links.get_mut(usize::from(id.0)).and_then(|link| link.dhcp.as_mut()) else { return };
        if client.usable(address)
            && let Some(lease) = client.lease().cloned()
        {
            self.set_leased_routes(id, &lease);
        }
    }

    /// Somebody has an address that may be the leased one.
    pub(super) fn dhcp_address_taken(&mut self, id: LinkId, address: Address, env: &mut Env) {
        let Some(client) = self.links.get_mut(usize::from(id.0)).and_then(|link| link.dhcp.as_mut()) else { return };
        let mut steps = Vec::new();
        client.taken(address, env, &mut steps);
        self.dhcp_steps(id, steps, env);
    }

    /// A datagram to the client's port, its UDP header `at` so many octets.
    pub(super) fn input_dhcp(
        &mut self,
        id: LinkId,
        frame: &Frame,
        at: usize,
        (source, destination): (Address, Address),
        env: &mut Env,
    ) -> Result<(), Reason> {
        let header = Udp::parse(frame.as_slice().get(at..).unwrap_or_default()).map_err(|_| Reason::Malformed)?;
        if frame.meta.checksum == Checksum::Unverified && !header.verify_checksum(source.ip(), destination.ip()) {
            return Err(Reason::Checksum);
        }
        let message = Dhcp::parse(header.payload()).map_err(|_| Reason::Malformed)?;
        let link = self.links.get_mut(usize::from(id.0)).ok_or(Reason::LinkDown)?;
        let ours = message.is_reply() && Some(message.client_mac()) == link.mac() && header.source_port() == SERVER_PORT;
        let answer = answer(&message).filter(|_| ours).ok_or(Reason::DhcpUnmatched)?;
        let client = link.dhcp.as_mut().ok_or(Reason::DhcpUnmatched)?;
        let mut steps = Vec::new();
        if !client.input(answer, env, &mut steps) {
            return Err(Reason::DhcpUnmatched);
        }
        self.dhcp_steps(id, steps, env);
        Ok(())
    }

    fn dhcp_steps(&mut self, id: LinkId, steps: Vec<Step>, env: &mut Env) {
        for step in steps {
            match step {
                Step::Send(ask) => self.send_dhcp(id, ask, env),
                Step::Configure(lease) => self.configure(id, &lease, env),
                Step::Withdraw(address) => {
                    self.routes.remove(|entry| entry.link == id && entry.origin == Origin::Dhcp);
                    self.remove_address(id, address, env);
                    self.changed();
                }
            }
        }
    }

    fn configure(&mut self, id: LinkId, lease: &Lease, env: &mut Env) {
        let Some(link) = self.links.get_mut(usize::from(id.0)) else { return };
        let (address, until) = (lease.address, lease.expires);
        if link.addresses.get(address).is_some() {
            // Prolonged, or assigned by the program already, which then stays its own.
            if link.addresses.get(address).is_some_and(|assigned| assigned.origin == AddressOrigin::Dhcp) {
                link.addresses.set_lifetimes(address, until, until, env.now);
            }
            if link.addresses.get(address).is_some_and(|assigned| assigned.is_usable()) {
                self.dhcp_address_usable(id, address);
                self.set_leased_routes(id, lease);
            }
            return;
        }
        let assignment = Assignment {
            address,
            prefix: lease.prefix,
            origin: AddressOrigin::Dhcp,
            preferred_until: until,
            valid_until: until,
            probe: true,
            attempt: 0,
        };
        self.assign(id, assignment, env);
    }

    fn set_leased_routes(&mut self, id: LinkId, lease: &Lease) {
        self.routes.remove(|entry| entry.link == id && entry.origin == Origin::Dhcp);
        for &(network, length, gateway) in &lease.routes {
            if let Some(prefix) = Prefix::new(network, length) {
                self.routes.add(Entry { prefix, gateway, link: id, metric: METRIC, origin: Origin::Dhcp });
            }
        }
        self.changed();
    }

    fn send_dhcp(&mut self, id: LinkId, ask: Ask, env: &mut Env) {
        let Some(link) = self.link(id) else { return };
        let (Some(mac), Some(client)) = (link.mac(), link.dhcp.as_ref()) else { return };
        let (transaction, seconds) = client.transaction(env.now);
        let none = Ipv4Addr::UNSPECIFIED;
        // What we have goes into the header, what we want into an option (RFC 2131, table 5).
        let (kind, have, want, server) = match ask {
            Ask::Discover => (MessageType::Discover, none, None, None),
            Ask::Request(address, server) => (MessageType::Request, none, Some(address), Some(server)),
            Ask::Renew(address, _) | Ask::Rebind(address) => (MessageType::Request, address, None, None),
            Ask::Decline(address, server) => (MessageType::Decline, none, Some(address), Some(server)),
            Ask::Release(address, server) => (MessageType::Release, address, None, Some(server)),
        };
        let [a, b, c, d, e, f] = mac.0;
        let identifier = [HARDWARE_ETHERNET, a, b, c, d, e, f];
        let mut options = Vec::from([DhcpOption::MessageType(kind), DhcpOption::ClientIdentifier(&identifier)]);
        options.extend(want.map(DhcpOption::RequestedAddress));
        options.extend(server.map(DhcpOption::ServerIdentifier));
        if matches!(kind, MessageType::Discover | MessageType::Request) {
            options.extend([DhcpOption::MaxMessageSize(LONGEST), DhcpOption::ParameterRequestList(&PARAMETERS)]);
        }
        let message = DhcpEmit {
            is_reply: false,
            transaction,
            seconds,
            // Answers to our link address reach us before we have the IP address (RFC 2131, 4.1).
            broadcast: false,
            client_address: have,
            your_address: none,
            server_address: none,
            relay_address: none,
            client_mac: mac,
            options: &options,
        };
        let mut frame = Frame::new(message.encoded_len());
        message.emit(frame.extend_zeroed(message.encoded_len()));
        let payload = frame.len();
        udp::emit(frame.push_front(udp::HEADER_LEN), CLIENT_PORT, SERVER_PORT, payload);
        env.counters.udp_out_datagrams += 1;
        if let Ask::Renew(own, server) | Ask::Release(own, server) = ask
            && let Ok(route) = self.route(server.into(), Some(own.into()), id.0 + 1)
        {
            udp::finish_checksum(frame.as_mut_slice(), own.into(), server.into());
            let head = Head {
                source: own.into(),
                destination: server.into(),
                protocol: protocol::UDP,
                hop_limit: env.config.hop_limit,
                traffic_class: 0,
                flow_label: 0,
                dont_fragment: false,
            };
            return self.transmit(&route, &head, frame, env);
        }
        udp::finish_checksum(frame.as_mut_slice(), have.into(), Ipv4Addr::BROADCAST.into());
        let header = Ipv4Emit {
            source: have,
            destination: Ipv4Addr::BROADCAST,
            protocol: protocol::UDP,
            ttl: env.config.hop_limit,
            tos: 0,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            options: &[],
        };
        let payload = frame.len();
        header.emit(frame.push_front(header.header_len()), payload);
        env.counters.ip_out_requests += 1;
        self.send_to_mac(id, MacAddr::BROADCAST, frame, env);
    }
}

/// What a message says, if it is a server's answer and has what it must (RFC 2131, table 3).
fn answer(message: &Dhcp<'_>) -> Option<Answer> {
    let kind = match message.message_type()? {
        MessageType::Offer => Kind::Offer,
        MessageType::Ack => Kind::Ack,
        MessageType::Nak => Kind::Nak,
        _ => return None,
    };
    let address = message.your_address();
    let lease = match kind {
        Kind::Nak => 0,
        _ => message.lease_time()?,
    };
    // Without a mask, the network is that of the address's class (RFC 950, 2).
    let mask = message.subnet_mask().map(Ipv4Addr::to_bits).filter(|mask| mask.leading_ones() + mask.trailing_zeros() >= 32);
    let prefix = mask.map_or_else(|| class_prefix(address), |mask| mask.leading_ones() as u8);
    let gateway = |gateway: Ipv4Addr| (!gateway.is_unspecified()).then(|| Address::from(gateway));
    let classless = message.classless_routes().ok()?;
    let routes = match classless {
        // Then the routers mean nothing (RFC 3442).
        Some(routes) => {
            let routes = routes.into_iter().map(|route| (route.destination.into(), route.prefix_len, gateway(route.gateway)));
            routes.take(ROUTES).collect()
        }
        None => {
            let all = Address::from(Ipv4Addr::UNSPECIFIED);
            message.routers().into_iter().take(1).filter_map(|router| Some((all, 0, Some(gateway(router)?)))).collect()
        }
    };
    Some(Answer {
        kind,
        transaction: message.transaction(),
        address,
        server: message.server_identifier()?,
        prefix,
        routes,
        name_servers: message.dns_servers().into_iter().take(NAME_SERVERS).map(Address::from).collect(),
        lease,
        renew: message.renewal_time(),
        rebind: message.rebinding_time(),
    })
}

fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets() {
        [0..=127, ..] => 8,
        [128..=191, ..] => 16,
        _ => 24,
    }
}

//! Options of DHCP messages (RFC 2132), with classless routes (RFC 3442).

use core::net::Ipv4Addr;

use crate::malformed::Malformed;
use crate::writer::Writer;

/// Option codes, as IANA has them.
pub mod code {
    /// Padding.
    pub const PAD: u8 = 0;
    /// Mask of the subnet.
    pub const SUBNET_MASK: u8 = 1;
    /// Routers.
    pub const ROUTERS: u8 = 3;
    /// DNS servers.
    pub const DNS_SERVERS: u8 = 6;
    /// Name of the client.
    pub const HOST_NAME: u8 = 12;
    /// Domain for names without dots.
    pub const DOMAIN_NAME: u8 = 15;
    /// MTU of the link.
    pub const INTERFACE_MTU: u8 = 26;
    /// Broadcast address.
    pub const BROADCAST_ADDRESS: u8 = 28;
    /// Time servers (NTP).
    pub const NTP_SERVERS: u8 = 42;
    /// Address that the client asks for.
    pub const REQUESTED_ADDRESS: u8 = 50;
    /// For how long the address is given.
    pub const LEASE_TIME: u8 = 51;
    /// Which other fields hold options.
    pub const OVERLOAD: u8 = 52;
    /// What the message is.
    pub const MESSAGE_TYPE: u8 = 53;
    /// The server that it is from or for.
    pub const SERVER_IDENTIFIER: u8 = 54;
    /// Options that the client wants.
    pub const PARAMETER_REQUEST_LIST: u8 = 55;
    /// Why something is refused.
    pub const MESSAGE: u8 = 56;
    /// The longest message that the sender takes.
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    /// T1.
    pub const RENEWAL_TIME: u8 = 58;
    /// T2.
    pub const REBINDING_TIME: u8 = 59;
    /// What the client is known by.
    pub const CLIENT_IDENTIFIER: u8 = 61;
    /// Routes (RFC 3442).
    pub const CLASSLESS_ROUTES: u8 = 121;
    /// The end.
    pub const END: u8 = 255;
}

/// What a DHCP message is (RFC 2132, 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// A client looks for servers.
    Discover,
    /// A server offers an address.
    Offer,
    /// A client asks for the address offered, or for its lease to be renewed.
    Request,
    /// A client has found the address in use.
    Decline,
    /// A server gives the address.
    Ack,
    /// A server refuses.
    Nak,
    /// A client gives the address back.
    Release,
    /// A client asks for other things than an address.
    Inform,
}

impl MessageType {
    const ALL: [MessageType; 8] = [
        MessageType::Discover,
        MessageType::Offer,
        MessageType::Request,
        MessageType::Decline,
        MessageType::Ack,
        MessageType::Nak,
        MessageType::Release,
        MessageType::Inform,
    ];

    pub(crate) fn from_octet(octet: u8) -> Option<MessageType> {
        MessageType::ALL.get(usize::from(octet.checked_sub(1)?)).copied()
    }

    fn octet(self) -> u8 {
        // The variants stand in the order of their numbers, which start at 1.
        self as u8 + 1
    }
}

/// A route of a DHCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClasslessRoute {
    /// The network.
    pub destination: Ipv4Addr,
    /// How many bits of it count, at most 32.
    pub prefix_len: u8,
    /// The next hop; 0.0.0.0 if the network is on the link.
    pub gateway: Ipv4Addr,
}

impl ClasslessRoute {
    /// Octets of the destination that are written.
    fn significant(prefix_len: u8) -> usize {
        usize::from(prefix_len).div_ceil(8)
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<(ClasslessRoute, &[u8])> {
        let (&prefix_len, rest) = bytes.split_first()?;
        if prefix_len > 32 {
            return None;
        }
        let (network, rest) = rest.split_at_checked(ClasslessRoute::significant(prefix_len))?;
        let (gateway, rest) = rest.split_first_chunk::<4>()?;
        let mut octets = [0; 4];
        octets.get_mut(..network.len())?.copy_from_slice(network);
        Some((ClasslessRoute { destination: octets.into(), prefix_len, gateway: Ipv4Addr::from(*gateway) }, rest))
    }

    fn encoded_len(&self) -> usize {
        1 + ClasslessRoute::significant(self.prefix_len) + 4
    }
}

/// Walks over the options of one field, as code and data. Padding is passed over.
#[derive(Clone, Debug)]
pub(crate) struct RawOptions<'a> {
    bytes: &'a [u8],
}

impl<'a> RawOptions<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> RawOptions<'a> {
        RawOptions { bytes }
    }
}

impl<'a> Iterator for RawOptions<'a> {
    type Item = Result<(u8, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.bytes {
                [] | [code::END, ..] => return None,
                [code::PAD, rest @ ..] => self.bytes = rest,
                [code, len, rest @ ..] => {
                    let Some((data, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
                    self.bytes = rest;
                    return Some(Ok((*code, data)));
                }
                [_] => break,
            }
        }
        self.bytes = &[];
        Some(Err(Malformed::Option))
    }
}

/// An option to be written. Data of more than 255 octets are written as several (RFC 3396, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpOption<'a> {
    /// What the message is.
    MessageType(MessageType),
    /// Mask of the subnet.
    SubnetMask(Ipv4Addr),
    /// Routers, the preferred first.
    Routers(&'a [Ipv4Addr]),
    /// DNS servers, the preferred first.
    DnsServers(&'a [Ipv4Addr]),
    /// The address that the client asks for.
    RequestedAddress(Ipv4Addr),
    /// For how many seconds the address is given.
    LeaseTime(u32),
    /// The server that the message is from or for.
    ServerIdentifier(Ipv4Addr),
    /// Codes of the options that the client wants, the most important first.
    ParameterRequestList(&'a [u8]),
    /// Why something is refused.
    Message(&'a [u8]),
    /// The longest message that the sender takes, in octets; at least 576.
    MaxMessageSize(u16),
    /// After how many seconds to renew the lease (T1).
    RenewalTime(u32),
    /// After how many seconds to ask any server (T2).
    RebindingTime(u32),
    /// What the client is known by: a type, and what goes with it.
    ClientIdentifier(&'a [u8]),
    /// Name of the client.
    HostName(&'a [u8]),
    /// MTU of the link.
    InterfaceMtu(u16),
    /// Routes.
    ClasslessRoutes(&'a [ClasslessRoute]),
    /// Any other.
    Other {
        /// Its code.
        code: u8,
        /// Its data.
        data: &'a [u8],
    },
}

/// The most octets of data in one option.
const MAX_DATA: usize = 255;

impl DhcpOption<'_> {
    fn code(&self) -> u8 {
        match self {
            DhcpOption::MessageType(_) => code::MESSAGE_TYPE,
            DhcpOption::SubnetMask(_) => code::SUBNET_MASK,
            DhcpOption::Routers(_) => code::ROUTERS,
            DhcpOption::DnsServers(_) => code::DNS_SERVERS,
            DhcpOption::RequestedAddress(_) => code::REQUESTED_ADDRESS,
            DhcpOption::LeaseTime(_) => code::LEASE_TIME,
            DhcpOption::ServerIdentifier(_) => code::SERVER_IDENTIFIER,
            DhcpOption::ParameterRequestList(_) => code::PARAMETER_REQUEST_LIST,
            DhcpOption::Message(_) => code::MESSAGE,
            DhcpOption::MaxMessageSize(_) => code::MAX_MESSAGE_SIZE,
            DhcpOption::RenewalTime(_) => code::RENEWAL_TIME,
            DhcpOption::RebindingTime(_) => code::REBINDING_TIME,
            DhcpOption::ClientIdentifier(_) => code::CLIENT_IDENTIFIER,
            DhcpOption::HostName(_) => code::HOST_NAME,
            DhcpOption::InterfaceMtu(_) => code::INTERFACE_MTU,
            DhcpOption::ClasslessRoutes(_) => code::CLASSLESS_ROUTES,
            DhcpOption::Other { code, .. } => *code,
        }
    }

    fn data_len(&self) -> usize {
        match self {
            DhcpOption::MessageType(_) => 1,
            DhcpOption::MaxMessageSize(_) | DhcpOption::InterfaceMtu(_) => 2,
            DhcpOption::SubnetMask(_)
            | DhcpOption::RequestedAddress(_)
            | DhcpOption::ServerIdentifier(_)
            | DhcpOption::LeaseTime(_)
            | DhcpOption::RenewalTime(_)
            | DhcpOption::RebindingTime(_) => 4,
            DhcpOption::Routers(addresses) | DhcpOption::DnsServers(addresses) => addresses.len() * 4,
            DhcpOption::ClasslessRoutes(routes) => routes.iter().map(ClasslessRoute::encoded_len).sum(),
            DhcpOption::ParameterRequestList(data)
            | DhcpOption::Message(data)
            | DhcpOption::ClientIdentifier(data)
            | DhcpOption::HostName(data)
            | DhcpOption::Other { data, .. } => data.len(),
        }
    }

    /// Octets that it takes in a message.
    pub fn encoded_len(&self) -> usize {
        let len = self.data_len();
        len + 2 * len.div_ceil(MAX_DATA).max(1)
    }

    pub(crate) fn emit(&self, writer: &mut Writer<'_>) {
        if self.data_len() == 0 {
            writer.put(&[self.code(), 0]);
            return;
        }
        let mut pieces = Pieces { writer, code: self.code(), left: self.data_len(), room: 0 };
        match *self {
            DhcpOption::MessageType(kind) => pieces.put(&[kind.octet()]),
            DhcpOption::MaxMessageSize(value) | DhcpOption::InterfaceMtu(value) => pieces.put(&value.to_be_bytes()),
            DhcpOption::SubnetMask(address) | DhcpOption::RequestedAddress(address) | DhcpOption::ServerIdentifier(address) => {
                pieces.put(&address.octets());
            }
            DhcpOption::LeaseTime(value) | DhcpOption::RenewalTime(value) | DhcpOption::RebindingTime(value) => {
                pieces.put(&value.to_be_bytes());
            }
            DhcpOption::Routers(addresses) | DhcpOption::DnsServers(addresses) => {
                addresses.iter().for_each(|address| pieces.put(&address.octets()));
            }
            DhcpOption::ClasslessRoutes(routes) => {
                for route in routes {
                    pieces.put(&[route.prefix_len]);
                    pieces.put(&route.destination.octets()[..ClasslessRoute::significant(route.prefix_len)]);
                    pieces.put(&route.gateway.octets());
                }
            }
            DhcpOption::ParameterRequestList(data)
            | DhcpOption::Message(data)
            | DhcpOption::ClientIdentifier(data)
            | DhcpOption::HostName(data)
            | DhcpOption::Other { data, .. } => pieces.put(data),
        }
    }
}

/// Writes data as one option or several with the same code.
struct Pieces<'w, 'b> {
    writer: &'w mut Writer<'b>,
    code: u8,
    /// Octets that are still to come in all.
    left: usize,
    /// Octets that fit in the option begun.
    room: usize,
}

impl Pieces<'_, '_> {
    fn put(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.room == 0 {
                self.begin();
            }
            let (now, rest) = data.split_at(data.len().min(self.room));
            self.writer.put(now);
            self.room -= now.len();
            data = rest;
        }
    }

    fn begin(&mut self) {
        self.room = self.left.min(MAX_DATA);
        self.left -= self.room;
        self.writer.put(&[self.code, self.room as u8]);
    }
}

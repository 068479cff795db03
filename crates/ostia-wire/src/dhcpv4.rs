//! DHCP for IPv4 (RFC 2131): the message, read with all its options, and written.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16, big_endian::U32};

use crate::dhcpv4_options::{ClasslessRoute, DhcpOption, MessageType, RawOptions, code};
use crate::ethernet::MacAddr;
use crate::malformed::Malformed;
use crate::writer::Writer;

/// The port of servers and relays.
pub const SERVER_PORT: u16 = 67;
/// The port of clients.
pub const CLIENT_PORT: u16 = 68;

#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    operation: u8,
    hardware: u8,
    hardware_len: u8,
    hops: u8,
    transaction: U32,
    seconds: U16,
    flags: U16,
    client_address: [u8; 4],
    your_address: [u8; 4],
    server_address: [u8; 4],
    relay_address: [u8; 4],
    client_mac: MacAddr,
    client_mac_rest: [u8; 10],
    server_name: [u8; 64],
    file: [u8; 128],
    cookie: U32,
}

const HEADER_LEN: usize = size_of::<Header>();
/// Says that options follow (RFC 2131, 3).
const COOKIE: u32 = 0x6382_5363;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const BROADCAST: u16 = 0x8000;
/// What BOOTP relays take for the least (RFC 1542, 2.1): shorter messages are padded.
const MIN_LEN: usize = 300;

/// A DHCP message.
#[derive(Clone, Copy, Debug)]
pub struct Dhcp<'a> {
    header: &'a Header,
    options: &'a [u8],
    /// Which of the file (1) and server name (2) fields hold options.
    overload: u8,
}

impl<'a> Dhcp<'a> {
    /// Reads the payload of a datagram.
    ///
    /// # Errors
    /// [`Malformed::Short`]; [`Malformed::Kind`] if it is neither request nor reply, for other hardware than Ethernet, or
    /// BOOTP without options; [`Malformed::Option`] if an option goes past the end of its field.
    pub fn parse(bytes: &'a [u8]) -> Result<Dhcp<'a>, Malformed> {
        let (header, options) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        let known = matches!(header.operation, REQUEST | REPLY) && (header.hardware, header.hardware_len) == (ETHERNET, 6);
        if !known || header.cookie.get() != COOKIE {
            return Err(Malformed::Kind);
        }
        let mut overload = 0;
        for option in RawOptions::new(options) {
            if let (code::OVERLOAD, &[which]) = option? {
                overload = which & 3;
            }
        }
        let dhcp = Dhcp { header, options, overload };
        for field in dhcp.fields() {
            RawOptions::new(field).try_for_each(|option| option.map(drop))?;
        }
        Ok(dhcp)
    }

    /// The fields with options, in the order in which they are read (RFC 2131, 4.1).
    fn fields(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let file = if self.overload & 1 != 0 { &self.header.file[..] } else { &[] };
        let name = if self.overload & 2 != 0 { &self.header.server_name[..] } else { &[] };
        [self.options, file, name].into_iter()
    }

    /// Whether it is from a server.
    pub fn is_reply(&self) -> bool {
        self.header.operation == REPLY
    }

    /// What request and replies have in common.
    pub fn transaction(&self) -> u32 {
        self.header.transaction.get()
    }

    /// For how many seconds the client has been at it.
    pub fn seconds(&self) -> u16 {
        self.header.seconds.get()
    }

    /// Whether the client takes replies only by broadcast.
    pub fn broadcast(&self) -> bool {
        self.header.flags.get() & BROADCAST != 0
    }

    /// The address that the client has and answers to.
    pub fn client_address(&self) -> Ipv4Addr {
        self.header.client_address.into()
    }

    /// The address that the client is given.
    pub fn your_address(&self) -> Ipv4Addr {
        self.header.your_address.into()
    }

    /// The server of the next step of booting.
    pub fn server_address(&self) -> Ipv4Addr {
        self.header.server_address.into()
    }

    /// The relay on the client's link.
    pub fn relay_address(&self) -> Ipv4Addr {
        self.header.relay_address.into()
    }

    /// The client's link-layer address.
    pub fn client_mac(&self) -> MacAddr {
        self.header.client_mac
    }

    /// All options, as code and data, in the order in which they are read; those of the overloaded fields too.
    pub fn options(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        self.fields().flat_map(RawOptions::new).filter_map(Result::ok)
    }

    /// The data of an option; one that stands several times is put together (RFC 3396, 7).
    pub fn option(&self, code: u8) -> Option<Cow<'a, [u8]>> {
        let mut parts = self.options().filter(|(found, _)| *found == code).map(|(_, data)| data);
        let mut all = Cow::Borrowed(parts.next()?);
        for part in parts {
            all.to_mut().extend_from_slice(part);
        }
        Some(all)
    }

    /// What the message is; none for BOOTP.
    pub fn message_type(&self) -> Option<MessageType> {
        self.array::<1>(code::MESSAGE_TYPE).and_then(|[octet]| MessageType::from_octet(octet))
    }

    /// The mask of the subnet.
    pub fn subnet_mask(&self) -> Option<Ipv4Addr> {
        self.address(code::SUBNET_MASK)
    }

    /// Routers, the preferred first. They don't count beside [`classless_routes`](Self::classless_routes) (RFC 3442).
    pub fn routers(&self) -> Vec<Ipv4Addr> {
        self.addresses(code::ROUTERS)
    }

    /// DNS servers, the preferred first.
    pub fn dns_servers(&self) -> Vec<Ipv4Addr> {
        self.addresses(code::DNS_SERVERS)
    }

    /// Time servers (NTP), the preferred first.
    pub fn ntp_servers(&self) -> Vec<Ipv4Addr> {
        self.addresses(code::NTP_SERVERS)
    }

    /// The domain for names without dots.
    pub fn domain_name(&self) -> Option<Cow<'a, [u8]>> {
        self.option(code::DOMAIN_NAME)
    }

    /// The name of the client.
    pub fn host_name(&self) -> Option<Cow<'a, [u8]>> {
        self.option(code::HOST_NAME)
    }

    /// The MTU of the link, at least 68.
    pub fn interface_mtu(&self) -> Option<u16> {
        self.array(code::INTERFACE_MTU).map(u16::from_be_bytes).filter(|mtu| *mtu >= 68)
    }

    /// The broadcast address of the subnet.
    pub fn broadcast_address(&self) -> Option<Ipv4Addr> {
        self.address(code::BROADCAST_ADDRESS)
    }

    /// The address that the client asks for.
    pub fn requested_address(&self) -> Option<Ipv4Addr> {
        self.address(code::REQUESTED_ADDRESS)
    }

    /// For how many seconds the address is given; `u32::MAX` for ever.
    pub fn lease_time(&self) -> Option<u32> {
        self.array(code::LEASE_TIME).map(u32::from_be_bytes)
    }

    /// After how many seconds to renew the lease (T1).
    pub fn renewal_time(&self) -> Option<u32> {
        self.array(code::RENEWAL_TIME).map(u32::from_be_bytes)
    }

    /// After how many seconds to ask any server (T2).
    pub fn rebinding_time(&self) -> Option<u32> {
        self.array(code::REBINDING_TIME).map(u32::from_be_bytes)
    }

    /// The server that the message is from or for.
    pub fn server_identifier(&self) -> Option<Ipv4Addr> {
        self.address(code::SERVER_IDENTIFIER)
    }

    /// What the client is known by, if not by its link-layer address.
    pub fn client_identifier(&self) -> Option<Cow<'a, [u8]>> {
        self.option(code::CLIENT_IDENTIFIER)
    }

    /// The options that the client wants.
    pub fn parameter_request_list(&self) -> Option<Cow<'a, [u8]>> {
        self.option(code::PARAMETER_REQUEST_LIST)
    }

    /// Why a server refuses, or a client declines.
    pub fn message(&self) -> Option<Cow<'a, [u8]>> {
        self.option(code::MESSAGE)
    }

    /// Routes with their gateways (RFC 3442): a gateway of 0.0.0.0 means that the destination is on the link.
    ///
    /// # Errors
    /// [`Malformed::Option`] if there is an option that cannot be read as a whole.
    pub fn classless_routes(&self) -> Result<Option<Vec<ClasslessRoute>>, Malformed> {
        let Some(data) = self.option(code::CLASSLESS_ROUTES) else { return Ok(None) };
        let (mut routes, mut rest) = (Vec::new(), &data[..]);
        while !rest.is_empty() {
            let (route, behind) = ClasslessRoute::read(rest).ok_or(Malformed::Option)?;
            routes.push(route);
            rest = behind;
        }
        Ok(Some(routes))
    }

    fn array<const N: usize>(&self, code: u8) -> Option<[u8; N]> {
        self.option(code)?.as_ref().try_into().ok()
    }

    fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.array::<4>(code).map(Ipv4Addr::from)
    }

    fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let data = self.option(code).unwrap_or_default();
        data.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets)).collect()
    }
}

/// What to write as a DHCP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhcpEmit<'a> {
    /// Whether it is from a server.
    pub is_reply: bool,
    /// What request and replies have in common.
    pub transaction: u32,
    /// For how many seconds the client has been at it.
    pub seconds: u16,
    /// Whether the client takes replies only by broadcast.
    pub broadcast: bool,
    /// The address that the client has and answers to.
    pub client_address: Ipv4Addr,
    /// The address that the client is given.
    pub your_address: Ipv4Addr,
    /// The server of the next step of booting.
    pub server_address: Ipv4Addr,
    /// The relay on the client's link.
    pub relay_address: Ipv4Addr,
    /// The client's link-layer address.
    pub client_mac: MacAddr,
    /// The options, in their order. The message type comes first by custom.
    pub options: &'a [DhcpOption<'a>],
}

impl DhcpEmit<'_> {
    /// Octets of the message, with padding.
    pub fn encoded_len(&self) -> usize {
        let options: usize = self.options.iter().map(DhcpOption::encoded_len).sum();
        (HEADER_LEN + options + 1).max(MIN_LEN)
    }

    /// Writes the message to `buf`, which has exactly [`encoded_len`](Self::encoded_len) octets.
    ///
    /// # Panics
    /// If it has not.
    pub fn emit(&self, buf: &mut [u8]) {
        assert_eq!(buf.len(), self.encoded_len(), "a buffer of the message's length");
        let mut header = Header::new_zeroed();
        header.operation = if self.is_reply { REPLY } else { REQUEST };
        (header.hardware, header.hardware_len) = (ETHERNET, 6);
        header.transaction = self.transaction.into();
        header.seconds = self.seconds.into();
        header.flags = if self.broadcast { BROADCAST } else { 0 }.into();
        header.client_address = self.client_address.octets();
        header.your_address = self.your_address.octets();
        header.server_address = self.server_address.octets();
        header.relay_address = self.relay_address.octets();
        header.client_mac = self.client_mac;
        header.cookie = COOKIE.into();
        let (fixed, rest) = buf.split_at_mut(HEADER_LEN);
        fixed.copy_from_slice(header.as_bytes());
        let end = rest.len();
        let mut writer = Writer::new(rest);
        for option in self.options {
            option.emit(&mut writer);
        }
        writer.put_u8(code::END);
        writer.zero_to(end);
    }
}

#[cfg(test)]
mod tests;

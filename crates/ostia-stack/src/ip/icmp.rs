//! ICMP that arrives: echo requests are answered, errors are read for whom they are about, the rest goes up (RFC 792, RFC 4443).

use ostia_wire::checksum::{fold, pseudo, sum};
use ostia_wire::{Checksum, Ipv4, Quote};

use crate::address::Address;
use crate::drops::Reason;
use crate::env::Env;
use crate::ip::Ip;
use crate::ip::input::Origin;
use crate::ip::link::LOOPBACK;
use crate::ip::packet::{Icmp, Input, Packet, Quoted, protocol};
use crate::ip::path_mtu::{MIN_V4, MIN_V6};

/// MTUs that paths have: what is guessed where a router doesn't say (RFC 1191, 7).
const PLATEAUS: [u32; 8] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 576];

impl Ip {
    /// An ICMPv4 message for this host.
    pub(super) fn input_icmp_v4(&mut self, packet: Packet, env: &mut Env) -> Result<Input, Reason> {
        env.counters.icmp_in_msgs += 1;
        let message = packet.frame.as_slice();
        let [kind, code, _, _, _, _, mtu @ ..] = message else { return Err(Reason::Malformed) };
        if packet.frame.meta.checksum == Checksum::Unverified && fold(sum(message, 0)) != 0 {
            return Err(Reason::Checksum);
        }
        let (kind, code) = (*kind, *code);
        let what = match (kind, code) {
            (0, _) => return Ok(Input::Packet(packet)),
            (8, 0) => return self.answer_echo(packet, env),
            (3, 4) => {
                let [high, low, quoted @ ..] = mtu else { return Err(Reason::Malformed) };
                let told = u32::from(u16::from_be_bytes([*high, *low]));
                let longest = Ipv4::parse_quoted(quoted).map_or(0, |quoted| quoted.total_len() as u32);
                Icmp::PacketTooBig(if told == 0 { plateau_below(longest) } else { told.max(MIN_V4) })
            }
            (3, 1 | 7 | 8 | 12 | 14) => Icmp::HostUnreachable,
            (3, 2) => Icmp::ProtocolUnreachable,
            (3, 3) => Icmp::PortUnreachable,
            (3, 9 | 10 | 13 | 15) => Icmp::Prohibited,
            (3, _) => Icmp::NetworkUnreachable,
            (4, _) => Icmp::SourceQuench,
            (5, _) => {
                self.input_redirect_v4(&packet, env)?;
                return self.used(packet);
            }
            (11, _) => Icmp::TimeExceeded,
            (12, _) => Icmp::ParameterProblem,
            _ => return self.unknown_icmp(packet),
        };
        self.input_error(packet, what, env)
    }

    /// An ICMPv6 message for this host.
    pub(super) fn input_icmp_v6(&mut self, packet: Packet, origin: Origin, env: &mut Env) -> Result<Input, Reason> {
        env.counters.icmp_in_msgs += 1;
        let message = packet.frame.as_slice();
        let &[kind, code, _, _, a, b, c, d, ..] = message else { return Err(Reason::Malformed) };
        if packet.frame.meta.checksum == Checksum::Unverified {
            let initial = pseudo(packet.source.ip(), packet.destination.ip(), protocol::ICMPV6, message.len() as u32);
            if fold(sum(message, initial)) != 0 {
                return Err(Reason::Checksum);
            }
        }
        let what = match (kind, code) {
            (129, 0) => return Ok(Input::Packet(packet)),
            (128, 0) => return self.answer_echo(packet, env),
            (133..=137, _) => {
                self.input_ndp(&packet, origin, env)?;
                return self.used(packet);
            }
            (130..=132 | 143, _) => {
                self.input_mld(&packet, origin, env)?;
                return self.used(packet);
            }
            (1, 1 | 5 | 6) => Icmp::Prohibited,
            (1, 3) => Icmp::HostUnreachable,
            (1, 4) => Icmp::PortUnreachable,
            (1, _) => Icmp::NetworkUnreachable,
            (2, _) => Icmp::PacketTooBig(u32::from_be_bytes([a, b, c, d])),
            (3, _) => Icmp::TimeExceeded,
            (4, 1) => Icmp::ProtocolUnreachable,
            (4, _) => Icmp::ParameterProblem,
            _ => return self.unknown_icmp(packet),
        };
        // Less than every link has is no MTU (RFC 8201, 4).
        if matches!(what, Icmp::PacketTooBig(mtu) if mtu < MIN_V6) {
            return Err(Reason::IcmpUnbelieved);
        }
        self.input_error(packet, what, env)
    }

    /// What IP has used itself goes up for raw sockets alone.
    pub(super) fn used(&mut self, packet: Packet) -> Result<Input, Reason> {
        match self.wants_raw(packet.protocol) {
            true => Ok(Input::Packet(packet)),
            false => Ok(Input::None),
        }
    }

    fn unknown_icmp(&mut self, packet: Packet) -> Result<Input, Reason> {
        match self.wants_raw(packet.protocol) {
            true => Ok(Input::Packet(packet)),
            false => Err(Reason::UnknownProtocol),
        }
    }

    fn answer_echo(&mut self, packet: Packet, env: &mut Env) -> Result<Input, Reason> {
        let v4 = packet.source.is_v4();
        // Nobody is to multiply what one host sends (RFC 1122, 3.2.2.6). IPv6 answers pings of groups (RFC 4443, 4.2).
        if v4 && !packet.unicast {
            return Err(Reason::EchoToGroup);
        }
        if self.out.is_full(&env.memory) {
            return Err(Reason::TransmitQueue);
        }
        let zone = if packet.source.is_link_local_v6() && packet.link != LOOPBACK { packet.link.0 + 1 } else { 0 };
        let own = packet.unicast.then_some(packet.destination);
        let route = self.route(packet.source, own, zone).map_err(|_| Reason::NoRoute)?;
        let (source, traffic_class) = (packet.source, packet.traffic_class);
        let copy = self.wants_raw(packet.protocol).then(|| packet.frame.clone());
        let Packet { mut frame, .. } = packet;
        frame.meta = ostia_wire::Meta::default();
        if let Some(kind) = frame.as_mut_slice().first_mut() {
            *kind = if v4 { 0 } else { 129 };
        }
        // The reply takes the request's place in its buffer.
        self.send_icmp(&route, source, traffic_class, frame, env);
        Ok(copy.map_or(Input::None, |frame| Input::Packet(Packet { frame, ..packet })))
    }

    /// An error: for the transport that sent what it quotes.
    fn input_error(&mut self, packet: Packet, what: Icmp, env: &mut Env) -> Result<Input, Reason> {
        let quoted = packet.frame.as_slice().get(8..).and_then(|quoted| self.quoted(quoted, what, packet.link));
        if self.wants_raw(packet.protocol) {
            self.hand_up(packet, env);
        }
        quoted.map(Input::Error).ok_or(Reason::IcmpUnmatched)
    }

    /// Whom an error is about, if this host can have sent what it quotes.
    pub(super) fn quoted(&self, packet: &[u8], what: Icmp, link: crate::ip::link::LinkId) -> Option<Quoted> {
        let quote = quote(packet)?;
        let local = Address::from(quote.source);
        // An IPv4 address in an IPv6 header is nobody's.
        if local.is_v4() != quote.source.is_ipv4() || !self.is_local(local) {
            return None;
        }
        let (local_port, remote_port) = quote.ports().or_else(|| quote.echo()).unwrap_or_default();
        Some(Quoted {
            protocol: quote.protocol,
            local,
            local_port,
            remote: quote.destination.into(),
            remote_port,
            sequence: quote.sequence(),
            what,
            link,
        })
    }
}

/// The start of an IP packet of either family; none of a fragment but the first, which shows nothing.
pub(super) fn quote(packet: &[u8]) -> Option<Quote<'_>> {
    match packet.first()? >> 4 {
        4 => Quote::v4(packet).ok(),
        _ => Quote::v6(packet).ok(),
    }
}

/// The next MTU below a packet's length that paths are known to have.
fn plateau_below(length: u32) -> u32 {
    PLATEAUS.into_iter().find(|&plateau| plateau < length).unwrap_or(MIN_V4).max(MIN_V4)
}

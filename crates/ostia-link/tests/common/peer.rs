//! A host of a few lines, so that the kernel has somebody to talk to over a link: it answers pings, and has one TCP connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use ostia_link::{Link, Medium};
use ostia_wire::ethernet::{self, EtherType, Ethernet};
use ostia_wire::{
    Checksum, Flags, Frame, Icmpv4Emit, Icmpv6Emit, Ipv4, Ipv4Emit, Ipv6, Ipv6Emit, MacAddr, Tcp, TcpEmit, TcpOptions, icmpv4,
    icmpv6, protocol, tcp, udp,
};
use rustix::net::{AddressFamily, SocketType};

use super::receive_until;

/// An IP packet taken apart.
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub payload: Vec<u8>,
    /// Where it came from on the link, if that has addresses.
    pub mac: MacAddr,
}

/// The IP packet in a frame that came over a link.
pub fn packet(medium: Medium, bytes: &[u8]) -> Option<Packet> {
    let (mac, bytes) = match medium {
        Medium::Ip => (MacAddr::ZERO, bytes),
        Medium::Ethernet => {
            let frame = Ethernet::parse(bytes).ok()?;
            (frame.source(), frame.payload())
        }
    };
    let (source, destination, protocol, payload): (IpAddr, IpAddr, _, _) = match bytes.first()? >> 4 {
        4 => {
            let ip = Ipv4::parse(bytes).ok()?;
            (ip.source().into(), ip.destination().into(), ip.protocol(), ip.payload())
        }
        _ => {
            let ip = Ipv6::parse(bytes).ok()?;
            let upper = ip.upper().ok()?;
            (ip.source().into(), ip.destination().into(), upper.protocol, upper.payload)
        }
    };
    Some(Packet { source, destination, protocol, payload: payload.to_vec(), mac })
}

/// Puts the headers below the transport's in front, and sends the frame to where `to` came from.
pub fn send(link: &mut dyn Link, to: &Packet, mut frame: Frame) {
    let len = frame.len();
    let kind = match (to.destination, to.source) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Emit {
                source,
                destination,
                protocol: to.protocol,
                ttl: 64,
                tos: 0,
                identification: 7,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                options: &[],
            };
            header.emit(frame.push_front(20), len);
            EtherType::IPV4
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header =
                Ipv6Emit { source, destination, next_header: to.protocol, hop_limit: 64, traffic_class: 0, flow_label: 0 };
            header.emit(frame.push_front(40), len);
            EtherType::IPV6
        }
        _ => unreachable!("both addresses are of one family"),
    };
    if link.facts().medium == Medium::Ethernet {
        let own = link.facts().mac.expect("Ethernet has addresses");
        ethernet::emit(frame.push_front(14), own, to.mac, kind);
    }
    assert!(link.transmit(&frame).expect("the link is there"), "there is room");
}

/// Has the kernel ping an address, answers it over the link, and waits until the kernel has the answer.
pub fn ping(link: &mut dyn Link, address: IpAddr) {
    let v4 = address.is_ipv4();
    let (family, kind) = if v4 { (AddressFamily::INET, protocol::ICMP) } else { (AddressFamily::INET6, protocol::ICMPV6) };
    let protocol = Some(if v4 { rustix::net::ipproto::ICMP } else { rustix::net::ipproto::ICMPV6 });
    let socket = rustix::net::socket(family, SocketType::RAW, protocol).expect("a raw socket");
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(super::PATIENCE)).expect("a deadline");
    let mut request = b"........ping".to_vec();
    // The kernel sets ICMPv6's checksum itself.
    match v4 {
        true => Icmpv4Emit::echo_request(77, 1).emit(&mut request),
        false => Icmpv6Emit::echo_request(77, 1).emit(&mut request, [0; 16].into(), [0; 16].into()),
    }
    rustix::net::sendto(&socket, &request, rustix::net::SendFlags::empty(), &SocketAddr::new(address, 0))
        .expect("the ping goes out");
    receive_until(link, |link, frame| {
        let Some(packet) = packet(link.facts().medium, frame.as_slice()) else { return false };
        let is_ping = packet.protocol == kind && packet.destination == address && packet.payload.ends_with(b"ping");
        if is_ping {
            let mut reply = packet.payload.clone();
            match (packet.source, packet.destination) {
                (IpAddr::V4(_), _) => {
                    let message = icmpv4::Icmpv4::parse(&packet.payload).expect("an ICMP message");
                    assert!(message.verify_checksum());
                    Icmpv4Emit::echo_reply(77, 1).emit(&mut reply);
                }
                (IpAddr::V6(to), IpAddr::V6(from)) => {
                    let message = icmpv6::Icmpv6::parse(&packet.payload).expect("an ICMPv6 message");
                    assert!(message.verify_checksum(to, from));
                    Icmpv6Emit::echo_reply(77, 1).emit(&mut reply, from, to);
                }
                _ => unreachable!("both addresses are of one family"),
            }
            send(link, &packet, Frame::from_slice(&reply));
        }
        is_ping
    });
    let reply = if v4 { icmpv4::kind::ECHO_REPLY } else { icmpv6::kind::ECHO_REPLY };
    let mut buffer = [0; 1500];
    for _ in 0..100 {
        let (len, _) =
            rustix::net::recv(&socket, &mut buffer[..], rustix::net::RecvFlags::empty()).expect("the kernel has the answer");
        let message = &buffer[if v4 { 20 } else { 0 }..len];
        if message[0] == reply && message.ends_with(b"ping") {
            return;
        }
    }
    panic!("no answer among a hundred messages");
}

/// What the peer has seen of a connection.
#[derive(Debug, Default)]
pub struct Seen {
    /// The most payload in one frame, and the GSO size of that.
    pub largest: (usize, u16),
    /// Frames with a partial checksum.
    pub partial: usize,
    /// Segments that the peer has sent; what may go as a super-segment is one.
    pub sent: u64,
    /// What was received.
    pub data: Vec<u8>,
}

/// Serves one TCP connection of the kernel: receives `expected` octets, then sends `answer` in one super-segment with FIN, and
/// waits for the kernel's.
pub fn serve(link: &mut dyn Link, expected: usize, answer: &[u8]) -> Seen {
    const FIRST: u32 = 1_000_000;
    const MSS: u16 = 1400;
    let mut seen = Seen::default();
    let mut next = 0;
    let mut answered = false;
    receive_until(link, |link, frame| {
        let Some(packet) = packet(link.facts().medium, frame.as_slice()) else { return false };
        if packet.protocol != protocol::TCP {
            return false;
        }
        let segment = Tcp::parse(&packet.payload).expect("a TCP segment");
        match frame.meta.checksum {
            Checksum::Partial { .. } => seen.partial += 1,
            Checksum::Valid => {}
            Checksum::Unverified => assert!(segment.verify_checksum(packet.source, packet.destination)),
        }
        assert!(!segment.flags().contains(Flags::RST));
        let mut reply = TcpEmit {
            source_port: segment.destination_port(),
            destination_port: segment.source_port(),
            sequence: FIRST + 1,
            flags: Flags::ACK,
            window: u16::MAX,
            ..TcpEmit::default()
        };
        if segment.flags().contains(Flags::SYN) {
            next = segment.sequence().wrapping_add(1);
            reply.sequence = FIRST;
            reply.flags = Flags::SYN.with(Flags::ACK);
            reply.options = TcpOptions { mss: Some(MSS), ..TcpOptions::default() };
        } else {
            let payload = segment.payload();
            if payload.len() > seen.largest.0 {
                seen.largest = (payload.len(), frame.meta.gso_size);
            }
            let fin = segment.flags().contains(Flags::FIN);
            if segment.sequence() == next {
                seen.data.extend(payload);
                next = next.wrapping_add(payload.len() as u32 + u32::from(fin));
                if fin {
                    return answered;
                }
            }
            if payload.is_empty() {
                return false;
            }
        }
        reply.acknowledgment = next;
        transmit(link, &packet, &reply, &[], 0);
        seen.sent += 1;
        if !answered && seen.data.len() == expected {
            answered = true;
            reply.flags = Flags::ACK.with(Flags::PSH).with(Flags::FIN);
            reply.options = TcpOptions::default();
            transmit(link, &packet, &reply, answer, MSS);
            seen.sent += 1;
        }
        false
    });
    seen
}

fn transmit(link: &mut dyn Link, to: &Packet, header: &TcpEmit, payload: &[u8], gso_size: u16) {
    let mut frame = Frame::from_slice(payload);
    header.emit(frame.push_front(header.header_len()));
    let len = frame.len();
    frame.meta.checksum = tcp::partial_checksum(frame.as_mut_slice(), to.destination, to.source, len);
    frame.meta.gso_size = gso_size;
    send(link, to, frame);
}

/// A UDP super-segment with a partial checksum, as a frame for [`send`].
pub fn datagrams(to: &Packet, ports: (u16, u16), payload: &[u8], gso_size: u16) -> Frame {
    let mut frame = Frame::from_slice(payload);
    udp::emit(frame.push_front(udp::HEADER_LEN), ports.0, ports.1, payload.len());
    let len = frame.len();
    frame.meta.checksum = udp::partial_checksum(frame.as_mut_slice(), to.destination, to.source, len);
    frame.meta.gso_size = gso_size;
    frame
}

/// The kernel's address on the links of these tests, and the peer's.
pub const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

/// Has a program on the kernel's TCP send so much to the peer and read all it answers, while the peer serves.
pub fn converse(link: &mut dyn Link, address: SocketAddr) -> Seen {
    use std::io::{Read, Write};
    let up: Vec<u8> = (0..60_000u32).map(|at| (at % 251) as u8).collect();
    let down: Vec<u8> = (0..20_000u32).map(|at| (at % 241) as u8).collect();
    let sent = up.clone();
    // A new thread is in the network namespace of the one that starts it.
    let program = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect_timeout(&address, super::PATIENCE).expect("connected");
        stream.set_read_timeout(Some(super::PATIENCE)).expect("a deadline");
        stream.write_all(&sent).expect("sent");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("received");
        got
    });
    let seen = serve(link, up.len(), &down);
    assert!(program.join().expect("the program ends well") == down, "what the kernel received is what was sent");
    assert!(seen.data == up, "what the peer received is what was sent");
    seen
}

//! DHCP messages.

use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const YOURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

fn emit<'a>(options: &'a [DhcpOption<'a>]) -> DhcpEmit<'a> {
    DhcpEmit {
        is_reply: true,
        transaction: 0xdead_beef,
        seconds: 3,
        broadcast: true,
        client_address: Ipv4Addr::UNSPECIFIED,
        your_address: YOURS,
        server_address: SERVER,
        relay_address: Ipv4Addr::new(10, 0, 0, 1),
        client_mac: MacAddr([2, 0, 0, 0, 0, 9]),
        options,
    }
}

fn written(emit: DhcpEmit<'_>) -> Vec<u8> {
    let mut bytes = alloc::vec![0xff; emit.encoded_len()];
    emit.emit(&mut bytes);
    bytes
}

fn route(destination: [u8; 4], prefix_len: u8, gateway: Ipv4Addr) -> ClasslessRoute {
    ClasslessRoute { destination: destination.into(), prefix_len, gateway }
}

#[test]
fn a_message_reads_as_it_was_written() {
    let routes = [
        route([0; 4], 0, SERVER),
        route([10, 0, 0, 0], 8, SERVER),
        route([10, 17, 0, 0], 16, Ipv4Addr::UNSPECIFIED),
        route([10, 229, 0, 128], 25, SERVER),
        route([192, 0, 2, 9], 32, SERVER),
    ];
    let options = [
        DhcpOption::MessageType(MessageType::Ack),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        DhcpOption::Routers(&[SERVER]),
        DhcpOption::DnsServers(&[SERVER, YOURS]),
        DhcpOption::RequestedAddress(YOURS),
        DhcpOption::LeaseTime(3600),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::ParameterRequestList(&[1, 3, 6, 121]),
        DhcpOption::Message(b"here you are"),
        DhcpOption::MaxMessageSize(1500),
        DhcpOption::RenewalTime(1800),
        DhcpOption::RebindingTime(3150),
        DhcpOption::ClientIdentifier(&[1, 2, 0, 0, 0, 0, 9]),
        DhcpOption::HostName(b"host"),
        DhcpOption::InterfaceMtu(1400),
        DhcpOption::ClasslessRoutes(&routes),
        DhcpOption::Other { code: 80, data: &[] },
        DhcpOption::Other { code: code::DOMAIN_NAME, data: b"example.com" },
        DhcpOption::Other { code: code::NTP_SERVERS, data: &[192, 0, 2, 5] },
        DhcpOption::Other { code: code::BROADCAST_ADDRESS, data: &[192, 0, 2, 255] },
    ];
    let bytes = written(emit(&options));
    let dhcp = Dhcp::parse(&bytes).unwrap();
    assert!(dhcp.is_reply() && dhcp.broadcast());
    assert_eq!((dhcp.transaction(), dhcp.seconds(), dhcp.client_mac()), (0xdead_beef, 3, MacAddr([2, 0, 0, 0, 0, 9])));
    assert_eq!((dhcp.client_address(), dhcp.your_address()), (Ipv4Addr::UNSPECIFIED, YOURS));
    assert_eq!((dhcp.server_address(), dhcp.relay_address()), (SERVER, Ipv4Addr::new(10, 0, 0, 1)));
    assert_eq!(dhcp.message_type(), Some(MessageType::Ack));
    assert_eq!(dhcp.subnet_mask(), Some(Ipv4Addr::new(255, 255, 255, 0)));
    assert_eq!((dhcp.routers(), dhcp.dns_servers()), (alloc::vec![SERVER], alloc::vec![SERVER, YOURS]));
    assert_eq!((dhcp.requested_address(), dhcp.server_identifier()), (Some(YOURS), Some(SERVER)));
    assert_eq!((dhcp.lease_time(), dhcp.renewal_time(), dhcp.rebinding_time()), (Some(3600), Some(1800), Some(3150)));
    assert_eq!(dhcp.parameter_request_list().as_deref(), Some(&[1, 3, 6, 121][..]));
    assert_eq!(dhcp.message().as_deref(), Some(&b"here you are"[..]));
    assert_eq!(dhcp.client_identifier().as_deref(), Some(&[1, 2, 0, 0, 0, 0, 9][..]));
    assert_eq!((dhcp.host_name().as_deref(), dhcp.domain_name().as_deref()), (Some(&b"host"[..]), Some(&b"example.com"[..])));
    assert_eq!((dhcp.interface_mtu(), dhcp.option(80).as_deref()), (Some(1400), Some(&[][..])));
    assert_eq!(
        (dhcp.ntp_servers(), dhcp.broadcast_address()),
        (alloc::vec![Ipv4Addr::new(192, 0, 2, 5)], Some(Ipv4Addr::new(192, 0, 2, 255)))
    );
    assert_eq!(dhcp.classless_routes(), Ok(Some(routes.to_vec())));
    assert_eq!(dhcp.options().count(), options.len());
}

#[test]
fn each_message_type_has_its_number() {
    for octet in 1..=8 {
        let bytes = written(emit(&[DhcpOption::Other { code: code::MESSAGE_TYPE, data: &[octet] }]));
        let kind = Dhcp::parse(&bytes).unwrap().message_type().unwrap();
        assert_eq!(written(emit(&[DhcpOption::MessageType(kind)])), bytes);
    }
    for octet in [0, 9] {
        assert_eq!(MessageType::from_octet(octet), None);
    }
}

#[test]
fn a_short_message_is_padded_to_what_relays_want() {
    assert_eq!(written(emit(&[])).len(), 300);
    assert_eq!(Dhcp::parse(&written(emit(&[]))).unwrap().options().count(), 0);
}

#[test]
fn long_data_is_split_and_put_together() {
    let data: Vec<u8> = (0..600).map(|n| n as u8).collect();
    let options = [DhcpOption::Other { code: 200, data: &data }, DhcpOption::LeaseTime(1)];
    assert_eq!(options[0].encoded_len(), 606);
    let bytes = written(emit(&options));
    let dhcp = Dhcp::parse(&bytes).unwrap();
    assert_eq!(
        dhcp.options().map(|(code, data)| (code, data.len())).collect::<Vec<_>>(),
        [(200, 255), (200, 255), (200, 90), (51, 4)]
    );
    assert_eq!(dhcp.option(200).as_deref(), Some(&data[..]));
}

#[test]
fn overloaded_fields_are_read_behind_the_options() {
    let mut bytes =
        written(emit(&[DhcpOption::Other { code: code::OVERLOAD, data: &[3] }, DhcpOption::Other { code: 200, data: &[1] }]));
    let (name, file) = (44, 108);
    bytes[file..file + 4].copy_from_slice(&[200, 1, 2, 255]);
    bytes[name..name + 4].copy_from_slice(&[200, 1, 3, 255]);
    assert_eq!(Dhcp::parse(&bytes).unwrap().option(200).as_deref(), Some(&[1, 2, 3][..]));
    bytes[file + 1] = 200;
    assert_eq!(Dhcp::parse(&bytes).err(), Some(Malformed::Option), "an option does not go on in the next field");
    bytes[HEADER_LEN + 2] = 2;
    assert_eq!(Dhcp::parse(&bytes).unwrap().option(200).as_deref(), Some(&[1, 3][..]), "the file is not read unless it is said");
}

#[test]
fn what_is_no_dhcp_is_refused() {
    let good = written(emit(&[DhcpOption::MessageType(MessageType::Offer)]));
    assert_eq!(Dhcp::parse(&good[..239]).err(), Some(Malformed::Short));
    for (at, value, error) in [
        (0, 3, Malformed::Kind),
        (1, 6, Malformed::Kind),
        (2, 16, Malformed::Kind),
        (236, 0, Malformed::Kind),
        (241, 255, Malformed::Option),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(Dhcp::parse(&bytes).err(), Some(error), "byte {at}");
    }
}

#[test]
fn routes_that_cannot_be_read_are_an_error() {
    for data in [&[33, 1, 2, 3, 4, 5, 1, 1, 1, 1][..], &[24, 10, 0], &[8, 10, 1, 1, 1], &[0, 1, 1, 1, 1, 9]] {
        let bytes = written(emit(&[DhcpOption::Other { code: code::CLASSLESS_ROUTES, data }]));
        assert_eq!(Dhcp::parse(&bytes).unwrap().classless_routes(), Err(Malformed::Option), "{data:?}");
    }
    assert_eq!(Dhcp::parse(&written(emit(&[]))).unwrap().classless_routes(), Ok(None));
}

#[test]
fn data_of_another_length_is_not_taken_for_a_value() {
    let options = [
        DhcpOption::Other { code: code::LEASE_TIME, data: &[1, 2, 3] },
        DhcpOption::Other { code: code::SUBNET_MASK, data: &[255; 5] },
        DhcpOption::Other { code: code::INTERFACE_MTU, data: &[0, 67] },
    ];
    let bytes = written(emit(&options));
    let dhcp = Dhcp::parse(&bytes).unwrap();
    assert_eq!((dhcp.lease_time(), dhcp.subnet_mask(), dhcp.interface_mtu()), (None, None, None));
}

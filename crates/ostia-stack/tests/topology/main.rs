//! Small networks of stacks: hosts, routers, switches, and what goes wrong in them.

mod errors;
mod hostile;
mod local;
mod net;
mod office;
mod paths;
mod programs;
mod services;
mod switch;

use office::{Office, USUAL};

#[test]
fn the_network_comes_up_by_dhcp_and_router_advertisements() {
    let office = Office::new(USUAL);
    assert_eq!(office.address(office::B, false).and_then(|address| address.v4()), Some(services::LEASED));
    assert!(office.dhcp.offers > 0 && office.dhcp.acks > 0);
    let v6 = office.address(office::B, true).and_then(|address| address.v6()).expect("an address");
    assert_eq!(v6.segments()[..4], [0x2001, 0xdb8, 0xb, 0]);
    office.finish("coming up");
}

//! What is said of devices on systems that have none.
#![cfg(not(target_os = "linux"))]

use ostia_link::{Packet, PacketConfig, Tun, TunConfig, holder_of, network_of};

#[test]
fn devices_are_not_on_this_system() {
    let text = |what: &str| format!("{what} are not on this system: only Linux has them; a link in memory works everywhere");
    assert_eq!(Tun::open(&TunConfig::default()).unwrap_err().to_string(), text("TUN and TAP devices"));
    assert_eq!(Packet::open(&PacketConfig::new("eth0")).unwrap_err().to_string(), text("packet sockets"));
    let error = std::io::Error::from(network_of([10, 7, 0, 1].into(), None).unwrap_err());
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    let error = std::io::Error::from(holder_of([10, 7, 0, 1].into()).unwrap_err());
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(error.to_string(), text("lists of the host's addresses"));
}

//! What a host says on a link unasked, and no script expects: group memberships, router solicitations, neighbour discovery.

/// Protocol numbers (IANA).
const HOP_BY_HOP: u8 = 0;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

/// Whether an IP packet is such talk: IGMP, MLD (RFC 2710, RFC 3810), or neighbour discovery (RFC 4861).
pub(crate) fn is_chatter(packet: &[u8]) -> bool {
    let at = |place: usize| packet.get(place).copied();
    match at(0).map(|byte| byte >> 4) {
        Some(4) => at(9) == Some(IGMP),
        Some(6) => {
            // MLD comes behind a router alert, in the one header that is for every hop.
            let (protocol, message) = match at(6) {
                Some(HOP_BY_HOP) => (at(40), at(41).map(|units| 48 + usize::from(units) * 8)),
                protocol => (protocol, Some(40)),
            };
            let kind = message.and_then(at);
            protocol == Some(ICMPV6) && kind.is_some_and(|kind| matches!(kind, 130..=137 | 143))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        (packet[0], packet[6]) = (0x60, next);
        packet.extend_from_slice(rest);
        packet
    }

    #[test]
    fn only_what_no_script_expects_is_left_out() {
        assert!(is_chatter(&v6(58, &[133])), "router solicitation");
        assert!(is_chatter(&v6(0, &[58, 0, 5, 2, 0, 0, 0, 0, 143])), "MLD");
        assert!(!is_chatter(&v6(58, &[1])), "destination unreachable");
        assert!(!is_chatter(&v6(6, &[0; 20])), "TCP");
        let mut v4 = vec![0; 20];
        (v4[0], v4[9]) = (0x45, 2);
        assert!(is_chatter(&v4));
        v4[9] = 1;
        assert!(!is_chatter(&v4));
        for short in 0..41 {
            assert!(!is_chatter(&v6(58, &[133])[..short]), "{short} bytes");
        }
        assert!(!is_chatter(&v6(0, &[58])));
    }
}

//! What `--so_flags` may say: words with commas or spaces between them.

use std::net::IpAddr;
use std::time::Duration;

use ostia_posix::Setup;
use ostia_stack::{Config, Profile};

/// Octets that a connection receives ahead of its program: as much as servers let their windows grow to, which makes a window
/// scale of 8.
const RECEIVE_BUFFER: u32 = 15_728_640;

/// Octets that a connection keeps to be sent (the greatest of Linux's tcp_wmem).
const SEND_BUFFER: u32 = 4 << 20;

/// The link's MTU for a host of IPv4, and for one of IPv6: with these a segment carries 1460 octets in both, so that a script is
/// right for both (packetdrill's own suite runs its scripts so).
pub(crate) const MTU: u32 = 1500;
const V6_MTU: u32 = MTU + 20;

/// What flags say.
pub(crate) struct Flags {
    pub(crate) setup: Setup,
    /// The MTU from the host's first address of IPv6 on.
    pub(crate) v6_mtu: u32,
}

/// The length of a prefix of addresses of the tool's, which choose theirs at random (`192.168.0.0/16`, `fd3d:fa7b:d17d::/48`).
pub(crate) fn prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 16 } else { 48 }
}

/// A world as the tool's scripts expect it: a Linux server with SACK and a window scale of 8. Timestamps are used if the peer
/// asks for them, and ECN never.
pub(crate) fn usual() -> Setup {
    let mut config = Config::new(Profile::Linux);
    config.receive_buffer = RECEIVE_BUFFER;
    (config.send_buffer, config.send_buffer_most) = (SEND_BUFFER, SEND_BUFFER);
    // A few connections may have all that the windows promise.
    config.memory = 256 << 20;
    Setup { config, mtu: MTU, ..Setup::default() }
}

/// Reads flags.
///
/// Errors: the word that isn't understood, with the reason.
pub(crate) fn read(flags: &str) -> Result<Flags, String> {
    let (mut setup, mut v6_mtu) = (usual(), V6_MTU);
    for word in flags.split([',', ' ']).filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').unwrap_or((word, "1"));
        let number = || value.parse::<u32>().map_err(|error| format!("{word}: {error}"));
        let switch = || match value {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(format!("{word}: 0 or 1")),
        };
        let seconds = || number().map(|seconds| Duration::from_secs(seconds.into()));
        let small = || value.parse::<u8>().map_err(|error| format!("{word}: {error}"));
        let config = &mut setup.config;
        match name {
            "local_ip" => {
                let address: IpAddr = value.parse().map_err(|error| format!("{word}: {error}"))?;
                setup.addresses.push((address, prefix(address)));
            }
            "mtu" => (setup.mtu, v6_mtu) = (number()?, number()?),
            "strict" => config.profile = if switch()? { Profile::Strict } else { Profile::Linux },
            "timestamps" => config.timestamps = switch()?,
            "sack" => config.sack = switch()?,
            "window_scaling" => config.window_scaling = switch()?,
            "syncookies" => config.syn_cookies = switch()?,
            "rfc1337" => config.rfc1337 = switch()?,
            "rmem" => config.receive_buffer = number()?,
            "wmem" => (config.send_buffer, config.send_buffer_most) = (number()?, number()?),
            "syn_retries" => config.syn_retries = small()?,
            "synack_retries" => config.syn_ack_retries = small()?,
            "retries" => config.retries = small()?,
            "fin_timeout" => config.fin_wait_2 = seconds()?,
            "max_syn_backlog" => config.syn_queue = number()? as usize,
            "invalid_ratelimit" => config.invalid_ack_interval = Duration::from_millis(number()?.into()),
            "challenge_acks" => config.challenge_acks = number()?,
            _ => return Err(format!("no such flag: {word}")),
        }
    }
    if setup.addresses.iter().any(|(address, _)| address.is_ipv6()) {
        setup.mtu = v6_mtu;
    }
    Ok(Flags { setup, v6_mtu })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_world_has_a_window_scale_of_8() {
        let setup = usual();
        assert!(setup.config.receive_buffer >> 8 <= 0xffff && setup.config.receive_buffer >> 7 > 0xffff);
        assert!(setup.config.sack && setup.config.window_scaling);
    }

    #[test]
    fn flags_are_words() {
        let Flags { setup, v6_mtu } =
            read("local_ip=192.168.7.9, local_ip=fd3d:fa7b:d17d::1 mtu=1000,timestamps=0").expect("flags");
        let addresses: Vec<String> = setup.addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
        assert_eq!(addresses, ["192.168.7.9/16", "fd3d:fa7b:d17d::1/48"]);
        assert_eq!((setup.mtu, v6_mtu, setup.config.timestamps), (1000, 1000, false));
        let mtu = |flags: &str| read(flags).map(|flags| (flags.setup.mtu, flags.v6_mtu)).expect("flags");
        assert_eq!((mtu(""), mtu("local_ip=2001:db8::7")), ((1500, 1520), (1520, 1520)));
        assert!(read("").is_ok());
        for wrong in ["nonsense", "local_ip=1.2.3", "mtu=many", "sack=2", "retries=256"] {
            assert!(read(wrong).is_err_and(|error| error.contains(wrong)), "{wrong}");
        }
    }
}

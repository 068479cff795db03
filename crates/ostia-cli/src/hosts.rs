//! Which `Host` a request may name: the guard against DNS rebinding.
//!
//! A page on the web can make a browser look up a name of its own as 127.0.0.1 and then read from
//! servers there as if they were its own site. Such a request carries the foreign name in `Host`,
//! so a server that only answers to its own names is safe. An address in digits can't be rebound,
//! and is always let pass.

use std::net::{IpAddr, Ipv6Addr};

/// The names a server answers to.
///
/// * With `--allow-host`, the names given (`*` for any), `localhost` and addresses in digits.
/// * Without it, while every address listened on is a loopback address: `localhost`, names below
///   it, the names listened on, and addresses in digits.
/// * Without it, listening on any other address or a Unix socket: any name, since the names under
///   which others reach this machine aren't known to it.
#[derive(Clone, Debug)]
pub struct Hosts {
    any: bool,
    names: Vec<String>,
}

impl Hosts {
    /// From the names of `--allow-host` and the hosts of the addresses listened on; `None` in
    /// `listens` stands for a Unix socket.
    pub fn new<'a>(allow: &[String], listens: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut any = allow.iter().any(|name| name == "*");
        let mut names: Vec<String> = allow.iter().map(|name| normal(name)).collect();
        for host in listens {
            match host {
                Some(host) if is_loopback(host) => names.push(normal(host)),
                _ => any |= allow.is_empty(),
            }
        }
        Hosts { any, names }
    }

    /// Whether any authority is answered.
    pub fn allows_any(&self) -> bool {
        self.any
    }

    /// Whether a request for this authority (`Host` field) is answered; without one it comes from
    /// an HTTP/1.0 client, which is no browser.
    pub fn allows(&self, authority: Option<&[u8]>) -> bool {
        let Some(authority) = authority else {
            return true;
        };
        if self.any {
            return true;
        }
        let Some(host) = split(authority) else {
            return false;
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        is_address(host)
            || host.eq_ignore_ascii_case("localhost")
            || host.len() > 10 && host.as_bytes()[host.len() - 10..].eq_ignore_ascii_case(b".localhost")
            || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// The host of an authority `host[:port]`, with the brackets of an IPv6 address; `None` when it is
/// not well formed (RFC 3986 section 3.2; user information is refused).
pub fn split(authority: &[u8]) -> Option<&str> {
    std::str::from_utf8(&authority[..host_len(authority)?]).ok()
}

/// Whether the authority is well formed: [`split`] would give its host.
pub fn is_authority(authority: &[u8]) -> bool {
    host_len(authority).is_some()
}

fn host_len(authority: &[u8]) -> Option<usize> {
    let end = match authority {
        [b'[', inner @ ..] => {
            let close = inner.iter().position(|&b| b == b']')?;
            std::str::from_utf8(&inner[..close]).ok()?.parse::<Ipv6Addr>().ok()?;
            close + 2
        }
        _ => authority.iter().position(|&b| !is_name_byte(b)).unwrap_or(authority.len()),
    };
    let port_ok = match &authority[end..] {
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        rest => rest.is_empty(),
    };
    (port_ok && end > 0).then_some(end)
}

/// Unreserved characters, sub-delimiters and the percent sign.
const fn is_name_byte(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric()
                || matches!(byte as u8, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*')
                || matches!(byte as u8, b'+' | b',' | b';' | b'=' | b'%');
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

/// Lower case, without port's brackets and final dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_address(host: &str) -> bool {
    address(host).is_some()
}

fn address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    inner.parse().ok()
}

fn is_loopback(host: &str) -> bool {
    match address(host) {
        Some(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or(v6.is_loopback(), |v4| v4.is_loopback()),
        Some(IpAddr::V4(v4)) => v4.is_loopback(),
        None => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(hosts: &Hosts, name: &str) -> bool {
        hosts.allows(Some(name.as_bytes()))
    }

    #[test]
    fn authorities_are_split_strictly() {
        assert_eq!(split(b"example.com:80"), Some("example.com"));
        assert_eq!(split(b"example.com:"), Some("example.com"));
        assert_eq!(split(b"[::1]:80"), Some("[::1]"));
        assert_eq!(split(b"[::1]"), Some("[::1]"));
        for bad in ["", ":80", "a:b", "a:1:2", "a:123456", "u@a", "a b", "a/b", "[::1", "[x]", "[::1]x", "::1", "\u{e4}"] {
            assert_eq!(split(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn on_loopback_only_local_names_pass() {
        let hosts = Hosts::new(&[], [Some("127.0.0.1"), Some("::1")]);
        for good in ["localhost", "LOCALHOST:8080", "localhost.", "a.localhost", "127.0.0.1:80", "[::1]:80", "192.168.1.5"] {
            assert!(allows(&hosts, good), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "", "a b"] {
            assert!(!allows(&hosts, bad), "{bad}");
        }
        assert!(hosts.allows(None));
    }

    #[test]
    fn elsewhere_any_name_passes_unless_named() {
        for listen in [Some("0.0.0.0"), Some("192.168.1.5"), Some("[::]"), Some("box.lan"), None] {
            assert!(allows(&Hosts::new(&[], [Some("127.0.0.1"), listen]), "evil.example"));
            let named = Hosts::new(&["Box.Lan".into()], [listen]);
            assert!(allows(&named, "box.lan:8080"));
            assert!(allows(&named, "10.0.0.1"));
            assert!(!allows(&named, "evil.example"));
        }
        assert!(allows(&Hosts::new(&["*".into()], [Some("127.0.0.1")]), "evil.example"));
    }

    #[test]
    fn mapped_loopback_is_loopback() {
        assert!(!allows(&Hosts::new(&[], [Some("::ffff:127.0.0.1")]), "evil.example"));
    }
}

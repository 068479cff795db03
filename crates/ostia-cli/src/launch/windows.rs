//! What servers do on Windows: refuse addresses that only Unix has. There is no systemd, and no SIGHUP.

use crate::errors::Failure;

/// Whether this system has addresses of that form.
///
/// # Errors
/// A usage error that names the form and another.
pub fn can_listen_on(address: &str) -> Result<(), Failure> {
    let refused = |form: &str, needs: &str| {
        let what = format!("cannot listen on {address}: {form} needs {needs}");
        Err(Failure::usage(what, "use HOST:PORT, such as --addr 127.0.0.1:8080"))
    };
    match address {
        "systemd" => refused("systemd", "Linux"),
        address if address.starts_with("systemd:") => refused("systemd:NAME", "Linux"),
        address => match address.split_once(':') {
            Some((scheme @ ("unix" | "unix-dgram" | "unix-seqpacket"), _)) => refused(&format!("{scheme}:PATH"), "Unix"),
            _ => Ok(()),
        },
    }
}

/// There is nothing to be told by.
pub(super) fn reload_on_hangup() -> Result<(), Failure> {
    Ok(())
}

/// Nobody hands sockets over.
pub mod inherited {
    use crate::errors::Failure;
    use ostia_port::os::OwnedFd;

    /// Whether an address of the command line means sockets handed over: none does.
    #[must_use]
    pub fn is_name(_: &str) -> bool {
        false
    }

    /// Whether there are sockets for this process: never.
    #[must_use]
    pub fn offered() -> bool {
        false
    }

    /// The sockets that these addresses mean: none.
    ///
    /// # Errors
    /// Never.
    pub fn sockets(_: &[String]) -> Result<Vec<OwnedFd>, Failure> {
        Ok(Vec::new())
    }
}

/// Nobody wants to be told.
pub mod notify {
    /// The server listens.
    pub fn ready() {}

    /// The server is being stopped.
    pub fn stopping() {}

    /// Would tell regularly that the server lives.
    pub fn watch() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_unix_are_refused_with_one_that_works() {
        for address in ["unix:/run/x", "unix:@x", "unix-dgram:x", "unix-seqpacket:x", "systemd", "systemd:web"] {
            let failure = can_listen_on(address).unwrap_err();
            assert!(failure.code == 2 && failure.what.contains(address) && failure.remedy.contains("HOST:PORT"), "{failure}");
        }
        let failure = can_listen_on("unix:/run/x").unwrap_err();
        assert_eq!(failure.what, "cannot listen on unix:/run/x: unix:PATH needs Unix");
        for address in ["127.0.0.1:80", "[::1]:80", "unix.example:80", "systemd.example:80", "udp://x:1", "unix"] {
            assert!(can_listen_on(address).is_ok(), "{address}");
        }
    }
}

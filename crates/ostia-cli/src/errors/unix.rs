//! What helps on Linux: the programs that show more, and the limits that can be raised.

use rustix::io::Errno;

/// How an address is written.
pub(super) const FORMS: &str = "HOST:PORT, [IPv6]:PORT or unix:PATH";

/// Lists the addresses of this machine.
pub(super) const ADDRESSES: &str = "ip address";

/// Shows permissions on the way to a directory.
pub(super) const PERMISSIONS: &str = "namei -l";

/// Lists a directory.
pub(super) const LIST: &str = "ls";

/// When a port is not for this user.
pub(super) const FORBIDDEN_PORT: &str =
    "ports below 1024 are for privileged programs: choose a higher one with --addr, or grant CAP_NET_BIND_SERVICE";

/// When workers or their ports can't be made.
pub(super) const START: &str = "`ostia doctor` shows what is missing; --driver epoll needs the least";

/// How to find out who has a TCP port.
pub(super) fn who_has(port: &str) -> String {
    format!("`ss -ltnp 'sport = :{port}'` names it")
}

/// What has run out, by the error's code, and how there can be more of it.
pub(super) fn exhausted(code: i32) -> Option<(&'static str, &'static str)> {
    Some(match Errno::from_raw_os_error(code) {
        Errno::MFILE => (
            "the limit of open descriptors of this process is reached",
            "raise it with `ulimit -n 65536`, or LimitNOFILE= in a systemd unit",
        ),
        Errno::NFILE => (
            "the limit of open descriptors of the whole system is reached",
            "raise it with `sysctl fs.file-max`, or close other programs",
        ),
        Errno::NOMEM => ("out of memory", "use fewer --workers, or raise the limit of locked memory (`ulimit -l`)"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::errors::{Failure, PERMISSION};
    use rustix::io::Errno;
    use std::io;
    use std::path::Path;

    fn listen(address: &str, errno: Errno) -> String {
        let failure = Failure::listen(address, &errno.into());
        assert_eq!(failure.code, if errno == Errno::ACCESS { PERMISSION } else { 1 });
        assert!(failure.what.contains(address), "{failure}");
        assert!(!failure.remedy.is_empty());
        failure.to_string()
    }

    #[test]
    fn listening_errors_name_the_address_and_a_remedy() {
        assert!(listen("127.0.0.1:8080", Errno::ADDRINUSE).contains("sport = :8080"));
        assert!(listen("[::1]:8080", Errno::ADDRINUSE).contains("sport = :8080"));
        assert!(listen("192.0.2.1:80", Errno::ADDRNOTAVAIL).contains("ip address"));
        assert!(listen("127.0.0.1:80", Errno::ACCESS).contains("1024"));
        assert!(listen("unix:/run/x", Errno::ACCESS).contains("directory"));
        assert!(listen("unix:/nowhere/x", Errno::NOENT).contains("no such directory"));
        assert!(listen("unix:/run/x", Errno::ADDRINUSE).contains("ss -lxp src /run/x"));
        assert!(listen("127.0.0.1:80", Errno::MFILE).contains("ulimit -n"));
        assert!(listen("127.0.0.1:80", Errno::NFILE).contains("fs.file-max"));
        let told = io::Error::other(format!("127.0.0.1:80: {}", io::Error::from(Errno::MFILE)));
        assert!(Failure::listen("127.0.0.1:80", &told).remedy.contains("ulimit -n"));
        assert!(listen("127.0.0.1:80", Errno::INVAL).contains("HOST:PORT"));
    }

    #[test]
    fn root_errors_name_the_directory_and_a_remedy() {
        for (errno, word) in [
            (Errno::NOENT, "no such directory"),
            (Errno::NOTDIR, "not a directory"),
            (Errno::ACCESS, "permission"),
            (Errno::MFILE, "ulimit -n"),
            (Errno::IO, "os error 5"),
        ] {
            let failure = Failure::root(Path::new("/srv/x"), &errno.into());
            assert!(failure.what.contains("/srv/x") && failure.to_string().contains(word), "{failure}");
            assert_eq!(failure.code, if errno == Errno::ACCESS { PERMISSION } else { 1 });
        }
    }

    #[test]
    fn a_start_that_fails_has_a_remedy() {
        assert!(Failure::start(&Errno::NOMEM.into()).remedy.contains("ulimit -l"));
        assert!(Failure::start(&Errno::INVAL.into()).remedy.contains("doctor"));
    }
}

//! What helps on Windows: the programs that show more, and what can run out.

/// How an address is written.
pub(super) const FORMS: &str = "HOST:PORT or [IPv6]:PORT";

/// Lists the addresses of this machine.
pub(super) const ADDRESSES: &str = "ipconfig";

/// Shows permissions.
pub(super) const PERMISSIONS: &str = "icacls";

/// Lists a directory.
pub(super) const LIST: &str = "dir";

/// When a port is not for this program.
pub(super) const FORBIDDEN_PORT: &str = "the port is reserved (`netsh interface ipv4 show excludedportrange tcp` lists those that \
    are), or another program has it for itself alone: choose another with --addr";

/// When workers or their ports can't be made.
pub(super) const START: &str = "`ostia doctor` shows what is missing";

/// How to find out who has a TCP port.
pub(super) fn who_has(port: &str) -> String {
    format!("`netstat -ano -p TCP` shows its process beside port {port}")
}

/// What has run out, by the error's code (winerror.h), and how there can be more of it.
pub(super) fn exhausted(code: i32) -> Option<(&'static str, &'static str)> {
    Some(match code {
        // ERROR_TOO_MANY_OPEN_FILES, WSAEMFILE
        4 | 10_024 => ("no more handles can be opened", "close other programs, or use a lower --max-connections"),
        // ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_COMMITMENT_LIMIT
        8 | 14 | 1455 => ("out of memory", "use fewer --workers, or give Windows a larger paging file"),
        // ERROR_NO_SYSTEM_RESOURCES, WSAENOBUFS
        1450 | 10_055 => ("out of the system's memory for input and output", "close other programs, or use fewer --workers"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::errors::{Failure, PERMISSION};
    use std::io;
    use std::path::Path;

    #[test]
    fn listening_errors_name_the_address_and_a_remedy() {
        for (code, word, exit) in [
            (10_048, "netstat -ano", 1),
            (10_049, "ipconfig", 1),
            (10_013, "excludedportrange", PERMISSION),
            (10_024, "--max-connections", 1),
            (10_055, "--workers", 1),
            (10_022, "HOST:PORT", 1),
        ] {
            let failure = Failure::listen("127.0.0.1:8080", &io::Error::from_raw_os_error(code));
            assert!(failure.what.contains("127.0.0.1:8080") && failure.remedy.contains(word), "{failure}");
            assert_eq!(failure.code, exit, "{failure}");
        }
    }

    #[test]
    fn root_errors_name_the_directory_and_a_remedy() {
        for (code, word, exit) in [
            (2, "no such directory", 1),
            (3, "no such directory", 1),
            (267, "not a directory", 1),
            (5, "icacls", PERMISSION),
            (1117, "`dir`", 1),
        ] {
            let failure = Failure::root(Path::new(r"C:\site"), &io::Error::from_raw_os_error(code));
            assert!(failure.what.contains(r"C:\site") && failure.to_string().contains(word), "{failure}");
            assert_eq!(failure.code, exit, "{failure}");
        }
    }
}

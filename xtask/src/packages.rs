//! The Debian packages that tests and measurements use, in one table, and installing them.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// Which command wants a package.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// `cargo xtask test`
    Test,
    /// `cargo xtask test --full`, beside those of `Test`
    Full,
    /// `cargo xtask bench`
    Bench,
    /// `cargo xtask bsd` and `bare`
    Foreign,
    /// `cargo xtask windows build`
    Windows,
    /// `cargo xtask windows test`, beside those of `Windows`
    Wine,
}

struct Package {
    name: &'static str,
    /// The program which the package gives: it is there if this is on the search path. A full path is
    /// looked for nowhere else.
    program: &'static str,
    wanted_by: &'static [Use],
    /// What is skipped without it.
    needed_for: &'static str,
}

/// What is skipped without Debian's Rust.
const OTHER_SYSTEMS: &str = "the build for Windows, the check for FreeBSD and macOS, and the stack's build without a system";

const PACKAGES: &[Package] = &[
    Package {
        name: "curl",
        program: "curl",
        wanted_by: &[Use::Test],
        needed_for: "whole, ranged, resumed and parallel downloads",
    },
    Package {
        name: "nghttp2-client",
        program: "h2load",
        wanted_by: &[Use::Test],
        needed_for: "the axum example under load over HTTP/2",
    },
    Package { name: "wrk", program: "wrk", wanted_by: &[Use::Test, Use::Bench], needed_for: "the server under wrk's load" },
    Package { name: "chromium", program: "chromium", wanted_by: &[Use::Test], needed_for: "the listing in a browser" },
    Package { name: "chromium-driver", program: "chromedriver", wanted_by: &[Use::Test], needed_for: "the listing in a browser" },
    Package { name: "util-linux", program: "setpriv", wanted_by: &[Use::Test], needed_for: "what an unprivileged user is told" },
    Package { name: "zsh", program: "zsh", wanted_by: &[Use::Test], needed_for: "completions in zsh" },
    Package { name: "fish", program: "fish", wanted_by: &[Use::Test], needed_for: "completions in fish" },
    Package { name: "man-db", program: "man", wanted_by: &[Use::Test], needed_for: "the manual pages as man shows them" },
    Package { name: "groff", program: "groff", wanted_by: &[Use::Test], needed_for: "the manual pages as man shows them" },
    Package { name: "prometheus", program: "promtool", wanted_by: &[Use::Test], needed_for: "promtool's verdict on the metrics" },
    Package { name: "tshark", program: "tshark", wanted_by: &[Use::Test], needed_for: "tshark's verdict on captures" },
    Package { name: "iproute2", program: "ip", wanted_by: &[Use::Test], needed_for: "the stack in network namespaces" },
    Package { name: "iputils-ping", program: "ping", wanted_by: &[Use::Test], needed_for: "pings to the stack" },
    Package { name: "traceroute", program: "traceroute", wanted_by: &[Use::Test], needed_for: "the way to the stack" },
    Package { name: "nmap", program: "nmap", wanted_by: &[Use::Test], needed_for: "nmap's view of the stack" },
    Package { name: "netcat-openbsd", program: "nc", wanted_by: &[Use::Test], needed_for: "half-closed connections by netcat" },
    Package { name: "iperf3", program: "iperf3", wanted_by: &[Use::Test], needed_for: "iperf3 through the stack" },
    Package { name: "dnsmasq-base", program: "dnsmasq", wanted_by: &[Use::Test], needed_for: "addresses for the stack by DHCP" },
    Package { name: "systemd", program: "systemd-analyze", wanted_by: &[Use::Test], needed_for: "the example units" },
    Package {
        name: "valgrind",
        program: "valgrind",
        wanted_by: &[Use::Full, Use::Bench],
        needed_for: "memcheck over the port's suite; instructions per request",
    },
    Package { name: "strace", program: "strace", wanted_by: &[Use::Bench], needed_for: "system calls per request" },
    Package {
        name: "nginx-light",
        program: "nginx",
        wanted_by: &[Use::Bench],
        needed_for: "nginx as the peer in the file measurements",
    },
    // Of the versions of Rust in Debian, those with `web` in their names are the ones kept up to date.
    Package { name: "rustc-web", program: "/usr/bin/rustc", wanted_by: &[Use::Foreign, Use::Windows], needed_for: OTHER_SYSTEMS },
    Package { name: "cargo-web", program: "/usr/bin/cargo", wanted_by: &[Use::Foreign, Use::Windows], needed_for: OTHER_SYSTEMS },
    Package {
        name: "rust-web-src",
        program: "/usr/lib/rustlib/src/rust/library/std/Cargo.toml",
        wanted_by: &[Use::Foreign, Use::Windows],
        needed_for: OTHER_SYSTEMS,
    },
    Package {
        name: "gcc-mingw-w64-x86-64-win32",
        program: "x86_64-w64-mingw32-gcc",
        wanted_by: &[Use::Windows],
        needed_for: "the build for Windows",
    },
    Package { name: "wine", program: "wine", wanted_by: &[Use::Wine], needed_for: "the tests for Windows" },
    Package { name: "wine64", program: "/usr/lib/wine/wine64", wanted_by: &[Use::Wine], needed_for: "the tests for Windows" },
];

/// Installs what is missing for `purpose` when this process is root, apt-get is there and
/// `install` is set; says what will be skipped for want of the rest, and returns the names of these packages.
pub fn prepare(purpose: Use, install: bool) -> Vec<&'static str> {
    let mut missing = missing_for(purpose);
    if missing.is_empty() {
        return Vec::new();
    }
    match obstacle(install) {
        None => {
            let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
            println!("xtask: installing {}", names.join(" "));
            install_all(&names);
            missing = missing_for(purpose);
        }
        Some(reason) => println!("xtask: not installing packages: {reason}"),
    }
    for package in &missing {
        println!("xtask: {} is missing (Debian package {}): skipped is {}", package.program, package.name, package.needed_for);
    }
    missing.iter().map(|package| package.name).collect()
}

fn missing_for(purpose: Use) -> Vec<&'static Package> {
    PACKAGES
        .iter()
        .filter(|package| package.wanted_by.contains(&purpose))
        .filter(|package| !on_search_path(package.program))
        .collect()
}

fn obstacle(install: bool) -> Option<&'static str> {
    if !install {
        Some("--no-install was given")
    } else if !on_search_path("apt-get") {
        Some("there is no apt-get")
    } else if !rustix::process::geteuid().is_root() {
        Some("this is not root")
    } else {
        None
    }
}

/// Whether a file of that name is in a folder of the search path, or where Debian puts
/// programs for the administrator.
fn on_search_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain([Path::new("/usr/sbin").to_path_buf()]).any(|folder| folder.join(program).is_file())
}

/// Installs the packages together; if that fails (one has gone from the archive, say), one by one.
fn install_all(names: &[&str]) {
    apt_get(&["update", "-q=2"]);
    if !apt_get_install(names) && names.len() > 1 {
        for name in names {
            apt_get_install(&[name]);
        }
    }
}

fn apt_get_install(names: &[&str]) -> bool {
    // --no-remove: what is there already (another Rust, say) is the user's, and stays.
    let mut arguments = vec!["install", "-q=2", "-y", "--no-install-recommends", "--no-remove"];
    arguments.extend(names);
    apt_get(&arguments)
}

fn apt_get(arguments: &[&str]) -> bool {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => true,
        Ok(status) => {
            println!("xtask: apt-get {} failed: {status}", arguments.join(" "));
            false
        }
        Err(error) => {
            println!("xtask: apt-get did not start: {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_listed_once_and_wanted() {
        for (index, package) in PACKAGES.iter().enumerate() {
            assert!(!package.wanted_by.is_empty(), "{}", package.name);
            let again = PACKAGES[index + 1..].iter().any(|other| other.name == package.name);
            assert!(!again, "{} is listed twice", package.name);
        }
    }

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        assert!(on_search_path("sh"));
        assert!(!on_search_path("no-such-program-anywhere"));
    }
}

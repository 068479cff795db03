//! Captures (`--pcap`), and what tshark says of them.

use std::path::PathBuf;
use std::process::Command;

use crate::support::case::Case;
use crate::support::site::Site;

/// Protocols whose checksums tshark verifies only if told to. Partial ones are completed in the capture.
const CHECKS: [&str; 3] = ["ip", "tcp", "udp"];

/// What no packet of a capture may be. Where Linux completes a checksum of TCP in software, 0 becomes 0xffff
/// (`skb_checksum_help`), which is the same number, though not by the letter of RFC 1624.
const FAULTS: &str = "_ws.malformed || ip.checksum.status == \"Bad\" || \
                      (tcp.checksum.status == \"Bad\" && tcp.checksum != 0xffff) || \
                      udp.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\" || icmpv6.checksum.status == \"Bad\"";

/// A file to capture into.
pub struct Capture {
    site: Site,
    path: PathBuf,
}

impl Capture {
    /// A new one, in a folder of its own.
    pub fn new() -> Capture {
        let site = Site::new();
        let path = site.path("capture.pcapng");
        Capture { site, path }
    }

    /// The argument of `--pcap`.
    pub fn path(&self) -> &str {
        self.path.to_str().expect("the path is text")
    }

    /// Panics unless every packet is well-formed, every checksum right, and there are some; skipped without tshark. To be called
    /// when the program has ended.
    pub fn is_clean(&self, case: Case) {
        self.is_clean_but(case, "frame.number == 0");
    }

    /// The same, but for packets that a display filter selects.
    pub fn is_clean_but(&self, case: Case, filter: &str) {
        if let Some(faults) = self.select(case, &format!("({FAULTS}) && !({filter})")) {
            assert!(faults.is_empty(), "tshark finds fault with:\n{}", faults.join("\n"));
            assert!(std::fs::metadata(&self.path).expect("it was captured").len() > 1000, "there is nothing in it");
        }
    }

    /// The packets that a display filter selects, a line each; nothing without tshark.
    pub fn select(&self, case: Case, filter: &str) -> Option<Vec<String>> {
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(&self.path).args(["-Y", filter]);
        for protocol in CHECKS {
            command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
        }
        // The bytes that tests send are nothing to be understood.
        for port in ["tcp.port==8080", "udp.port==8080", "tcp.port==9000"] {
            command.args(["-d", &format!("{port},data")]);
        }
        // Its folders of settings are this one's, so that nobody's taste changes the verdict.
        command.env("HOME", self.site.root()).env("XDG_CONFIG_HOME", self.site.root());
        let Ok(output) = command.output() else {
            case.skip_part("captures", "no tshark on the search path");
            return None;
        };
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "tshark can't read the capture: {errors}");
        Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

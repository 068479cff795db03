//! Under wrk's load: every answer is right, none is missing.

use std::process::Command;

use crate::support::case::on_both_drivers;
use crate::support::scaled;
use crate::support::server::Launch;
use crate::support::site::{Pattern, Site};

on_both_drivers! {
    /// 200 connections for some seconds: wrk counts no error, and the server still serves.
    fn wrk_counts_no_errors(case: Case) {
        if !case.has("wrk") {
            return;
        }
        let site = Site::new();
        let pattern = Pattern(1);
        for (name, length) in [("small", 1 << 10), ("medium", 100 << 10)] {
            site.fill(name, pattern, length);
        }
        let server = Launch::new(case, site.root()).start();
        for name in ["small", "medium", "missing"] {
            let output = Command::new("wrk")
                .args(["--threads", "1", "--connections", "200", "--timeout", "60s"])
                .args(["--duration", scaled("2s", "20s")])
                .arg(server.url(&format!("/{name}")))
                .output()
                .expect("wrk can be run");
            let report = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{report}");
            assert!(!report.contains("Socket errors"), "{report}");
            let errors = report.contains("Non-2xx");
            assert_eq!(errors, name == "missing", "{report}");
            let requests: u64 = report
                .lines()
                .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
                .unwrap_or_else(|| panic!("no number of requests in {report}"));
            assert!(requests >= 200, "{report}");
        }
        assert!(pattern.is_at(0, &server.get("/medium").body));
        server.stop();
    }
}

//! Addresses, and servers for names, that dnsmasq gives by DHCP.

use std::process::Command;

use rustix::process::Signal;

use super::program::{Running, serve};
use super::space::{Namespace, cable, in_namespace};
use crate::downloads::whole;
use crate::support::process::{Process, ostia};
use crate::support::site::{Pattern, Site};
use crate::support::{eventually, scaled, seed};

/// dnsmasq with one address to give, for two minutes, the least that it gives any. It knows the name far.test.
fn dnsmasq(address: &str) -> Process {
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--pid-file=", "--user=root"]);
    command.args(["--interface=far", "--bind-interfaces", "--except-interface=lo", "--leasefile-ro", "--dhcp-authoritative"]);
    command.args(["--no-resolv", "--no-hosts", "--no-ping", "--host-record=far.test,10.8.0.1"]);
    command.arg(format!("--dhcp-range={address},{address},2m"));
    let process = Process::start(&mut command);
    process.errors.wait_for(|line| line.contains("DHCP, IP range").then_some(())).expect("it starts");
    process
}

#[test]
fn a_leased_address_and_the_next_one() {
    in_namespace(concat!(module_path!(), "::a_leased_address_and_the_next_one"), &["curl", "dnsmasq"], |case| {
        let site = Site::new();
        let expected = site.fill("file.bin", Pattern(seed(case.name)), 100_000);
        let far = Namespace::new();
        cable(("near", ""), &far, ("far", "10.8.0.1/24"));
        let first = far.within(|| dnsmasq("10.8.0.50"));
        // Names are asked of the server that came with the lease.
        let ping =
            Command::new(ostia()).args(["ping", "far.test", "--count", "1", "--network", "packet:near", "--dhcp"]).output();
        let ping = ping.expect("it runs");
        let told = String::from_utf8_lossy(&ping.stdout);
        assert!(ping.status.success() && told.contains("10.8.0.1"), "{told}{}", String::from_utf8_lossy(&ping.stderr));
        released(first, "10.8.0.50");

        let first = far.within(|| dnsmasq("10.8.0.60"));
        let server = serve(case, site.root(), &["--network", "packet:near", "--dhcp"]);
        far.within(|| assert_eq!(whole("http://10.8.0.60:8080/file.bin"), expected));
        if !scaled(false, true) {
            server.stop();
            return released(first, "10.8.0.60");
        }
        first.signal(Signal::TERM);
        first.wait();
        // Half its time later the lease is to be renewed. The next server has another address to give, and says no to this one
        // (RFC 2131, 4.3.2).
        let second = far.within(|| dnsmasq("10.8.0.70"));
        let Running { process } = &server;
        for (word, address) in [("lease has ended", "10.8.0.60"), ("another address was leased", "10.8.0.70")] {
            let told = || process.errors.text().lines().any(|line| line.contains(word) && line.contains(address));
            assert!(eventually(told), "not told: {}", process.errors.text());
        }
        far.within(|| assert_eq!(whole("http://10.8.0.70:8080/file.bin"), expected));
        server.stop();
        released(second, "10.8.0.70");
    });
}

/// Who has ended has given its address back.
fn released(server: Process, address: &str) {
    let told = |line: &str| (line.contains("DHCPRELEASE") && line.contains(address)).then_some(());
    server.errors.wait_for(told).unwrap_or_else(|| panic!("{address} is not given back: {}", server.errors.text()));
    server.signal(Signal::TERM);
    server.wait();
}

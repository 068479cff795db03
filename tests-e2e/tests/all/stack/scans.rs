//! What ping, traceroute and nmap see of a host on Ostia's stack.

use super::capture::Capture;
use super::program::{BOTH, serve};
use super::space::{in_namespace, ping, told};
use crate::support::site::Site;

/// Payloads of pings: usual, as long as a packet of 1500 octets and one more, and the longest there are.
const SIZES: [u32; 5] = [56, 1472, 1473, 8000, 65_507];

#[test]
fn pings_of_every_size_come_back() {
    in_namespace(concat!(module_path!(), "::pings_of_every_size_come_back"), &["ping"], |case| {
        let site = Site::new();
        let capture = Capture::new();
        let server = serve(case, site.root(), &[&BOTH[..], &["--pcap", capture.path()]].concat());
        for address in ["10.7.0.2", "fd07::2"] {
            for size in SIZES {
                ping(address, size);
            }
        }
        server.stop();
        capture.is_clean(case);
    });
}

#[test]
fn traceroute_ends_at_the_stack() {
    in_namespace(concat!(module_path!(), "::traceroute_ends_at_the_stack"), &["traceroute"], |case| {
        let site = Site::new();
        let capture = Capture::new();
        let server = serve(case, site.root(), &[&BOTH[..], &["--pcap", capture.path()]].concat());
        for address in ["10.7.0.2", "fd07::2"] {
            // Datagrams to a closed port, echo requests, and SYNs.
            for method in ["", "-I", "-T -p 8080"] {
                let said = told("traceroute", &format!("-n -N 1 -q 1 -w 20 {method} {address}"));
                let hops: Vec<&str> = said.lines().skip(1).collect();
                assert!(hops.len() == 1 && hops[0].contains(address), "{method}: {said}");
            }
        }
        server.stop();
        capture.is_clean(case);
    });
}

#[test]
fn nmap_tells_open_ports_from_closed_ones() {
    in_namespace(concat!(module_path!(), "::nmap_tells_open_ports_from_closed_ones"), &["nmap"], |case| {
        let site = Site::new();
        let capture = Capture::new();
        let server = serve(case, site.root(), &[&BOTH[..], &["--pcap", capture.path()]].concat());
        // SYNs, connections, and segments that belong to nothing (RFC 9293, 3.10.7.2: a listener does not answer them, a closed
        // port does with a reset).
        for (scan, open) in
            [("-sS", "open"), ("-sT", "open"), ("-sF", "open|filtered"), ("-sX", "open|filtered"), ("-sA", "unfiltered")]
        {
            let closed = if scan == "-sA" { "unfiltered" } else { "closed" };
            let states = ports(scan, "10.7.0.2");
            assert_eq!(states, [closed, closed, open, closed, closed], "{scan}");
        }
        assert_eq!(ports("-sU", "10.7.0.2"), ["closed"; 5]);
        assert_eq!(ports("-6 -sS", "fd07::2"), ["closed", "closed", "open", "closed", "closed"]);
        assert_eq!(ports("-6 -sU", "fd07::2"), ["closed"; 5]);
        server.stop();
        capture.is_clean(case);
    });
}

/// What nmap says of the ports 8078 to 8082.
fn ports(scan: &str, address: &str) -> Vec<String> {
    // Without waiting for names and for whether the host is up; no packet may be given up for being late.
    let said = told("nmap", &format!("-n -Pn --reason --max-retries 4 {scan} -p 8078-8082 {address}"));
    let state = |line: &str| Some(line.split_once("/")?.1.split_whitespace().nth(1)?.to_owned());
    let rows = said.lines().filter(|line| line.starts_with("80"));
    rows.map(|line| state(line).unwrap_or_else(|| panic!("{said}"))).collect()
}

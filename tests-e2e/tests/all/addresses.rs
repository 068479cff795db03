//! Several addresses at once: IPv4, IPv6, and a Unix socket.

use std::net::TcpListener;
use std::process::Command;

use crate::support::case::on_both_drivers;
use crate::support::server::Launch;
use crate::support::site::Site;

on_both_drivers! {
    /// One server answers the same on all its addresses, and removes its socket file.
    fn a_server_listens_on_every_address_it_was_given(case: Case) {
        if !case.has("curl") {
            return;
        }
        let site = Site::new();
        site.write("file", "content");
        // Socket addresses are short (unix(7)).
        let sockets = tempfile::TempDir::new_in("/tmp").expect("a folder can be made");
        let socket = sockets.path().join("ostia.sock");
        let mut launch =
            Launch::new(case, site.root()).address(format!("unix:{}", socket.display()));
        let ipv6 = TcpListener::bind("[::1]:0").is_ok();
        if ipv6 {
            launch = launch.address("[::1]:0");
        } else {
            case.skip_part("IPv6", "this machine has no ::1");
        }
        let server = launch.start();
        assert_eq!(server.get("/file").text(), "content");
        if ipv6 {
            let url = server
                .process
                .output
                .wait_for(|line| url_in(line, "http://[::1]:"))
                .expect("the IPv6 address is printed");
            assert_eq!(curl(&["--globoff", &format!("{url}file")]), "content");
        }
        let socket_path = socket.to_str().expect("the path is text");
        let url = "http://localhost/file";
        assert_eq!(curl(&["--unix-socket", socket_path, url]), "content");
        server.stop();
        assert!(!socket.exists(), "the socket file is left");
    }
}

/// The URL in a line that starts so.
fn url_in(line: &str, start: &str) -> Option<String> {
    let found = &line[line.find(start)?..];
    found.split_whitespace().next().map(str::to_owned)
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "60"])
        .args(arguments)
        .output()
        .expect("curl can be run");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

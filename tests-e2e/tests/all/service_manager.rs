//! As systemd starts it: sockets handed over, and what is told back.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;

use crate::support::case::{Case, on_both_drivers};
use crate::support::http::Client;
use crate::support::process::{Process, ostia};
use crate::support::site::Site;
use crate::support::{DEADLINE, eventually};

/// Starts `ostia` with these sockets as descriptors 3 and so on, as systemd does. A shell puts them there: it becomes the
/// program, so that LISTEN_PID is right.
fn activated(sockets: &[&dyn AsFd], names: &str, notify: Option<&Path>, arguments: &[&str]) -> Process {
    let mut script = String::new();
    for (number, socket) in sockets.iter().enumerate() {
        fcntl_setfd(socket, FdFlags::empty()).expect("it stays open in the shell");
        // First out of the way of one another.
        script += &format!("exec {}<&{}; ", 100 + number, socket.as_fd().as_raw_fd());
    }
    for number in 0..sockets.len() {
        script += &format!("exec {}<&{}; exec {}<&-; ", 3 + number, 100 + number, 100 + number);
    }
    script += &format!("export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={names}; exec \"$@\"", sockets.len());
    let mut command = Command::new("bash");
    command.args(["-c", &script, "bash"]).arg(ostia()).args(arguments);
    if let Some(path) = notify {
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "100000");
    }
    let process = Process::start(&mut command);
    for socket in sockets {
        fcntl_setfd(socket, FdFlags::CLOEXEC).expect("others do not inherit it");
    }
    process
}

fn text_of(site: &Site) -> &str {
    site.root().to_str().expect("the path is text")
}

/// A GET over a Unix socket.
fn get_unix(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("set");
    stream.write_all(b"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

on_both_drivers! {
    /// Without --addr, all kinds of sockets are served; idle connections end with the server.
    fn sockets_are_taken_over(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let six = TcpListener::bind("[::1]:0").ok();
        let path = site.path("socket");
        let unix = UnixListener::bind(&path).expect("bound");
        let mut sockets: Vec<&dyn AsFd> = vec![&tcp, &unix];
        sockets.extend(six.as_ref().map(|six| six as &dyn AsFd));
        // A connection from before the start is served too.
        let mut early = Client::connect(tcp.local_addr().expect("bound"));
        early.ask("/file");
        let driver = case.driver.to_string();
        let process = activated(&sockets, "web:local", None, &["serve", text_of(&site), "--driver", &driver, "--workers", "2"]);
        assert_eq!(early.response().text(), "content");
        for _ in 0..20 {
            assert_eq!(Client::connect(tcp.local_addr().expect("bound")).get("/file").text(), "content");
        }
        assert!(get_unix(&path).ends_with("content"));
        if let Some(six) = &six {
            assert_eq!(Client::connect(six.local_addr().expect("bound")).get("/file").text(), "content");
        }
        process.signal(Signal::TERM);
        assert!(early.at_end());
        let ended = process.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        let address = format!("http://{}/", tcp.local_addr().expect("bound"));
        assert!(ended.output.contains(&address) && ended.output.contains("listening on unix:"), "{}", ended.output);
        // It is systemd's to remove.
        assert!(path.exists());
    }

    /// The cap holds for sockets handed over as well, and what is cut off at the deadline is told of.
    fn the_cap_and_the_deadline_hold(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = tcp.local_addr().expect("bound");
        let driver = case.driver.to_string();
        let arguments = ["serve", text_of(&site), "--driver", &driver, "--max-connections", "1", "--drain", "100ms"];
        let process = activated(&[&tcp], "web", None, &arguments);
        let mut first = Client::connect(address);
        // The head of the second request never ends.
        first.send(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\nGET /file HT");
        assert_eq!(first.response().text(), "content");
        assert_eq!(Client::connect(address).get("/file").head.status, 503);
        process.signal(Signal::TERM);
        let ended = process.wait();
        assert_eq!(ended.status.code(), Some(3), "{}", ended.errors);
        assert!(ended.errors.contains("1 connections did not end within"), "{}", ended.errors);
    }
}

#[test]
fn sockets_are_chosen_by_name_beside_bound_ones() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let process = activated(&[&other, &tcp], "other:mine", None, &["echo", "--addr", "systemd:mine", "--addr", "127.0.0.1:0"]);
    let mine = tcp.local_addr().expect("bound").to_string();
    assert!(process.output.wait_for(|line| line.contains(&mine).then_some(())).is_some(), "{}", process.errors.text());
    let bound = process.output.wait_for(|line| {
        let address = line.strip_prefix("listening on ")?;
        (address != mine).then(|| address.to_owned())
    });
    for address in [mine, bound.expect("announced")] {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        stream.write_all(b"salve").expect("it reads");
        let mut back = [0; 5];
        stream.read_exact(&mut back).expect("it answers");
        assert_eq!(&back, b"salve");
    }
    assert!(!process.output.text().contains(&other.local_addr().expect("bound").to_string()));
}

#[test]
fn what_can_not_be_taken_over_is_named() {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let table: &[(&dyn AsFd, &[&str], &[&str])] = &[
        (&udp, &["echo"], &["web", "descriptor 3", "not a listening stream socket", "ListenStream="]),
        (&tcp, &["echo", "--addr", "systemd:nobody"], &["systemd:nobody", "names are web", "FileDescriptorName="]),
    ];
    for (socket, arguments, words) in table {
        let ended = activated(&[*socket], "web", None, arguments).wait();
        assert!(ended.status.code().is_some_and(|code| code == 1 || code == 2), "{ended:?}");
        for word in *words {
            assert!(ended.errors.contains(word), "no {word:?} in {}", ended.errors);
        }
    }
    let ended = Process::start(Command::new(ostia()).args(["echo", "--addr", "systemd"])).wait();
    assert!(ended.status.code() == Some(2) && ended.errors.contains("no socket was handed over"), "{}", ended.errors);
}

#[test]
fn readiness_life_reload_and_the_end_are_told() {
    let site = Site::new();
    let path = site.path("notify");
    let told = UnixDatagram::bind(&path).expect("bound");
    told.set_read_timeout(Some(DEADLINE)).expect("set");
    let next = |wanted: &str| {
        let mut buffer = [0; 1024];
        for _ in 0..10_000 {
            let length = told.recv(&mut buffer).expect("told in time");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(wanted) {
                return text;
            }
            assert_eq!(text, "WATCHDOG=1", "instead of {wanted}");
        }
        panic!("never {wanted}");
    };
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let process = activated(&[&tcp], "web", Some(&path), &["serve", text_of(&site)]);
    next("READY=1");
    TcpStream::connect(tcp.local_addr().expect("bound")).expect("ready is ready");
    next("WATCHDOG=1");
    process.signal(Signal::HUP);
    let reloading = next("RELOADING=1");
    let when = reloading.split("MONOTONIC_USEC=").nth(1).and_then(|text| text.trim().parse::<u64>().ok());
    assert!(when.is_some_and(|when| when > 0), "{reloading}");
    next("READY=1");
    process.signal(Signal::TERM);
    next("STOPPING=1");
    assert_eq!(process.wait().status.code(), Some(0));
    assert!(eventually(|| TcpStream::connect(tcp.local_addr().expect("bound")).is_ok()));
}

#[test]
fn the_example_units_are_right() {
    let case =
        Case { name: concat!(module_path!(), "::the_example_units_are_right"), driver: crate::support::case::Driver::Auto };
    if !case.has("systemd-analyze") {
        return;
    }
    let folder = Site::new();
    let units = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd"));
    let mut paths = Vec::new();
    for name in ["ostia.service", "ostia.socket"] {
        let text = std::fs::read_to_string(units.join(name)).expect("it is there");
        // The program is not installed here.
        paths.push(folder.write(name, text.replace("/usr/bin/ostia", ostia().to_str().expect("text"))));
    }
    let ended =
        Process::start(Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).args(&paths)).wait();
    let about_us: Vec<&str> = ended.errors.lines().filter(|line| line.contains("ostia.")).collect();
    assert!(about_us.is_empty(), "{}", ended.errors);
}

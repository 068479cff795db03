//! Ends: SIGTERM while a download runs, and a link that is taken away.

use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;

use super::program::{BOTH, Running, echo, serve, spawn_serve};
use super::space::{Namespace, cable, in_namespace, ip, on_driver};
use crate::support::case::Driver;
use crate::support::http::Client;
use crate::support::process::{Ended, Process, ostia};
use crate::support::site::{Pattern, Site};
use crate::support::{eventually, seed};

const LENGTH: usize = 32 << 20;

/// A download in flight comes to its end after SIGTERM, idle connections end at once, new ones are refused.
#[test]
fn sigterm_drains() {
    in_namespace(concat!(module_path!(), "::sigterm_drains"), &[], |case| {
        let site = Site::new();
        let pattern = Pattern(seed(case.name));
        site.fill("big", pattern, LENGTH as u64);
        site.write("small", "content");
        let server = serve(case, site.root(), &BOTH);
        let address = "10.7.0.2:8080".parse().expect("an address");
        let mut idle = Client::connect(address);
        assert_eq!(idle.get("/small").text(), "content");
        let mut client = Client::connect(address);
        client.ask("/big");
        assert_eq!(client.head().status, 200);
        server.process.signal(Signal::TERM);
        assert!(idle.at_end());
        assert!(eventually(|| TcpStream::connect(address).is_err()), "still listening");
        assert!(pattern.is_at(0, &client.content(LENGTH)));
        assert!(client.at_end());
        server.ended_well();
    });
}

/// Who stops it and starts it again finds the device and the addresses free.
#[test]
fn it_can_be_started_again_at_once() {
    for (driver, name) in [
        (Driver::IoUring, concat!(module_path!(), "::it_can_be_started_again_at_once/io_uring")),
        (Driver::Epoll, concat!(module_path!(), "::it_can_be_started_again_at_once/epoll")),
    ] {
        on_driver(name, driver, &[], |case| {
            let site = Site::new();
            site.write("small", "content");
            for _ in 0..5 {
                let server = serve(case, site.root(), &["--network", "tun:mine", "--ip", "10.7.0.2/24", "--ip", "fd07::2/64"]);
                let mut client = Client::connect("10.7.0.2:8080".parse().expect("an address"));
                assert_eq!(client.get("/small").text(), "content");
                server.stop();
                assert!(!ip("link").contains("mine"), "the device has outlived its program");
            }
        });
    }
}

/// Its device is deleted under it while a download runs: it says so and ends, for it has nothing to serve on any more.
#[test]
fn a_deleted_tun_ends_the_server() {
    in_namespace(concat!(module_path!(), "::a_deleted_tun_ends_the_server"), &[], |case| {
        let site = Site::new();
        site.fill("big", Pattern(seed(case.name)), LENGTH as u64);
        let server = serve(case, site.root(), &BOTH);
        let mut client = Client::connect("10.7.0.2:8080".parse().expect("an address"));
        client.ask("/big");
        assert_eq!(client.head().status, 200);
        ip("link delete ostia0");
        told_of_a_lost_link(server, "ostia0");
    });
}

/// The same for one that has nothing to do, and for a packet socket's interface.
#[test]
fn a_deleted_interface_ends_an_idle_server() {
    in_namespace(concat!(module_path!(), "::a_deleted_interface_ends_an_idle_server"), &[], |case| {
        let far = Namespace::new();
        cable(("near", ""), &far, ("far", "10.8.0.1/24"));
        let server = echo(case, &["--network", "packet:near", "--ip", "10.8.0.2/24"]);
        ip("link delete near");
        told_of_a_lost_link(server, "near");
    });
}

/// Datagrams alone are no reason to stay either.
#[test]
fn a_deleted_tun_ends_an_echo_of_datagrams() {
    in_namespace(concat!(module_path!(), "::a_deleted_tun_ends_an_echo_of_datagrams"), &[], |case| {
        let server = echo(case, &["--network", "tun", "--addr", "udp://10.7.0.2:8080"]);
        ip("link delete ostia0");
        told_of_a_lost_link(server, "ostia0");
    });
}

/// And neither are pings, nor what there is to see.
#[test]
fn a_deleted_tun_ends_those_who_look_on() {
    in_namespace(concat!(module_path!(), "::a_deleted_tun_ends_those_who_look_on"), &[], |_| {
        for (words, begun) in [
            (&["ping", "10.7.0.1", "--interval", "500ms"][..], "bytes from 10.7.0.1"),
            (&["stack", "--watch", "200ms"], "ostia0"),
            (&["stack"], "ostia0"),
        ] {
            let process = Process::start(Command::new(ostia()).args(words).args(["--network", "tun"]));
            process.output.wait_for(|line| line.contains(begun).then_some(())).expect("it begins");
            ip("link delete ostia0");
            told_of_a_lost_link(Running { process }, "ostia0");
        }
    });
}

/// Who is asked to end before it has begun takes back what it has set on a device that stays.
#[test]
fn an_interrupted_start_leaves_nothing_behind() {
    in_namespace(concat!(module_path!(), "::an_interrupted_start_leaves_nothing_behind"), &[], |case| {
        let site = Site::new();
        ip("tuntap add dev mine mode tap");
        let before = ip("address show dev mine");
        for signal in [Signal::TERM, Signal::INT] {
            let both = ["--ip", "10.7.0.2/24", "--ip", "fd07::2/64", "--mtu", "1400"];
            let process = spawn_serve(case, site.root(), &[&["--network", "tap:mine"][..], &both].concat());
            // Its IPv6 address is nobody else's only after more than a second.
            assert!(eventually(|| ip("address show dev mine").contains("fd07::1")), "the kernel's side gets its addresses");
            process.signal(signal);
            let Ended { status, errors, .. } = process.wait();
            assert_eq!(status.code(), Some(130), "{errors}");
            assert!(errors.contains("interrupted"), "{errors}");
            assert_eq!(facts(&ip("address show dev mine")), facts(&before));
        }
    });
}

/// What `ip address` says of a device, but for its state, in which it may still be going down.
fn facts(told: &str) -> Vec<String> {
    let words = |line: &str| line.split_once(" qdisc").map_or(line, |(before, _)| before).trim().to_owned();
    told.lines().map(words).collect()
}

#[test]
fn a_capture_that_is_cut_short_is_work_done_in_part() {
    in_namespace(concat!(module_path!(), "::a_capture_that_is_cut_short_is_work_done_in_part"), &["unshare"], |case| {
        let (site, folder) = (Site::new(), Site::new());
        site.fill("big", Pattern(seed(case.name)), 1 << 20);
        let small = format!("mount -t tmpfs -o size=64k none {} && exec \"$@\"", folder.root().display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &small, "sh"]).arg(ostia()).arg("serve").arg(site.root());
        let capture = folder.root().join("capture");
        let server = Running::ready(Process::start(command.args(["--network", "tun", "--pcap"]).arg(capture)));
        let mut client = Client::connect("10.7.0.2:8080".parse().expect("an address"));
        assert_eq!(client.get("/big").body.len(), 1 << 20);
        server.process.signal(Signal::TERM);
        let Ended { status, errors, .. } = server.process.wait();
        assert_eq!(status.code(), Some(3), "{errors}");
        assert!(errors.contains("capture"), "{errors}");
    });
}

/// Who prints for ever ends when nobody reads it any more, and its device goes.
#[test]
fn those_whom_nobody_reads_end() {
    in_namespace(concat!(module_path!(), "::those_whom_nobody_reads_end"), &[], |_| {
        for words in ["ping 10.7.0.1 --interval 20ms", "stack --watch 20ms"] {
            let line = format!("{} {words} --network tun | head -2", ostia().display());
            let ended = Process::start(Command::new("sh").args(["-c", &line])).wait();
            assert!(ended.status.success() && !ended.errors.contains("panicked"), "{}", ended.errors);
            assert!(eventually(|| !ip("link").contains("ostia0")), "{words} goes on");
        }
    });
}

/// It must end by itself, as failed, and say why.
fn told_of_a_lost_link(server: Running, name: &str) {
    let Ended { status, errors, .. } = server.process.wait();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains(name) && errors.contains("gone") && !errors.contains("panicked"), "{errors}");
    assert!(errors.lines().count() < 10, "it says so again and again:\n{errors}");
}

//! What can't be set up is told with a remedy, before anything is served, and leaves nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::program::{serve, spawn_serve};
use super::space::{in_namespace, ip};
use crate::downloads::whole;
use crate::support::case::Case;
use crate::support::process::{Confinement, Process, ostia};
use crate::support::seed;
use crate::support::site::{Pattern, Site};

/// Hides /dev/net/tun in a mount namespace of its own.
const WITHOUT_TUN: &str = "mount -t tmpfs none /dev/net";

/// Runs a server that must end with this code and these words (each `a|b`: one of them), and leave no device.
fn fails(case: Case, site: &Site, arguments: &str, code: i32, words: &[&str]) {
    let words_given: Vec<&str> = arguments.split_whitespace().collect();
    says(spawn_serve(case, site.root(), &words_given), arguments, code, words);
}

fn says(process: Process, arguments: &str, code: i32, words: &[&str]) {
    let ended = process.wait();
    let errors = &ended.errors;
    assert_eq!(ended.status.code(), Some(code), "{arguments}: {errors}");
    for word in words {
        assert!(word.split('|').any(|word| errors.contains(word)), "{arguments}: no {word} in {errors}");
    }
    assert!(!errors.contains("panicked"), "{arguments}: {errors}");
    assert!(!ip("link").contains("ostia0"), "{arguments} leaves its device behind");
}

#[test]
fn addresses_and_mtus_that_cannot_be() {
    in_namespace(concat!(module_path!(), "::addresses_and_mtus_that_cannot_be"), &[], |case| {
        let site = Site::new();
        for (arguments, code, words) in [
            ("--network tun --ip nonsense", 2, &["nonsense", "--ip"][..]),
            ("--network tun --ip 10.7.0.2/33", 2, &["10.7.0.2/33", "32"]),
            ("--network tun --ip 0.0.0.0/8", 2, &["0.0.0.0", "10.7.0.2"]),
            ("--network tun --ip 255.255.255.255/8", 2, &["255.255.255.255"]),
            ("--network tun --ip 10.7.0.255/24", 2, &["10.7.0.255"]),
            ("--network tun --ip 224.0.0.1/24", 2, &["224.0.0.1"]),
            ("--network tun --ip 127.0.0.1/8", 2, &["127.0.0.1"]),
            ("--network tun --ip ::1/128", 2, &["::1"]),
            ("--network tun --ip fd07::2/64 --mtu 1279", 2, &["1279", "1280"]),
            ("--network tun --mtu 67", 2, &["67", "68"]),
            ("--network tun --mtu 65536", 2, &["65535"]),
            ("--network tap --mtu 65535", 2, &["65535", "65521"]),
            ("--network tun --gateway 192.0.2.1", 2, &["192.0.2.1", "gateway"]),
            ("--network tun --gateway fd07::1", 2, &["fd07::1", "gateway"]),
            ("--network tun --gateway 10.7.0.2", 2, &["10.7.0.2", "gateway"]),
            ("--network tun --gateway 10.7.0.255", 2, &["10.7.0.255", "gateway"]),
            ("--network tun --ip 10.7.0.2/0", 2, &["10.7.0.2/0", "too short"]),
            ("--network tun:a-name-that-is-too-long", 2, &["a-name-that-is-too-long", "15"]),
            ("--network tun:a/b", 2, &["a/b"]),
            ("--network wire", 2, &["wire", "tun"]),
            ("--network packet:nowhere --ip 10.8.0.2/24", 1, &["nowhere", "ip link"]),
            ("--network packet:lo", 2, &["lo", "--ip"]),
            ("--network tun --pcap /nonexistent/capture", 1, &["/nonexistent/capture", "--pcap"]),
            ("--network tun --addr 10.7.0.3:8080", 1, &["10.7.0.3", "of the stack", "--ip"]),
        ] {
            fails(case, &site, arguments, code, words);
        }
    });
}

#[test]
fn what_the_host_has_already() {
    in_namespace(concat!(module_path!(), "::what_the_host_has_already"), &[], |case| {
        let site = Site::new();
        ip("address add 10.7.0.2/32 dev lo");
        ip("address add 10.8.0.1/32 dev lo");
        ip("address add fd07::2/128 dev lo");
        ip("link add switch type bridge");
        ip("route add 192.0.2.1/32 dev lo");
        // The kernel would keep what is for the stack.
        fails(case, &site, "--network tun", 1, &["10.7.0.2", "lo"]);
        fails(case, &site, "--network tun --ip fd07::2/64", 1, &["fd07::2", "lo"]);
        fails(case, &site, "--network packet:switch --ip 10.7.0.2/24", 1, &["10.7.0.2", "lo"]);
        // Its own side's address is somewhere else.
        fails(case, &site, "--network tun --ip 10.8.0.2/24", 1, &["10.8.0.1", "lo", "ip address"]);
        fails(case, &site, "--network tun --ip 192.0.2.1", 1, &["192.0.2.1", "route"]);
        fails(case, &site, "--network tun:switch --ip 10.9.0.2/24", 1, &["switch"]);
    });
}

/// An address there would take the host's neighbours away from it.
#[test]
fn a_network_that_the_host_is_on() {
    in_namespace(concat!(module_path!(), "::a_network_that_the_host_is_on"), &["curl"], |case| {
        let site = Site::new();
        let expected = site.fill("file.bin", Pattern(seed(case.name)), 10_000);
        ip("link add lan type bridge");
        ip("address add 192.0.2.9/24 dev lan");
        ip("address add 2001:db8::9/64 dev lan nodad");
        ip("link set lan up");
        for address in ["192.0.2.10/24", "192.0.2.10/28", "2001:db8::10/64"] {
            let words = ["is in the network of lan", "packet:lan", "--host-ip"];
            fails(case, &site, &format!("--network tun --ip {address}"), 1, &words);
        }
        // One address of it goes to the stack, and no other.
        let server = serve(case, site.root(), &["--network", "tun", "--ip", "192.0.2.10/32"]);
        assert_eq!(whole("http://192.0.2.10:8080/file.bin"), expected);
        assert!(ip("route get 192.0.2.1").contains("lan"), "{}", ip("route get 192.0.2.1"));
        server.stop();
    });
}

/// What can still come right is no mistake, but told.
#[test]
fn an_interface_that_is_down() {
    in_namespace(concat!(module_path!(), "::an_interface_that_is_down"), &[], |_| {
        ip("link add near type veth peer name far");
        let mut command = Command::new(ostia());
        command.args([
            "ping",
            "10.8.0.1",
            "--network",
            "packet:near",
            "--ip",
            "10.8.0.2/24",
            "--count",
            "1",
            "--timeout",
            "100ms",
        ]);
        let ended = Process::start(&mut command).wait();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.errors);
        assert!(ended.errors.contains("near is down") && ended.errors.contains("ip link set near up"), "{}", ended.errors);
    });
}

#[test]
fn a_device_that_is_in_use() {
    in_namespace(concat!(module_path!(), "::a_device_that_is_in_use"), &["curl"], |case| {
        let site = Site::new();
        let expected = site.fill("file.bin", Pattern(seed(case.name)), 100_000);
        let first = serve(case, site.root(), &["--network", "tun:mine"]);
        fails(case, &site, "--network tun:mine --ip 10.9.0.2/24", 1, &["mine", "in use", "another name"]);
        fails(case, &site, "--network tap:mine --ip 10.9.0.2/24", 1, &["mine"]);
        // The first is none the worse, and a second one has a device and a network of its own.
        let second = serve(case, site.root(), &["--network", "tun", "--ip", "10.9.0.2/24"]);
        assert_eq!(whole("http://10.7.0.2:8080/file.bin"), expected);
        assert_eq!(whole("http://10.9.0.2:8080/file.bin"), expected);
        second.stop();
        first.stop();
    });
}

/// A user without the capability is told what to do; and what is told works.
#[test]
fn without_the_capability() {
    in_namespace(concat!(module_path!(), "::without_the_capability"), &["setpriv", "unshare", "curl"], |case| {
        // The build folder may be private.
        let folder = TempDir::new_in("/tmp").expect("a folder can be made");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("opened");
        let program = folder.path().join("ostia");
        fs::copy(ostia(), &program).expect("copied");
        let bytes = Pattern(seed(case.name)).bytes(100_000);
        fs::write(folder.path().join("file.bin"), &bytes).expect("written");
        let nobody = |mode: &str, arguments: &str| {
            let script = format!("{} && mknod -m {mode} /dev/net/tun c 10 200 && exec \"$@\"", WITHOUT_TUN);
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", &script, "sh"]);
            let inner = Confinement { nobody: true, ..Confinement::default() }.command(&program);
            command.arg(inner.get_program()).args(inner.get_args());
            command.arg("serve").arg(folder.path()).args(arguments.split_whitespace());
            Process::start(&mut command)
        };
        says(nobody("600", "--network tun"), "closed", 4, &["root", "chmod 666 /dev/net/tun"]);
        let nobody = |arguments: &str| nobody("666", arguments);
        let prepare = "ip tuntap add dev ostia0 mode tun user $USER";
        says(nobody("--network tun"), "tun", 4, &["cap_net_admin", "root", prepare]);
        says(nobody("--network tap"), "tap", 4, &["cap_net_admin", "mode tap"]);
        says(nobody("--network packet:lo --ip 10.8.0.2/24"), "packet", 4, &["cap_net_raw", "root"]);

        ip("tuntap add dev mine mode tun user nobody");
        says(nobody("--network tun:mine"), "tun:mine", 4, &["10.7.0.1/24", "ip address add 10.7.0.1/24 dev mine"]);
        ip("address add 10.7.0.1/24 dev mine");
        says(nobody("--network tun:mine"), "tun:mine", 4, &["ip link set mine up"]);
        ip("link set mine up");
        let server = nobody("--network tun:mine");
        server.output.wait_for(|line| line.starts_with("http://").then_some(())).expect("it listens");
        assert_eq!(whole("http://10.7.0.2:8080/file.bin"), crate::support::site::Sha::of([&bytes[..]]));
        server.signal(rustix::process::Signal::TERM);
        assert!(server.wait().status.success());
        assert!(ip("link").contains("mine"), "a device that persists stays");
    });
}

/// Containers have no /dev/net/tun unless they are given it.
#[test]
fn without_the_device_file() {
    in_namespace(concat!(module_path!(), "::without_the_device_file"), &["unshare"], |_| {
        let site = Site::new();
        let mut command = Command::new("unshare");
        let script = format!("{WITHOUT_TUN} && exec \"$@\"");
        command
            .args(["--mount", "sh", "-c", &script, "sh"])
            .arg(ostia())
            .arg("serve")
            .arg(site.root())
            .args(["--network", "tun"]);
        says(Process::start(&mut command), "tun", 1, &["/dev/net/tun", "modprobe tun"]);
    });
}

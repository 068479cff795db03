//! Network namespaces that tests make: one that a test runs in, and further ones beside it for peers of their own.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::support::case::{Case, Driver};
use crate::support::process::ostia;

/// Runs `test` in a network namespace of its own, with loopback up. Sockets, devices and programs that it starts are in there,
/// and with the last of them the namespace goes. Skipped for those who may not make one, and without these programs.
pub fn in_namespace(name: &'static str, programs: &[&str], test: impl FnOnce(Case) + Send + 'static) {
    on_driver(name, Driver::Auto, programs, test);
}

/// As [`in_namespace`], with a driver.
pub fn on_driver(name: &'static str, driver: Driver, programs: &[&str], test: impl FnOnce(Case) + Send + 'static) {
    let Some(case) = Case::begin(name, driver) else { return };
    if !rustix::process::geteuid().is_root() {
        return case.skip("not root");
    }
    if !Path::new("/dev/net/tun").exists() {
        return case.skip("no /dev/net/tun");
    }
    if !programs.iter().chain(&["ip"]).all(|program| case.has(program)) {
        return;
    }
    // Cargo builds it outside.
    ostia();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        if !leave() {
            return case.skip("no network namespace of its own (unshare is not allowed)");
        }
        ip("link set lo up");
        test(case);
    });
    if let Err(panic) = thread.expect("a thread starts").join() {
        std::panic::resume_unwind(panic);
    }
}

/// Moves this thread into a new network namespace; whether that is allowed.
fn leave() -> bool {
    // SAFETY: only this thread leaves its network namespace; no memory and no descriptors are concerned.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.is_ok()
}

/// A namespace beside the test's own.
pub struct Namespace(File);

impl Namespace {
    /// A new one, with loopback up.
    pub fn new() -> Namespace {
        let made = thread::spawn(|| {
            assert!(leave(), "it was allowed once");
            ip("link set lo up");
            File::open("/proc/thread-self/ns/net").expect("a namespace can be opened")
        });
        Namespace(made.join().expect("a namespace is made"))
    }

    /// What `ip link … netns` takes for it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs `work` in there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter a namespace");
            work()
        };
        match thread::scope(|scope| scope.spawn(inside).join()) {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// A cable: the interface `here` in this thread's namespace with one address, and `there` in another with its own. Both are up.
pub fn cable(here: (&str, &str), other: &Namespace, there: (&str, &str)) {
    ip(&format!("link add {} type veth peer name {} netns {}", here.0, there.0, other.path()));
    let set_up = |(name, address): (&str, &str)| {
        if !address.is_empty() {
            ip(&format!("address add {address} dev {name} nodad"));
        }
        ip(&format!("link set {name} up"));
    };
    set_up(here);
    other.within(|| set_up(there));
}

/// Runs ip(8); what it says.
pub fn ip(arguments: &str) -> String {
    told("ip", arguments)
}

/// Runs a program that must end well, with these words; what it says.
pub fn told(program: &str, arguments: &str) -> String {
    let output = run(program, arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Runs a program with these words, to its end.
pub fn run(program: &str, arguments: &str) -> Output {
    Command::new(program).args(arguments.split_whitespace()).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Pings an address with payloads of this size; every one must come back.
pub fn ping(address: &str, size: u32) {
    for _ in 0..3 {
        // One at a time: ping waits as long as it is told only for the first answer, and for a later one twice as long as that took.
        let said = told("ping", &format!("-n -c 1 -W 60 -s {size} {address}"));
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
}

//! What the tests with the kernel share: a network namespace of their own, a peer of the kernel's TCP/IP, and skipping.

#![allow(dead_code, reason = "each test uses a part")]

pub mod peer;

use std::process::Command;
use std::time::{Duration, Instant};

use ostia_link::Link;
use ostia_wire::Frame;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Reports that the test `name` (`test/part` for a part of it) can't run here.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED {name}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("OSTIA_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        // One write call per line: lines of tests that run at the same time do not mix.
        file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()))
            .expect("the list of skipped tests can be written");
    }
}

/// How long a test waits for what must come, before it fails rather than hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `test` on a thread in a network namespace of its own, which goes with it; skips it where that isn't allowed.
pub fn in_namespace(name: &'static str, test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if !rustix::process::geteuid().is_root() {
            return skip(name, "not root");
        }
        if Command::new("ip").arg("-V").output().is_err() {
            return skip(name, "no ip (iproute2) on the search path");
        }
        // SAFETY: only this thread leaves its network namespace, and no memory is concerned.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return skip(name, "no network namespace of its own (unshare is not allowed)");
        }
        test();
    });
    if let Err(panic) = thread.expect("a thread starts").join() {
        std::panic::resume_unwind(panic);
    }
}

/// The same, where TUN devices are needed.
pub fn in_namespace_with_tun(name: &'static str, test: impl FnOnce() + Send + 'static) {
    in_namespace(name, move || {
        if !std::path::Path::new("/dev/net/tun").exists() {
            return skip(name, "no /dev/net/tun");
        }
        test();
    });
}

/// Runs `ip` in the namespace of this thread, and returns what it says.
pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("ip runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "ip {arguments}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Takes frames until `done` says so of one, and returns it; fails if that takes too long.
pub fn receive_until(link: &mut dyn Link, mut done: impl FnMut(&mut dyn Link, &Frame) -> bool) -> Frame {
    let until = Instant::now() + PATIENCE;
    let mut frame = Frame::new(link.facts().frame_room());
    loop {
        while link.receive(&mut frame).expect("the link is there") {
            if done(link, &frame) {
                return frame;
            }
        }
        assert!(Instant::now() < until, "nothing more came; {:?}", link.statistics());
        let descriptor = link.descriptor().expect("a device has a descriptor");
        let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).expect("poll works");
    }
}

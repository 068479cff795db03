//! A network namespace of a test's own, which ends with it: devices can be made there, and nothing outside is touched.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::case::Case;

/// Has a namespace with loopback up and echo requests allowed to this group range, and keeps it until its input ends.
const HOLD: &str = "ip link set lo up && echo \"$1\" >/proc/sys/net/ipv4/ping_group_range && echo ready && exec cat";

/// A namespace.
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A new one. None where this machine has none, or no TUN devices; that is reported.
    pub fn new(case: &Case) -> Option<Namespace> {
        Namespace::with_groups(case, "0 2147483647")
    }

    /// A new one, in which these groups may send echo requests over the kernel's network.
    pub fn with_groups(case: &Case, groups: &str) -> Option<Namespace> {
        if !Path::new("/dev/net/tun").exists() {
            case.skip("no /dev/net/tun");
            return None;
        }
        if !["unshare", "nsenter", "ip"].iter().all(|program| case.has(program)) {
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", HOLD, "sh", groups]);
        let mut holder =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("unshare can be run");
        let mut line = String::new();
        let output = holder.stdout.take().expect("it is a pipe");
        // A shell that could not do it ends, and so does the line.
        let read = BufReader::new(output).read_line(&mut line);
        let namespace = Namespace { holder };
        if read.is_err() || line.trim() != "ready" {
            case.skip("no network namespace of its own (that needs root)");
            return None;
        }
        Some(namespace)
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.id()).into()
    }

    /// A command for a program in it, with one process id from start to end.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs a closure on a thread that is in it. Sockets made there belong to it, wherever they are used later.
    pub fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = std::fs::File::open(self.path()).expect("the holder lives");
        let thread = thread::spawn(move || {
            use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
            use std::os::fd::AsFd;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its input ends, and so does it; the namespace goes when nobody is in it any more.
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

//! The limits of Linux: descriptors, backlogs, inotify, io_uring, filters.

use super::{Finding, Verdict, connections};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// What was found out about this process and this machine. `None` is what could not be read.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Open descriptors: soft limit and hard limit (`None` within: no limit).
    pub descriptors: (Option<u64>, Option<u64>),
    /// Locked memory in bytes, soft limit; `None`: no limit.
    pub locked_memory: Option<u64>,
    /// `net.core.somaxconn`: longest backlog of a listener.
    pub backlog: Option<u64>,
    /// `net.ipv4.tcp_max_syn_backlog`.
    pub syn_backlog: Option<u64>,
    /// `fs.inotify.max_user_instances`.
    pub inotify_instances: Option<u64>,
    /// `fs.inotify.max_user_watches`.
    pub inotify_watches: Option<u64>,
    /// An inotify instance could be made.
    pub inotify_works: bool,
    /// `kernel.io_uring_disabled`: 0 allowed, 1 for the privileged and one group, 2 for nobody.
    pub uring_disabled: Option<u64>,
    /// Mode in /proc/self/status: 0 none, 1 strict, 2 filter.
    pub seccomp: Option<u64>,
    /// /proc is mounted.
    pub proc_mounted: bool,
    /// openat2 keeps look-ups beneath the root.
    pub openat2: bool,
    /// Workers that would run.
    pub workers: u64,
}

impl Facts {
    /// Looks at this process and this machine.
    pub fn gather() -> Facts {
        let nofile = getrlimit(Resource::Nofile);
        let root = crate::files::root::Root::open(std::path::Path::new("/"));
        Facts {
            descriptors: (nofile.current, nofile.maximum),
            locked_memory: getrlimit(Resource::Memlock).current,
            backlog: sysctl("net/core/somaxconn"),
            syn_backlog: sysctl("net/ipv4/tcp_max_syn_backlog"),
            inotify_instances: sysctl("fs/inotify/max_user_instances"),
            inotify_watches: sysctl("fs/inotify/max_user_watches"),
            inotify_works: crate::files::watch::Watcher::new().is_some(),
            uring_disabled: sysctl("kernel/io_uring_disabled"),
            seccomp: fs::read_to_string("/proc/self/status").ok().and_then(|status| seccomp(&status)),
            proc_mounted: fs::exists("/proc/self/fd").unwrap_or(false),
            openat2: root.is_ok_and(|root| root.is_guarded()),
            workers: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        }
    }

    /// Weighs each fact.
    pub fn weigh(&self) -> Vec<Finding> {
        vec![
            self.descriptors(),
            self.locked_memory(),
            self.backlog(),
            self.syn_backlog(),
            self.inotify(),
            self.uring_disabled(),
            self.seccomp(),
            self.openat2(),
        ]
    }

    fn descriptors(&self) -> Finding {
        let (soft, hard) = self.descriptors;
        // Soft limits are raised to the hard one at start, so only the hard one bites.
        let value = format!("{} now, {} at most", number(soft), number(hard));
        let (verdict, advice) = match hard {
            Some(hard) if hard < 4096 => (
                Verdict::Wrong,
                format!(
                    "connections beyond about {} must wait: raise it with LimitNOFILE= in a systemd unit, \
                     or `ulimit -Hn` as root",
                    connections(Some(hard))
                ),
            ),
            Some(hard) if hard < 65_536 => (
                Verdict::Limited,
                format!("enough for about {} connections: raise it with LimitNOFILE=, or `ulimit -Hn`", connections(Some(hard))),
            ),
            _ => (Verdict::Fine, String::new()),
        };
        Finding { name: "open descriptors", value, verdict, advice }
    }

    fn locked_memory(&self) -> Finding {
        // A ring of 4,096 completions with its queues, and a little for each worker's buffers; since
        // Linux 5.12 rings are no longer counted against it.
        let (verdict, advice) = match self.locked_memory {
            Some(bytes) if bytes < self.workers * (1 << 20) => (
                Verdict::Limited,
                "kernels before 5.12 count io_uring's queues against it: raise it with LimitMEMLOCK=, or `ulimit -l`".to_owned(),
            ),
            _ => (Verdict::Fine, String::new()),
        };
        let value = self.locked_memory.map_or("no limit".to_owned(), |bytes| format!("{} KiB", bytes >> 10));
        Finding { name: "locked memory", value, verdict, advice }
    }

    fn backlog(&self) -> Finding {
        let (verdict, advice) = match self.backlog {
            Some(n) if n < 1024 => (
                Verdict::Limited,
                "bursts of connects beyond it are refused or delayed by a second: `sysctl net.core.somaxconn=4096`".to_owned(),
            ),
            _ => (Verdict::Fine, String::new()),
        };
        Finding { name: "net.core.somaxconn", value: optional(self.backlog), verdict, advice }
    }

    fn syn_backlog(&self) -> Finding {
        let (verdict, advice) = match self.syn_backlog {
            Some(n) if n < 256 => (
                Verdict::Limited,
                "half-open connections beyond it need SYN cookies: `sysctl net.ipv4.tcp_max_syn_backlog=4096`".to_owned(),
            ),
            _ => (Verdict::Fine, String::new()),
        };
        Finding { name: "net.ipv4.tcp_max_syn_backlog", value: optional(self.syn_backlog), verdict, advice }
    }

    fn inotify(&self) -> Finding {
        let value = match self.inotify_works {
            true => format!("{} instances, {} watches", optional(self.inotify_instances), optional(self.inotify_watches)),
            false => "not to be had".to_owned(),
        };
        let (verdict, advice) = if !self.inotify_works || !self.proc_mounted {
            (
                Verdict::Limited,
                "every request for a cached file looks at the disk: raise fs.inotify.max_user_instances, and mount /proc"
                    .to_owned(),
            )
        } else if self.inotify_instances.is_some_and(|n| n < self.workers + 1) {
            (
                Verdict::Limited,
                format!("each of {} workers needs an instance: `sysctl fs.inotify.max_user_instances=128`", self.workers),
            )
        } else if self.inotify_watches.is_some_and(|n| n < 8192) {
            (
                Verdict::Limited,
                "files beyond it are looked at on disk at every request: `sysctl fs.inotify.max_user_watches=65536`".to_owned(),
            )
        } else {
            (Verdict::Fine, String::new())
        };
        Finding { name: "inotify", value, verdict, advice }
    }

    fn uring_disabled(&self) -> Finding {
        let advice = "epoll is used instead: `sysctl kernel.io_uring_disabled=0`";
        let (value, verdict, advice) = match self.uring_disabled {
            None => ("no such setting (before Linux 6.6)", Verdict::Fine, ""),
            Some(0) => ("0, allowed for all", Verdict::Fine, ""),
            Some(1) => ("1, allowed for the group in kernel.io_uring_group and CAP_SYS_ADMIN", Verdict::Limited, advice),
            Some(_) => ("2, allowed for nobody", Verdict::Limited, advice),
        };
        Finding { name: "kernel.io_uring_disabled", value: value.to_owned(), verdict, advice: advice.to_owned() }
    }

    fn seccomp(&self) -> Finding {
        let (value, verdict, advice) = match self.seccomp {
            None => ("unknown", Verdict::Fine, ""),
            Some(0) => ("none", Verdict::Fine, ""),
            Some(1) => ("strict", Verdict::Wrong, "no server can run under it"),
            Some(_) => (
                "filter",
                Verdict::Limited,
                "where the filter forbids io_uring (as Docker's does), epoll is used: allow io_uring_setup, \
                 io_uring_enter and io_uring_register in the container's seccomp profile",
            ),
        };
        Finding { name: "seccomp", value: value.to_owned(), verdict, advice: advice.to_owned() }
    }

    fn openat2(&self) -> Finding {
        let (value, verdict, advice) = match self.openat2 {
            true => ("yes", Verdict::Fine, ""),
            false => (
                "no",
                Verdict::Limited,
                "symbolic links are not followed: Linux 5.6 or later has openat2, unless a seccomp filter forbids it",
            ),
        };
        Finding { name: "openat2", value: value.to_owned(), verdict, advice: advice.to_owned() }
    }
}

/// Raises the soft limit of open descriptors to the hard one, which a process may; gives what it is
/// then. `None`: no limit.
pub fn raise_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

fn sysctl(path: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

fn seccomp(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?.trim().parse().ok()
}

fn number(limit: Option<u64>) -> String {
    limit.map_or("no limit".to_owned(), |n| n.to_string())
}

fn optional(value: Option<u64>) -> String {
    value.map_or("unknown".to_owned(), |n| n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roomy() -> Facts {
        Facts {
            descriptors: (Some(1024), Some(1 << 20)),
            locked_memory: None,
            backlog: Some(4096),
            syn_backlog: Some(4096),
            inotify_instances: Some(128),
            inotify_watches: Some(65_536),
            inotify_works: true,
            uring_disabled: Some(0),
            seccomp: Some(0),
            proc_mounted: true,
            openat2: true,
            workers: 2,
        }
    }

    fn verdict(facts: &Facts, name: &str) -> Verdict {
        let finding = facts.weigh().into_iter().find(|finding| finding.name == name).unwrap();
        assert_eq!(finding.advice.is_empty(), finding.verdict == Verdict::Fine, "{finding:?}");
        finding.verdict
    }

    #[test]
    fn a_roomy_machine_needs_nothing() {
        for finding in roomy().weigh() {
            assert_eq!(finding.verdict, Verdict::Fine, "{finding:?}");
        }
    }

    #[test]
    fn each_limit_is_noticed() {
        type Change = (&'static str, fn(&mut Facts), Verdict);
        let changes: [Change; 12] = [
            ("open descriptors", |f| f.descriptors.1 = Some(1024), Verdict::Wrong),
            ("open descriptors", |f| f.descriptors.1 = Some(20_000), Verdict::Limited),
            ("locked memory", |f| f.locked_memory = Some(64 << 10), Verdict::Limited),
            ("net.core.somaxconn", |f| f.backlog = Some(128), Verdict::Limited),
            ("net.ipv4.tcp_max_syn_backlog", |f| f.syn_backlog = Some(128), Verdict::Limited),
            ("inotify", |f| f.inotify_works = false, Verdict::Limited),
            ("inotify", |f| f.inotify_instances = Some(2), Verdict::Limited),
            ("inotify", |f| f.inotify_watches = Some(100), Verdict::Limited),
            ("kernel.io_uring_disabled", |f| f.uring_disabled = Some(2), Verdict::Limited),
            ("seccomp", |f| f.seccomp = Some(2), Verdict::Limited),
            ("seccomp", |f| f.seccomp = Some(1), Verdict::Wrong),
            ("openat2", |f| f.openat2 = false, Verdict::Limited),
        ];
        for (name, change, expected) in changes {
            let mut facts = roomy();
            change(&mut facts);
            assert_eq!(verdict(&facts, name), expected, "{facts:?}");
        }
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let facts = Facts::gather();
        assert!(facts.workers > 0);
        assert_eq!(facts.weigh().len(), 8);
        // What can't be read is no reason to alarm.
        let blind = Facts { inotify_works: true, proc_mounted: true, openat2: true, ..Facts::default() };
        assert_eq!(verdict(&blind, "net.core.somaxconn"), Verdict::Fine);
    }

    #[test]
    fn the_seccomp_mode_is_found() {
        assert_eq!(seccomp("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"), Some(2));
        assert_eq!(seccomp("Name:\tx\n"), None);
    }
}

//! This process in /proc.

use super::Process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Process {
    /// What /proc tells; nothing where it isn't mounted.
    pub(in crate::metrics) fn look() -> Process {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field, in parentheses, may hold spaces: proc_pid_stat(5).
        let fields: Vec<u64> = stat.rsplit(')').next().unwrap_or_default().split(' ').map(|n| n.parse().unwrap_or(0)).collect();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let field = |number: usize| fields.get(number - 2).copied();
        let booted = std::fs::read_to_string("/proc/uptime").ok().and_then(|text| {
            let up: f64 = text.split(' ').next()?.parse().ok()?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
            Some(now - up)
        });
        Process {
            start: booted.zip(field(22)).map(|(booted, start)| booted + start as f64 / ticks),
            cpu: field(14).zip(field(15)).map(|(user, system)| (user + system) as f64 / ticks),
            memory: field(24).map(|pages| pages * rustix::param::page_size() as u64),
            descriptors: std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            descriptor_limit: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        }
    }
}

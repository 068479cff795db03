//! The process as the system sees it: what the exporters' conventions call `process_*`.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

/// What is known of this process.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// When it was started, in seconds since the Unix epoch.
    pub(super) start: Option<f64>,
    /// Seconds of processor time, user and system.
    pub(super) cpu: Option<f64>,
    /// Resident bytes.
    pub(super) memory: Option<u64>,
    /// Open descriptors or handles.
    pub(super) descriptors: Option<u64>,
    /// Most that it may open.
    pub(super) descriptor_limit: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn this_process_can_be_looked_at() {
        let process = Process::look();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let start = process.start.unwrap();
        assert!(start < now + 1.0 && start > now - 366.0 * 86400.0, "{start} {now}");
        // Wine counts neither memory nor handles.
        let counted = |number: Option<u64>, least| number.map_or(cfg!(windows), |number| number >= least);
        assert!(counted(process.memory, 100_000) && counted(process.descriptors, 3), "{process:?}");
    }
}

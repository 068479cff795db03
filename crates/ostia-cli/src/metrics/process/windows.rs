//! This process as Windows counts it.

use super::Process;
use ostia_port::os::process_usage;
use std::time::UNIX_EPOCH;

impl Process {
    /// What Windows tells.
    pub(in crate::metrics) fn look() -> Process {
        let usage = process_usage();
        Process {
            start: usage.started.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs_f64()),
            cpu: Some(usage.cpu.as_secs_f64()),
            memory: usage.resident,
            descriptors: usage.handles,
            descriptor_limit: None,
        }
    }
}

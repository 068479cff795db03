//! This process as Windows counts it.

use super::Process;
use ostia_port::os::process_usage;
use std::time::UNIX_EPOCH;

impl Process {
    /// What Windows tells.
    pub(in crate::metrics) fn look() -> Process {
        let Ok(usage) = process_usage() else { return Process::default() };
        // Wine says 0 of what it doesn't count.
        let counted = |number: Option<u64>| number.filter(|number| *number > 0);
        Process {
            start: usage.started.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs_f64()),
            cpu: Some(usage.cpu.as_secs_f64()),
            memory: counted(usage.resident),
            descriptors: counted(usage.handles),
            descriptor_limit: None,
        }
    }
}

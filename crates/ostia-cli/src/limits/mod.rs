//! The limits that a server meets, what they will do to it, and how to raise them.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{Facts, raise_descriptors};
#[cfg(windows)]
pub use windows::{Facts, raise_descriptors};

/// How a finding bears on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do.
    Fine,
    /// Works, with less than could be.
    Limited,
    /// Something will fail.
    Wrong,
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// What it is.
    pub value: String,
    /// How it bears on a server.
    pub verdict: Verdict,
    /// What it will do, and what to change; empty when fine.
    pub advice: String,
}

/// How many connections a limit of open descriptors is enough for: a part is left for files, rings
/// and pipes.
pub fn connections(descriptors: Option<u64>) -> usize {
    const MOST: u64 = 1 << 20;
    let limit = descriptors.unwrap_or(MOST).min(MOST);
    (limit.saturating_sub(files(descriptors) as u64 + 64) as usize).max(1)
}

/// How many cached files may be held open in all workers together, for a limit of open descriptors.
pub fn files(descriptors: Option<u64>) -> usize {
    (descriptors.unwrap_or(u64::MAX) / 4).clamp(1, 8192) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_between_connections_and_files() {
        assert_eq!((files(Some(1024)), connections(Some(1024))), (256, 704));
        assert_eq!((files(Some(0)), connections(Some(0))), (1, 1));
        assert_eq!(files(None), 8192);
        assert!(connections(None) > 1_000_000);
    }
}

//! Which ranges of files were found in the page cache a moment ago, so that a file sent again and again is not looked up
//! again and again.

use crate::handle::Handle;

/// How long a finding is trusted, in nanoseconds. Pages that are in use are not evicted that fast unless somebody asks for
/// it, and what is evicted all the same makes one send wait for the disk, as it would between any look-up and its send.
const TRUSTED: u64 = 100_000_000;
/// Findings that are kept; a power of two.
const PLACES: usize = 64;

/// A run of bytes found warm, and when the first of them was.
#[derive(Clone, Copy)]
struct Run {
    file: u64,
    from: u64,
    to: u64,
    since: u64,
}

const NOTHING: Run = Run { file: u64::MAX, from: 0, to: 0, since: 0 };

/// The findings, each at the place that its file's number gives it.
pub(in crate::port) struct Known {
    runs: Box<[Run; PLACES]>,
}

impl Known {
    pub(in crate::port) fn new() -> Known {
        Known { runs: Box::new([NOTHING; PLACES]) }
    }

    /// How many bytes of `file` from `offset` were found warm lately.
    pub(in crate::port) fn known(&self, file: Handle, offset: u64, now: u64) -> u64 {
        let run = &self.runs[file.index() % PLACES];
        let holds = run.file == file.to_bits() && run.from <= offset && now.saturating_sub(run.since) < TRUSTED;
        if holds { run.to.saturating_sub(offset) } else { 0 }
    }

    /// Notes that a range has been found warm just now.
    pub(in crate::port) fn found(&mut self, file: Handle, offset: u64, len: u64, now: u64) {
        let run = &mut self.runs[file.index() % PLACES];
        if run.file == file.to_bits() && run.to == offset && now.saturating_sub(run.since) < TRUSTED {
            run.to = offset + len;
        } else {
            *run = Run { file: file.to_bits(), from: offset, to: offset + len, since: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_grow_end_to_end_and_are_forgotten() {
        let (file, reused) = (Handle { index: 3, generation: 1 }, Handle { index: 3, generation: 3 });
        let mut warm = Known::new();
        assert_eq!(warm.known(file, 0, 5), 0);
        warm.found(file, 0, 100, 5);
        warm.found(file, 100, 50, 6);
        assert_eq!((warm.known(file, 0, 7), warm.known(file, 120, 7), warm.known(file, 150, 7)), (150, 30, 0));
        assert_eq!(warm.known(reused, 0, 7), 0, "the place has another user");
        assert_eq!(warm.known(file, 0, 5 + TRUSTED), 0, "as old as its oldest part");
        warm.found(file, 150, 10, 5 + TRUSTED);
        assert_eq!((warm.known(file, 0, 5 + TRUSTED), warm.known(file, 150, 5 + TRUSTED)), (0, 10));
        warm.found(file, 500, 10, 5 + TRUSTED);
        assert_eq!(warm.known(file, 150, 5 + TRUSTED), 0, "a gap begins a new run");
    }
}

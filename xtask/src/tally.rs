//! Counting: what test runners print, and what tests say they skipped, summed to one line.

use std::collections::BTreeSet;
use std::fmt;

/// A test that did not run, or a part of one (`name/part`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skip {
    /// The test, or `test/part`.
    pub name: String,
    /// Why it could not run here.
    pub reason: String,
}

/// The sum over runners.
#[derive(Debug, Default)]
pub struct Tally {
    label: Option<String>,
    passed: u64,
    failed: u64,
    skipped: Vec<Skip>,
    failures: Vec<String>,
}

/// What one runner printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// Whether a runner said what it came to.
    verdict: bool,
    passed: u64,
    failed: u64,
    ignored: Vec<Skip>,
    failures: Vec<String>,
}

impl Printed {
    /// Takes in one line of a libtest runner's output. Other lines count for nothing.
    pub fn line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.verdict = true;
            self.passed += count_before(counts, " passed");
            self.failed += count_before(counts, " failed");
        } else if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
            if verdict == "FAILED" {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = verdict.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                self.ignored
                    .push(Skip { name: name.to_owned(), reason: if reason.is_empty() { "ignored" } else { reason }.to_owned() });
            }
        }
    }
}

/// The number that stands directly before `word`.
fn count_before(text: &str, word: &str) -> u64 {
    text.find(word)
        .and_then(|end| text[..end].rsplit(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// The lines `SKIPPED name: reason` in what tests appended to the file of `OSTIA_SKIPPED`.
pub fn read_skips(text: &str) -> BTreeSet<Skip> {
    text.lines()
        .filter_map(|line| line.strip_prefix("SKIPPED "))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, reason)| Skip { name: name.to_owned(), reason: reason.to_owned() })
        .collect()
}

impl Tally {
    /// Gives the sum a name, which its closing line then begins with.
    pub fn label(&mut self, label: &str) {
        self.label = Some(label.to_owned());
    }

    /// Adds a runner's output, the tests it skipped, and whether it ended well.
    ///
    /// A test that skipped itself has returned, and its runner counted it as passed: that
    /// is taken back here. A runner that failed without naming a failure (it did not
    /// build, was killed, ran out of time) is one failure of its own, and so is one without a verdict: a crash under
    /// Wine may look like success, for of an exit code only eight bits are handed on.
    pub fn add(&mut self, runner: &str, printed: Printed, skips: BTreeSet<Skip>, ended_well: bool) {
        let whole = skips.iter().filter(|skip| !skip.name.contains('/')).count() as u64;
        self.passed += printed.passed.saturating_sub(whole);
        self.failed += printed.failed;
        self.failures.extend(printed.failures.into_iter().map(|name| format!("{runner}: {name}")));
        if !(ended_well && printed.verdict) && printed.failed == 0 {
            self.failed += 1;
            self.failures.push(format!("{runner}: did not run to its end"));
        }
        self.skipped.extend(printed.ignored);
        self.skipped.extend(skips);
    }

    /// Adds a whole runner that could not be started.
    pub fn skip_runner(&mut self, runner: &str, reason: &str) {
        self.skipped.push(Skip { name: runner.to_owned(), reason: reason.to_owned() });
    }

    /// Adds another sum; its tests keep its label.
    pub fn absorb(&mut self, other: Tally) {
        let label = other.label.map(|label| format!("{label}: ")).unwrap_or_default();
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures.into_iter().map(|failure| format!("{label}{failure}")));
        let labelled = |skip: Skip| Skip { name: format!("{label}{}", skip.name), ..skip };
        self.skipped.extend(other.skipped.into_iter().map(labelled));
    }

    /// Whether nothing failed and something was run.
    pub fn succeeded(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

/// The failures, the skipped tests, and the closing line.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "FAILED  {failure}")?;
        }
        for skip in &self.skipped {
            writeln!(f, "SKIPPED {}: {}", skip.name, skip.reason)?;
        }
        if let Some(label) = &self.label {
            write!(f, "{label}: ")?;
        }
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Printed {
        let mut printed = Printed::default();
        text.lines().for_each(|line| printed.line(line));
        printed
    }

    #[test]
    fn results_of_several_binaries_are_summed() {
        let printed = printed(
            "test a ... ok\n\
             test b ... FAILED\n\
             test c ... ignored, needs two machines\n\
             test d ... ignored\n\
             test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out\n\
             test result: ok. 30 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!((printed.passed, printed.failed), (42, 1));
        assert_eq!(printed.failures, ["b"]);
        assert_eq!(printed.ignored.len(), 2);
        assert_eq!(printed.ignored[0].reason, "needs two machines");
        assert_eq!(printed.ignored[1].reason, "ignored");
    }

    #[test]
    fn a_skipped_test_is_not_counted_as_passed_but_a_part_is_no_test() {
        let skips = read_skips(
            "SKIPPED wrk: no wrk on the search path\n\
             SKIPPED wrk: no wrk on the search path\n\
             SKIPPED masks/bundles: this kernel has none\n\
             noise\n",
        );
        let mut tally = Tally::default();
        tally.add("tests", printed("test result: ok. 5 passed; 0 failed;"), skips, true);
        assert!(tally.succeeded());
        assert!(tally.to_string().ends_with("\n4 passed, 0 failed, 2 skipped"));
    }

    #[test]
    fn a_runner_that_dies_without_a_verdict_is_a_failure() {
        let mut tally = Tally::default();
        tally.add("tests", printed("test result: ok. 5 passed; 0 failed;"), BTreeSet::new(), false);
        assert!(!tally.succeeded());
        assert!(tally.to_string().ends_with("5 passed, 1 failed, 0 skipped"));
    }

    #[test]
    fn a_runner_without_a_verdict_has_failed_even_if_it_ended_well() {
        let mut tally = Tally::default();
        tally.add("tests", printed("test a ... ok\n"), BTreeSet::new(), true);
        assert!(tally.to_string().ends_with("0 passed, 1 failed, 0 skipped"));
    }

    #[test]
    fn a_part_has_a_sum_of_its_own_and_is_in_the_whole() {
        let mut part = Tally::default();
        part.label("windows");
        part.add("udp", printed("test b ... FAILED\ntest result: FAILED. 4 passed; 1 failed;"), BTreeSet::new(), false);
        part.skip_runner("unix", "no such sockets");
        assert!(part.to_string().ends_with("\nwindows: 4 passed, 1 failed, 1 skipped"));
        let mut whole = Tally::default();
        whole.add("tests", printed("test result: ok. 5 passed; 0 failed;"), BTreeSet::new(), true);
        whole.absorb(part);
        let expected = "FAILED  windows: udp: b\nSKIPPED windows: unix: no such sockets\n9 passed, 1 failed, 1 skipped";
        assert_eq!(whole.to_string(), expected);
    }

    #[test]
    fn a_run_of_nothing_is_no_success() {
        assert!(!Tally::default().succeeded());
    }
}

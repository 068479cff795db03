//! `ostia doctor`: which driver would run and why, what the kernel can do, which limits will bite,
//! and what to change.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use crate::args::DoctorArgs;
use crate::errors::Failure;
use crate::limits::{Facts, Finding, Verdict};
use ostia_port::DriverKind;
use serde_json::json;
use std::fmt::Write as _;

/// Examines this machine and prints what it finds.
///
/// # Errors
/// When no driver at all can be had, or a demanded one can't.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let report = Report { system: system::name(), driver: system::examine(args.driver)?, facts: Facts::gather() };
    crate::output::print(report.render().trim_end(), || report.object());
    Ok(())
}

/// The driver that a port got.
#[derive(Clone, Debug)]
struct Found {
    kind: DriverKind,
    /// Why it is this one.
    because: String,
    /// What it could make use of, and whether that is there; may be nothing.
    features: Vec<(&'static str, bool)>,
}

struct Report {
    system: String,
    driver: Found,
    facts: Facts,
}

/// Width of the first column.
const NAMES: usize = 32;

impl Report {
    fn render(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "ostia {} on {}, {} processors\n", env!("CARGO_PKG_VERSION"), self.system, self.facts.workers);
        self.driver(&mut text);
        self.features(&mut text);
        self.limits(&mut text);
        text
    }

    /// The same as an object: `version`, `system`, `processors`, `driver`, `because`, `features` (name to whether it is in
    /// use), and `findings` (`name`, `value`, `verdict`: fine, limited or wrong, `advice`).
    fn object(&self) -> serde_json::Value {
        let features: serde_json::Map<_, _> =
            self.driver.features.iter().map(|(name, found)| ((*name).to_owned(), (*found).into())).collect();
        let finding = |finding: Finding| {
            let verdict = match finding.verdict {
                Verdict::Fine => "fine",
                Verdict::Limited => "limited",
                Verdict::Wrong => "wrong",
            };
            json!({ "name": finding.name, "value": finding.value, "verdict": verdict, "advice": finding.advice })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "system": self.system,
            "processors": self.facts.workers,
            "driver": self.driver.kind.to_string(),
            "because": self.driver.because,
            "features": features,
            "findings": self.facts.weigh().into_iter().map(finding).collect::<Vec<_>>(),
        })
    }

    fn driver(&self, text: &mut String) {
        let _ = writeln!(text, "{:NAMES$}{}", "driver", self.driver.kind);
        let _ = writeln!(text, "{:NAMES$}{}\n", "  because", self.driver.because);
    }

    fn features(&self, text: &mut String) {
        if self.driver.features.is_empty() {
            return;
        }
        let _ = writeln!(text, "{}", system::FEATURES);
        for (name, found) in &self.driver.features {
            let (mark, found) = match found {
                true => ("+", "yes"),
                false => ("-", system::ABSENT),
            };
            let _ = writeln!(text, "{:NAMES$}{found}", format!("{mark} {name}"));
        }
        text.push('\n');
    }

    fn limits(&self, text: &mut String) {
        let _ = writeln!(text, "limits and surroundings");
        let findings = self.facts.weigh();
        for finding in &findings {
            let mark = match finding.verdict {
                Verdict::Fine => "+",
                Verdict::Limited => "!",
                Verdict::Wrong => "-",
            };
            let _ = writeln!(text, "{:NAMES$}{}", format!("{mark} {}", finding.name), finding.value);
        }
        let advice: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Fine).collect();
        if advice.is_empty() {
            let _ = writeln!(text, "\nnothing needs to be changed");
            return;
        }
        let _ = writeln!(text, "\nwhat to change");
        for finding in advice {
            let _ = writeln!(text, "! {}: {}", finding.name, finding.advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_stand_with_their_marks_or_not_at_all() {
        let report = |features| {
            let driver = Found { kind: DriverKind::Iocp, because: "why not".into(), features };
            Report { system: "Somewhere 1".into(), driver, facts: Facts::default() }
        };
        let with = report(vec![("one", true), ("other", false)]);
        let text = with.render();
        assert!(text.contains("driver                          iocp\n  because                       why not\n"), "{text}");
        assert!(text.contains("\n+ one") && text.contains("\n- other") && text.contains(system::FEATURES), "{text}");
        let object = with.object();
        assert_eq!((&object["features"]["one"], &object["features"]["other"]), (&true.into(), &false.into()));
        assert!(!report(Vec::new()).render().contains(system::FEATURES));
    }

    #[test]
    fn this_machine_has_a_driver() {
        assert!(!system::name().is_empty());
        let found = system::examine(Default::default()).unwrap();
        assert!(!found.because.is_empty());
    }
}

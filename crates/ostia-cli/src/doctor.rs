//! `ostia doctor`: which driver would run and why, what the kernel can do, which limits will bite,
//! and what to change.

use crate::args::{DoctorArgs, Driver};
use crate::errors::Failure;
use crate::limits::{Facts, Verdict};
use ostia_port::{Config, DriverKind, Features, Port};
use serde_json::json;
use std::fmt::Write as _;

/// Examines this machine and prints what it finds.
///
/// # Errors
/// When no driver at all can be had, or a demanded one can't.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let report = Report { system: system(), driver: examine(args.driver)?, facts: Facts::gather() };
    crate::output::print(report.render().trim_end(), || report.object());
    Ok(())
}

/// The driver that a port got.
#[derive(Clone, Debug)]
struct Found {
    kind: DriverKind,
    asked: Driver,
    /// Features of io_uring in use.
    features: Features,
    /// Why io_uring can't be used, if it can't.
    why_not_uring: Option<String>,
}

fn examine(asked: Driver) -> Result<Found, Failure> {
    let config = Config { driver: asked.into(), ..Config::default() };
    let port = Port::with(config).map_err(|error| Failure::start(&error))?;
    Ok(Found {
        kind: port.driver(),
        asked,
        features: port.features(),
        why_not_uring: ostia_port::why_not_uring().map(|error| error.to_string()),
    })
}

fn system() -> String {
    let name = rustix::system::uname();
    format!("{} {}, {}", name.sysname().to_string_lossy(), name.release().to_string_lossy(), name.machine().to_string_lossy())
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
        let features: serde_json::Map<_, _> = match self.driver.kind {
            DriverKind::IoUring => Features::all()
                .iter()
                .map(|(feature, name)| (name.to_owned(), self.driver.features.contains(feature).into()))
                .collect(),
            _ => serde_json::Map::new(),
        };
        let finding = |finding: crate::limits::Finding| {
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
            "because": self.because(),
            "features": features,
            "findings": self.facts.weigh().into_iter().map(finding).collect::<Vec<_>>(),
        })
    }

    fn because(&self) -> String {
        let driver = &self.driver;
        match (driver.asked, driver.kind, &driver.why_not_uring) {
            (Driver::Auto, DriverKind::IoUring, _) => "io_uring works here and is the faster of the two".to_owned(),
            (Driver::Auto, DriverKind::Epoll, Some(why)) => why.clone(),
            (Driver::Auto, DriverKind::Epoll, None) => {
                "io_uring can be set up, but lacks something a server needs (before Linux 5.11)".to_owned()
            }
            (Driver::Auto, DriverKind::Iocp | DriverKind::Kqueue, _) => "it is this system's".to_owned(),
            (Driver::IoUring | Driver::Epoll, _, _) => "--driver asked for it".to_owned(),
        }
    }

    fn driver(&self, text: &mut String) {
        let _ = writeln!(text, "{:NAMES$}{}", "driver", self.driver.kind);
        let because = self.because();
        let _ = writeln!(text, "{:NAMES$}{because}\n", "  because");
    }

    fn features(&self, text: &mut String) {
        if self.driver.kind != DriverKind::IoUring {
            return;
        }
        let _ = writeln!(text, "features of io_uring, found by trying");
        for (feature, name) in Features::all().iter() {
            let (mark, found) = match self.driver.features.contains(feature) {
                true => ("+", "yes"),
                false => ("-", "no, or not with the others"),
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

    fn report(kind: DriverKind, why: Option<&str>) -> String {
        let features = Features::BUFFER_RING | Features::MULTISHOT_RECV;
        let driver = Found { kind, asked: Driver::Auto, features, why_not_uring: why.map(str::to_owned) };
        let facts = Facts { inotify_works: true, proc_mounted: true, openat2: true, workers: 2, ..Facts::default() };
        Report { system: "Linux 6.18, x86_64".into(), driver, facts }.render()
    }

    #[test]
    fn the_driver_comes_first_with_its_reason() {
        let text = report(DriverKind::IoUring, None);
        let line = text.lines().find(|line| line.contains("driver")).unwrap();
        assert!(line.starts_with("driver ") && line.ends_with(" io_uring"), "{line}");
        assert!(text.contains("+ buffer_ring") && text.contains("- send_zc"));
        assert!(text.ends_with("nothing needs to be changed\n"));
    }

    #[test]
    fn a_forbidden_ring_is_explained_and_its_features_left_out() {
        let text = report(DriverKind::Epoll, Some("a seccomp filter forbids io_uring"));
        assert!(text.contains("  because                       a seccomp filter forbids io_uring\n"), "{text}");
        assert!(!text.contains("buffer_ring"));
    }

    #[test]
    fn what_bites_is_listed_with_its_remedy() {
        let driver = Found { kind: DriverKind::Epoll, asked: Driver::Epoll, features: Features::none(), why_not_uring: None };
        let facts = Facts { descriptors: (Some(100), Some(100)), ..Facts::default() };
        let text = Report { system: "Linux".into(), driver, facts }.render();
        assert!(text.contains("- open descriptors") && text.contains("! open descriptors: "), "{text}");
    }

    #[test]
    fn this_machine_has_a_driver() {
        assert_eq!(examine(Driver::Epoll).unwrap().kind, DriverKind::Epoll);
        assert!(examine(Driver::Auto).is_ok());
    }
}

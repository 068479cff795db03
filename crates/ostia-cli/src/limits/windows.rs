//! What Windows, and Wine in its place, do to a server.

use super::{Finding, Verdict};
use ostia_port::os::{windows_version, wine_version};

/// The first build of Windows 10, for which this program is made at the least.
const FIRST_BUILD: u32 = 10_240;

/// What was found out about this machine.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Major and minor version, and build.
    pub windows: (u32, u32, u32),
    /// The version of Wine, if it is Wine.
    pub wine: Option<String>,
    /// Workers that would run.
    pub workers: u64,
}

impl Facts {
    /// Looks at this machine.
    pub fn gather() -> Facts {
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        Facts { windows: windows_version(), wine: wine_version(), workers }
    }

    /// Weighs each fact.
    pub fn weigh(&self) -> Vec<Finding> {
        vec![self.version(), self.wine(), Facts::handles(), Facts::changes()]
    }

    fn version(&self) -> Finding {
        let (major, minor, build) = self.windows;
        // Wine says whatever it is set to, and is the same in any case.
        let (verdict, advice) = match build >= FIRST_BUILD || self.wine.is_some() {
            true => (Verdict::Fine, String::new()),
            false => (Verdict::Wrong, "Windows 10, Windows Server 2016 or newer is needed".to_owned()),
        };
        Finding { name: "version", value: format!("{major}.{minor}.{build}"), verdict, advice }
    }

    fn wine(&self) -> Finding {
        let (value, verdict, advice) = match &self.wine {
            None => ("no".to_owned(), Verdict::Fine, ""),
            Some(version) => (
                version.clone(),
                Verdict::Limited,
                "it carries TransmitFile and completion ports out by other means, and follows no symbolic link of the Unix side: \
                 serve with the program made for Linux there",
            ),
        };
        Finding { name: "Wine", value, verdict, advice: advice.to_owned() }
    }

    fn handles() -> Finding {
        // About 16 million for a process; memory ends before.
        Finding { name: "open handles", value: "no limit to speak of".to_owned(), verdict: Verdict::Fine, advice: String::new() }
    }

    fn changes() -> Finding {
        let value = "a cached file is compared with the disk whenever it is asked for".to_owned();
        Finding { name: "changes of files", value, verdict: Verdict::Fine, advice: String::new() }
    }
}

/// There is no limit to be raised: `None`.
pub fn raise_descriptors() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_windows_and_wine_are_told_of() {
        let verdicts = |facts: Facts| facts.weigh().iter().map(|one| one.verdict).collect::<Vec<_>>();
        let fine = Facts { windows: (10, 0, 19_045), wine: None, workers: 2 };
        assert!(verdicts(fine.clone()).iter().all(|verdict| *verdict == Verdict::Fine));
        assert_eq!(verdicts(Facts { windows: (6, 3, 9600), ..fine.clone() })[0], Verdict::Wrong);
        let wine = Facts { wine: Some("8.0".into()), windows: (6, 1, 7601), ..fine };
        assert_eq!(verdicts(wine.clone())[..2], [Verdict::Fine, Verdict::Limited]);
        assert!(wine.weigh().iter().all(|one| one.advice.is_empty() == (one.verdict == Verdict::Fine)));
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let facts = Facts::gather();
        assert!(facts.workers > 0 && facts.windows.0 > 0);
    }
}

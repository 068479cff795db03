//! One test on each driver, and tests that can't run here.

use std::env;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

/// What `--driver` is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The kernel's completion queue.
    IoUring,
    /// Readiness, for kernels and containers without io_uring.
    Epoll,
    /// Whatever `ostia` chooses.
    Auto,
}

/// The name as the command line has it.
impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::IoUring => "io_uring",
            Driver::Epoll => "epoll",
            Driver::Auto => "auto",
        })
    }
}

/// A running test: its name, and the driver it is about.
#[derive(Clone, Copy)]
pub struct Case {
    /// The path of the test, as the runner prints it.
    pub name: &'static str,
    /// The driver to serve on.
    pub driver: Driver,
}

impl Case {
    /// A case that runs, or nothing if this machine lacks the driver; that is reported.
    pub fn begin(name: &'static str, driver: Driver) -> Option<Case> {
        let case = Case { name, driver };
        if driver == Driver::IoUring
            && let Some(error) = io_uring_error()
        {
            case.skip(&format!("io_uring is not to be had here: {error}"));
            return None;
        }
        Some(case)
    }

    /// Whether a program is on the search path; if not, the test is reported as skipped.
    pub fn has(&self, program: &str) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        let found =
            env::split_paths(&path).chain([Path::new("/usr/sbin").to_path_buf()]).any(|folder| folder.join(program).is_file());
        if !found {
            self.skip(&format!("no {program} on the search path"));
        }
        found
    }

    /// Reports that this test can't run here (see CONTRIBUTING.md).
    pub fn skip(&self, reason: &str) {
        self.report(self.name, reason);
    }

    /// Reports that a part of this test can't run here.
    pub fn skip_part(&self, part: &str, reason: &str) {
        self.report(&format!("{}/{part}", self.name), reason);
    }

    fn report(&self, name: &str, reason: &str) {
        let line = format!("SKIPPED {name}: {reason}\n");
        eprint!("{line}");
        if let Some(path) = env::var_os("OSTIA_SKIPPED") {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped tests can be written");
        }
    }
}

/// Why a ring can't be made on this machine, tried once.
fn io_uring_error() -> Option<&'static str> {
    static ERROR: OnceLock<Option<String>> = OnceLock::new();
    ERROR.get_or_init(|| io_uring::IoUring::new(8).err().map(|e| e.to_string())).as_deref()
}

/// Makes of `fn name(case: Case) { … }` the tests `name::on_io_uring` and `name::on_epoll`.
macro_rules! on_both_drivers {
    ($($(#[$attribute:meta])* fn $name:ident($case:ident: Case) $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;
            use crate::support::case::{Case, Driver};

            fn check($case: Case) $body

            #[test]
            fn on_io_uring() {
                let name = concat!(module_path!(), "::on_io_uring");
                if let Some(case) = Case::begin(name, Driver::IoUring) {
                    check(case);
                }
            }

            #[test]
            fn on_epoll() {
                let name = concat!(module_path!(), "::on_epoll");
                if let Some(case) = Case::begin(name, Driver::Epoll) {
                    check(case);
                }
            }
        }
    )+};
}
pub(crate) use on_both_drivers;

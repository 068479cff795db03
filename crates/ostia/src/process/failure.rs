//! Errors of processes: what failed, with which program, and what to do about it.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::carried::{carried, carry};
use crate::process::system;

/// What kind of failure it was, for a program to tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// There is no such program (ENOENT, ENOTDIR).
    NotFound,
    /// The program is there, but what its first line (or its ELF header) names to run it is not (ENOENT).
    NoInterpreter,
    /// Not allowed (EACCES, EPERM).
    NoPermission,
    /// The file is no program (ENOEXEC).
    NotExecutable,
    /// Somebody has the program's file open for writing (ETXTBSY).
    BeingWritten,
    /// The directory to run in is missing or may not be entered.
    BadDirectory,
    /// Arguments and environment take too much room (E2BIG).
    TooLong,
    /// An argument, a name or a value has a NUL byte in it.
    NulByte,
    /// No descriptor left, of the process or of the system (EMFILE, ENFILE).
    DescriptorLimit,
    /// No room for one more process, or no memory (EAGAIN, ENOMEM).
    ProcessLimit,
    /// The child has written more than was to be kept of its output.
    TooMuchOutput,
    /// The child has ended and is reaped: there is nobody to signal (ESRCH).
    Ended,
    /// Somebody else in this process has reaped the child (ECHILD).
    ReapedByOthers,
    /// There is no worker here to do it.
    NoRuntime,
    /// Anything else.
    Other,
}

/// An error with the program it concerns and a remedy. It travels inside of an [`io::Error`] of the same kind: see
/// [`ProcessError::of`].
#[derive(Debug)]
pub struct ProcessError {
    kind: FailureKind,
    doing: &'static str,
    program: String,
    source: io::Error,
}

impl ProcessError {
    /// The process error inside of an error that this module's calls gave, if it has one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&ProcessError> {
        carried(error)
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The program as it was named; for a [`BadDirectory`](FailureKind::BadDirectory) with the directory.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The system's error code, which the [`io::Error`] around this no longer has.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        system::remedy(self.kind)
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}; {}", self.doing, self.program, self.source, self.remedy())
    }
}

impl std::error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Says what an error concerns. An error that says so already is left as it is.
#[cold]
pub(super) fn naming(kind: FailureKind, doing: &'static str, program: &str, source: io::Error) -> io::Error {
    carry(source, |source| ProcessError { kind, doing, program: program.to_owned(), source })
}

/// The error of what needs a worker and finds none.
#[cold]
pub(super) fn no_runtime(doing: &'static str, program: &str) -> io::Error {
    naming(FailureKind::NoRuntime, doing, program, io::Error::other("there is no runtime here"))
}

/// Says why a child can't be waited for.
#[cold]
pub(super) fn not_waited_for(program: &str, source: io::Error) -> io::Error {
    let kind = source.raw_os_error().map_or(FailureKind::Other, system::not_waited_for);
    naming(kind, "wait for", program, source)
}

/// Says why a program was not started.
#[cold]
pub(super) fn not_started(command: &Command, source: io::Error) -> io::Error {
    let program = command.get_program().to_string_lossy();
    let code = source.raw_os_error();
    if code.is_some_and(system::may_be_the_directory)
        && let Some(directory) = command.get_current_dir()
        && !can_enter(directory)
    {
        let both = format!("{program} in {}", directory.display());
        return naming(FailureKind::BadDirectory, "run", &both, source);
    }
    let kind = match code {
        Some(code) => system::not_started(code, || is_there(command)),
        // The standard library refuses these before it asks the system.
        None => match source.kind() {
            io::ErrorKind::InvalidInput => FailureKind::NulByte,
            io::ErrorKind::NotFound => FailureKind::NotFound,
            _ => FailureKind::Other,
        },
    };
    naming(kind, "run", &program, source)
}

/// Whether a directory is one and may be entered: then the error was about something else.
fn can_enter(directory: &Path) -> bool {
    directory.join(".").metadata().is_ok_and(|found| found.is_dir())
}

/// Whether the program is a path to a file that exists, as seen from where it was to run.
fn is_there(command: &Command) -> bool {
    let program = Path::new(command.get_program());
    // A name alone is looked for in PATH, whose entries are not gone through again here.
    program.components().nth(1).is_some() && command.get_current_dir().unwrap_or(Path::new("")).join(program).exists()
}

#[cfg(test)]
mod tests {
    use ostia_port::os::ENOENT;

    use super::*;

    #[test]
    fn an_error_names_its_program_once_and_keeps_its_kind() {
        let error = not_started(&Command::new("frobnicate"), io::Error::from_raw_os_error(ENOENT));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = not_waited_for("another", error);
        let inner = ProcessError::of(&error).expect("a process error");
        assert_eq!((inner.kind(), inner.program()), (FailureKind::NotFound, "frobnicate"));
        assert_eq!(inner.raw_os_error(), Some(ENOENT));
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot run frobnicate: {}; install it", io::Error::from_raw_os_error(ENOENT))),
            "{text}"
        );
        assert!(ProcessError::of(&io::Error::other("x")).is_none());
    }
}

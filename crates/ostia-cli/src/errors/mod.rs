//! Errors of the command line: what went wrong, with what, and what to do about it.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// The exit code when part of the work could not be done: of a server, when connections had to be cut off at the end of
/// `--drain`.
pub const PARTIAL: u8 = 3;
/// The exit code when a permission is missing.
pub const PERMISSION: u8 = 4;
/// The exit code after a second SIGTERM or SIGINT, or one before the program has started: 128 and the number of SIGINT, as
/// shells have it.
pub const INTERRUPTED: u8 = 130;

/// An error that ends the program.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, naming the thing.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// 1, or 2 when the command line itself is at fault, or [`PERMISSION`], or [`INTERRUPTED`].
    pub code: u8,
}

impl Failure {
    /// An error of the world.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Failure {
        Failure { what: what.into(), remedy: remedy.into(), code: 1 }
    }

    /// An error of the command line.
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Failure {
        Failure { code: 2, ..Failure::new(what, remedy) }
    }

    /// The end was asked for before there was anything to end.
    pub fn interrupted() -> Failure {
        Failure { code: INTERRUPTED, ..Failure::new("interrupted before the network was ready", "what was set up is taken back") }
    }

    /// An error for want of a permission.
    pub fn permission(what: impl Into<String>, remedy: impl Into<String>) -> Failure {
        Failure { code: PERMISSION, ..Failure::new(what, remedy) }
    }

    /// A file of settings can't be read.
    pub fn config(path: &Path, error: &io::Error) -> Failure {
        let name = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::usage(format!("cannot read {name}: there is no such file"), "check --config and OSTIA_CONFIG")
            }
            io::ErrorKind::PermissionDenied => {
                Failure::permission(format!("cannot read {name}: permission denied"), "let this user read the file")
            }
            _ => Failure::usage(format!("cannot read {name}: {error}"), "name a file of settings with --config"),
        }
    }

    /// A log can't be opened.
    pub fn log(path: &Path, error: &io::Error) -> Failure {
        let what = format!("cannot log to {}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::permission(what, "choose a file that this user may write to"),
            io::ErrorKind::NotFound => Failure::new(what, "create the directory first"),
            _ => Failure::new(what, "choose another file with --log-file or --access-log"),
        }
    }

    /// Listening on `address` failed.
    pub fn listen(address: &str, error: &io::Error) -> Failure {
        let what = |why: &str| format!("cannot listen on {address}: {why}");
        let unix = address.strip_prefix("unix:");
        let on_stack = ostia::net::Network::current().is_engines();
        match (error.kind(), unix) {
            (io::ErrorKind::AddrInUse, None) if on_stack => {
                Failure::new(what("this program listens there already"), "name each place once with --addr")
            }
            (io::ErrorKind::AddrNotAvailable, None) if on_stack => Failure::new(
                what("it is not an address of the stack"),
                "use one of those that it has by --ip or --dhcp, or 0.0.0.0 or [::] for all of them",
            ),
            (io::ErrorKind::AddrInUse, None) => {
                let port = address.rsplit(':').next().unwrap_or_default();
                Failure::new(
                    what("the port is in use by another program"),
                    format!("stop that program ({}), or choose another port with --addr", system::who_has(port)),
                )
            }
            (io::ErrorKind::AddrInUse, Some(path)) => Failure::new(
                what("the path is in use by another program"),
                format!("stop that program (`ss -lxp src {path}` names it), or choose another path with --addr"),
            ),
            (io::ErrorKind::AlreadyExists, _) => Failure::new(
                what("there is a file of that name that is not a socket"),
                "move it away, or choose another path with --addr",
            ),
            (io::ErrorKind::AddrNotAvailable, _) => Failure::new(
                what("it is not an address of this machine"),
                format!("use one that `{}` lists, or 0.0.0.0 for all of them", system::ADDRESSES),
            ),
            (io::ErrorKind::PermissionDenied, None) => Failure::permission(what("permission denied"), system::FORBIDDEN_PORT),
            (io::ErrorKind::PermissionDenied, Some(_)) => {
                Failure::permission(what("permission denied"), "choose a directory that this user may write to")
            }
            (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, Some(_)) => {
                Failure::new(what("there is no such directory"), "create the directory first")
            }
            _ => match Self::exhausted(&what(""), error) {
                Some(failure) => failure,
                None => Failure::new(
                    what(&error.to_string()),
                    format!("write the address as {}, with a host that can be looked up", system::FORMS),
                ),
            },
        }
    }

    /// An address that can't be one.
    pub fn address(address: &str, why: &impl fmt::Display) -> Failure {
        Failure::usage(
            format!("'{address}' is no address to listen on: {why}"),
            format!("write {}, such as --addr 127.0.0.1:8080", system::FORMS),
        )
    }

    /// The directory to be served can't be opened.
    pub fn root(dir: &Path, error: &io::Error) -> Failure {
        let dir = dir.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::new(format!("cannot serve {dir}: there is no such directory"), "check the spelling, or create it")
            }
            io::ErrorKind::NotADirectory => {
                Failure::new(format!("cannot serve {dir}: it is not a directory"), "name the directory that it lies in")
            }
            io::ErrorKind::PermissionDenied => Failure::permission(
                format!("cannot serve {dir}: permission denied"),
                format!(
                    "run as a user who may enter it, or change its permissions (`{}` shows which is missing)",
                    system::PERMISSIONS
                ),
            ),
            _ => Self::exhausted(&format!("cannot serve {dir}: "), error).unwrap_or_else(|| {
                let remedy = format!("see whether `{}` can read the directory", system::LIST);
                Failure::new(format!("cannot serve {dir}: {error}"), remedy)
            }),
        }
    }

    /// Workers or their ports could not be made.
    pub fn start(error: &io::Error) -> Failure {
        Self::exhausted("cannot start the workers: ", error)
            .unwrap_or_else(|| Failure::new(format!("cannot start the workers: {error}"), system::START))
    }

    /// A limit of descriptors or memory, which any call may meet.
    fn exhausted(what: &str, error: &io::Error) -> Option<Failure> {
        let (why, remedy) = system::exhausted(code_of(error)?)?;
        Some(Failure::new(format!("{what}{why}"), remedy))
    }

    /// Prints the error to standard error, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if crate::log::is_to_file() {
            tracing::error!(hint = self.remedy, code = self.code, "{}", self.what);
        }
        crate::log::finish();
        // Where diagnostics go to a file, people still look at the terminal.
        let text = match crate::output::is_json() {
            true => serde_json::json!({ "error": self.what, "hint": self.remedy, "code": self.code }).to_string(),
            false => self.text(crate::output::colors_errors()),
        };
        // There may be no reader any more; the exit code says as much.
        let _ = writeln!(io::stderr(), "{text}");
        ExitCode::from(self.code)
    }
}

impl Failure {
    /// The message as a terminal shows it.
    fn text(&self, color: bool) -> String {
        let plain = self.to_string();
        match plain.split_once(':') {
            Some((error, rest)) if color => format!("\x1b[1;31m{error}:\x1b[0m{rest}"),
            _ => plain,
        }
    }
}

/// The system's error code, also of an error that was given more words on its way.
fn code_of(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let text = error.to_string();
        let (_, code) = text.rsplit_once("(os error ")?;
        code.split(')').next()?.parse().ok()
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  hint: {}", self.what, self.remedy)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_a_wrong_command_line() {
        let failure = Failure::address("nonsense", &"no port");
        assert_eq!((failure.code, failure.what.contains("'nonsense'")), (2, true));
    }

    #[test]
    fn a_code_is_found_in_the_text_too() {
        let error = io::Error::from_raw_os_error(5);
        assert_eq!(code_of(&error), Some(5));
        assert_eq!(code_of(&io::Error::other(format!("127.0.0.1:80: {error}"))), Some(5));
        assert_eq!(code_of(&io::Error::other("(os error five)")), None);
    }
}

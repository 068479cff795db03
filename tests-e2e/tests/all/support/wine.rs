//! The `ostia` program for Windows, run by Wine and driven from Linux.
//!
//! `OSTIA_WINDOWS_BIN` is the path of `ostia.exe`, `OSTIA_WINEPREFIX` that of a prefix that is ready.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::case::{Case, Driver};
use super::process::{Ended, Process};
use super::server::Server;

/// A running test of the program for Windows.
pub struct Wine {
    /// What it is called when it can't run.
    pub case: Case,
    program: PathBuf,
    prefix: PathBuf,
}

impl Wine {
    /// A test that runs, or nothing if there is no such program or no Wine; that is reported.
    pub fn begin(name: &'static str) -> Option<Wine> {
        let case = Case { name, driver: Driver::Auto };
        let (Some(program), Some(prefix)) = (env::var_os("OSTIA_WINDOWS_BIN"), env::var_os("OSTIA_WINEPREFIX")) else {
            case.skip("OSTIA_WINDOWS_BIN and OSTIA_WINEPREFIX don't say where ostia.exe and a Wine prefix are");
            return None;
        };
        if !case.has("wine") {
            return None;
        }
        let wine = Wine { case, program: program.into(), prefix: prefix.into() };
        wine.keep_awake();
        Some(wine)
    }

    /// Wine's services start with the first program and end with the last, which takes seconds, and they hold the standard
    /// error of whoever started them. So one program is there from the first test to the last: a shell that ends when its
    /// standard input does, with the test binary.
    fn keep_awake(&self) {
        static SHELL: OnceLock<Child> = OnceLock::new();
        SHELL.get_or_init(|| {
            let mut shell = self.wine();
            shell.arg("cmd").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut shell = shell.spawn().expect("wine can be run");
            let stdin = shell.stdin.as_mut().expect("a pipe");
            stdin.write_all(b"echo awake\r\n").expect("the shell reads");
            let mut lines = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
            assert!(lines.any(|line| line.is_ok_and(|line| line.trim_end().ends_with("awake"))), "Wine's shell ended");
            shell
        });
    }

    fn wine(&self) -> Command {
        let mut command = Command::new("wine");
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all").env_remove("DISPLAY");
        command
    }

    /// A command for the program. What Wine runs has the process id of the command itself.
    pub fn command(&self) -> Command {
        let mut command = self.wine();
        command.arg(&self.program);
        command
    }

    /// `ostia serve` of a folder on a free loopback port, with so many workers and these arguments.
    pub fn serve(&self, root: &Path, workers: u32, arguments: &[&str]) -> Server {
        let mut command = self.command();
        command.arg("serve").arg(on_drive_z(root)).args(["--addr", "127.0.0.1:0"]);
        command.args(["--workers", &workers.to_string()]).args(arguments);
        // One start in thousands fails with Wine's exit code 1 before the program's first instruction, and without a word.
        for _ in 0..3 {
            match Server::begun(Process::start(&mut command)) {
                Ok(server) => return server,
                Err(ended) if ended.status.code() == Some(1) && ended.output.is_empty() && ended.errors.is_empty() => {}
                Err(Ended { status, errors, .. }) => panic!("no URL was printed; {status}:\n{errors}"),
            }
        }
        panic!("Wine has started nothing three times");
    }
}

/// Ctrl-C; then the server must end by itself with exit code 0.
pub fn interrupt(server: Server) -> Ended {
    server.process.signal(Signal::INT);
    ended_with(server, 0)
}

/// Waits for the end of a server, which must come with this exit code and without a panic.
pub fn ended_with(server: Server, code: i32) -> Ended {
    let ended = server.process.wait();
    assert!(has_no_code(&ended) || ended.status.code() == Some(code), "{}: {}", ended.status, ended.errors);
    assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
    ended
}

/// Whether the exit code was lost: Wine's server kills a program that has ended but is not gone within a second, as it may
/// happen on a busy machine. Nobody else kills one that is waited for.
///
/// And one in about 800 ends by SIGSEGV at Ctrl-C, for Wine 8 makes the handler's thread inside the signal, whatever that has
/// interrupted; a program of twelve lines in C does so as often. More than two of these in one run are not Wine's.
pub fn has_no_code(ended: &Ended) -> bool {
    static BROKEN: AtomicU32 = AtomicU32::new(0);
    match ended.status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::KILL) => true,
        Some(Signal::SEGV) if ended.errors.is_empty() => {
            let reason = "Wine 8 broke down in its own handler of Ctrl-C";
            Case { name: "windows::ctrl_c", driver: Driver::Auto }.skip_part("the exit code", reason);
            BROKEN.fetch_add(1, Ordering::Relaxed) < 2
        }
        _ => false,
    }
}

/// What programs under Wine call a file of Linux.
pub fn on_drive_z(path: &Path) -> OsString {
    let path = path.to_str().expect("the path is text");
    format!("Z:{}", path.replace('/', "\\")).into()
}

/// Makes of `fn name(wine: Wine) { … }` the test `name`, which is skipped where there is no Wine.
macro_rules! under_wine {
    ($($(#[$attribute:meta])* fn $name:ident($wine:ident: Wine) $body:block)+) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            fn check($wine: $crate::support::wine::Wine) $body
            if let Some(wine) = $crate::support::wine::Wine::begin(concat!(module_path!(), "::", stringify!($name))) {
                check(wine);
            }
        }
    )+};
}
pub(crate) use under_wine;

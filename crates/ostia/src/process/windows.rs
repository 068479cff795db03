//! Children of Windows: named by the handles that they were started with, ended by TerminateProcess.

use std::ffi::OsStr;
use std::io;
use std::os::windows::io::AsHandle;
use std::os::windows::process::CommandExt;
use std::process::{self, Stdio};
use std::time::Duration;

use ostia_port::os::{AsRawFd, ECHILD, OwnedFd};
use ostia_port::reap;
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::System::Threading::{TerminateProcess, WaitForSingleObject};

use crate::process::failure::naming;
use crate::process::watch::Process;
use crate::process::{ChildStderr, ChildStdout, Command, FailureKind};

/// A handle that names a child and nobody else. Its number is nobody else's either as long as this is open.
pub(super) fn descriptor_of(child: &process::Child) -> io::Result<OwnedFd> {
    Ok(child.as_handle().try_clone_to_owned()?.into())
}

/// Whether an error says that there is no such child. How one has ended can be asked for again and again here.
pub(super) fn is_lost(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ECHILD)
}

fn handle_of(child: &OwnedFd) -> win::HANDLE {
    child.as_raw_fd() as isize as win::HANDLE
}

/// Waits until a child has ended, but no longer than that.
pub(super) fn await_end(child: &OwnedFd, most: Duration) {
    // SAFETY: the handle is open.
    unsafe { WaitForSingleObject(handle_of(child), u32::try_from(most.as_millis()).unwrap_or(u32::MAX - 1)) };
}

/// Kills a child; false if it has ended already.
pub(super) fn kill(process: &Process) -> io::Result<bool> {
    // SAFETY: the handle is open as long as `process`.
    if unsafe { TerminateProcess(handle_of(&process.descriptor), 1) } != 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    // Of one that has ended it says that it is not allowed.
    if let Ok(Some(_)) = reap(&process.descriptor) {
        return Ok(false);
    }
    let denied = error.raw_os_error() == Some(win::ERROR_ACCESS_DENIED as i32);
    let kind = if denied { FailureKind::NoPermission } else { FailureKind::Other };
    Err(naming(kind, "kill", &process.program, error))
}

/// Why a child can't be waited for.
pub(super) fn not_waited_for(code: i32) -> FailureKind {
    match code as u32 {
        win::ERROR_TOO_MANY_OPEN_FILES | win::ERROR_NO_SYSTEM_RESOURCES => FailureKind::DescriptorLimit,
        _ if code == ECHILD => FailureKind::ReapedByOthers,
        _ => FailureKind::Other,
    }
}

/// Whether the error of starting a program may be about the directory that it was to run in.
pub(super) fn may_be_the_directory(code: i32) -> bool {
    matches!(
        code as u32,
        win::ERROR_DIRECTORY
            | win::ERROR_PATH_NOT_FOUND
            | win::ERROR_FILE_NOT_FOUND
            | win::ERROR_ACCESS_DENIED
            | win::ERROR_INVALID_NAME
    )
}

/// Why a program was not started.
pub(super) fn not_started(code: i32, _is_there: impl FnOnce() -> bool) -> FailureKind {
    match code as u32 {
        win::ERROR_FILE_NOT_FOUND | win::ERROR_PATH_NOT_FOUND => FailureKind::NotFound,
        win::ERROR_ACCESS_DENIED | win::ERROR_ELEVATION_REQUIRED => FailureKind::NoPermission,
        win::ERROR_BAD_EXE_FORMAT | win::ERROR_EXE_MACHINE_TYPE_MISMATCH => FailureKind::NotExecutable,
        win::ERROR_SHARING_VIOLATION => FailureKind::BeingWritten,
        win::ERROR_DIRECTORY => FailureKind::BadDirectory,
        win::ERROR_FILENAME_EXCED_RANGE => FailureKind::TooLong,
        win::ERROR_TOO_MANY_OPEN_FILES => FailureKind::DescriptorLimit,
        win::ERROR_NOT_ENOUGH_MEMORY | win::ERROR_NO_SYSTEM_RESOURCES | win::ERROR_COMMITMENT_LIMIT => FailureKind::ProcessLimit,
        _ => FailureKind::Other,
    }
}

pub(super) fn remedy(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::NotFound => {
            "install it, check the spelling, or give its path (names without one are looked for beside this program, in the system's \
             directories and in PATH)"
        }
        FailureKind::NoInterpreter => "install what is to run it",
        FailureKind::NoPermission => "allow this user to run it; some programs have to be run as administrator",
        FailureKind::NotExecutable => "name a program for this machine: scripts are run by theirs (`cmd /c`, `powershell -File`)",
        FailureKind::BeingWritten => "close the file first; a virus scanner may hold it open for a moment, so try again",
        FailureKind::BadDirectory => "make the directory, or allow this user to enter it",
        FailureKind::TooLong => "pass the data through standard input or a file: a command line holds 32,767 characters",
        FailureKind::NulByte => "take the NUL byte out",
        FailureKind::DescriptorLimit => "close some handles",
        FailureKind::ProcessLimit => "free memory, or run fewer at once",
        FailureKind::TooMuchOutput => "raise it with Command::output_limit, or read the pipes piece by piece",
        FailureKind::Ended => "wait for it: its status is there",
        FailureKind::ReapedByOthers => "wait for it before its last handle is closed",
        FailureKind::NoRuntime => "call this inside of ostia::block_on, Runtime::block_on or a task",
        FailureKind::Other => "look the system's error up (\"System Error Codes\")",
    }
}

/// Windows only.
impl Command {
    /// Flags of CreateProcessW, such as `CREATE_NEW_PROCESS_GROUP`, without which a child can't be told to end by Ctrl-Break alone.
    /// Windows only.
    pub fn creation_flags(&mut self, flags: u32) -> &mut Command {
        self.std.creation_flags(flags);
        self
    }

    /// Text that is put at the end of the command line as it is, for programs that don't take it apart as most do. Windows only.
    pub fn raw_arg(&mut self, text: impl AsRef<OsStr>) -> &mut Command {
        self.std.raw_arg(text);
        self
    }
}

macro_rules! hand_over {
    ($($name:ident: $doc:literal;)*) => {$(
        impl TryFrom<$name> for Stdio {
            type Error = io::Error;

            #[doc = $doc]
            fn try_from(pipe: $name) -> io::Result<Stdio> {
                match pipe.into_owned_fd()?.into_handle() {
                    // The other child can't use a handle for overlapped requests: a thread of the standard library's goes between.
                    Ok(handle) => Ok(process::$name::from(handle).into()),
                    Err(_) => Err(io::ErrorKind::InvalidInput.into()),
                }
            }
        }
    )*};
}

hand_over! {
    ChildStdout: "Gives the pipe to another child, as its input: see [`ChildStdout::into_owned_fd`].";
    ChildStderr: "Gives the pipe to another child, as its input: see [`ChildStderr::into_owned_fd`].";
}

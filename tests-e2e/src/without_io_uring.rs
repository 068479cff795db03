//! Runs a program in which io_uring_setup(2) fails: `without-io-uring ERRNO PROGRAM [ARGUMENT…]`.
//!
//! Containers forbid io_uring by a seccomp filter that answers `EPERM`, kernels without it
//! answer `ENOSYS`. This program installs such a filter on itself and becomes the other
//! program, which inherits it. With `--probe` for PROGRAM it tries io_uring itself and
//! prints the error number that came back, so that a test can see that the filter works.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

fn main() -> ExitCode {
    match run(env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("without-io-uring: {error}");
            // As env(1) does for what could not be started.
            ExitCode::from(126)
        }
    }
}

fn run(arguments: Vec<OsString>) -> Result<(), Box<dyn Error>> {
    let [errno, program, rest @ ..] = arguments.as_slice() else {
        return Err("usage: without-io-uring ERRNO PROGRAM [ARGUMENT…]".into());
    };
    let errno = errno.to_str().and_then(|text| text.parse().ok()).ok_or("ERRNO is a number")?;
    forbid(errno)?;
    if program == "--probe" {
        let error = io_uring::IoUring::new(8).err();
        println!("{}", error.and_then(|e| e.raw_os_error()).unwrap_or(0));
        return Ok(());
    }
    // Only a failure returns.
    Err(Command::new(program).args(rest).exec().into())
}

/// Answers io_uring_setup with `errno` in this thread and all it starts; nothing else changes.
fn forbid(errno: u32) -> Result<(), Box<dyn Error>> {
    let rules = BTreeMap::from([(libc::SYS_io_uring_setup, Vec::new())]);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    // Also sets no_new_privs, without which only root may filter (seccomp(2)).
    seccompiler::apply_filter(&program)?;
    Ok(())
}

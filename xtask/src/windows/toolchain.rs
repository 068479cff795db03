//! Rust for Windows: Debian's compiler, with mingw-w64 to link.

use std::path::PathBuf;
use std::process::Command;

use super::PACKAGES;
use crate::toolchain;
use crate::workspace::Workspace;

/// What is built for.
const TARGET: &str = "x86_64-pc-windows-gnu";

/// Tests unwind, so that a panic has to as well.
const STANDARD_LIBRARY: &str = "std,panic_unwind,test";

/// Debian's cargo with the packages for Windows, at the top of the workspace. `arguments` begin with its subcommand.
pub fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = toolchain::cargo(workspace, &folder(workspace), TARGET, STANDARD_LIBRARY, arguments);
    // Wine's debugger would be the only reader.
    command.env("CARGO_PROFILE_TEST_DEBUG", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    command
}

/// The folder that is built into.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("windows")
}

/// Where the program lies that was built in `mode`, `debug` or `release`.
pub fn program(workspace: &Workspace, mode: &str) -> PathBuf {
    folder(workspace).join(TARGET).join(mode).join("ostia.exe")
}

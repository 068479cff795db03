//! Rust for Windows: Debian's compiler, and the standard library built from the source that Debian has beside it.
//!
//! Debian's mingw-w64 links, so that nothing comes from anywhere but Debian's archive. Building a standard library is an
//! unstable feature of cargo, which `RUSTC_BOOTSTRAP` unlocks; the compiler is a stable one.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use super::PACKAGES;
use crate::workspace::Workspace;

/// What is built for.
const TARGET: &str = "x86_64-pc-windows-gnu";

/// Tests unwind, so that a panic has to as well.
const STANDARD_LIBRARY: &str = "-Zbuild-std=std,panic_unwind,test";

/// Where Debian's toolchain lies; the search path may lead to another first.
const TOOLCHAIN: &str = "/usr/bin";

/// What the cargo that started this program tells its children, and what a user may have set for it: of no use to another
/// toolchain and another target.
const OF_THE_OTHER_TOOLCHAIN: &[&str] =
    &["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "LD_LIBRARY_PATH"];

/// Debian's cargo with the packages for Windows, at the top of the workspace. `arguments` begin with its subcommand.
pub fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new(format!("{TOOLCHAIN}/cargo"));
    for name in OF_THE_OTHER_TOOLCHAIN {
        command.env_remove(name);
    }
    let others = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([TOOLCHAIN.into()].into_iter().chain(env::split_paths(&others)));
    command
        // A search path that was split can be joined again.
        .env("PATH", path.unwrap_or(others))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", folder(workspace))
        // Wine's debugger would be the only reader.
        .env("CARGO_PROFILE_TEST_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .current_dir(workspace.root())
        .args(arguments)
        .args(["--locked", "--target", TARGET, STANDARD_LIBRARY]);
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    command
}

/// The folder that is built into: not that of the other toolchain, which would build everything anew each time.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("windows")
}

/// Where the program lies that was built in `mode`, `debug` or `release`.
pub fn program(workspace: &Workspace, mode: &str) -> PathBuf {
    folder(workspace).join(TARGET).join(mode).join("ostia.exe")
}

/// Says so if Debian's compiler is older than the workspace asks for, or can't be run.
pub fn too_old() -> Option<String> {
    let rustc = format!("{TOOLCHAIN}/rustc");
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    match Command::new(&rustc).env_remove("LD_LIBRARY_PATH").arg("--version").output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let told = text.trim().trim_start_matches("rustc ");
            (version(told) < version(wanted)).then(|| format!("needs {rustc} {wanted} or newer, not `{told}`"))
        }
        Err(error) => Some(format!("{rustc} did not start: {error}")),
    }
}

/// Major and minor version at the beginning of a text; nothing is less than any version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version("1.96.0 (ac68faa20 2026-05-25)"), Some((1, 96)));
        assert!(version("1.100.0") > version("1.95"));
        assert!(version("") < version("1.95"));
    }
}

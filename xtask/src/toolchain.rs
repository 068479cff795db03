//! Rust for other systems: Debian's compiler, and the standard library built from the source that Debian has beside it.
//!
//! So nothing comes from anywhere but Debian's archive. Building a standard library is an unstable feature of cargo, which
//! `RUSTC_BOOTSTRAP` unlocks; the compiler is a stable one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::Workspace;

/// Where Debian's toolchain lies; the search path may lead to another first.
const TOOLCHAIN: &str = "/usr/bin";

/// What the cargo that started this program tells its children, and what a user may have set for it: of no use to another
/// toolchain and another target.
const OF_THE_OTHER_TOOLCHAIN: &[&str] =
    &["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "LD_LIBRARY_PATH"];

/// Debian's cargo for another system, at the top of the workspace, building into a folder of its own: in that of the other
/// toolchain everything would be built anew each time. `arguments` begin with the subcommand; `library` names the crates of
/// the standard library.
pub fn cargo(workspace: &Workspace, folder: &Path, target: &str, library: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(format!("{TOOLCHAIN}/cargo"));
    for name in OF_THE_OTHER_TOOLCHAIN {
        command.env_remove(name);
    }
    let others = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([PathBuf::from(TOOLCHAIN)].into_iter().chain(env::split_paths(&others)));
    command
        // A search path that was split can be joined again.
        .env("PATH", path.unwrap_or(others))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", folder)
        .current_dir(workspace.root())
        .args(arguments)
        .args(["--locked", "--target", target, &format!("-Zbuild-std={library}")]);
    command
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

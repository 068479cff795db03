//! Where the workspace is, where it builds to, and which commit it stands on.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The seed of a tree without a commit (an unpacked archive, say).
const SEED_WITHOUT_COMMIT: u64 = 0x0571_A000_0000_0001;

/// The workspace which this program was built from.
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the workspace by the folder that cargo built this program from.
    ///
    /// # Errors
    /// The folder has been moved or removed since.
    pub fn locate() -> Result<Workspace, String> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package
            .parent()
            .filter(|root| root.join("Cargo.toml").is_file())
            .ok_or_else(|| format!("no workspace around {}; build again", package.display()))?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            // A relative folder is relative to where the user stands, as for cargo.
            Some(folder) => env::current_dir().map_err(|error| format!("the current folder is gone: {error}"))?.join(folder),
            None => root.join("target"),
        };
        Ok(Workspace { root, target })
    }

    /// The workspace's top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that cargo builds into.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// A cargo command which runs at the top of the workspace.
    pub fn cargo(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target).args(arguments);
        command
    }

    /// What `git` answers at the top of the workspace; nothing without git or a repository.
    pub fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git").current_dir(&self.root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The seed for tests which draw random numbers: `OSTIA_SEED` if it is set, else the
    /// first 16 hexadecimal digits of the commit.
    pub fn seed(&self) -> u64 {
        if let Some(seed) = env::var("OSTIA_SEED").ok().and_then(|text| text.parse().ok()) {
            return seed;
        }
        self.git(&["rev-parse", "HEAD"]).and_then(|commit| seed_of_commit(&commit)).unwrap_or(SEED_WITHOUT_COMMIT)
    }
}

fn seed_of_commit(commit: &str) -> Option<u64> {
    u64::from_str_radix(commit.get(..16)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_gives_its_leading_digits_as_the_seed() {
        assert_eq!(seed_of_commit("00000000000000ff00000000000000000000abcd\n"), Some(255));
        assert_eq!(seed_of_commit("not a commit at all"), None);
        assert_eq!(seed_of_commit("abc"), None);
    }

    #[test]
    fn the_workspace_is_found() {
        let workspace = Workspace::locate().expect("built from a workspace");
        assert!(workspace.root().join("xtask/Cargo.toml").is_file());
        assert!(workspace.target().is_absolute());
    }
}

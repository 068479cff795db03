//! Wine in a prefix of this workspace: making it, running a program in it, and leaving no process of it behind.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::toolchain;
use crate::runner;
use crate::workspace::Workspace;

/// A prefix that is ready. Dropping it ends every process in it.
pub struct Wine {
    prefix: PathBuf,
    version: String,
}

impl Wine {
    /// Makes the prefix if there is none yet, which takes some seconds.
    ///
    /// # Errors
    /// Wine does not start or does not get through, or the library in the prefix does not compile; what they said is in
    /// the text.
    pub fn ready(workspace: &Workspace) -> Result<Wine, String> {
        let version = quietly(Command::new("wine").arg("--version"))?.trim().to_owned();
        println!("xtask: {version}");
        let wine = Wine { prefix: toolchain::folder(workspace).join("wine"), version };
        // What is made last tells a finished prefix from one whose making was cut short.
        let library = wine.prefix.join("drive_c/windows/system32/bcryptprimitives.dll");
        if !library.is_file() {
            // Absent on the first run.
            let _ = fs::remove_dir_all(&wine.prefix);
            fs::create_dir_all(&wine.prefix).map_err(|error| format!("{}: {error}", wine.prefix.display()))?;
            quietly(wine.command(Path::new("wineboot")).arg("--init"))?;
            let source = workspace.root().join("xtask/windows/bcryptprimitives.c");
            let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
            quietly(compiler.args(["-shared", "-O2", "-s", "-o"]).args([&library, &source]).arg("-ladvapi32"))?;
        }
        // By default the server goes soon after the last program, and resets whoever comes at that moment. This one
        // stays from one program to the next, and goes by itself if nobody is left to end it.
        let _ = wine.server("-k").status();
        quietly(&mut wine.server("-p600"))?;
        Ok(wine)
    }

    /// What a sum of tests under it is called.
    pub fn label(&self) -> String {
        let number = self.version.trim_start_matches("wine-").split_whitespace().next().unwrap_or_default();
        format!("windows (Wine {number})")
    }

    /// The folder that stands for a Windows machine.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// A command that runs `program`, a path of Linux or one of Wine's own programs.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("wine");
        self.surround(&mut command);
        command.arg(program);
        command
    }

    /// Sets what makes Wine use this prefix, and do its work without windows, questions or remarks.
    pub fn surround(&self, command: &mut Command) {
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            // .NET and HTML it would offer to download; menus it would write into the user's.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=;winemenubuilder.exe=d")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
    }

    /// Ends a program of which only Wine's loader is known: its children are nobody's, only Wine's server knows them.
    pub fn killer(&self) -> impl FnOnce(u32) + Send + 'static {
        let mut everything = self.server("-k");
        move |loader| {
            runner::kill_tree(loader);
            // There may be nothing left to end.
            let _ = everything.status();
        }
    }

    /// Wine's server of this prefix: `-k` ends it and every process in it, `-p` and seconds begin one that stays so long.
    fn server(&self, what: &str) -> Command {
        let mut command = Command::new("wineserver");
        self.surround(&mut command);
        command.arg(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let _ = self.server("-k").status();
    }
}

/// How Wine's programs call a file of Linux.
pub fn windows_path(path: &Path) -> OsString {
    let mut name = OsString::from("Z:");
    for part in path.iter().filter(|part| *part != "/") {
        name.push("\\");
        name.push(part);
    }
    name
}

/// What a command prints; of one that fails also what it complains of, which is else left out.
fn quietly(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name} did not start: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_linux_lies_on_drive_z() {
        assert_eq!(windows_path(Path::new("/a b/c.txt")), "Z:\\a b\\c.txt");
    }

    #[test]
    fn a_failure_says_what_was_complained_of() {
        let failed = quietly(Command::new("sh").args(["-c", "echo out; echo why >&2; exit 3"]));
        assert!(failed.is_err_and(|error| error.starts_with("sh failed") && error.ends_with(": why")));
        assert_eq!(quietly(Command::new("sh").args(["-c", "echo out; echo noise >&2"])).as_deref(), Ok("out\n"));
    }
}

//! The tests of the packages for Windows: built, then each of their binaries run under Wine.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::toolchain;
use super::wine::{Wine, windows_path};
use crate::suite::Suite;
use crate::workspace::Workspace;

/// A binary that takes longer is taken to hang.
const LIMIT: Duration = Duration::from_secs(10 * 60);
/// The same under `--full`.
const FULL_LIMIT: Duration = Duration::from_secs(60 * 60);
/// Wine's one server does much of the work of all threads.
const TEST_THREADS: &str = "2";

/// A binary of tests.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Binary {
    name: String,
    path: PathBuf,
    /// The folder of its package, where cargo too would start it.
    folder: PathBuf,
}

/// Builds and runs all of them, and adds what they say to the suite's sum; false if they don't build.
pub fn run(suite: &mut Suite<'_>, wine: &Wine) -> bool {
    println!("\n== {}", wine.label());
    let began = Instant::now();
    let binaries = build(suite.workspace);
    suite.took("windows: building the tests", began.elapsed());
    let Some(binaries) = binaries else {
        suite.tally.add("the tests for Windows", Default::default(), Default::default(), false);
        return false;
    };
    let began = Instant::now();
    let limit = if suite.options.full { FULL_LIMIT } else { LIMIT };
    for binary in binaries {
        println!("\n== {}: {}", wine.label(), binary.name);
        let mut command = wine.command(&binary.path);
        suite.share(&mut command, windows_path);
        command.current_dir(&binary.folder).args(["--test-threads", TEST_THREADS]).args(&suite.options.filter);
        suite.count(&binary.name, command, limit, wine.killer());
    }
    suite.took("windows: running the tests", began.elapsed());
    true
}

/// Builds the binaries and the programs and examples that they start; nothing if that fails, which cargo then tells.
fn build(workspace: &Workspace) -> Option<Vec<Binary>> {
    let mut command = toolchain::cargo(workspace, &["test", "--no-run", "--message-format=json-render-diagnostics"]);
    match command.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => {
            let mut binaries: Vec<Binary> = String::from_utf8_lossy(&output.stdout).lines().filter_map(binary).collect();
            // Cargo tells of them in the order in which they were done.
            binaries.sort();
            Some(binaries)
        }
        Ok(_) => None,
        Err(error) => {
            eprintln!("xtask: {:?} did not start: {error}", command.get_program());
            None
        }
    }
}

/// The binary of tests that one of cargo's messages tells of, if it does.
fn binary(message: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let package = folder.file_name()?.to_string_lossy();
    let kind = message["target"]["kind"][0].as_str()?;
    let target = message["target"]["name"].as_str()?;
    let path = message["executable"].as_str()?;
    is_test.then(|| Binary { name: format!("{package} {kind} {target}"), path: path.into(), folder: folder.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message about one artifact, cut down to what is read.
    fn message(test: bool, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/ostia/Cargo.toml",
                "target":{{"kind":["test"],"name":"udp"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
        )
    }

    #[test]
    fn a_binary_of_tests_is_found_among_the_messages() {
        let found = Binary { name: "ostia test udp".to_owned(), path: "/t/udp.exe".into(), folder: "/w/crates/ostia".into() };
        assert_eq!(binary(&message(true, r#""/t/udp.exe""#)), Some(found));
        // The program which a test starts, a library, the end of the build, what a build script prints.
        for other in [&message(false, r#""/t/ostia.exe""#), &message(true, "null"), r#"{"reason":"build-finished"}"#, "noise"] {
            assert_eq!(binary(other), None);
        }
    }
}

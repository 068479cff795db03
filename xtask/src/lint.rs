//! `cargo xtask lint`: formatting, clippy, dependencies, and the text checks.

use crate::checks;
use crate::runner::succeeds;
use crate::workspace::Workspace;

/// Crates which no published part may pull in: a second runtime beside our own.
const FOREIGN_RUNTIMES: &[&str] = &["tokio", "async-std", "smol", "monoio", "compio", "glommio"];

/// Runs all lints, even after one has failed, and says which did.
pub fn run(workspace: &Workspace) -> bool {
    let results = [
        ("format", format(workspace)),
        ("clippy", clippy(workspace)),
        ("dependencies", dependencies(workspace)),
        ("text", text(workspace)),
    ];
    for (name, succeeded) in results {
        println!("lint {name}: {}", if succeeded { "ok" } else { "FAILED" });
    }
    results.iter().all(|(_, succeeded)| *succeeded)
}

fn format(workspace: &Workspace) -> bool {
    succeeds(&mut workspace.cargo(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> bool {
    succeeds(&mut workspace.cargo(["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"]))
}

/// The `ostia` program must not depend on another runtime.
fn dependencies(workspace: &Workspace) -> bool {
    let tree = workspace.cargo(["tree", "-p", "ostia-cli", "-e", "normal", "--prefix", "none"]).output();
    let tree = match tree {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            return false;
        }
        Err(error) => {
            eprintln!("xtask: cargo tree did not start: {error}");
            return false;
        }
    };
    let foreign: Vec<&str> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| FOREIGN_RUNTIMES.contains(name)).collect();
    for name in &foreign {
        println!("ostia-cli depends on {name}, another runtime");
    }
    foreign.is_empty()
}

/// Every rule over every text file that is in the repository or about to be.
fn text(workspace: &Workspace) -> bool {
    let Some(files) = workspace.git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]) else {
        println!("no git repository here: text checks skipped");
        return true;
    };
    let mut findings = Vec::new();
    for path in files.split('\0').filter(|path| !path.is_empty()) {
        // Listed but deleted, or not text: nothing to check.
        if let Ok(content) = std::fs::read_to_string(workspace.root().join(path)) {
            findings.extend(checks::check(path, &content));
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    findings.is_empty()
}

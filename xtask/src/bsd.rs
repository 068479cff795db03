//! `cargo xtask bsd`: the port type-checked for FreeBSD and macOS. That its driver there compiles is all that this says: it has
//! never run.

use std::time::Instant;

use clap::Args;

use crate::packages::{self, Use};
use crate::runner;
use crate::suite::Suite;
use crate::toolchain;
use crate::workspace::Workspace;

const TARGETS: &[&str] = &["x86_64-unknown-freebsd", "aarch64-apple-darwin"];

/// What is checked, which takes no linker: the library, the tests beside its code, and the examples.
const CHECK: &[&str] = &["check", "-p", "ostia-port", "--lib", "--examples", "--profile", "test"];

const STANDARD_LIBRARY: &str = "std,panic_unwind,test";

#[derive(Args)]
pub struct Options {
    /// Install no Debian packages, even as root
    #[arg(long)]
    no_install: bool,
}

pub fn run(workspace: &Workspace, options: &Options) -> bool {
    if let Some(reason) = obstacle(!options.no_install) {
        eprintln!("xtask: {reason}");
        return false;
    }
    check(workspace)
}

/// The check as a part of a larger suite, which counts only its failure: no test has run.
pub fn part(suite: &mut Suite<'_>) {
    if let Some(reason) = obstacle(!suite.options.no_install) {
        return suite.tally.skip_runner("bsd", &reason);
    }
    println!("\n== bsd: type-checking");
    let began = Instant::now();
    if !check(suite.workspace) {
        suite.tally.add("the check for FreeBSD and macOS", Default::default(), Default::default(), false);
    }
    suite.took("bsd: type-checking", began.elapsed());
}

fn check(workspace: &Workspace) -> bool {
    let folder = workspace.target().join("bsd");
    for target in TARGETS {
        let mut command = toolchain::cargo(workspace, &folder, target, STANDARD_LIBRARY, CHECK);
        command
            .env("RUSTFLAGS", "-D warnings")
            // The standard library is compiled for it, and nobody runs or debugs that.
            .env("CARGO_PROFILE_TEST_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_TEST_DEBUG", "0");
        if !runner::succeeds(&mut command) {
            println!("bsd: {target}: FAILED");
            return false;
        }
        println!("bsd: {target}: type-checked, never run");
    }
    true
}

/// Why this can't be done here, once what may be installed has been.
fn obstacle(install: bool) -> Option<String> {
    let missing = packages::prepare(Use::Bsd, install);
    if !missing.is_empty() {
        return Some(format!("needs the Debian packages {}", missing.join(", ")));
    }
    toolchain::too_old()
}

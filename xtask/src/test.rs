//! `cargo xtask test`: the plan of all test runs, in order.

use std::process::Command;

use crate::captures;
use crate::foreign::{BARE, BSD};
use crate::packages::{self, Use};
use crate::runner;
use crate::suite::{Options, Suite};
use crate::windows::{self, Guest};
use crate::workspace::Workspace;

/// The one target for which the sanitizers' runtimes come with the stable toolchain.
const SANITIZED_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where loom models are: the package, and the module that they are in.
const MODELS: [(&str, &str); 2] = [("ostia-port", "shared::models"), ("ostia", "sync::models")];

/// Runs the tests; true if none failed. Prints the matrices, the skipped tests and the sum.
pub fn run(workspace: &Workspace, options: &Options) -> bool {
    packages::prepare(Use::Test, !options.no_install);
    if options.full {
        packages::prepare(Use::Full, !options.no_install);
    }
    let mut suite = match Suite::begin(workspace, options) {
        Ok(suite) => suite,
        Err(error) => {
            eprintln!("xtask: {error}");
            return false;
        }
    };
    unit_and_integration(&mut suite);
    captures::part(&mut suite);
    models(&mut suite);
    BSD.part(&mut suite);
    BARE.part(&mut suite);
    let windows = windows::part(&mut suite);
    end_to_end(&mut suite, windows.as_ref());
    if options.full {
        sanitized(&mut suite, "address");
        sanitized(&mut suite, "leak");
        valgrind(&mut suite);
    }
    suite.finish()
}

/// Tests beside the code, in documentation, and integration tests; the examples are built first, for some tests run
/// them.
fn unit_and_integration(suite: &mut Suite<'_>) {
    let command = suite.cargo_test(&["--workspace", "--exclude", "e2e"]);
    suite.run("tests", command);
    // This feature changes every task, so that the other tests do without it.
    let command = suite.cargo_test(&["-p", "ostia", "--features", "console", "--test", "console"]);
    suite.run("tests of the feature console", command);
    // This one replaces functions of the C library in the whole binary.
    for (package, test) in [("ostia-sim", "guard"), ("ostia-cli", "sim_guard")] {
        let command = suite.cargo_test(&["-p", package, "--features", "guard", "--test", test]);
        suite.run(&format!("the guard of simulations in {package}"), command);
    }
}

/// What threads share, in every order in which they may meet. The models are few and small, and cost a build of their
/// own, for under this flag locks and atomics are loom's.
fn models(suite: &mut Suite<'_>) {
    for (package, filter) in MODELS {
        let mut command = suite.cargo_test(&["--release", "-p", package, "--lib"]);
        command.arg(filter).env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", suite.workspace.target().join("loom"));
        suite.run(&format!("loom models of {package}"), command);
    }
}

/// The release builds of `ostia`, driven from outside by real programs.
fn end_to_end(suite: &mut Suite<'_>, windows: Option<&Guest>) {
    let name = "end to end";
    let mut build = suite.workspace.cargo(["build", "--release", "--locked", "-p", "ostia-cli", "--bin", "ostia"]);
    if !runner::succeeds(&mut build) {
        suite.tally.add(name, Default::default(), Default::default(), false);
        return;
    }
    let mut command = suite.cargo_test(&["-p", "e2e"]);
    command.env("OSTIA_BIN", suite.workspace.target().join("release/ostia"));
    if let Some(guest) = windows {
        command.env("OSTIA_WINDOWS_BIN", &guest.program).env("OSTIA_WINEPREFIX", guest.wine.prefix());
        guest.wine.surround(&mut command);
    }
    suite.run(name, command);
}

/// The crates with unsafe code under a sanitizer. It is an unstable flag of the
/// compiler, but its runtime comes with stable toolchains.
fn sanitized(suite: &mut Suite<'_>, sanitizer: &str) {
    let name = format!("{sanitizer} sanitizer");
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        suite.tally.skip_runner(&name, &format!("needs {SANITIZED_TARGET}"));
        return;
    }
    let mut command = suite.cargo_test(&["-p", "ostia-port", "-p", "ostia"]);
    command
        .args(["--lib", "--tests", "--target", SANITIZED_TARGET])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", format!("-Zsanitizer={sanitizer}"))
        .env("CARGO_TARGET_DIR", suite.workspace.target().join(format!("sanitize-{sanitizer}")));
    suite.run(&name, command);
}

/// The port's suite under memcheck: definite leaks and invalid accesses are failures.
fn valgrind(suite: &mut Suite<'_>) {
    let name = "valgrind";
    let present = Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !present {
        suite.tally.skip_runner(name, "no valgrind on the search path");
        return;
    }
    let suppressions = suite.workspace.root().join("xtask/valgrind.supp");
    let valgrind = format!(
        "valgrind --quiet --error-exitcode=99 --leak-check=full \
         --errors-for-leak-kinds=definite --fair-sched=yes --undef-value-errors=no --suppressions={}",
        suppressions.display()
    );
    let mut command = suite.cargo_test(&["-p", "ostia-port"]);
    command
        .args(["--lib", "--tests"])
        // Under valgrind repeats are a hundred times slower, and races are not its business.
        .env("OSTIA_REPEAT", "ci")
        .env("OSTIA_VALGRIND", "1")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", &valgrind)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", &valgrind);
    suite.run(name, command);
}

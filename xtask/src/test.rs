//! `cargo xtask test`: the plan of all test runs, in order, and their sum.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::packages::{self, Use};
use crate::runner;
use crate::tally::{self, Tally};
use crate::workspace::Workspace;

/// A run that takes longer is taken to hang.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// The same under `--full`, where repeat counts are high and valgrind is slow.
const FULL_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);
/// The one target for which the sanitizers' runtimes come with the stable toolchain.
const SANITIZED_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where loom models are: the package, and the module that they are in.
const MODELS: [(&str, &str); 2] = [("ostia-port", "shared::models"), ("ostia", "sync::models")];

/// What to run.
#[derive(Args, Default)]
pub struct Options {
    /// Also run the sanitizers and valgrind, and every repeat in full
    #[arg(long)]
    full: bool,
    /// Install no Debian packages, even as root
    #[arg(long)]
    no_install: bool,
    /// Run only tests whose name contains one of these
    filter: Vec<String>,
}

/// Runs the tests; true if none failed. Prints the matrices, the skipped tests and the sum.
pub fn run(workspace: &Workspace, options: &Options) -> bool {
    packages::prepare(Use::Test, !options.no_install);
    if options.full {
        packages::prepare(Use::Full, !options.no_install);
    }
    raise_descriptor_limit();
    let mut suite = match Suite::begin(workspace, options) {
        Ok(suite) => suite,
        Err(error) => {
            eprintln!("xtask: {error}");
            return false;
        }
    };
    suite.unit_and_integration();
    suite.models();
    suite.end_to_end();
    if options.full {
        suite.sanitized("address");
        suite.sanitized("leak");
        suite.valgrind();
    }
    suite.finish()
}

/// One invocation of `cargo xtask test`.
struct Suite<'a> {
    workspace: &'a Workspace,
    options: &'a Options,
    seed: u64,
    skipped: PathBuf,
    matrices: PathBuf,
    tally: Tally,
    times: Vec<(String, Duration)>,
}

impl<'a> Suite<'a> {
    fn begin(workspace: &'a Workspace, options: &'a Options) -> Result<Suite<'a>, String> {
        let matrices = workspace.target().join("conformance");
        // What an earlier run left would be shown as this run's.
        remove_matrices(&matrices);
        fs::create_dir_all(workspace.target()).map_err(|error| format!("{}: {error}", workspace.target().display()))?;
        let suite = Suite {
            workspace,
            options,
            seed: workspace.seed(),
            skipped: workspace.target().join("skipped.txt"),
            matrices,
            tally: Tally::default(),
            times: Vec::new(),
        };
        println!("xtask: OSTIA_SEED={} OSTIA_REPEAT={} (these replay the run)", suite.seed, suite.repeat());
        Ok(suite)
    }

    /// Tests beside the code, in documentation, and integration tests; the examples are built first, for some tests run
    /// them.
    fn unit_and_integration(&mut self) {
        let command = self.cargo_test(&["--workspace", "--exclude", "e2e"]);
        self.run("tests", command);
        // This feature changes every task, so that the other tests do without it.
        let command = self.cargo_test(&["-p", "ostia", "--features", "console", "--test", "console"]);
        self.run("tests of the feature console", command);
    }

    /// What threads share, in every order in which they may meet. The models are few and small, and cost a build of their
    /// own, for under this flag locks and atomics are loom's.
    fn models(&mut self) {
        for (package, filter) in MODELS {
            let mut command = self.cargo_test(&["--release", "-p", package, "--lib"]);
            command.arg(filter).env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", self.workspace.target().join("loom"));
            self.run(&format!("loom models of {package}"), command);
        }
    }

    /// The release build of `ostia`, driven from outside by real programs.
    fn end_to_end(&mut self) {
        let name = "end to end";
        let mut build = self.workspace.cargo(["build", "--release", "--locked", "-p", "ostia-cli", "--bin", "ostia"]);
        if !runner::succeeds(&mut build) {
            self.tally.add(name, Default::default(), Default::default(), false);
            return;
        }
        let mut command = self.cargo_test(&["-p", "e2e"]);
        command.env("OSTIA_BIN", self.workspace.target().join("release/ostia"));
        self.run(name, command);
    }

    /// The crates with unsafe code under a sanitizer. It is an unstable flag of the
    /// compiler, but its runtime comes with stable toolchains.
    fn sanitized(&mut self, sanitizer: &str) {
        let name = format!("{sanitizer} sanitizer");
        if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
            self.tally.skip_runner(&name, &format!("needs {SANITIZED_TARGET}"));
            return;
        }
        let mut command = self.cargo_test(&["-p", "ostia-port", "-p", "ostia"]);
        command
            .args(["--lib", "--tests", "--target", SANITIZED_TARGET])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", format!("-Zsanitizer={sanitizer}"))
            .env("CARGO_TARGET_DIR", self.workspace.target().join(format!("sanitize-{sanitizer}")));
        self.run(&name, command);
    }

    /// The port's suite under memcheck: definite leaks and invalid accesses are failures.
    fn valgrind(&mut self) {
        let name = "valgrind";
        let present = Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
        if !present {
            self.tally.skip_runner(name, "no valgrind on the search path");
            return;
        }
        let suppressions = self.workspace.root().join("xtask/valgrind.supp");
        let valgrind = format!(
            "valgrind --quiet --error-exitcode=99 --leak-check=full \
             --errors-for-leak-kinds=definite --fair-sched=yes --undef-value-errors=no --suppressions={}",
            suppressions.display()
        );
        let mut command = self.cargo_test(&["-p", "ostia-port"]);
        command
            .args(["--lib", "--tests"])
            // Under valgrind repeats are a hundred times slower, and races are not its business.
            .env("OSTIA_REPEAT", "ci")
            .env("OSTIA_VALGRIND", "1")
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", &valgrind)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", &valgrind);
        self.run(name, command);
    }

    /// Runs one runner to its end and adds it to the sum.
    fn run(&mut self, name: &str, mut command: Command) {
        println!("\n== {name}");
        if !self.options.filter.is_empty() {
            command.arg("--").args(&self.options.filter);
        }
        // Absent on the first run.
        let _ = fs::remove_file(&self.skipped);
        let began = Instant::now();
        let limit = if self.options.full { FULL_LIMIT } else { LIMIT };
        let (printed, ended_well) = runner::counted(&mut command, limit, &mut io::stdout());
        self.times.push((name.to_owned(), began.elapsed()));
        let skips = fs::read_to_string(&self.skipped).unwrap_or_default();
        self.tally.add(name, printed, tally::read_skips(&skips), ended_well);
    }

    fn cargo_test(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.cargo(["test", "--no-fail-fast", "--locked"]);
        command
            .args(arguments)
            .env("OSTIA_SEED", self.seed.to_string())
            .env("OSTIA_REPEAT", self.repeat())
            .env("OSTIA_SKIPPED", &self.skipped)
            .env("OSTIA_CONFORMANCE", &self.matrices);
        command
    }

    /// `--full` and an `OSTIA_REPEAT` of the caller's both ask for the full counts.
    fn repeat(&self) -> &'static str {
        let asked = env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full");
        if self.options.full || asked { "full" } else { "ci" }
    }

    fn finish(self) -> bool {
        print_matrices(&self.matrices);
        println!();
        for (name, time) in &self.times {
            println!("{:7.1} s  {name}", time.as_secs_f64());
        }
        println!("{}", self.tally);
        self.tally.succeeded()
    }
}

/// The text files in which the port's suite writes its matrices.
fn matrices_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    files.sort();
    files
}

fn remove_matrices(folder: &Path) {
    for file in matrices_in(folder) {
        if let Err(error) = fs::remove_file(&file) {
            eprintln!("xtask: {}: {error}", file.display());
        }
    }
}

fn print_matrices(folder: &Path) {
    for file in matrices_in(folder) {
        if let Ok(text) = fs::read_to_string(&file) {
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            println!("\n== conformance: {name}\n{}", text.trim_end());
        }
    }
}

/// Raises the soft limit of descriptors to the hard one: some tests hold thousands of
/// sockets. A test that finds too few skips itself.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            eprintln!("xtask: the descriptor limit stays: {error}");
        }
    }
}

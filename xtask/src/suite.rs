//! One invocation of the tests: what its runs share, and their sum.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::matrices;
use crate::runner;
use crate::tally::{self, Tally};
use crate::workspace::Workspace;

/// A run that takes longer is taken to hang.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// The same under `--full`, where repeat counts are high and valgrind is slow.
const FULL_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

/// What to run.
#[derive(Args, Default)]
pub struct Options {
    /// Run every repeat in full, and beside the tests the sanitizers and valgrind (which are for Linux)
    #[arg(long)]
    pub full: bool,
    /// Install no Debian packages, even as root
    #[arg(long)]
    pub no_install: bool,
    /// Run only tests whose name contains one of these
    pub filter: Vec<String>,
}

/// The runs of one invocation and what they came to.
pub struct Suite<'a> {
    pub workspace: &'a Workspace,
    pub options: &'a Options,
    pub tally: Tally,
    seed: u64,
    skipped: PathBuf,
    matrices: PathBuf,
    captures: PathBuf,
    times: Vec<(String, Duration)>,
}

impl<'a> Suite<'a> {
    /// Makes ready what the runs share, and prints how to replay them.
    ///
    /// # Errors
    /// The folder that cargo builds into can't be made.
    pub fn begin(workspace: &'a Workspace, options: &'a Options) -> Result<Suite<'a>, String> {
        raise_descriptor_limit();
        let folder = workspace.target().join("conformance");
        let captures = workspace.target().join("captures");
        // What an earlier run left would be shown as this run's.
        matrices::remove(&folder);
        let _ = fs::remove_dir_all(&captures);
        fs::create_dir_all(&captures).map_err(|error| format!("{}: {error}", captures.display()))?;
        fs::create_dir_all(workspace.target()).map_err(|error| format!("{}: {error}", workspace.target().display()))?;
        let suite = Suite {
            workspace,
            options,
            tally: Tally::default(),
            seed: workspace.seed(),
            skipped: workspace.target().join("skipped.txt"),
            matrices: folder,
            captures,
            times: Vec::new(),
        };
        println!("xtask: OSTIA_SEED={} OSTIA_REPEAT={} (these replay the run)", suite.seed, suite.repeat());
        Ok(suite)
    }

    /// `cargo test` with what every run shares.
    pub fn cargo_test(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.cargo(["test", "--no-fail-fast", "--locked"]);
        command.args(arguments);
        self.share(&mut command, |path| path.into());
        command
    }

    /// Sets the variables that tests read (CONTRIBUTING.md); `name` is how the tests' system calls a file of this one.
    pub fn share(&self, command: &mut Command, name: impl Fn(&Path) -> OsString) {
        command
            .env("OSTIA_SEED", self.seed.to_string())
            .env("OSTIA_REPEAT", self.repeat())
            .env("OSTIA_SKIPPED", name(&self.skipped))
            .env("OSTIA_CONFORMANCE", name(&self.matrices))
            .env("OSTIA_CAPTURES", name(&self.captures));
    }

    /// Where tests put their captures.
    pub fn captures(&self) -> &Path {
        &self.captures
    }

    /// Runs one `cargo test` to its end and adds it to the sum.
    pub fn run(&mut self, name: &str, mut command: Command) {
        println!("\n== {name}");
        if !self.options.filter.is_empty() {
            command.arg("--").args(&self.options.filter);
        }
        let began = Instant::now();
        let limit = if self.options.full { FULL_LIMIT } else { LIMIT };
        self.count(name, command, limit, runner::kill_tree);
        self.took(name, began.elapsed());
    }

    /// Runs one runner and adds it to the sum; `kill` gets its process if `limit` runs out.
    pub fn count(&mut self, name: &str, mut command: Command, limit: Duration, kill: impl FnOnce(u32) + Send + 'static) {
        // Absent on the first run.
        let _ = fs::remove_file(&self.skipped);
        let (printed, ended_well) = runner::counted(&mut command, limit, kill, &mut io::stdout());
        let skips = fs::read_to_string(&self.skipped).unwrap_or_default();
        self.tally.add(name, printed, tally::read_skips(&skips), ended_well);
    }

    /// Notes how long something took, to be printed at the end.
    pub fn took(&mut self, name: &str, time: Duration) {
        self.times.push((name.to_owned(), time));
    }

    /// Runs a part whose sum is also printed by itself, under a label.
    pub fn part<T>(&mut self, label: &str, runs: impl FnOnce(&mut Self) -> T) -> T {
        let mut tally = Tally::default();
        tally.label(label);
        let whole = mem::replace(&mut self.tally, tally);
        let result = runs(self);
        let part = mem::replace(&mut self.tally, whole);
        println!("\n{part}");
        self.tally.absorb(part);
        result
    }

    /// `--full` and an `OSTIA_REPEAT` of the caller's both ask for the full counts.
    fn repeat(&self) -> &'static str {
        let asked = env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full");
        if self.options.full || asked { "full" } else { "ci" }
    }

    /// Prints the matrices, the times, the skipped tests and the sum; true if no test failed.
    pub fn finish(self) -> bool {
        matrices::print(&self.matrices);
        println!();
        for (name, time) in &self.times {
            println!("{:7.1} s  {name}", time.as_secs_f64());
        }
        println!("{}", self.tally);
        self.tally.succeeded()
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

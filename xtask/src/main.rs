//! `cargo xtask …`: the commands which people and the automatic checks run on this workspace.

mod captures;
mod checks;
mod foreign;
mod lint;
mod matrices;
mod packages;
mod runner;
mod suite;
mod tally;
mod test;
mod toolchain;
mod windows;
mod workspace;

use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Runs the tests, lints, documentation build and measurements of the Ostia workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every test, and say at the end which were skipped and why
    Test(suite::Options),
    /// Check formatting, clippy and the rules of style which a text search can check
    Lint,
    /// Build the documentation; a warning is an error
    Doc,
    /// Build and run the measurements: `cargo xtask bench --help` lists them
    #[command(disable_help_flag = true)]
    Bench {
        /// Handed to the bench program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Type-check the port for FreeBSD and macOS, where it has never run
    Bsd(foreign::Options),
    /// Build the wire formats and the TCP/IP stack for a machine without a system (`no_std`)
    Bare(foreign::Options),
    /// Build for Windows, or run the tests under Wine
    #[command(subcommand)]
    Windows(windows::Task),
    /// lint, doc and test, one after the other, as the automatic checks do
    Ci,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let workspace = match Workspace::locate() {
        Ok(workspace) => workspace,
        Err(error) => {
            eprintln!("xtask: {error}");
            return ExitCode::FAILURE;
        }
    };
    let succeeded = match arguments.task {
        Task::Test(options) => test::run(&workspace, &options),
        Task::Lint => lint::run(&workspace),
        Task::Doc => documentation(&workspace),
        Task::Bench { arguments } => bench(&workspace, &arguments),
        Task::Bsd(options) => foreign::BSD.run(&workspace, &options),
        Task::Bare(options) => foreign::BARE.run(&workspace, &options),
        Task::Windows(task) => windows::run(&workspace, &task),
        Task::Ci => lint::run(&workspace) && documentation(&workspace) && test::run(&workspace, &suite::Options::default()),
    };
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds the documentation of every crate of the workspace with warnings denied.
fn documentation(workspace: &Workspace) -> bool {
    let mut command = workspace.cargo(["doc", "--workspace", "--no-deps", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    let succeeded = runner::succeeds(&mut command);
    println!("doc: {}", if succeeded { "ok" } else { "FAILED" });
    succeeded
}

/// Replaces nothing: runs the bench program, in release mode, and hands on its success.
fn bench(workspace: &Workspace, arguments: &[String]) -> bool {
    packages::prepare(packages::Use::Bench, true);
    let mut command: Command = workspace.cargo(["run", "--release", "--quiet", "--locked", "-p", "bench", "--"]);
    command.args(arguments);
    runner::succeeds(&mut command)
}

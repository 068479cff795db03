//! The `ostia` program: reads the command line and runs what it asks for.
#![forbid(unsafe_code)]

use clap::Parser as _;
use ostia_cli::args::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => ostia_cli::serve::run(args),
        Command::Echo(args) => ostia_cli::echo::run(args),
        Command::Doctor(args) => ostia_cli::doctor::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

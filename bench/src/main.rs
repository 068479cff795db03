//! The `bench` program: measures Ostia beside its rivals and prints tables, JSON and a picture.
//!
//! How it measures, and what each rival is, is described in `bench/README.md`.

mod cli;
mod compare;
mod counts;
mod driven;
mod idle;
mod load;
mod machine;
mod nginx;
mod paired;
mod perf;
mod prepare;
mod random;
mod report;
mod run;
mod server;
mod shared;
mod stats;
mod target;
mod timers;
mod wrk;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Common, Idle};
use report::{Report, html, table};
use target::Service;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match measure(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(command: &Command) -> Result<(), String> {
    let common = command.common();
    if let Command::Shared { shared, .. } = command {
        return shared::run(common, shared);
    }
    let mut session = run::Session::new(common, command.services())?;
    match command {
        Command::Echo { echo, .. } => session.echo(echo)?,
        Command::Http { http, .. } => session.http(http)?,
        Command::Idle { idle, .. } => session.idle(idle)?,
        Command::Instructions { waves, .. } => session.instructions(waves)?,
        Command::Syscalls { waves, .. } => session.system_calls(waves)?,
        Command::Shared { .. } => {}
        Command::All { .. } => {
            session.system_calls(&cli::Waves::default())?;
            session.instructions(&cli::Waves::default())?;
            for touched in [false, true] {
                session.idle(&Idle { connections: 10_000, touched })?;
            }
            session.echo(&cli::Echo::default())?;
            session.http(&cli::Http::default())?;
            session.udp(&cli::Udp::default())?;
            session.axum(&cli::Axum::default())?;
            session.timers(&cli::Timers::default())?;
            session.wakes(&cli::Wakes::default())?;
            session.stack(&cli::Stack::default())?;
        }
        Command::Udp { udp, .. } => session.udp(udp)?,
        Command::Axum { axum, .. } => session.axum(axum)?,
        Command::Timers { timers, .. } => session.timers(timers)?,
        Command::Wakes { wakes, .. } => session.wakes(wakes)?,
        Command::Stack { stack, .. } => session.stack(stack)?,
        Command::Tun { tun, .. } => session.tun(tun)?,
    }
    publish(&session.report, common)
}

impl Command {
    /// Whose servers it measures.
    fn services(&self) -> &'static [Service] {
        match self {
            Command::Http { .. } => &[Service::Http],
            Command::Udp { .. } => &[Service::Udp],
            Command::Axum { .. } => &[Service::Axum],
            Command::Wakes { .. } => &[Service::Wakes],
            Command::Stack { .. } => &[Service::Stack],
            Command::Tun { .. } => &[Service::Tun],
            Command::Timers { .. } => &[],
            Command::All { .. } => &[Service::Echo, Service::Http, Service::Udp, Service::Axum, Service::Wakes, Service::Stack],
            _ => &[Service::Echo],
        }
    }

    fn common(&self) -> &Common {
        match self {
            Command::Echo { common, .. }
            | Command::Http { common, .. }
            | Command::Idle { common, .. }
            | Command::Instructions { common, .. }
            | Command::Syscalls { common, .. }
            | Command::Shared { common, .. }
            | Command::Udp { common, .. }
            | Command::Axum { common, .. }
            | Command::Timers { common, .. }
            | Command::Wakes { common, .. }
            | Command::Stack { common, .. }
            | Command::Tun { common, .. }
            | Command::All { common } => common,
        }
    }
}

/// Prints the tables and writes the files asked for.
fn publish(report: &Report, common: &Common) -> Result<(), String> {
    println!("{}\n{}", table::render(report), table::summary(report));
    if let Some(path) = &common.json {
        let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
        write(path, &json)?;
    }
    if let Some(path) = &common.html {
        write(path, &html::render(report))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

//! The `ostia` program: reads its settings and runs what the command line asks for.
#![forbid(unsafe_code)]

use ostia_cli::args::{Command, Common, ConfigAction, StackAction};
use ostia_cli::config::{self, Loaded, Refused, Source};
use ostia_cli::errors::PARTIAL;
use ostia_cli::{doctor, echo, launch, log, output, ping, serve, shell, sim, stack};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    launch::guard_start();
    match run() {
        Ok(()) => {
            log::finish();
            if launch::was_partial() { ExitCode::from(PARTIAL) } else { ExitCode::SUCCESS }
        }
        Err(Refused::Failure(failure)) => failure.report(),
        Err(Refused::Clap(error)) => {
            // Help and version come this way too. Whoever reads them may stop early.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

fn run() -> Result<(), Refused> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let environment = |name: &str| std::env::var_os(name);
    let Loaded { cli, settings } = config::load(&words, &environment, output::early_choice(&words))?;
    output::set_up(&cli.global);
    log::set_up(&cli.global.log)?;
    let has_address = settings.iter().any(|one| one.setting.key == "addr" && one.source != Source::Default);
    match cli.command {
        Command::Serve(mut args) => {
            adopt(&mut args.common, has_address);
            serve::run(args)?;
        }
        Command::Echo(mut args) => {
            adopt(&mut args.common, has_address);
            echo::run(args)?;
        }
        Command::Doctor(args) => doctor::run(&args)?,
        Command::Ping(args) => ping::run(&args)?,
        Command::Stack(args) => match &args.action {
            Some(StackAction::Explain(args)) => stack::explain::run(args)?,
            None => stack::watch::run(&args.watch)?,
        },
        Command::Sim(args) => sim::run(&args)?,
        Command::Config(args) => match &args.action {
            ConfigAction::Check { file } => config::check(file)?,
            ConfigAction::Show { file, command } => {
                config::show(file.as_deref().or(cli.global.config.as_deref()), command, &environment)?;
            }
        },
        Command::Completions(args) => shell::completions(args)?,
        Command::Man(args) => shell::man(&args)?,
    }
    Ok(())
}

/// Where systemd hands sockets over and no address was given, those are meant.
fn adopt(common: &mut Common, has_address: bool) {
    if !has_address && launch::inherited::offered() {
        common.addresses = vec!["systemd".to_owned()];
    }
}

//! Logging: what is logged, in which shape, and where it goes.
//!
//! Diagnostics are events of `tracing`; requests come from [`access_log`](crate::access_log). Both go to a [`Sink`], whose
//! thread writes them: no worker ever waits for a disk or a terminal.

pub mod diagnostics;
#[cfg(unix)]
mod reopen;
pub mod rotate;
pub mod sink;

#[cfg(unix)]
use reopen::reopen_on_signal;

use crate::args::{LogArgs, LogFormat};
use crate::errors::Failure;
use crate::output;
use diagnostics::Diagnostics;
use rotate::{LogFile, Policy};
use sink::Sink;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

/// How long what was logged may take to be written at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The logs of the program.
#[derive(Debug)]
struct Logs {
    args: LogArgs,
    /// All sinks with the files that they write to.
    all: Mutex<Vec<(Option<PathBuf>, Sink)>>,
}

static LOGS: OnceLock<Logs> = OnceLock::new();

/// Opens the log and has diagnostics go there. To be called once; later calls change nothing.
///
/// # Errors
/// When the file can't be opened, or no thread be had.
pub fn set_up(args: &LogArgs) -> Result<(), Failure> {
    if LOGS.get().is_some() {
        return Ok(());
    }
    let main = match &args.log_file {
        Some(path) => open(path, args)?,
        None => Sink::to_stream(io::stderr(), "on standard error", args.log_format).map_err(|error| Failure::start(&error))?,
    };
    let all = Mutex::new(vec![(args.log_file.clone(), main.clone())]);
    if LOGS.set(Logs { args: args.clone(), all }).is_err() {
        main.finish(PATIENCE);
        return Ok(());
    }
    // Checked by the command line.
    let filter: Targets = args.log_level.parse().unwrap_or_default();
    let color = args.log_file.is_none() && output::colors_errors();
    let layer = Diagnostics::new(main, args.log_format, color).with_filter(filter);
    // Somebody else's subscriber serves as well.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
    if args.log_file.is_some() {
        reopen_on_signal().map_err(|error| Failure::start(&error))?;
    }
    Ok(())
}

fn open(path: &Path, args: &LogArgs) -> Result<Sink, Failure> {
    let policy = Policy { size: args.log_max_size, age: args.log_max_age, keep: args.log_keep };
    let file = LogFile::open(path, policy).map_err(|error| Failure::log(path, &error))?;
    Sink::to_file(file, args.log_format).map_err(|error| Failure::log(path, &error))
}

/// Where the access log goes: `to` is a path, `-`, or nothing, which means the log file if there is one and else standard
/// output.
///
/// # Errors
/// When the file can't be opened, or no thread be had.
pub fn access(to: Option<&str>) -> Result<(Sink, LogFormat), Failure> {
    let Some(logs) = LOGS.get() else {
        let sink = Sink::to_stream(io::stdout(), "on standard output", LogFormat::Pretty);
        return sink.map(|sink| (sink, LogFormat::Pretty)).map_err(|error| Failure::start(&error));
    };
    let format = logs.args.log_format;
    let mut all = logs.all.lock().unwrap_or_else(PoisonError::into_inner);
    let path = match to {
        None => logs.args.log_file.as_deref(),
        Some("-") => None,
        Some(path) => Some(Path::new(path)),
    };
    if let Some(path) = path
        && let Some((_, sink)) = all.iter().find(|(known, _)| known.as_deref() == Some(path))
    {
        return Ok((sink.clone(), format));
    }
    let sink = match path {
        Some(path) => open(path, &logs.args)?,
        None => Sink::to_stream(io::stdout(), "on standard output", format).map_err(|error| Failure::start(&error))?,
    };
    all.push((path.map(Path::to_owned), sink.clone()));
    drop(all);
    if path.is_some() && logs.args.log_file.is_none() {
        reopen_on_signal().map_err(|error| Failure::start(&error))?;
    }
    Ok((sink, format))
}

/// Whether diagnostics go to a file, so that standard error does not have them.
#[must_use]
pub fn is_to_file() -> bool {
    LOGS.get().is_some_and(|logs| logs.args.log_file.is_some())
}

/// Whether any log is a file.
#[must_use]
pub fn has_files() -> bool {
    sinks().iter().any(|(path, _)| path.is_some())
}

/// Opens all log files anew.
pub fn reopen() {
    sinks().iter().for_each(|(_, sink)| sink.reopen());
}

/// Every sink, with what it has done: name first.
#[must_use]
pub fn counts() -> Vec<(String, sink::Counts)> {
    sinks().iter().map(|(_, sink)| (sink.name().to_owned(), sink.counts())).collect()
}

/// Writes what is left. Later lines are lost.
pub fn finish() {
    sinks().iter().for_each(|(_, sink)| sink.finish(PATIENCE));
}

/// There is no signal that could ask for it.
#[cfg(windows)]
fn reopen_on_signal() -> io::Result<()> {
    Ok(())
}

fn sinks() -> Vec<(Option<PathBuf>, Sink)> {
    LOGS.get().map(|logs| logs.all.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
}

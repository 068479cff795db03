//! What servers do alike: addresses, workers, signals, the service manager, the end.

mod server;
mod stop;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use server::{Server, ServerBuilder};
pub use stop::Stop;
pub use system::{can_listen_on, inherited, notify};

use crate::args::Common;
use crate::errors::{Failure, INTERRUPTED};
use crate::{log, output};
use ostia::Runtime;
use ostia::net::Endpoint;
use ostia::serve::ServerHandle;
use serde_json::json;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Some connections had to be cut off.
static PARTIAL: AtomicBool = AtomicBool::new(false);

/// Whether part of the work could not be done, though nothing failed: exit code [`PARTIAL`](crate::errors::PARTIAL).
#[must_use]
pub fn was_partial() -> bool {
    PARTIAL.load(Ordering::Relaxed)
}

/// Part of the work could not be done.
pub fn mark_partial() {
    PARTIAL.store(true, Ordering::Relaxed);
}

/// Reads the addresses of the command line. Those that systemd hands over are not among them: [`bind`] adds them.
///
/// # Errors
/// A usage error that names the first that is none.
pub fn endpoints(common: &Common) -> Result<Vec<Endpoint>, Failure> {
    let read = |text: &String| {
        can_listen_on(text)?;
        text.parse::<Endpoint>().map_err(|why| Failure::address(text, &why))
    };
    common.addresses.iter().filter(|text| !inherited::is_name(text)).map(read).collect()
}

/// Makes the workers.
///
/// # Errors
/// When a demanded driver, a descriptor or a thread can't be had.
pub fn runtime(common: &Common) -> Result<Runtime, Failure> {
    let common = &crate::network::workers(common);
    let mut builder = Runtime::builder().pin(common.pin).driver(common.driver.into()).stuck_after(common.stuck_after);
    if let Some(workers) = common.workers {
        builder = builder.workers(workers.get());
    }
    builder.build().map_err(|error| Failure::start(&error))
}

/// Settings of a server.
#[must_use]
pub fn server(common: &Common) -> ServerBuilder {
    ServerBuilder::new(common)
}

/// Binds a server's endpoints, and takes over the sockets that systemd hands over. To be called in the runtime.
///
/// # Errors
/// A failure that names the endpoint at fault.
pub fn bind(builder: ServerBuilder, endpoints: &[Endpoint]) -> Result<Server, Failure> {
    // Sockets that share a port let a second server share it too, unnoticed. One that doesn't share finds out.
    let shared = !ostia::net::Network::current().is_engines();
    for endpoint in endpoints.iter().filter(|_| shared) {
        probe(endpoint).map_err(|error| Failure::listen(&endpoint.to_string(), &error))?;
    }
    builder.bind(endpoints)
}

fn probe(endpoint: &Endpoint) -> io::Result<()> {
    match endpoint {
        Endpoint::Ip(address) => TcpListener::bind(address).map(drop),
        Endpoint::Name(name, port) => TcpListener::bind((name.as_str(), *port)).map(drop),
        // A path can't be shared; a wrong one is found out when it is bound.
        _ => Ok(()),
    }
}

/// Until the server has started, SIGINT (Ctrl-C) ends the program with [`INTERRUPTED`].
static STARTING: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Has SIGINT end the program with [`INTERRUPTED`] until [`stop_on_signals`] is called, or something announced.
pub fn guard_start() {
    let starting = STARTING.get_or_init(|| Arc::new(AtomicBool::new(true)));
    // Failing that, SIGINT kills the program, which shells show as the same number.
    let sigint = signal_hook::consts::SIGINT;
    let _ = signal_hook::flag::register_conditional_shutdown(sigint, INTERRUPTED.into(), starting.clone());
}

/// The start is over: SIGINT no longer ends the program at once, and whoever calls this watches for it.
pub fn started() {
    if let Some(starting) = STARTING.get() {
        starting.store(false, Ordering::SeqCst);
    }
}

/// Stops the server at the first SIGTERM or SIGINT, and the process at the second; at SIGHUP opens the log files anew if
/// there are any, or says so to systemd. On Windows the events of the console stand for the first two. To be called in the
/// runtime.
///
/// # Errors
/// When no descriptor is left to hear of signals by.
pub fn stop_on_signals(handle: &ServerHandle) -> Result<(), Failure> {
    let (mut stop, handle) = (Stop::watch()?, handle.clone());
    let stopping = async move {
        while stop.asked().await.is_ok() {
            if handle.is_stopping() {
                // Whoever asks twice does not want to wait for the rest.
                log::finish();
                std::process::exit(INTERRUPTED.into());
            }
            notify::stopping();
            handle.stop();
        }
    };
    ostia::spawn(stopping).detach();
    started();
    system::reload_on_hangup()
}

/// Prints a line to standard output, which may have no reader any more. With `--json`, "listening on ADDRESS" becomes
/// `{"event":"listening","address":"ADDRESS"}`, and other lines `{"event":"message","text":LINE}`.
pub fn announce(line: &str) {
    started();
    output::print(line, || match line.strip_prefix("listening on ") {
        Some(address) => json!({ "event": "listening", "address": address }),
        None => json!({ "event": "message", "text": line }),
    });
}

/// Logs warnings and errors of the runtime to standard error, unless the program has set its log up already.
pub fn report_warnings() {
    use clap::Parser as _;
    // Any subcommand will do for the defaults of logging.
    if let Ok(cli) = crate::args::Cli::try_parse_from(["ostia", "doctor"]) {
        // Without a thread there is no log.
        let _ = log::set_up(&cli.global.log);
    }
}

//! What `serve` and `echo` do alike: addresses, workers, signals, the end.

use crate::args::{Common, Driver};
use crate::errors::Failure;
use ostia::net::Endpoint;
use ostia::serve::{Server, ServerBuilder, ServerHandle};
use ostia::signal::{Signal, SignalKind};
use ostia::{DriverChoice, Runtime};
use std::io::{self, Write as _};
use std::net::TcpListener;

impl From<Driver> for DriverChoice {
    fn from(driver: Driver) -> DriverChoice {
        match driver {
            Driver::Auto => DriverChoice::Auto,
            Driver::IoUring => DriverChoice::IoUring,
            Driver::Epoll => DriverChoice::Epoll,
        }
    }
}

/// Reads the addresses of the command line.
///
/// # Errors
/// A usage error that names the first that is none.
pub fn endpoints(common: &Common) -> Result<Vec<Endpoint>, Failure> {
    let read = |text: &String| text.parse::<Endpoint>().map_err(|why| Failure::address(text, &why));
    common.addresses.iter().map(read).collect()
}

/// Makes the workers.
///
/// # Errors
/// When a demanded driver, a descriptor or a thread can't be had.
pub fn runtime(common: &Common) -> Result<Runtime, Failure> {
    let mut builder = Runtime::builder().pin(common.pin).driver(common.driver.into());
    if let Some(workers) = common.workers {
        builder = builder.workers(workers.get());
    }
    builder.build().map_err(|error| Failure::start(&error))
}

/// Settings of a server for these endpoints.
pub fn server(common: &Common, endpoints: &[Endpoint]) -> ServerBuilder {
    let mut builder = Server::builder().drain(common.drain);
    for endpoint in endpoints {
        builder = builder.listen(endpoint.clone());
    }
    if let Some(most) = common.max_connections {
        builder = builder.max_connections(most.get());
    }
    builder
}

/// Binds a server's endpoints. To be called in the runtime.
///
/// # Errors
/// A failure that names the endpoint at fault.
pub fn bind(builder: ServerBuilder, endpoints: &[Endpoint]) -> Result<Server, Failure> {
    // Sockets that share a port let a second server share it too, unnoticed. One that doesn't share finds out.
    for endpoint in endpoints {
        probe(endpoint).map_err(|error| Failure::listen(&endpoint.to_string(), &error))?;
    }
    builder.build().map_err(|error| {
        let text = error.to_string();
        let culprit = endpoints.iter().map(Endpoint::to_string).find(|endpoint| text.starts_with(endpoint));
        Failure::listen(&culprit.unwrap_or_default(), &error)
    })
}

fn probe(endpoint: &Endpoint) -> io::Result<()> {
    match endpoint {
        Endpoint::Ip(address) => TcpListener::bind(address).map(drop),
        Endpoint::Name(name, port) => TcpListener::bind((name.as_str(), *port)).map(drop),
        // A path can't be shared; a wrong one is found out when it is bound.
        _ => Ok(()),
    }
}

/// Stops the server at the first SIGTERM or SIGINT, and the process at the second. To be called in the runtime.
///
/// # Errors
/// When no descriptor is left to hear of signals by.
pub fn stop_on_signals(handle: &ServerHandle) -> Result<(), Failure> {
    for kind in [SignalKind::Terminate, SignalKind::Interrupt] {
        let mut signal = Signal::new(kind).map_err(|error| Failure::start(&error))?;
        let handle = handle.clone();
        let stop = async move {
            while signal.recv().await.is_ok() {
                if handle.is_stopping() {
                    // Whoever asks twice does not want to wait for the rest.
                    std::process::exit(1);
                }
                handle.stop();
            }
        };
        ostia::spawn(stop).detach();
    }
    Ok(())
}

/// Prints a line to standard output, which may have no reader any more.
pub fn announce(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Prints warnings and errors of the runtime to standard error.
pub fn report_warnings() {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .finish();
    // Somebody else's subscriber serves as well.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

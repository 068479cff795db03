//! `ostia serve`: the files of a directory over HTTP/1.1.

mod connection;
mod counters;
mod simulated;
mod worker;

pub use counters::{Durations, HttpCounters};
pub(crate) use simulated::serve_in_world;

use crate::access_log::AccessLog;
use crate::args::ServeArgs;
use crate::errors::Failure;
use crate::files::cache::Settings;
use crate::files::root::Root;
use crate::hosts::Hosts;
use crate::http::request::Limits;
use crate::http::response::{Clock, Persistence, Status, error};
use crate::{launch, limits, log, network, output};
use ostia::Address;
use ostia::net::{Endpoint, Stream};
use ostia::serve::Served;
use serde_json::json;
use std::io;
use std::net::Shutdown;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use worker::{Shared, Times, Worker};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, each with a remedy.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    launch::report_warnings();
    launch::endpoints(&args.common)?;
    let root = Root::open(&args.dir).map_err(|error| Failure::root(&args.dir, &error))?;
    let descriptors = limits::raise_descriptors();
    let mut runtime = launch::runtime(&args.common)?;
    let files = limits::files(descriptors) / runtime.workers().len();
    let log = match args.access_log.as_deref() {
        _ if args.no_access_log => None,
        Some("off") => None,
        to => {
            let (sink, format) = log::access(to)?;
            Some(AccessLog::new(sink, format))
        }
    };
    let opened = runtime.block_on(async {
        let opened = network::open(&args.common.network).await?;
        let endpoints = opened.endpoints(&args.common)?;
        let shared = Arc::new(Shared {
            root: Arc::new(root),
            settings: Settings {
                capacity: NonZeroUsize::new(files).unwrap_or(NonZeroUsize::MIN),
                revalidate: args.revalidate,
                hidden: args.hidden,
                simulated: false,
            },
            hosts: Arc::new(Hosts::new(&args.allow_hosts, hosts(&args, &endpoints))),
            log,
            counted: args.common.metrics.is_some(),
            limits: Limits::default(),
            times: Times::from(&args),
        });
        opened.run(serve(&args, &endpoints, &shared, &opened)).await?;
        Ok(opened)
    })?;
    runtime.shutdown(Duration::ZERO);
    opened.finish();
    // The other workers' threads have ended, and have handed their lines on; the log is written out at the program's end.
    Worker::flush_here();
    Ok(())
}

/// What the workers have counted, each; nothing where no files are served. To be called in the runtime.
pub async fn counters() -> Vec<HttpCounters> {
    let mut all = Vec::new();
    for worker in ostia::workers() {
        all.extend(ostia::spawn_on(worker, || async { Worker::counters_here() }).await.ok().flatten());
    }
    all
}

async fn serve(
    args: &ServeArgs,
    endpoints: &[Endpoint],
    shared: &Arc<Shared>,
    opened: &network::Opened,
) -> Result<Served, Failure> {
    let mut builder = launch::server(&args.common);
    if args.common.max_connections.is_some() {
        builder = builder.reject(|stream, _| turn_away(stream));
    }
    let server = launch::bind(builder, endpoints)?;
    launch::stop_on_signals(&server.handle())?;
    prepare(shared).await?;
    announce(&server);
    let shared = shared.clone();
    let served = server.run(move |stream, _| {
        let worker = Worker::here(&shared);
        async move {
            // Made when the server started; can't be missing.
            if let Ok(worker) = worker {
                connection::serve(stream, worker).await;
            }
        }
    });
    served.await.map_err(|error| opened.failure(&error))
}

/// Makes every worker's part now, so that what is missing is told of before anybody connects.
async fn prepare(shared: &Arc<Shared>) -> Result<(), Failure> {
    for worker in ostia::workers() {
        let shared = shared.clone();
        let made = ostia::spawn_on(worker, move || async move { Worker::here(&shared).map(drop) });
        made.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| Failure::start(&error))?;
    }
    Ok(())
}

/// The hosts of what is listened on. Sockets that systemd hands over may be reached under names that aren't known here.
fn hosts<'a>(args: &ServeArgs, endpoints: &'a [Endpoint]) -> Vec<Option<&'a str>> {
    let inherited = args.common.addresses.iter().any(|address| launch::inherited::is_name(address));
    endpoints.iter().map(host).chain(inherited.then_some(None)).collect()
}

/// The host of an address to listen on; none for a Unix socket.
fn host(endpoint: &Endpoint) -> Option<&str> {
    match endpoint {
        Endpoint::Name(name, _) => Some(name),
        Endpoint::Ip(address) if address.ip().to_canonical().is_loopback() => Some("localhost"),
        // Any address that is no loopback address: which one makes no difference.
        Endpoint::Ip(_) => Some("0.0.0.0"),
        _ => None,
    }
}

fn announce(server: &launch::Server) {
    for address in server.addresses() {
        let url = url(&address);
        output::print(&url, || {
            let url = url.strip_prefix("listening on ").is_none().then_some(&url);
            json!({ "event": "listening", "address": address.to_string(), "url": url })
        });
    }
}

fn url(address: &Address) -> String {
    match address.ip() {
        Some(ip) => format!("http://{ip}/"),
        None => format!("listening on {address}"),
    }
}

/// Tells a connection above the cap to come again.
async fn turn_away(mut stream: Stream) {
    let mut out = Vec::new();
    error(&mut out, Status::ServiceUnavailable, &Clock::default(), Persistence::Close, false);
    if stream.send(out).await.is_ok() && stream.shutdown(Shutdown::Write).await.is_ok() {
        // Closing with a request unread would reset the connection, and the reset could overtake the answer.
        while let Ok(Some(_)) = stream.recv().await {}
    }
}

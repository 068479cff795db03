//! The file server in a simulation: all of it but signals, the log, and whatever else is the machine's.

use super::connection;
use super::worker::{Shared, Times, Worker};
use crate::args::{Cli, Command, ServeArgs};
use crate::files::cache::Settings;
use crate::files::root::Root;
use crate::hosts::Hosts;
use crate::http::request::Limits;
use clap::Parser as _;
use ostia::net::Endpoint;
use ostia::serve::Server;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// Files that are kept in the cache.
const FILES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Serves a folder on the current network, with the settings that `ostia serve` has by itself, until it is dropped.
///
/// # Errors
/// When the folder can't be opened, or an address not be listened on.
pub(crate) async fn serve_in_world(folder: &Path, endpoints: &[Endpoint]) -> io::Result<()> {
    let args = defaults(folder)?;
    let shared = Arc::new(Shared {
        root: Arc::new(Root::open(folder)?),
        settings: Settings { capacity: FILES, revalidate: args.revalidate, hidden: args.hidden, simulated: true },
        // Nobody here can be misled by a name.
        hosts: Arc::new(Hosts::new(&["*".to_owned()], [])),
        log: None,
        counted: false,
        limits: Limits::default(),
        times: Times::from(&args),
    });
    Worker::here(&shared)?;
    let mut builder = Server::builder().drain(args.common.drain);
    for endpoint in endpoints {
        builder = builder.listen(endpoint.clone());
    }
    let served = builder.build()?.run(move |stream, _| {
        let worker = Worker::here(&shared);
        async move {
            // Made before the server; can't be missing.
            if let Ok(worker) = worker {
                connection::serve(stream, worker).await;
            }
        }
    });
    served.await.map(drop)
}

/// The settings of `ostia serve FOLDER`.
fn defaults(folder: &Path) -> io::Result<ServeArgs> {
    let words = ["ostia".as_ref(), "serve".as_ref(), "--".as_ref(), folder.as_os_str()];
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Serve(args)) => Ok(args),
        Ok(_) => Err(io::ErrorKind::InvalidInput.into()),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
    }
}

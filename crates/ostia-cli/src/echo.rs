//! `ostia echo`: an echo server in ordinary async Ostia, its time limit on.

use crate::args::EchoArgs;
use crate::errors::Failure;
use crate::{launch, limits};
use ostia::net::Stream;
use ostia::time::timeout;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, each with a remedy.
pub fn run(args: EchoArgs) -> Result<(), Failure> {
    launch::report_warnings();
    let endpoints = launch::endpoints(&args.common)?;
    limits::raise_descriptors();
    let mut runtime = launch::runtime(&args.common)?;
    let idle = args.idle_timeout;
    runtime.block_on(async {
        let server = launch::bind(launch::server(&args.common, &endpoints), &endpoints)?;
        launch::stop_on_signals(&server.handle())?;
        for address in server.addresses() {
            launch::announce(&format!("listening on {address}"));
        }
        let served = server.run(move |stream, _| async move {
            // A peer that has gone, or was silent for too long, is nobody to tell.
            let _ = echo(stream, idle).await;
        });
        served.await.map_err(|error| Failure::start(&error))
    })?;
    runtime.shutdown(Duration::ZERO);
    Ok(())
}

async fn echo(mut stream: Stream, idle: Duration) -> io::Result<()> {
    while let Some(chunk) = timeout(idle, stream.recv()).await?? {
        timeout(idle, stream.send(chunk)).await??;
    }
    stream.shutdown(Shutdown::Write).await
}

//! `ostia echo`: an echo server in ordinary async Ostia, its time limit on.

use crate::args::EchoArgs;
use crate::errors::Failure;
use crate::{launch, limits};
use ostia::time::timeout;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a connection may be silent, or a peer not read. It is the same for the whole program, and so need not stand in
/// the future of each connection.
static IDLE: OnceLock<Duration> = OnceLock::new();

fn idle() -> Duration {
    IDLE.get().copied().unwrap_or(Duration::MAX)
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, each with a remedy.
pub fn run(args: EchoArgs) -> Result<(), Failure> {
    launch::report_warnings();
    let endpoints = launch::endpoints(&args.common)?;
    limits::raise_descriptors();
    let mut runtime = launch::runtime(&args.common)?;
    let _ = IDLE.set(args.idle_timeout);
    runtime.block_on(async {
        let server = launch::bind(launch::server(&args.common, &endpoints), &endpoints)?;
        launch::stop_on_signals(&server.handle())?;
        for address in server.addresses() {
            launch::announce(&format!("listening on {address}"));
        }
        // What an idle connection keeps is this future, so it is written to be small: one block that owns the stream, and a
        // loop head of its own, for what stands in a `while let` lives on through the body. A peer that has gone, or was
        // silent for too long, is nobody to tell: the outcome is dropped.
        let served = server.run(|mut stream, _| async move {
            loop {
                // At the peer's end the stream is dropped, which closes it once everything accepted has gone out.
                let Some(chunk) = timeout(idle(), stream.recv()).await?? else { return io::Result::Ok(()) };
                timeout(idle(), stream.send(chunk)).await??;
            }
        });
        served.await.map_err(|error| Failure::start(&error))
    })?;
    runtime.shutdown(Duration::ZERO);
    Ok(())
}

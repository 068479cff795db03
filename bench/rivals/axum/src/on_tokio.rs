//! tokio's side: `axum::serve` on a current-thread runtime; with `--limits on` hyper driven by hand, which alone can
//! limit how long a request's head may take.

use std::io;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::args::{self, Args};

/// Serves on this thread until the process is ended.
pub fn run(args: &Args) -> io::Result<()> {
    let limits = args.own("limits") == Some("on");
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io();
    if limits {
        builder.enable_time();
    }
    builder.build()?.block_on(async {
        // Accepted sockets have TCP_NODELAY from the listener.
        let listener = args::listen(args.addr)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        args::announce(listener.local_addr()?);
        if limits { limited(listener).await } else { axum::serve(listener, crate::router()).await }
    })
}

async fn limited(listener: TcpListener) -> io::Result<()> {
    let router = crate::router();
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(router.clone());
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
        // A connection that fails concerns its peer only.
        tokio::spawn(async move { drop(builder.serve_connection(TokioIo::new(stream), service).await) });
    }
}

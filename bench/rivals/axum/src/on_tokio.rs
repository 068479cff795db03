//! tokio's side: `axum::serve` on a current-thread runtime.

use std::io;

use tokio::net::TcpListener;

use crate::args::{self, Args};

/// Serves on this thread until the process is ended.
pub fn run(args: &Args) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        // Accepted sockets have TCP_NODELAY from the listener.
        let listener = args::listen(args.addr)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        args::announce(listener.local_addr()?);
        axum::serve(listener, crate::router()).await
    })
}

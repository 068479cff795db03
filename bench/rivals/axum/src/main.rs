//! One axum `Router` over Ostia or over tokio: `/` answers five bytes, `/64k` a body of 64 KiB from memory.
//!
//! Both are one program, so that router, hyper, compiler and allocator are the same and only what is under them differs.

#[path = "../../common/args.rs"]
mod args;
mod on_ostia;
mod on_tokio;

use std::error::Error;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;

/// Bytes of the long body.
const LONG: usize = 64 << 10;

fn router() -> Router {
    let long: Bytes = (0..LONG).map(|index| (index % 251) as u8).collect();
    Router::new().route("/", get(async || "hello")).route("/64k", get(async move || long))
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = args::Args::parse(&["on", "limits"]);
    match args.own("on") {
        None | Some("ostia") => on_ostia::run(&args, ostia::DriverChoice::IoUring),
        Some("ostia-epoll") => on_ostia::run(&args, ostia::DriverChoice::Epoll),
        Some("tokio") => Ok(on_tokio::run(&args)?),
        Some(other) => Err(format!("nothing called {other}: choose ostia, ostia-epoll or tokio").into()),
    }
}

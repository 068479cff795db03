//! One server in three designs, for `bench shared`: threads that take packets of one shared port, a private port for
//! each thread, and threads that take turns at leading one ring.
//!
//! All three answer requests of 64 bytes, which say how long to compute and how long to sleep, with the same bytes. A
//! request that doesn't come whole ends its connection: from one sender with one request under way it always does.

#[path = "../../common/args.rs"]
mod args;
mod leader;
mod shared;
mod work;
mod workers;

use std::io;

fn main() -> io::Result<()> {
    let args = args::Args::parse(&["design", "threads", "pool"]);
    let number = |name: &str, usual: usize| match args.own(name).map(str::parse) {
        None => Ok(usual),
        Some(Ok(number @ 1..=1024)) => Ok(number),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("--{name} must be 1 to 1024"))),
    };
    // How many threads run; how many there may be, so that some can block. A worker's port is its own: it has no others.
    let threads = number("threads", std::thread::available_parallelism().map_or(2, usize::from))?;
    let pool = number("pool", threads)?.max(threads);
    let listener = args::listen(args.addr)?;
    args::announce(listener.local_addr()?);
    match args.own("design") {
        Some("shared") => shared::serve(listener, threads, pool),
        Some("workers") => workers::serve(listener, threads),
        Some("leader") => leader::serve(listener, pool),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "--design must be shared, workers or leader")),
    }
}

//! The floor: a hand-written single-thread io_uring echo loop that asks the kernel for no more than it must.
//!
//! One ring (single issuer, deferred and cooperative task run, no submission array, registered descriptor), sockets
//! in the ring's own file table, one multishot accept, one multishot receive a connection into a small provided
//! buffer ring, one enter a turn that both submits and waits.

#[path = "../../common/args.rs"]
mod args;
mod buffers;
mod echo;

use std::io;

fn main() -> io::Result<()> {
    let args = args::Args::parse(&[]);
    let listener = args::listen(args.addr)?;
    args::announce(listener.local_addr()?);
    echo::Echo::new(listener)?.run()
}

//! The shared port: one port, a pool of threads, the handler wherever there is one free.

use std::io;
use std::net::TcpListener;

use ostia_port::{Completion, Handle, Op, Payload, SharedConfig, SharedPort, ThreadPool, ThreadPoolConfig};

use crate::work::Work;

/// The completion key of the listener; a connection's is its own handle.
const LISTENER: u64 = 0;

/// Serves for ever with `threads` threads that run and `pool` that exist at most.
pub fn serve(listener: TcpListener, threads: usize, pool: usize) -> io::Result<()> {
    let port = SharedPort::with(SharedConfig { concurrency: threads, ..SharedConfig::default() })?;
    let listener = port.adopt(listener, LISTENER)?;
    port.submit(Op::AcceptMulti { listener }, 0)?;
    let config = ThreadPoolConfig { min: threads, max: pool, ..ThreadPoolConfig::default() };
    let _pool = ThreadPool::start(&port, config, |port, done| {
        if let Err(error) = handle(port, done) {
            eprintln!("{error}");
        }
    })?;
    loop {
        std::thread::park();
    }
}

fn handle(port: &SharedPort, done: Completion) -> io::Result<()> {
    let socket = Handle::from_bits(done.key);
    match (done.key, done.payload) {
        (LISTENER, Payload::Handle(socket)) => {
            port.associate(socket, socket.to_bits())?;
            port.submit(Op::RecvMulti { socket }, 0)?;
        }
        (LISTENER, _) => return Err(done.result.err().unwrap_or_else(|| io::Error::other("accepting has ended"))),
        (_, Payload::Chunk(request)) => match Work::of(&request) {
            Some(work) => {
                if work.blocks() {
                    port.blocking(|| work.run());
                } else {
                    work.run();
                }
                port.submit_quietly(Op::Send { socket, data: request.into() }, 0)?;
            }
            None => port.close(socket),
        },
        // The end of a connection, or its error.
        _ => port.close(socket),
    }
    Ok(())
}

//! An echo server in the shape that every Windows server has: accepts posted in advance, threads that loop around
//! GetQueuedCompletionStatus, a key per handle and a context per operation, exit packets for the stop.
//!
//! `cargo run --example iocp_style -- 127.0.0.1:7000 [CONNECTIONS]` serves until its standard input ends, or so many
//! connections have been served.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ostia_port::{Handle, Op, Packet, Payload, SharedPort};

/// Accepts posted at once.
const ACCEPTS: usize = 4;
/// Threads that wait on the port; it lets as many run as there are processors.
const WORKERS: usize = 8;

// Completion keys. A connection's is its own handle.
const LISTENER: u64 = 0;
const EXIT: u64 = u64::MAX;

// What an operation's context says: which one it was.
const ACCEPTED: u64 = 1;
const RECEIVED: u64 = 2;
const SENT: u64 = 3;
const PAUSED: u64 = 4;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7000".into());
    let connections = arguments.next().map(|count| count.parse().expect("CONNECTIONS is a number"));
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);

    let port = SharedPort::new()?;
    let stopper = port.clone();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        stop(&stopper);
    });
    serve(&port, listener, connections)
}

/// Serves until the exit packets come, which it posts itself after `connections`.
pub fn serve(port: &SharedPort, listener: TcpListener, connections: Option<u64>) -> io::Result<()> {
    let listener = port.adopt(listener, LISTENER)?;
    for _ in 0..ACCEPTS {
        port.submit(Op::Accept { listener }, ACCEPTED)?;
    }
    let left = AtomicU64::new(connections.unwrap_or(u64::MAX));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| work(port, listener, &left))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}

/// PostQueuedCompletionStatus, once for each worker.
pub fn stop(port: &SharedPort) {
    for _ in 0..WORKERS {
        // Refused only if the port has ended, which stops them too.
        let _ = port.post(Packet { key: EXIT, context: 0, result: 0 });
    }
}

fn work(port: &SharedPort, listener: Handle, left: &AtomicU64) -> io::Result<()> {
    loop {
        // GetQueuedCompletionStatus
        let Some(done) = port.wait(None)? else { continue };
        let socket = Handle::from_bits(done.key);
        match (done.key, done.context, done.payload) {
            (EXIT, ..) => return Ok(()),
            (LISTENER, ACCEPTED, Payload::Handle(socket)) => {
                // CreateIoCompletionPort: the connection gets a key of its own.
                port.associate(socket, socket.to_bits())?;
                port.submit(Op::Recv { socket }, RECEIVED)?;
                port.submit(Op::Accept { listener }, ACCEPTED)?;
            }
            (LISTENER, ACCEPTED, _) => {
                // Out of descriptors, perhaps: not again at once.
                port.submit(Op::Timeout { after: Duration::from_millis(100) }, PAUSED)?;
            }
            (LISTENER, ..) => drop(port.submit(Op::Accept { listener }, ACCEPTED)?),
            (_, RECEIVED, Payload::Chunk(bytes)) => drop(port.submit(Op::Send { socket, data: bytes.into() }, SENT)?),
            (_, SENT, _) if done.result.is_ok() => drop(port.submit(Op::Recv { socket }, RECEIVED)?),
            // The end of a connection, or its error.
            _ => {
                port.close(socket);
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    stop(port);
                }
            }
        }
    }
}

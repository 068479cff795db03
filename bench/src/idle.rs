//! Memory per idle connection: how much resident memory grows from listening to holding connections.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::machine;
use crate::server::Server;

/// Connections opened before the server gets time to accept them.
const BATCH: usize = 256;
/// Connections from one source address: below the 28,232 ports that Linux gives out by default.
const PER_SOURCE: usize = 20_000;
/// Descriptors that this process needs for other things.
const RESERVED: u64 = 64;
/// How long the server may take to accept a batch.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do with each connection.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many to hold.
    pub connections: usize,
    /// Exchange one message on each before measuring, so that what a connection needs to work has been allocated.
    pub touched: bool,
}

/// Bytes of resident memory per connection.
///
/// # Errors
/// More connections than this process may have descriptors; the server failed or does not accept.
pub fn bytes_per_connection(server: &Server, plan: Plan) -> io::Result<f64> {
    let limit = machine::raise_descriptor_limit()?;
    if plan.connections == 0 || plan.connections as u64 > limit.saturating_sub(RESERVED) {
        let most = limit.saturating_sub(RESERVED);
        return Err(io::Error::other(format!("{} connections: 1 to {most} are possible here", plan.connections)));
    }
    let SocketAddr::V4(addr) = server.addr() else {
        return Err(io::Error::other("the server does not listen on IPv4"));
    };
    // The first connections pay for what is shared: loaded code, tables of the smallest size.
    let first = open(addr, 0, 1)?;
    exchange(&first, plan.touched)?;
    let before = server.resident()?;
    let mut held = Vec::with_capacity(plan.connections);
    while held.len() < plan.connections {
        let batch = open(addr, held.len(), BATCH.min(plan.connections - held.len()))?;
        exchange(&batch, plan.touched)?;
        held.extend(batch);
    }
    let growth = server.resident()? as f64 - before as f64;
    Ok(growth / plan.connections as f64)
}

/// Opens connections and waits until the server has accepted them; `held` says how many there are already.
fn open(addr: SocketAddrV4, held: usize, count: usize) -> io::Result<Vec<TcpStream>> {
    let batch: io::Result<Vec<TcpStream>> = (0..count).map(|i| connect(source(held + i), addr)).collect();
    let deadline = Instant::now() + PATIENCE;
    while machine::accept_queue(addr.port())? > 0 {
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not accept"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    batch
}

/// The loopback address that the connection of that number comes from.
fn source(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 1 + (index / PER_SOURCE) as u8)
}

fn connect(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if from != Ipv4Addr::LOCALHOST {
        rustix::net::bind(&socket, &SocketAddrV4::new(from, 0))?;
    }
    rustix::net::connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

/// One message each way on every connection of a batch, all sent before the first is received.
fn exchange(batch: &[TcpStream], touched: bool) -> io::Result<()> {
    const MESSAGE: [u8; 64] = *b"the quick brown fox jumps over the lazy dog, and back it jumps..";
    if !touched {
        return Ok(());
    }
    for mut stream in batch {
        stream.write_all(&MESSAGE)?;
    }
    for mut stream in batch {
        let mut answer = [0; MESSAGE.len()];
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read_exact(&mut answer)?;
        if answer != MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the echo differs from what was sent"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_come_from_several_addresses() {
        assert_eq!(source(0), Ipv4Addr::LOCALHOST);
        assert_eq!(source(PER_SOURCE - 1), Ipv4Addr::LOCALHOST);
        assert_eq!(source(PER_SOURCE), Ipv4Addr::new(127, 0, 0, 2));
    }

    #[test]
    fn connections_are_open_and_echo() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(addr) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        let serving = thread::spawn(move || {
            let streams: Vec<_> = (0..6).map(|_| listener.accept().unwrap().0).collect();
            for mut stream in &streams {
                let mut buffer = [0; 64];
                stream.read_exact(&mut buffer).unwrap();
                stream.write_all(&buffer).unwrap();
            }
        });
        let mut batch = open(addr, 0, 3).unwrap();
        batch.extend(open(addr, PER_SOURCE, 3).unwrap());
        assert_eq!(batch[5].local_addr().unwrap().ip(), Ipv4Addr::new(127, 0, 0, 2));
        exchange(&batch, true).unwrap();
        serving.join().unwrap();
    }
}

//! Echo server on tokio, current-thread runtime: one task and one 16 KiB buffer a connection. With `--mode udp`
//! datagrams, taken one after the other until none is left.

#[path = "../../common/args.rs"]
mod args;

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

fn main() -> io::Result<()> {
    let args = args::Args::parse(&["mode"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    match args.own("mode") {
        Some("udp") => runtime.block_on(udp(args)),
        _ => runtime.block_on(serve(args)),
    }
}

async fn serve(args: args::Args) -> io::Result<()> {
    let listener = args::listen(args.addr)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    args::announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that fails concerns its peer only.
            let _ = echo(stream).await;
        });
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn udp(args: args::Args) -> io::Result<()> {
    let socket = UdpSocket::bind(args.addr).await?;
    args::announce(socket.local_addr()?);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (n, from) = match socket.try_recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.readable().await?;
                continue;
            }
            // About a datagram sent earlier.
            Err(_) => continue,
        };
        // One that can't be sent is lost, as on any network.
        let _ = socket.try_send_to(&buffer[..n], from);
    }
}

//! Echo server on tokio, current-thread runtime: one task and one 16 KiB buffer a connection.

#[path = "../../common/args.rs"]
mod args;

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let args = args::Args::parse(&[]);
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(args))
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

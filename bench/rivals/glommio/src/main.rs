//! Echo server on glommio, one executor: one local task and one 16 KiB buffer a connection.

#[path = "../../common/args.rs"]
mod args;

use std::io;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

fn main() -> io::Result<()> {
    let args = args::Args::parse(&[]);
    LocalExecutorBuilder::new(Placement::Unbound).make().map_err(io::Error::from)?.run(serve(args))
}

async fn serve(args: args::Args) -> io::Result<()> {
    let listener = TcpListener::bind(args.addr)?;
    args::announce(listener.local_addr()?);
    loop {
        let stream = listener.accept().await?;
        glommio::spawn_local(async move {
            // A connection that fails concerns its peer only.
            let _ = echo(stream).await;
        })
        .detach();
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

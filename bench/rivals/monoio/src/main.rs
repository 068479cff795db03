//! Echo server on monoio, io_uring driver with deferred task run: one task and one 16 KiB owned buffer a connection.

#[path = "../../common/args.rs"]
mod args;

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let args = args::Args::parse(&[]);
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
    monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(4096).uring_builder(ring).build()?.block_on(serve(args))
}

async fn serve(args: args::Args) -> io::Result<()> {
    let listener = TcpListener::from_std(args::listen(args.addr)?)?;
    args::announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(async move {
            // A connection that fails concerns its peer only.
            let _ = echo(stream).await;
        });
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(16 * 1024);
    loop {
        let (read, back) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let (written, back) = stream.write_all(back).await;
        written?;
        buffer = back;
        buffer.clear();
    }
}

//! Echo server on nexio, one reactor: one task and one 16 KiB owned buffer a connection.

#[path = "../../common/args.rs"]
mod args;

use std::io;

use nexio::net::TcpListener;

fn main() -> io::Result<()> {
    let args = args::Args::parse(&[]);
    nexio::block_on(async move {
        let listener = TcpListener::bind(args.addr).await?;
        args::announce(listener.local_addr()?);
        loop {
            let stream = listener.accept().await?;
            drop(nexio::spawn(async move {
                if stream.set_nodelay(true).is_err() {
                    return;
                }
                let mut buffer = Vec::with_capacity(16 * 1024);
                loop {
                    let (read, back) = stream.read(buffer).await;
                    if matches!(read, Ok(0) | Err(_)) {
                        return;
                    }
                    let (written, back) = stream.write_all(back).await;
                    if written.is_err() {
                        return;
                    }
                    buffer = back;
                }
            }));
        }
    })
}

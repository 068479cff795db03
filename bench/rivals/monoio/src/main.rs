//! Echo server on monoio, io_uring driver with deferred task run: one task and one 16 KiB owned buffer a connection.
//! With `--mode udp` datagrams: `--tasks N` tasks receive on one socket, so that a turn can complete as many.

#[path = "../../common/args.rs"]
mod args;

use std::io;
use std::rc::Rc;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::udp::UdpSocket;
use monoio::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let args = args::Args::parse(&["mode", "tasks"]);
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(4096).uring_builder(ring).build()?;
    match args.own("mode") {
        Some("udp") => runtime.block_on(udp(args)),
        _ => runtime.block_on(serve(args)),
    }
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

async fn udp(args: args::Args) -> io::Result<()> {
    let tasks = args.own("tasks").and_then(|tasks| tasks.parse().ok()).unwrap_or(1);
    let socket = Rc::new(UdpSocket::from_std(std::net::UdpSocket::bind(args.addr)?)?);
    args::announce(socket.local_addr()?);
    for _ in 1..tasks {
        monoio::spawn(echo_datagrams(socket.clone()));
    }
    echo_datagrams(socket).await;
    Ok(())
}

async fn echo_datagrams(socket: Rc<UdpSocket>) {
    let mut buffer: Vec<u8> = Vec::with_capacity(64 * 1024);
    loop {
        buffer.clear();
        let (received, back) = socket.recv_from(buffer).await;
        buffer = back;
        // An error is about a datagram sent earlier; one that can't be sent is lost, as on any network.
        if let Ok((_, from)) = received {
            buffer = socket.send_to(buffer, from).await.1;
        }
    }
}

//! Datagrams on compio: owned buffers, `--tasks N` tasks receiving on one socket so that a turn can complete as many; or
//! multishot receives into the runtime's pool, from which what is sent back has to be copied.

use std::io;
use std::rc::Rc;

use compio::BufResult;
use compio::net::UdpSocket;
use futures_util::StreamExt;

use crate::args::{self, Args};

/// Echoes with buffers of its own until the process is ended.
pub async fn owned(args: Args) -> io::Result<()> {
    let tasks = args.own("tasks").and_then(|tasks| tasks.parse().ok()).unwrap_or(1);
    let socket = Rc::new(UdpSocket::bind(args.addr).await?);
    args::announce(socket.local_addr()?);
    for _ in 1..tasks {
        compio::runtime::spawn(echo(socket.clone())).detach();
    }
    echo(socket).await;
    Ok(())
}

async fn echo(socket: Rc<UdpSocket>) {
    let mut buffer: Vec<u8> = Vec::with_capacity(64 * 1024);
    loop {
        buffer.clear();
        let BufResult(received, back) = socket.recv_from(buffer).await;
        buffer = back;
        // An error is about a datagram sent earlier; one that can't be sent is lost, as on any network.
        if let Ok((_, from)) = received {
            buffer = socket.send_to(buffer, from).await.1;
        }
    }
}

/// Echoes out of the pool until the process is ended.
pub async fn multishot(args: Args) -> io::Result<()> {
    let socket = UdpSocket::bind(args.addr).await?;
    args::announce(socket.local_addr()?);
    let mut buffer: Vec<u8> = Vec::with_capacity(64 * 1024);
    loop {
        let mut received = std::pin::pin!(socket.recv_from_multi());
        while let Some(Ok(datagram)) = received.next().await {
            let Some(from) = datagram.addr().and_then(|addr| addr.as_socket()) else { continue };
            buffer.clear();
            buffer.extend_from_slice(datagram.data());
            drop(datagram);
            buffer = socket.send_to(buffer, from).await.1;
        }
    }
}

//! Ostia, as a program would use it: ordinary tasks over a network of its own.

use std::net::SocketAddr;

use ostia::net::{Listener, Network, Stream, UdpSocket};
use ostia_net::{NetConfig, StackEngine};

use crate::{ECHO, Failure, Plan, SINK, SOURCE};

/// One send of the source.
const PIECE: usize = 64 << 10;

pub fn serve(plan: &Plan) -> Result<(), Failure> {
    let mut runtime = ostia::Runtime::builder().workers(1).build()?;
    let config = NetConfig::new([7; 32]).with_address(plan.address.into(), 24);
    let plan = plan.clone();
    runtime.block_on(async {
        let link = plan.open()?;
        let network = Network::of_engine(Box::new(StackEngine::new(Box::new(link), &config)?))?;
        network.scope(listen(&plan)).await
    })
}

async fn listen(plan: &Plan) -> Result<(), Failure> {
    let bind = |port| Listener::bind(&SocketAddr::new(plan.address.into(), port).into());
    let (mut sink, mut source, mut echo) = (bind(SINK)?, bind(SOURCE)?, bind(ECHO)?);
    println!("ready");
    ostia::spawn(async move {
        while let Ok(mut stream) = sink.accept().await {
            ostia::spawn(async move { while let Ok(Some(_)) = stream.recv().await {} }).detach();
        }
    })
    .detach();
    ostia::spawn(async move {
        let piece: std::sync::Arc<[u8]> = vec![7; PIECE].into();
        while let Ok(mut stream) = source.accept().await {
            let piece = piece.clone();
            ostia::spawn(async move { while stream.send(piece.clone()).await.is_ok() {} }).detach();
        }
    })
    .detach();
    let mut datagrams = UdpSocket::bind(SocketAddr::new(plan.address.into(), ECHO))?;
    ostia::spawn(async move {
        let mut buffer = Vec::with_capacity(2_048);
        loop {
            buffer.clear();
            let received;
            (received, buffer) = datagrams.recv_from(buffer).await;
            if let Ok((_, from)) = received {
                let _ = datagrams.post_to(&buffer, from);
            }
        }
    })
    .detach();
    loop {
        let stream = echo.accept().await?;
        ostia::spawn(send_back(stream)).detach();
    }
}

async fn send_back(mut stream: Stream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(chunk) = stream.recv().await? {
        stream.send(chunk).await?;
    }
    Ok(())
}

//! An echo server over all workers, with a time limit for idle connections: `cargo run --example echo -- 127.0.0.1:7000 1`

use std::io;
use std::time::Duration;

use ostia::net::Endpoint;
use ostia::serve::{Served, Server, until_stop};
use ostia::time::timeout;

/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);

async fn serve(endpoint: Endpoint) -> io::Result<Served> {
    let server = Server::builder().listen(endpoint).drain(Duration::from_secs(5)).build()?;
    println!("listening on {}", server.addresses()[0]);
    let handle = server.handle();
    ostia::spawn(async move {
        ostia::signal::terminate().await;
        handle.stop();
    })
    .detach();
    server
        .run(|mut stream, _peer| async move {
            loop {
                // Three ways to end: the server stops, the time is over, the connection breaks.
                let Some(chunk) = until_stop(timeout(IDLE, stream.recv())).await??? else { return io::Result::Ok(()) };
                stream.send(chunk).await?;
            }
        })
        .await
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "127.0.0.1:7000".into()).parse()?;
    let workers = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let driver = arguments.next().map_or(Ok(ostia::DriverChoice::Auto), |text| text.parse())?;
    let mut runtime = ostia::Runtime::builder().workers(workers).driver(driver).build()?;
    let served = runtime.block_on(serve(endpoint))?;
    println!("{served:?}");
    Ok(())
}

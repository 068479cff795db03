//! An echo server over all workers, with a time limit for idle connections: `cargo run --example echo -- 127.0.0.1:7000 1`

use std::time::Duration;

use ostia::net::Stream;
use ostia::serve::{Server, until_stop};
use ostia::time::timeout;

/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);

async fn echo(mut stream: Stream) -> std::io::Result<()> {
    while let Some(chunk) = timeout(IDLE, stream.recv()).await?? {
        stream.send(chunk).await?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "127.0.0.1:7000".into()).parse()?;
    let workers = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let driver = arguments.next().map_or(Ok(ostia::DriverChoice::Auto), |text| text.parse())?;
    let mut runtime = ostia::Runtime::builder().workers(workers).driver(driver).build()?;
    let served = runtime.block_on(async {
        let server = Server::builder().listen(endpoint).drain(Duration::from_secs(5)).build()?;
        println!("listening on {}", server.addresses()[0]);
        let handle = server.handle();
        ostia::spawn(async move {
            ostia::signal::terminate().await;
            handle.stop();
        })
        .detach();
        server
            .run(|stream, _peer| async move {
                // A peer that goes away is no error of ours, and a stop ends those who are idle.
                let _ = until_stop(echo(stream)).await;
            })
            .await
    })?;
    println!("{served:?}");
    Ok(())
}

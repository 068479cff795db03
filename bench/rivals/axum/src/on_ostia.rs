//! Ostia's side, as its example `axum` has it: hyper speaks HTTP/1.1 on Ostia's streams, with its limit on how long a
//! request's head may take; `--limits off` leaves that out.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use ostia::adapt::{HyperTimer, Io};
use ostia::net::{Endpoint, Stream};
use ostia::serve::{Server, until_stop};
use tower_service::Service;

use crate::args::{self, Args};

/// How long a request's head may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves on one worker until the process is ended.
pub fn run(args: &Args, driver: ostia::DriverChoice) -> Result<(), Box<dyn Error>> {
    let limited = args.own("limits") != Some("off");
    let endpoint: Endpoint = args.addr.to_string().parse()?;
    let mut runtime = ostia::Runtime::builder().workers(1).driver(driver).build()?;
    runtime.block_on(async move {
        let server = Server::builder().listen(endpoint).build()?;
        args::announce(server.addresses()[0].to_string().parse()?);
        let router = crate::router();
        let served = server.run(move |stream, _peer| {
            let router = router.clone();
            // A connection that fails concerns its peer only.
            async move { drop(serve(stream, router, limited).await) }
        });
        served.await?;
        Ok(())
    })
}

async fn serve(stream: Stream, router: Router, limited: bool) -> Result<(), Box<dyn Error>> {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| router.clone().call(request.map(Body::new)));
    let mut builder = http1::Builder::new();
    if limited {
        builder.timer(HyperTimer).header_read_timeout(PATIENCE);
    }
    let mut connection = pin!(builder.serve_connection(Io::new(stream), service));
    if let Ok(ended) = until_stop(connection.as_mut()).await {
        return Ok(ended?);
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}

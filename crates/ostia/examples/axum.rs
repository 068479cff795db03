//! An axum `Router` over HTTP/1.1 and HTTP/2 on all workers, with an end that lets requests finish:
//! `cargo run --features hyper --example axum -- 127.0.0.1:8080 2`
//!
//! axum's own `serve` needs tokio's runtime; its router does not. Here hyper speaks HTTP on Ostia's streams. HTTP/2 is
//! spoken with clients that begin with its preface ("prior knowledge", RFC 9113 section 3.3).

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::{get, post};
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use ostia::Chunk;
use ostia::adapt::{HyperTimer, Io, LocalExecutor};
use ostia::net::{Endpoint, Stream};
use ostia::serve::{Server, until_stop};
use ostia::time::timeout;
use tower_service::Service;

/// What every client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

fn app() -> Router {
    let large = Bytes::from(vec![b'x'; 64 << 10]);
    Router::new()
        .route("/", get(async || "hello\n"))
        .route("/large", get(async move || large))
        .route("/echo", post(async |body: Bytes| body))
        .route("/slow/{millis}", get(slow))
}

async fn slow(Path(millis): Path<u64>) -> String {
    // axum asks for handlers that could move between threads; these stay where they are, and so may wait here.
    let millis = millis.min(10_000);
    let waited = ostia::spawn(async move { ostia::time::sleep(Duration::from_millis(millis)).await });
    let _ = waited.await;
    format!("waited for {millis} ms\n")
}

/// Whether the client begins with the preface of HTTP/2. What was looked at is put back.
async fn begins_with_preface(stream: &mut Stream) -> std::io::Result<bool> {
    let mut seen = Vec::new();
    while seen.len() < PREFACE.len() && PREFACE.starts_with(&seen) {
        let Some(chunk) = stream.recv().await? else { break };
        seen.extend_from_slice(&chunk);
    }
    let is_preface = seen.starts_with(PREFACE);
    stream.unread(Chunk::from(seen))?;
    Ok(is_preface)
}

async fn serve_connection(mut stream: Stream, app: Router) -> Result<(), Box<dyn Error>> {
    let is_http2 = until_stop(timeout(PATIENCE, begins_with_preface(&mut stream))).await???;
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| app.clone().call(request.map(Body::new)));
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            if let Ok(ended) = until_stop(connection.as_mut()).await {
                return Ok(ended?);
            }
            // The server stops: requests that have begun are answered, then the connection ends.
            connection.as_mut().graceful_shutdown();
            Ok(connection.await?)
        }};
    }
    let io = Io::new(stream);
    if is_http2 {
        drive!(http2::Builder::new(LocalExecutor).timer(HyperTimer).serve_connection(io, service))
    } else {
        drive!(http1::Builder::new().timer(HyperTimer).header_read_timeout(PATIENCE).serve_connection(io, service))
    }
}

async fn serve(endpoint: Endpoint) -> std::io::Result<()> {
    let server = Server::builder().listen(endpoint).drain(Duration::from_secs(10)).build()?;
    println!("listening on {}", server.addresses()[0]);
    let handle = server.handle();
    ostia::spawn(async move {
        ostia::signal::terminate().await;
        handle.stop();
    })
    .detach();
    let app = app();
    let served = server.run(move |stream, _peer| {
        let app = app.clone();
        async move {
            if let Err(error) = serve_connection(stream, app).await {
                eprintln!("a connection ended early: {error}");
            }
        }
    });
    println!("{:?}", served.await?);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into()).parse()?;
    let workers = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let driver = arguments.next().map_or(Ok(ostia::DriverChoice::Auto), |text| text.parse())?;
    let mut runtime = ostia::Runtime::builder().workers(workers).driver(driver).build()?;
    runtime.block_on(serve(endpoint))?;
    Ok(())
}

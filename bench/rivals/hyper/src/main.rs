//! Static files from memory on hyper 1.x over tokio's current-thread runtime: `--root DIR` is read once at the start.

#[path = "../../common/args.rs"]
mod args;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

type Files = HashMap<String, Bytes>;

fn main() -> io::Result<()> {
    let args = args::Args::parse(&["root"]);
    let files = Rc::new(load(args.own("root").unwrap_or("."))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve(args, files))
}

/// Every regular file directly in `root`, under the path a request names it by.
fn load(root: &str) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            files.insert(format!("/{name}"), Bytes::from(std::fs::read(entry.path())?));
        }
    }
    Ok(files)
}

async fn serve(args: args::Args, files: Rc<Files>) -> io::Result<()> {
    let listener = args::listen(args.addr)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    args::announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let files = files.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let response = answer(&files, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A connection that fails concerns its peer only.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(files: &Files, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), files.get(request.uri().path())) {
        (&Method::GET, Some(body)) => (StatusCode::OK, body.clone()),
        (&Method::GET, None) => (StatusCode::NOT_FOUND, Bytes::new()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

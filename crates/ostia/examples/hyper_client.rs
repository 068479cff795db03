//! hyper as a client on Ostia's streams: `cargo run --features hyper --example hyper_client -- http://127.0.0.1:8080/ [h2]`

use std::error::Error;
use std::io::Write;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, Uri};
use ostia::adapt::{HyperTimer, Io, LocalExecutor};
use ostia::net::{Endpoint, Stream};

async fn fetch(uri: &Uri, over_http2: bool) -> Result<Response<Incoming>, Box<dyn Error>> {
    let authority = uri.authority().ok_or("the address has no host")?;
    let endpoint: Endpoint = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)).parse()?;
    let io = Io::new(Stream::connect(&endpoint).await?);
    // A connection is driven by a task of its own, beside the requests that go over it.
    macro_rules! drive {
        ($connection:expr) => {
            ostia::spawn(async move {
                if let Err(error) = $connection.await {
                    eprintln!("the connection ended early: {error}");
                }
            })
            .detach()
        };
    }
    if over_http2 {
        let (mut sender, connection) = http2::Builder::new(LocalExecutor).timer(HyperTimer).handshake(io).await?;
        drive!(connection);
        Ok(sender.send_request(Request::get(uri.clone()).body(Empty::<Bytes>::new())?).await?)
    } else {
        let (mut sender, connection) = http1::handshake(io).await?;
        drive!(connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path).header("host", authority.as_str()).body(Empty::<Bytes>::new())?;
        Ok(sender.send_request(request).await?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let uri: Uri = arguments.next().ok_or("usage: hyper_client http://HOST:PORT/PATH [h2]")?.parse()?;
    let over_http2 = arguments.next().as_deref() == Some("h2");
    ostia::block_on(async {
        let mut response = fetch(&uri, over_http2).await?;
        eprintln!("{:?} {}", response.version(), response.status());
        let mut out = std::io::stdout().lock();
        while let Some(frame) = response.frame().await {
            if let Ok(data) = frame?.into_data() {
                out.write_all(&data)?;
            }
        }
        Ok(())
    })
}

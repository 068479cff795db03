//! The small HTTP server behind `--metrics`: one page, few connections at once, each for a short time.

use super::page;
use crate::http::request::{Limits, Method, Reader, Step};
use ostia::net::{Listener, Stream};
use ostia::serve::ServerHandle;
use ostia::time::{sleep, timeout};
use std::cell::Cell;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

/// Scrapes at once; more are closed.
const MOST: usize = 16;
/// How long a scrape may take.
const TIME: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers for as long as the program runs.
pub(super) async fn run(mut listener: Listener, handle: ServerHandle) {
    let live = Rc::new(Cell::new(0));
    loop {
        let Ok(stream) = listener.accept().await else {
            // Out of descriptors, most likely: the connection waits in the kernel.
            sleep(PAUSE).await;
            continue;
        };
        if live.get() >= MOST {
            continue;
        }
        live.set(live.get() + 1);
        let (live, handle) = (live.clone(), handle.clone());
        let answer = async move {
            // Whoever breaks off or is too slow is closed.
            let _ = timeout(TIME, answer(stream, &handle)).await;
            live.set(live.get() - 1);
        };
        ostia::spawn(answer).detach();
    }
}

async fn answer(mut stream: Stream, handle: &ServerHandle) -> std::io::Result<()> {
    let mut reader = Reader::new(Limits::default());
    'requests: loop {
        let Some(chunk) = stream.recv().await? else { return Ok(()) };
        let mut at = 0;
        loop {
            let (used, step) = reader.next(&chunk[at..]);
            at += used;
            let (text, keeps) = match step {
                Step::More => continue 'requests,
                Step::Continue => continue,
                Step::Reject { .. } => (response("400 Bad Request", "not a request\n", true, ""), false),
                Step::Request(request) => {
                    let get = request.method == Method::Get;
                    let text = match (request.method, request.path) {
                        (Method::Get | Method::Head, b"/metrics") => response(
                            "200 OK",
                            &page(handle).await,
                            get,
                            "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
                        ),
                        _ => response("404 Not Found", "only /metrics is here\n", get, "Content-Type: text/plain\r\n"),
                    };
                    (text, request.persistence.keeps())
                }
            };
            stream.send(text.into_bytes()).await?;
            if !keeps {
                break 'requests;
            }
        }
    }
    stream.shutdown(Shutdown::Write).await?;
    while stream.recv().await?.is_some() {}
    Ok(())
}

fn response(status: &str, content: &str, with_content: bool, fields: &str) -> String {
    let head = format!("HTTP/1.1 {status}\r\n{fields}Cache-Control: no-store\r\nContent-Length: {}\r\n\r\n", content.len());
    if with_content { head + content } else { head }
}

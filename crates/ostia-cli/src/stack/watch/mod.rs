//! `ostia stack`: a device with Ostia's own stack on it, which answers pings, and what there is to see in it.

mod facts;
mod page;
#[cfg(test)]
mod tests;

use crate::args::{NetworkChoice, WatchArgs};
use crate::errors::Failure;
use crate::network::Opened;
use crate::{launch, limits, network, output};
use ostia::net::{Endpoint, ListenOptions, Listener, Stream};
use ostia::spawn;
use ostia::time::{interval, sleep};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Connections that wait for the echo to take them.
const BACKLOG: u32 = 128;
/// After an accept that failed, so that one which goes on failing doesn't keep the processor busy.
const PAUSE: Duration = Duration::from_millis(10);
/// Takes a terminal's cursor to the first line and clears what is there (ECMA-48: CUP, ED).
const AFRESH: &str = "\x1b[H\x1b[2J";

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps the stack from being had, each with a remedy.
pub fn run(args: &WatchArgs) -> Result<(), Failure> {
    if args.network.network == NetworkChoice::Kernel {
        return Err(Failure::usage(
            "the kernel's network has no stack of Ostia's",
            "name a device for it, as in --network tun (see `ostia stack --help`); `ostia stack explain` needs none",
        ));
    }
    limits::raise_descriptors();
    let builder = ostia::Runtime::builder().workers(1).driver(args.driver.into());
    let mut runtime = builder.build().map_err(|error| Failure::start(&error))?;
    let opened = runtime.block_on(async {
        let opened = network::open(&args.network).await?;
        opened.network.scope(watch(args, &opened)).await?;
        Ok(opened)
    })?;
    runtime.shutdown(Duration::ZERO);
    opened.finish();
    Ok(())
}

async fn watch(args: &WatchArgs, opened: &Opened) -> Result<(), Failure> {
    let mut stop = launch::Stop::watch()?;
    if let Some(port) = args.echo {
        for ip in opened.listening_addresses() {
            echo(SocketAddr::new(ip, port.get())).await?;
        }
    }
    launch::started();
    ostia::select! {
        () = show_again(args.watch, opened) => {},
        () = opened.until_gone() => {},
        _ = stop.asked() => {},
    }
    // What it came to.
    show(opened, false);
    opened.gone().map_or(Ok(()), Err)
}

/// Shows what there is to see, and again as often as was asked for, as long as somebody reads it.
async fn show_again(every: Option<Duration>, opened: &Opened) {
    show(opened, every.is_some());
    let Some(every) = every else { return std::future::pending().await };
    let mut ticks = interval(every);
    ticks.tick().await;
    while output::is_read() {
        ticks.tick().await;
        show(opened, true);
    }
}

/// Shows what there is to see; on a terminal in place of what was there, if that is wanted.
fn show(opened: &Opened, afresh: bool) {
    let Some(overview) = opened.with_stack(|stack| stack.overview()) else { return };
    if output::is_json() {
        return output::print("", || facts::of(&overview));
    }
    let page = page::write(&overview);
    match output::screen().filter(|_| afresh) {
        Some((columns, lines)) => output::print(&format!("{AFRESH}{}", fit(&page, columns, lines)), || Value::Null),
        None => output::print(&page, || Value::Null),
    }
}

/// What of a page has room on a screen, of which the last line is left to the cursor: more would move its beginning out of sight.
fn fit(page: &str, columns: usize, lines: usize) -> String {
    let cut = |line: &str| line.chars().take(columns).collect::<String>();
    page.lines().take(lines.saturating_sub(1).max(1)).map(cut).collect::<Vec<_>>().join("\n")
}

/// Sends every byte back to whoever connects here.
async fn echo(address: SocketAddr) -> Result<(), Failure> {
    let options = ListenOptions { backlog: BACKLOG, ..ListenOptions::default() };
    let failed = |error: io::Error| Failure::listen(&address.to_string(), &error);
    let mut listener = Listener::bind_with(&Endpoint::from(address), options).map_err(failed)?;
    output::print(&format!("listening on {address}"), || json!({ "event": "listening", "address": address.to_string() }));
    spawn(async move {
        loop {
            match listener.accept().await {
                Ok(stream) => spawn(send_back(stream)).detach(),
                Err(_) => sleep(PAUSE).await,
            }
        }
    })
    .detach();
    Ok(())
}

/// A peer that has gone is nobody to tell: the outcome is dropped.
async fn send_back(mut stream: Stream) -> io::Result<()> {
    while let Some(chunk) = stream.recv().await? {
        stream.send(chunk).await?;
    }
    Ok(())
}

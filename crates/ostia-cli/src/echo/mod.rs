//! `ostia echo`: an echo server in ordinary async Ostia, its time limit on: streams, datagrams and packets.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use crate::args::{Common, EchoArgs};
use crate::errors::Failure;
use crate::{launch, limits, network};
use ostia::net::{Endpoint, Incoming, NetError, Network, Outgoing, Stream, UdpOptions, UdpSocket};
use ostia::time::{sleep, timeout};
use ostia::{JoinHandle, WorkerId, spawn, spawn_on};
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a connection may be silent, or a peer not read. It is the same for the whole program, and so need not stand in
/// the future of each connection.
static IDLE: OnceLock<Duration> = OnceLock::new();

/// Room for any UDP datagram; longer ones of Unix sockets are dropped.
const ROOM: usize = 64 << 10;

fn idle() -> Duration {
    IDLE.get().copied().unwrap_or(Duration::MAX)
}

/// Where to echo, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Streams(Endpoint),
    Udp(Endpoint),
    Local(system::Place),
}

impl Place {
    fn parse(text: &str) -> Result<Place, Failure> {
        launch::can_listen_on(text)?;
        let ip = |rest: &str| match rest.parse::<Endpoint>() {
            Ok(endpoint) if endpoint.is_unix() => Err("a Unix socket is no IP address".to_owned()),
            read => read,
        };
        let read = if let Some(rest) = text.strip_prefix("udp://") {
            ip(rest).map(Place::Udp)
        } else if let Some(rest) = text.strip_prefix("tcp://") {
            ip(rest).map(Place::Streams)
        } else if let Some(read) = system::Place::parse(text) {
            read.map(Place::Local)
        } else {
            text.parse().map(Place::Streams)
        };
        read.map_err(|why| {
            Failure::usage(
                format!("'{text}' is no address to listen on: {why}"),
                format!("write {}, such as --addr udp://127.0.0.1:8080", system::FORMS),
            )
        })
    }
}

/// Runs until SIGTERM or SIGINT; on Windows until the console's events that stand for them.
///
/// # Errors
/// What keeps it from starting, each with a remedy.
pub fn run(args: EchoArgs) -> Result<(), Failure> {
    launch::report_warnings();
    parse(&args.common.addresses)?;
    limits::raise_descriptors();
    let mut runtime = launch::runtime(&args.common)?;
    let _ = IDLE.set(args.idle_timeout);
    let opened = runtime.block_on(async {
        let opened = network::open(&args.common.network).await?;
        opened.run(serve_places(&args, &opened)).await?;
        Ok(opened)
    })?;
    runtime.shutdown(Duration::ZERO);
    opened.finish();
    Ok(())
}

/// The places in these words. Sockets that systemd hands over are streams, and the server takes them.
fn parse(addresses: &[String]) -> Result<Vec<Place>, Failure> {
    addresses.iter().filter(|text| !launch::inherited::is_name(text)).map(|text| Place::parse(text)).collect()
}

async fn serve_places(args: &EchoArgs, opened: &network::Opened) -> Result<(), Failure> {
    let addresses = opened.places(&args.common.addresses);
    let handed_over = addresses.iter().any(|text| launch::inherited::is_name(text));
    let (mut streams, mut listening, mut echoing) = (Vec::new(), Vec::new(), Vec::new());
    for place in parse(&addresses)? {
        match place {
            Place::Streams(endpoint) => streams.push(endpoint),
            Place::Udp(endpoint) => {
                let (place, task) = udp(&endpoint).await?;
                listening.push(place);
                echoing.push(task);
            }
            Place::Local(place) => listening.push(place.listen(&args.common)?),
        }
    }
    if streams.is_empty() && !handed_over {
        return until_signalled(&listening, echoing.pop(), opened).await;
    }
    echoing.into_iter().for_each(JoinHandle::detach);
    serve_streams(&args.common, &streams, &listening, opened).await
}

/// Serves streams beside what listens already.
async fn serve_streams(
    common: &Common,
    endpoints: &[Endpoint],
    listening: &[String],
    opened: &network::Opened,
) -> Result<(), Failure> {
    let server = launch::bind(launch::server(common), endpoints)?;
    launch::stop_on_signals(&server.handle())?;
    announce(listening);
    announce(&server.addresses());
    // A peer that has gone, or was silent for too long, is nobody to tell: the outcome is dropped.
    let served = server.run(|stream, _| echo(stream));
    served.await.map(drop).map_err(|error| opened.failure(&error))
}

/// Sends back what comes over a stream, until its end.
///
/// What an idle connection keeps is this future, so it is written to be small: one block that owns the stream, and a loop head
/// of its own, for what stands in a `while let` lives on through the body.
#[expect(clippy::manual_async_fn, reason = "an async function keeps its argument beside what it makes of it")]
pub(crate) fn echo(mut stream: Stream) -> impl Future<Output = io::Result<()>> {
    async move {
        loop {
            // At the peer's end the stream is dropped, which closes it once everything accepted has gone out.
            let Some(chunk) = timeout(idle(), stream.recv()).await?? else { return io::Result::Ok(()) };
            timeout(idle(), stream.send(chunk)).await??;
        }
    }
}

/// Says where it listens. Whoever reads that may send a signal at once: they must be watched by now.
fn announce(places: &[impl std::fmt::Display]) {
    for place in places {
        launch::announce(&format!("listening on {place}"));
    }
}

/// Waits for SIGTERM or SIGINT, or what stands for them; or for the end of a task that echoes datagrams, which comes with that
/// of its network.
async fn until_signalled(
    listening: &[String],
    echoing: Option<JoinHandle<io::Error>>,
    opened: &network::Opened,
) -> Result<(), Failure> {
    let mut stop = launch::Stop::watch()?;
    announce(listening);
    launch::notify::ready();
    let ended = async {
        match echoing {
            Some(task) => task.await.unwrap_or_else(io::Error::other),
            None => std::future::pending().await,
        }
    };
    ostia::select! {
        asked = stop.asked() => asked.map_err(|error| Failure::start(&error)),
        error = ended => Err(opened.failure(&error)),
    }
}

/// A failure to listen. What the network says of it goes into the words that `listen` has for the system's own errors.
fn refused(scheme: &str, endpoint: &Endpoint, error: &io::Error) -> Failure {
    let bare = NetError::of(error).and_then(NetError::raw_os_error).map(io::Error::from_raw_os_error);
    let text = endpoint.to_string();
    let mut failure = Failure::listen(&text, bare.as_ref().unwrap_or(error));
    // `udp://…` and its like as they stood on the command line.
    failure.what = failure.what.replacen(&text, &format!("{scheme}{}", text.strip_prefix("unix:").unwrap_or(&text)), 1);
    failure
}

/// One socket on each worker, over which the kernel spreads the senders; where it doesn't, one.
async fn udp(endpoint: &Endpoint) -> Result<(String, JoinHandle<io::Error>), Failure> {
    let failed = |error: io::Error| refused("udp://", endpoint, &error);
    let addresses = Network::current().resolve(endpoint).await.map_err(failed)?;
    let address = addresses.first().and_then(|address| address.ip()).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut workers = ostia::workers();
    let engines = Network::current().is_engines();
    if !system::SPREADS || engines {
        workers.truncate(1);
    }
    let shared = UdpOptions { reuse_port: workers.len() > 1, ..UdpOptions::default() };
    // Sockets that share a port let a second server share it too, unnoticed. One that doesn't share finds out.
    if !engines {
        drop(std::net::UdpSocket::bind(address).map_err(failed)?);
    }
    let first = UdpSocket::bind_with(address, shared).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    for worker in others(&workers) {
        let bound = spawn_on(worker, move || async move {
            let socket = UdpSocket::bind_with(address, shared)?;
            spawn(echo_udp(socket)).detach();
            io::Result::Ok(())
        });
        bound.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
    }
    Ok((format!("udp://{address}"), spawn(echo_udp(first))))
}

/// All workers but this one.
fn others(workers: &[WorkerId]) -> Vec<WorkerId> {
    workers.iter().copied().skip(1).collect()
}

/// Sends every datagram back. What can't be sent back is dropped, as any network may do. Ends when the network is an engine's
/// and has gone.
async fn echo_udp(socket: UdpSocket) -> io::Error {
    let everywhere = socket.local_addr().is_ok_and(|address| address.ip().is_unspecified());
    if everywhere && socket.set_packet_info(true).is_ok() {
        return echo_udp_everywhere(socket).await;
    }
    let mut socket = socket;
    let mut buffer = Vec::with_capacity(ROOM);
    loop {
        buffer.clear();
        let received;
        (received, buffer) = socket.recv_from(buffer).await;
        match received {
            // Waiting for room would keep the others waiting.
            Ok((_, from)) => drop(socket.post_to(&buffer, from)),
            Err(error) if is_down(&error) => return error,
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Whether the network is down for ever. The kernel's may come up again.
fn is_down(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NetworkDown && Network::current().is_engines()
}

/// As `echo_udp` where the machine has several addresses: the answer comes from the one that was asked.
async fn echo_udp_everywhere(mut socket: UdpSocket) -> io::Error {
    let mut incoming = Incoming::with_capacity(ROOM);
    loop {
        match socket.recv_msg(&mut incoming).await {
            Ok(_) => {}
            Err(error) if is_down(&error) => return error,
            Err(_) => {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
        }
        let Some(from) = incoming.from().cloned() else { continue };
        let local = incoming.local_address().filter(|local| !local.is_multicast());
        let mut message = Outgoing::new(incoming.take_data()).to(from);
        if let Some(local) = local {
            message = message.from(local);
        }
        let _ = socket.send_msg(&message).await;
        incoming.set_data(message.into_data().into_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_reads() {
        let endpoint = |text: &str| text.parse::<Endpoint>().expect("an endpoint");
        for (text, place) in [
            ("127.0.0.1:7", Place::Streams(endpoint("127.0.0.1:7"))),
            ("tcp://localhost:7", Place::Streams(endpoint("localhost:7"))),
            ("udp://[::1]:7", Place::Udp(endpoint("[::1]:7"))),
        ] {
            assert_eq!(Place::parse(text), Ok(place));
        }
        for text in ["udp://", "udp://unix:/x", "tcp://x", "sctp://x:1", "udp:/x"] {
            let failure = Place::parse(text).expect_err(text);
            assert!(failure.code == 2 && failure.what.contains(text) && failure.remedy.contains("udp://"), "{failure}");
        }
    }

    #[test]
    fn what_keeps_it_from_listening_is_said_with_the_address() {
        let endpoint: Endpoint = "127.0.0.1:7".parse().expect("an endpoint");
        let failure = refused("udp://", &endpoint, &io::ErrorKind::AddrInUse.into());
        assert!(failure.what.contains("udp://127.0.0.1:7: the port is in use"), "{failure}");
    }
}

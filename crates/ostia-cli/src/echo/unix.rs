//! Echoing over what only Unix has: datagrams and packets of Unix sockets.

use super::{ROOM, idle, refused};
use crate::args::Common;
use crate::errors::Failure;
use ostia::net::{Endpoint, UnixDatagram, UnixSeqpacket, UnixSeqpacketListener};
use ostia::spawn;
use ostia::time::{sleep, timeout};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// How an address is written.
pub(super) const FORMS: &str = "HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, unix-dgram:PATH or unix-seqpacket:PATH";

/// Whether the kernel spreads senders over UDP sockets that share a port.
pub(super) const SPREADS: bool = true;

/// Where to echo, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Datagrams(Endpoint),
    Packets(Endpoint),
}

impl Place {
    /// Reads an address that begins as one of these does.
    pub(super) fn parse(text: &str) -> Option<Result<Place, String>> {
        let unix = |path: &str| format!("unix:{path}").parse::<Endpoint>();
        if let Some(path) = text.strip_prefix("unix-dgram:") {
            return Some(unix(path).map(Place::Datagrams));
        }
        text.strip_prefix("unix-seqpacket:").map(|path| unix(path).map(Place::Packets))
    }

    /// Echoes there from now on; gives the address.
    pub(super) fn listen(&self, common: &Common) -> Result<String, Failure> {
        match self {
            Place::Datagrams(endpoint) => datagrams(endpoint),
            Place::Packets(endpoint) => packets(endpoint, common),
        }
    }
}

fn datagrams(endpoint: &Endpoint) -> Result<String, Failure> {
    let failed = |error: io::Error| refused("unix-dgram:", endpoint, &error);
    let addresses = endpoint.resolve().map_err(failed)?;
    let address = addresses.first().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut socket = UnixDatagram::bind_address(address).map_err(failed)?;
    let echo = async move {
        let mut buffer = Vec::with_capacity(ROOM);
        loop {
            buffer.clear();
            let received;
            (received, buffer) = socket.recv_from(buffer).await;
            if let Ok((_, Some(from))) = received {
                // A receiver whose queue is full must not keep the others waiting.
                let _ = socket.try_send_to(&buffer, &from);
            }
        }
    };
    spawn(echo).detach();
    Ok(format!("unix-dgram:{}", address.to_string().trim_start_matches("unix:")))
}

fn packets(endpoint: &Endpoint, common: &Common) -> Result<String, Failure> {
    let failed = |error: io::Error| refused("unix-seqpacket:", endpoint, &error);
    let addresses = endpoint.resolve().map_err(failed)?;
    let address = addresses.first().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut listener = UnixSeqpacketListener::bind_address(address, Default::default()).map_err(failed)?;
    let most = common.max_connections.map_or(usize::MAX, usize::from);
    let live = Rc::new(Cell::new(0usize));
    let accepting = async move {
        loop {
            match listener.accept().await {
                // Dropped, it is closed, which is how streams above the limit are turned away too.
                Ok(connection) if live.get() < most => {
                    live.set(live.get() + 1);
                    let live = Rc::clone(&live);
                    let serving = async move {
                        let _ = echo_packets(connection).await;
                        live.set(live.get() - 1);
                    };
                    spawn(serving).detach();
                }
                Ok(_) => {}
                // No descriptors, perhaps: connections wait in the kernel's queue.
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    spawn(accepting).detach();
    Ok(format!("unix-seqpacket:{}", address.to_string().trim_start_matches("unix:")))
}

/// Sends every packet of a connection back, until its end or for as long as something comes.
async fn echo_packets(mut connection: UnixSeqpacket) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(ROOM);
    loop {
        buffer.clear();
        let received;
        (received, buffer) = timeout(idle(), connection.recv(buffer)).await?;
        if received?.is_none() {
            return Ok(());
        }
        let (sent, back) = timeout(idle(), connection.send(buffer)).await?;
        sent?;
        buffer = back.into_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_read_and_nothing_else() {
        let endpoint = |text: &str| text.parse::<Endpoint>().expect("an endpoint");
        assert_eq!(Place::parse("unix-dgram:/run/x"), Some(Ok(Place::Datagrams(endpoint("unix:/run/x")))));
        assert_eq!(Place::parse("unix-seqpacket:@x"), Some(Ok(Place::Packets(endpoint("unix:@x")))));
        for text in ["unix-dgram:", "unix-seqpacket:"] {
            let failure = crate::echo::Place::parse(text).expect_err(text);
            assert!(failure.code == 2 && failure.what.contains(text) && failure.remedy.contains("unix-dgram:PATH"), "{failure}");
        }
        assert_eq!(Place::parse("unix:/run/x"), None);
    }

    #[test]
    fn what_keeps_it_from_listening_is_said_with_the_address() {
        let endpoint: Endpoint = "unix:/x/y".parse().expect("an endpoint");
        let failure = refused("unix-dgram:", &endpoint, &rustix::io::Errno::NOENT.into());
        assert!(failure.what.contains("unix-dgram:/x/y: there is no such directory"), "{failure}");
    }
}

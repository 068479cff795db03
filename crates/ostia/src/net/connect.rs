//! Connecting to whichever of several addresses answers first (RFC 8305, "Happy Eyeballs").

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use ostia_port::{Address, Op, SocketSpec};

use crate::net::carrier::Carrier;
use crate::net::failure::{FailureKind, named_as, naming};
use crate::net::{Endpoint, Network, Stream, socket};
use crate::time::{sleep, timeout};

/// How a connection is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectOptions {
    /// How long an attempt goes on alone before the next address is tried beside it; the next one is tried at once when an
    /// attempt fails. Default 250 ms, as RFC 8305, section 5, recommends; it wants 10 ms at least and 2 s at most.
    pub attempt_delay: Duration,
    /// How long all of it may take, finding the name's addresses included. None: as long as the system tries, which is
    /// about two minutes for an address that doesn't answer. Default none.
    pub timeout: Option<Duration>,
    /// The address to connect from; port 0 picks a free one. Addresses of the other family are not tried. Default none.
    pub local: Option<SocketAddr>,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions { attempt_delay: Duration::from_millis(250), timeout: None, local: None }
    }
}

/// Connects on a network.
pub(crate) async fn connect(network: &Network, endpoint: &Endpoint, options: ConnectOptions) -> io::Result<Stream> {
    let connecting = async {
        let mut addresses = network.resolve(endpoint).await?;
        if let Some(local) = options.local {
            addresses.retain(|address| address.ip().is_none_or(|ip| ip.is_ipv4() == local.is_ipv4()));
        }
        race(network.carrier, endpoint, interleaved(addresses), options).await
    };
    let Some(limit) = options.timeout else { return connecting.await };
    match timeout(limit, connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            let late = io::Error::new(io::ErrorKind::TimedOut, format!("no connection after {limit:?}"));
            Err(named_as(FailureKind::TimedOut, "connect to", endpoint, late))
        }
    }
}

/// The addresses with their families in turn, the first address's first, each family in its order (RFC 8305, section 4).
fn interleaved(addresses: Vec<Address>) -> Vec<Address> {
    let v4 = |address: &Address| address.ip().is_some_and(|ip| ip.is_ipv4());
    let first = addresses.first().is_some_and(v4);
    let (same, other): (Vec<Address>, Vec<Address>) = addresses.into_iter().partition(|address| v4(address) == first);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut all = Vec::new();
    loop {
        let (one, two) = (same.next(), other.next());
        if one.is_none() && two.is_none() {
            return all;
        }
        all.extend(one);
        all.extend(two);
    }
}

/// Connects to the first of the addresses that answers; the other attempts are given up.
async fn race(carrier: Carrier, endpoint: &Endpoint, addresses: Vec<Address>, options: ConnectOptions) -> io::Result<Stream> {
    let mut left = addresses.into_iter();
    let Some(first) = left.next() else {
        let none = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address of the local address's family");
        return Err(named_as(FailureKind::NotLocal, "connect to", endpoint, none));
    };
    if left.len() == 0 {
        return attempt(carrier, first, options.local).await;
    }
    // One address is by far the most frequent; here memory is no matter.
    let begin =
        |address| -> Pin<Box<dyn Future<Output = io::Result<Stream>>>> { Box::pin(attempt(carrier, address, options.local)) };
    let mut attempts = vec![begin(first)];
    let mut delay = Box::pin(sleep(options.attempt_delay));
    let mut failed = None;
    poll_fn(move |cx| {
        loop {
            let mut at = 0;
            let mut ended = false;
            while let Some(attempt) = attempts.get_mut(at) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => {
                        attempts.clear();
                        return Poll::Ready(Ok(stream));
                    }
                    Poll::Ready(Err(error)) => {
                        drop(attempts.remove(at));
                        failed = Some(error);
                        ended = true;
                    }
                    Poll::Pending => at += 1,
                }
            }
            if left.len() > 0 && (ended || delay.as_mut().poll(cx).is_ready()) {
                attempts.extend(left.next().map(begin));
                delay = Box::pin(sleep(options.attempt_delay));
                // Polled at once, for that begins it.
                continue;
            }
            if !attempts.is_empty() {
                return Poll::Pending;
            }
            return Poll::Ready(Err(failed.take().unwrap_or_else(|| io::ErrorKind::NotConnected.into())));
        }
    })
    .await
}

/// Connects to one address. Dropped: the attempt is given up and its socket closed.
pub(crate) async fn attempt(carrier: Carrier, address: Address, local: Option<SocketAddr>) -> io::Result<Stream> {
    let named = address.clone();
    let connected = async {
        let stream = match carrier.for_address(&address).open(SocketSpec::Stream { local })? {
            Some(raw) => Stream::from_raw(raw),
            None => {
                let socket = socket::for_connecting(&address)?;
                if let (Some(local), Some(_)) = (local, address.ip()) {
                    socket::bind_local(&socket, local).map_err(|error| naming("connect from", local, error))?;
                }
                Stream::adopt(socket)?
            }
        };
        stream.raw.post(Op::Connect { socket: stream.raw.handle, address })?.await?.result?;
        Ok(stream)
    };
    connected.await.map_err(|error| naming("connect to", named, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let order = |texts: &[&str]| -> Vec<String> {
            let all = texts.iter().map(|text| Address::from(text.parse::<SocketAddr>().expect("address"))).collect();
            interleaved(all).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]
        );
        assert_eq!(order(&["1.1.1.1:1", "[::1]:1"]), ["1.1.1.1:1", "[::1]:1"]);
        assert_eq!(order(&["1.1.1.1:1"]), ["1.1.1.1:1"]);
        assert!(order(&[]).is_empty());
    }
}

//! DNS: a resolver that asks name servers itself, over the sockets of whatever network it is used on.
//!
//! It is a stub (RFC 1034, section 5.3.1): it asks servers that resolve for others. One question goes out in each message,
//! over UDP, and over TCP if the answer was cut (RFC 7766); each has a socket, hence a port, and a random identifier of its
//! own (RFC 5452), and what doesn't answer exactly it is ignored. Answers are kept as long as they say (RFC 1035, RFC 2308).

mod ask;
mod cache;
mod message;
mod name;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use crate::net::failure::named_as;
use crate::net::resolver::{Resolve, Resolving};
use crate::net::{FailureKind, UdpSocket};
use crate::time::{now, sleep};

use ask::Unanswered;
use cache::{Cache, Known};
use message::{Answer, Kind};
use name::{HostName, Special};

/// Aliases that lead to a name's addresses, at most.
const ALIASES: usize = 16;

/// How name servers are asked, and how long answers are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DnsOptions {
    /// How long a server has for an answer when it is asked for the first time; each further time it has twice as long.
    /// Default 2 s.
    pub timeout: Duration,
    /// How often each server is asked, at least once: all of them one after the other, and then again. Default 2.
    pub rounds: u32,
    /// How long the answer for one family of addresses is waited for when that for the other has come and has some. What was
    /// not waited for is not tried by a [`connect`](crate::net::Stream::connect). Default 250 ms (RFC 8305, section 3,
    /// recommends 50 ms for IPv6).
    pub other_family: Duration,
    /// How many answers are kept, each of one name and one family; when there are more, those go first that are to go
    /// first. 0: none is kept. Default 1024.
    pub cache_entries: usize,
    /// How long an answer is kept at most, whatever it says. Default a day.
    pub ttl_max: Duration,
    /// How long it is kept at most that there is no such name, or no address of it. Default 5 minutes.
    pub negative_ttl_max: Duration,
}

impl Default for DnsOptions {
    fn default() -> DnsOptions {
        DnsOptions {
            timeout: Duration::from_secs(2),
            rounds: 2,
            other_family: Duration::from_millis(250),
            cache_entries: 1024,
            ttl_max: Duration::from_secs(24 * 3600),
            negative_ttl_max: Duration::from_secs(300),
        }
    }
}

/// A [resolver](crate::net::Resolver) that asks DNS servers, over the sockets of the network it is used on: with
/// [`Network::with_resolver`](crate::net::Network::with_resolver) that network's, elsewhere the
/// [current](crate::net::Network::current) one's.
///
/// Addresses of both families are asked for at once. The family comes first that the network has a way to, and IPv6 before
/// IPv4 where it has one to both; within a family the order is the server's. Aliases (CNAME) are followed, 16 at most.
/// `localhost` and names below it are the loopback addresses, and names below `invalid` don't exist, whatever servers say
/// (RFC 6761). There are no search domains, and no hosts file is read.
///
/// ```no_run
/// use ostia::net::{Dns, Network, Resolver, Stream};
///
/// # async fn connect() -> std::io::Result<()> {
/// let dns = Dns::new(vec!["192.0.2.53:53".parse().unwrap()]);
/// let network = Network::kernel().with_resolver(Resolver::custom(dns));
/// let stream = network.connect(&"www.example.org:80".parse().unwrap()).await?;
/// # Ok(())
/// # }
/// ```
pub struct Dns {
    servers: Vec<SocketAddr>,
    options: DnsOptions,
    cache: Mutex<Cache>,
    random: Mutex<Box<dyn FnMut() -> u64 + Send>>,
}

impl Dns {
    /// One that asks these servers, in this order; the next one if one doesn't answer, or can't.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>) -> Dns {
        Dns::with_options(servers, DnsOptions::default())
    }

    /// As [`new`](Self::new), with options.
    #[must_use]
    pub fn with_options(servers: Vec<SocketAddr>, options: DnsOptions) -> Dns {
        // Where the system gives no numbers, it has given the standard library some for its keys.
        let random = || crate::random::number().unwrap_or_else(|_| RandomState::new().hash_one(0u8));
        let cache = Mutex::new(Cache::new(options.cache_entries));
        Dns { servers, options, cache, random: Mutex::new(Box::new(random)) }
    }

    /// Takes the identifiers of its questions from this instead of the system's randomness: 64 random bits a call. What can
    /// be guessed can be answered by somebody else than the server.
    #[must_use]
    pub fn with_randomness(mut self, random: impl FnMut() -> u64 + Send + 'static) -> Dns {
        self.random = Mutex::new(Box::new(random));
        self
    }

    /// The servers that it asks.
    #[must_use]
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Forgets every answer.
    pub fn clear(&self) {
        self.cache().clear();
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The identifier of a question.
    fn identifier(&self) -> u16 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        (random() >> 24) as u16
    }

    /// All addresses of a name, in the order in which they should be tried.
    async fn find(&self, text: &str) -> io::Result<Vec<IpAddr>> {
        let name = HostName::parse(text)?;
        match name.special() {
            Some(Special::Loopback) => {
                return Ok(in_order(vec![Ipv6Addr::LOCALHOST.into()], vec![Ipv4Addr::LOCALHOST.into()]));
            }
            Some(Special::Nowhere) => return Err(no_such_name()),
            None => {}
        }
        let (v6, v4) = both(self.look_up(&name, Kind::Aaaa), self.look_up(&name, Kind::A), self.options.other_family).await;
        let addresses = |found: &Option<Result<Known, Trouble>>| match found {
            Some(Ok(Known::Addresses(addresses))) => addresses.clone(),
            _ => Vec::new(),
        };
        let all = in_order(addresses(&v6), addresses(&v4));
        if !all.is_empty() {
            return Ok(all);
        }
        let mut missing = false;
        for found in [v6, v4].into_iter().flatten() {
            match found {
                Ok(known) => missing |= known == Known::Missing,
                Err(trouble) => return Err(trouble.into_error(&name, &self.servers)),
            }
        }
        if missing { Err(no_such_name()) } else { Ok(Vec::new()) }
    }

    /// The addresses of one family.
    async fn look_up(&self, name: &HostName, kind: Kind) -> Result<Known, Trouble> {
        if let Some(known) = self.cache().get(name, kind, now()) {
            return Ok(known);
        }
        let mut path = vec![name.clone()];
        let mut lifetime = u32::MAX;
        loop {
            let current = &path[path.len() - 1];
            let (known, ttl) = match self.ask(current, kind).await.map_err(Trouble::Unanswered)? {
                Answer::Found { addresses, ttl } => (Known::Addresses(addresses), Some(ttl)),
                Answer::Nothing { missing, ttl } => (if missing { Known::Missing } else { Known::Nothing }, ttl),
                Answer::Alias { names, ttl } => {
                    lifetime = lifetime.min(ttl);
                    for next in names {
                        let before = path.contains(&next);
                        path.push(next);
                        if before || path.len() > ALIASES {
                            return Err(Trouble::Aliases(path, before));
                        }
                    }
                    continue;
                }
            };
            if let Some(ttl) = ttl {
                let most =
                    if matches!(known, Known::Addresses(_)) { self.options.ttl_max } else { self.options.negative_ttl_max };
                let lifetime = Duration::from_secs(lifetime.min(ttl).into()).min(most);
                self.cache().put(name.clone(), kind, known.clone(), now(), lifetime);
            }
            return Ok(known);
        }
    }
}

impl Resolve for Dns {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(self.find(name).await?.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()) })
    }
}

impl From<Dns> for crate::net::Resolver {
    fn from(dns: Dns) -> crate::net::Resolver {
        crate::net::Resolver::custom(dns)
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("servers", &self.servers).field("options", &self.options).finish_non_exhaustive()
    }
}

/// Why there is nothing to tell of a name.
enum Trouble {
    /// No server has answered.
    Unanswered(Vec<Unanswered>),
    /// These aliases lead nowhere: in a circle, or too far.
    Aliases(Vec<HostName>, bool),
}

impl Trouble {
    fn into_error(self, name: &HostName, servers: &[SocketAddr]) -> io::Error {
        match self {
            Trouble::Unanswered(_) if servers.is_empty() => named_as(
                FailureKind::NoNameServer,
                "resolve",
                name,
                io::Error::new(io::ErrorKind::NotFound, "no DNS server is named"),
            ),
            Trouble::Unanswered(reasons) => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                let what = format!("no DNS server has answered ({})", reasons.join(", "));
                named_as(FailureKind::NoNameServer, "resolve", name, io::Error::new(io::ErrorKind::TimedOut, what))
            }
            Trouble::Aliases(path, circle) => {
                let path: Vec<String> = path.iter().map(ToString::to_string).collect();
                let what = if circle { "its aliases go in a circle" } else { "there are too many aliases" };
                io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {}", path.join(", ")))
            }
        }
    }
}

fn no_such_name() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "there is no such name (NXDOMAIN)")
}

/// Awaits the answers for both families; when one of them has come with addresses, the other only this long. One that was not
/// waited for is none.
async fn both<S, F>(six: S, four: F, patience: Duration) -> (Option<S::Output>, Option<F::Output>)
where
    S: Future<Output = Result<Known, Trouble>>,
    F: Future<Output = Result<Known, Trouble>>,
{
    let (mut six, mut four) = (pin!(six), pin!(four));
    let (mut found_six, mut found_four) = (None, None);
    let mut timer = sleep(patience);
    poll_fn(|cx| {
        if found_six.is_none()
            && let Poll::Ready(found) = six.as_mut().poll(cx)
        {
            found_six = Some(found);
        }
        if found_four.is_none()
            && let Poll::Ready(found) = four.as_mut().poll(cx)
        {
            found_four = Some(found);
        }
        let has = |found: &Option<Result<Known, Trouble>>| matches!(found, Some(Ok(Known::Addresses(_))));
        let enough = match (&found_six, &found_four) {
            (Some(_), Some(_)) => true,
            (six, four) => (has(six) || has(four)) && Pin::new(&mut timer).poll(cx).is_ready(),
        };
        if enough { Poll::Ready((found_six.take(), found_four.take())) } else { Poll::Pending }
    })
    .await
}

/// Addresses of both families in the order in which they are tried: RFC 6724, section 6, of which two rules are kept, that
/// what can't be reached comes last, and that IPv6 comes before IPv4 otherwise.
fn in_order(v6: Vec<IpAddr>, v4: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut first, then) = match (v6.first(), v4.first()) {
        (Some(six), Some(four)) if !has_way_to(*six) && has_way_to(*four) => (v4, v6),
        _ => (v6, v4),
    };
    first.extend(then);
    first
}

/// Whether the current network has an address and a route for reaching this one: naming a peer asks for both, and sends
/// nothing.
fn has_way_to(ip: IpAddr) -> bool {
    let named = UdpSocket::bind(any_of(ip)).and_then(|socket| socket.connect(SocketAddr::new(ip, 53)));
    named.is_ok()
}

/// Where a socket is bound that is to reach an address.
fn any_of(ip: IpAddr) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_and_can_be_given() {
        let dns = Dns::new(Vec::new());
        let drawn: std::collections::BTreeSet<u16> = (0..64).map(|_| dns.identifier()).collect();
        assert!(drawn.len() > 32, "{drawn:?}");
        let mut next = 0;
        let dns = dns.with_randomness(move || {
            next += 1 << 24;
            next
        });
        assert_eq!([dns.identifier(), dns.identifier()], [1, 2]);
    }

    #[test]
    fn without_servers_it_says_so_and_knows_localhost_all_the_same() {
        crate::block_on(async {
            let dns = Dns::new(Vec::new());
            let error = dns.find("www.example.org").await.expect_err("nobody to ask");
            assert!(error.to_string().contains("no DNS server is named"), "{error}");
            for name in ["localhost", "LocalHost.", "www.localhost"] {
                let mut found = dns.find(name).await.expect(name);
                found.sort();
                assert_eq!(found, [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
            }
            assert_eq!(dns.find("x.invalid").await.expect_err("none").kind(), io::ErrorKind::NotFound);
        });
    }
}

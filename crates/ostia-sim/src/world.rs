//! A world as it is described, before it runs: links, hosts, programs, cuts, and until when.

use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::link::LinkConfig;
use crate::mistake::Mistake;
use crate::program::{Host, Outcome, Program};
use crate::report::Report;
use crate::run;

/// A link of a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkId(pub(crate) usize);

/// A host of a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostId(pub(crate) usize);

/// The least MTU of a link with IPv6 (RFC 8200, 5).
const MIN_MTU_V6: u32 = 1280;
/// The most hosts: more have no place in a link's addresses.
const MOST_HOSTS: usize = 10_000;

pub(crate) struct LinkPlan {
    pub(crate) name: String,
    pub(crate) config: LinkConfig,
    pub(crate) cuts: Vec<CutPlan>,
}

pub(crate) struct CutPlan {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) hosts: Vec<HostId>,
}

pub(crate) struct HostPlan {
    pub(crate) name: String,
    pub(crate) link: LinkId,
    pub(crate) addresses: Vec<(IpAddr, u8)>,
}

/// A world: links, hosts on them, their programs. [`run`](Self::run) has it happen.
pub struct World {
    pub(crate) seed: u64,
    pub(crate) epoch: SystemTime,
    pub(crate) until: Duration,
    pub(crate) captures: Option<PathBuf>,
    pub(crate) links: Vec<LinkPlan>,
    pub(crate) hosts: Vec<HostPlan>,
    pub(crate) programs: Vec<Program>,
}

impl World {
    /// An empty world, all of whose chances come from this seed.
    #[must_use]
    pub fn new(seed: u64) -> World {
        World {
            seed,
            // 2026-01-01.
            epoch: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
            until: Duration::from_secs(3600),
            captures: None,
            links: Vec::new(),
            hosts: Vec::new(),
            programs: Vec::new(),
        }
    }

    /// Ends it after so long in its own time, if its clients aren't done by then. Default an hour. In a world with IPv6 addresses
    /// programs begin after 2.5 s, when it is certain that nobody else has those (RFC 4862, 5.4).
    pub fn until(&mut self, time: Duration) {
        self.until = time;
    }

    /// The time of day at which it begins. Default 2026-01-01T00:00:00Z.
    pub fn epoch(&mut self, epoch: SystemTime) {
        self.epoch = epoch;
    }

    /// Writes a capture of each link into this folder, which is made if it isn't there: `NAME.pcapng`, with every frame that
    /// was sent, and a comment where one was dropped, changed, doubled or held back.
    pub fn captures(&mut self, folder: impl AsRef<Path>) {
        self.captures = Some(folder.as_ref().to_owned());
    }

    /// Adds a link.
    ///
    /// # Errors
    /// What can't be of it; a name that is taken or no name.
    pub fn link(&mut self, name: &str, config: LinkConfig) -> Result<LinkId, Mistake> {
        check_name("link", name, self.links.iter().map(|link| link.name.as_str()))?;
        config.check(name)?;
        self.links.push(LinkPlan { name: name.to_owned(), config, cuts: Vec::new() });
        Ok(LinkId(self.links.len() - 1))
    }

    /// Adds a host to a link, with its addresses and the lengths of their networks' prefixes, such as `10.0.0.1/24`. Other hosts
    /// of the world know these addresses by its name.
    ///
    /// # Errors
    /// A name that is taken or no name; addresses that are none, or another's.
    pub fn host(&mut self, name: &str, link: LinkId, addresses: &[&str]) -> Result<HostId, Mistake> {
        check_name("host", name, self.hosts.iter().map(|host| host.name.as_str()))?;
        if self.hosts.len() >= MOST_HOSTS {
            return Err(Mistake::new(format!("host '{name}' is one too many"), format!("use {MOST_HOSTS} hosts at most")));
        }
        let Some(plan) = self.links.get(link.0) else {
            return Err(Mistake::new(format!("host '{name}' is on a link of another world"), "use a link of this world"));
        };
        if addresses.is_empty() {
            return Err(Mistake::new(format!("host '{name}' has no address"), "give it one, such as 10.0.0.1/24"));
        }
        let mut read: Vec<(IpAddr, u8)> = Vec::new();
        for text in addresses {
            let (address, prefix) = check_address(name, text)?;
            if address.is_ipv6() && plan.config.mtu < MIN_MTU_V6 {
                return Err(Mistake::new(
                    format!("host '{name}': link '{}' has an MTU of {}, too small for {address}", plan.name, plan.config.mtu),
                    "IPv6 needs an MTU of 1280 or more",
                ));
            }
            let others = self.hosts.iter().filter(|other| other.addresses.iter().any(|(theirs, _)| *theirs == address));
            let own = read.iter().any(|(mine, _)| *mine == address).then_some(name);
            if let Some(other) = others.map(|other| other.name.as_str()).next().or(own) {
                let what = format!("host '{name}': {address} is the address of host '{other}' already");
                return Err(Mistake::new(what, "give each host addresses of its own"));
            }
            read.push((address, prefix));
        }
        self.hosts.push(HostPlan { name: name.to_owned(), link, addresses: read });
        Ok(HostId(self.hosts.len() - 1))
    }

    /// The host of this name.
    #[must_use]
    pub fn find_host(&self, name: &str) -> Option<HostId> {
        self.hosts.iter().position(|host| host.name == name).map(HostId)
    }

    /// The addresses of a host; none for one of another world.
    #[must_use]
    pub fn addresses(&self, host: HostId) -> Vec<IpAddr> {
        let addresses = self.hosts.get(host.0).map(|host| host.addresses.as_slice()).unwrap_or_default();
        addresses.iter().map(|(address, _)| *address).collect()
    }

    /// Cuts these hosts off from the others of their link, from one time to another. What is on its way still arrives.
    ///
    /// # Errors
    /// A time that ends before it begins; a host of another link; no host.
    pub fn cut(&mut self, link: LinkId, from: Duration, until: Duration, hosts: &[HostId]) -> Result<(), Mistake> {
        let Some(name) = self.links.get(link.0).map(|link| link.name.clone()) else {
            return Err(Mistake::new("a cut is of a link of another world", "use a link of this world"));
        };
        let wrong = |what: String, remedy: &str| Err(Mistake::new(format!("a cut of link '{name}' {what}"), remedy));
        if until <= from {
            return wrong(format!("ends at {until:?}, before it begins at {from:?}"), "let it end later than it begins");
        }
        if hosts.is_empty() {
            return wrong("cuts off nobody".to_owned(), "name the hosts on one of its sides");
        }
        for host in hosts {
            match self.hosts.get(host.0) {
                Some(plan) if plan.link == link => {}
                Some(plan) => return wrong(format!("names host '{}', which isn't on it", plan.name), "name hosts of this link"),
                None => return wrong("names a host of another world".to_owned(), "name hosts of this link"),
            }
        }
        let plan = CutPlan { from, until, hosts: hosts.to_vec() };
        self.links[link.0].cuts.push(plan);
        Ok(())
    }

    /// Starts a program on a host when the world begins, which ends with the world. Services begin before clients.
    ///
    /// `make` runs in the world; what it is given names the host. If the program fails, so does the world's report.
    pub fn service<F>(&mut self, host: HostId, name: &str, make: impl FnOnce(Host) -> F + Send + 'static)
    where
        F: Future<Output = Outcome> + 'static,
    {
        self.programs.push(Program::new(host.0, name, false, make));
    }

    /// Starts a program on a host when the world begins, and has the world go on until it is done. See
    /// [`service`](Self::service).
    pub fn client<F>(&mut self, host: HostId, name: &str, make: impl FnOnce(Host) -> F + Send + 'static)
    where
        F: Future<Output = Outcome> + 'static,
    {
        self.programs.push(Program::new(host.0, name, true, make));
    }

    /// Has it happen, on a thread of its own, until all clients are done, or its time is over, or nothing can happen any more.
    ///
    /// # Errors
    /// Where a host can't have its addresses, a capture can't be written, or a port not be had. What programs come to is in the
    /// report.
    pub fn run(self) -> Result<Report, Mistake> {
        run::run(self)
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("links", &self.links.len())
            .field("hosts", &self.hosts.len())
            .field("programs", &self.programs.len())
            .finish_non_exhaustive()
    }
}

/// Whether this can be the name of something that others of these names stand beside. Names become those of files and hosts.
fn check_name<'a>(what: &str, name: &str, mut others: impl Iterator<Item = &'a str>) -> Result<(), Mistake> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) || !name.bytes().all(fine) || name.len() > 63 {
        return Err(Mistake::new(
            format!("'{name}' can't be the name of a {what}"),
            "use 1 to 63 letters, digits, '-', '_' and '.', beginning with a letter or digit",
        ));
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(Mistake::new(format!("'{name}' can't be the name of a {what}: it is an address"), "use letters"));
    }
    match others.any(|other| other.eq_ignore_ascii_case(name)) {
        true => Err(Mistake::new(format!("there are two {what}s named '{name}'"), "give each a name of its own")),
        false => Ok(()),
    }
}

fn check_address(host: &str, text: &str) -> Result<(IpAddr, u8), Mistake> {
    let read = text.split_once('/').and_then(|(address, prefix)| {
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= most).then_some((address, prefix))
    });
    read.ok_or_else(|| {
        let what = format!("host '{host}': '{text}' is no address with a prefix");
        Mistake::new(what, "write such as 10.0.0.1/24 or fd00::1/64")
    })
}

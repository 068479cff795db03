//! The network that a program runs over: the kernel's, or Ostia's own stack on a device that is opened here.

mod plan;

use std::any::Any;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ostia::net::{Dns, Endpoint, Network, Resolver};
use ostia::time::sleep;
use ostia_link::{Capture, CaptureOptions, Link, Packet, PacketConfig, Tun, TunConfig, TunKind};
use ostia_net::{AddressState, NetConfig, StackEngine};
use serde_json::json;

use crate::args::{Common, DEFAULT_ADDRESS, NetworkArgs, NetworkChoice, Offload};
use crate::errors::Failure;
use crate::launch::{self, Stop};
use crate::output;

use plan::Plan;

/// How long an address from DHCP may take, and how often is looked.
const LEASE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_millis(50));

/// How often is looked whether leases are the same.
const LEASES_SEEN: Duration = Duration::from_secs(1);

/// How long the kernel may keep the device of a program that was killed, with its addresses, and how often is looked.
const LINGERING: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(20));

/// How often is looked whether the link is still there, by those whom no operation tells.
const GONE: Duration = Duration::from_millis(200);

/// A network that is open.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The network, to be the scope of what runs on it.
    pub network: Network,
    /// The stack's addresses; none on the kernel's network.
    pub addresses: Vec<IpAddr>,
    /// Whether some of them are leased, and may be others tomorrow.
    leases: bool,
    capture: Option<Arc<Capture>>,
}

impl Opened {
    /// Where a program listens that was told `addresses`: where it was told, or, if it was told nothing, on each address of the
    /// stack.
    #[must_use]
    pub fn places(&self, addresses: &[String]) -> Vec<String> {
        let port = DEFAULT_ADDRESS.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
        if !self.network.is_engines() || addresses != [DEFAULT_ADDRESS] {
            return addresses.to_vec();
        }
        self.listening_addresses().iter().map(|ip| SocketAddr::new(*ip, port).to_string()).collect()
    }

    /// The stack's addresses, for a program to listen on all of them; where some are leased those that stand for any, so that it
    /// hears at the next ones too.
    #[must_use]
    pub fn listening_addresses(&self) -> Vec<IpAddr> {
        if !self.leases {
            return self.addresses.clone();
        }
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
        any.into_iter().filter(|any| self.addresses.iter().any(|ip| ip.is_ipv4() == any.is_ipv4())).collect()
    }

    fn leased(&self) -> Vec<IpAddr> {
        self.with_stack(|stack| stack.leased().collect()).unwrap_or_default()
    }

    /// As [`places`](Self::places), as endpoints.
    ///
    /// # Errors
    /// A usage error that names the first that is none.
    pub fn endpoints(&self, common: &Common) -> Result<Vec<Endpoint>, Failure> {
        let addresses = self.places(&common.addresses);
        crate::launch::endpoints(&Common { addresses, ..common.clone() })
    }

    /// Runs a future on the network. On the kernel's that is the future itself: tasks outside of any scope cost less.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let plain = !self.network.is_engines() && matches!(self.network.resolver(), Resolver::Host);
        if plain { future.await } else { self.network.scope(future).await }
    }

    /// Calls `f` with the stack; none on the kernel's network.
    pub fn with_stack<R>(&self, f: impl FnOnce(&mut StackEngine) -> R) -> Option<R> {
        let called = self.network.with_engine(|engine| (engine as &mut dyn Any).downcast_mut::<StackEngine>().map(f));
        called.ok().flatten()
    }

    /// That the stack's link is gone, if it is: nothing comes or goes any more.
    #[must_use]
    pub fn gone(&self) -> Option<Failure> {
        let gone = |stack: &mut StackEngine| Some((stack.link_name().to_owned(), stack.failure()?.to_string()));
        let (link, why) = self.with_stack(gone).flatten()?;
        let what = format!("the network is down: its link {link} is gone ({why})");
        Some(Failure::new(what, "start again when there is a link"))
    }

    /// Waits until the stack's link is gone; for ever on the kernel's network.
    pub async fn until_gone(&self) {
        if !self.network.is_engines() {
            return std::future::pending().await;
        }
        while self.gone().is_none() {
            sleep(GONE).await;
        }
    }

    /// Why a server over this network has ended.
    #[must_use]
    pub fn failure(&self, error: &io::Error) -> Failure {
        self.gone().unwrap_or_else(|| Failure::start(error))
    }

    /// Writes out what is left of the capture. One that is incomplete counts as work that was done in part.
    pub fn finish(&self) {
        if let Some(capture) = &self.capture
            && let Err(error) = capture.flush()
        {
            tracing::error!(%error, "the capture is incomplete");
            launch::mark_partial();
        }
    }
}

/// How many workers a program has that was not told: one, that of the stack, for what others do reaches it by messages.
#[must_use]
pub fn workers(common: &Common) -> Common {
    let mut common = common.clone();
    if common.network.network != NetworkChoice::Kernel {
        common.workers = common.workers.or(std::num::NonZeroUsize::new(1));
    }
    common
}

/// Opens what was asked for. To be called in the runtime, on the worker that is to have the stack.
///
/// # Errors
/// What keeps the device or the stack from being had, each with a remedy.
pub async fn open(args: &NetworkArgs) -> Result<Opened, Failure> {
    let plan = Plan::new(args)?;
    if args.network == NetworkChoice::Kernel {
        return open_planned(args, &plan).await;
    }
    // What is set on a device is to be taken back, however early the end is asked for.
    let mut stop = Stop::watch()?;
    launch::started();
    let opened = ostia::select! {
        opened = open_planned(args, &plan) => opened?,
        asked = stop.asked() => return Err(asked.map_or_else(|error| Failure::start(&error), |()| Failure::interrupted())),
    };
    stop.keep();
    Ok(opened)
}

async fn open_planned(args: &NetworkArgs, plan: &Plan) -> Result<Opened, Failure> {
    let (link, described) = match &args.network {
        NetworkChoice::Kernel => {
            let network = with_servers(Network::kernel(), &args.dns);
            return Ok(Opened { network, addresses: Vec::new(), leases: false, capture: None });
        }
        NetworkChoice::Tun(name) => tun(TunKind::Tun, name.as_deref(), args, plan).await?,
        NetworkChoice::Tap(name) => tun(TunKind::Tap, name.as_deref(), args, plan).await?,
        NetworkChoice::Packet(interface) => packet(interface, args, plan)?,
    };
    let (link, capture) = match &args.pcap {
        None => (link, None),
        Some(path) => {
            let report = |error: &io::Error| tracing::error!(%error, "the capture has ended");
            let options = CaptureOptions { report: Some(Box::new(report)), ..CaptureOptions::default() };
            let capture = Capture::create(path, options).map_err(|error| {
                Failure::new(format!("cannot write {}: {error}", path.display()), "name a file that can be written with --pcap")
            })?;
            (Box::new(capture.link(link)) as Box<dyn Link>, Some(Arc::new(capture)))
        }
    };
    let mut config = NetConfig::new(seed()?);
    config.addresses = plan.ips.iter().map(|ip| (ip.address, ip.prefix)).collect();
    config.gateways = args.gateways.clone();
    config.dhcp = args.dhcp;
    config.slaac = args.dhcp;
    let name = link.facts().name.clone();
    let engine = StackEngine::new(link, &config).map_err(|error| {
        Failure::usage(format!("cannot set the stack up on {name}: {error}"), "see --ip, --gateway and --mtu")
    })?;
    let network = Network::of_engine(Box::new(engine)).map_err(|error| Failure::start(&error))?;
    let mut opened = Opened { network, addresses: plan.ips.iter().map(|ip| ip.address).collect(), leases: args.dhcp, capture };
    settle(&opened, &name).await?;
    if args.dhcp {
        opened.addresses.extend(lease(&opened).await?);
        ostia::spawn(watch_leases(opened.clone())).detach();
    }
    let mut servers = args.dns.clone();
    if servers.is_empty() {
        servers = opened.with_stack(|stack| stack.name_servers()).unwrap_or_default();
    }
    opened.network = with_servers(opened.network, &servers);
    let addresses: Vec<String> = opened.addresses.iter().map(ToString::to_string).collect();
    let workers = ostia::workers().len();
    let lives = match workers {
        0 | 1 => String::new(),
        _ => format!("; the stack lives on the first of {workers} workers and serves the others by messages"),
    };
    output::print(
        &format!("network {}: {}; {described}{lives}", name, addresses.join(", ")),
        || json!({ "event": "network", "link": name, "addresses": addresses, "workers": workers }),
    );
    Ok(opened)
}

/// The network with names asked of these servers, if there are any.
fn with_servers(network: Network, servers: &[SocketAddr]) -> Network {
    if servers.is_empty() { network } else { network.with_resolver(Dns::new(servers.to_vec())) }
}

async fn tun(kind: TunKind, name: Option<&str>, args: &NetworkArgs, plan: &Plan) -> Result<(Box<dyn Link>, String), Failure> {
    let defaults = TunConfig::default();
    let config = TunConfig {
        kind,
        name: name.map_or(defaults.name, str::to_owned),
        offload: offload(args),
        mtu: args.mtu,
        mac: None,
        host: plan.host.clone(),
    };
    let open = || plan.check_ours(args, name).and_then(|()| Ok(Tun::open(&config)?));
    let mut opened = open();
    let (patience, pause) = LINGERING;
    for _ in 0..patience.as_millis() / pause.as_millis() {
        let Err(error) = &opened else { break };
        if !matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::AlreadyExists) {
            break;
        }
        sleep(pause).await;
        opened = open();
    }
    let link = opened.map_err(|error| failure(&args.network, error))?;
    let host: Vec<String> = plan.host.addresses.iter().map(ToString::to_string).collect();
    let described =
        if host.is_empty() { "the kernel's side has no address".into() } else { format!("the kernel has {}", host.join(", ")) };
    Ok((Box::new(link), described))
}

fn packet(interface: &str, args: &NetworkArgs, plan: &Plan) -> Result<(Box<dyn Link>, String), Failure> {
    plan.check_ours(args, None).map_err(|error| failure(&args.network, error))?;
    let mut config = PacketConfig::new(interface);
    config.offload = offload(args);
    // With the interface's own address the kernel would reset the stack's connections, of which it knows nothing.
    config.mac = Some(ostia_wire::MacAddr(local_mac()?));
    let link = Packet::open(&config).map_err(|error| failure(&args.network, error.into()))?;
    if !link.was_up() {
        tracing::warn!("{interface} is down: nothing comes or goes until it is up (ip link set {interface} up)");
    }
    Ok((Box::new(link), format!("beside the kernel on {interface}")))
}

fn offload(args: &NetworkArgs) -> ostia_link::Offload {
    match args.offload {
        Offload::On => ostia_link::Offload::On,
        Offload::Off => ostia_link::Offload::Off,
    }
}

/// The failure of a device. Its text says what would help.
fn failure(network: &NetworkChoice, error: io::Error) -> Failure {
    let text = error.to_string();
    let (why, remedy) = text.split_once(": ").unwrap_or((text.as_str(), "see --network"));
    let what = format!("cannot open {network}: {why}");
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::permission(what, remedy),
        io::ErrorKind::InvalidInput => Failure::usage(what, remedy),
        _ => Failure::new(what, remedy),
    }
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Failure::start(&io::Error::other(error)))?;
    Ok(bytes)
}

/// What the stack's keys and numbers come from.
fn seed() -> Result<[u8; 32], Failure> {
    random()
}

/// An Ethernet address that is this host's own invention (IEEE 802, locally administered, of one station).
fn local_mac() -> Result<[u8; 6], Failure> {
    let mut mac: [u8; 6] = random()?;
    mac[0] = mac[0] & 0xfc | 2;
    Ok(mac)
}

/// Waits until the stack's addresses can be bound to: others are asked first whether they have them, where there are others.
async fn settle(opened: &Opened, link: &str) -> Result<(), Failure> {
    let state = |wanted: AddressState| {
        let first = |stack: &mut StackEngine| {
            let mut all = stack.addresses().filter(|(ip, _)| opened.addresses.contains(ip));
            all.find(|(_, state)| *state == wanted).map(|(ip, _)| ip)
        };
        opened.with_stack(first).flatten()
    };
    let (patience, pause) = LEASE;
    for _ in 0..patience.as_millis() / pause.as_millis() {
        if let Some(ip) = state(AddressState::Duplicate) {
            return Err(Failure::new(
                format!("{ip} is another host's on {link}"),
                "use an address for --ip that nobody on that network has",
            ));
        }
        if state(AddressState::Tentative).is_none() {
            return Ok(());
        }
        sleep(pause).await;
    }
    // Whoever binds to it will be told.
    Ok(())
}

/// Waits for the address that DHCP gives.
async fn lease(opened: &Opened) -> Result<Vec<IpAddr>, Failure> {
    let (patience, pause) = LEASE;
    for _ in 0..patience.as_millis() / pause.as_millis() {
        let leased = opened.leased();
        if !leased.is_empty() {
            return Ok(leased);
        }
        sleep(pause).await;
    }
    Err(Failure::new(
        format!("no DHCP server has given an address within {patience:?}"),
        "check that one is on this link and has any left, or name an address with --ip",
    ))
}

/// Logs what becomes of leases, for as long as the program runs.
async fn watch_leases(opened: Opened) {
    let mut before = opened.leased();
    loop {
        sleep(LEASES_SEEN).await;
        let now = opened.leased();
        for address in before.iter().filter(|address| !now.contains(address)) {
            tracing::warn!(%address, "the lease has ended: the address is not the stack's any more");
        }
        for address in now.iter().filter(|address| !before.contains(address)) {
            tracing::warn!(%address, "another address was leased");
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostia_link::{MemoryConfig, memory};

    #[test]
    fn a_link_that_is_gone_is_told_of() {
        ostia::block_on(async {
            let (here, there) = memory::pair(&MemoryConfig { name: "m0".into(), ..MemoryConfig::default() });
            let config = NetConfig::new([1; 32]).with_address([10, 7, 0, 2].into(), 24);
            let engine = StackEngine::new(Box::new(here), &config).expect("a stack");
            let network = Network::of_engine(Box::new(engine)).expect("a network");
            let opened = Opened { network, addresses: Vec::new(), leases: false, capture: None };
            assert_eq!(opened.gone(), None);
            drop(there);
            opened.until_gone().await;
            let failure = opened.gone().expect("it is gone");
            assert!(failure.what.contains("m0.0 is gone") && failure.code == 1, "{failure:?}");
        });
    }
}

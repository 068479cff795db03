//! From a scenario to a world, once for each seed; all that can be wrong with it is found before the first.

use super::clients::{self, Download, Echo, Expected};
use super::scenario::{self, Program, Scenario};
use super::site::Site;
use super::units::Time;
use crate::errors::Failure;
use crate::{echo, serve};
use ostia::net::Endpoint;
use ostia::serve::Server;
use ostia_sim::{Bursts, HostId, LinkConfig, LinkId, Mistake, Report, World};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a scenario goes on that doesn't say.
const UNTIL: Duration = Duration::from_secs(600);
/// How often a client does what it does, and how much an echo client has echoed, if they don't say; and the most of it.
const TIMES: u32 = 1;
const ECHOED: u64 = 64 << 10;
const MOST_ECHOED: u64 = 1 << 28;
/// The ports of RFC 862 and RFC 9110.
const ECHO_PORT: u16 = 7;
const HTTP_PORT: u16 = 80;
/// The most hosts that one entry stands for.
const MOST_COPIES: u32 = 1000;

/// A scenario that is right.
#[derive(Debug)]
pub struct Plan {
    name: String,
    until: Duration,
    links: Vec<(String, LinkConfig)>,
    hosts: Vec<Host>,
    cuts: Vec<Cut>,
}

#[derive(Debug)]
struct Host {
    name: String,
    link: usize,
    addresses: Vec<String>,
    programs: Vec<Planned>,
}

#[derive(Debug)]
struct Cut {
    link: usize,
    from: Duration,
    until: Duration,
    hosts: Vec<String>,
}

#[derive(Clone, Debug)]
enum Planned {
    Serve(Site, u16),
    Echo(u16),
    Download(Download),
    EchoClient(Echo),
}

impl Plan {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn read(path: &Path) -> Result<Plan, Failure> {
        let name = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new("."));
        let in_file = |failure: Failure| Failure { what: format!("{name}: {}", failure.what), ..failure };
        let plan = Plan::of(scenario::read(path)?, name.clone(), folder).map_err(in_file)?;
        plan.world(0)?;
        Ok(plan)
    }

    fn of(scenario: Scenario, name: String, folder: &Path) -> Result<Plan, Failure> {
        let links: Vec<(String, LinkConfig)> = scenario.link.iter().map(|link| (link.name.clone(), config(link))).collect();
        if links.is_empty() || scenario.host.is_empty() {
            let what = if links.is_empty() { "there is no link" } else { "there is no host" };
            return Err(Failure::usage(what, "write [[link]] with a name, and [[host]] with a name and addresses"));
        }
        let find_link = |named: Option<&str>, whose: &str| match named {
            None if links.len() == 1 => Ok(0),
            None => {
                Err(Failure::usage(format!("{whose} says no link, and there are several"), format!("use one of {}", all(&links))))
            }
            Some(named) => links.iter().position(|(name, _)| name == named).ok_or_else(|| {
                Failure::usage(format!("{whose} is on link '{named}', which isn't there"), format!("use one of {}", all(&links)))
            }),
        };
        let mut hosts = Vec::new();
        for host in &scenario.host {
            let link = find_link(host.link.as_deref(), &format!("host '{}'", host.name))?;
            for (name, addresses) in copies(host)? {
                hosts.push(Host { name, link, addresses, programs: Vec::new() });
            }
        }
        // Clients want to know of servers, so these are first.
        for client in [false, true] {
            for entry in &scenario.host {
                for program in entry.program.iter().filter(|program| program.is_client() == client) {
                    let link = find_link(entry.link.as_deref(), &format!("host '{}'", entry.name))?;
                    let planned = planned(program, link, &hosts, folder)
                        .map_err(|failure| Failure { what: format!("host '{}': {}", entry.name, failure.what), ..failure })?;
                    for (name, _) in copies(entry)? {
                        let same = hosts.iter_mut().filter(|host| host.name == name);
                        same.for_each(|host| host.programs.push(planned.clone()));
                    }
                }
            }
        }
        let cuts = scenario.cut.iter().map(|cut| {
            let link = find_link(cut.link.as_deref(), "a cut")?;
            if let Some(missing) = cut.hosts.iter().find(|name| hosts.iter().all(|host| host.name != **name)) {
                return Err(no_host(missing, &hosts));
            }
            Ok(Cut { link, from: cut.from.0, until: cut.until.0, hosts: cut.hosts.clone() })
        });
        let cuts = cuts.collect::<Result<_, _>>()?;
        let until = scenario.until.map_or(UNTIL, |Time(time)| time);
        Ok(Plan { name, until, links, hosts, cuts })
    }

    /// Has the scenario happen from a seed, and writes captures into a folder if there is one.
    ///
    /// # Errors
    /// What keeps it from happening; that a client fails is in the report.
    pub fn run(&self, seed: u64, captures: Option<&Path>) -> Result<Report, Failure> {
        let mut world = self.world(seed)?;
        if let Some(folder) = captures {
            world.captures(folder);
        }
        world.run().map_err(|mistake| self.failure(mistake))
    }

    fn world(&self, seed: u64) -> Result<World, Failure> {
        let wrong = |mistake| self.failure(mistake);
        let mut world = World::new(seed);
        world.until(self.until);
        let mut links: Vec<LinkId> = Vec::new();
        for (name, config) in &self.links {
            links.push(world.link(name, config.clone()).map_err(wrong)?);
        }
        let mut ids: Vec<(&str, HostId)> = Vec::new();
        for host in &self.hosts {
            let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
            ids.push((&host.name, world.host(&host.name, links[host.link], &addresses).map_err(wrong)?));
        }
        for (host, (_, id)) in self.hosts.iter().zip(&ids) {
            let addresses = world.addresses(*id);
            host.programs.iter().for_each(|program| start(&mut world, *id, &addresses, program.clone()));
        }
        for cut in &self.cuts {
            let named = ids.iter().filter(|(name, _)| cut.hosts.iter().any(|one| one == name));
            let hosts: Vec<HostId> = named.map(|(_, id)| *id).collect();
            world.cut(links[cut.link], cut.from, cut.until, &hosts).map_err(wrong)?;
        }
        Ok(world)
    }

    fn failure(&self, mistake: Mistake) -> Failure {
        Failure::usage(format!("{}: {}", self.name, mistake.what), mistake.remedy)
    }
}

impl Program {
    fn is_client(&self) -> bool {
        matches!(self, Program::Download { .. } | Program::EchoClient { .. })
    }
}

fn all(links: &[(String, LinkConfig)]) -> String {
    links.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn no_host(name: &str, hosts: &[Host]) -> Failure {
    let mut names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    let more = if names.len() > 12 { ", …" } else { "" };
    names.truncate(12);
    Failure::usage(format!("there is no host '{name}'"), format!("use one of {}{more}", names.join(", ")))
}

fn config(link: &scenario::Link) -> LinkConfig {
    let default = LinkConfig::default();
    LinkConfig {
        mtu: link.mtu.unwrap_or(default.mtu),
        rate: link.rate.map(|rate| rate.0),
        queue: link.queue.map_or(default.queue, |size| size.0),
        delay: link.delay.map_or(default.delay, |time| time.0),
        jitter: link.jitter.map_or(default.jitter, |time| time.0),
        loss: link.loss.map_or(0.0, |chance| chance.0),
        bursts: link.bursts.as_ref().map(|bursts| Bursts {
            enter: bursts.enter.0,
            leave: bursts.leave.0,
            loss: bursts.loss.map_or(1.0, |chance| chance.0),
        }),
        duplication: link.duplication.map_or(0.0, |chance| chance.0),
        reordering: link.reordering.map_or(0.0, |chance| chance.0),
        held_back: link.held_back.map_or(default.held_back, |time| time.0),
        corruption: link.corruption.map_or(0.0, |chance| chance.0),
    }
}

/// The hosts that an entry stands for: their names and addresses.
fn copies(host: &scenario::Host) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let Some(count) = host.count else { return Ok(vec![(host.name.clone(), host.addresses.clone())]) };
    if !(1..=MOST_COPIES).contains(&count) {
        let what = format!("host '{}': a count of {count} is impossible", host.name);
        return Err(Failure::usage(what, format!("use 1 to {MOST_COPIES}")));
    }
    let copy = |number: u32| {
        let addresses = host.addresses.iter().map(|text| {
            moved(text, number).ok_or_else(|| {
                let what = format!("host '{}': there is no address {number} behind '{text}'", host.name);
                Failure::usage(what, "write the first of them with its prefix, such as 10.0.0.10/24")
            })
        });
        Ok((format!("{}{}", host.name, number + 1), addresses.collect::<Result<_, _>>()?))
    };
    (0..count).map(copy).collect()
}

/// The address so many behind one.
fn moved(text: &str, by: u32) -> Option<String> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = match address.parse().ok()? {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).checked_add(by)?.into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).checked_add(u128::from(by))?.into()),
    };
    Some(format!("{address}/{prefix}"))
}

fn planned(program: &Program, link: usize, hosts: &[Host], folder: &Path) -> Result<Planned, Failure> {
    Ok(match program {
        Program::Serve { dir, files, port } => {
            let site = match (dir, files) {
                (Some(dir), None) => Site::of(folder.join(dir))?,
                (None, Some(files)) => Site::made_up(&files.iter().map(|(name, size)| (name.clone(), size.0)).collect())?,
                _ => {
                    return Err(Failure::usage(
                        "serve needs either a folder or files",
                        "write dir = \"site\", or files = { \"a.bin\" = \"1MiB\" }",
                    ));
                }
            };
            Planned::Serve(site, checked_port(port.unwrap_or(HTTP_PORT))?)
        }
        Program::Echo { port } => Planned::Echo(checked_port(port.unwrap_or(ECHO_PORT))?),
        Program::Download { url, times, sha256 } => Planned::Download(download(url, *times, sha256.as_deref(), link, hosts)?),
        Program::EchoClient { to, bytes, times, pause } => {
            let bytes = bytes.map_or(ECHOED, |size| size.0);
            if bytes == 0 || bytes > MOST_ECHOED {
                return Err(Failure::usage(format!("{bytes} bytes can't be echoed"), "use 1 to 256MiB"));
            }
            let to: Endpoint = to
                .parse()
                .map_err(|why| Failure::usage(format!("'{to}' is no host and port: {why}"), "write such as to = \"server:7\""))?;
            check_host(&to, link, hosts)?;
            let pause = pause.map_or(Duration::ZERO, |time| time.0);
            Planned::EchoClient(Echo { to, bytes: bytes as usize, times: checked_times(*times)?, pause })
        }
    })
}

fn checked_port(port: u16) -> Result<u16, Failure> {
    match port {
        0 => Err(Failure::usage("a port of 0 is nobody's", "use 1 to 65535")),
        port => Ok(port),
    }
}

fn checked_times(times: Option<u32>) -> Result<u32, Failure> {
    match times.unwrap_or(TIMES) {
        0 => Err(Failure::usage("a client that does it 0 times does nothing", "use times = 1 or more")),
        times => Ok(times),
    }
}

/// Whether a name is that of a host on the same link; addresses may be anybody's, and then nobody answers.
fn check_host(endpoint: &Endpoint, link: usize, hosts: &[Host]) -> Result<(), Failure> {
    match endpoint {
        Endpoint::Name(name, _) => match hosts.iter().find(|host| host.name.eq_ignore_ascii_case(name)) {
            None => Err(no_host(name, hosts)),
            Some(host) if host.link != link => Err(Failure::usage(
                format!("host '{name}' is on another link, to which no router leads"),
                "put both on the same link",
            )),
            Some(_) => Ok(()),
        },
        Endpoint::Ip(_) => Ok(()),
        other => Err(Failure::usage(format!("'{other}' is in no network"), "write a host and a port, such as server:7")),
    }
}

fn download(url: &str, times: Option<u32>, sha256: Option<&str>, link: usize, hosts: &[Host]) -> Result<Download, Failure> {
    let wrong = || Failure::usage(format!("'{url}' is no URL for a download"), "write such as http://server/a.bin");
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    if authority.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let has_port = authority.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
    let full = if has_port { authority.to_owned() } else { format!("{authority}:{HTTP_PORT}") };
    let endpoint: Endpoint = full.parse().map_err(|_| wrong())?;
    check_host(&endpoint, link, hosts)?;
    let expected = match sha256 {
        Some(text) => Expected::Hash(hash(text).ok_or_else(|| {
            Failure::usage(format!("'{text}' is no SHA-256"), "write its 64 hexadecimal digits, as sha256sum(1) prints them")
        })?),
        None => {
            let site = served_at(&endpoint, hosts).ok_or_else(|| {
                Failure::usage(
                    format!("nobody is known to serve '{url}', so nothing is known to compare with"),
                    "have its host run serve on this port, or give the file's sha256",
                )
            })?;
            Expected::Bytes(Arc::from(site.content(path)?))
        }
    };
    let (url, authority, path) = (url.to_owned(), authority.to_owned(), path.to_owned());
    Ok(Download { url, endpoint, authority, path, times: checked_times(times)?, expected })
}

/// The folder that is served at an address.
fn served_at<'a>(endpoint: &Endpoint, hosts: &'a [Host]) -> Option<&'a Site> {
    let has = |host: &Host, ip: IpAddr| host.addresses.iter().any(|text| moved(text, 0).is_some_and(|it| is(&it, ip)));
    let (host, port) = match endpoint {
        Endpoint::Name(name, port) => (hosts.iter().find(|host| host.name.eq_ignore_ascii_case(name))?, *port),
        Endpoint::Ip(address) => (hosts.iter().find(|host| has(host, address.ip()))?, address.port()),
        _ => return None,
    };
    host.programs.iter().find_map(|program| match program {
        Planned::Serve(site, at) if *at == port => Some(site),
        _ => None,
    })
}

fn is(text: &str, ip: IpAddr) -> bool {
    text.split('/').next().is_some_and(|address| address.parse() == Ok(ip))
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// Has a program start with the world.
fn start(world: &mut World, host: HostId, addresses: &[IpAddr], program: Planned) {
    let endpoints = |port: u16| -> Vec<Endpoint> { addresses.iter().map(|ip| SocketAddr::new(*ip, port).into()).collect() };
    match program {
        Planned::Serve(site, port) => {
            let endpoints = endpoints(port);
            world.service(host, "serve", move |_| async move { Ok(serve::serve_in_world(&site.folder, &endpoints).await?) });
        }
        Planned::Echo(port) => {
            let endpoints = endpoints(port);
            world.service(host, "echo", move |_| async move {
                let server = endpoints.into_iter().fold(Server::builder(), |server, endpoint| server.listen(endpoint));
                server.build()?.run(|stream, _| echo::echo(stream)).await?;
                Ok(())
            });
        }
        Planned::Download(what) => world.client(host, "download", |host| clients::download(host, what)),
        Planned::EchoClient(what) => world.client(host, "echo-client", |host| clients::echo(host, what)),
    }
}

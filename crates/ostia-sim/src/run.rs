//! A world happening: its thread, its runtime on the virtual driver, and its end.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ostia::net::{HostTable, Network};
use ostia::{Config, DriverChoice, JoinHandle, Runtime, VirtualTime};
use ostia_net::{NetConfig, StackEngine};
use ostia_wire::MacAddr;

use crate::capture::Capture;
use crate::impair::Line;
use crate::mistake::Mistake;
use crate::program::{Host, Outcome, Program};
use crate::random::{Random, derive};
use crate::record::{Record, Tally};
use crate::report::{End, ProgramReport, Report, State};
use crate::segment::{Cut, Segment};
use crate::station::Station;
use crate::surroundings::HostSurroundings;
use crate::world::World;

/// How long hosts with IPv6 addresses wait at the beginning, until nobody claims those (RFC 4862, 5.4): a second at most before
/// they ask, and one for the answer.
const CLAIMING: Duration = Duration::from_millis(2500);

/// Locks what one thread uses: nothing that runs under these locks panics half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a world's thread works with.
struct Stage {
    time: VirtualTime,
    record: Arc<Mutex<Record>>,
    segments: Vec<Arc<Mutex<Segment>>>,
    /// By program: what it has come to so far.
    states: Rc<RefCell<Vec<State>>>,
}

/// Runs a world on a thread of its own: what the standard library keeps for each thread is new there.
pub(crate) fn run(world: World) -> Result<Report, Mistake> {
    let thread = thread::Builder::new().name("world".to_owned()).spawn(move || happen(world));
    let thread = thread.map_err(|error| Mistake::new(format!("no thread for a world: {error}"), "end other programs"))?;
    match thread.join() {
        Ok(report) => report,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn happen(mut world: World) -> Result<Report, Mistake> {
    let time = VirtualTime::new();
    let record = Arc::new(Mutex::new(Record::new()));
    let segments = segments(&world, &time, &record)?;
    let mut programs = std::mem::take(&mut world.programs);
    // Services first: they listen when the first client comes. Else the order is that of the description.
    programs.sort_by_key(|program| program.client);
    let mut reports: Vec<ProgramReport> = Vec::new();
    for Program { host, name, client, .. } in &programs {
        let Some(plan) = world.hosts.get(*host) else {
            return Err(Mistake::new(format!("program '{name}' is on a host of another world"), "use a host of this world"));
        };
        reports.push(ProgramReport { host: plan.name.clone(), name: name.clone(), client: *client, state: State::Running });
    }
    let states = Rc::new(RefCell::new(vec![State::Running; programs.len()]));
    let stage = Stage { time: time.clone(), record, segments, states };
    let no_port = |error: io::Error| Mistake::new(format!("no port for a world: {error}"), "end other programs");
    let port = Config { driver: DriverChoice::Virtual, virtual_time: Some(time.clone()), ..Config::default() };
    let mut runtime = Runtime::builder().workers(1).port(port).build().map_err(no_port)?;
    let happened = {
        #[cfg(all(feature = "guard", target_os = "linux", target_env = "gnu"))]
        let _inside = crate::guard::Inside::enter();
        runtime.try_block_on(live(&world, programs, &stage))
    };
    let end = match happened {
        Ok(end) => end?,
        Err(error) => End::Stuck(error.to_string()),
    };
    let (hash, events) = lock(&stage.record).close();
    let notes = std::mem::take(&mut lock(&stage.record).notes);
    let ended = Duration::from_nanos(time.nanos());
    for (report, state) in reports.iter_mut().zip(stage.states.borrow().iter()) {
        report.state.clone_from(state);
    }
    runtime.shutdown(Duration::ZERO);
    let (mut frames, mut links, mut uncaptured) = (Tally::default(), Vec::new(), None);
    for (plan, segment) in world.links.iter().zip(&stage.segments) {
        let mut segment = lock(segment);
        // What has happened is to be told all the same.
        if let Err(error) = segment.finish() {
            uncaptured.get_or_insert(no_capture(&plan.name, &error).what);
        }
        frames.add(&segment.tally());
        links.push((plan.name.clone(), segment.tally()));
    }
    Ok(Report { seed: world.seed, hash, events, time: ended, end, frames, links, programs: reports, notes, uncaptured })
}

fn no_capture(link: &str, error: &io::Error) -> Mistake {
    Mistake::new(format!("no capture of link '{link}' can be written: {error}"), "name a folder that this user may write to")
}

/// Makes the links.
fn segments(world: &World, time: &VirtualTime, record: &Arc<Mutex<Record>>) -> Result<Vec<Arc<Mutex<Segment>>>, Mistake> {
    if let Some(folder) = &world.captures {
        std::fs::create_dir_all(folder).map_err(|error| {
            Mistake::new(format!("the folder {} can't be made: {error}", folder.display()), "name a folder for captures")
        })?;
    }
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut segments = Vec::new();
    for (number, link) in world.links.iter().enumerate() {
        let on_it: Vec<usize> = (0..world.hosts.len()).filter(|&host| world.hosts[host].link.0 == number).collect();
        let cuts = link.cuts.iter().map(|cut| {
            let side = on_it.iter().map(|host| cut.hosts.iter().any(|one| one.0 == *host)).collect();
            Cut { from: nanos(cut.from), until: nanos(cut.until), side }
        });
        let mut segment = Segment::new(number, link.config.clone(), cuts.collect(), time.clone(), record.clone());
        if let Some(folder) = &world.captures {
            let epoch = world.epoch.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let capture = Capture::create(&folder.join(format!("{}.pcapng", link.name)), &link.name, epoch);
            segment.capture(capture.map_err(|error| no_capture(&link.name, &error))?);
        }
        segments.push(Arc::new(Mutex::new(segment)));
    }
    Ok(segments)
}

/// Makes the hosts, runs the programs, and waits for the end.
async fn live(world: &World, programs: Vec<Program>, stage: &Stage) -> Result<End, Mistake> {
    let networks = networks(world, stage)?;
    if world.hosts.iter().any(|host| host.addresses.iter().any(|(address, _)| address.is_ipv6())) {
        ostia::time::sleep(CLAIMING).await;
    }
    let mut clients: Vec<JoinHandle<()>> = Vec::new();
    for (at, program) in programs.into_iter().enumerate() {
        let (Some(network), Some(plan)) = (networks.get(program.host), world.hosts.get(program.host)) else { continue };
        let host = Host {
            number: program.host,
            name: plan.name.as_str().into(),
            time: stage.time.clone(),
            record: stage.record.clone(),
        };
        let client = program.client;
        let running = ostia::spawn(network.scope(follow(host, program, at, stage.states.clone())));
        if client {
            clients.push(running);
        } else {
            running.detach();
        }
    }
    let all = async {
        if clients.is_empty() {
            std::future::pending::<()>().await;
        }
        for client in clients {
            // What it has come to stands in its state.
            let _ = client.await;
        }
    };
    let left = world.until.saturating_sub(Duration::from_nanos(stage.time.nanos()));
    let end = match ostia::time::timeout(left, all).await {
        Ok(()) => End::Done,
        Err(_) => End::Late,
    };
    lock(&stage.record).close();
    for network in &networks {
        // What is still to be sent is of no interest any more.
        let _ = network.with_engine(|engine| engine.abort_all());
    }
    Ok(end)
}

/// Runs a program, and writes down what it comes to.
async fn follow(host: Host, program: Program, at: usize, states: Rc<RefCell<Vec<State>>>) {
    let time = host.time.clone();
    // Making it is a part of it, and may fail as all of it may.
    let running = ostia::spawn(async move { (program.make)(host).await });
    let outcome: Result<Outcome, _> = running.await;
    let now = Duration::from_nanos(time.nanos());
    let state = match outcome {
        Ok(Ok(())) => State::Done(now),
        Ok(Err(error)) => State::Failed(now, error.to_string()),
        Err(panic) => State::Failed(now, panic.to_string()),
    };
    if let Some(place) = states.borrow_mut().get_mut(at) {
        *place = state;
    }
}

/// Makes every host's network.
fn networks(world: &World, stage: &Stage) -> Result<Vec<Network>, Mistake> {
    let names = world.hosts.iter().fold(HostTable::new(), |names, host| {
        names.with(&host.name, host.addresses.iter().map(|(address, _)| *address).collect::<Vec<IpAddr>>())
    });
    let mut networks = Vec::new();
    for (number, host) in world.hosts.iter().enumerate() {
        let (Some(plan), Some(segment)) = (world.links.get(host.link.0), stage.segments.get(host.link.0)) else { continue };
        let [.., high, low] = (number as u64 + 1).to_be_bytes();
        // Locally administered (IEEE 802): nobody else's.
        let mac = MacAddr([2, 0, 0, 0, high, low]);
        let line = Line::new(Random::new(world.seed, "line", &host.name));
        let place = lock(segment).join(&host.name, mac, line);
        let station = Station::new(&host.name, mac, plan.config.mtu, segment.clone(), place);
        let mut config = NetConfig::new(derive(world.seed, "stack", &host.name));
        config.addresses.clone_from(&host.addresses);
        let failed = |error: io::Error| {
            Mistake::new(format!("host '{}': {error}", host.name), "give it an address that a host can have, such as 10.0.0.1/24")
        };
        let engine = StackEngine::new(Box::new(station), &config).map_err(failed)?;
        let random = Random::new(world.seed, "host", &host.name);
        let surroundings = HostSurroundings::new(world.epoch, stage.time.clone(), random);
        let network = Network::of_engine(Box::new(engine)).map_err(failed)?;
        networks.push(network.with_resolver(names.clone()).with_surroundings(Arc::new(surroundings)));
    }
    Ok(networks)
}

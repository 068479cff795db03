//! A log on three nodes: what a client was told is appended survives the loss of any one of them.
//!
//! It shows one task per node that everything comes to, connections that are made again when they break, frames, files that
//! are synced before anybody is told, and a stop that leaves nothing behind. The rules are Raft's, in a module without any
//! I/O ([`raft`]); clients are led to the leader, and what they repeat is appended once.
//!
//! ```text
//! cargo run --example replicated_log -- node 0 DIRECTORY ADDRESS0 ADDRESS1 ADDRESS2      likewise 1 and 2
//! cargo run --example replicated_log -- append ADDRESS0 ADDRESS1 ADDRESS2 < LINES
//! cargo run --example replicated_log -- read N ADDRESS0 ADDRESS1 ADDRESS2
//! cargo run --example replicated_log -- demo DIRECTORY
//! ```
//!
//! An address is HOST:PORT or unix:PATH. `node` ends on SIGTERM or SIGINT. `append` prints an index for each line; `read` prints what
//! node N has committed. `demo` runs three nodes in one process, stops the leader in the middle of 300 appends, starts it
//! again, cuts another off for a while, and compares the logs.
//!
//! The logic takes its time, files, connections and seeds from outside and shares nothing: [`node`] and [`client`] run
//! wherever `ostia` does.

#[allow(dead_code, reason = "shared with other examples")]
#[path = "../shared/bytes.rs"]
mod bytes;
mod checksum;
mod client;
mod gate;
mod inbound;
mod journal;
mod link;
mod log;
mod message;
mod node;
mod raft;
#[allow(dead_code, reason = "shared with other examples")]
#[path = "../shared/seeded.rs"]
mod seeded;
mod sockets;

use std::error::Error;
use std::fs::create_dir_all;
use std::io::stdin;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ostia::net::{Endpoint, ListenOptions, Listener, Network};
use ostia::signal::{interrupt, terminate};
use ostia::sync::CancellationToken;
use ostia::time::sleep;
use ostia::{JoinHandle, select, spawn};

use client::Client;
use gate::Gate;
use log::Body;
use message::Request;
use node::{Counts, Handle, Node, Settings};
use raft::Timing;

const USAGE: &str = "usage: replicated_log node N DIRECTORY ADDRESS.. | append ADDRESS.. | read N ADDRESS.. | demo DIRECTORY";
const TICK: Duration = Duration::from_millis(10);
const TIMING: Timing = Timing { election: 30, heartbeat: 5 };

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn random() -> Outcome<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn settings(id: usize, nodes: &[Endpoint], directory: &Path) -> Outcome<Settings> {
    create_dir_all(directory)?;
    let directory = directory.to_owned();
    Ok(Settings { id, nodes: nodes.to_vec(), directory, tick: TICK, timing: TIMING, seed: random()? })
}

async fn run_node(id: usize, directory: &Path, nodes: &[Endpoint]) -> Outcome {
    let own = nodes.get(id).ok_or("there is no node of that number")?;
    let listener = Network::current().listen(own, ListenOptions::default()).await?;
    println!("node {id} of {} listens on {own}", nodes.len());
    let node = Node::open(settings(id, nodes, directory)?, listener, Gate::default()).await?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    spawn(async move {
        select! {
            () = interrupt() => {}
            () = terminate() => {}
        }
        stopped.cancel();
    })
    .detach();
    println!("{:?}", node.run(stop).await?);
    Ok(())
}

async fn append(nodes: Vec<Endpoint>) -> Outcome {
    let mut client = Client::new(nodes, random()?);
    for line in stdin().lines() {
        println!("{}", client.append(line?.as_bytes()).await?);
    }
    Ok(())
}

async fn read(node: usize, nodes: Vec<Endpoint>) -> Outcome {
    let mut client = Client::new(nodes, random()?);
    let mut from = 1;
    loop {
        let (commit, entries) = client.read(node, from).await?;
        for entry in &entries {
            match &entry.body {
                Body::Mark => println!("{from} (term {} begins)", entry.term),
                Body::Data { bytes, .. } => println!("{from} {}", String::from_utf8_lossy(bytes)),
            }
            from += 1;
        }
        if from > commit {
            return Ok(());
        }
    }
}

struct Running {
    gate: Gate,
    handle: Handle,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<Counts>>,
}

async fn start(settings: Settings, listener: Listener) -> Outcome<Running> {
    let gate = Gate::default();
    let node = Node::open(settings, listener, gate.clone()).await?;
    let (handle, stop) = (node.handle(), CancellationToken::new());
    let task = spawn(node.run(stop.clone()));
    Ok(Running { gate, handle, stop, task })
}

async fn append_many(client: &mut Client, what: &str) -> Outcome {
    let mut last = 0;
    for number in 0..100 {
        last = client.append(format!("{what} {number}").as_bytes()).await?;
    }
    println!("100 entries {what}, the last at {last}");
    Ok(())
}

async fn leader_of(running: &[Running]) -> Outcome<usize> {
    loop {
        for (id, node) in running.iter().enumerate() {
            let status = node.handle.status().await.ok_or("a node has ended")?;
            if status.leads {
                println!("node {id} leads in term {} and has committed {}: {:?}", status.term, status.commit, status.counts);
                return Ok(id);
            }
        }
        sleep(TICK).await;
    }
}

async fn demo(directory: &Path) -> Outcome {
    let mut nodes = Vec::new();
    let mut listeners = Vec::new();
    for _ in 0..3 {
        let listener = Network::current().listen(&"127.0.0.1:0".parse()?, ListenOptions::default()).await?;
        nodes.push(Endpoint::from(listener.local_addr()?.ip().ok_or("no IP address")?));
        listeners.push(listener);
    }
    let settings_of = |id: usize| settings(id, &nodes, &directory.join(id.to_string()));
    let mut running = Vec::new();
    for (id, listener) in listeners.into_iter().enumerate() {
        running.push(start(settings_of(id)?, listener).await?);
    }
    let mut client = Client::new(nodes.clone(), random()?);
    append_many(&mut client, "with three nodes").await?;

    let stopped = leader_of(&running).await?;
    let node = running.remove(stopped);
    node.stop.cancel();
    println!("it is stopped: {:?}", node.task.await??);
    append_many(&mut client, "with two").await?;
    let listener = Network::current().listen(&nodes[stopped], ListenOptions::default()).await?;
    running.insert(stopped, start(settings_of(stopped)?, listener).await?);
    println!("it is started again");

    let leader = leader_of(&running).await?;
    running[leader].gate.shut();
    println!("it is cut off");
    append_many(&mut client, "without it").await?;
    running[leader].gate.open();
    println!("it is let in again");
    loop {
        let mut logs = Vec::new();
        for node in &running {
            let status = node.handle.status().await.ok_or("a node has ended")?;
            logs.push((status.leader, status.commit, status.log));
        }
        if logs.iter().all(|log| *log == logs[0] && log.1 == log.2.last_index()) {
            let from = logs[0].1;
            let last = running[0].handle.ask(Request::Read { from }).ok_or("node 0 is busy")?.await?;
            println!("all three have the same {from} entries: {last:?}");
            break;
        }
        sleep(TICK).await;
    }
    for node in running {
        node.stop.cancel();
        println!("{:?}", node.task.await??);
    }
    Ok(())
}

fn run() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let nodes = |words: &[&str]| words.iter().map(|word| word.parse()).collect::<Result<Vec<Endpoint>, String>>();
    ostia::block_on(async {
        match &words[..] {
            ["node", id, directory, addresses @ ..] => run_node(id.parse()?, directory.as_ref(), &nodes(addresses)?).await,
            ["append", addresses @ ..] if !addresses.is_empty() => append(nodes(addresses)?).await,
            ["read", node, addresses @ ..] => read(node.parse()?, nodes(addresses)?).await,
            ["demo", directory] => demo(directory.as_ref()).await,
            _ => Err(USAGE.into()),
        }
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

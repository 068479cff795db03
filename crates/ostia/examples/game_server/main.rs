//! A game server over UDP: a fixed tick, and snapshots to many clients, each against the last one it has.
//!
//! It shows a socket that one task uses for many peers, a tick that a flood doesn't hold up, and everything that a server
//! needs which anybody may send to: a cookie before anything is kept, answers to strangers that are shorter than their
//! questions, bounds on clients and on what each may do in a tick, time limits, and datagrams of which none is trusted.
//! Clients put their world together from differences and compare it with the server's hash at every tick; whatever is lost,
//! doubled or out of order on the way, each input counts once.
//!
//! ```text
//! cargo run --example game_server -- serve 127.0.0.1:7777 [--rate 30] [--clients 256] [--coins 32] [--seed N]
//! cargo run --example game_server -- play 127.0.0.1:7777 [--bots 64] [--worlds 300] [--seed N] [--lost PERCENT]
//! cargo run --example game_server -- all [the options of both]
//! ```
//!
//! `serve` ends on SIGTERM or SIGINT and prints what it counted. `all` plays in one process and then ends.
//!
//! The logic takes its time, sockets and seeds from outside and shares nothing: [`server`] and [`client`] run wherever
//! `ostia` does.

#[path = "../shared/bytes.rs"]
mod bytes;
mod client;
mod cookie;
mod protocol;
#[path = "../shared/seeded.rs"]
mod seeded;
mod server;
mod session;
mod snapshot;
mod view;
mod wire;
mod world;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use ostia::signal::{interrupt, terminate};
use ostia::sync::CancellationToken;
use ostia::{JoinSet, select, spawn};

use client::{PlayError, Report, play};
use server::{Server, Statistics};
use wire::Trouble;

const USAGE: &str = "usage: game_server serve ADDRESS | play ADDRESS | all
  --rate N  --clients N  --coins N                     of the server
  --bots N  --worlds N  --lost N  --doubled N  --swapped N   of the clients (percent)
  --seed N                                             of both; unless given, the system's randomness";

struct Options {
    server: server::Settings,
    bots: u64,
    worlds: u32,
    trouble: Trouble,
    seed: u64,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(std::io::Error::from)?;
    let seed = u64::from_ne_bytes(random);
    let mut options = Options { server: server::Settings::default(), bots: 64, worlds: 300, trouble: Trouble::default(), seed };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number\n{USAGE}"))?;
        let wrong = || format!("{name} {value}: not a number it can take\n{USAGE}");
        match name.as_str() {
            "--rate" => options.server.rate = value.parse().map_err(|_| wrong())?,
            "--clients" => options.server.clients = value.parse().map_err(|_| wrong())?,
            "--coins" => options.server.coins = value.parse().map_err(|_| wrong())?,
            "--bots" => options.bots = value.parse().map_err(|_| wrong())?,
            "--worlds" => options.worlds = value.parse().map_err(|_| wrong())?,
            "--lost" => options.trouble.lost = value.parse().map_err(|_| wrong())?,
            "--doubled" => options.trouble.doubled = value.parse().map_err(|_| wrong())?,
            "--swapped" => options.trouble.swapped = value.parse().map_err(|_| wrong())?,
            "--seed" => options.seed = value.parse().map_err(|_| wrong())?,
            _ => return Err(format!("{name}: no such option\n{USAGE}").into()),
        }
    }
    options.server.seed = options.seed;
    Ok(options)
}

async fn serve(address: SocketAddr, options: &Options) -> Result<(), Box<dyn Error>> {
    let server = Server::bind(address, options.server)?;
    println!("playing on {}", server.local_addr()?);
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
    let report_every = 10 * u32::from(options.server.rate);
    let report = |world: &world::World| {
        if world.tick.is_multiple_of(report_every) {
            println!("tick {}: {} players", world.tick, world.players());
        }
    };
    println!("{}", server.run(&stop, report).await?);
    Ok(())
}

async fn play_all(server: SocketAddr, options: &Options) -> Result<(), Box<dyn Error>> {
    let mut bots = JoinSet::new();
    for bot in 0..options.bots {
        let seed = options.seed.wrapping_add(bot);
        let settings = client::Settings { server, seed, worlds: options.worlds, trouble: options.trouble };
        bots.spawn(async move { play(settings, &CancellationToken::new()).await });
    }
    let mut failed = 0;
    while let Some(ended) = bots.join_next().await {
        let ended: Result<Report, PlayError> = ended?;
        match ended {
            Ok(report) => println!(
                "player {:3}: {} worlds, {} inputs, {} surprises, {} coins, {} datagrams lost on purpose",
                report.player,
                report.seen.len(),
                report.inputs,
                report.surprises,
                report.score,
                report.lost
            ),
            Err(error) => {
                failed += 1;
                println!("a player has ended: {error}");
            }
        }
    }
    if failed > 0 { Err(format!("{failed} of {} players ended early", options.bots).into()) } else { Ok(()) }
}

async fn all(options: &Options) -> Result<(), Box<dyn Error>> {
    let server = Server::bind("127.0.0.1:0".parse()?, options.server)?;
    let address = server.local_addr()?;
    let stop = CancellationToken::new();
    let running = spawn({
        let stop = stop.clone();
        async move { server.run(&stop, |_| {}).await }
    });
    let played = play_all(address, options).await;
    stop.cancel();
    let statistics: Statistics = running.await??;
    println!("{statistics}");
    played
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().ok_or(USAGE)?;
    let address = match what.as_str() {
        "serve" | "play" => Some(arguments.next().ok_or(USAGE)?.parse()?),
        _ => None,
    };
    let options = options(arguments)?;
    ostia::block_on(async {
        match (what.as_str(), address) {
            ("serve", Some(address)) => serve(address, &options).await,
            ("play", Some(address)) => play_all(address, &options).await,
            ("all", None) => all(&options).await,
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

//! `bench shared`: one server in three designs, each with handlers that compute, handlers that block, and a mixture.
//!
//! The other measurements give the server one processor and the generator another. Designs of threads differ only where
//! there are several to run on, so here servers and generator share all processors, and the scheduler places them.

mod load;
mod measure;
mod report;
mod svg;
mod table;
#[path = "../../rivals/designs/src/work.rs"]
mod work;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::Common;
use crate::compare::Effort;
use crate::machine;
use crate::prepare::Programs;
use crate::server::Server;
use crate::target::{Program, Service, Target};
use load::{Load, Mixture};
use report::{Cell, Report};
use work::Work;

/// Options of the comparison of designs.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Shared {
    /// What requests ask for
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values_t = Handler::ALL)]
    pub handlers: Vec<Handler>,
    /// Connections; the mixtures are measured where there are several
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,64,1000")]
    pub connections: Vec<std::num::NonZeroU16>,
    /// Threads of a server that run [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Threads that there may be where handlers block, but in the design of private ports
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub pool: u16,
    /// Longest time for one cell
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = humantime::parse_duration)]
    pub cell_time: Duration,
    /// Also draw the results as one SVG file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// What requests ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Handler {
    /// Nothing but the answer.
    #[value(name = "0us")]
    Nothing,
    /// 50 µs of computing.
    #[value(name = "50us")]
    Short,
    /// 500 µs of computing.
    #[value(name = "500us")]
    Long,
    /// 1 ms of sleep.
    #[value(name = "sleep")]
    Sleep,
    /// 50 µs of computing, one in a hundred 5 ms.
    #[value(name = "mixed")]
    Mixed,
    /// 50 µs of computing, one in a hundred sleeps for 5 ms.
    #[value(name = "mixed-sleep")]
    MixedSleep,
}

impl Handler {
    const ALL: [Handler; 6] =
        [Handler::Nothing, Handler::Short, Handler::Long, Handler::Sleep, Handler::Mixed, Handler::MixedSleep];

    /// As headings say it.
    fn title(self) -> &'static str {
        match self {
            Handler::Nothing => "answers at once",
            Handler::Short => "computes 50 µs",
            Handler::Long => "computes 500 µs",
            Handler::Sleep => "sleeps 1 ms",
            Handler::Mixed => "computes 50 µs, 1 in 100 computes 5 ms",
            Handler::MixedSleep => "computes 50 µs, 1 in 100 sleeps 5 ms",
        }
    }

    /// The requests.
    fn mixture(self, rounds_per_us: f64) -> Mixture {
        let compute = |us: f64| Work { rounds: (us * rounds_per_us) as u32, sleep_us: 0 };
        let sleep = |us| Work { rounds: 0, sleep_us: us };
        let (usual, rare) = match self {
            Handler::Nothing => (Work::default(), None),
            Handler::Short => (compute(50.0), None),
            Handler::Long => (compute(500.0), None),
            Handler::Sleep => (sleep(1_000), None),
            Handler::Mixed => (compute(50.0), Some(compute(5_000.0))),
            Handler::MixedSleep => (compute(50.0), Some(sleep(5_000))),
        };
        Mixture { usual, rare }
    }
}

impl std::fmt::Display for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// How a server is built. The first is what the others are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Design {
    /// One shared port and its thread pool.
    Shared,
    /// A private port for each thread.
    Workers,
    /// One ring, threads that take turns at leading.
    Leader,
}

impl Design {
    const ALL: [Design; 3] = [Design::Shared, Design::Workers, Design::Leader];

    fn name(self) -> &'static str {
        match self {
            Design::Shared => "shared",
            Design::Workers => "workers",
            Design::Leader => "leader",
        }
    }
}

/// Measures every cell and publishes the results.
///
/// # Errors
/// Options that mean nothing here; the servers don't build; a file can't be written. A cell that fails is no error: it
/// says why.
pub fn run(common: &Common, options: &Shared) -> Result<(), String> {
    if common.rivals.is_some() || common.subject != ["ostia"] || common.ostia.is_some() {
        return Err("--subject, --rivals and --ostia mean nothing here: the three designs are always compared".into());
    }
    let target = Target { name: "designs", service: Service::Echo, program: Program::Rival("designs"), args: &[] };
    let program = Programs::new(None).get(&target)?;
    let limit = common.max_time.min(options.cell_time);
    let effort = if common.quick { Effort::quick(limit) } else { Effort::full(limit) };
    let rounds_per_us = work::rounds_per_microsecond();
    let threads = options.threads.map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), usize::from);
    let pool = usize::from(options.pool).max(threads);
    let mut report = Report { machine: machine::description(), threads, pool, cells: Vec::new() };
    for handler in &options.handlers {
        let mixture = handler.mixture(rounds_per_us);
        for connections in options.connections.iter().map(|count| usize::from(count.get())) {
            if mixture.rare.is_some() && connections == 1 {
                // Nobody waits behind a request but its own connection, which sends no other meanwhile.
                continue;
            }
            let start = |design: Design| {
                // Where nothing blocks, more threads than processors would only get in each other's way.
                let all = if mixture.blocks() || design == Design::Shared { pool } else { threads };
                let numbers = [("--threads", threads), ("--pool", all)];
                let numbers = numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]);
                let args = ["--design", design.name()].map(str::to_owned).into_iter().chain(numbers);
                Server::start_unbound(&program, &args.collect::<Vec<_>>())
            };
            let load = Load { mixture, connections };
            let mut cell = Cell::new(handler.title(), connections, mixture.rare.is_some());
            match measure::cell(start, load, effort) {
                Ok(measured) => cell.measured = Some(measured),
                Err(error) => cell.error = Some(error),
            }
            eprint!("{}", table::cell(&cell));
            report.cells.push(cell);
        }
    }
    publish(&report, common, options)
}

fn publish(report: &Report, common: &Common, options: &Shared) -> Result<(), String> {
    println!("{}", table::summary(report));
    if let Some(path) = &common.json {
        let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
        crate::write(path, &json)?;
    }
    if let Some(path) = &options.svg {
        crate::write(path, &svg::render(report))?;
    }
    if let Some(path) = &common.html {
        crate::write(path, &svg::page(report))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_ask_for_what_their_titles_say() {
        let mixture = |handler: Handler| handler.mixture(2.0);
        assert_eq!(mixture(Handler::Nothing).usual, Work::default());
        assert_eq!(mixture(Handler::Long).usual, Work { rounds: 1_000, sleep_us: 0 });
        assert!(mixture(Handler::Sleep).blocks() && mixture(Handler::MixedSleep).blocks());
        assert!(!mixture(Handler::Mixed).blocks() && mixture(Handler::Mixed).rare.is_some());
    }

    #[test]
    fn a_request_says_what_it_asks_for() {
        let work = Work { rounds: 70_000, sleep_us: 5_000 };
        let mut request = [9; work::REQUEST];
        request[..work::HEAD].copy_from_slice(&work.head());
        assert_eq!(Work::of(&request), Some(work));
        assert_eq!(Work::of(&request[1..]), None);
    }
}

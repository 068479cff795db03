//! A running `ostia serve`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use super::case::{Case, Driver};
use super::http::Client;
use super::process::{Confinement, Ended, Process, ostia};

/// How to start a server.
pub struct Launch {
    root: OsString,
    driver: Driver,
    addresses: Vec<String>,
    workers: u32,
    arguments: Vec<String>,
    confinement: Confinement,
}

impl Launch {
    /// A server of `root` on the case's driver, with two workers, on a free loopback port.
    pub fn new(case: Case, root: &Path) -> Launch {
        Launch {
            root: root.into(),
            driver: case.driver,
            addresses: vec!["127.0.0.1:0".to_owned()],
            workers: 2,
            arguments: Vec::new(),
            confinement: Confinement::default(),
        }
    }

    /// Another driver than the case's.
    pub fn driver(mut self, driver: Driver) -> Launch {
        self.driver = driver;
        self
    }

    /// Another number of workers.
    pub fn workers(mut self, workers: u32) -> Launch {
        self.workers = workers;
        self
    }

    /// One more address to listen on.
    pub fn address(mut self, address: impl Into<String>) -> Launch {
        self.addresses.push(address.into());
        self
    }

    /// One more argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Launch {
        self.arguments.push(argument.into());
        self
    }

    /// Limits on the process.
    pub fn confined(mut self, confinement: Confinement) -> Launch {
        self.confinement = confinement;
        self
    }

    /// Starts the process, whatever becomes of it.
    pub fn spawn(&self) -> Process {
        let mut command = self.confinement.command(ostia());
        command.arg("serve").arg(&self.root);
        for address in &self.addresses {
            command.args(["--addr", address]);
        }
        command.args(["--driver", &self.driver.to_string()]).args(["--workers", &self.workers.to_string()]).args(&self.arguments);
        Process::start(&mut command)
    }

    /// Starts the server and waits until it has printed the URL on which it listens.
    pub fn start(&self) -> Server {
        Server::listening(self.spawn())
    }
}

/// The address in the first `http://127.0.0.1:PORT/` of a line.
fn address_in_url(line: &str) -> Option<SocketAddr> {
    let start = line.find("http://127.0.0.1:")? + "http://".len();
    let rest = &line[start..];
    let end = rest.find(|c: char| c == '/' || c.is_whitespace());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// A server that listens. Dropping it kills it.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Where it listens, over IPv4.
    pub address: SocketAddr,
}

impl Server {
    /// Waits until the process has printed the URL on which it listens.
    pub fn listening(process: Process) -> Server {
        Server::begun(process).unwrap_or_else(|Ended { status, errors, .. }| panic!("no URL was printed; {status}:\n{errors}"))
    }

    /// As [`listening`](Self::listening), or how the process ended before it printed one.
    pub fn begun(process: Process) -> Result<Server, Ended> {
        match process.output.wait_for(address_in_url) {
            Some(address) => Ok(Server { process, address }),
            None => Err(process.wait()),
        }
    }

    /// The URL of a path that begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Asks for a path on a new connection, and panics unless the answer is whole.
    pub fn get(&self, path: &str) -> super::http::Response {
        self.connect().get(path)
    }

    /// The values of a family of metrics, one of each worker, from a server with `--metrics`.
    pub fn samples(&self, family: &str) -> Vec<u64> {
        let address = self.process.output.wait_for(|line| {
            let (_, rest) = line.split_once("metrics on http://")?;
            rest.trim_end().strip_suffix("/metrics")?.parse().ok()
        });
        let page = Client::connect(address.expect("the address of the metrics is told")).get("/metrics").text();
        let samples = page.lines().filter(|line| line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{')));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    }

    /// SIGTERM; then the server must end by itself with exit code 0.
    pub fn stop(self) -> Ended {
        self.process.signal(Signal::TERM);
        self.ended_well()
    }

    /// Waits for the end, which must come with exit code 0 and without a panic.
    pub fn ended_well(self) -> Ended {
        let ended = self.process.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
        ended
    }
}

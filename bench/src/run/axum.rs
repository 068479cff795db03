//! One axum router over Ostia and over tokio.

use std::rc::Rc;

use super::Session;
use crate::cli::{Axum, Waves};
use crate::counts::Request;
use crate::load::Generator;
use crate::load::http::Get;
use crate::report;
use crate::server::Server;
use crate::target::{self, Case, Service};
use crate::wrk;

/// Connections unless others are asked for.
const CONNECTIONS: usize = 64;

/// What the router is asked, and what it answers: as `rivals/axum` has it.
fn paths() -> [(&'static str, &'static str, Rc<[u8]>); 2] {
    let long = (0..64 << 10).map(|index| (index % 251) as u8).collect();
    [("/", "5 B", Rc::from(*b"hello")), ("/64k", "64 KiB", long)]
}

impl Session<'_> {
    /// Both paths, in time or in counts.
    pub fn axum(&mut self, options: &Axum) -> Result<(), String> {
        if options.counts {
            return self.count_router();
        }
        let connections = options.connections.map_or(CONNECTIONS, |count| usize::from(count.get()));
        let pairs = self.pairs(Service::Axum)?;
        for (path, size, body) in paths() {
            let case = format!("axum, GET of {size} over {connections} connections");
            for pair in &pairs {
                let load = |server: &Server| Generator::connect(server.addr(), connections, |_| Get::new(path, body.clone()));
                self.compare(&case, *pair, None, Case::Router, load);
                if options.wrk {
                    let goal = target::goal(&pair.0, &pair.1, Case::Router);
                    let servers = self.prepared(&pair.0, None).and_then(|own| Ok((own, self.prepared(&pair.1, None)?)));
                    let result =
                        servers.and_then(|(own, other)| wrk::compare(&own, &other, path, connections, self.effort, goal));
                    self.paired(&[format!("{case}, under wrk")], &pair.0.to_string(), &pair.1.to_string(), result);
                }
            }
        }
        Ok(())
    }

    fn count_router(&mut self) -> Result<(), String> {
        let from = self.report.counts.len();
        for (path, size, body) in paths() {
            let request = (format!("GET of {size}"), Request::Get(path, body));
            self.count_system_calls(Service::Axum, &Waves::default(), &request)?;
            self.count_instructions(Service::Axum, &Waves::default(), None, &request)?;
        }
        // With the limit on requests' heads beside tokio with it, without it beside tokio without it.
        let pairs =
            [("ostia (io_uring)", "tokio-timed"), ("ostia (epoll)", "tokio-timed"), ("ostia-untimed (io_uring)", "tokio")];
        for (subject, rival) in pairs {
            report::judge_by_floor(&mut self.report.counts[from..], subject, rival);
        }
        Ok(())
    }
}

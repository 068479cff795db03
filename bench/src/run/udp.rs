//! Echo of datagrams: each subject with each rival.

use std::cell::Cell;
use std::rc::Rc;

use super::{Session, bytes};
use crate::cli::{Udp, Waves};
use crate::counts::Request;
use crate::load::echo::pattern;
use crate::load::udp::{Datagrams, Plan};
use crate::report::{self, Count, Row};
use crate::server::Server;
use crate::target::{Case, Service, Target};

impl Session<'_> {
    /// Every cell, or the counts of every size.
    pub fn udp(&mut self, options: &Udp) -> Result<(), String> {
        let sizes: Vec<usize> = options.sizes.iter().map(|size| size.get() as usize).collect();
        if options.counts {
            return sizes.into_iter().try_for_each(|size| self.count_datagrams(size));
        }
        let pairs = self.pairs(Service::Udp)?;
        let window = usize::from(options.window.get());
        for size in sizes {
            for peers in options.peers.iter().map(|count| usize::from(count.get())) {
                let under_way = if window == 1 { String::new() } else { format!(", {window} under way from each") };
                let case = format!("UDP echo, {} from {peers} peers{under_way}", bytes(size));
                let plan = Plan { peers, size, window, pattern: pattern(size), again: Rc::default() };
                for pair in &pairs {
                    self.datagrams(&case, *pair, &plan);
                }
            }
        }
        Ok(())
    }

    fn datagrams(&mut self, case: &str, pair: (Target, Target), plan: &Plan) {
        // Subject first, as the comparison connects.
        let again: [Rc<Cell<u64>>; 2] = Default::default();
        let connected = Cell::new(0);
        let load = |server: &Server| {
            let again = again[connected.get() % 2].clone();
            connected.set(connected.get() + 1);
            Datagrams::connect(server.addr(), Plan { again, ..plan.clone() })
        };
        self.compare(case, pair, None, Case::Datagrams, load);
        for (target, again) in [pair.0, pair.1].iter().zip(again) {
            if again.get() > 0 {
                let count = Count::new(again.get() as f64, "messages", None);
                let case = format!("{case}: sent again for want of an answer");
                self.report.counts.push(Row { case, target: target.to_string(), rival: None, outcome: Ok(count).into() });
            }
        }
    }

    fn count_datagrams(&mut self, size: usize) -> Result<(), String> {
        let from = self.report.counts.len();
        let request = (format!("datagrams of {}", bytes(size)), Request::Datagram(size));
        self.count_system_calls(Service::Udp, &Waves::default(), &request)?;
        self.count_instructions(Service::Udp, &Waves::default(), None, &request)?;
        report::judge_by_floor(&mut self.report.counts[from..], "ostia (io_uring)", "tokio");
        Ok(())
    }
}

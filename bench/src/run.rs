//! The measurements one after the other: which servers, which cases, and what becomes of each failure.

mod axum;
mod stack;
mod timers;
mod tun;
mod udp;
mod wakes;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tempfile::TempDir;

use crate::cli::{Common, Echo as EchoOptions, Http as HttpOptions, Idle, Waves};
use crate::compare::{self, Effort, Side};
use crate::counts::{self, Request, Subject};
use crate::idle;
use crate::load::echo::{Echo, pattern};
use crate::load::http::Get;
use crate::load::{Generator, Load};
use crate::machine::{self, Placement};
use crate::prepare::Programs;
use crate::report::{self, Comparison, Count, Ratio, Report, Row};
use crate::server::{Launch, Server};
use crate::target::{self, Case, Service, Target};

/// Connections that ask for small files, and for large ones, of which a few fill the generator's processor.
const CONNECTIONS: [usize; 2] = [64, 16];
/// Files of so many bytes are large.
const LARGE: usize = 1 << 20;
/// Bytes of the messages that are counted over.
const ECHOED: usize = 64;

/// One invocation: what it measures with, and the results so far.
pub struct Session<'a> {
    common: &'a Common,
    programs: Programs,
    placement: Placement,
    effort: Effort,
    /// What has been measured.
    pub report: Report,
}

impl<'a> Session<'a> {
    /// Builds what will be measured; nothing is measured yet. That comes first because measuring binds this thread,
    /// and all that it starts, to one processor.
    ///
    /// # Errors
    /// A server asked for is unknown; the system does not tell which processors may be used. A program that does not
    /// build is no error: its rows will say so.
    pub fn new(common: &'a Common, services: &[Service]) -> Result<Session<'a>, String> {
        let mut programs = Programs::new(common.ostia.clone());
        for service in services {
            let (subjects, rivals) = chosen(common, *service)?;
            for target in subjects.iter().chain(&rivals) {
                if let Err(error) = programs.get(target) {
                    eprintln!("{target}: {error}");
                }
            }
        }
        let effort = if common.quick { Effort::quick(common.max_time) } else { Effort::full(common.max_time) };
        Ok(Session {
            common,
            programs,
            placement: Placement::choose().map_err(|error| error.to_string())?,
            effort,
            report: Report { machine: machine::description(), ..Report::default() },
        })
    }

    /// Echo, each subject with each rival, in every cell.
    pub fn echo(&mut self, options: &EchoOptions) -> Result<(), String> {
        let pairs = self.pairs(Service::Echo)?;
        for size in options.sizes.iter().map(|size| size.get() as usize) {
            let pattern = pattern(size);
            for connections in options.connections.iter().map(|count| usize::from(count.get())) {
                let case = format!("TCP echo, {} over {connections} connections", bytes(size));
                for pair in &pairs {
                    let load = |server: &Server| {
                        Generator::connect(server.addr(), connections, |index| Echo::new(pattern.clone(), size, index))
                    };
                    self.compare(&case, *pair, None, Case::Echo { connections }, load);
                }
            }
        }
        Ok(())
    }

    /// Files, each subject with each rival, in every size.
    pub fn http(&mut self, options: &HttpOptions) -> Result<(), String> {
        let pairs = self.pairs(Service::Http)?;
        for size in options.sizes.iter().map(|size| size.get() as usize) {
            let usual = CONNECTIONS[usize::from(size >= LARGE)];
            let connections = options.connections.map_or(usual, |count| usize::from(count.get()));
            let (root, content) = site(size).map_err(|error| format!("can't write the files to serve: {error}"))?;
            let case = format!("HTTP GET, {} over {connections} connections", bytes(size));
            for pair in &pairs {
                let load =
                    |server: &Server| Generator::connect(server.addr(), connections, |_| Get::new("/file", content.clone()));
                self.compare(&case, *pair, Some(root.path()), Case::File { bytes: size }, load);
            }
        }
        Ok(())
    }

    /// Memory per idle connection.
    pub fn idle(&mut self, options: &Idle) -> Result<(), String> {
        let touched = if options.touched { ", after one message on each" } else { "" };
        let case = format!("idle connection of {}{touched}", options.connections);
        let plan = idle::Plan { connections: options.connections, touched: options.touched };
        for target in self.all(Service::Echo)? {
            let result = self.prepared(&target, None).and_then(|server| {
                let measured = idle::bytes_per_connection(&server, plan).map_err(|error| format!("failed: {error}"))?;
                Ok(Count::new(measured, "bytes", target.is_ostia().then_some(target::IDLE_GOAL)))
            });
            self.counted(&case, &target, result);
        }
        Ok(())
    }

    /// Instructions per echoed message.
    pub fn instructions(&mut self, waves: &Waves) -> Result<(), String> {
        self.count_instructions(Service::Echo, waves, Some(target::INSTRUCTIONS_GOAL), &(bytes(ECHOED), Request::Echo(ECHOED)))
    }

    /// System calls per echoed message.
    pub fn system_calls(&mut self, waves: &Waves) -> Result<(), String> {
        let from = self.report.counts.len();
        self.count_system_calls(Service::Echo, waves, &(bytes(ECHOED), Request::Echo(ECHOED)))?;
        report::judge_by_floor(&mut self.report.counts[from..], "ostia (io_uring)", "floor-uring");
        Ok(())
    }

    fn count_instructions(
        &mut self,
        service: Service,
        waves: &Waves,
        goal: Option<f64>,
        request: &(String, Request),
    ) -> Result<(), String> {
        self.count(service, waves, "user-space instructions per request", request, |subject, wave, effort| {
            let goal = goal.filter(|_| subject.target.is_ostia());
            Ok(Count::new(counts::instructions(subject, wave, effort)?, "instructions", goal))
        })
    }

    fn count_system_calls(&mut self, service: Service, waves: &Waves, request: &(String, Request)) -> Result<(), String> {
        self.count(service, waves, "system calls per request", request, |subject, wave, effort| {
            Ok(Count::new(counts::system_calls(subject, wave, effort)?, "calls", None))
        })
    }

    fn count(
        &mut self,
        service: Service,
        waves: &Waves,
        what: &str,
        (asked, request): &(String, Request),
        count: impl Fn(&Subject<'_>, usize, counts::Effort) -> Result<Count, String>,
    ) -> Result<(), String> {
        let effort = if self.common.quick { counts::Effort::QUICK } else { counts::Effort::FULL };
        for wave in waves.waves.iter().map(|wave| usize::from(wave.get())) {
            let case = format!("{what}, {asked} in lock-step waves of {wave}");
            for target in self.all(service)? {
                let cpu = self.placement.server;
                let result = self.programs.get(&target).and_then(|program| {
                    machine::pin(cpu).map_err(|error| error.to_string())?;
                    count(&Subject { target, program: &program, cpu, request: request.clone() }, wave, effort)
                });
                self.counted(&case, &target, result);
            }
        }
        Ok(())
    }

    /// Compares two servers in one case and notes the result.
    fn compare<L: Load>(
        &mut self,
        case: &str,
        (subject, rival): (Target, Target),
        root: Option<&Path>,
        kind: Case,
        load: impl Fn(&Server) -> io::Result<L>,
    ) {
        let goal = target::goal(&subject, &rival, kind);
        let mut result = || -> Result<Comparison, String> {
            let of = |who: &'static str| move |error: String| format!("{who} {error}");
            let own = self.prepared(&subject, root).map_err(of("subject"))?;
            let other = self.prepared(&rival, root)?;
            let connect = |server: &Server| load(server).map_err(|error| format!("cannot be reached: {error}"));
            let own = Side::new(&own, connect(&own).map_err(of("subject"))?);
            let other = Side::new(&other, connect(&other)?);
            compare::compare(own, other, self.effort, goal)
        };
        let outcome = result();
        let note = match &outcome {
            Ok(measured) => format!("{:.3} {}", measured.ratio.estimate, measured.verdict.label()),
            Err(error) => error.clone(),
        };
        eprintln!("{case}: {subject} / {rival}: {note}");
        self.report.comparisons.push(Row {
            case: case.to_owned(),
            target: subject.to_string(),
            rival: Some(rival.to_string()),
            outcome: outcome.into(),
        });
    }

    /// Builds a server, binds this thread to the generator's processor and starts the server on its own.
    fn prepared(&mut self, target: &Target, root: Option<&Path>) -> Result<Server, String> {
        let program: PathBuf = self.programs.get(target)?;
        machine::pin(self.placement.generator).map_err(|error| error.to_string())?;
        Launch { target: *target, program: &program, root, cpu: self.placement.server, wrapper: &[] }.start()
    }

    fn counted(&mut self, case: &str, target: &Target, result: Result<Count, String>) {
        let note = match &result {
            Ok(count) => format!("{:.3} {}", count.value, count.unit),
            Err(error) => error.clone(),
        };
        eprintln!("{case}: {target}: {note}");
        let row = Row { case: case.to_owned(), target: target.to_string(), rival: None, outcome: result.into() };
        self.report.counts.push(row);
    }

    /// Notes the ratios of one pair, one case each.
    fn paired(&mut self, cases: &[String], subject: &str, rival: &str, result: Result<Vec<Ratio>, String>) {
        for (index, case) in cases.iter().enumerate() {
            let outcome = result.as_ref().map(|ratios| ratios[index].clone()).map_err(String::clone);
            let note = match &outcome {
                Ok(measured) => format!("{:.3} {}", measured.ratio.estimate, measured.verdict.label()),
                Err(error) => error.clone(),
            };
            eprintln!("{case}: {subject} / {rival}: {note}");
            let (target, rival) = (subject.to_owned(), Some(rival.to_owned()));
            self.report.ratios.push(Row { case: case.clone(), target, rival, outcome: outcome.into() });
        }
    }

    /// The subjects and rivals asked for, as pairs.
    fn pairs(&self, service: Service) -> Result<Vec<(Target, Target)>, String> {
        let (subjects, rivals) = chosen(self.common, service)?;
        let pairs = subjects.iter().flat_map(|subject| rivals.iter().map(|rival| (*subject, *rival)));
        Ok(pairs.filter(|(subject, rival)| subject != rival).collect())
    }

    /// The servers asked for, subjects first.
    fn all(&self, service: Service) -> Result<Vec<Target>, String> {
        let (mut all, rivals) = chosen(self.common, service)?;
        for rival in rivals {
            if !all.contains(&rival) {
                all.push(rival);
            }
        }
        Ok(all)
    }
}

/// The subjects and rivals asked for that offer a service.
fn chosen(common: &Common, service: Service) -> Result<(Vec<Target>, Vec<Target>), String> {
    let subjects = Target::find_all(service, &common.subject)?;
    let rivals = match &common.rivals {
        Some(names) => Target::find_all(service, names)?,
        None => Target::rivals(service),
    };
    Ok((subjects, rivals))
}

/// A directory with one file, called `file`, and that file's content.
fn site(size: usize) -> io::Result<(TempDir, Rc<[u8]>)> {
    let directory = tempfile::Builder::new().prefix("bench-site-").tempdir()?;
    let content: Rc<[u8]> = pattern(size)[..size].into();
    fs::write(directory.path().join("file"), &content)?;
    Ok((directory, content))
}

/// A size as people write it.
fn bytes(size: usize) -> String {
    match size {
        _ if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        _ if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_do() {
        let sizes = [64, 1 << 10, 16 << 10, 100 << 10, 10 << 20, 1_500].map(bytes);
        assert_eq!(sizes, ["64 B", "1 KiB", "16 KiB", "100 KiB", "10 MiB", "1500 B"]);
    }

    #[test]
    fn the_site_holds_the_content() {
        let (root, content) = site(5_000).unwrap();
        assert_eq!(content.len(), 5_000);
        assert_eq!(fs::read(root.path().join("file")).unwrap(), *content);
    }
}

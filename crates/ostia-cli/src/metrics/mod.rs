//! Ostia's counters for Prometheus: gathered from the workers when asked for, and written as text.
//!
//! The counters are Ostia's own, plain cells that only their worker touches. The `metrics` crate's facade would put a
//! lookup or an atomic addition on the way of every request for numbers that are there already; so what is exported is read
//! once per scrape instead, by a task on each worker.

mod process;
mod responder;
pub mod text;

use crate::errors::Failure;
use crate::{log, serve};
use ostia::WorkerStatistics;
use ostia::observe::SampleKind;
use ostia::serve::ServerHandle;
use process::Process;
use std::net::{SocketAddr, TcpListener};
use text::{Kind, Text};

/// Answers on this address from now on, beside the server. To be called in the runtime. Gives the address, with the port
/// that the system has chosen for 0.
///
/// # Errors
/// A failure that names the address.
pub fn start(address: SocketAddr, handle: &ServerHandle) -> Result<SocketAddr, Failure> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((ostia::net::Listener::from_fd(listener)?, address))
    };
    let (listener, address) = listen().map_err(|error| Failure::listen(&address.to_string(), &error))?;
    ostia::spawn(responder::run(listener, handle.clone())).detach();
    Ok(address)
}

/// Name, help, and where the value is.
type Family<From, Value> = (&'static str, &'static str, fn(&From) -> Value);

/// What a scrape finds.
struct Scrape {
    workers: Vec<WorkerStatistics>,
    connections: Vec<usize>,
    accepted: usize,
    rejected: usize,
    /// Per worker; none when nothing is served over HTTP.
    http: Vec<serve::HttpCounters>,
    logs: Vec<(String, log::sink::Counts)>,
    process: Process,
}

/// The page that Prometheus reads.
async fn page(handle: &ServerHandle) -> String {
    let scrape = Scrape {
        workers: ostia::statistics().await,
        connections: handle.connections_each(),
        accepted: handle.accepted(),
        rejected: handle.rejected(),
        http: serve::counters().await,
        logs: log::counts(),
        process: Process::look(),
    };
    scrape.render()
}

impl Scrape {
    fn render(&self) -> String {
        let mut text = Text::default();
        self.program(&mut text);
        self.server(&mut text);
        self.http(&mut text);
        self.workers(&mut text);
        self.logs(&mut text);
        text.into_string()
    }

    fn program(&self, text: &mut Text) {
        text.family("ostia_build_info", Kind::Gauge, "Always 1; the version of the program.");
        text.sample("ostia_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let Process { start, memory, descriptors, descriptor_limit, cpu } = &self.process;
        if let Some(start) = start {
            text.family("process_start_time_seconds", Kind::Gauge, "When the process was started, since the Unix epoch.");
            text.real("process_start_time_seconds", &[], *start);
        }
        if let Some(cpu) = cpu {
            text.family("process_cpu_seconds_total", Kind::Counter, "Processor time of the process, user and system.");
            text.real("process_cpu_seconds_total", &[], *cpu);
        }
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory of the process.", memory),
            ("process_open_fds", "Open descriptors of the process.", descriptors),
            ("process_max_fds", "Most descriptors that the process may open.", descriptor_limit),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                text.family(name, Kind::Gauge, help);
                text.sample(name, &[], *value);
            }
        }
    }

    fn server(&self, text: &mut Text) {
        text.family("ostia_connections", Kind::Gauge, "Open connections.");
        for (number, count) in self.connections.iter().enumerate() {
            text.sample("ostia_connections", &[("worker", &number.to_string())], *count as u64);
        }
        text.family("ostia_connections_accepted_total", Kind::Counter, "Connections that were served or are being served.");
        text.sample("ostia_connections_accepted_total", &[], self.accepted as u64);
        text.family("ostia_connections_rejected_total", Kind::Counter, "Connections that were turned away at --max-connections.");
        text.sample("ostia_connections_rejected_total", &[], self.rejected as u64);
    }

    fn http(&self, text: &mut Text) {
        if self.http.is_empty() {
            return;
        }
        let each = |text: &mut Text, name: &str, help: &str, value: fn(&serve::HttpCounters) -> u64| {
            text.family(name, Kind::Counter, help);
            for (number, one) in self.http.iter().enumerate() {
                text.sample(name, &[("worker", &number.to_string())], value(one));
            }
        };
        text.family("ostia_http_requests_total", Kind::Counter, "Requests that were answered, by class of status.");
        for (number, one) in self.http.iter().enumerate() {
            for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(one.classes) {
                text.sample("ostia_http_requests_total", &[("worker", &number.to_string()), ("status", class)], count);
            }
        }
        each(text, "ostia_http_content_bytes_total", "Bytes of content that were sent.", |one| one.bytes);
        each(text, "ostia_file_cache_hits_total", "Look-ups answered from the cache of files.", |one| one.cache.hits);
        each(text, "ostia_file_cache_misses_total", "Look-ups that had to open a file.", |one| one.cache.misses);
        each(text, "ostia_file_cache_changed_total", "Cached files dropped because they changed.", |one| one.cache.changed);
        let mut merged = serve::Durations::default();
        self.http.iter().for_each(|one| merged.add(&one.durations));
        let name = "ostia_http_request_duration_seconds";
        text.family(
            name,
            Kind::Histogram,
            "From receiving a request to having handed its answer to the system, in turns of the loop.",
        );
        let mut sum = 0;
        for (limit, count) in serve::Durations::LIMITS.iter().zip(merged.counts) {
            sum += count;
            text.sample(&format!("{name}_bucket"), &[("le", limit)], sum);
        }
        sum += merged.beyond();
        text.sample(&format!("{name}_bucket"), &[("le", "+Inf")], sum);
        text.real(&format!("{name}_sum"), &[], merged.sum.as_secs_f64());
        text.sample(&format!("{name}_count"), &[], sum);
    }

    fn workers(&self, text: &mut Text) {
        let workers: Vec<Vec<_>> = self.workers.iter().map(|one| one.samples().collect()).collect();
        let Some(first) = workers.first() else { return };
        for (index, family) in first.iter().enumerate() {
            let kind = if family.kind == SampleKind::Gauge { Kind::Gauge } else { Kind::Counter };
            text.family(&family.name, kind, &family.help);
            if family.of_process {
                text.sample(&family.name, &[], family.value);
                continue;
            }
            for (number, samples) in workers.iter().enumerate() {
                text.sample(&family.name, &[("worker", &number.to_string())], samples[index].value);
            }
        }
    }

    fn logs(&self, text: &mut Text) {
        let counters: [Family<log::sink::Counts, u64>; 3] = [
            ("ostia_log_lines_written_total", "Lines that were logged.", |one| one.written),
            ("ostia_log_lines_dropped_total", "Lines that were not logged: too many at once, or the disk failed.", |one| {
                one.dropped
            }),
            ("ostia_log_write_failures_total", "Writes to the log that failed.", |one| one.failures),
        ];
        for (name, help, value) in counters {
            text.family(name, Kind::Counter, help);
            for (log, counts) in &self.logs {
                text.sample(name, &[("log", log)], value(counts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_sample_has_its_family_and_the_histogram_adds_up() {
        let mut http = serve::HttpCounters::default();
        for micros in [0, 50, 700, 20_000, 99_000_000] {
            http.durations.record(Duration::from_micros(micros));
        }
        http.classes[1] = 5;
        let scrape = Scrape {
            workers: vec![WorkerStatistics::default(); 2],
            connections: vec![1, 2],
            accepted: 9,
            rejected: 1,
            http: vec![http, serve::HttpCounters::default()],
            logs: vec![("a \"log\"\\\n".into(), log::sink::Counts::default())],
            process: Process::look(),
        };
        let page = scrape.render();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(page.contains(&format!("# TYPE {family} ")) && page.contains(&format!("# HELP {family} ")), "{line}");
        }
        assert!(page.contains("ostia_connections{worker=\"1\"} 2\n"));
        assert!(page.contains("ostia_http_request_duration_seconds_bucket{le=\"+Inf\"} 5\n"));
        assert!(page.contains("ostia_http_request_duration_seconds_bucket{le=\"0.0001\"} 2\n"));
        assert!(page.contains("ostia_log_lines_dropped_total{log=\"a \\\"log\\\"\\\\\\n\"} 0\n"));
        assert!(page.contains("ostia_port_bytes_received_total{worker=\"0\"} 0\n"));
        assert!(page.contains("ostia_worker_stuck_total{worker=\"1\"} 0\n"));
        assert!(page.contains("# TYPE ostia_worker_tasks gauge\n") && page.contains("ostia_blocking_threads 0\n"));
    }
}

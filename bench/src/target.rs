//! What is measured: every server, how it is started, and the goals that comparisons with it have.

use std::fmt;

use clap::ValueEnum;

/// What a server is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Send back what comes.
    Echo,
    /// Answer GET requests with files.
    Http,
    /// Send datagrams back.
    Udp,
    /// Answer GET requests through an axum router.
    Axum,
    /// Wake a task on another thread, not a server.
    Wakes,
    /// TCP from memory to memory, not a server.
    Stack,
    /// TCP over a TUN device.
    Tun,
}

/// Which driver Ostia is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// io_uring.
    #[value(name = "io_uring")]
    IoUring,
    /// epoll.
    Epoll,
}

impl Driver {
    fn name(self) -> &'static str {
        match self {
            Driver::IoUring => "io_uring",
            Driver::Epoll => "epoll",
        }
    }
}

/// Where a server's program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The `ostia` program of this workspace.
    Ostia(Driver),
    /// The package of that name under `bench/rivals`.
    Rival(&'static str),
    /// The package of that name under `bench/rivals`, which has Ostia in it beside others.
    Beside {
        /// Its name.
        package: &'static str,
        /// By which driver, where it is Ostia that runs.
        ostia: Option<Driver>,
    },
    /// The package `stack` under `bench/rivals`, which has Ostia's TCP/IP stack in it beside another.
    Stacks {
        /// Whether it is Ostia's that runs.
        ostia: bool,
    },
    /// The system's nginx.
    Nginx {
        /// With `open_file_cache`.
        cache: bool,
    },
}

/// A server that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    /// What it is asked to do.
    pub service: Service,
    /// What runs.
    pub program: Program,
    /// Its arguments; [`ROOT`] stands for the directory whose files are served.
    pub args: &'static [&'static str],
}

/// Stands in [`Target::args`] for the directory whose files are served.
pub const ROOT: &str = "{root}";

/// Every target, Ostia's own first. Ostia's command line is written here and nowhere else.
pub const TARGETS: &[Target] = &[
    echo("ostia", Program::Ostia(Driver::IoUring), &OSTIA_ECHO_IO_URING),
    echo("ostia-epoll", Program::Ostia(Driver::Epoll), &OSTIA_ECHO_EPOLL),
    echo("floor-uring", Program::Rival("floor-uring"), &LOOPBACK),
    echo("floor-epoll", Program::Rival("floor-epoll"), &LOOPBACK),
    echo("tokio", Program::Rival("tokio"), &LOOPBACK),
    echo("monoio", Program::Rival("monoio"), &LOOPBACK),
    echo("compio-owned", Program::Rival("compio"), &["--addr", "127.0.0.1:0", "--mode", "owned"]),
    echo("compio-managed", Program::Rival("compio"), &["--addr", "127.0.0.1:0", "--mode", "managed"]),
    echo("compio-multishot", Program::Rival("compio"), &["--addr", "127.0.0.1:0", "--mode", "multishot"]),
    echo("glommio", Program::Rival("glommio"), &LOOPBACK),
    echo("nexio", Program::Rival("nexio"), &LOOPBACK),
    http("ostia", Program::Ostia(Driver::IoUring), &OSTIA_SERVE_IO_URING),
    http("ostia-epoll", Program::Ostia(Driver::Epoll), &OSTIA_SERVE_EPOLL),
    http("nginx", Program::Nginx { cache: false }, &[]),
    http("nginx-cache", Program::Nginx { cache: true }, &[]),
    http("hyper", Program::Rival("hyper"), &["--addr", "127.0.0.1:0", "--root", ROOT]),
    udp("ostia", Program::Ostia(Driver::IoUring), &OSTIA_UDP_IO_URING),
    udp("ostia-epoll", Program::Ostia(Driver::Epoll), &OSTIA_UDP_EPOLL),
    udp("floor-mmsg", Program::Rival("floor-epoll"), &["--addr", "127.0.0.1:0", "--mode", "udp"]),
    udp("tokio", Program::Rival("tokio"), &["--addr", "127.0.0.1:0", "--mode", "udp"]),
    udp("monoio", Program::Rival("monoio"), &["--addr", "127.0.0.1:0", "--mode", "udp", "--tasks", "32"]),
    udp("compio-owned", Program::Rival("compio"), &["--addr", "127.0.0.1:0", "--mode", "udp", "--tasks", "32"]),
    udp("compio-multishot", Program::Rival("compio"), &["--addr", "127.0.0.1:0", "--mode", "udp-multishot"]),
    axum("ostia", Some(Driver::IoUring), &["--addr", "127.0.0.1:0", "--on", "ostia"]),
    axum("ostia-epoll", Some(Driver::Epoll), &["--addr", "127.0.0.1:0", "--on", "ostia-epoll"]),
    axum("ostia-untimed", Some(Driver::IoUring), &["--addr", "127.0.0.1:0", "--on", "ostia", "--limits", "off"]),
    axum("tokio", None, &["--addr", "127.0.0.1:0", "--on", "tokio"]),
    axum("tokio-timed", None, &["--addr", "127.0.0.1:0", "--on", "tokio", "--limits", "on"]),
    wakes("ostia", Some(Driver::IoUring), &["--on", "ostia"]),
    wakes("ostia-epoll", Some(Driver::Epoll), &["--on", "ostia-epoll"]),
    wakes("tokio", None, &["--on", "tokio"]),
    stack("ostia", true, &["--on", "ostia"]),
    stack("smoltcp", false, &["--on", "smoltcp"]),
    tun("ostia", Some(Driver::IoUring), &["ostia"]),
    tun("smoltcp", None, &["smoltcp"]),
];

const LOOPBACK: [&str; 2] = ["--addr", "127.0.0.1:0"];
const OSTIA_ECHO_IO_URING: [&str; 7] = ["echo", "--addr", "127.0.0.1:0", "--workers", "1", "--driver", "io_uring"];
const OSTIA_ECHO_EPOLL: [&str; 7] = ["echo", "--addr", "127.0.0.1:0", "--workers", "1", "--driver", "epoll"];
const OSTIA_UDP_IO_URING: [&str; 7] = ["echo", "--addr", "udp://127.0.0.1:0", "--workers", "1", "--driver", "io_uring"];
const OSTIA_UDP_EPOLL: [&str; 7] = ["echo", "--addr", "udp://127.0.0.1:0", "--workers", "1", "--driver", "epoll"];
const OSTIA_SERVE_IO_URING: [&str; 9] =
    ["serve", ROOT, "--addr", "127.0.0.1:0", "--workers", "1", "--driver", "io_uring", "--no-access-log"];
const OSTIA_SERVE_EPOLL: [&str; 9] =
    ["serve", ROOT, "--addr", "127.0.0.1:0", "--workers", "1", "--driver", "epoll", "--no-access-log"];

const fn echo(name: &'static str, program: Program, args: &'static [&'static str]) -> Target {
    Target { name, service: Service::Echo, program, args }
}

const fn http(name: &'static str, program: Program, args: &'static [&'static str]) -> Target {
    Target { name, service: Service::Http, program, args }
}

const fn udp(name: &'static str, program: Program, args: &'static [&'static str]) -> Target {
    Target { name, service: Service::Udp, program, args }
}

const fn axum(name: &'static str, ostia: Option<Driver>, args: &'static [&'static str]) -> Target {
    Target { name, service: Service::Axum, program: Program::Beside { package: "axum", ostia }, args }
}

const fn wakes(name: &'static str, ostia: Option<Driver>, args: &'static [&'static str]) -> Target {
    Target { name, service: Service::Wakes, program: Program::Beside { package: "wakes", ostia }, args }
}

const fn stack(name: &'static str, ostia: bool, args: &'static [&'static str]) -> Target {
    Target { name, service: Service::Stack, program: Program::Stacks { ostia }, args }
}

const fn tun(name: &'static str, ostia: Option<Driver>, args: &'static [&'static str]) -> Target {
    Target { name, service: Service::Tun, program: Program::Beside { package: "tun", ostia }, args }
}

impl Target {
    /// The targets of those names that offer a service; names of targets that offer only another one are passed over.
    ///
    /// # Errors
    /// A name that no target has; the message lists those there are.
    pub fn find_all(service: Service, names: &[String]) -> Result<Vec<Target>, String> {
        if let Some(name) = names.iter().find(|name| TARGETS.iter().all(|target| target.name != **name)) {
            let mut known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            known.sort_unstable();
            known.dedup();
            return Err(format!("no target named {name:?}: choose among {}", known.join(", ")));
        }
        let named =
            names.iter().filter_map(|name| TARGETS.iter().find(|target| target.service == service && target.name == *name));
        Ok(named.copied().collect())
    }

    /// Those that `subject` is compared with unless others are asked for: all but Ostia.
    pub fn rivals(service: Service) -> Vec<Target> {
        let rivals = TARGETS.iter().filter(|target| target.service == service && !target.is_ostia());
        rivals.copied().collect()
    }

    /// Whether this is Ostia, by whichever driver or by none.
    pub fn is_ostia(&self) -> bool {
        self.driver().is_some() || self.program == Program::Stacks { ostia: true }
    }

    /// The driver, where this is Ostia.
    fn driver(&self) -> Option<Driver> {
        match self.program {
            Program::Ostia(driver) => Some(driver),
            Program::Beside { ostia, .. } => ostia,
            Program::Rival(_) | Program::Stacks { .. } | Program::Nginx { .. } => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.driver() {
            Some(driver) => {
                let special = self.name.trim_start_matches("ostia").trim_start_matches("-epoll");
                write!(f, "ostia{special} ({})", driver.name())
            }
            None => f.write_str(self.name),
        }
    }
}

/// What is compared, as far as goals depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Echo over so many connections.
    Echo {
        /// Connections.
        connections: usize,
    },
    /// GET of a file of so many bytes.
    File {
        /// Size of the file.
        bytes: usize,
    },
    /// Echo of datagrams.
    Datagrams,
    /// GET answered by an axum router.
    Router,
    /// Waking a task on another thread.
    Wake,
}

/// The goal for subject's processor time per request divided by the rival's; none where a comparison is reported and
/// not judged.
pub fn goal(subject: &Target, rival: &Target, case: Case) -> Option<f64> {
    let driver = subject.driver()?;
    match (case, rival.program) {
        // One connection's timing says more about the scheduler than about the server.
        (Case::Echo { connections: 1 }, _) => None,
        (Case::Echo { .. } | Case::Datagrams, Program::Rival("tokio")) => Some(1.0),
        (Case::Datagrams, Program::Rival("monoio" | "compio")) if driver == Driver::IoUring => Some(1.0),
        // tokio's side of the same program.
        (Case::Router | Case::Wake, Program::Beside { ostia: None, .. }) => Some(1.0),
        (Case::Echo { .. }, Program::Rival(package)) => match (driver, package) {
            (Driver::IoUring, "floor-uring") => Some(1.05),
            (Driver::IoUring, "monoio" | "compio" | "glommio") => Some(1.0),
            _ => None,
        },
        (Case::File { .. }, Program::Nginx { .. }) => Some(1.0),
        // "Near" hyper, which serves from memory and does not look at the file system.
        (Case::File { bytes: 1_024 }, Program::Rival("hyper")) => Some(1.1),
        _ => None,
    }
}

/// The goal for the ratio of the 99th percentiles of latency, where the processor time has a goal.
pub const P99_TOLERANCE: f64 = 1.1;

/// What setting, giving up or firing a timer may cost, in inserts into a hash map of the same size.
pub const TIMER_GOAL: f64 = 2.0;
/// Processor time per byte from memory to memory, Ostia's stack's divided by the rival's: at an MTU of 1,500 bytes twice the
/// throughput is the goal, at 65,535 as much.
pub fn transfer_goal(subject: &Target, rival: &Target, mtu: u32) -> Option<f64> {
    let judged = subject.is_ostia() && !rival.is_ostia();
    judged.then_some(if mtu == 1_500 { 0.5 } else { 1.0 })
}

/// What a request over TUN may take beside a loop that only sends its packet back.
pub const SWAP_GOAL: f64 = 1.25;
/// What a packet may cost more with 100,000 connections than with 10.
pub const SPREAD_GOAL: f64 = 1.3;
/// Bytes that an idle connection of Ostia's stack may take at most, with its place in the table.
pub const STACK_IDLE_GOAL: f64 = 1_024.0;
/// User-space instructions per echo request that Ostia may take at most.
pub const INSTRUCTIONS_GOAL: f64 = 500.0;
/// Bytes of user memory that an idle connection of Ostia's may take at most.
pub const IDLE_GOAL: f64 = 256.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn find(service: Service, name: &str) -> Target {
        Target::find_all(service, &[name.to_owned()]).unwrap()[0]
    }

    #[test]
    fn names_are_unique_within_a_service() {
        for (i, a) in TARGETS.iter().enumerate() {
            for b in &TARGETS[i + 1..] {
                assert!(a.service != b.service || a.name != b.name, "{}", a.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let names = ["tokio".to_owned(), "tokyo".to_owned()];
        let error = Target::find_all(Service::Echo, &names).unwrap_err();
        assert!(error.contains("\"tokyo\"") && error.contains("nginx-cache, ostia, ostia-epoll"));
    }

    #[test]
    fn targets_that_lack_a_service_are_passed_over() {
        let names = ["tokio".to_owned(), "ostia".to_owned(), "nginx".to_owned()];
        let found = Target::find_all(Service::Http, &names).unwrap();
        assert_eq!(found.iter().map(|target| target.name).collect::<Vec<_>>(), ["ostia", "nginx"]);
    }

    #[test]
    fn rivals_are_all_but_ostia() {
        assert_eq!(Target::rivals(Service::Echo).len(), 9);
        assert_eq!(Target::rivals(Service::Http).len(), 3);
        assert_eq!(Target::rivals(Service::Udp).len(), 5);
        assert_eq!(Target::rivals(Service::Axum).len(), 2);
        assert_eq!(Target::rivals(Service::Wakes).len(), 1);
        assert_eq!(Target::rivals(Service::Stack).len(), 1);
        assert!(!Target::rivals(Service::Echo).iter().any(Target::is_ostia));
    }

    #[test]
    fn goals_are_those_of_the_design() {
        let many = Case::Echo { connections: 64 };
        let ostia = find(Service::Echo, "ostia");
        let epoll = find(Service::Echo, "ostia-epoll");
        let echo = |name| find(Service::Echo, name);
        assert_eq!(goal(&ostia, &echo("floor-uring"), many), Some(1.05));
        assert_eq!(goal(&ostia, &echo("monoio"), many), Some(1.0));
        assert_eq!(goal(&ostia, &echo("monoio"), Case::Echo { connections: 1 }), None);
        assert_eq!(goal(&ostia, &echo("floor-epoll"), many), None);
        assert_eq!(goal(&epoll, &echo("tokio"), many), Some(1.0));
        assert_eq!(goal(&epoll, &echo("floor-uring"), many), None);
        assert_eq!(goal(&echo("tokio"), &echo("monoio"), many), None);
        for driver in ["ostia", "ostia-epoll"] {
            for (service, case) in [(Service::Udp, Case::Datagrams), (Service::Axum, Case::Router), (Service::Wakes, Case::Wake)]
            {
                assert_eq!(goal(&find(service, driver), &find(service, "tokio"), case), Some(1.0));
            }
        }
        let udp = |name| find(Service::Udp, name);
        assert_eq!(goal(&udp("ostia"), &udp("compio-multishot"), Case::Datagrams), Some(1.0));
        assert_eq!(goal(&udp("ostia-epoll"), &udp("monoio"), Case::Datagrams), None);
        assert_eq!(goal(&udp("ostia"), &udp("floor-mmsg"), Case::Datagrams), None);
        let stack = |name| find(Service::Stack, name);
        assert_eq!(transfer_goal(&stack("ostia"), &stack("smoltcp"), 1_500), Some(0.5));
        assert_eq!(transfer_goal(&stack("ostia"), &stack("smoltcp"), 65_535), Some(1.0));
        assert_eq!(transfer_goal(&stack("smoltcp"), &stack("ostia"), 1_500), None);
        let ostia = find(Service::Http, "ostia");
        let http = |name| find(Service::Http, name);
        let file = |bytes| Case::File { bytes };
        assert_eq!(goal(&ostia, &http("nginx-cache"), file(10 << 20)), Some(1.0));
        assert_eq!(goal(&ostia, &http("hyper"), file(1_024)), Some(1.1));
        assert_eq!(goal(&ostia, &http("hyper"), file(10 << 20)), None);
    }
}

//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::shared::Shared;

/// Measures Ostia beside its rivals.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
pub struct Cli {
    /// What to measure.
    #[command(subcommand)]
    pub command: Command,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Processor time per echoed message, in pairs
    Echo {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        echo: Echo,
    },
    /// Processor time per file served, in pairs
    Http {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        http: Http,
    },
    /// Memory per idle connection
    Idle {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        idle: Idle,
    },
    /// User-space instructions per echoed message, under valgrind's callgrind
    Instructions {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        waves: Waves,
    },
    /// System calls per echoed message
    Syscalls {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        waves: Waves,
    },
    /// The shared port beside a port for each thread and beside leader and followers
    Shared {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        shared: Shared,
    },
    /// Processor time per echoed datagram, in pairs
    Udp {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        udp: Udp,
    },
    /// Processor time per request of an axum router, over Ostia and over tokio, in pairs
    Axum {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        axum: Axum,
    },
    /// A million timers: to set, give up and fire one, beside an insert into a hash map
    Timers {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        timers: Timers,
    },
    /// From waking a task on another thread that sleeps until it runs, in pairs
    Wakes {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        wakes: Wakes,
    },
    /// The TCP/IP stack in memory: beside smoltcp, over many connections, idle, and under a flood of SYNs
    Stack {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        stack: Stack,
    },
    /// The TCP/IP stack over TUN devices, to and from the kernel's: beside smoltcp, and beside a loop without a stack. As root
    Tun {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tun: Tun,
    },
    /// All of these but `shared` and `tun`
    All {
        #[command(flatten)]
        common: Common,
    },
}

/// Options of every measurement.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Common {
    /// What to measure: ostia, ostia-epoll, or a rival to measure rivals against each other
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "ostia")]
    pub subject: Vec<String>,
    /// What to compare it with [default: every rival there is]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub rivals: Option<Vec<String>>,
    /// Few short slices: shows that everything works, not how fast
    #[arg(long)]
    pub quick: bool,
    /// Longest time for one comparison, such as 90s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    pub max_time: Duration,
    /// Also write the results as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also draw the results in one self-contained HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Ostia's program [default: built from this workspace]
    #[arg(long, value_name = "PATH")]
    pub ostia: Option<PathBuf>,
}

/// Options of the echo comparison.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Echo {
    /// Connections
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "64,1000")]
    pub connections: Vec<std::num::NonZeroU16>,
    /// Bytes in a message
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "64,16384")]
    pub sizes: Vec<std::num::NonZeroU32>,
}

impl Default for Echo {
    /// The cells that goals are set for.
    fn default() -> Echo {
        let connections = [64, 1_000].into_iter().filter_map(std::num::NonZeroU16::new).collect();
        let sizes = [64, 16_384].into_iter().filter_map(std::num::NonZeroU32::new).collect();
        Echo { connections, sizes }
    }
}

/// Options of the comparison of file servers.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Http {
    /// Bytes in the file asked for
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "1024,102400,10485760")]
    pub sizes: Vec<std::num::NonZeroU32>,
    /// Connections [default: 64, for files of 1 MiB and more 16]
    #[arg(long, value_name = "N")]
    pub connections: Option<std::num::NonZeroU16>,
}

impl Default for Http {
    /// The sizes that goals are set for.
    fn default() -> Http {
        let sizes = [1 << 10, 100 << 10, 10 << 20];
        Http { sizes: sizes.into_iter().filter_map(std::num::NonZeroU32::new).collect(), connections: None }
    }
}

/// Options of the measurement of idle connections.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Idle {
    /// Connections to hold
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub connections: usize,
    /// Exchange one message on each connection first
    #[arg(long)]
    pub touched: bool,
}

/// Options of the counts.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Waves {
    /// Connections that send together
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,64")]
    pub waves: Vec<std::num::NonZeroU16>,
}

impl Default for Waves {
    /// The waves that goals are set for.
    fn default() -> Waves {
        Waves { waves: [1, 64].into_iter().filter_map(std::num::NonZeroU16::new).collect() }
    }
}

/// Options of the echo of datagrams.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Udp {
    /// Sockets that send
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "64")]
    pub peers: Vec<std::num::NonZeroU16>,
    /// Bytes in a message, 8 to 65507
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "64,1200")]
    pub sizes: Vec<std::num::NonZeroU32>,
    /// Messages that each has under way
    #[arg(long, value_name = "N", default_value = "1")]
    pub window: std::num::NonZeroU16,
    /// Count system calls and instructions instead of measuring time
    #[arg(long)]
    pub counts: bool,
}

impl Default for Udp {
    /// The cells that goals are set for.
    fn default() -> Udp {
        Udp {
            peers: [64].into_iter().filter_map(std::num::NonZeroU16::new).collect(),
            sizes: [64, 1_200].into_iter().filter_map(std::num::NonZeroU32::new).collect(),
            window: std::num::NonZeroU16::MIN,
            counts: false,
        }
    }
}

/// Options of the comparison of routers.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct Axum {
    /// Connections [default: 64]
    #[arg(long, value_name = "N")]
    pub connections: Option<std::num::NonZeroU16>,
    /// Count system calls and instructions instead of measuring time
    #[arg(long, conflicts_with = "wrk")]
    pub counts: bool,
    /// Then compare once more under wrk's load, where wrk is installed
    #[arg(long)]
    pub wrk: bool,
}

/// Options of the measurement of timers.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Timers {
    /// Timers that are set all the time
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100_000..))]
    pub armed: u32,
}

impl Default for Timers {
    /// As many as the goal is set for.
    fn default() -> Timers {
        Timers { armed: 1_000_000 }
    }
}

/// Options of the measurement of wakes.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Wakes {
    /// By what: channel, notify, spawn
    #[arg(long, value_name = "HOW", value_delimiter = ',', default_value = "channel,notify,spawn")]
    pub by: Vec<String>,
}

impl Default for Wakes {
    /// Every way.
    fn default() -> Wakes {
        Wakes { by: ["channel", "notify", "spawn"].map(str::to_owned).to_vec() }
    }
}

/// Options of the measurements of the stack.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Stack {
    /// Which of them: transfer, instructions, idle, memory, flood
    #[arg(long, value_name = "PART", value_delimiter = ',', default_value = "transfer,instructions,idle,memory,flood")]
    pub parts: Vec<String>,
    /// MTUs of the transfers, in bytes
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "1500,65535",
        value_parser = clap::value_parser!(u32).range(576..=65_535))]
    pub mtus: Vec<u32>,
    /// SYNs of the flood
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    pub syns: u32,
}

impl Default for Stack {
    /// Everything that goals are set for.
    fn default() -> Stack {
        let parts = ["transfer", "instructions", "idle", "memory", "flood"].map(str::to_owned).to_vec();
        Stack { parts, mtus: vec![1_500, 65_535], syns: 200_000 }
    }
}

/// Options of the measurements over TUN.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Tun {
    /// Which of them: stream, offload, request; read, which shows two ways to read a device
    #[arg(long, value_name = "PART", value_delimiter = ',', default_value = "stream,offload,request")]
    pub parts: Vec<String>,
    /// MTUs of the streams, in bytes
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "1500,65535",
        value_parser = clap::value_parser!(u32).range(576..=65_535))]
    pub mtus: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_cells_with_goals() {
        let Command::Echo { echo, common } = Cli::parse_from(["bench", "echo"]).command else { panic!("not echo") };
        assert_eq!((echo.connections, echo.sizes), (Echo::default().connections, Echo::default().sizes));
        assert_eq!(common.max_time, Duration::from_secs(300));
        let Command::Http { http, .. } = Cli::parse_from(["bench", "http"]).command else { panic!("not http") };
        assert_eq!(http.sizes, Http::default().sizes);
        let Command::Syscalls { waves, .. } = Cli::parse_from(["bench", "syscalls"]).command else { panic!("not syscalls") };
        assert_eq!(waves.waves, Waves::default().waves);
        let Command::Udp { udp, .. } = Cli::parse_from(["bench", "udp"]).command else { panic!("not udp") };
        let cells = Udp::default();
        assert_eq!((udp.peers, udp.sizes, udp.window), (cells.peers, cells.sizes, cells.window));
        let Command::Timers { timers, .. } = Cli::parse_from(["bench", "timers"]).command else { panic!("not timers") };
        assert_eq!(timers.armed, Timers::default().armed);
        let Command::Stack { stack, .. } = Cli::parse_from(["bench", "stack"]).command else { panic!("not stack") };
        let all = Stack::default();
        assert_eq!((stack.parts, stack.mtus, stack.syns), (all.parts, all.mtus, all.syns));
        let Command::Wakes { wakes, .. } = Cli::parse_from(["bench", "wakes"]).command else { panic!("not wakes") };
        assert_eq!(wakes.by, Wakes::default().by);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [&["bench", "echo", "--sizes", "0"][..], &["bench", "echo", "--max-time", "soon"], &["bench", "tcp"]] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}

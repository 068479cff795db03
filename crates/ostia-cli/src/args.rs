//! The command line. Its definition is also that of the configuration file and of the environment: see
//! [`config`](crate::config).

mod network;
mod ping;
mod sim;
mod stack;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use network::{Cidr, NetworkArgs, NetworkChoice, Offload};
pub use ping::PingArgs;
pub use sim::{Seeds, SimArgs};
pub use stack::{Closing, ExplainArgs, IpVersion, LONGEST_TEXT, StackAction, StackArgs, WatchArgs};
pub use system::Driver;

use crate::sim::SCENARIO;
use clap::{Arg, ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// A static file server with zero copy, on Ostia's completion port.
#[derive(Debug, Parser)]
#[command(name = "ostia", version, about, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What every subcommand takes.
    #[command(flatten)]
    pub global: Global,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What stands below the options in every help text.
const AFTER_HELP: &str = "\
Every option can also be set in a file (--config) and in the environment: --idle-timeout of serve is
idle-timeout below [serve], and OSTIA_SERVE_IDLE_TIMEOUT. Flags come first, then the environment,
then the file. `ostia config show` tells what holds and why.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part, 4 no permission, 130 interrupted";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a directory over HTTP/1.1
    Serve(ServeArgs),
    /// Send every byte back to where it came from (RFC 862)
    Echo(EchoArgs),
    /// Say which driver would run and why, what the kernel can do, and which limits will bite
    Doctor(DoctorArgs),
    /// Ask a host whether it is there, over the kernel's network or Ostia's own stack (ICMP echo)
    Ping(PingArgs),
    /// Bring Ostia's own TCP/IP stack up on a device, and show what goes on in it
    Stack(StackArgs),
    /// Run servers and clients in a simulated network, from a seed
    #[command(after_long_help = SCENARIO)]
    Sim(SimArgs),
    /// Check a configuration file, or show which settings hold and where each comes from
    Config(ConfigArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all subcommands to a directory
    Man(ManArgs),
}

/// What every subcommand takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// A TOML file with settings
    #[arg(long, global = true, value_name = "FILE", help_heading = "Program")]
    pub config: Option<PathBuf>,

    /// Print machine-readable output: one JSON object per line
    #[arg(long, global = true, help_heading = "Program")]
    pub json: bool,

    /// When to use colours (auto: on a terminal, unless NO_COLOR is set)
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, help_heading = "Program")]
    pub color: Color,

    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where the log goes and how it looks. In the file these are the keys of `[log]`, without `log-`.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Shape of log lines
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,

    /// What is logged: off, error, warn, info, debug, trace; also per module, as in warn,ostia=debug
    #[arg(long, global = true, hide_short_help = true, value_name = "FILTER", value_parser = filter, default_value = "warn", help_heading = "Logging")]
    pub log_level: String,

    /// The file to log to.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Logging", help = system::LOG_FILE)]
    pub log_file: Option<PathBuf>,

    /// A log file that has come to this size is replaced: 100MiB, 10kB; 0 for never
    #[arg(long, global = true, hide_short_help = true, value_name = "SIZE", value_parser = size, default_value = "100MiB", help_heading = "Logging")]
    pub log_max_size: u64,

    /// A log file of this age is replaced when the next line is written; 0 for never
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME", value_parser = time, default_value = "0", help_heading = "Logging")]
    pub log_max_age: Duration,

    /// Replaced log files that are kept, as PATH.1 (the newest) and so on
    #[arg(long, global = true, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=9999),
        default_value = "5", help_heading = "Logging")]
    pub log_keep: u32,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: level, message, details
    #[default]
    Pretty,
    /// One line with time, level, origin, message and details
    Compact,
    /// One JSON object per line
    Json,
}

/// `ostia config`.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What `ostia config` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigAction {
    /// Read a file and report everything that is wrong with it
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show every setting, with where it comes from: flag, environment, file or default
    Show {
        /// The file [default: that of --config or OSTIA_CONFIG]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// A command line to be explained: -- serve DIR --workers 4
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<std::ffi::OsString>,
    },
}

/// `ostia completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `ostia man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Where to write the pages [default: the page of ostia itself goes to standard output]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What servers have in common.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Where to listen.
    #[arg(long = "addr", value_name = "ADDR", default_value = DEFAULT_ADDRESS, help = system::ADDRESSES)]
    pub addresses: Vec<String>,

    /// Worker threads [default: one per processor]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,

    /// Bind each worker to a processor of its own
    #[arg(long)]
    pub pin: bool,

    /// What carries the I/O
    #[arg(long, value_enum, default_value_t)]
    pub driver: Driver,

    /// Most connections at once; more are answered with 503 by serve, and closed by echo
    /// [default: no limit but that of descriptors, at which connects wait]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<NonZeroUsize>,

    /// How long connections may finish what they are doing when the server is to end.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "10s", help = system::DRAIN)]
    pub drain: Duration,

    /// Name in the log what keeps a worker from everything else for so long, which would be a bug; 0: never mind
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s")]
    pub stuck_after: Duration,

    /// Answer Prometheus on http://ADDR/metrics
    #[arg(long, value_name = "IP:PORT")]
    pub metrics: Option<SocketAddr>,

    /// Which network, and how it is set up.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// Where servers listen that are told nothing; on a stack of their own, on the same port of its addresses.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// `ostia serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The directory to serve
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Addresses, workers, driver.
    #[command(flatten)]
    pub common: Common,

    /// Longest time a cached file is believed without a look at the disk.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s", help = system::REVALIDATE)]
    pub revalidate: Duration,

    /// Serve names that begin with a dot as well
    #[arg(long)]
    pub hidden: bool,

    /// Host names to answer to, or *; repeat for more [default: on loopback addresses localhost,
    /// elsewhere any]. Addresses in digits are always answered to
    #[arg(long = "allow-host", value_name = "NAME")]
    pub allow_hosts: Vec<String>,

    /// Time for a request's head to arrive, from its first byte
    #[arg(long, value_name = "TIME", value_parser = limit, default_value = "10s")]
    pub header_timeout: Duration,

    /// Time for a request's body to arrive
    #[arg(long, value_name = "TIME", value_parser = limit, default_value = "30s")]
    pub body_timeout: Duration,

    /// Time a connection may wait for its next request, or a response for its reader
    #[arg(long, value_name = "TIME", value_parser = limit, default_value = "60s")]
    pub idle_timeout: Duration,

    /// Where the access log goes: a file, - for standard output, or off [default: --log-file, else -]
    #[arg(long, value_name = "PATH", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub access_log: Option<String>,

    /// The same as --access-log off
    #[arg(long, hide = true, overrides_with = "access_log")]
    pub no_access_log: bool,
}

/// `ostia echo`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("addresses", |addresses| addresses.help(system::ECHO_ADDRESSES)))]
pub struct EchoArgs {
    /// Addresses, workers, driver.
    #[command(flatten)]
    pub common: Common,

    /// Time a connection may be silent
    #[arg(long, value_name = "TIME", value_parser = limit, default_value = "60s")]
    pub idle_timeout: Duration,
}

/// `ostia doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The driver to be examined
    #[arg(long, value_enum, default_value_t)]
    pub driver: Driver,
}

/// A duration with its unit: `500ms`, `1s`, `2m`, or 0.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let limit = Duration::from_secs(365 * 24 * 3600);
    match humantime::parse_duration(text) {
        Ok(time) if time <= limit => Ok(time),
        Ok(_) => Err("more than a year".into()),
        Err(_) => Err("not a time: write a number and its unit, such as 500ms, 10s or 2m".into()),
    }
}

/// A number of bytes: `4096`, `10kB`, `100MiB`, at most 1 EiB.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "not a size: write bytes, or a number and its unit, such as 10kB or 100MiB".to_owned();
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" | "k" => 1000,
        "MB" | "M" => 1000 * 1000,
        "GB" | "G" => 1000 * 1000 * 1000,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|bytes| *bytes <= 1 << 60).ok_or_else(|| "more than 1 EiB".to_owned())
}

/// A filter of [`tracing_subscriber::filter::Targets`]. That takes a word without a level for a module, so that a misspelt
/// level would log nothing: here it is refused.
fn filter(text: &str) -> Result<String, String> {
    let is_level = |part: &str| part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok() && !part.is_empty();
    let known = text.split(',').all(|part| is_level(part.split_once('=').map_or(part, |(_, level)| level).trim()));
    match text.parse::<tracing_subscriber::filter::Targets>() {
        Ok(_) if known => Ok(text.to_owned()),
        _ => Err("not a filter: write a level (off, error, warn, info, debug, trace), or several as in warn,ostia=debug".into()),
    }
}

/// The definition of the command line: that of [`Cli`], and for each flag `--FLAG` a hidden `--no-FLAG`, so that the command
/// line can take back what the file or the environment has switched on.
#[must_use]
pub fn command() -> clap::Command {
    let mut command = Cli::command();
    command = with_negations(command);
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, with_negations);
    }
    command
}

/// The id of the argument that takes a flag back.
pub(crate) fn negation(flag: &str) -> String {
    format!("no-{flag}")
}

fn with_negations(mut command: clap::Command) -> clap::Command {
    let flags: Vec<(String, String, bool)> = command
        .get_arguments()
        .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue) && !arg.is_hide_set())
        .filter_map(|arg| Some((arg.get_id().to_string(), arg.get_long()?.to_owned(), arg.is_global_set())))
        .collect();
    for (id, long, global) in flags {
        let arg = Arg::new(negation(&long)).long(negation(&long)).action(ArgAction::SetTrue);
        command = command.arg(arg.hide(true).global(global).overrides_with(id));
    }
    command
}

/// A time limit: not 0, for then nothing could ever arrive in time.
fn limit(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("must be more than 0".into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(args: &[&str]) -> Result<ServeArgs, clap::Error> {
        let all = ["ostia", "serve"].iter().chain(args);
        match Cli::try_parse_from(all)?.command {
            Command::Serve(serve) => Ok(serve),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn defaults() {
        let args = serve(&["."]).unwrap();
        assert_eq!(args.common.addresses, ["127.0.0.1:8080"]);
        assert_eq!((args.revalidate, args.common.driver), (Duration::from_secs(1), Driver::Auto));
        assert!(!args.hidden && args.common.workers.is_none() && args.allow_hosts.is_empty());
        assert_eq!(args.common.stuck_after, Duration::from_secs(5));
        assert_eq!(serve(&[".", "--stuck-after", "0"]).unwrap().common.stuck_after, Duration::ZERO);
    }

    #[test]
    fn addresses_add_up_and_times_have_units() {
        let args = serve(&[".", "--addr", "[::1]:0", "--addr=unix:/x", "--revalidate", "0", "--idle-timeout=1m 30s"]).unwrap();
        assert_eq!(args.common.addresses, ["[::1]:0", "unix:/x"]);
        assert_eq!((args.revalidate, args.idle_timeout), (Duration::ZERO, Duration::from_secs(90)));
    }

    #[test]
    fn echo_says_what_it_can_listen_on() {
        let error = Cli::try_parse_from(["ostia", "echo", "--help"]).unwrap_err();
        let help = error.to_string();
        let unix: &[&str] = if cfg!(unix) { &["unix-dgram:PATH", "unix-seqpacket:PATH"] } else { &[] };
        for word in ["udp://HOST:PORT", "64 KiB"].iter().chain(unix) {
            assert!(help.contains(word), "{help}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            ["0", "10kB", "100MiB", "1 GB", "7"].map(|text| size(text).unwrap()),
            [0, 10_000, 100 << 20, 1_000_000_000, 7]
        );
    }

    #[test]
    fn every_flag_can_be_taken_back() {
        let matches = command().try_get_matches_from(["ostia", "serve", ".", "--hidden", "--no-hidden", "--no-json"]).unwrap();
        let serve = matches.subcommand_matches("serve").unwrap();
        assert!(!serve.get_flag("hidden") && serve.get_flag("no-hidden"));
    }

    #[test]
    fn nonsense_is_refused_with_the_usage_code() {
        for args in [
            &[][..],
            &["."; 2],
            &[".", "--workers=0"],
            &[".", "--workers=x"],
            &[".", "--idle-timeout=0"],
            &[".", "--idle-timeout=10"],
            &[".", "--drain=99999999999999999999s"],
            &[".", "--drain=2years"],
            &[".", "--driver=turbo"],
            &[".", if cfg!(unix) { "--driver=iocp" } else { "--driver=epoll" }],
            &[".", "--max-connections=0"],
            &[".", "--no-such-flag"],
            &[".", "--log-max-size=10 parsecs"],
            &[".", "--log-max-size=99999999999GiB"],
            &[".", "--log-level=ostia=loud"],
            &[".", "--metrics=nowhere"],
            &[".", "--stuck-after=soon"],
            &[".", "--access-log="],
            &[".", "--log-level=loud"],
        ] {
            assert_eq!(serve(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }
}

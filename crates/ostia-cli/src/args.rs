//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// A static file server with zero copy, on Ostia's completion port.
#[derive(Debug, Parser)]
#[command(name = "ostia", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a directory over HTTP/1.1
    Serve(ServeArgs),
    /// Send every byte back to where it came from (RFC 862)
    Echo(EchoArgs),
    /// Say which driver would run and why, what the kernel can do, and which limits will bite
    Doctor(DoctorArgs),
}

/// What servers have in common.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Where to listen: HOST:PORT, an IPv6 host in brackets, or unix:PATH; repeat for more; port 0 picks a free one
    #[arg(long = "addr", value_name = "ADDR", default_value = "127.0.0.1:8080")]
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

    /// How long connections may finish what they are doing after SIGTERM or SIGINT
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "10s")]
    pub drain: Duration,
}

/// `ostia serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The directory to serve
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Addresses, workers, driver.
    #[command(flatten)]
    pub common: Common,

    /// Longest time a cached file is believed without a look at the disk; changes that inotify
    /// tells of are seen at once
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
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

    /// Write no access log (it goes to standard output)
    #[arg(long)]
    pub no_access_log: bool,
}

/// Where `ostia echo` can listen, for its help.
const ECHO_ADDRESSES: &str = "Where to listen: HOST:PORT or tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, \
    unix-dgram:PATH, unix-seqpacket:PATH, an IPv6 host in brackets, @NAME as PATH for an abstract name; repeat for more; \
    port 0 picks a free one. Datagrams are echoed up to 64 KiB";

/// `ostia echo`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("addresses", |addresses| addresses.help(ECHO_ADDRESSES)))]
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

/// Which driver carries the I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// io_uring where it works, else epoll
    #[default]
    Auto,
    /// io_uring or an error
    #[value(name = "io_uring", alias = "io-uring", alias = "iouring")]
    IoUring,
    /// epoll
    Epoll,
}

/// A duration with its unit: `500ms`, `1s`, `2m`, or 0.
fn time(text: &str) -> Result<Duration, String> {
    let limit = Duration::from_secs(365 * 24 * 3600);
    match humantime::parse_duration(text) {
        Ok(time) if time <= limit => Ok(time),
        Ok(_) => Err("more than a year".into()),
        Err(_) => Err("not a time: write a number and its unit, such as 500ms, 10s or 2m".into()),
    }
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
    use clap::CommandFactory as _;

    fn serve(args: &[&str]) -> Result<ServeArgs, clap::Error> {
        let all = ["ostia", "serve"].iter().chain(args);
        match Cli::try_parse_from(all)?.command {
            Command::Serve(serve) => Ok(serve),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults() {
        let args = serve(&["."]).unwrap();
        assert_eq!(args.common.addresses, ["127.0.0.1:8080"]);
        assert_eq!((args.revalidate, args.common.driver), (Duration::from_secs(1), Driver::Auto));
        assert!(!args.hidden && args.common.workers.is_none() && args.allow_hosts.is_empty());
    }

    #[test]
    fn addresses_add_up_and_times_have_units() {
        let args = serve(&[".", "--addr", "[::1]:0", "--addr=unix:/x", "--revalidate", "0", "--idle-timeout=1m 30s"]).unwrap();
        assert_eq!(args.common.addresses, ["[::1]:0", "unix:/x"]);
        assert_eq!((args.revalidate, args.idle_timeout), (Duration::ZERO, Duration::from_secs(90)));
        assert_eq!(serve(&[".", "--driver=io_uring"]).unwrap().common.driver, Driver::IoUring);
    }

    #[test]
    fn echo_says_what_it_can_listen_on() {
        let error = Cli::try_parse_from(["ostia", "echo", "--help"]).unwrap_err();
        let help = error.to_string();
        for word in ["udp://HOST:PORT", "unix-dgram:PATH", "unix-seqpacket:PATH", "64 KiB"] {
            assert!(help.contains(word), "{help}");
        }
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
            &[".", "--driver=kqueue"],
            &[".", "--max-connections=0"],
            &[".", "--no-such-flag"],
        ] {
            assert_eq!(serve(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }
}

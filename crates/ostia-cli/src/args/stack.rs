//! The arguments of `ostia stack`.

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, ValueEnum};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::{Driver, NetworkArgs};

/// The most bytes that `--text` takes: a few segments, so that the page stays readable.
pub const LONGEST_TEXT: usize = 8192;

/// `ostia stack`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StackArgs {
    /// What else to do.
    #[command(subcommand)]
    pub action: Option<StackAction>,

    /// What to bring up, and how to show it.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// `ostia stack` by itself.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Show everything again and again, this often [default: 1s; without it, at the beginning and at the end]
    #[arg(long, value_name = "TIME", value_parser = super::limit, num_args = 0..=1, default_missing_value = "1s")]
    pub watch: Option<Duration>,

    /// Also send every byte back to who connects to this port of the stack
    #[arg(long, value_name = "PORT")]
    pub echo: Option<NonZeroU16>,

    /// What carries the I/O
    #[arg(long, value_enum, default_value_t)]
    pub driver: Driver,

    /// Which network, and how it is set up.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// What `ostia stack` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum StackAction {
    /// Follow one send through all layers, and a connection through all its states
    ///
    /// Two hosts are joined by an Ethernet link in memory. One of them sends a text to the other over TCP. Nothing is staged:
    /// what is shown is what Ostia's own TCP/IP stack does, under a clock of its own, so that the same arguments give the same
    /// page. The numbers in brackets in its diagram are those that --lose takes.
    Explain(ExplainArgs),
}

/// `ostia stack explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// What is sent, 1 to 8192 bytes
    #[arg(long, value_name = "TEXT", value_parser = text, default_value = "Hello, neighbour!")]
    pub text: String,

    /// Over which version of IP
    #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
    pub ip: IpVersion,

    /// How the connection ends
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub close: Closing,

    /// Lose the Nth frame of the story on its way; repeat for more, or write 3,5
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub lose: Vec<usize>,

    /// Where all that is left to chance comes from: sequence numbers, ports
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Also write what went over the link to a file in the pcapng format, for Wireshark or tcpdump
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IpVersion {
    /// IPv4, with ARP
    #[default]
    V4,
    /// IPv6, with neighbour discovery
    V6,
}

/// Which side ends the connection, seen from the one that has opened it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Closing {
    /// The opener closes first
    #[default]
    Active,
    /// The other side closes first
    Passive,
    /// Both close at the same moment
    Simultaneous,
    /// The opener gives up with a reset
    Reset,
}

fn text(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("there must be something to send".to_owned()),
        length if length > LONGEST_TEXT => Err(format!("{length} bytes are too many: at most {LONGEST_TEXT}")),
        _ => Ok(text.to_owned()),
    }
}

//! The arguments of `ostia ping`.

use super::{Driver, NetworkArgs};
use clap::Args;
use std::num::NonZeroU64;
use std::time::Duration;

/// The most bytes that an echo request carries over IPv4: an IP packet's 65,535 without both headers.
const LARGEST: i64 = 65_507;

/// `ostia ping`.
#[derive(Clone, Debug, Args)]
pub struct PingArgs {
    /// Whom to ask: an IP address or a name
    #[arg(value_name = "HOST")]
    pub host: String,

    /// How many requests to send [default: until Ctrl-C]
    #[arg(long, value_name = "N")]
    pub count: Option<NonZeroU64>,

    /// Time from one request to the next
    #[arg(long, value_name = "TIME", value_parser = super::limit, default_value = "1s")]
    pub interval: Duration,

    /// How many bytes each carries
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=LARGEST), default_value_t = 56)]
    pub size: u32,

    /// How long an answer is waited for
    #[arg(long, value_name = "TIME", value_parser = super::limit, default_value = "5s")]
    pub timeout: Duration,

    /// What carries the I/O
    #[arg(long, value_enum, default_value_t)]
    pub driver: Driver,

    /// Which network, and how it is set up.
    #[command(flatten)]
    pub network: NetworkArgs,
}

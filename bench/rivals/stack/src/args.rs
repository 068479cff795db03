//! The command line.

use crate::Failure;
use crate::flood;
use crate::transfer;

/// What is measured, with all that can be said about it.
pub struct Args {
    pub what: String,
    pub on: String,
    pub transfer: transfer::Plan,
    /// Bytes, turns or SYNs after which it ends; without this it obeys its standard input.
    pub run: Option<u64>,
    pub connections: usize,
    pub active: usize,
    pub flood: flood::Plan,
}

impl Args {
    pub fn parse() -> Result<Args, Failure> {
        use lexopt::prelude::*;
        let mut args = Args {
            what: String::new(),
            on: "ostia".to_owned(),
            transfer: transfer::Plan { mtu: 1500, buffer: 256 << 10, lend: false },
            run: None,
            connections: 1_000,
            active: usize::MAX,
            flood: flood::Plan { syns: 200_000, cookies: true, state: flood::Queues::Open },
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Value(what) if args.what.is_empty() => args.what = what.string()?,
                Long("on") => args.on = parser.value()?.parse()?,
                Long("mtu") => args.transfer.mtu = parser.value()?.parse()?,
                Long("buffer") => args.transfer.buffer = parser.value()?.parse()?,
                Long("lend") => args.transfer.lend = true,
                Long("run") => args.run = Some(parser.value()?.parse()?),
                Long("connections") => args.connections = parser.value()?.parse()?,
                Long("active") => args.active = parser.value()?.parse()?,
                Long("syns") => args.flood.syns = parser.value()?.parse()?,
                Long("no-cookies") => args.flood.cookies = false,
                Long("queues") => args.flood.state = parser.value()?.parse()?,
                Long("cpu") => crate::pin(parser.value()?.parse()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(args)
    }
}

//! The arguments of `ostia sim`.

use clap::Args;
use std::path::PathBuf;

/// The most seeds that one command runs.
const MOST: u64 = 1_000_000;

/// `ostia sim`.
#[derive(Clone, Debug, Args)]
pub struct SimArgs {
    /// The scenario: a TOML file with links, hosts, and what runs on them
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,

    /// Where all that is left to chance comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Run once for each seed from A to B, B left out
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with = "seed")]
    pub seeds: Option<Seeds>,

    /// Write what went over each link to a file in this folder, in the pcapng format; with several seeds, in a folder for each
    #[arg(long, value_name = "DIR")]
    pub pcap: Option<PathBuf>,
}

/// Seeds from one to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The first.
    pub from: u64,
    /// The one behind the last.
    pub to: u64,
}

fn seeds(text: &str) -> Result<Seeds, String> {
    let wrong = || "not a range of seeds: write the first and the one behind the last, such as 0..200".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.trim().parse().map_err(|_| wrong())?, to.trim().parse().map_err(|_| wrong())?);
    match to {
        _ if to <= from => Err(wrong()),
        _ if to - from > MOST => Err(format!("{} seeds are too many: at most {MOST}", to - from)),
        _ => Ok(Seeds { from, to }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds_read() {
        assert_eq!(seeds("0..200"), Ok(Seeds { from: 0, to: 200 }));
        assert_eq!(seeds("18446744073709551614..18446744073709551615").map(|seeds| seeds.to - seeds.from), Ok(1));
        for wrong in ["", "5", "5..5", "6..5", "a..b", "0..", "..5", "-1..5", "0..=5", "0..99999999999"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}

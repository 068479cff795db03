//! A scenario as it is written: TOML, every key known.

use super::units::{Chance, Rate, Size, Time};
use crate::errors::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// No scenario is longer.
const LONGEST: u64 = 1 << 20;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Scenario {
    /// When it ends if its clients aren't done by then.
    pub(super) until: Option<Time>,
    #[serde(default)]
    pub(super) link: Vec<Link>,
    #[serde(default)]
    pub(super) host: Vec<Host>,
    #[serde(default)]
    pub(super) cut: Vec<Cut>,
}

/// A link: see [`ostia_sim::LinkConfig`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) mtu: Option<u32>,
    pub(super) rate: Option<Rate>,
    pub(super) queue: Option<Size>,
    pub(super) delay: Option<Time>,
    pub(super) jitter: Option<Time>,
    pub(super) loss: Option<Chance>,
    pub(super) bursts: Option<Bursts>,
    pub(super) duplication: Option<Chance>,
    pub(super) reordering: Option<Chance>,
    pub(super) held_back: Option<Time>,
    pub(super) corruption: Option<Chance>,
}

/// Losses in bursts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Bursts {
    pub(super) enter: Chance,
    pub(super) leave: Chance,
    pub(super) loss: Option<Chance>,
}

/// A host, or several that differ in a number behind the name and in the address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Host {
    pub(super) name: String,
    /// The one link, if there is only one.
    pub(super) link: Option<String>,
    pub(super) addresses: Vec<String>,
    /// So many: `NAME1` with the first addresses, `NAME2` with those behind them, and so on.
    pub(super) count: Option<u32>,
    #[serde(default)]
    pub(super) program: Vec<Program>,
}

/// What runs on a host.
#[derive(Debug, Deserialize)]
#[serde(tag = "run", deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(super) enum Program {
    /// `ostia serve`: a folder, or files that are made up.
    Serve { dir: Option<PathBuf>, files: Option<BTreeMap<String, Size>>, port: Option<u16> },
    /// `ostia echo`.
    Echo { port: Option<u16> },
    /// Downloads, and compares with the file that is served, or with a hash.
    Download { url: String, times: Option<u32>, sha256: Option<String> },
    /// Has random bytes echoed, and compares.
    EchoClient { to: String, bytes: Option<Size>, times: Option<u32>, pause: Option<Time> },
}

/// A time in which some hosts of a link can't reach its others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Cut {
    /// The one link, if there is only one.
    pub(super) link: Option<String>,
    pub(super) from: Time,
    pub(super) until: Time,
    pub(super) hosts: Vec<String>,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Scenario, Failure> {
    let name = path.display();
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    file.map_err(|error| Failure::usage(format!("cannot read {name}: {error}"), "name a file with a scenario"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Failure::usage(format!("{name} is longer than 1 MiB"), "name a file with a scenario"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{name}: not UTF-8 text"), "write the file in UTF-8, as TOML must be"))?;
    toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Failure::usage(
            format!("{name}:{line}:{column}: {}", error.message()),
            "write it so; `ostia sim --help` tells all that a scenario can have",
        )
    })
}

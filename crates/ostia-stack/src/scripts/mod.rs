//! Scripts in packetdrill's language, run under virtual time: each file in `scripts/` states one rule of TCP.
//!
//! The stack runs in this process, over one link of bare IP packets, and its clock is the script's: every time is checked to
//! the microsecond. What arrives and what must be sent is written as `packetdrill` has it (github.com/google/packetdrill), with
//! sequence numbers and timestamps counted from those of the SYNs. Every field that a line names must be so, nothing else may
//! be sent, and every octet of data is checked to be the right one of its stream. A script runs over IPv4 and over IPv6, with
//! an MTU of 1500 and of 1520, so that its lengths are those of both.
//!
//! Beyond packetdrill's language there are comments: `// only: ipv4`, and `// ostia: ...` for what it can't say (see
//! `Run::apply` for a script's settings and `Run::note` and `Shape` for those of a line).

mod calls;
mod checks;
mod info;
mod lex;
mod mutants;
mod packet;
mod parse;
mod peer;
mod run;
mod script;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{eprintln, format, fs, println, vec};

/// A script's family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Family; 2] = [Family::V4, Family::V6];

    fn name(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    /// The stack's address, its prefix, and the peer's address: packetdrill's defaults.
    fn addresses(self) -> (IpAddr, u8, IpAddr) {
        match self {
            Family::V4 => (Ipv4Addr::new(192, 168, 0, 1).into(), 16, Ipv4Addr::new(192, 0, 2, 1).into()),
            Family::V6 => {
                let local = Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1);
                (local.into(), 48, Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0x8888, 0, 0, 0, 1).into())
            }
        }
    }

    /// What an IPv6 header is longer than an IPv4 header, so that the same MSS fits.
    fn extra(self) -> u32 {
        if self == Family::V6 { 20 } else { 0 }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.sort();
    paths
}

/// The folders of scripts.
fn topics() -> Vec<String> {
    sorted(&root()).iter().filter(|path| path.is_dir()).filter_map(|path| Some(path.file_name()?.to_str()?.to_string())).collect()
}

/// The scripts of a folder.
fn files(topic: &str) -> Vec<PathBuf> {
    sorted(&root().join(topic)).into_iter().filter(|path| path.extension().is_some_and(|end| end == "pkt")).collect()
}

/// Runs a script over each family that it is for: how many runs there were, and what failed.
fn run_file(path: &Path) -> (usize, Vec<String>) {
    let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let script = match parse::parse(&text) {
        Ok(script) => script,
        Err((line, error)) => return (0, vec![format!("{name}:{line}: {error}")]),
    };
    let only = script.notes.iter().find(|note| note.words.first().is_some_and(|word| word == "only"));
    let only = only.and_then(|note| note.words.get(1));
    let families = Family::BOTH.into_iter().filter(|family| only.is_none_or(|only| only == family.name()));
    let (mut runs, mut failures) = (0, vec![]);
    for family in families {
        runs += 1;
        if let Err((line, error)) = run::run(&script, family) {
            failures.push(format!("{name}:{line} ({}): {error}", family.name()));
        }
    }
    (runs, failures)
}

/// Prints a count, past the test runner that keeps the output of tests that pass.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Runs all scripts of a folder.
fn run_topic(topic: &str) {
    let (mut runs, mut failures) = (0, vec![]);
    let files = files(topic);
    for path in &files {
        let (ran, failed) = run_file(path);
        runs += ran;
        failures.extend(failed);
    }
    println!("{topic}: {} files, {runs} runs (v4 and v6)", files.len());
    for failure in &failures {
        eprintln!("{failure}");
    }
    assert!(failures.is_empty(), "{} of {runs} runs failed", failures.len());
}

macro_rules! topics {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run_topic(stringify!($name));
            }
        )*

        #[test]
        fn every_folder_has_a_test_and_names_its_rule() {
            assert_eq!(topics(), [$(stringify!($name)),*]);
            let (mut count, mut runs) = (0, 0);
            for topic in topics() {
                for path in files(&topic) {
                    let text = fs::read_to_string(&path).expect("a script can be read");
                    let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
                    let comment = comment.join(" ");
                    let names = ["RFC ", "Linux", "POSIX", "CVE-", "BSD", "manual"].iter().any(|source| comment.contains(source));
                    assert!(names, "{} names no source", path.display());
                    count += 1;
                    runs += if text.contains("// only: ") { 1 } else { 2 };
                }
            }
            say(&format!("scripts: {count} files, {runs} runs (v4 and v6)"));
            assert!(count >= 150, "{count} scripts");
        }
    };
}

topics!(
    ack backlog bad blind close keepalive mtu nagle open options
    paws recovery reorder reset retransmit timers timewait urgent window
);

/// Nothing that is sent may go without a line: the interpreter would be of no use if it overlooked some.
#[test]
fn no_line_of_what_is_sent_can_be_left_out() {
    let (mut count, mut overlooked) = (0, vec![]);
    for path in topics().iter().flat_map(|topic| files(topic)) {
        let text = fs::read_to_string(&path).expect("a script can be read");
        let script = parse::parse(&text).expect("a script can be parsed");
        let families = Family::BOTH.into_iter().find(|family| {
            let other = Family::BOTH.into_iter().find(|other| other != family).map_or("", Family::name);
            !text.contains(&format!("// only: {other}"))
        });
        let family = families.expect("a script is for one family at least");
        for (at, event) in script.events.iter().enumerate() {
            if matches!(event.action, script::Action::Sent(_)) {
                count += 1;
                if run::run_without(&script, family, Some(at)).is_ok() {
                    overlooked.push(format!("{}:{}", path.display(), event.line));
                }
            }
        }
    }
    say(&format!("scripts: each of {count} lines of what is sent was left out, and missed"));
    assert!(overlooked.is_empty(), "{overlooked:#?}");
}

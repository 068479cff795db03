//! What the tests have captured, read by a program that nobody here wrote: tshark must find nothing malformed in it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::suite::Suite;

/// Reads every capture that the tests of this run have written.
pub fn part(suite: &mut Suite<'_>) {
    const NAME: &str = "captures read by tshark";
    let began = Instant::now();
    println!("\n== {NAME}");
    let captures = match captures(suite) {
        Ok(captures) => captures,
        Err(error) => {
            println!("{error}");
            return suite.tally.add(NAME, Default::default(), Default::default(), false);
        }
    };
    if Command::new("tshark").arg("--version").output().is_err() {
        return suite.tally.skip_runner(NAME, "needs the Debian package tshark");
    }
    let mut packets = 0;
    for capture in &captures {
        match read(capture) {
            Ok(count) => packets += count,
            Err(error) => {
                println!("{}: {error}", capture.display());
                suite.tally.add(NAME, Default::default(), Default::default(), false);
            }
        }
    }
    println!("captures: {} files with {packets} packets", captures.len());
    suite.took(NAME, began.elapsed());
}

fn captures(suite: &Suite<'_>) -> Result<Vec<PathBuf>, String> {
    let folder = suite.captures();
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pcapng"));
    paths.sort();
    if paths.is_empty() { Err(format!("no test has written a capture to {}", folder.display())) } else { Ok(paths) }
}

/// How many packets a capture has, if all of them are well formed.
fn read(capture: &PathBuf) -> Result<usize, String> {
    // What connections carry there is random, whatever their ports say: nobody may take it for HTTP, and then for broken.
    let arguments = [
        "--disable-protocol",
        "http",
        "-n",
        "-T",
        "fields",
        "-e",
        "frame.number",
        "-e",
        "_ws.malformed",
        "-o",
        "tcp.check_checksum:TRUE",
        "-r",
    ];
    let output = Command::new("tshark").args(arguments).arg(capture).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find(|line| line.split('\t').nth(1).is_some_and(|malformed| !malformed.is_empty())) {
        Some(line) => Err(format!("malformed: packet {line}")),
        None => Ok(text.lines().count()),
    }
}

//! What came of a simulation, for people and for programs.

use crate::errors::Failure;
use crate::output;
use ostia_sim::{End, Report, State, Tally};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// The most failures of one seed that are told.
const MOST_TOLD: usize = 5;
/// The most seeds that are named.
const MOST_NAMED: usize = 20;

/// Tells what came of a world; with `closely`, what its programs said, too. Why it has failed, if it has.
pub(super) fn world(report: &Report, took: Duration, closely: bool) -> Option<String> {
    let why = why_failed(report);
    if closely && !output::is_json() {
        for note in &report.notes {
            output::print(&format!("{:>11.6} s  {:<12} {}", note.at.as_secs_f64(), note.host, note.text), || Value::Null);
        }
    }
    output::print(&line(report, took, why.as_deref()), || object(report, took, why.as_deref(), closely));
    why
}

fn line(report: &Report, took: Duration, why: Option<&str>) -> String {
    let frames = &report.frames;
    let faults: Vec<String> =
        faults(frames).filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
    let faults = if faults.is_empty() { String::new() } else { format!(" ({})", faults.join(", ")) };
    format!(
        "seed {}  {}  {:.3} s in {:.3} s  {} frames{faults}  {}",
        report.seed,
        report.hash_text(),
        report.time.as_secs_f64(),
        took.as_secs_f64(),
        frames.sent,
        why.map_or_else(|| "ok".to_owned(), |why| format!("FAILED: {why}")),
    )
}

/// What happened to frames that should not.
fn faults(frames: &Tally) -> impl Iterator<Item = (&'static str, u64)> {
    frames.table().into_iter().filter(|(name, _)| !["sent", "bytes", "delivered"].contains(name))
}

fn object(report: &Report, took: Duration, why: Option<&str>, closely: bool) -> Value {
    let counts = |tally: &Tally| -> Map<String, Value> {
        tally.table().into_iter().map(|(name, count)| (name.replace('-', "_"), Value::from(count))).collect()
    };
    let mut object = json!({
        "event": "seed",
        "seed": report.seed,
        "hash": report.hash_text(),
        "events": report.events,
        "seconds": report.time.as_secs_f64(),
        "took_seconds": took.as_secs_f64(),
        "end": match &report.end { End::Done => "done", End::Late => "late", End::Stuck(_) => "stuck" },
        "frames": counts(&report.frames),
        "ok": why.is_none(),
        "failed": why,
    });
    if closely && let Value::Object(fields) = &mut object {
        let links: Map<String, Value> = report.links.iter().map(|(name, tally)| (name.clone(), counts(tally).into())).collect();
        fields.insert("links".to_owned(), links.into());
        let notes =
            report.notes.iter().map(|note| json!({ "seconds": note.at.as_secs_f64(), "host": note.host, "text": note.text }));
        fields.insert("notes".to_owned(), notes.collect());
        let programs = report.programs.iter().map(|program| {
            let (state, at) = match &program.state {
                State::Done(at) => ("done", Some(at.as_secs_f64())),
                State::Failed(at, _) => ("failed", Some(at.as_secs_f64())),
                State::Running => ("running", None),
            };
            json!({ "host": program.host, "name": program.name, "client": program.client, "state": state, "seconds": at })
        });
        fields.insert("programs".to_owned(), programs.collect());
    }
    object
}

/// Why a world is not as it should be.
fn why_failed(report: &Report) -> Option<String> {
    let failures: Vec<String> = report
        .failures()
        .map(|program| match &program.state {
            State::Failed(at, why) => format!("{} on {} at {:.3} s: {why}", program.name, program.host, at.as_secs_f64()),
            _ => format!("{} on {} was not done", program.name, program.host),
        })
        .collect();
    let mut all: Vec<String> = match &report.end {
        End::Stuck(why) => vec![why.clone()],
        End::Late if !failures.is_empty() => vec![format!("the time was over at {:.3} s", report.time.as_secs_f64())],
        _ => Vec::new(),
    };
    let more = failures.len().saturating_sub(MOST_TOLD);
    all.extend(failures.into_iter().take(MOST_TOLD));
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all.extend(report.uncaptured.clone());
    (!all.is_empty()).then(|| all.join("; "))
}

/// Tells what came of all seeds.
pub(super) fn summary(seeds: u64, failed: &[(u64, String)]) {
    let names: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    output::print(
        &format!("{seeds} seeds, {} failed", names.len()),
        || json!({ "event": "summary", "seeds": seeds, "failed": names }),
    );
}

/// The failure of the command, with the command that replays the first.
pub(super) fn failure(scenario: &Path, failed: &[(u64, String)], seeds: u64) -> Failure {
    let (first, why) = failed.first().map_or((0, ""), |(seed, why)| (*seed, why.as_str()));
    let what = match failed.len() {
        1 => format!("seed {first}: {why}"),
        count => {
            let named: Vec<String> = failed.iter().take(MOST_NAMED).map(|(seed, _)| seed.to_string()).collect();
            let more = if count > MOST_NAMED { ", …" } else { "" };
            format!("{count} of {seeds} seeds failed ({}{more}); seed {first}: {why}", named.join(", "))
        }
    };
    Failure::new(what, format!("replay it: ostia sim {} --seed {first} --pcap captures", quoted(scenario)))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // It is no flag.
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(plain) && !text.is_empty() { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_replays_can_be_pasted() {
        assert_eq!(quoted(Path::new("a/b-1.toml")), "a/b-1.toml");
        assert_eq!(quoted(Path::new("-x.toml")), "./-x.toml");
        assert_eq!(quoted(Path::new("it's here.toml")), r"'it'\''s here.toml'");
        let one = failure(Path::new("x.toml"), &[(7, "why".to_owned())], 1);
        assert_eq!((one.what.as_str(), one.code), ("seed 7: why", 1));
        assert!(one.remedy.contains("ostia sim x.toml --seed 7 --pcap "));
        let many = failure(Path::new("x.toml"), &[(7, "why".to_owned()), (9, "so".to_owned())], 200);
        assert_eq!(many.what, "2 of 200 seeds failed (7, 9); seed 7: why");
    }
}

//! docs/rfc.md and docs/deviations.md name places and tests: each must be there, and every requirement of RFC 9293 in the first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page(name: &str) -> String {
    read(&root().join("docs").join(name))
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The cells of each row of the tables, without the tables' heads.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_row = |at: usize| lines.get(at).is_some_and(|line| line.starts_with('|'));
    let is_rule = |at: usize| lines.get(at).is_some_and(|line| line.starts_with("|---"));
    let body = (0..lines.len()).filter(|&at| is_row(at) && !is_rule(at) && !is_rule(at + 1));
    body.map(|at| lines[at].trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The file of a place: `wire/...` is of ostia-wire, `tests/...` of this crate's tests, all else of its sources.
fn file(name: &str) -> PathBuf {
    let stack = Path::new(env!("CARGO_MANIFEST_DIR"));
    match name.split_once('/') {
        Some(("wire", rest)) => root().join("crates/ostia-wire/src").join(rest),
        Some(("tests", _)) => stack.join(name),
        _ => stack.join("src").join(name),
    }
}

/// The lines of a source that define a name.
fn definitions(source: &str, name: &str) -> Vec<usize> {
    let starts =
        [format!("fn {name}"), format!("const {name}"), format!("struct {name}"), format!("enum {name}"), format!("pub {name}:")];
    let defines = |line: &str| {
        let whole = |start: &String| {
            line.find(start.as_str()).is_some_and(|at| {
                let rest = &line[at + start.len()..];
                start.ends_with(':') || !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
            })
        };
        // A variant of an enumeration stands alone.
        starts.iter().any(whole) || line.trim().starts_with(&format!("{name}(")) && line.trim().ends_with("),")
    };
    source.lines().enumerate().filter(|(_, line)| defines(line)).map(|(at, _)| at).collect()
}

/// Why a quoted place or test isn't there.
fn fault(quoted: &str, must_be_test: bool) -> Option<String> {
    if quoted.ends_with(".pkt") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(quoted);
        return (!script.is_file()).then(|| format!("no script {quoted}"));
    }
    let Some((name, item)) = quoted.split_once(": ") else {
        let here = [root().join(quoted), Path::new(env!("CARGO_MANIFEST_DIR")).join(quoted)];
        return here.iter().all(|path| !path.exists()).then(|| format!("no file {quoted}"));
    };
    let path = file(name);
    let Ok(source) = fs::read_to_string(&path) else { return Some(format!("no file {}", path.display())) };
    let found = definitions(&source, item);
    if found.is_empty() {
        return Some(format!("nothing called {item} in {name}"));
    }
    let lines: Vec<&str> = source.lines().collect();
    let is_test = |at: &usize| at.checked_sub(1).and_then(|above| lines.get(above)).is_some_and(|line| line.trim() == "#[test]");
    (must_be_test && !found.iter().any(is_test)).then(|| format!("{item} in {name} is no test"))
}

#[test]
fn every_place_and_test_that_the_pages_name_is_there() {
    let mut count = 0;
    let mut faults = Vec::new();
    for name in ["rfc.md", "deviations.md"] {
        let text = page(name);
        faults.extend(quoted(&text).iter().filter_map(|quoted| fault(quoted, false)));
        count += quoted(&text).len();
        // The last column has tests, whatever else it says.
        for row in rows(&text) {
            let Some(tests) = row.last() else { continue };
            faults.extend(quoted(tests).iter().filter_map(|quoted| fault(quoted, true)));
        }
    }
    assert!(count > 400, "{count} names");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_row_has_a_place_and_a_test_or_says_why_not() {
    let mut faults = Vec::new();
    for (name, columns) in [("rfc.md", 4), ("deviations.md", 5)] {
        for row in rows(&page(name)) {
            let shape = row.len() == columns || name == "deviations.md" && row.len() == 6;
            let said = |cell: &str, words: &[&str]| !quoted(cell).is_empty() || words.iter().any(|word| cell.starts_with(word));
            let [.., place, test] = row[..] else { panic!("{row:?}") };
            if !shape || !said(place, &["Not met: ", "as "]) || !said(test, &["Not shown"]) {
                faults.push(row.join(" | "));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn no_requirement_of_rfc_9293_is_left_out_or_comes_twice() {
    let text = page("rfc.md");
    let section = text.split("\n## ").find(|section| section.starts_with("RFC 9293")).expect("the section of RFC 9293");
    let rows = rows(section);
    let numbers = rows.iter().filter_map(|row| row.first()).flat_map(|cell| cell.split(", "));
    let named: Vec<&str> =
        numbers.filter(|number| ["MUST-", "SHLD-", "MAY-", "REC-"].iter().any(|kind| number.starts_with(kind))).collect();
    // As its appendix B counts them.
    let all = [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)];
    let all: BTreeSet<String> =
        all.iter().flat_map(|(kind, last)| (1..=*last).map(move |number| format!("{kind}-{number}"))).collect();
    let missing: Vec<_> = all.iter().filter(|number| !named.contains(&number.as_str())).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!(named.len(), all.len(), "some come twice, or are none of it");
}

#[test]
fn what_is_not_there_is_noticed() {
    assert_eq!(fault("tcp/arrive.rs: is_acceptable", false), None);
    assert_eq!(fault("config.rs: retries", false), None);
    assert_eq!(fault("event.rs: Trouble", false), None);
    for (wrong, test) in [
        ("open/nothing.pkt", false),
        ("docs/nothing.md", false),
        ("tcp/nothing.rs: is_acceptable", false),
        ("tcp/arrive.rs: is_accept", false),
        ("tcp/arrive.rs: acceptable", false),
        ("tcp/arrive.rs: is_acceptable", true),
    ] {
        assert!(fault(wrong, test).is_some(), "{wrong}");
    }
}

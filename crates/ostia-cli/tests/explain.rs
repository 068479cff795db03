//! `ostia stack explain` as a program: its page, its JSON, its capture, and what it refuses.

use std::path::Path;
use std::process::{Command, Output};

fn explain(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ostia")).args(["stack", "explain"]).args(args).output().expect("it runs")
}

fn page(args: &[&str]) -> String {
    let output = explain(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_page_is_the_same_each_time_and_plain_when_piped() {
    let first = page(&["--text", "some words"]);
    assert_eq!(first, page(&["--text", "some words", "--seed", "1", "--ip", "v4", "--close", "active"]));
    for part in ["1. ", "2. ", "3. ", "4. ", "5. "] {
        assert!(first.lines().any(|line| line.starts_with(part)), "{part}");
    }
    assert!(first.is_ascii() && first.lines().all(|line| line.len() <= 80), "{first}");
    assert!(page(&["--color", "always"]).contains("\x1b[1m"));
}

#[test]
fn programs_get_an_object_a_line() {
    for args in [&["--json"][..], &["--json", "--ip", "v6", "--close", "reset"], &["--json", "--lose", "4", "--lose", "6"]] {
        let text = page(args);
        let kinds: Vec<String> = text
            .lines()
            .map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
                object["kind"].as_str().expect("a kind").to_owned()
            })
            .collect();
        assert_eq!((kinds.first().map(String::as_str), kinds.last().map(String::as_str)), (Some("scene"), Some("summary")));
        for kind in ["call", "state", "frame", "arrival", "layer"] {
            assert!(kinds.iter().any(|one| one == kind), "{kind}");
        }
    }
}

#[test]
fn a_capture_is_written_where_asked() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("link.pcapng");
    page(&["--pcap", path.to_str().expect("text")]);
    let capture = std::fs::read(&path).expect("written");
    assert!(capture.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    assert!(String::from_utf8_lossy(&capture).contains("frame 1 of the story"));
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do_instead() {
    let folder = tempfile::tempdir().expect("a directory");
    let missing = folder.path().join("missing").join("link.pcapng");
    let missing = missing.to_str().expect("text");
    let long = "x".repeat(9000);
    for (args, code, words) in [
        (&["--lose", "500"][..], 2, &["500", "no such frame", "hint"][..]),
        (&["--lose", "0"], 2, &["--lose"]),
        (&["--lose", "first"], 2, &["--lose"]),
        (&["--text", ""], 2, &["--text", "something to send"]),
        (&["--text", &long], 2, &["9000", "8192"]),
        (&["--ip", "v5"], 2, &["--ip", "v4", "v6"]),
        (&["--close", "gently"], 2, &["--close", "active", "passive", "simultaneous", "reset"]),
        (&["--seed=-1"], 2, &["--seed"]),
        (&["--pcap", missing], 1, &[missing, "hint", "directory"]),
        (&["more"], 2, &["more"]),
    ] {
        let output = explain(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: no {word:?} in {said}");
        }
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert!(!Path::new(missing).exists());
}

#[test]
fn stack_alone_says_what_it_can_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_ostia")).arg("stack").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("explain"));
}

//! The same sequences of calls on the kernel's sockets and on a world's: every answer, error and mask is compared.
//!
//! Both talk to themselves over loopback. What is known to differ stands in a table of its own, with a reason, and must differ.
#![cfg(target_os = "linux")]

mod api;
mod control;
mod datagrams;
mod differences;
mod edges;
mod errors;
mod opening;
mod options;
mod polling;
mod run;
mod streams;

use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use api::Api;
use ostia_posix::{Setup, World};
use run::Run;

/// No sequence takes nearly as long, on however slow a machine.
const HANG: Duration = Duration::from_secs(120);

/// A named sequence.
type Sequence = (&'static str, fn(&mut Run));

fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED {name}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("OSTIA_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        // One write call per line: lines of tests that run at the same time do not mix.
        file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()))
            .expect("the list of skipped tests can be written");
    }
}

fn on(api: Api, sequence: fn(&mut Run), v6: bool) -> Vec<String> {
    let mut run = Run::new(api, v6);
    sequence(&mut run);
    run.finish()
}

/// What the kernel and a new world say. A sequence that hangs is named, and ends the test.
fn both((name, sequence): Sequence, v6: bool) -> (Vec<String>, Vec<String>) {
    let (done, watch) = mpsc::channel();
    let watchdog = thread::spawn(move || {
        if watch.recv_timeout(HANG) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::exit(101);
        }
    });
    let said = both_unwatched(sequence, v6);
    done.send(()).expect("the watchdog waits");
    watchdog.join().expect("the watchdog ends");
    said
}

fn both_unwatched(sequence: fn(&mut Run), v6: bool) -> (Vec<String>, Vec<String>) {
    let api = Api::world(World::new(Setup::default()).expect("a world"));
    let ours = on(api, sequence, v6);
    api.release();
    (on(Api::Kernel, sequence, v6), ours)
}

/// The lines that differ, side by side.
fn differences(kernel: &[String], ours: &[String]) -> Vec<String> {
    let longest = kernel.len().max(ours.len());
    let line = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_else(|| "nothing".into());
    let pairs = (0..longest).map(|at| (at, line(kernel, at), line(ours, at)));
    pairs.filter(|(_, a, b)| a != b).map(|(at, a, b)| format!("  {at}: kernel {a} | here {b}")).collect()
}

/// The families that the kernel has here.
fn families(test: &str) -> Vec<bool> {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        skip(&format!("{test}/v6"), "the kernel has no IPv6 loopback address");
        return vec![false];
    }
    vec![false, true]
}

#[test]
fn the_kernel_and_a_world_answer_alike() {
    let tables = [opening::ALL, streams::ALL, errors::ALL, polling::ALL, edges::ALL, options::ALL, datagrams::ALL, control::ALL];
    let (mut runs, mut answers, mut wrong) = (0, 0, Vec::new());
    let all: Vec<Sequence> = tables.into_iter().flatten().copied().collect();
    for v6 in families("the_kernel_and_a_world_answer_alike") {
        for &(name, sequence) in &all {
            let (kernel, ours) = both((name, sequence), v6);
            (runs, answers) = (runs + 1, answers + kernel.len());
            assert!(!kernel.is_empty(), "{name} makes no call");
            let found = differences(&kernel, &ours);
            if !found.is_empty() {
                wrong.push(format!("{name} (IPv{}):\n{}", if v6 { 6 } else { 4 }, found.join("\n")));
            }
        }
    }
    println!("posix: {} sequences, {runs} runs, {answers} answers of the kernel's compared", all.len());
    assert!(all.len() >= 60, "{} sequences", all.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_known_to_differ_does() {
    let mut same = Vec::new();
    for &(name, reason, sequence) in differences::ALL {
        let (kernel, ours) = both((name, sequence), false);
        println!("differs: {name}: {reason}");
        if kernel == ours {
            same.push(name);
        }
    }
    assert!(same.is_empty(), "no different any more: {same:?}");
}

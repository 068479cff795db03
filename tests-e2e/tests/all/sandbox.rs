//! Without io_uring: forbidden as containers do (EPERM), or missing from the kernel (ENOSYS).

use std::process::Command;

use crate::downloads::{Files, whole};
use crate::support::case::{Case, Driver};
use crate::support::process::{Confinement, Process, ostia};
use crate::support::server::Launch;
use crate::support::site::{Pattern, Site};
use crate::support::{scaled, seed};

const EPERM: i32 = libc::EPERM;
const ENOSYS: i32 = libc::ENOSYS;

fn without_io_uring(errno: i32) -> Confinement {
    Confinement { io_uring_fails: Some(errno), ..Confinement::default() }
}

fn case(name: &'static str) -> Case {
    Case { name, driver: Driver::Auto }
}

#[test]
fn the_filter_does_forbid_io_uring() {
    for errno in [EPERM, ENOSYS] {
        let output = Command::new(env!("CARGO_BIN_EXE_without-io-uring"))
            .args([&errno.to_string(), "--probe"])
            .output()
            .expect("the helper can be run");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, format!("{errno}\n").as_bytes());
    }
}

#[test]
fn downloads_are_right_where_io_uring_is_forbidden() {
    downloads_are_right(case(concat!(module_path!(), "::downloads_are_right_where_io_uring_is_forbidden")), EPERM);
}

#[test]
fn downloads_are_right_where_io_uring_is_missing() {
    downloads_are_right(case(concat!(module_path!(), "::downloads_are_right_where_io_uring_is_missing")), ENOSYS);
}

fn downloads_are_right(case: Case, errno: i32) {
    if !case.has("curl") {
        return;
    }
    let site = Site::new();
    let length = scaled(128 << 20, 1 << 30) + 54_321;
    let expected = site.fill("big", Pattern(seed(case.name)), length);
    let files = Files::make(&site, case.name);
    let server = Launch::new(case, site.root()).confined(without_io_uring(errno)).start();
    assert_eq!(whole(&server.url("/big")), expected);
    files.fetch_at_once(&server);
    server.stop();
}

#[test]
fn the_doctor_says_that_epoll_is_used_and_why() {
    for (errno, words) in [(EPERM, ["EPERM", "not permitted", "seccomp"]), (ENOSYS, ["ENOSYS", "not implemented", "no io_uring"])]
    {
        let ended = Process::start(without_io_uring(errno).command(ostia()).arg("doctor")).wait();
        let said = ended.output;
        assert!(ended.status.success(), "{said}\n{}", ended.errors);
        assert!(said.contains("epoll"), "{said}");
        assert!(said.contains("io_uring"), "{said}");
        assert!(words.iter().any(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn the_doctor_finds_io_uring_where_it_is() {
    let name = concat!(module_path!(), "::the_doctor_finds_io_uring_where_it_is");
    if Case::begin(name, Driver::IoUring).is_none() {
        return;
    }
    let ended = Process::start(Command::new(ostia()).arg("doctor")).wait();
    assert!(ended.status.success(), "{}", ended.errors);
    let driver = ended
        .output
        .lines()
        .find(|line| line.to_ascii_lowercase().contains("driver"))
        .unwrap_or_else(|| panic!("no driver named in\n{}", ended.output));
    assert!(driver.contains("io_uring"), "{driver}");
}

#[test]
fn insisting_on_io_uring_where_it_is_forbidden_fails_with_a_remedy() {
    for errno in [EPERM, ENOSYS] {
        let site = Site::new();
        let case = case(module_path!());
        let ended = Launch::new(case, site.root()).driver(Driver::IoUring).confined(without_io_uring(errno)).spawn().wait();
        assert!(!ended.status.success(), "it ran: {}", ended.output);
        assert!(ended.errors.contains("io_uring"), "{}", ended.errors);
        assert!(ended.errors.contains("epoll"), "{}", ended.errors);
        assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
    }
}

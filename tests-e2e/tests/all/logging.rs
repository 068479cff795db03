//! Log files: replaced by size, age and count and opened anew under load, without a lost or torn line; full disks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::case::{Case, Driver};
use crate::support::eventually;
use crate::support::http::Client;
use crate::support::server::{Launch, Server};
use crate::support::site::Site;

/// Requests of each of the clients.
const EACH: usize = 600;
const CLIENTS: usize = 4;

fn case(name: &'static str) -> Case {
    Case { name, driver: Driver::Auto }
}

fn start(name: &'static str, site: &Site, log: &Path, arguments: &[&str]) -> Server {
    let mut launch = Launch::new(case(name), site.root()).argument("--log-file").argument(log.to_str().expect("text"));
    for argument in arguments {
        launch = launch.argument(*argument);
    }
    launch.start()
}

/// Several clients ask for names that no other asks for; `meanwhile` runs until they are done.
fn load(server: &Server, mut meanwhile: impl FnMut(usize)) {
    let address = server.address;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            thread::spawn(move || {
                let mut connection = Client::connect(address);
                for number in 0..EACH {
                    assert_eq!(connection.get(&format!("/name-{client}-{number}")).head.status, 404);
                }
            })
        })
        .collect();
    let mut round = 0;
    while clients.iter().any(|client| !client.is_finished()) && round < 40 {
        meanwhile(round);
        round += 1;
    }
    for client in clients {
        client.join().expect("every request is answered");
    }
}

/// Every line of every log file in the folder: each is whole, and each request is there once.
fn all_lines_are_there(folder: &Path) -> usize {
    let mut seen = BTreeSet::new();
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("it can be read") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a log is text");
        files += 1;
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line: {:?}", &text[text.len().saturating_sub(80)..]);
        for line in text.lines() {
            let rest = line.strip_prefix("127.0.0.1 - - [").unwrap_or_else(|| panic!("torn: {line:?}"));
            let name = rest.split("\"GET /").nth(1).and_then(|rest| rest.split(' ').next());
            assert!(rest.ends_with(" HTTP/1.1\" 404 14"), "torn: {line:?}");
            assert!(seen.insert(name.expect("a name").to_owned()), "twice: {line:?}");
        }
    }
    let wanted = (0..CLIENTS).flat_map(|client| (0..EACH).map(move |number| format!("name-{client}-{number}")));
    assert_eq!(seen, wanted.collect());
    files
}

#[test]
fn replacing_by_size_under_load_loses_and_tears_nothing() {
    let (site, logs) = (Site::new(), Site::new());
    let log = logs.path("log");
    let server = start("by_size", &site, &log, &["--log-max-size", "10kB", "--log-keep", "9999"]);
    load(&server, |_| thread::yield_now());
    let ended = server.stop();
    assert!(ended.errors.is_empty(), "{}", ended.errors);
    assert!(all_lines_are_there(logs.root()) > 10);
    for entry in fs::read_dir(logs.root()).expect("it can be read") {
        assert!(entry.and_then(|entry| entry.metadata()).expect("a file").len() <= 10_000);
    }
}

#[test]
fn moving_the_file_and_sigusr1_under_load_lose_and_tear_nothing() {
    let (site, logs) = (Site::new(), Site::new());
    let log = logs.path("log");
    let server = start("sigusr1", &site, &log, &[]);
    load(&server, |round| {
        // As logrotate does it: move away, then ask for a new file.
        fs::rename(&log, logs.path(&format!("moved-{round}"))).expect("it is there");
        server.process.signal(Signal::USR1);
        assert!(eventually(|| log.exists()), "not opened anew");
    });
    server.stop();
    assert!(all_lines_are_there(logs.root()) > 2);
}

#[test]
fn only_so_many_are_kept_and_the_newest_is_the_first() {
    let (site, logs) = (Site::new(), Site::new());
    let log = logs.path("log");
    let server = start("kept", &site, &log, &["--log-max-size", "1kB", "--log-keep", "2"]);
    load(&server, |_| thread::yield_now());
    server.stop();
    let mut names: Vec<_> = fs::read_dir(logs.root())
        .expect("it can be read")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
}

#[test]
fn an_old_file_is_replaced() {
    let (site, logs) = (Site::new(), Site::new());
    let log = logs.path("log");
    let server = start("age", &site, &log, &["--log-max-age", "1ms"]);
    let mut client = server.connect();
    assert!(eventually(|| {
        client.get("/name");
        logs.path("log.2").exists()
    }));
    server.stop();
}

#[test]
fn a_full_disk_stops_nothing_and_is_told_of_once() {
    let site = Site::new();
    site.write("file", "content");
    let server = start("full", &site, Path::new("/dev/full"), &["--metrics", "127.0.0.1:0"]);
    let metrics =
        server.process.output.wait_for(|line| line.strip_prefix("metrics on http://")?.strip_suffix("/metrics")?.parse().ok());
    let mut client = server.connect();
    let count = |name: &str| {
        let page = Client::connect(metrics.expect("announced")).get("/metrics").text();
        let line = page.lines().find(|line| line.starts_with(name)).expect("the counter is there").to_owned();
        line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a number")
    };
    // Tried again, and each time counted.
    assert!(eventually(|| {
        assert_eq!(client.get("/file").text(), "content");
        count("ostia_log_write_failures_total") >= 2
    }));
    assert_eq!(count("ostia_log_lines_written_total"), 0);
    drop(client);
    let ended = server.stop();
    assert_eq!(ended.errors.matches("cannot write to the log /dev/full").count(), 1, "{}", ended.errors);
}

#[test]
fn lines_are_objects_and_the_access_log_has_a_place_of_its_own() {
    let (site, logs) = (Site::new(), Site::new());
    let (log, access) = (logs.path("log"), logs.path("access"));
    let arguments = ["--log-format=json", "--access-log", access.to_str().expect("text"), "--log-level=debug"];
    let server = start("json", &site, &log, &arguments);
    server.get("/na%1bme");
    let mut client = server.connect();
    client.send(b"GET /\x1b[2J\"\n HTTP/1.1\r\n\r\n");
    client.end_is_reached();
    server.stop();
    let objects = |path: &Path| -> Vec<Value> {
        let text = fs::read_to_string(path).expect("it was made");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))).collect()
    };
    let requests = objects(&access);
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests.iter().all(|one| one["type"] == "access" && one["status"].is_u64()), "{requests:?}");
    let raw = fs::read_to_string(&access).expect("it was made");
    assert!(!raw.contains('\x1b'), "{raw:?}");
    assert!(objects(&log).iter().all(|one| one["type"] == "log" && one["level"].is_string()));
}

#[test]
fn the_access_log_can_be_switched_off_or_kept_on_standard_output() {
    let (site, logs) = (Site::new(), Site::new());
    let log = logs.path("log");
    for (to, printed) in [("off", 0), ("-", 1)] {
        let server = start("switch", &site, &log, &["--access-log", to]);
        server.get("/name");
        let ended = server.stop();
        assert_eq!(ended.output.matches("GET /name").count(), printed, "{}", ended.output);
    }
    assert_eq!(fs::read_to_string(&log).expect("it was made"), "");
}

#[test]
fn an_error_at_the_start_is_in_the_log_too() {
    let (site, logs) = (Site::new(), Site::new());
    let log = logs.path("log");
    let missing = site.path("missing");
    let process = Launch::new(case("start"), &missing).argument("--log-file").argument(log.to_str().expect("text")).spawn();
    let ended = process.wait();
    assert_eq!(ended.status.code(), Some(1));
    for text in [ended.errors, fs::read_to_string(&log).expect("it was made")] {
        assert!(text.contains("no such directory"), "{text}");
    }
}

//! `ostia sim` as a program: the scenarios, the same each time from the same seed, its sweeps, and what it refuses.

#![cfg(unix)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ostia")).arg("sim").args(args).output().expect("it runs")
}

fn scenario(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).to_str().expect("text").to_owned()
}

/// The seed of this run, as a small number.
fn seed() -> u64 {
    std::env::var("OSTIA_SEED").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(1) % 1_000_000
}

fn is_full() -> bool {
    std::env::var_os("OSTIA_REPEAT").is_some_and(|value| value == "full")
}

/// What is printed with `--json`, an object a line, where all goes well.
fn objects(args: &[&str]) -> Vec<Value> {
    let output = sim(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn hashes(objects: &[Value]) -> Vec<&str> {
    objects.iter().filter(|object| object["event"] == "seed").map(|object| object["hash"].as_str().expect("a hash")).collect()
}

/// Sweeps a scenario over some seeds and checks that each is the same when it is replayed by itself.
fn sweep(name: &str, quick: u64) -> Vec<Value> {
    let (from, count) = (seed(), if is_full() { 200 } else { quick });
    let range = format!("{from}..{}", from + count);
    let all = objects(&[&scenario(name), "--seeds", &range]);
    assert_eq!(all.len() as u64, count + 1, "a line for each seed, and the summary");
    assert_eq!(all[count as usize]["failed"], Value::Array(Vec::new()), "{name} {range}");
    let hashes = hashes(&all);
    for (at, hash) in hashes.iter().enumerate() {
        assert!(hashes[..at].iter().all(|other| other != hash), "{name}: two seeds with the same hash, {hash}");
    }
    let replayed = if is_full() { count } else { count.min(2) };
    for at in 0..replayed {
        let again = objects(&[&scenario(name), "--seed", &(from + at).to_string()]);
        assert_eq!(
            self::hashes(&again),
            hashes[at as usize..=at as usize],
            "{name}: seed {} is another when replayed",
            from + at
        );
    }
    all
}

/// The sum of a count over all seeds.
fn sum(all: &[Value], name: &str) -> u64 {
    all.iter().filter_map(|object| object["frames"][name].as_u64()).sum()
}

#[test]
fn ten_clients_download_at_two_percent_loss() {
    let all = sweep("serve.toml", 4);
    assert!(sum(&all, "lost") > 0 && sum(&all, "delivered") > 4_000, "{all:?}");
}

#[test]
fn echo_over_a_slow_link() {
    // One seed in two sees no burst.
    let all = sweep("slow.toml", 40);
    for fault in ["burst", "duplicated", "reordered", "corrupted"] {
        assert!(sum(&all, fault) > 0, "{fault}: {all:?}");
    }
}

#[test]
fn a_cut_heals() {
    let all = sweep("cut.toml", 2);
    assert!(sum(&all, "cut") > 0, "{all:?}");
    let closely = objects(&[&scenario("cut.toml"), "--seed", &seed().to_string()]);
    let notes = closely[0]["notes"].as_array().expect("notes");
    let when = |host: &str| notes.iter().find(|note| note["host"] == host).and_then(|note| note["seconds"].as_f64()).expect(host);
    assert!(when("client2") < 20.0 && when("client1") > 20.0, "{notes:?}");
}

#[test]
fn people_are_told_what_happens() {
    let output = sim(&[&scenario("serve.toml"), "--seed", "5"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && text.contains("http://server/manual.pdf: 307200 bytes, as they should be"), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.starts_with("seed 5  ") && line.ends_with("  ok")), "{text}");
}

#[test]
fn a_capture_is_written_for_each_link_and_seed() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("captures");
    let into = into.to_str().expect("text");
    let with = objects(&[&scenario("serve.toml"), "--seed", "3", "--pcap", into]);
    assert_eq!(hashes(&with), hashes(&objects(&[&scenario("serve.toml"), "--seed", "3"])), "a capture changes nothing");
    objects(&[&scenario("serve.toml"), "--seeds", "3..5", "--pcap", into]);
    for name in ["lan.pcapng", "seed-3/lan.pcapng", "seed-4/lan.pcapng"] {
        let bytes = std::fs::read(Path::new(into).join(name)).expect(name);
        assert!(bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "{name}");
        assert!(bytes.windows(13).any(|window| window == b"dropped: lost"), "{name}");
    }
}

/// A scenario of one's own, in a folder of its own.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("own.toml");
    std::fs::write(&path, text).expect("written");
    (folder, path)
}

const NET: &str = "[[link]]\nname = 'lan'\n[[host]]\nname = 'server'\naddresses = ['10.0.0.1/24']\n";

#[test]
fn a_failing_client_fails_the_command_which_says_how_to_replay_it() {
    let text = format!(
        "{NET}[[host.program]]\nrun = 'serve'\ndir = '.'\n[[host]]\nname = 'client'\naddresses = ['10.0.0.2/24']\n\
         [[host.program]]\nrun = 'download'\nurl = 'http://server/own.toml'\nsha256 = '{}'\n",
        "0".repeat(64)
    );
    let (_folder, path) = written(&text);
    let path = path.to_str().expect("text");
    for (args, says) in [(["--seed", "9"], "seed 9: "), (["--seeds", "9..11"], "2 of 2 seeds failed (9, 10)")] {
        let output = sim(&[&[path][..], &args].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(says) && told.contains("SHA-256 is another"), "{told}");
        assert!(told.contains(&format!("ostia sim {path} --seed 9 --pcap ")), "{told}");
    }
}

#[test]
fn a_world_of_the_machines_own_files_is_the_same_each_time() {
    let text = format!(
        "{NET}[[host.program]]\nrun = 'serve'\ndir = '.'\n[[host]]\nname = 'client'\naddresses = ['10.0.0.2/24']\n\
         [[host.program]]\nrun = 'download'\nurl = 'http://server/own.toml'\n"
    );
    // Copies differ in inodes and times, which nothing may show.
    let (one, other) = (written(&text), written(&text));
    let run = |path: &Path| objects(&[path.to_str().expect("text")]);
    let (one, other) = (run(&one.1), run(&other.1));
    assert_eq!(hashes(&one), hashes(&other));
}

#[test]
fn a_listing_is_the_same_each_time() {
    let text = format!(
        "{NET}[[host.program]]\nrun = 'serve'\ndir = '.'\n[[host]]\nname = 'client'\naddresses = ['10.0.0.2/24']\n\
         [[host.program]]\nrun = 'download'\nurl = 'http://server/?sort=date'\nsha256 = '{}'\n",
        "0".repeat(64)
    );
    let hash = |age: u64| {
        let (_folder, path) = written(&text);
        let changed = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age);
        std::fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(changed)).expect("another date");
        let output = sim(&[path.to_str().expect("text"), "--json"]);
        let told = String::from_utf8_lossy(&output.stdout);
        let object: Value = serde_json::from_str(told.lines().next().expect("a line")).expect("JSON");
        assert!(object["failed"].as_str().is_some_and(|why| why.contains("SHA-256 is another")), "{told}");
        object["hash"].as_str().expect("a hash").to_owned()
    };
    assert_eq!(hash(1_000_000_000), hash(1_500_000_000));
}

#[test]
fn the_last_seeds_that_there_are_end_too() {
    let (_folder, path) = written(NET);
    let all = objects(&[path.to_str().expect("text"), "--seeds", "18446744073709551608..18446744073709551615"]);
    let seeds: Vec<u64> = all.iter().filter_map(|object| object["seed"].as_u64()).collect();
    assert_eq!(seeds, (u64::MAX - 7..u64::MAX).collect::<Vec<u64>>());
}

/// A seed that takes its time, for its capture is one that nobody reads, holds the others up.
#[test]
fn seeds_do_not_run_far_ahead() {
    let (folder, path) = written(NET);
    let into = folder.path().join("captures");
    std::fs::create_dir_all(into.join("seed-0")).expect("a folder");
    let capture = into.join("seed-0/lan.pcapng");
    assert!(Command::new("mkfifo").arg(&capture).status().expect("it runs").success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostia"));
    let command = command.arg("sim").args([&path, Path::new("--pcap"), &into]).args(["--seeds", "0..2000"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn().expect("it runs");
    let most = 4 * std::thread::available_parallelism().map_or(1, usize::from);
    let begun = || std::fs::read_dir(&into).expect("a folder").count();
    // All that may go ahead of it do, if there is anybody who can.
    while most > 4 && begun() < most {
        std::thread::yield_now();
    }
    assert!(begun() <= most, "{} seeds have begun, of {most}", begun());
    let read = std::fs::read(&capture).expect("a capture");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && !read.is_empty());
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2001);
}

/// The failure of a client is told with it, and so is how to replay both.
#[test]
#[cfg(target_os = "linux")]
fn a_capture_that_finds_no_room_is_told_of_with_what_happened() {
    let (folder, path) = written(NET);
    std::os::unix::fs::symlink("/dev/full", folder.path().join("lan.pcapng")).expect("a link");
    let output = sim(&[path.to_str().expect("text"), "--pcap", folder.path().to_str().expect("text")]);
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(told.contains("FAILED") && told.contains("No space left") && told.contains("'lan'"), "{told}");
    assert!(errors.contains("replay it") && errors.contains("--seed 1"), "{errors}");
}

/// Files that were made up are gone with the program, whatever ends it.
#[test]
fn an_interrupted_sweep_leaves_no_files_behind() {
    let text = format!("{NET}[[host.program]]\nrun = 'serve'\nfiles = {{ 'a.bin' = '64KiB' }}\n");
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let (folder, path) = written(&text);
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ostia"));
        let command = command.arg("sim").arg(&path).args(["--seeds", "0..1000000"]).env("TMPDIR", &temporary);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("it runs");
        let mut first = [0];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut first).expect("a world ends");
        assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 1, "the made-up files");
        assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().expect("it runs").success());
        let ended = child.wait_with_output().expect("it ends").status;
        // SIGINT may end it by the code that stands for it.
        let by = std::os::unix::process::ExitStatusExt::signal(&ended);
        assert!(by == Some(number) || number == 2 && ended.code() == Some(130), "{name}: {ended:?}");
        assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "{name} leaves files behind");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let missing = sim(&["/there/is/no/such.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    let host = |more: &str| format!("{NET}{more}");
    let program = |more: &str| format!("{NET}[[host.program]]\n{more}");
    for (text, says) in [
        ("[[link]\n".to_owned(), "own.toml:1:"),
        ("[[link]]\nname = 'lan'\nlos = 0.1\n".to_owned(), "own.toml:3:1: unknown field `los`, expected one of `name`"),
        ("until = 5\n".to_owned(), "\"20ms\""),
        ("[[link]]\nname = 'lan'\nloss = 'much'\n".to_owned(), "\"2%\""),
        (NET.replace("name = 'lan'\n", "name = 'lan'\nloss = 1.5\n"), "loss is 1.5"),
        (NET.replace("name = 'lan'\n", "name = 'lan'\nmtu = 67\n"), "68 to 65535"),
        (NET.replace("name = 'lan'\n", "name = 'lan'\nmtu = 1279\n").replace("10.0.0.1/24", "fd00::1/64"), "1280"),
        (NET.replace("name = 'lan'\n", "name = 'lan'\nrate = 0\n"), "rate of 0"),
        (NET.replace("name = 'lan'\n", "name = 'lan'\nrate = '10MB'\n"), "\"10Mbit\""),
        ("[[link]]\nname = 'lan'\n".to_owned(), "there is no host"),
        (NET.replace("10.0.0.1/24", "10.0.0.1"), "10.0.0.1/24 or"),
        (host("[[host]]\nname = 'server'\naddresses = ['10.0.0.2/24']\n"), "two hosts named 'server'"),
        (host("[[host]]\nname = 'other'\naddresses = ['10.0.0.1/24']\n"), "the address of host 'server'"),
        (host("[[host]]\nname = 'other'\nlink = 'wan'\naddresses = ['10.0.0.2/24']\n"), "use one of lan"),
        (host("[[host]]\nname = 'other'\ncount = 0\naddresses = ['10.0.0.2/24']\n"), "use 1 to 1000"),
        (host("[[host]]\nname = 'other'\ncount = 9\naddresses = ['255.255.255.250/24']\n"), "no address 6 behind"),
        (host("[[cut]]\nhosts = ['nobody']\nfrom = '1s'\nuntil = '2s'\n"), "no host 'nobody'"),
        (host("[[cut]]\nhosts = ['server']\nfrom = '2s'\nuntil = '1s'\n"), "later than it begins"),
        (program("run = 'server'\n"), "unknown variant `server`, expected one of `serve`"),
        (program("run = 'serve'\n"), "either a folder or files"),
        (program("run = 'serve'\ndir = 'nowhere'\n"), "no folder"),
        (program("run = 'serve'\nfiles = { '../x' = 1 }\n"), "'../x'"),
        (program("run = 'serve'\ndir = '.'\nloud = true\n"), "unknown field `loud`"),
        (program("run = 'echo'\nport = 0\n"), "1 to 65535"),
        (program("run = 'download'\nurl = 'ftp://server/'\n"), "http://server/a.bin"),
        (program("run = 'download'\nurl = 'http://nobody/'\n"), "no host 'nobody'"),
        (program("run = 'download'\nurl = 'http://server/x'\n"), "sha256"),
        (program("run = 'download'\nurl = 'http://server/x'\nsha256 = 'abc'\n"), "64 hexadecimal digits"),
        (
            program("run = 'serve'\ndir = '.'\n[[host.program]]\nrun = 'download'\nurl = 'http://server/x'\n"),
            "can't be compared with",
        ),
        (program("run = 'echo-client'\nto = 'server'\n"), "server:7"),
        (program("run = 'echo-client'\nto = 'server:7'\nbytes = 0\n"), "256MiB"),
        (program("run = 'echo-client'\nto = 'server:7'\ntimes = 0\n"), "times = 1"),
    ] {
        let (_folder, path) = written(&text);
        let output = sim(&[path.to_str().expect("text")]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}\n{told}");
        assert!(told.contains(says), "{text}\ndoes not say {says}: {told}");
        assert!(told.contains("own.toml") && told.contains("hint"), "{text}\n{told}");
    }
    for args in [&["--seeds", "5..5"][..], &["--seeds", "1..3", "--seed", "1"], &["--seed", "-1"], &["--fast"]] {
        assert_eq!(sim(&[&[&*scenario("serve.toml")], args].concat()).status.code(), Some(2), "{args:?}");
    }
}

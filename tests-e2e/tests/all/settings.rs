//! Settings from flags, the environment and a file, as a user meets them: who wins, and what is said of what is wrong.

use std::process::Command;

use serde_json::Value;

use crate::support::case::{Case, Driver};
use crate::support::process::{Ended, Process, ostia};
use crate::support::server::Launch;
use crate::support::site::Site;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(ostia());
    command.args(arguments).envs(environment.iter().copied());
    Process::start(&mut command).wait()
}

/// What `ostia config show` says of a key of `[serve]`: value and source.
fn shown(arguments: &[&str], environment: &[(&str, &str)], key: &str) -> (Value, String) {
    let ended = run(arguments, environment);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    let found = ended.output.lines().map(|line| serde_json::from_str::<Value>(line).expect("one object a line"));
    let one = found.into_iter().find(|one| one["section"] == "serve" && one["key"] == key).expect("every key is shown");
    (one["value"].clone(), one["source"].as_str().expect("a source").to_owned())
}

#[test]
fn flags_then_environment_then_file_then_defaults() {
    let site = Site::new();
    let file = site.write("ostia.toml", "workers = 2\n[serve]\nworkers = 3\nhidden = true\nallow-host = [\"a\", \"b\"]\n");
    let file = file.to_str().expect("the path is text");
    let show = ["--json", "config", "show", file];
    let with_flag = ["--json", "config", "show", file, "--", "serve", ".", "--workers=5", "--no-hidden"];
    let variables = [("OSTIA_SERVE_WORKERS", "4"), ("OSTIA_HIDDEN", "nonsense of another program")];
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, Value, &'a str);
    let table: &[Row<'_>] = &[
        (&show[..3], &[], "workers", Value::Null, "unset"),
        (&show[..3], &[], "drain", "10s".into(), "default"),
        (&show, &[], "workers", 3.into(), "file"),
        (&show, &[], "allow-host", Value::from(vec!["a", "b"]), "file"),
        (&show[..3], &[("OSTIA_CONFIG", file)], "workers", 3.into(), "file"),
        (&show, &variables, "workers", 4.into(), "environment"),
        (&show, &variables, "hidden", true.into(), "file"),
        (&with_flag, &variables, "workers", 5.into(), "flag"),
        (&with_flag, &variables, "hidden", false.into(), "flag"),
    ];
    for (arguments, environment, key, value, source) in table {
        assert_eq!(shown(arguments, environment, key), (value.clone(), (*source).to_owned()), "{arguments:?} {key}");
    }
}

#[test]
fn a_server_does_as_the_file_says() {
    let site = Site::new();
    site.write(".hidden", "seen");
    let config = Site::new();
    let text = format!("[serve]\ndir = {:?}\naddr = \"127.0.0.1:0\"\nhidden = true\naccess-log = \"off\"\n", site.root());
    let file = config.write("ostia.toml", text);
    let mut command = Command::new(ostia());
    command.arg("serve").arg("--config").arg(file);
    let process = Process::start(&mut command);
    let address = process.output.wait_for(|line| line.strip_prefix("http://")?.strip_suffix('/')?.parse().ok());
    let address = address.unwrap_or_else(|| panic!("no address: {}", process.errors.text()));
    assert_eq!(crate::support::http::Client::connect(address).get("/.hidden").text(), "seen");
    process.signal(rustix::process::Signal::TERM);
    let ended = process.wait();
    assert_eq!((ended.status.code(), ended.output.lines().count()), (Some(0), 1), "{}", ended.output);
}

/// Each message names the place, the key and a remedy; `check` and a start say the same.
#[test]
fn what_is_wrong_with_a_file_is_named() {
    let site = Site::new();
    let table: &[(&str, &[&str])] = &[
        ("[serve]\nidle-timout = \"5s\"\n", &[":2:1:", "idle-timout", "did you mean 'idle-timeout'"]),
        ("[sevre]\n", &[":1:2:", "sevre", "did you mean [serve]"]),
        ("[serve]\nworkers = \"two\"\n", &[":2:11:", "workers", "a number, not a text", "workers = 4"]),
        ("[serve]\nworkers = -1\n", &[":2:11:", "workers", "-1", "--help"]),
        ("[serve]\nidle-timeout = \"soon\"\n", &[":2:16:", "idle-timeout", "500ms", "--help"]),
        ("[serve]\ndriver = \"kqueue\"\n", &[":2:10:", "driver", "io_uring, epoll", "--help"]),
        ("[serve]\nhidden = \"yes\"\n", &[":2:10:", "hidden", "true or false", "hidden = true"]),
        ("[log]\nkeep = 100000\n", &[":2:8:", "keep", "9999"]),
        ("[log]\nlevel = \"loud\"\n", &[":2:9:", "level", "trace"]),
        ("[log]\nworkers = 1\n", &[":2:1:", "workers", "below [serve]"]),
        ("hidden = true\n", &[":1:1:", "hidden", "below [serve]"]),
        ("[serve]\nworkers = 1\nworkers = 2\n", &[":3:1:", "duplicate", "toml.io"]),
        ("workers 1\n", &[":1:", "not TOML", "toml.io"]),
        ("workers = 0\n[echo]\nnonsense = 1\n", &[":1:11:", ":3:1:", "nonsense"]),
    ];
    for (text, words) in table {
        let file = site.write("ostia.toml", text);
        let file = file.to_str().expect("the path is text");
        for arguments in [&["config", "check", file][..], &["serve", ".", "--config", file], &["config", "show", file]] {
            let ended = run(arguments, &[]);
            assert_eq!(ended.status.code(), Some(2), "{text:?}: {}", ended.errors);
            assert!(ended.errors.contains("hint: "), "{}", ended.errors);
            for word in *words {
                assert!(ended.errors.contains(word), "no {word:?} for {text:?} in: {}", ended.errors);
            }
        }
    }
    let ended = run(&["serve", "."], &[("OSTIA_SERVE_DRAIN", "soon")]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.errors.contains("OSTIA_SERVE_DRAIN") && ended.errors.contains("unset"), "{}", ended.errors);
    for endless in ["/dev/zero", "/nowhere.toml", "/dev"] {
        let ended = run(&["config", "check", endless], &[]);
        assert!(ended.status.code() == Some(2) && ended.errors.contains(endless), "{}", ended.errors);
    }
}

#[test]
fn machine_readable_output_is_one_object_a_line() {
    let case = Case { name: concat!(module_path!(), "::machine_readable_output_is_one_object_a_line"), driver: Driver::Auto };
    let site = Site::new();
    let process = Launch::new(case, site.root()).argument("--json").argument("--no-access-log").spawn();
    let listening = process.output.wait_for(|line| serde_json::from_str::<Value>(line).ok()).expect("an object");
    assert_eq!(listening["event"], "listening");
    let address = listening["address"].as_str().expect("an address").parse().expect("an IP address");
    crate::support::http::Client::connect(address).get("/");
    process.signal(rustix::process::Signal::TERM);
    let ended = process.wait();
    let last: Value = serde_json::from_str(ended.output.lines().last().expect("a line")).expect("an object");
    assert_eq!((&last["event"], &last["accepted"], &last["cut_off"]), (&"ended".into(), &1.into(), &0.into()));
    let ended = run(&["doctor", "--json"], &[]);
    let doctor: Value = serde_json::from_str(&ended.output).expect("an object");
    assert!(doctor["driver"].is_string() && doctor["findings"].as_array().is_some_and(|all| all.len() > 3), "{doctor}");
    let ended = run(&["--json", "serve", "/nowhere/at/all"], &[]);
    let error: Value = serde_json::from_str(&ended.errors).expect("an object");
    assert!(error["error"].as_str().is_some_and(|text| text.contains("/nowhere")) && error["code"] == 1, "{error}");
}

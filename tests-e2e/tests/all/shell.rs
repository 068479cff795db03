//! Completions in real shells, manual pages through groff, exit codes, colours, and what promtool says of the metrics.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::support::case::{Case, Driver};
use crate::support::http::Client;
use crate::support::process::{Confinement, Ended, Process, ostia};
use crate::support::server::Launch;
use crate::support::site::Site;

fn run(arguments: &[&str]) -> Ended {
    Process::start(Command::new(ostia()).args(arguments)).wait()
}

/// What a shell offers after `ostia serve --idle-`, asked in the shell's own way.
fn completes(case: Case, shell: &str, script: &str) {
    if !case.has(shell) {
        return;
    }
    let folder = Site::new();
    let file = folder.write(&format!("completions.{shell}"), run(&["completions", shell]).output);
    let ended = Process::start(
        Command::new(shell).args(["-c", script]).env("FILE", &file).env("HOME", folder.root()).current_dir(folder.root()),
    )
    .wait();
    assert!(ended.status.success() && ended.output.contains("--idle-timeout"), "{ended:?}");
    assert!(!ended.output.contains("--no-hidden"), "{ended:?}");
    assert!(ended.errors.is_empty(), "{}", ended.errors);
}

macro_rules! case {
    ($name:literal) => {
        Case { name: concat!(module_path!(), "::", $name), driver: Driver::Auto }
    };
}

#[test]
fn bash_completes() {
    let script = r#"source "$FILE"; COMP_WORDS=(ostia serve --idle-); COMP_CWORD=2
        _ostia ostia --idle- serve; printf '%s\n' "${COMPREPLY[@]}""#;
    completes(case!("bash_completes"), "bash", script);
}

#[test]
fn fish_completes() {
    completes(case!("fish_completes"), "fish", r#"source $FILE; complete -C 'ostia serve --idle-'"#);
}

#[test]
fn zsh_completes() {
    // Without a terminal zsh has no line to complete: the function loads, and what it would offer stands in it.
    let script = r#"autoload -Uz compinit; compinit -D -u; source "$FILE"; functions _ostia"#;
    completes(case!("zsh_completes"), "zsh", script);
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&["completions", shell]);
        assert!(ended.status.success() && ended.output.contains("max-connections"), "{shell}");
    }
    assert_eq!(run(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn manual_pages_are_set_without_warnings() {
    let case = case!("manual_pages_are_set_without_warnings");
    if !case.has("man") || !case.has("groff") {
        return;
    }
    let folder = Site::new();
    assert!(run(&["man", folder.root().to_str().expect("text")]).status.success());
    let mut pages = 0;
    for entry in fs::read_dir(folder.root()).expect("it can be read") {
        let page = entry.expect("an entry").path();
        let mut command = Command::new("man");
        command.args(["--warnings=w", "--local-file", "-EUTF-8"]).arg(&page).env("MANPAGER", "cat").env("LC_ALL", "C.UTF-8");
        let ended = Process::start(&mut command).wait();
        assert!(ended.status.success() && ended.errors.is_empty(), "{}: {}", page.display(), ended.errors);
        for word in ["EXIT STATUS", "ENVIRONMENT", "130"] {
            assert!(ended.output.contains(word), "no {word} in {}", page.display());
        }
        pages += 1;
    }
    assert!(pages >= 9, "{pages}");
    let ended = run(&["man"]);
    assert_eq!(ended.output, fs::read_to_string(folder.path("ostia.1")).expect("written").trim_end());
    let ended = run(&["man", "/nowhere/at/all"]);
    assert!(ended.status.code() == Some(1) && ended.errors.contains("/nowhere"), "{}", ended.errors);
}

#[test]
fn exit_codes_are_as_documented() {
    let site = Site::new();
    let root = site.root().to_str().expect("text");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().expect("bound").to_string();
    let table: &[(&[&str], i32)] = &[
        (&["doctor"], 0),
        (&["--version"], 0),
        (&["serve", "/nowhere/at/all"], 1),
        (&["serve", root, "--addr", &taken], 1),
        (&["serve", root, "--log-file", "/nowhere/at/all"], 1),
        (&["serve", root, "--metrics", &taken, "--addr", "127.0.0.1:0"], 1),
        (&["serve", root, "--workers", "0"], 2),
        (&["serve", root, "--addr", "nonsense"], 2),
        (&["config", "check", "/nowhere/at/all"], 2),
        (&[], 2),
    ];
    for (arguments, code) in table {
        let ended = run(arguments);
        assert_eq!(ended.status.code(), Some(*code), "{arguments:?}: {}", ended.errors);
    }
    let help = run(&["--help"]).output;
    assert!(help.contains("0 done, 1 failed, 2 wrong usage, 3 done in part, 4 no permission, 130 interrupted"), "{help}");
}

#[test]
fn a_missing_permission_has_its_own_exit_code() {
    let case = case!("a_missing_permission_has_its_own_exit_code");
    if !rustix::process::geteuid().is_root() {
        return case.skip("only root can become nobody");
    }
    if !case.has("setpriv") {
        return;
    }
    // The build folder may be private.
    let folder = tempfile::TempDir::new_in("/tmp").expect("a folder can be made");
    let path = |name: &str| folder.path().join(name);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    mode(folder.path(), 0o755);
    fs::copy(ostia(), path("ostia")).expect("copied");
    fs::create_dir(path("locked")).expect("made");
    mode(&path("locked"), 0o700);
    fs::write(path("settings.toml"), "").expect("written");
    mode(&path("settings.toml"), 0o600);
    let text = |name: &str| path(name).to_str().expect("text").to_owned();
    let nobody = Confinement { nobody: true, ..Confinement::default() };
    let (root, locked) = (text(""), text("locked"));
    let table: &[&[&str]] = &[
        &["serve", &locked, "--addr", "127.0.0.1:0"],
        &["serve", &root, "--addr", &format!("unix:{locked}/socket")],
        &["serve", &root, "--addr", "127.0.0.1:0", "--log-file", &format!("{locked}/log")],
        &["serve", &root, "--addr", "127.0.0.1:0", "--access-log", &format!("{locked}/log")],
        &["config", "check", &text("settings.toml")],
        &["man", &locked],
    ];
    for arguments in table {
        let ended = Process::start(nobody.command(path("ostia")).args(*arguments)).wait();
        assert_eq!(ended.status.code(), Some(4), "{arguments:?}: {}", ended.errors);
        assert!(ended.errors.to_lowercase().contains("permission denied") && ended.errors.contains("hint: "), "{}", ended.errors);
    }
}

/// A connection that has received the beginning of a request: it came together with one that is answered.
fn in_a_request(server: &crate::support::server::Server) -> Client {
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT");
    assert_eq!(client.response().head.status, 200);
    client
}

/// A request in the middle of which the server is stopped keeps it, until the deadline or a second signal.
#[test]
fn a_second_signal_interrupts_and_the_deadline_is_partial() {
    let case = case!("a_second_signal_interrupts_and_the_deadline_is_partial");
    let site = Site::new();
    for signal in [Signal::INT, Signal::TERM] {
        let server = Launch::new(case, site.root()).argument("--drain").argument("1h").start();
        let mut client = in_a_request(&server);
        let address = server.address;
        server.process.signal(signal);
        assert!(crate::support::eventually(|| std::net::TcpStream::connect(address).is_err()));
        server.process.signal(signal);
        assert_eq!(server.process.wait().status.code(), Some(130));
        assert!(client.at_end());
    }
    let server = Launch::new(case, site.root()).argument("--drain").argument("10ms").start();
    let _client = in_a_request(&server);
    server.process.signal(Signal::TERM);
    let ended = server.process.wait();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.errors);
    assert!(ended.errors.contains("1 connections did not end within 10ms"), "{}", ended.errors);
}

/// Before it listens, SIGINT ends the program at once.
#[test]
fn an_interrupted_start_says_so() {
    let site = Site::new();
    let pipe = site.path("pipe.toml");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is part of every system");
    assert!(made.success());
    // Opening the file of settings waits for somebody to write to it.
    let process = Process::start(Command::new(ostia()).args(["serve", "."]).arg("--config").arg(&pipe));
    // Bit 1 of the mask of caught signals (proc_pid_status(5)).
    let caught = || {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim).unwrap_or("0").to_owned();
        u64::from_str_radix(&mask, 16).is_ok_and(|mask| mask & 0b10 != 0)
    };
    assert!(crate::support::eventually(caught));
    process.signal(Signal::INT);
    assert_eq!(process.wait().status.code(), Some(130));
}

#[test]
fn colours_only_where_they_are_wanted() {
    let case = case!("colours_only_where_they_are_wanted");
    let wrong = ["serve", "/nowhere/at/all"];
    let colored = |arguments: &[&str]| run(&[arguments, &wrong].concat()).errors.contains('\x1b');
    assert!(!colored(&[]) && !colored(&["--color", "never"]) && colored(&["--color", "always"]));
    assert!(run(&["--color=always", "--help"]).output.contains('\x1b'));
    assert!(!run(&["--help"]).output.contains('\x1b'));
    if !case.has("script") {
        return;
    }
    // script(1) gives it a terminal.
    let on_terminal = |no_color: Option<&str>, color: &str| {
        let line = format!("{} --color {color} serve /nowhere/at/all", ostia().display());
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let ended = Process::start(&mut command).wait();
        assert!(ended.output.contains("no such directory"), "{ended:?}");
        ended.output.contains("\x1b[")
    };
    assert!(on_terminal(None, "auto") && on_terminal(Some(""), "auto") && on_terminal(Some("1"), "always"));
    assert!(!on_terminal(Some("1"), "auto") && !on_terminal(None, "never"));
}

#[test]
fn promtool_accepts_the_metrics_and_they_count() {
    let case = case!("promtool_accepts_the_metrics_and_they_count");
    let site = Site::new();
    site.write("file", "content");
    let server = Launch::new(case, site.root()).argument("--metrics").argument("127.0.0.1:0").start();
    let address =
        server.process.output.wait_for(|line| line.strip_prefix("metrics on http://")?.strip_suffix("/metrics")?.parse().ok());
    let address = address.expect("it is announced");
    for _ in 0..7 {
        server.get("/file");
    }
    server.get("/missing");
    let mut scraper = Client::connect(address);
    let page = scraper.get("/metrics");
    assert!(page.head.field("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let page = page.text();
    let sum = |start: &str, with: &str| -> f64 {
        let lines = page.lines().filter(|line| line.starts_with(start) && line.contains(with));
        lines.map(|line| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).expect("a number")).sum()
    };
    assert_eq!(sum("ostia_http_requests_total", "2xx"), 7.0);
    assert_eq!(sum("ostia_http_requests_total", "4xx"), 1.0);
    assert_eq!(sum("ostia_http_request_duration_seconds_count", ""), 8.0);
    assert_eq!(sum("ostia_connections_accepted_total", ""), 8.0);
    assert!(sum("ostia_port_bytes_received_total", "") > 0.0);
    // Bounded, and only what is there.
    assert_eq!(scraper.get("/else").head.status, 404);
    let mut idle: Vec<Client> = (0..40).map(|_| Client::connect(address)).collect();
    assert_eq!(scraper.get("/metrics").head.status, 200);
    assert!(idle.last_mut().is_some_and(Client::at_end));
    if !case.has("promtool") {
        return;
    }
    let file = site.write("metrics", &page);
    let script = "promtool check metrics < \"$0\"";
    let ended = Process::start(Command::new("sh").args(["-c", script]).arg(Path::new(&file))).wait();
    assert!(ended.status.success() && ended.output.is_empty() && ended.errors.is_empty(), "{ended:?}");
}

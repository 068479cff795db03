//! What the program says on Windows: of wrong command lines, of itself, of the machine.

use std::fs;
use std::net::TcpListener;

use crate::support::process::{Ended, Process};
use crate::support::site::Site;
use crate::support::wine::{Wine, on_drive_z, under_wine};

fn run(wine: &Wine, arguments: &[&str]) -> Ended {
    Process::start(wine.command().args(arguments)).wait()
}

under_wine! {
    /// The thing at fault is named, and what would be right; with the exit codes of every system.
    fn wrong_arguments_are_named(wine: Wine) {
        let site = Site::new();
        let path = |name: &str| on_drive_z(&site.path(name)).into_string().expect("text");
        site.write("file", "x");
        let (root, file, missing) = (on_drive_z(site.root()).into_string().expect("text"), path("file"), path("missing"));
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let taken = taken.local_addr().expect("it is bound").to_string();
        let table: &[(&[&str], i32, &[&str])] = &[
            (&["serve", &missing], 1, &[&missing, "no such directory", "hint"]),
            (&["serve", &file], 1, &[&file, "not a directory", "hint"]),
            (&["serve", &root, "--addr", &taken], 1, &[&taken, "in use", "netstat", "--addr"]),
            (&["echo", "--addr", &taken], 1, &[&taken, "in use", "--addr"]),
            (&["serve", &root, "--addr", "192.0.2.1:0"], 1, &["192.0.2.1", "not an address of this machine", "ipconfig"]),
            (&["serve", &root, "--addr", "127.0.0.1"], 2, &["127.0.0.1", "HOST:PORT"]),
            (&["serve", &root, "--addr", "unix:/run/x"], 2, &["unix:PATH needs Unix", "use HOST:PORT"]),
            (&["echo", "--addr", "unix-dgram:x"], 2, &["unix-dgram:PATH needs Unix", "use HOST:PORT"]),
            (&["serve", &root, "--addr", "systemd"], 2, &["systemd needs Linux", "use HOST:PORT"]),
            (&["serve", &root, "--driver", "io_uring"], 2, &["io_uring", "auto, iocp"]),
            (&["serve", &root, "--driver", "epoll"], 2, &["epoll", "auto, iocp"]),
            (&["serve", &root, "--workers", "0"], 2, &["--workers"]),
            (&["serve", &root, "--no-such-flag"], 2, &["--no-such-flag"]),
            (&["serve"], 2, &["DIR"]),
            (&["frobnicate"], 2, &["frobnicate"]),
        ];
        for (arguments, code, words) in table {
            let ended = run(&wine, arguments);
            assert_eq!(ended.status.code(), Some(*code), "{arguments:?}: {}", ended.errors);
            assert!(!ended.errors.contains("panicked") && ended.output.is_empty(), "{ended:?}");
            for word in *words {
                assert!(ended.errors.contains(word), "{arguments:?}: no {word:?} in {}", ended.errors);
            }
        }
    }

    /// Help, version, completions and manual pages are no failures.
    fn it_describes_itself(wine: Wine) {
        for (arguments, word) in [
            (&["--version"][..], "ostia "),
            (&["serve", "--help"], "iocp"),
            (&["completions", "powershell"], "Register-ArgumentCompleter"),
            (&["man"], ".TH OSTIA"),
        ] {
            let ended = run(&wine, arguments);
            assert!(ended.status.success() && ended.output.contains(word) && ended.errors.is_empty(), "{ended:?}");
        }
    }

    /// The doctor names the system, the driver and what the driver is made of.
    fn the_doctor_knows_windows_and_wine(wine: Wine) {
        let ended = run(&wine, &["doctor", "--driver", "iocp"]);
        assert!(ended.status.success(), "{ended:?}");
        let line = |name: &str| {
            let found = ended.output.lines().find(|line| line.trim_start_matches(['+', '-', '!', ' ']).starts_with(name));
            found.unwrap_or_else(|| panic!("no {name}: {}", ended.output))
        };
        assert!(line("ostia ").contains("Windows") && line("ostia ").contains("Wine"), "{}", ended.output);
        assert!(line("driver").ends_with(" iocp"), "{}", ended.output);
        for function in ["AcceptEx", "ConnectEx", "TransmitFile"] {
            assert_eq!(line(function), format!("{:32}yes", format!("+ {function}")));
        }
        let ended = run(&wine, &["doctor", "--json"]);
        let object: serde_json::Value = serde_json::from_str(&ended.output).expect("an object");
        assert_eq!((&object["driver"], &object["features"]["TransmitFile"]), (&"iocp".into(), &true.into()));
    }

    /// Flags, environment and file, as on every system.
    fn settings_come_from_everywhere(wine: Wine) {
        let site = Site::new();
        let file = site.path("ostia.toml");
        fs::write(&file, "[serve]\nworkers = 3\nidle-timeout = \"5s\"\n").expect("written");
        let file = on_drive_z(&file).into_string().expect("text");
        let checked = run(&wine, &["config", "check", &file]);
        assert!(checked.status.success() && checked.output.contains("2 settings"), "{checked:?}");
        let mut command = wine.command();
        command.env("OSTIA_SERVE_WORKERS", "4").args(["config", "show", &file, "--", "serve", ".", "--hidden"]);
        let shown = Process::start(&mut command).wait();
        for (setting, source) in
            [("workers = 4", "environment: OSTIA_SERVE_WORKERS"), ("idle-timeout = \"5s\"", "ostia.toml:3"), ("hidden = true", "flag")]
        {
            let found = shown.output.lines().any(|line| line.starts_with(setting) && line.contains(source));
            assert!(found, "{setting}: {shown:?}");
        }
        fs::write(site.path("ostia.toml"), "[serve]\nworker = 3\n").expect("written");
        let refused = run(&wine, &["config", "check", &file]);
        assert!(refused.status.code() == Some(2) && refused.errors.contains("workers"), "{refused:?}");
    }
}

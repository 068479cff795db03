//! What the program says to a wrong command line: the thing, a remedy, and an exit code.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::case::{Case, Driver};
use crate::support::process::{Confinement, Ended, Process, ostia};

/// Runs `ostia` to its end, which must be a failure told in a readable way.
fn fails(confinement: Confinement, program: &Path, arguments: &[&str]) -> Ended {
    let ended = Process::start(confinement.command(program).args(arguments)).wait();
    let code = ended.status.code();
    assert!(
        code.is_some_and(|code| code != 0 && code != 101),
        "{arguments:?} ended with {}: {}{}",
        ended.status,
        ended.output,
        ended.errors
    );
    assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
    ended
}

/// Checks that the message has one of the alternatives (divided by `|`) of each word.
fn says(ended: &Ended, words: &[&str]) {
    let said = ended.errors.to_lowercase();
    for word in words {
        let found = word.split('|').any(|one| said.contains(&one.to_lowercase()));
        assert!(found, "no {word:?} in: {}", ended.errors);
    }
}

#[test]
fn wrong_arguments_are_named() {
    let folder = TempDir::new().expect("a folder can be made");
    let root = folder.path().to_str().expect("the path is text");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("written");
    let file = file.to_str().expect("the path is text");
    let missing = folder.path().join("missing");
    let missing = missing.to_str().expect("the path is text");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let missing_socket = format!("unix:{missing}/socket");
    let long_socket = format!("unix:{root}/{}", "x".repeat(200));
    let table: &[(&[&str], &[&str])] = &[
        (&["serve", missing], &[missing, "exist|no such"]),
        (&["serve", file], &[file, "director|folder"]),
        (&["serve", root, "--addr", &taken], &[&taken, "in use", "another|stop|choose|--addr|port 0"]),
        // TEST-NET-1 (RFC 5737): nobody's.
        (&["serve", root, "--addr", "192.0.2.1:0"], &["192.0.2.1", "not local|address of this|assign|interface"]),
        (&["serve", root, "--addr", "127.0.0.1"], &["127.0.0.1", "port"]),
        (&["serve", root, "--addr", "127.0.0.1:65536"], &["127.0.0.1:65536", "port"]),
        (&["serve", root, "--addr", ":::"], &[":::"]),
        (&["serve", root, "--addr", ""], &["--addr"]),
        (&["serve", root, "--addr", "no-such-host.invalid:80"], &["no-such-host.invalid"]),
        (&["serve", root, "--addr", &missing_socket], &[&missing_socket[5..], "exist|no such"]),
        (&["serve", root, "--addr", &long_socket], &["long|108"]),
        (&["serve", root, "--driver", "kqueue"], &["kqueue", "io_uring", "epoll"]),
        (&["serve", root, "--workers", "0"], &["workers"]),
        (&["serve", root, "--workers", "many"], &["workers", "many"]),
        (&["serve", root, "--revalidate", "soon"], &["revalidate", "soon"]),
        (&["echo", "--addr", &taken], &[&taken, "in use"]),
        (&["dance"], &["dance"]),
        (&["serve", root, "--no-such-flag"], &["--no-such-flag"]),
    ];
    for (arguments, words) in table {
        let ended = fails(Confinement::default(), &ostia(), arguments);
        says(&ended, words);
    }
}

#[test]
fn too_few_descriptors_are_named() {
    let folder = TempDir::new().expect("a folder can be made");
    let root = folder.path().to_str().expect("the path is text");
    // From nothing beyond the standard streams up to nearly enough: at some number it
    // starts, and at every one below it says why it does not.
    let mut started = false;
    for limit in [4, 6, 8, 10, 12, 16, 20, 24, 32, 64] {
        let confinement = Confinement { descriptors: Some(limit), ..Confinement::default() };
        let process = Process::start(confinement.command(ostia()).args(["serve", root, "--addr", "127.0.0.1:0"]));
        if process.output.wait_for(|line| line.find("http://")).is_some() {
            started = true;
            break;
        }
        let ended = process.wait();
        let code = ended.status.code();
        // With 4 the loader itself may fail, with 127.
        assert!(code.is_some_and(|c| c != 0 && c != 101), "{ended:?}");
        if code != Some(127) {
            says(&ended, &["descriptor|open files", "ulimit|limit"]);
        }
    }
    assert!(started, "64 descriptors are enough");
}

#[test]
fn a_user_without_permission_is_told_so() {
    let case = Case { name: concat!(module_path!(), "::a_user_without_permission_is_told_so"), driver: Driver::Auto };
    if !rustix::process::geteuid().is_root() {
        return case.skip("only root can become nobody");
    }
    if !case.has("setpriv") {
        return;
    }
    let nobody = Confinement { nobody: true, ..Confinement::default() };
    let (folder, program) = program_for_nobody();
    let root = folder.path().to_str().expect("the path is text");
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).expect("made");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).expect("locked");
    let locked_path = locked.to_str().expect("the path is text");
    let ended = fails(nobody, &program, &["serve", locked_path, "--addr", "127.0.0.1:0"]);
    says(&ended, &[locked_path, "permission|not allowed|denied"]);
    let socket = format!("unix:{locked_path}/socket");
    let ended = fails(nobody, &program, &["serve", root, "--addr", &socket]);
    says(&ended, &[&socket[5..], "permission|not allowed|denied"]);
    // ip(7): ports below this need CAP_NET_BIND_SERVICE.
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse::<u16>().ok())
        .unwrap_or(1024);
    if first <= 1 {
        return case.skip_part("port", "this machine gives every port to everybody");
    }
    let address = "127.0.0.1:1";
    let ended = fails(nobody, &program, &["serve", root, "--addr", address]);
    says(&ended, &[address, "permission|not allowed|denied", "1024|root|CAP_NET_BIND"]);
}

/// A copy of the program where anybody can run it: the build folder may be private.
fn program_for_nobody() -> (TempDir, PathBuf) {
    let folder = TempDir::new_in("/tmp").expect("a folder can be made");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("opened");
    let program = folder.path().join("ostia");
    fs::copy(ostia(), &program).expect("copied");
    (folder, program)
}

#[test]
fn help_and_version_are_no_failures() {
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let ended = Process::start(Confinement::default().command(ostia()).args(arguments)).wait();
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.output.contains("ostia"), "{ended:?}");
        assert!(ended.errors.is_empty(), "{ended:?}");
    }
}

//! What a child is started with, what it has of us and we keep of it, and how it is said that it can't be.

use std::collections::BTreeSet;
use std::io;

use ostia::process::{Child, Command, FailureKind, ProcessError, Stdio};
use ostia::time::{sleep, timeout};
use rustix::process::{Pid, Resource, Rlimit, getpgid, getrlimit, getuid, setrlimit};

use crate::common::{alone, drivers, on_each, poll_once, runtime};
use crate::{MS, cat, descriptors, gone, kind, sh, within};

#[test]
fn surroundings_are_as_set() {
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("a path");
        let mut command = sh("pwd; echo $0 $1 \"$A$B$C\"; echo ${HOME-none}");
        command
            .args(["zero", "one"])
            .current_dir(&folder)
            .env_clear()
            .env("A", "a")
            .envs([("B", "b"), ("C", "c")])
            .env_remove("C");
        let output = command.output().await.expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\nzero one ab\nnone\n", folder.display()));
        assert_eq!(command.as_std().get_args().count(), 4);

        let output = Command::new("sh").arg0("renamed").args(["-c", "read line </proc/$$/cmdline; echo ${line%%-c*}"]).output();
        assert!(output.await.expect("runs").stdout.starts_with(b"renamed"));

        // A group of its own is named by its number.
        let mut child = Command::new("sleep").arg("1000").process_group(0).kill_on_drop(true).spawn().expect("runs");
        let pid = Pid::from_raw(child.id().expect("runs") as i32);
        assert_eq!(getpgid(pid).ok(), pid);
        child.kill().await.expect("killed");

        // Files and descriptors.
        let path = folder.join("file");
        std::fs::write(&path, "from a file").expect("written");
        let out = std::fs::File::create(folder.join("copy")).expect("made");
        let mut command = Command::new("cat");
        command.stdin(std::fs::File::open(&path).expect("opens")).stdout(out);
        assert!(command.status().await.expect("runs").success());
        assert_eq!(std::fs::read_to_string(folder.join("copy")).expect("read"), "from a file");

        // The standard library's command, there and back.
        let mut command = Command::from(std::process::Command::new("sh"));
        command.as_std_mut().args(["-c", "echo $0", "std"]);
        assert_eq!(command.output().await.expect("runs").stdout, b"std\n");
        assert_eq!(command.into_std().get_program(), "sh");
    });
}

#[test]
fn users_and_groups_are_changed_or_refused() {
    on_each(|| async {
        let mut command = sh("echo $(id -u):$(id -g)");
        command.uid(65_534).gid(65_534);
        match command.output().await {
            Ok(output) => assert_eq!(output.stdout, b"65534:65534\n"),
            Err(error) => {
                assert!(!getuid().is_root());
                assert_eq!(kind(&error), FailureKind::NoPermission);
            }
        }
    });
}

#[test]
fn errors_name_the_program_and_the_remedy() {
    // A child that another test starts would hold a program open for writing for a moment.
    if !alone("starting::errors_name_the_program_and_the_remedy") {
        return;
    }
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, contents: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join(name);
            std::fs::write(&path, contents).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            path
        };
        let plain = file("plain", "echo", 0o644);
        let orphaned = file("orphaned", "#!/no/such/interpreter\n", 0o755);
        let garbage = file("garbage", "\x7f neither script nor binary", 0o755);
        let busy = file("busy", "", 0o755);
        std::fs::copy("/bin/true", &busy).expect("copied");
        let _writing = std::fs::File::options().append(true).open(&busy).expect("opens");
        let command = |program: &dyn AsRef<std::ffi::OsStr>| Command::new(program.as_ref());
        let mut here = command(&"true");
        here.current_dir(folder.path().join("missing"));
        let mut in_file = command(&"true");
        in_file.current_dir(&plain);
        let mut long = command(&"true");
        long.arg("x".repeat(4 << 20));
        let table = [
            (command(&"no-such-program-anywhere"), FailureKind::NotFound, io::ErrorKind::NotFound, "install it"),
            (command(&"/no/such/path"), FailureKind::NotFound, io::ErrorKind::NotFound, "PATH"),
            (command(&plain), FailureKind::NoPermission, io::ErrorKind::PermissionDenied, "chmod +x"),
            (command(&folder.path()), FailureKind::NoPermission, io::ErrorKind::PermissionDenied, "chmod"),
            (command(&orphaned), FailureKind::NoInterpreter, io::ErrorKind::NotFound, "first line"),
            (command(&garbage), FailureKind::NotExecutable, io::Error::from_raw_os_error(libc::ENOEXEC).kind(), "#!/bin/sh"),
            (command(&busy), FailureKind::BeingWritten, io::ErrorKind::ExecutableFileBusy, "close the file"),
            (here, FailureKind::BadDirectory, io::ErrorKind::NotFound, "make the directory"),
            (in_file, FailureKind::BadDirectory, io::ErrorKind::NotADirectory, "make the directory"),
            (long, FailureKind::TooLong, io::ErrorKind::ArgumentListTooLong, "standard input"),
            (command(&"nul\0byte"), FailureKind::NulByte, io::ErrorKind::InvalidInput, "NUL"),
        ];
        for (mut command, want, outer, remedy) in table {
            let error = command.spawn().expect_err("refused");
            let text = error.to_string();
            let known = ProcessError::of(&error).unwrap_or_else(|| panic!("not named: {text}"));
            assert_eq!((known.kind(), error.kind()), (want, outer), "{text}");
            assert!(text.starts_with("cannot run ") && text.contains(known.program()) && text.contains(remedy), "{text}");
            assert_eq!(command.status().await.expect_err("refused").to_string(), text);
            assert_eq!(command.output().await.expect_err("refused").to_string(), text);
        }
    });
    let error = Command::new("true").spawn().expect_err("no worker");
    assert_eq!(kind(&error), FailureKind::NoRuntime);
}

#[test]
fn no_descriptor_leaks_into_or_out_of_us() {
    if !alone("starting::no_descriptor_leaks_into_or_out_of_us") {
        return;
    }
    const LIST: &str = "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done";
    let list =
        |bytes: &[u8]| -> BTreeSet<u32> { String::from_utf8_lossy(bytes).lines().filter_map(|line| line.parse().ok()).collect() };
    // What children of this process have anyway, before there is a runtime.
    let before = std::process::Command::new("sh").args(["-c", LIST]).output().expect("runs");
    let usual = list(&before.stdout);
    for driver in drivers() {
        runtime(driver, 1).block_on(async {
            let _others: Vec<Child> = (0..5)
                .map(|_| {
                    let mut command = Command::new("cat");
                    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
                    command.spawn().expect("runs")
                })
                .collect();
            let output = sh(LIST).output().await.expect("runs");
            assert_eq!(list(&output.stdout), usual, "a child has descriptors of ours");
        });
        let (mut quiet, mut counts) = (runtime(driver, 1), Vec::new());
        for _ in 0..3 {
            quiet.block_on(async {
                for round in 0..20 {
                    let mut child = cat();
                    let pid = child.id().expect("runs");
                    child.stdin.as_mut().expect("a pipe").send("data").await.expect("sent");
                    match round % 4 {
                        0 => drop(child.wait_with_output().await.expect("gathered")),
                        1 => drop(child.kill().await.expect("killed")),
                        2 => drop(poll_once(child.wait())),
                        _ => drop(child),
                    }
                    gone(pid).await;
                    assert!(Command::new("no-such-program-anywhere").spawn().is_err());
                }
                // Closing takes a turn or two.
                sleep(20 * MS).await;
            });
            counts.push(descriptors());
        }
        assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{counts:?}");
    }
}

#[test]
fn running_out_of_descriptors_is_told_and_leaves_nobody() {
    if !alone("starting::running_out_of_descriptors_is_told_and_leaves_nobody") {
        return;
    }
    for driver in drivers() {
        let limit = getrlimit(Resource::Nofile);
        runtime(driver, 1).block_on(async {
            // Names are resolved and libraries loaded before it gets tight.
            assert!(cat().wait_with_output().await.expect("gathered").status.success());
            sleep(20 * MS).await;
            setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: limit.maximum }).expect("setrlimit");
            let mut filling = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                filling.push(file);
            }
            for room in 0..14 {
                filling.truncate(filling.len() - usize::from(room > 0));
                let mut command = sh("read line; exit 3");
                match command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
                    Err(error) => assert_eq!(kind(&error), FailureKind::DescriptorLimit, "{error}"),
                    Ok(mut child) => {
                        let pid = child.id().expect("runs");
                        let input = child.stdin.take();
                        // There was room for the child and none for its watch: that can be had later.
                        let waited = timeout(20 * MS, child.wait()).await;
                        if let Ok(Err(error)) = &waited {
                            assert_eq!(kind(error), FailureKind::DescriptorLimit, "{error}");
                        }
                        drop(input);
                        drop(child.stdout.take());
                        sleep(5 * MS).await;
                        let status = within(async {
                            loop {
                                if let Ok(status) = child.wait().await {
                                    break status;
                                }
                            }
                        });
                        assert_eq!(status.await.code(), Some(3));
                        gone(pid).await;
                    }
                }
            }
        });
        setrlimit(Resource::Nofile, limit).expect("setrlimit");
    }
}

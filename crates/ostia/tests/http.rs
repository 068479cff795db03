//! axum and hyper on Ostia: the `axum` example, asked by curl, wrk, h2load and the `hyper_client` example, on both drivers.

use std::env;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const NOWHERE: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };
#[cfg(windows)]
const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;

/// Examples are built beside the tests.
fn example(name: &str) -> PathBuf {
    let tests = env::current_exe().expect("this test's path");
    tests.ancestors().nth(2).expect("target directory").join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// The example at work.
struct Server {
    child: Child,
    /// What it prints at its end needs a reader.
    _stdout: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(driver: &str) -> Server {
        let mut command = Command::new(example("axum"));
        // A group of its own, which can be told to stop.
        #[cfg(windows)]
        std::os::windows::process::CommandExt::creation_flags(&mut command, CREATE_NEW_PROCESS_GROUP);
        let spawned = command.args(["127.0.0.1:0", "2", driver]).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("the example starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("its first line");
        let address = line.trim().strip_prefix("listening on ").expect("where it listens").to_owned();
        Server { child, _stdout: stdout, address }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks it to stop, which is Ctrl-Break to its group; whether it could.
    #[cfg(windows)]
    fn terminate(&self, test: &str) -> bool {
        use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
        // SAFETY: plain numbers: the event and the child's group.
        let told = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, self.child.id()) } != 0;
        if !told {
            let error = std::io::Error::last_os_error();
            skipped(&format!("{test}/the end"), &format!("no Ctrl-Break: there is no console, or this is Wine 8: {error}"));
        }
        told
    }

    /// Asks it to stop; whether it could.
    #[cfg(unix)]
    fn terminate(&self, _test: &str) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
        true
    }

    fn ended(mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server has not ended");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a test on a server of each driver that this system has.
fn on_each(test: impl Fn(Server)) {
    if !example("axum").exists() {
        return skipped("http", "the axum example is not built (cargo test builds it, unless told which tests to build)");
    }
    for driver in drivers() {
        test(Server::start(driver));
    }
}

#[cfg(target_os = "linux")]
fn drivers() -> Vec<&'static str> {
    match ostia::why_not_uring() {
        None => vec!["epoll", "io_uring"],
        Some(why) => {
            eprintln!("io_uring is left out: {why}");
            vec!["epoll"]
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn drivers() -> Vec<&'static str> {
    vec!["auto"]
}

/// Whether a program of this system is there; if not, the test is counted as skipped.
fn has(program: &str, test: &str) -> bool {
    let name = format!("{program}{}", env::consts::EXE_SUFFIX);
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(&name).exists());
    if !found {
        skipped(test, &format!("{program} is missing"));
    }
    found
}

fn skipped(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = env::var_os("OSTIA_SKIPPED") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped tests");
    }
}

/// A program's standard output, which must have gone well.
fn output(mut command: Command) -> Vec<u8> {
    let output = command.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {errors}", output.status);
    output.stdout
}

fn curl(arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60"]).args(arguments);
    output(command)
}

#[test]
fn curl_over_http1_and_http2() {
    if !has("curl", "curl_over_http1_and_http2") {
        return;
    }
    on_each(|server| {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let wanted = if version == "--http1.1" { "1.1" } else { "2" };
            assert_eq!(curl(&[version, &server.url("/")]), b"hello\n");
            assert_eq!(
                curl(&[version, "--write-out", "%{http_version}", "--output", NOWHERE, &server.url("/")]),
                wanted.as_bytes()
            );
            assert_eq!(curl(&[version, &server.url("/large")]), vec![b'x'; 64 << 10]);
            let body: Vec<u8> = (0..1_000_000u32).flat_map(|i| i.to_le_bytes()).take(1_000_000).collect();
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(&file, &body).expect("written");
            let data = format!("@{}", file.path().display());
            assert!(curl(&[version, "--data-binary", &data, &server.url("/echo")]) == body, "{version}");
        }
        // Over HTTP/1.1 only: curl 7.88 can't use a connection of HTTP/2 with prior knowledge again, whoever serves it.
        let several: Vec<String> = (0..50).map(|_| server.url("/")).collect();
        let several: Vec<&str> = ["--http1.1"].into_iter().chain(several.iter().map(String::as_str)).collect();
        assert_eq!(curl(&several), b"hello\n".repeat(50), "one connection, kept");
        if server.terminate("curl_over_http1_and_http2") {
            assert!(server.ended().success());
        }
    });
}

#[test]
fn hypers_client_over_http1_and_http2() {
    on_each(|server| {
        for version in ["h1", "h2"] {
            let mut client = Command::new(example("hyper_client"));
            client.args([&server.url("/large"), version]);
            assert!(output(client) == vec![b'x'; 64 << 10], "{version}");
        }
    });
}

/// A request that has begun when the server is told to stop is answered; the server then ends by itself.
#[test]
fn stopping_lets_requests_finish() {
    if !has("curl", "stopping_lets_requests_finish") {
        return;
    }
    on_each(|server| {
        let asking: Vec<_> = ["--http1.1", "--http2-prior-knowledge"]
            .map(|version| {
                let url = server.url("/slow/1500");
                std::thread::spawn(move || curl(&[version, &url]))
            })
            .into();
        // Both requests have come when their connections are there and have been read; half a second is plenty, and if it
        // were not, the connections would be refused and the test would say so.
        std::thread::sleep(Duration::from_millis(500));
        let stopping = server.terminate("stopping_lets_requests_finish");
        for answer in asking {
            assert_eq!(answer.join().expect("answered"), b"waited for 1500 ms\n");
        }
        if stopping {
            assert!(server.ended().success());
        }
    });
}

#[test]
fn under_load() {
    if has("wrk", "under_load") {
        on_each(|server| {
            for path in ["/", "/large"] {
                let mut wrk = Command::new("wrk");
                wrk.args(["--threads", "1", "--connections", "64", "--duration", "1s", &server.url(path)]);
                let text = String::from_utf8(output(wrk)).expect("text");
                assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
                assert!(text.contains("requests in"), "{text}");
            }
        });
    }
    if has("h2load", "under_load") {
        on_each(|server| {
            let mut h2load = Command::new("h2load");
            h2load.args(["-n", "2000", "-c", "20", "-m", "10", &server.url("/")]);
            let text = String::from_utf8(output(h2load)).expect("text");
            assert!(text.contains("2000 succeeded, 0 failed"), "{text}");
        });
    }
}

/// What is neither HTTP/1.1 nor HTTP/2, comes in pieces, or ends early harms nobody.
#[test]
fn odd_clients() {
    use std::io::Read;
    use std::net::{Shutdown, TcpStream};
    on_each(|server| {
        for (pieces, wanted) in [
            (&[&b"PRI * HTTP/2.0\r\n"[..], b"\r\nSM\r\n\r\n"][..], &b"\0"[..]),
            (&[b"G", b"ET / HT", b"TP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], b"HTTP/1.1 200"),
            (&[b"PRI * HTTP/3.0\r\n\r\n"], b""),
            (&[b"\x16\x03\x01\x02\x00\x01\x00\x01"], b""),
            (&[b"PRI"], b""),
            (&[], b""),
        ] {
            let mut client = TcpStream::connect(&server.address).expect("connects");
            client.set_nodelay(true).expect("TCP_NODELAY");
            for piece in pieces {
                client.write_all(piece).expect("sent");
                std::thread::sleep(Duration::from_millis(20));
            }
            if !wanted.is_empty() {
                let mut begins = vec![0; wanted.len()];
                client.read_exact(&mut begins).expect("an answer");
                assert_eq!(begins, wanted, "{pieces:?}");
            }
            client.shutdown(Shutdown::Write).expect("half-closed");
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest);
        }
        if server.terminate("odd_clients") {
            assert!(server.ended().success());
        }
    });
}

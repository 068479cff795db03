//! Bad input over real sockets, as one table per kind, on both drivers: requests, files, time, command lines.
#![cfg(unix)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DRIVERS: [&str; 2] = ["io_uring", "epoll"];

/// How long the test waits for what must come: long enough never to decide anything but failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, killed when dropped.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `ostia serve`; `None` where the machine has no io_uring to test.
fn serve(root: &Path, driver: &str, args: &[&str]) -> Option<Server> {
    serve_by(Command::new(env!("CARGO_BIN_EXE_ostia")), root, driver, args)
}

/// The same, by a command that runs the program.
fn serve_by(mut program: Command, root: &Path, driver: &str, args: &[&str]) -> Option<Server> {
    let mut child = program
        .arg("serve")
        .arg(root)
        .args(["--addr", "127.0.0.1:0", "--workers", "1", "--no-access-log", "--driver", driver])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("readable");
    let Some(start) = line.find("http://") else {
        let mut why = String::new();
        let mut stderr = child.stderr.take().expect("piped");
        stderr.read_to_string(&mut why).expect("readable");
        let _ = child.wait();
        assert!(driver == "io_uring" && why.contains("io_uring"), "{driver} does not start: {why}");
        eprintln!("SKIPPED on io_uring: {why}");
        return None;
    };
    let addr = line[start + 7..].trim_end().trim_end_matches('/').parse().expect("an address");
    Some(Server { child, addr })
}

/// A response taken apart.
#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(server: &Server) -> Client {
        let stream = TcpStream::connect(server.addr).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        Client(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        // The server may have refused and closed before it has read all.
        let _ = self.0.get_mut().write_all(bytes);
    }

    fn response(&mut self) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.0.read_line(&mut head).expect("a head");
            assert!(read > 0, "the connection ended in {head:?}");
        }
        let mut response = Response { status: head[9..12].parse().expect("a status"), head, body: Vec::new() };
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"), "{response:?}");
        let length = response.field("Content-Length").map_or(0, |n| n.parse().expect("a number"));
        response.body = vec![0; length];
        self.0.read_exact(&mut response.body).expect("the body");
        response
    }

    /// Whether the server ends the connection without another byte.
    fn ends(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }

    fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        self.response()
    }
}

fn site() -> tempfile::TempDir {
    let outside = tempfile::tempdir().expect("a directory");
    let root = outside.path().join("root");
    std::fs::create_dir_all(root.join("sub")).expect("made");
    std::fs::write(outside.path().join("secret"), "secret").expect("written");
    std::fs::write(root.join("file"), "0123456789").expect("written");
    std::fs::write(root.join("large"), vec![b'x'; 100_000]).expect("written");
    std::fs::write(root.join(".hidden"), "hidden").expect("written");
    std::os::unix::fs::symlink("../secret", root.join("link")).expect("linked");
    std::os::unix::fs::symlink("..", root.join("up")).expect("linked");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), mode).expect("made");
    for name in [&b"<b>.txt"[..], b"a\"b'c", b"new\nline", b"\xff\xfe"] {
        std::fs::write(root.join(OsStr::from_bytes(name)), "x").expect("written");
    }
    outside
}

fn on_both(args: &[&str], test: impl Fn(&Server)) {
    let site = site();
    for driver in DRIVERS {
        if let Some(server) = serve(&site.path().join("root"), driver, args) {
            test(&server);
        }
    }
}

#[test]
fn requests_that_cannot_be_trusted_are_refused_and_the_connection_closed() {
    let long = |n: usize| "x".repeat(n);
    let get = |fields: &str| format!("GET /file HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let table: Vec<(&str, String, u16)> = vec![
        ("length and coding", get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("coding and length", get("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400),
        ("two lengths", get("Content-Length: 3\r\nContent-Length: 4\r\n"), 400),
        ("two equal lengths", get("Content-Length: 3\r\nContent-Length: 3\r\n"), 400),
        ("a list of lengths", get("Content-Length: 3, 3\r\n"), 400),
        ("a signed length", get("Content-Length: +3\r\n"), 400),
        ("a coding without an end", get("Transfer-Encoding: gzip\r\n"), 400),
        ("an unknown coding", get("Transfer-Encoding: gzip, chunked\r\n"), 501),
        ("too large a body", get("Content-Length: 9999999\r\n"), 413),
        ("a malformed chunk", get("Transfer-Encoding: chunked\r\n") + "xyz\r\n", 400),
        ("a folded line", get("X: 1\r\n folded\r\n"), 400),
        ("a bare LF", "GET /file HTTP/1.1\nHost: localhost\n\n".into(), 400),
        ("a bare LF in the head", "GET /file HTTP/1.1\r\nHost: localhost\n\r\n".into(), 400),
        ("a bare CR", get("X: a\rb\r\n"), 400),
        ("a space before a colon", get("X : a\r\n"), 400),
        ("NUL in a field", get("X: a\0b\r\n"), 400),
        ("NUL in the target", "GET /fi\0le HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), 400),
        ("no Host", "GET /file HTTP/1.1\r\n\r\n".into(), 400),
        ("two Hosts", get("Host: localhost\r\n"), 400),
        ("a malformed Host", "GET /file HTTP/1.1\r\nHost: a b\r\n\r\n".into(), 400),
        ("a long field", get(&format!("X: {}\r\n", long(20_000))), 431),
        ("many fields", get(&"X: y\r\n".repeat(200)), 431),
        ("a long target", format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", long(10_000)), 414),
        ("an endless target", format!("GET /{}", long(10_000)), 414),
        ("a bad method", "DELETE /file HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), 405),
        ("a post", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".into(), 405),
        ("a method that is none", "G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), 400),
        ("HTTP/2", "GET /file HTTP/2.0\r\nHost: localhost\r\n\r\n".into(), 505),
        ("HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("HTTP/0.9", "GET /file\r\n\r\n".into(), 400),
        ("no HTTP", "GET /file HTTQ/1.1\r\nHost: localhost\r\n\r\n".into(), 400),
        ("TLS", "\u{16}\u{3}\u{1}\u{0}\u{5}hello\r\n\r\n".into(), 400),
        ("a raw character", "GET /\u{e4} HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), 400),
        ("an unknown expectation", get("Expect: magic\r\n"), 417),
    ];
    on_both(&[], |server| {
        for (what, request, status) in &table {
            let mut client = Client::connect(server);
            // A good request behind it must never be answered.
            client.send(&[request.as_bytes(), b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat());
            let response = client.response();
            assert_eq!(response.status, *status, "{what}: {response:?}");
            assert_eq!(response.field("Connection"), Some("close"), "{what}");
            assert_eq!(response.field("Allow").is_some(), *status == 405, "{what}");
            assert!(client.ends(), "{what}: the connection stays");
        }
        assert_eq!(Client::connect(server).get("/file").body, b"0123456789");
    });
}

#[test]
fn paths_never_lead_out_and_the_connection_stays() {
    let table = [
        ("/%", 400),
        ("/%zz", 400),
        ("/%4", 400),
        ("/%00", 400),
        ("/file%00.txt", 400),
        ("/../secret", 404),
        ("/sub/../../secret", 404),
        ("/%2e%2e/secret", 404),
        ("/.%2E/secret", 404),
        ("/%252e%252e/secret", 404),
        ("/..%2fsecret", 404),
        ("/%2e%2e%2fsecret", 404),
        ("/....//secret", 404),
        ("//../secret", 404),
        ("/..\\secret", 404),
        ("/..%5csecret", 404),
        ("/./file", 404),
        ("/link", 404),
        ("/up/secret", 404),
        ("/.hidden", 404),
        ("/%2ehidden", 404),
        ("/fifo", 404),
        ("/file/", 404),
        ("/file/x", 404),
        ("/nothing", 404),
        ("/sub", 301),
        ("//sub", 301),
        ("/sub/", 200),
    ];
    on_both(&[], |server| {
        let mut client = Client::connect(server);
        for (path, status) in table {
            let response = client.get(path);
            assert_eq!(response.status, status, "{path}: {response:?}");
            assert_ne!(response.body, b"secret", "{path}");
            if status == 301 {
                assert_eq!(response.field("Location"), Some("/sub/"), "{path}");
            }
        }
    });
}

#[test]
fn ranges_at_the_edges() {
    let table = [
        ("bytes=0-0", 206, "bytes 0-0/10"),
        ("bytes=9-", 206, "bytes 9-9/10"),
        ("bytes=-3", 206, "bytes 7-9/10"),
        ("bytes=0-99999999999999999999999", 206, "bytes 0-9/10"),
        ("bytes=-99999999999999999999999", 206, "bytes 0-9/10"),
        ("bytes=-0", 416, "bytes */10"),
        ("bytes=10-", 416, "bytes */10"),
        ("bytes=99999999999999999999999-", 416, "bytes */10"),
        ("bytes=18446744073709551615-18446744073709551615", 416, "bytes */10"),
        ("bytes=5-2", 200, ""),
        ("bytes=0-1,3-4", 200, ""),
        ("bytes=a-b", 200, ""),
        ("bytes", 200, ""),
    ];
    on_both(&[], |server| {
        let mut client = Client::connect(server);
        for (range, status, shown) in table {
            client.send(format!("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: {range}\r\n\r\n").as_bytes());
            let response = client.response();
            assert_eq!(response.status, status, "{range}");
            assert_eq!(response.field("Content-Range").unwrap_or(""), shown, "{range}");
            assert_eq!(response.body.len(), if status == 416 { 0 } else { part(shown) }, "{range}");
        }
    });
}

/// Length of the part in `bytes A-B/10`; of the whole without one.
fn part(shown: &str) -> usize {
    let Some((first, last)) = shown.trim_start_matches("bytes ").trim_end_matches("/10").split_once('-') else {
        return 10;
    };
    last.parse::<usize>().expect("a number") - first.parse::<usize>().expect("a number") + 1
}

#[test]
fn odd_names_are_escaped_in_the_listing_and_can_be_fetched() {
    on_both(&[], |server| {
        let mut client = Client::connect(server);
        let listing = client.get("/");
        let page = String::from_utf8(listing.body).expect("UTF-8");
        assert!(!page.contains("<b>") && page.contains("&lt;b&gt;.txt"));
        for link in ["%3Cb%3E.txt", "a%22b%27c", "new%0Aline", "%FF%FE"] {
            assert!(page.contains(&format!("href=\"./{link}\"")), "{link} in {page}");
            assert_eq!(client.get(&format!("/{link}")).body, b"x", "{link}");
        }
        assert!(!page.contains("fifo") && !page.contains("hidden") && !page.contains("link\""));
    });
}

#[test]
fn slowness_has_limits() {
    let short = ["--header-timeout=100ms", "--body-timeout=100ms", "--idle-timeout=300ms"];
    on_both(&short, |server| {
        for (what, sent, answered) in [
            ("a head that stops", &b"GET /file HTTP/1.1\r\nHost: loc"[..], true),
            ("a body that stops", b"GET /file HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab", true),
            ("chunks that stop", b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na", true),
            ("silence", b"", false),
        ] {
            let mut client = Client::connect(server);
            client.send(sent);
            if answered {
                let response = client.response();
                assert_eq!((response.status, response.field("Connection")), (408, Some("close")), "{what}");
            }
            assert!(client.ends(), "{what}");
        }
        // Idle after a request.
        let mut client = Client::connect(server);
        assert_eq!(client.get("/file").status, 200);
        assert!(client.ends());
    });
}

#[test]
fn a_head_that_drips_is_cut_off_however_busy_it_looks() {
    // Each byte comes in time for any limit on silence; only one on the whole head ends it.
    on_both(&["--header-timeout=500ms", "--idle-timeout=60s"], |server| {
        let mut client = Client::connect(server);
        client.0.get_ref().set_read_timeout(Some(Duration::from_millis(20))).expect("set");
        client.send(b"GET /file HTTP/1.1\r\nX: ");
        let mut first = [0];
        let answered = (0..3000).any(|_| {
            client.send(b"x");
            client.0.read(&mut first).is_ok()
        });
        assert!(answered, "never cut off");
        client.0.get_ref().set_read_timeout(Some(PATIENCE)).expect("set");
        let mut rest = String::new();
        let _ = client.0.read_to_string(&mut rest);
        assert!(rest.starts_with("TTP/1.1 408 "), "{rest}");
    });
}

#[test]
fn a_body_is_read_and_the_next_request_answered() {
    on_both(&[], |server| {
        let mut client = Client::connect(server);
        client.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        let mut interim = [0; 25];
        client.0.read_exact(&mut interim).expect("an interim response");
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.send(b"abc");
        assert_eq!(client.response().status, 200);
        client.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(client.response().body, b"0123456789");
        assert_eq!(client.get("/file").status, 200);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let text = [one("/file"), one("/large"), one("/nothing"), one("/sub/"), one("/file")].concat();
    on_both(&[], |server| {
        for cut in [text.len(), 1, 7, 50] {
            let mut client = Client::connect(server);
            client.0.get_ref().set_nodelay(true).expect("set");
            for piece in text.as_bytes().chunks(cut) {
                client.send(piece);
            }
            let statuses: Vec<u16> = (0..5).map(|_| client.response().status).collect();
            assert_eq!(statuses, [200, 200, 404, 200, 200], "in pieces of {cut}");
        }
    });
}

#[test]
fn connections_over_the_cap_are_told_to_come_again() {
    on_both(&["--max-connections=2"], |server| {
        let mut first = Client::connect(server);
        assert_eq!(first.get("/file").status, 200);
        let mut second = Client::connect(server);
        assert_eq!(second.get("/file").status, 200);
        let mut third = Client::connect(server);
        third.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let response = third.response();
        assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
        assert!(third.ends());
        assert_eq!(first.get("/file").status, 200, "those within it are served on");
        drop(second);
        // Until the server has noticed, newcomers are still turned away.
        let served = (0..1000).any(|_| {
            let mut late = Client::connect(server);
            late.get("/file").status == 200
        });
        assert!(served, "room is never given again");
    });
}

#[test]
fn with_no_descriptor_left_those_who_are_connected_are_served_on() {
    let site = site();
    let root = site.path().join("root");
    for driver in DRIVERS {
        let mut program = Command::new("/bin/sh");
        program.args(["-c", "ulimit -n 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_ostia")]);
        let Some(server) = serve_by(program, &root, driver, &["--revalidate=0"]) else {
            continue;
        };
        let mut early = Client::connect(&server);
        assert_eq!(early.get("/file").status, 200);
        assert_eq!(early.get("/large").status, 200);
        let crowd: Vec<Client> = (0..100).map(|_| Client::connect(&server)).collect();
        // More requests than accepts can be pending, so that the crowd has come in by then.
        for _ in 0..200 {
            assert_eq!(early.get("/file").body, b"0123456789", "from the cache");
            assert_eq!(early.get("/large").body.len(), 100_000, "held open");
            assert_eq!(early.get("/a%22b%27c").body, b"x", "opened");
        }
        drop(crowd);
        assert_eq!(early.get("/file").status, 200);
        assert_eq!(Client::connect(&server).get("/file").status, 200);
    }
}

#[test]
fn foreign_names_are_misdirected() {
    let ask = |server: &Server, host: &str| {
        let mut client = Client::connect(server);
        client.send(format!("GET /file HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        client.response().status
    };
    on_both(&[], |server| {
        for (host, status) in [("evil.example", 421), ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]", 200), ("", 421)] {
            assert_eq!(ask(server, host), status, "{host}");
        }
    });
    on_both(&["--allow-host", "files.example"], |server| {
        for (host, status) in [("files.example:80", 200), ("evil.example", 421), ("localhost", 200)] {
            assert_eq!(ask(server, host), status, "{host}");
        }
    });
}

#[test]
fn command_lines_that_cannot_work_say_why_and_what_to_do() {
    let site = site();
    let root = site.path().join("root");
    let root = root.to_str().expect("text");
    let file = format!("{root}/file");
    let missing = format!("{root}/missing");
    let socket = format!("unix:{missing}/socket");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("bound").to_string();
    let mut table: Vec<(Vec<&str>, i32, Vec<&str>)> = vec![
        (vec!["serve", &missing], 1, vec![&missing, "no such directory", "hint"]),
        (vec!["serve", &file], 1, vec![&file, "not a directory", "hint"]),
        (vec!["serve", root, "--addr", &taken], 1, vec![&taken, "in use", "--addr"]),
        (vec!["echo", "--addr", &taken], 1, vec![&taken, "in use", "--addr"]),
        (vec!["serve", root, "--addr", "192.0.2.1:0"], 1, vec!["192.0.2.1", "not an address of this machine", "hint"]),
        (vec!["serve", root, "--addr", &socket], 1, vec![&missing, "no such directory", "hint"]),
        (vec!["serve", root, "--addr", "127.0.0.1"], 2, vec!["127.0.0.1", "HOST:PORT"]),
        (vec!["serve", root, "--addr", "localhost:99999"], 2, vec!["localhost:99999", "HOST:PORT"]),
        (vec!["serve"], 2, vec!["DIR"]),
        (vec!["serve", root, "--workers", "0"], 2, vec!["--workers"]),
        (vec!["frobnicate"], 2, vec!["frobnicate"]),
    ];
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED, no permission: this user may do anything");
    } else {
        table.push((vec!["serve", root, "--addr", "127.0.0.1:1"], 1, vec!["127.0.0.1:1", "permission denied", "1024"]));
    }
    for (args, code, words) in table {
        let output = Command::new(env!("CARGO_BIN_EXE_ostia")).args(&args).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: no {word:?} in {said}");
        }
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn too_few_descriptors_are_told_of() {
    let site = site();
    let root = site.path().join("root");
    for driver in DRIVERS {
        // From too few to start with upwards; the program must start in the end, or say what is wrong.
        let started = [6, 8, 10, 12, 16, 32, 64].into_iter().any(|limit| {
            let mut child = Command::new("/bin/sh")
                .args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_ostia"), "serve"])
                .arg(&root)
                .args(["--addr=127.0.0.1:0", "--workers=1", "--driver", driver])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it runs");
            let mut line = String::new();
            let stdout = child.stdout.take().expect("piped");
            BufReader::new(stdout).read_line(&mut line).expect("readable");
            if line.contains("http://") {
                child.kill().expect("it runs");
                child.wait().expect("it ends");
                return true;
            }
            let output = child.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stderr);
            let loader = output.status.code() == Some(127);
            let no_uring = driver == "io_uring" && said.contains("io_uring") && !said.contains("descriptor");
            assert!(!output.status.success(), "with {limit}");
            assert!(loader || no_uring || said.contains("descriptor") && said.contains("ulimit -n"), "{limit}: {said}");
            no_uring
        });
        assert!(started, "64 descriptors are enough on {driver}");
    }
}

#[test]
fn an_error_that_nobody_reads_keeps_its_exit_code() {
    for json in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_ostia"))
            .args(["stack", "--network", "kernel"])
            .args(json)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(writer)
            .status()
            .expect("the program starts");
        assert_eq!(status.code(), Some(2));
    }
}

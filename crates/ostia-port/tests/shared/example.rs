//! The example that shows the classic server's shape: many clients, resets, silence, the stop, in this process on every engine
//! and as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use ostia_port::SharedPort;

use crate::common::peers::reset;
use crate::common::{Random, patience, repeat, skip, under_valgrind};
use crate::{on_every_shared, shared, until};

#[path = "../../examples/iocp_server.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod iocp_server;

/// So long that nobody is silent for it.
const LONG: Duration = Duration::from_secs(100_000);

/// 11: every client gets its answers in order, whatever others do: send in pieces and many at once, leave, break off. Then a
/// packet stops the server; whoever is still there is told, and nothing is left.
#[test]
fn s11_the_classic_server_answers_everybody_and_stops() {
    on_every_shared("s11_the_classic_server_answers_everybody_and_stops", |engine| {
        let port = shared(engine, 0);
        with_server(&port, LONG, |address| {
            let mut stays = connect(address);
            stays.write_all(b"SET fleet 12\nGET fle").expect("sent");
            many_clients(address);
            stays.write_all(b"et\nGET\nGET nothing\n").expect("sent");
            let mut lines = BufReader::new(stays).lines().map(|line| line.expect("a line"));
            assert_eq!(lines.by_ref().take(4).collect::<Vec<_>>(), ["NEW", "12", "ERR", "NONE"]);
            iocp_server::stop(&port).expect("room for it");
            assert_eq!(lines.collect::<Vec<_>>(), ["BYE all"]);
        });
        assert_nothing_left(&port);
    });
}

/// 11: who is silent is told so and parted with, be it from the start or after an answer.
#[test]
fn s11_the_classic_server_parts_with_silent_clients() {
    on_every_shared("s11_the_classic_server_parts_with_silent_clients", |engine| {
        let port = shared(engine, 0);
        with_server(&port, Duration::from_millis(200), |address| {
            silent_clients(address);
            iocp_server::stop(&port).expect("room for it");
        });
        assert_nothing_left(&port);
    });
}

/// 9 and 11: it stops in the middle of everything, and again nothing is left.
#[test]
fn s11_the_classic_server_stops_while_all_talk() {
    on_every_shared("s11_the_classic_server_stops_while_all_talk", |engine| {
        for round in 0..repeat(3, 40) as u64 {
            let port = shared(engine, 1 + round as usize % 3);
            with_server(&port, LONG, |address| {
                std::thread::scope(|scope| {
                    let (told, answered) = std::sync::mpsc::channel();
                    for number in 0..8 {
                        let told = told.clone();
                        scope.spawn(move || talk_until_the_end(address, number, told));
                    }
                    drop(told);
                    answered.iter().take(8 + 50 * round as usize % 500).for_each(drop);
                    iocp_server::stop(&port).expect("room for it");
                    // A second one changes nothing.
                    let _ = iocp_server::stop(&port);
                });
            });
            assert_eq!(port.load().operations, 0);
        }
    });
}

/// 11: the stop comes while the packet of an answer is on its way. Whoever deals with that finds nobody, and nothing of the
/// connection is in flight while its close is being submitted: the workers wait for that, too.
#[test]
fn s11_the_classic_server_stops_right_behind_an_answer() {
    on_every_shared("s11_the_classic_server_stops_right_behind_an_answer", |engine| {
        for _ in 0..repeat(50, 2000) {
            let port = shared(engine, 0);
            with_server(&port, LONG, |address| {
                let mut stream = connect(address);
                stream.write_all(b"GET x\n").expect("sent");
                stream.read_exact(&mut [0; 5]).expect("an answer");
                iocp_server::stop(&port).expect("room for it");
                let mut words = String::new();
                stream.read_to_string(&mut words).expect("the end");
                assert_eq!(words, "BYE all\n");
            });
            assert_nothing_left(&port);
        }
    });
}

/// The example as people run it: a process that ends with its standard input.
#[test]
fn s11_the_classic_server_as_a_process() {
    const NAME: &str = "s11_the_classic_server_as_a_process";
    if under_valgrind() {
        return skip(NAME, "the example would not run under valgrind");
    }
    if !Process::path().exists() {
        return skip(NAME, "the example is not built (cargo test builds it, unless told which tests to build)");
    }
    let server = Process::start("100000");
    let mut stays = connect(server.address);
    many_clients(server.address);
    server.ends_well();
    let mut words = String::new();
    stays.read_to_string(&mut words).expect("the end");
    assert_eq!(words, "BYE all\n");

    let server = Process::start("0.2");
    silent_clients(server.address);
    server.ends_well();
}

/// Ends a port with the test that fails: its threads would wait for ever.
struct EndInPanic<'a>(&'a SharedPort);

impl Drop for EndInPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

/// Runs the server while `work` lasts, which must stop it.
fn with_server(port: &SharedPort, idle: Duration, work: impl FnOnce(SocketAddr)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("address");
    std::thread::scope(|scope| {
        let server = scope.spawn(|| iocp_server::serve(port, listener, idle));
        let _guard = EndInPanic(port);
        work(address);
        server.join().expect("no panic").expect("the server ends well");
    });
}

fn assert_nothing_left(port: &SharedPort) {
    let load = port.load();
    assert_eq!((load.operations, load.packets), (0, 0), "when the last worker had gone");
    until(port, "all of them have left the port", |load| load.members == 0);
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(patience())).expect("SO_RCVTIMEO");
    stream.set_write_timeout(Some(patience())).expect("SO_SNDTIMEO");
    stream
}

fn many_clients(address: SocketAddr) {
    let clients = repeat(24, 400) as u64;
    for batch in 0..clients / 8 {
        std::thread::scope(|scope| {
            for number in batch * 8..batch * 8 + 8 {
                scope.spawn(move || match number % 4 {
                    0 => breaks_off(address, number),
                    1 => never_ends(address),
                    kind => talks(address, number, kind == 2),
                });
            }
        });
    }
}

/// Sends requests in pieces as they come, reads all answers, and takes its leave: by a word, or by ending its side.
fn talks(address: SocketAddr, number: u64, says_so: bool) {
    let mut random = Random::new(number);
    let (mut requests, mut expected) = (String::new(), String::new());
    for key in 0..repeat(300, 400) {
        let most = if random.one_in(20) { 3000 } else { 30 };
        let value = "v".repeat(1 + random.below(most));
        requests += &format!("SET {number}.{key} {value}\nGET {number}.{key}\r\nSET {number}.{key} x y\n");
        expected += &format!("NEW\n{value}\nOLD\n");
    }
    if says_so {
        requests += "QUIT\n";
        expected += "BYE\n";
    }
    let stream = connect(address);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rest = requests.as_bytes();
            while !rest.is_empty() {
                let piece = (1 + random.below(8000)).min(rest.len());
                (&stream).write_all(&rest[..piece]).expect("sent");
                rest = &rest[piece..];
            }
            if !says_so {
                stream.shutdown(Shutdown::Write).expect("shut down");
            }
        });
        let mut answers = String::new();
        (&stream).read_to_string(&mut answers).expect("all answers and the end");
        assert!(answers == expected, "client {number}: {answers}");
    });
}

/// Sends a line without an end. It is told so, unless the reset overtakes that: the rest of the line is not received.
fn never_ends(address: SocketAddr) {
    let stream = connect(address);
    while (&stream).write(&[b'x'; 5000]).is_ok() {}
    let mut words = Vec::new();
    let _ = (&stream).read_to_end(&mut words);
    assert!(b"ERR too long\n".starts_with(&words), "{}", words.escape_ascii());
}

/// Asks for more than it takes, and resets the connection.
fn breaks_off(address: SocketAddr, number: u64) {
    let mut stream = connect(address);
    stream.write_all(format!("SET {number} {}\n", "w".repeat(2000)).as_bytes()).expect("sent");
    stream.write_all(format!("GET {number}\n").repeat(number as usize % 7).as_bytes()).expect("sent");
    if number.is_multiple_of(3) {
        stream.read_exact(&mut [0; 4]).expect("an answer");
    }
    reset(stream);
}

/// Tells of each answer it gets, until the server says goodbye. What was asked too late has no answer.
fn talk_until_the_end(address: SocketAddr, number: u64, told: std::sync::mpsc::Sender<()>) {
    let Ok(mut stream) = TcpStream::connect(address) else { return };
    stream.set_read_timeout(Some(patience())).expect("SO_RCVTIMEO");
    let mut lines = BufReader::new(stream.try_clone().expect("dup"));
    loop {
        let mut line = String::new();
        let asked = stream.write_all(format!("GET {number}\n").as_bytes());
        // A request that the server never read makes the end a reset.
        match lines.read_line(&mut line) {
            Ok(_) if line == "NONE\n" => asked.expect("it was answered"),
            Ok(_) if line == "BYE all\n" || line.is_empty() => return,
            Ok(_) => panic!("{line}"),
            Err(error) => return assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer"),
        }
        // Nobody listens any more when the server is about to stop.
        let _ = told.send(());
    }
}

fn silent_clients(address: SocketAddr) {
    let mute: Vec<_> = (0..10).map(|_| connect(address)).collect();
    let mut once = connect(address);
    let mut answer = [0; 5];
    // On a slow machine the time is over before the request arrives.
    let answered = once.write_all(b"GET x\n").and_then(|()| once.read_exact(&mut answer)).is_ok() && &answer == b"NONE\n";
    for mut stream in mute.into_iter().chain(answered.then_some(once)) {
        let mut words = String::new();
        stream.read_to_string(&mut words).expect("the end");
        assert_eq!(words, "BYE silent one\n");
    }
}

/// The example at work.
struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Process {
    /// Examples are built beside the tests.
    fn path() -> PathBuf {
        let tests = std::env::current_exe().expect("this test's path");
        let folder = tests.ancestors().nth(2).expect("target directory").join("examples");
        folder.join(format!("iocp_server{}", std::env::consts::EXE_SUFFIX))
    }

    fn start(idle: &str) -> Process {
        let mut command = Command::new(Process::path());
        command.args(["127.0.0.1:0", idle]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the example starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("its first line");
        let address = line.trim().strip_prefix("listening on ").expect("where it listens").parse().expect("an address");
        Process { child, stdout, address }
    }

    /// Ends its standard input and waits for its end.
    fn ends_well(mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + patience();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                break status;
            }
            assert!(Instant::now() < deadline, "the example has not ended");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut words = String::new();
        self.stdout.read_to_string(&mut words).expect("its last words");
        assert!(status.success(), "{status}");
        assert_eq!(words, "left: 0 operations, 0 packets\n");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

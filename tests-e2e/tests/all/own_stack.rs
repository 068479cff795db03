//! `ostia ping` and `ostia stack`, with the kernel at the other end of the device: in network namespaces of the tests' own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::DEADLINE;
use crate::support::case::{Case, on_both_drivers};
use crate::support::namespace::Namespace;
use crate::support::process::{Ended, Process, ostia};

fn program(namespace: &Namespace, case: &Case, words: &str) -> Command {
    let mut command = namespace.command(&ostia());
    command.args(words.split_whitespace()).args(["--driver", &case.driver.to_string()]);
    command
}

fn run(namespace: &Namespace, case: &Case, words: &str) -> Ended {
    Process::start(&mut program(namespace, case, words)).wait()
}

/// The lines of JSON in an output.
fn objects(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn has_ipv6(case: &Case) -> bool {
    let has = std::path::Path::new("/proc/net/if_inet6").exists();
    if !has {
        case.skip_part("IPv6", "the kernel has no IPv6");
    }
    has
}

on_both_drivers! {
    /// Over TUN and TAP, IPv4 and IPv6, short and in fragments.
    fn the_kernel_answers_the_stack(case: Case) {
        let Some(namespace) = Namespace::new(&case) else { return };
        let ended = run(&namespace, &case, "ping 10.7.0.1 --network tun --count 3 --interval 20ms");
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        for line in ["PING 10.7.0.1: 56 bytes of data", "64 bytes from 10.7.0.1: icmp_seq=3 ttl=64 time=", "3 packets transmitted, 3 received, 0% packet loss", "rtt min/avg/max/mdev = "] {
            assert!(ended.output.contains(line), "{line}: {}", ended.output);
        }
        let mut asked = vec!["ping 10.7.0.1 --network tap --size 1400", "ping 10.7.0.1 --network tap --size 65507", "ping 10.7.0.1 --network tun --size 20000"];
        if has_ipv6(&case) {
            asked.extend(["ping fd07::1 --network tun --ip fd07::2/64", "ping fd07::1 --network tap --ip fd07::2/64"]);
        }
        for words in asked {
            let ended = run(&namespace, &case, &format!("{words} --json --count 2 --interval 20ms"));
            assert_eq!(ended.status.code(), Some(0), "{words}: {}{}", ended.output, ended.errors);
            let said = objects(&ended.output);
            let last = said.last().expect("statistics");
            assert_eq!((&last["event"], &last["transmitted"], &last["received"]), (&"statistics".into(), &2.into(), &2.into()));
            assert!(last["min_ms"].as_f64().expect("a time") <= last["max_ms"].as_f64().expect("a time"));
            assert_eq!(said.iter().filter(|one| one["event"] == "reply" && one["duplicate"] == false).count(), 2);
        }
    }

    /// Whoever isn't there is told of by the exit code.
    fn nobody_answers(case: Case) {
        let Some(namespace) = Namespace::new(&case) else { return };
        let ended = run(&namespace, &case, "ping 10.7.0.9 --network tap --count 2 --interval 10ms --timeout 50ms");
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(ended.output.contains("2 packets transmitted, 0 received"), "{}", ended.output);
        assert!(ended.errors.contains("10.7.0.9 has not answered") && ended.errors.contains("hint"), "{}", ended.errors);
    }

    /// On the kernel's own network, if that allows it.
    fn the_kernel_answers_itself(case: Case) {
        let Some(namespace) = Namespace::new(&case) else { return };
        let ended = run(&namespace, &case, "ping 127.0.0.1 --count 2 --interval 10ms");
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        assert!(ended.output.contains("2 received, 0% packet loss") && ended.output.contains(" ttl=64 "), "{}", ended.output);
        let Some(namespace) = Namespace::with_groups(&case, "1 0") else { return };
        let ended = run(&namespace, &case, "ping 127.0.0.1 --count 2 --interval 10ms");
        assert_eq!(ended.status.code(), Some(4), "{}", ended.output);
        assert!(ended.errors.contains("net.ipv4.ping_group_range"), "{}", ended.errors);
    }

    /// Without a count it asks until Ctrl-C, and then says what came of it.
    fn an_interrupt_ends_it_with_the_figures(case: Case) {
        let Some(namespace) = Namespace::new(&case) else { return };
        let process = Process::start(&mut program(&namespace, &case, "ping 10.7.0.1 --network tun --interval 10ms"));
        let third = process.output.wait_for(|line| line.contains("icmp_seq=3 ").then_some(()));
        assert!(third.is_some(), "{}", process.errors.text());
        process.signal(Signal::INT);
        let ended = process.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        assert!(ended.output.contains("ping statistics") && ended.output.contains("rtt min/avg/max/mdev"), "{}", ended.output);
    }

    /// A name is asked of a server at the other end of the device.
    fn names_are_asked_over_the_stack(case: Case) {
        let Some(namespace) = Namespace::new(&case) else { return };
        let server = NameServer::start(&namespace, [10, 7, 0, 1]);
        let ended = run(&namespace, &case, "ping harbour.example --network tun --dns 10.7.0.1 --count 1");
        assert_eq!(ended.status.code(), Some(0), "{}{}", ended.output, ended.errors);
        assert!(ended.output.contains("PING harbour.example (10.7.0.1)"), "{}", ended.output);
        drop(server);
        // Nothing listens there.
        let ended = run(&namespace, &case, "ping harbour.example --network tun --dns 10.7.0.1:5353 --count 1");
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(ended.errors.contains("10.7.0.1:5353: nothing listens there"), "{}", ended.errors);
    }

    /// The stack answers the kernel, and shows its sockets.
    fn the_stack_answers_the_kernel_and_shows_what_it_has(case: Case) {
        let Some(namespace) = Namespace::new(&case) else { return };
        let words = "stack --network tap --ip 10.7.0.2/24 --echo 7 --json --watch 20ms";
        let process = Process::start(&mut program(&namespace, &case, words));
        let listening = process.output.wait_for(|line| line.contains("\"listening\"").then_some(()));
        assert!(listening.is_some(), "{}", process.errors.text());
        let ended = run(&namespace, &case, "ping 10.7.0.2 --count 3 --interval 10ms");
        assert_eq!(ended.status.code(), Some(0), "{}{}", ended.output, ended.errors);
        let mut stream = namespace.within(|| {
            let address: SocketAddr = "10.7.0.2:7".parse().expect("an address");
            TcpStream::connect_timeout(&address, DEADLINE).expect("it listens")
        });
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        stream.write_all(b"ahoy").expect("sent");
        let mut came = [0; 4];
        stream.read_exact(&mut came).expect("it comes back");
        assert_eq!(&came, b"ahoy");
        let here = stream.local_addr().expect("an address").to_string();
        let shown = process.output.wait_for(|line| {
            let seen: Value = serde_json::from_str(line).ok()?;
            let socket = seen["sockets"].as_array()?.iter().find(|socket| socket["peer"] == here.as_str())?.clone();
            // The acknowledgment of what came back may be on its way.
            (socket["info"]["bytes_acked"].as_u64()? >= 4).then_some((seen, socket))
        });
        let (seen, socket) = shown.unwrap_or_else(|| panic!("not shown: {}", process.errors.text()));
        assert_eq!((&socket["state"], &socket["local"], &socket["protocol"]), (&"ESTAB".into(), &"10.7.0.2:7".into(), &"tcp".into()));
        assert_eq!((&socket["info"]["bytes_received"], &socket["send_queue"]), (&4.into(), &0.into()));
        assert!(socket["info"]["cwnd"].as_u64() > Some(0) && socket["info"]["rtt_ms"].as_f64() > Some(0.0), "{socket}");
        assert_eq!(seen["counters"]["IcmpInMsgs"], 3);
        assert!(seen["neighbours"].as_array().expect("a list").iter().any(|one| one["address"] == "10.7.0.1"), "{seen}");
        drop(stream);
        process.signal(Signal::INT);
        let ended = process.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    }
}

/// The page for people, with another stack's device: TUN. And what can't be shown.
#[test]
fn the_page_is_shown_at_the_beginning_and_at_the_end() {
    let case = Case {
        name: concat!(module_path!(), "::the_page_is_shown_at_the_beginning_and_at_the_end"),
        driver: crate::support::case::Driver::Auto,
    };
    let ended = Process::start(Command::new(ostia()).arg("stack")).wait();
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.errors.contains("--network tun"), "{}", ended.errors);
    let Some(namespace) = Namespace::new(&case) else { return };
    let process = Process::start(&mut program(&namespace, &case, "stack --network tun --ip 10.7.0.2/24"));
    let shown = process.output.wait_for(|line| line.starts_with("connections ").then_some(()));
    assert!(shown.is_some(), "{}", process.errors.text());
    let ended = run(&namespace, &case, "ping 10.7.0.2 --count 2 --interval 10ms");
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.output, ended.errors);
    process.signal(Signal::TERM);
    let ended = process.wait();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    assert_eq!(ended.output.matches("Netid State").count(), 2, "{}", ended.output);
    assert!(ended.output.contains("10.7.0.2/24 manual preferred") && ended.output.contains("IcmpInMsgs"), "{}", ended.output);
}

/// A DNS server on every address of a namespace, until it is dropped.
struct NameServer {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    fn start(namespace: &Namespace, address: [u8; 4]) -> NameServer {
        let socket = namespace.within(|| UdpSocket::bind("0.0.0.0:53").expect("a namespace of its own"));
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 512];
            while !end.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&answer(&buffer[..length], address), from);
                }
            }
        });
        NameServer { ended, thread: Some(thread) }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// An answer to a question: this address to one for IPv4, and nothing to others.
fn answer(question: &[u8], address: [u8; 4]) -> Vec<u8> {
    let mut message = question.to_vec();
    // An answer, recursion available; the question stays.
    (message[2], message[3]) = (0x81, 0x80);
    let v4 = question[question.len() - 4..] == [0, 1, 0, 1];
    if v4 {
        message[7] = 1;
        // The question's name, A, IN, a minute, four octets.
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend_from_slice(&address);
    }
    message
}

//! What takes a process of its own: numbers that are given again, libc's functions, and the tool's way to run.

use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use crate::host::{self, Host, last_error, load};
use crate::packet::{ACK, PSH, RST};
use crate::{families, handshake, server};

const CHILD: &str = "OSTIA_PACKETDRILL_PROCESS";
const DONE: &str = "the child has seen it all";

/// Whether this is the process for a test.
fn is_for(name: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|chosen| chosen == name)
}

/// Runs one of the tests below in a process of its own, with the library before libc or without.
fn run(name: &str, preloaded: bool) {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", &format!("process::{name}"), "--nocapture"]).env(CHILD, name);
    if preloaded {
        child.env("LD_PRELOAD", load());
    }
    let output = child.output().expect("this test once more");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let erred = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains(DONE), "{said}\n{erred}");
}

/// A file that nobody else sees.
fn file(contents: &[u8]) -> std::fs::File {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"of this test".as_ptr(), 0) };
    assert!(fd >= 0, "memfd_create: {}", last_error());
    // SAFETY: it is new, and nobody else's.
    let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
    file.write_all(contents).expect("room");
    file
}

#[test]
fn a_number_that_is_somebody_elses_by_now_stays_open() {
    run("child_whose_number_is_given_again", false);
}

#[test]
fn child_whose_number_is_given_again() {
    if !is_for("child_whose_number_is_given_again") {
        return;
    }
    let host = Host::new(&load(), "");
    let fd = host.socket(true, libc::SOCK_STREAM);
    // SAFETY: a number of this test's own.
    assert_eq!(unsafe { libc::close(fd) }, 0);
    let other = file(b"");
    assert_eq!(other.as_raw_fd(), fd, "the lowest number that is free");
    drop(host);
    other.metadata().expect("it is open");
    println!("{DONE}");
}

#[test]
fn files_are_sent() {
    run("child_that_sends_files", true);
}

#[test]
fn child_that_sends_files() {
    if !is_for("child_that_sends_files") {
        return;
    }
    let [mut peer, _] = families();
    let host = Host::new(&load(), "");
    let listener = server(&host, &peer);
    handshake(&host, &mut peer, 0);
    let fd = host.accept(listener);
    // Each call's segments go at once, whatever is under way.
    host.set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    let bytes: Vec<u8> = (0..100).collect();
    let (from, to) = (file(&bytes), file(b""));
    let (number, other) = (from.as_raw_fd(), to.as_raw_fd());
    let mut at: libc::off_t = 10;
    // SAFETY: numbers of this test's own, and an offset that is there or null; so in all that follows.
    unsafe {
        assert_eq!(libc::sendfile(fd, number, &mut at, 50), 50);
        assert_eq!(at, 60);
        let sent = peer.read(&host.receive_packet().0);
        assert_eq!(sent.payload, bytes[10..60]);
        // Without an offset it is the file's own that counts, and the file's end ends it.
        assert_eq!(libc::lseek(number, 90, libc::SEEK_SET), 90);
        assert_eq!(libc::sendfile64(fd, number, std::ptr::null_mut(), 4096), 10);
        assert_eq!(libc::lseek(number, 0, libc::SEEK_CUR), 100);
        assert_eq!(peer.read(&host.receive_packet().0).payload, bytes[90..]);
        assert_eq!(libc::sendfile(fd, number, std::ptr::null_mut(), 4096), 0, "the end");
        // More than a segment, and more than goes at once.
        at = 0;
        assert_eq!(libc::ftruncate(number, 200_000), 0);
        assert_eq!(libc::sendfile(fd, number, &mut at, 150_000), 150_000);
        assert_eq!((at, peer.read(&host.receive_packet().0).payload.len()), (150_000, 1000));
        for (out, input, error) in [(other, fd, libc::EINVAL), (fd, listener, libc::EINVAL), (fd, -1, libc::EBADF)] {
            assert_eq!((libc::sendfile(out, input, std::ptr::null_mut(), 1), last_error()), (-1, error), "{out} {input}");
        }
        assert_eq!((libc::sendfile(listener, number, &mut 0, 1), last_error()), (-1, libc::EPIPE));
        // The kernel's own go to the kernel.
        assert_eq!(libc::sendfile(other, number, &mut 0, 100), 100);
    }
    println!("{DONE}");
}

#[test]
fn it_runs_as_the_tool_does() {
    for preloaded in [false, true] {
        run("child_that_runs_as_the_tool_does", preloaded);
    }
}

/// Waits until a thread sleeps, as the tool does before it goes on to the next line of a script.
fn await_sleep(thread: i32) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("the thread lives");
        if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')) {
            return;
        }
        thread::yield_now();
    }
}

/// The lowest real-time priority, for this thread and those that it makes; whether that is allowed.
fn in_real_time() -> bool {
    // SAFETY: no memory is handed over but a structure that lives.
    unsafe {
        let priority = libc::sched_param { sched_priority: libc::sched_get_priority_min(libc::SCHED_RR) };
        libc::sched_setscheduler(0, libc::SCHED_RR, &priority) == 0
    }
}

/// Locks all memory, and what is still to come; whether there may be so much.
fn lock_memory() -> bool {
    const MUCH: usize = 1 << 30;
    // SAFETY: a mapping of this function's own, which nobody looks into.
    unsafe {
        if libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) != 0 {
            return false;
        }
        // Who may lock only so much would find later that it can't have more.
        let none = std::ptr::null_mut();
        let place = libc::mmap(none, MUCH, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        if place == libc::MAP_FAILED {
            libc::munlockall();
            return false;
        }
        libc::munmap(place, MUCH);
        true
    }
}

/// Real-time scheduling for every thread and all memory locked, where that is allowed; a clock that is looked at in a loop; calls
/// that block in a second thread, which is older than the host; what is left is closed by libc and reset; and all of it once more
/// in the same process, for the tool runs one script after the other.
#[test]
fn child_that_runs_as_the_tool_does() {
    if !is_for("child_that_runs_as_the_tool_does") {
        return;
    }
    println!("in real time: {}, with its memory locked: {}", in_real_time(), lock_memory());
    let preloaded = std::env::var_os("LD_PRELOAD").is_some_and(|library| load() == *library);
    for mut peer in families() {
        let (calls, to_make) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (numbers, number) = mpsc::channel();
        let second = thread::spawn(move || {
            // SAFETY: a system call without arguments.
            numbers.send(unsafe { libc::syscall(libc::SYS_gettid) } as i32).expect("it is waited for");
            to_make.into_iter().for_each(|call| call());
        });
        let second_number = number.recv().expect("the thread says so");
        let host: &'static Host = Box::leak(Box::new(Host::new(&load(), "")));
        let start = host.now();
        while host.now() < start + 100_000 {}
        // A call in the second thread: what it answers comes by the channel.
        let block = |call: fn(&Host, i32) -> Vec<u8>, fd: i32| {
            let (answers, answer) = mpsc::channel();
            calls.send(Box::new(move || answers.send(call(host, fd)).expect("it is waited for"))).expect("the thread lives");
            await_sleep(second_number);
            answer
        };
        let listener = server(host, &peer);
        let accepting = block(|host, fd| host.accept(fd).to_ne_bytes().to_vec(), listener);
        handshake(host, &mut peer, 0);
        let fd = accepting.recv().expect("accept returns");
        let fd = i32::from_ne_bytes(fd.try_into().expect("a descriptor"));
        let reading = block(|host, fd| host.read(fd), fd);
        host.usleep(1000);
        host.send_packet(&peer.segment(ACK | PSH, &[], b"wakes it"));
        assert_eq!(reading.recv().expect("read returns"), b"wakes it");
        peer.read(&host.receive_packet().0);
        // Its timer runs though this thread does nothing but look at the clock.
        host.write(fd, b"twice");
        let (first, sent) = host.receive_packet();
        while host.now() < sent + 100_000 {}
        let (again, later) = host.receive_packet();
        assert_eq!((peer.read(&first).payload, peer.read(&again).payload), (b"twice".to_vec(), b"twice".to_vec()));
        assert!(start <= sent && sent < later && later <= host.now(), "one clock for all");
        // As long as the tool's own structure, and none without what stands before libc.
        let info = host::libc_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 280).map(|info| info.len());
        assert_eq!(info, if preloaded { Ok(280) } else { Err(libc::ENOTSOCK) });
        drop(calls);
        second.join().expect("the thread ends");
        for left in [fd, listener] {
            // SAFETY: numbers of this test's own.
            assert_eq!(unsafe { libc::close(left) }, 0);
            host.send_packet(&peer.segment(ACK | RST, &[], b""));
        }
        // SAFETY: it was leaked above, and nobody uses it any more.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(host).cast_mut()) });
    }
    println!("{DONE}");
}

//! A program of Ostia's as the client, on its own stack, and the kernel's as the server.

use std::fs::File;
use std::net::{Shutdown, TcpListener};
use std::process::{Command, Stdio};
use std::thread;

use super::capture::Capture;
use super::program::own_stack;
use super::space::in_namespace;
use crate::support::site::{Pattern, Sha, Site};
use crate::support::{DEADLINE, scaled, seed};

/// Megabytes both ways at once, over both families, ending with a half-close.
#[test]
fn the_kernel_serves_a_client_of_ostias() {
    in_namespace(concat!(module_path!(), "::the_kernel_serves_a_client_of_ostias"), &[], |case| {
        let site = Site::new();
        let length = scaled(8 << 20, 256 << 20) + 77;
        let sent = site.fill("up", Pattern(seed(case.name)), length);
        let answer = site.fill("down", Pattern(seed(case.name) ^ 1), length);
        let listener = TcpListener::bind("[::]:9000").expect("the port is free");
        for address in ["10.7.0.1:9000", "[fd07::1]:9000"] {
            let capture = Capture::new();
            let mut client = Command::new(env!("CARGO_BIN_EXE_own-stack"))
                .args(["--pcap", capture.path(), "exchange", address])
                .arg(site.path("up"))
                .stdout(Stdio::piped())
                .spawn()
                .expect("the client can be run");
            let out = client.stdout.take().expect("a pipe");
            let heard = thread::spawn(move || Sha::of([out]));
            let (stream, _) = listener.accept().expect("it connects");
            stream.set_read_timeout(Some(DEADLINE)).expect("a deadline can be set");
            let mut sending = stream.try_clone().expect("a second handle");
            let mut file = File::open(site.path("down")).expect("it was just made");
            let writer = thread::spawn(move || {
                std::io::copy(&mut file, &mut sending).expect("it reads");
                sending.shutdown(Shutdown::Write).expect("it is open");
            });
            assert_eq!(Sha::of([&stream]), sent, "what the client sent to {address}");
            writer.join().expect("all was sent");
            drop(stream);
            assert_eq!(heard.join().expect("read"), answer, "what it received from {address}");
            assert!(client.wait().expect("a child").success());
            capture.is_clean(case);
        }
    });
}

/// What is refused, and what nobody has, is told with the address.
#[test]
fn what_does_not_connect_is_told() {
    in_namespace(concat!(module_path!(), "::what_does_not_connect_is_told"), &[], |_| {
        for (address, why) in [("10.7.0.1:9", "refused"), ("[fd07::1]:9", "refused")] {
            let ended = own_stack(&["hold", address]).wait();
            assert!(!ended.status.success() && ended.errors.contains(why) && ended.errors.contains(address), "{ended:?}");
        }
    });
}

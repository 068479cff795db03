//! Ten thousand connects in a burst. The clients are a process of their own, for the limit of descriptors is per process.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use common::{drivers, runtime};
use ostia::serve::Server;
use ostia::{spawn, spawn_blocking};

/// Tells the client process whom to call, and how often.
const CALL: &str = "OSTIA_TEST_BURST";

/// Raises the limit of descriptors as far as it goes, and gives it.
#[cfg(unix)]
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where it can't be raised, the count of connections is cut.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.map_or(1 << 20, |limit| limit as usize)
}

/// There is no limit here but memory, and that of ports for the clients; under Wine that of its server, which has the sockets of
/// all.
#[cfg(windows)]
fn descriptors() -> usize {
    let what = "room for more than some 20,000 sockets";
    if common::wine_lacks("ten_thousand_are_served_without_refusal/more than 3,000", what) { 3_200 } else { 12_000 }
}

/// The client process; in an ordinary run there is nobody to call.
#[test]
fn client_of_the_burst() {
    let Ok(call) = std::env::var(CALL) else { return };
    let (address, count) = call.split_once(' ').expect("address and count");
    let (address, count): (SocketAddr, usize) = (address.parse().expect("address"), count.parse().expect("count"));
    descriptors();
    let mut clients: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(address).expect("not refused")).collect();
    for client in &mut clients {
        client.write_all(b"in the burst").expect("write");
    }
    for client in &mut clients {
        let mut back = [0; 12];
        client.read_exact(&mut back).expect("served");
        assert_eq!(&back, b"in the burst");
    }
}

#[test]
fn ten_thousand_are_served_without_refusal() {
    let count = 10_000.min(descriptors().saturating_sub(200));
    if count < 10_000 {
        eprintln!("the limit of descriptors allows only {count} connections instead of 10,000");
    }
    for driver in drivers() {
        let served = runtime(driver, 2).block_on(async {
            let settings = Server::builder().listen("127.0.0.1:0".parse().expect("endpoint"));
            let server = settings.build().expect("a server");
            let (handle, address) = (server.handle(), server.addresses()[0].clone());
            let clients = spawn(async move {
                let run = move || {
                    let this = std::env::current_exe().expect("this test");
                    let mut command = Command::new(this);
                    command.args(["--exact", "client_of_the_burst", "--nocapture"]).env(CALL, format!("{address} {count}"));
                    command.output().expect("the client process")
                };
                let output = spawn_blocking(run).await;
                handle.stop();
                output.expect("no panic")
            });
            let served = server
                .run(|mut stream, _| async move {
                    loop {
                        let Some(chunk) = stream.recv().await? else { return std::io::Result::Ok(()) };
                        stream.send(chunk).await?;
                    }
                })
                .await
                .expect("served");
            let output = clients.await.expect("no panic");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            served
        });
        assert_eq!((served.accepted, served.aborted), (count, 0), "{driver:?}");
    }
}

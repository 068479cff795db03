//! Descriptors run out: accepting pauses without spinning, and goes on as connections end. A process of its own, for it
//! lowers the process's limit.
#![cfg(unix)]

mod common;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use common::{drivers, runtime};
use ostia::serve::{Server, ServerHandle};
use ostia::time::sleep;
use ostia::{spawn, statistics};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CLIENTS: usize = 60;

/// Stops the server even when an assertion fails: the test must end.
struct OnDrop(ServerHandle);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[test]
fn accepting_pauses_and_resumes() {
    for driver in drivers() {
        let before = getrlimit(Resource::Nofile);
        runtime(driver, 1).block_on(async {
            let settings = Server::builder().listen("127.0.0.1:0".parse().expect("endpoint"));
            let server = settings.build().expect("a server");
            let (handle, address) = (server.handle(), server.addresses()[0].ip().expect("an IP address"));
            // The kernel completes these by itself; then there is room for about 20 more descriptors.
            let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| TcpStream::connect(address).expect("connect")).collect();
            setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: before.maximum }).expect("setrlimit");
            let mut filling = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                filling.push(file);
            }
            filling.truncate(filling.len().checked_sub(20).expect("room for 20 more"));

            let clients = Rc::new(RefCell::new(clients));
            let stop = OnDrop(handle.clone());
            let driving = spawn(async move {
                let _stop = stop;
                while handle.accepted() < 10 {
                    sleep(Duration::from_millis(5)).await;
                }
                sleep(Duration::from_millis(50)).await;
                let paused = handle.accepted();
                assert!(paused < CLIENTS, "the limit was to bite");
                let calm = statistics().await[0];
                sleep(Duration::from_millis(500)).await;
                let later = statistics().await[0];
                let (turns, calls) = (later.tasks.turns - calm.tasks.turns, later.port.syscalls - calm.port.syscalls);
                assert!(turns < 300 && calls < 600, "{turns} turns and {calls} system calls for nothing");
                // Each that ends makes room; in the end all were served.
                while let Some(mut client) = { clients.borrow_mut().pop() } {
                    let remaining = clients.borrow().len();
                    client.set_nonblocking(true).expect("nonblocking");
                    if remaining.is_multiple_of(10) {
                        let _ = client.write_all(b"bye");
                        let _ = client.read(&mut [0; 3]);
                    }
                    drop(client);
                    sleep(Duration::from_millis(1)).await;
                }
                let mut waits = 0;
                while handle.accepted() < CLIENTS || handle.connections() > 0 {
                    waits += 1;
                    assert!(waits < 3000, "{} accepted, {} live", handle.accepted(), handle.connections());
                    sleep(Duration::from_millis(10)).await;
                }
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
            driving.await.expect("no panic");
            assert_eq!(served.accepted, CLIENTS);
        });
        setrlimit(Resource::Nofile, before).expect("setrlimit");
    }
}

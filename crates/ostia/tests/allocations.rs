//! What a server does for each request allocates nothing: receiving, its time limit, sending, on every driver.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use common::{drivers, runtime};
use ostia::net::TcpListener;
use ostia::time::timeout;
use ostia::{DriverChoice, Runtime};

/// Allocations of this thread while a client has so many messages of this length echoed.
fn echoed(runtime: &mut Runtime, messages: usize, len: usize) -> u64 {
    let counted = measure(|| {
        runtime.block_on(async {
            let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("bind");
            let address = listener.local_addr().expect("address");
            let client = thread::spawn(move || {
                let (mut stream, message) = (TcpStream::connect(address).expect("connect"), vec![7; len]);
                stream.set_nodelay(true).expect("an option");
                let mut back = vec![0; len];
                for _ in 0..messages {
                    stream.write_all(&message).expect("write");
                    stream.read_exact(&mut back).expect("read");
                }
                assert_eq!(back, message);
            });
            let mut stream = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("an option");
            while let Some(chunk) = timeout(Duration::from_secs(30), stream.recv()).await.expect("in time").expect("recv") {
                stream.send(chunk).await.expect("send");
            }
            client.join().expect("no panic");
        });
    });
    counted.count_total
}

fn on(driver: DriverChoice) {
    let mut runtime = runtime(driver, 1);
    for len in [64, 16 << 10] {
        echoed(&mut runtime, 3000, len);
        let (few, many) = (echoed(&mut runtime, 1000, len), echoed(&mut runtime, 4000, len));
        assert!(many <= few + 30, "3,000 messages of {len} octets more took {few} to {many} allocations on {driver:?}");
    }
}

#[test]
fn an_echo_allocates_nothing() {
    drivers().into_iter().for_each(on);
}

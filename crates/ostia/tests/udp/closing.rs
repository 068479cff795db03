//! How sockets end: by a close, a drop, on another worker, with a receive that waits.

use super::*;

#[test]
fn a_socket_of_another_worker_says_so_and_is_closed_at_home() {
    for driver in drivers() {
        runtime(driver, 2).block_on(async {
            let workers = ostia::workers();
            let socket = UdpSocket::bind(any()).expect("bind");
            let at = socket.local_addr().expect("address");
            let elsewhere = workers.iter().copied().find(|worker| *worker != workers[0]).expect("two workers");
            let told = spawn_on(elsewhere, move || async move {
                let mut socket = socket;
                let error = socket.recv(Vec::with_capacity(10)).await.0.expect_err("elsewhere");
                error.to_string()
            });
            let told = told.await.expect("no panic");
            assert!(told.contains("another worker"), "{told}");
            // Dropped there, it is closed at home before long.
            for _ in 0..200 {
                if UdpSocket::bind(at).is_ok() {
                    return;
                }
                sleep(5 * MS).await;
            }
            panic!("the address stays in use");
        });
    }
}

#[test]
fn an_idle_receive_is_closed_with_its_socket_and_the_runtime_ends() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 1);
        runtime.block_on(async {
            let mut sockets: Vec<UdpSocket> = (0..50).map(|_| UdpSocket::bind(any()).expect("bind")).collect();
            for socket in &mut sockets {
                assert!(poll_once(socket.recv(Vec::with_capacity(10))).is_pending());
            }
            sockets.truncate(25);
            sleep(5 * MS).await;
            // The rest is left to the runtime's end.
            sockets.into_iter().for_each(std::mem::forget);
        });
    }
}

#[test]
fn a_closed_sockets_address_is_free_at_once() {
    on_each_with_faults(|| async {
        let first = UdpSocket::bind(any()).expect("bind");
        let at = first.local_addr().expect("address");
        first.close().await.expect("close");
        for round in 0..100 {
            let mut socket = UdpSocket::bind(at).unwrap_or_else(|error| panic!("round {round}: {error}"));
            // With a receive that waits, one that was dropped, and something that was not received.
            assert!(poll_once(socket.recv(Vec::with_capacity(10))).is_pending());
            if round % 2 == 0 {
                socket.send_to("never received", at).await.0.expect("sent");
            }
            if round % 3 == 0 {
                sleep(Duration::ZERO).await;
            }
            let clone = socket.try_clone().expect("clone");
            socket.close().await.expect("close");
            assert_eq!(UdpSocket::bind(at).expect_err("the clone has it").kind(), std::io::ErrorKind::AddrInUse);
            clone.close().await.expect("close");
        }
    });
}

#[test]
fn a_close_that_is_dropped_goes_on() {
    on_each(|| async {
        for polled in [false, true] {
            let socket = UdpSocket::bind(any()).expect("bind");
            let at = socket.local_addr().expect("address");
            let closing = socket.close();
            match polled {
                true => drop(poll_once(closing)),
                false => drop(closing),
            }
            while let Err(error) = UdpSocket::bind(at) {
                assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
                yield_now().await;
            }
        }
    });
}

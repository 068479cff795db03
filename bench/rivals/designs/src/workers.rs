//! Private ports: each thread has one, keeps the connections that it was given, and runs their handlers itself.
//!
//! Connections are handed round in turn, which spreads them more evenly than the kernel's hash of addresses would.

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::mpsc::sync_channel;

use ostia_port::{Completion, Handle, Op, Packet, Payload, Port};

use crate::work::Work;

/// The key of packets that bring a connection; the descriptor is their context.
const CONNECTION: u64 = u64::MAX;

/// Serves for ever with `threads` threads; this one accepts.
pub fn serve(listener: TcpListener, threads: usize) -> io::Result<()> {
    let mut remotes = Vec::new();
    for _ in 0..threads {
        let (ready, made) = sync_channel(1);
        std::thread::spawn(move || {
            let port = match Port::new() {
                Ok(port) => port,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(port.remote()));
            if let Err(error) = work(port) {
                eprintln!("{error}");
                std::process::exit(1);
            }
        });
        remotes.push(made.recv().map_err(io::Error::other)??);
    }
    for remote in remotes.iter().cycle() {
        let (connection, _) = listener.accept()?;
        let descriptor = connection.into_raw_fd();
        remote.post(Packet { key: CONNECTION, context: descriptor as u64, result: 0 });
    }
    Ok(())
}

fn work(mut port: Port) -> io::Result<()> {
    loop {
        port.wait(None)?;
        while let Some(done) = port.next() {
            handle(&mut port, done)?;
        }
    }
}

fn handle(port: &mut Port, done: Completion) -> io::Result<()> {
    let socket = Handle::from_bits(done.context);
    match done.payload {
        Payload::None if done.key == CONNECTION => {
            // SAFETY: the packet brings a descriptor that the accepting thread has given up.
            let connection = unsafe { OwnedFd::from_raw_fd(done.context as i32) };
            let socket = port.adopt(connection, 0)?;
            port.submit(Op::RecvMulti { socket }, socket.to_bits());
        }
        Payload::Chunk(request) => match Work::of(&request) {
            Some(work) => {
                work.run();
                port.submit(Op::Send { socket, data: request.into() }, done.context);
            }
            None => port.close(socket),
        },
        // Sent.
        Payload::Buffer(_) if done.result.is_ok() => {}
        // The end of a connection, or its error.
        _ => port.close(socket),
    }
    Ok(())
}

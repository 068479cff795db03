//! An echo server on the raw port: accept, receive, send, as short as the classic tutorials.
//!
//! `cargo run --example port_echo -- 127.0.0.1:7000`

use ostia_port::{Handle, Op, Payload, Port};

/// The context of a send: its completion only gives the buffer back.
const SENT: u64 = u64::MAX;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let listener = std::net::TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);

    let mut port = Port::new()?;
    let listener = port.adopt(listener, 0)?;
    port.submit(Op::AcceptMulti { listener }, listener.to_bits());
    loop {
        port.wait(None)?;
        while let Some(done) = port.next() {
            match done.payload {
                Payload::Handle(socket) => {
                    port.submit(Op::RecvMulti { socket }, socket.to_bits());
                }
                Payload::Chunk(chunk) => {
                    let socket = Handle::from_bits(done.context);
                    port.submit(Op::Send { socket, data: chunk.into() }, SENT);
                }
                // The end of a connection, or its error.
                _ if done.context != SENT => port.close(Handle::from_bits(done.context)),
                _ => {}
            }
        }
    }
}

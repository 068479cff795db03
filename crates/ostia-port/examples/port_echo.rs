//! An echo server on the raw port: accept, receive, send, as short as the classic tutorials.
//!
//! `cargo run --example port_echo -- 127.0.0.1:7000`

use ostia_port::{Handle, Op, Payload, Port};

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let listener = std::net::TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);

    let mut port = Port::new()?;
    let listener = port.adopt(listener, 0)?;
    port.submit(Op::AcceptMulti { listener }, 0);
    loop {
        port.wait(None)?;
        while let Some(done) = port.next() {
            let socket = Handle::from_bits(done.context);
            match done.payload {
                // A connection: receive from it.
                Payload::Handle(socket) => drop(port.submit(Op::Recv { socket }, socket.to_bits())),
                // Bytes: send them back, as they lie in the pool.
                Payload::Chunk(chunk) => drop(port.submit(Op::Send { socket, data: chunk.into() }, done.context)),
                // Sent: receive again.
                Payload::Buffer(_) if done.result.is_ok() => drop(port.submit(Op::Recv { socket }, done.context)),
                // The end of a connection, or its error.
                _ => port.close(socket),
            }
        }
    }
}

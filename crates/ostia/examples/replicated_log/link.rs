//! The way from one node to another: a connection that is made again whenever it breaks.

use std::io;
use std::time::Duration;

use ostia::codec::FramedWrite;
use ostia::net::{Endpoint, Network};
use ostia::select;
use ostia::sync::mpsc::Receiver;
use ostia::time::{sleep, timeout};

use crate::gate::Gate;
use crate::message::{Envelope, Hello, codec};
use crate::sockets::tune;

/// The pause after the first failure; it doubles up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long connecting may take, and the other to make room for more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Carries messages to the node at an address until their sender is gone. What can't be sent is lost: Raft says it again.
pub async fn carry(from: usize, to: Endpoint, gate: Gate, mut messages: Receiver<Envelope>) {
    let mut pause = PAUSES.0;
    while !messages.is_closed() {
        let mut established = false;
        // Why it has ended is no matter: the other may be down, or begin anew.
        let _ = over_one_connection(from, &to, &gate, &mut messages, &mut established).await;
        pause = if established { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
        sleep(pause).await;
        // What was meant for the other's former life, or is older than the pause, is of no use.
        while messages.try_recv().is_ok() {}
    }
}

async fn over_one_connection(
    from: usize,
    to: &Endpoint,
    gate: &Gate,
    messages: &mut Receiver<Envelope>,
    established: &mut bool,
) -> io::Result<()> {
    let stream = timeout(PATIENCE, Network::current().connect(to)).await??;
    tune(&stream)?;
    let (mut silence, sending) = stream.into_split();
    let mut frames = FramedWrite::new(sending, codec());
    frames.send(Hello::Node(from).encode()).await?;
    *established = true;
    loop {
        select! {
            // The other says nothing here: what comes is the end.
            ended = silence.recv() => return ended.map(drop),
            message = messages.recv() => {
                let Some(message) = message else { return Ok(()) };
                let mut next = Some(message);
                while let Some(message) = next {
                    if gate.is_open() {
                        timeout(PATIENCE, frames.feed(message.encode())).await??;
                    }
                    next = messages.try_recv().ok();
                }
                timeout(PATIENCE, frames.flush()).await??;
            }
        }
    }
}

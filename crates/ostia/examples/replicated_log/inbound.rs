//! Connections from others: nodes that bring messages, clients that want something.

use std::io;
use std::time::Duration;

use ostia::codec::{FramedRead, FramedWrite};
use ostia::net::{Listener, Stream};
use ostia::sync::mpsc::Sender;
use ostia::sync::{CancellationToken, oneshot};
use ostia::time::{sleep, timeout};
use ostia::{JoinSet, select};

use crate::gate::Gate;
use crate::message::{Envelope, Hello, Reply, Request, codec};
use crate::node::Event;
use crate::sockets::tune;

/// How many connections a node has at once; more wait in the listener's queue.
const CONNECTIONS_MOST: usize = 256;
/// How long a connection may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an accept that failed, for lack of descriptors most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until it is told to stop; those that wait for an answer then get it. Dropped, they are too.
pub async fn serve(mut listener: Listener, events: Sender<Event>, gate: Gate, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MOST => match accepted {
                Ok(stream) => drop(connections.spawn(connection(stream, events.clone(), gate.clone(), stop.clone()))),
                Err(_) => sleep(PAUSE).await,
            },
            // Why one has ended is no matter to the others.
            Some(_) = connections.join_next() => {}
        }
    }
    drop((listener, events));
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: Stream, events: Sender<Event>, gate: Gate, stop: CancellationToken) -> io::Result<()> {
    tune(&stream)?;
    let (receiving, sending) = stream.into_split();
    let mut frames = FramedRead::new(receiving, codec());
    let mut next = async || stop.run_until_cancelled(frames.next()).await.unwrap_or(Ok(None));
    let Some(hello) = timeout(PATIENCE, next()).await?? else { return Ok(()) };
    match Hello::decode(&hello).ok_or_else(malformed)? {
        Hello::Node(node) => {
            while let Some(frame) = next().await? {
                let message = Envelope::decode(&frame).filter(|message| message.from == node).ok_or_else(malformed)?;
                if gate.is_open() && events.send(Event::Message(message)).await.is_err() {
                    break;
                }
            }
        }
        Hello::Client => {
            let mut replies = FramedWrite::new(sending, codec());
            // One at a time: who asks for more waits until it has been answered.
            while let Some(frame) = next().await? {
                let request = Request::decode(&frame).ok_or_else(malformed)?;
                let (reply, answered) = oneshot::channel();
                let asked = events.send(Event::Request(request, reply)).await;
                let answer = if asked.is_ok() { answered.await.ok() } else { None };
                // A node that ends doesn't lead any more.
                replies.send(answer.unwrap_or(Reply::NotLeader { leader: None }).encode()).await?;
            }
        }
    }
    Ok(())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a message of this protocol")
}

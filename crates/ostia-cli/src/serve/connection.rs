//! One connection: requests in, answers out, until one side has had enough.

use super::worker::Worker;
use crate::http::request::{Reader, Step, Waiting};
use crate::http::response::{CONTINUE, Persistence, Status};
use crate::service::{Answer, Payload};
use ostia::net::Stream;
use ostia::time::{now, timeout};
use ostia::{Buffer, Chunk};
use std::future::poll_fn;
use std::net::Shutdown;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Answers to pipelined requests are sent together up to this many bytes.
const BATCH: usize = 64 << 10;

/// How long a refused client may go on sending before the connection is closed under it. Closing at
/// once would reset the connection, and the reset could overtake the answer.
const LINGER: Duration = Duration::from_secs(2);

/// On a socket that has no time limit of its own (a Unix socket, any on Windows), a file is sent in
/// pieces of this many bytes, each of which may take the idle time.
const PIECE: u64 = 1 << 20;

/// What a connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Waits for more.
    Receive,
    /// Closes: all that was asked for has been answered.
    Close,
    /// Closes after an answer that the client may not expect yet.
    Linger,
    /// Closes in the middle of an answer that can't be completed.
    Abort,
}

/// What came while waiting.
enum Event {
    Bytes(Chunk),
    End,
    Late,
}

struct Connection {
    stream: Stream,
    worker: Rc<Worker>,
    reader: Reader,
    /// Answers that are not sent yet.
    out: Vec<u8>,
    /// For the log; empty when there is none.
    peer: String,
    /// The kernel itself limits how long a response may wait for its reader.
    limited: bool,
    /// Since when the connection waits for what it waits for.
    since: Instant,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: Stream, worker: Rc<Worker>) {
    let times = worker.shared.times;
    // The kernel gives up when sent bytes find no reader for that long; Unix sockets and Windows can't.
    let limited = stream.set_user_timeout(times.idle).is_ok();
    // Batches are made here; what is sent is to go out.
    let _ = stream.set_nodelay(true);
    let peer = match worker.logs() {
        true => peer(&stream),
        false => String::new(),
    };
    let reader = Reader::new(worker.shared.limits);
    let mut connection = Connection { stream, worker, reader, out: Vec::new(), peer, limited, since: now() };
    if connection.run().await == Next::Linger {
        connection.linger().await;
    }
}

/// The peer's IP address, as the log shows it.
fn peer(stream: &Stream) -> String {
    match stream.peer_addr().ok().and_then(|address| address.ip()) {
        Some(address) => address.ip().to_canonical().to_string(),
        None => "unix:".to_owned(),
    }
}

impl Connection {
    async fn run(&mut self) -> Next {
        loop {
            let next = match self.receive().await {
                Event::Bytes(chunk) => self.take(chunk).await,
                Event::End => return Next::Close,
                Event::Late if self.reader.waiting() == Waiting::Request => return Next::Close,
                Event::Late => self.refuse(Status::RequestTimeout, b"").await,
            };
            if next != Next::Receive {
                return next;
            }
        }
    }

    /// Waits for bytes, for as long as the state of the connection allows.
    async fn receive(&mut self) -> Event {
        let times = &self.worker.shared.times;
        let waiting = self.reader.waiting();
        let limit = match waiting {
            Waiting::Request => times.idle,
            Waiting::Head => times.head.saturating_sub(now().saturating_duration_since(self.since)),
            Waiting::Body => times.body.saturating_sub(now().saturating_duration_since(self.since)),
        };
        let stream = &mut self.stream;
        let received = timeout(
            limit,
            poll_fn(|cx| match stream.poll_recv(cx) {
                // A connection that waits for its next request is closed when the server is to end.
                Poll::Pending if waiting == Waiting::Request && ostia::serve::is_stopping() => Poll::Ready(Ok(None)),
                polled => polled,
            }),
        );
        match received.await {
            Ok(Ok(Some(chunk))) => Event::Bytes(chunk),
            // An error means that the peer is gone.
            Ok(Ok(None) | Err(_)) => Event::End,
            Err(_) => Event::Late,
        }
    }

    /// Takes what was received: answers every request in it, and sends the answers together.
    async fn take(&mut self, chunk: Chunk) -> Next {
        let mut chunk = Some(chunk);
        let mut at = 0;
        let before = self.reader.waiting();
        let mut answered = false;
        // Everything in the chunk was received in this turn.
        let since = now();
        loop {
            let Connection { stream, worker, reader, out, peer, .. } = self;
            let input = chunk.as_deref().map_or(&[][..], |chunk| &chunk[at..]);
            let (used, step) = reader.next(input);
            at += used;
            let last = used == input.len();
            let mut request = match step {
                Step::More => break,
                Step::Continue => {
                    out.extend_from_slice(CONTINUE);
                    continue;
                }
                Step::Reject { reject, line } => {
                    let Answer { status, bytes, .. } = worker.reject(reject.status, out);
                    worker.record(peer, line, status, bytes, now());
                    return match self.flush().await {
                        Next::Receive => Next::Linger,
                        next => next,
                    };
                }
                Step::Request(request) => request,
            };
            answered = true;
            if ostia::serve::is_stopping() {
                request.persistence = Persistence::Close;
            }
            let answer = worker.answer(&request, out).await;
            let keeps = request.persistence.keeps();
            match answer.payload {
                Payload::Written => worker.record(peer, request.line, answer.status, answer.bytes, since),
                Payload::Shared(bytes) => {
                    worker.record(peer, request.line, answer.status, answer.bytes, since);
                    if out.is_empty() && last && keeps {
                        // The common case: one request, one answer that is ready made.
                        chunk = None;
                        at = 0;
                        if !send(stream, bytes.into(), worker.shared.times.idle).await {
                            return Next::Abort;
                        }
                    } else {
                        out.extend_from_slice(&bytes);
                    }
                }
                Payload::File { head, entry, range } => {
                    let line = if worker.logs() { request.line.to_vec() } else { Vec::new() };
                    if last {
                        // The buffer goes back to the pool before the file, which may take long.
                        chunk = None;
                        at = 0;
                    }
                    let head: Buffer = match head {
                        Some(head) if out.is_empty() => head.into(),
                        head => {
                            out.extend_from_slice(head.as_deref().unwrap_or_default());
                            std::mem::take(out).into()
                        }
                    };
                    let length = range.end - range.start;
                    let sent = match entry.file.as_ref().map(|file| file.adopted()) {
                        Some(Ok(file)) => self.send_file(head, file, range).await,
                        _ => 0,
                    };
                    self.worker.record(&self.peer, &line, answer.status, sent, since);
                    if sent < length {
                        // Truncated meanwhile, or the peer is gone: what was announced can't be sent.
                        return Next::Abort;
                    }
                }
            }
            if !keeps {
                return match self.flush().await {
                    Next::Receive => Next::Close,
                    next => next,
                };
            }
            if self.out.len() >= BATCH && self.flush().await != Next::Receive {
                return Next::Abort;
            }
        }
        drop(chunk);
        // The limits for a head and a body run from their first byte.
        if answered || self.reader.waiting() != before {
            self.since = now();
        }
        self.flush().await
    }

    /// Answers with an error; the connection is closed then.
    async fn refuse(&mut self, status: Status, line: &[u8]) -> Next {
        let answer = self.worker.reject(status, &mut self.out);
        self.worker.record(&self.peer, line, answer.status, answer.bytes, now());
        match self.flush().await {
            Next::Receive => Next::Linger,
            next => next,
        }
    }

    /// Sends what was written.
    async fn flush(&mut self) -> Next {
        if self.out.is_empty() {
            return Next::Receive;
        }
        let out = std::mem::take(&mut self.out);
        match send(&mut self.stream, out.into(), self.worker.shared.times.idle).await {
            true => Next::Receive,
            false => Next::Abort,
        }
    }

    /// Sends a head and a part of a file; gives the bytes of the file that were sent.
    async fn send_file(&mut self, head: Buffer, file: &ostia::fs::File, range: Range<u64>) -> u64 {
        let idle = self.worker.shared.times.idle;
        if self.limited {
            return self.stream.send_file(Some(head), file, range).await.unwrap_or(0);
        }
        let mut head = Some(head);
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + PIECE);
            match timeout(idle, self.stream.send_file(head.take(), file, at..end)).await {
                Ok(Ok(sent)) if at + sent == end => at = end,
                Ok(Ok(sent)) => return at + sent - range.start,
                Ok(Err(_)) | Err(_) => return at - range.start,
            }
        }
        at - range.start
    }

    /// Ends our side, and reads on for a moment what a refused client still sends.
    async fn linger(&mut self) {
        let stream = &mut self.stream;
        let reading = async {
            if stream.shutdown(Shutdown::Write).await.is_ok() {
                while let Ok(Some(_)) = stream.recv().await {}
            }
        };
        // Past it the client has had its answer, or never will.
        let _ = timeout(LINGER, reading).await;
    }
}

/// Hands bytes to the send queue; false when the connection is of no use any more.
async fn send(stream: &mut Stream, data: Buffer, idle: Duration) -> bool {
    matches!(timeout(idle, stream.send(data)).await, Ok(Ok(())))
}

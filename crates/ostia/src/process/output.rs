//! Gathering what a child writes, from both of its pipes at once, so that it never waits for one while we wait for the other.

use std::io;
use std::task::{Context, Poll};

use ostia_port::Chunk;

use crate::process::{ChildStderr, ChildStdout};

/// The most bytes that are gathered from one pipe, unless told otherwise: 64 MiB.
pub(super) const LIMIT: usize = 64 << 20;

/// What has been gathered from one pipe.
struct Gathered<P> {
    /// None at its end.
    pipe: Option<P>,
    bytes: Vec<u8>,
}

impl<P> Gathered<P> {
    fn new(pipe: Option<P>) -> Gathered<P> {
        Gathered { pipe, bytes: Vec::new() }
    }

    /// Gathers all there is; ready at the end.
    fn poll(&mut self, limit: usize, mut receive: impl FnMut(&mut P) -> Poll<io::Result<Option<Chunk>>>) -> Poll<io::Result<()>> {
        while let Some(pipe) = &mut self.pipe {
            match receive(pipe) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(chunk))) if chunk.len() > limit - self.bytes.len() => {
                    let text = format!("it has written more than {limit} bytes");
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, text)));
                }
                Poll::Ready(Ok(Some(chunk))) => self.bytes.extend_from_slice(&chunk),
                Poll::Ready(Ok(None)) => self.pipe = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads both pipes to their ends. An error closes them, and what was gathered is lost.
///
/// # Errors
/// FileTooLarge if there is more than `limit` bytes in one of them; else as read(2).
pub(super) async fn gather(
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    limit: usize,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (Gathered::new(stdout), Gathered::new(stderr));
    std::future::poll_fn(|cx: &mut Context<'_>| {
        let out_done = out.poll(limit, |pipe| pipe.poll_recv(cx))?;
        let err_done = err.poll(limit, |pipe| pipe.poll_recv(cx))?;
        if out_done.is_ready() && err_done.is_ready() { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok((out.bytes, err.bytes))
}

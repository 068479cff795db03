//! Forwarding from one stream to another: in the kernel where that goes, else by chunks.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;

use std::io;

use crate::net::raw::{Raw, Recv, Send};

pub(crate) use system::Pipes;

/// Moves bytes from one stream to another; see [`Stream::splice_to`](crate::net::Stream::splice_to).
pub(crate) async fn splice(from: Raw, to: Raw, limit: Option<u64>) -> io::Result<u64> {
    let limit = limit.unwrap_or(u64::MAX);
    let mut moved = 0;
    let stack = from.is_engines() || to.is_engines();
    while moved < limit && (stack || system::by_chunks(from)?) {
        let Some(mut chunk) = Recv::new(from).await? else { return Ok(moved) };
        let rest = usize::try_from(limit - moved).unwrap_or(usize::MAX);
        if chunk.len() > rest {
            let kept = chunk.split_to(rest);
            from.unread(std::mem::replace(&mut chunk, kept))?;
        }
        moved += chunk.len() as u64;
        Send::new(to, chunk.into()).await?;
    }
    if moved < limit {
        moved += system::forward(from, to, limit - moved).await?;
    }
    Ok(moved)
}

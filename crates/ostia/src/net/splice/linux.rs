//! Forwarding in the kernel: socket to pipe to socket, the pipes pooled by each worker (splice(2)).

use std::io;

use ostia_port::{Handle, Kind, Op, Port};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::here;
use crate::net::raw::Raw;
use crate::operation::Operation;
use crate::worker::Core;

/// How much a pipe holds, where the system allows it (`fs.pipe-max-size`).
const PIPE_SIZE: usize = 256 << 10;
/// The most pipes kept at rest.
const REST_MAX: usize = 64;
/// How often idle pipes are looked for, in nanoseconds.
const COOL_EVERY: u64 = 1_000_000_000;

/// Both ends of an empty pipe.
#[derive(Debug)]
struct Pipe {
    read: Handle,
    write: Handle,
}

/// The pipes of a worker: as many as are in use, and a few at rest, which go when they are not needed.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    rest: Vec<Pipe>,
    in_use: usize,
    /// The fewest at rest since the last look.
    low: usize,
    looked: u64,
}

impl Pipes {
    /// Closes the pipes that were not needed since the last look. Whether some are left at rest.
    pub(crate) fn cool(&mut self, nanos: u64, port: &mut Port) -> bool {
        if nanos.saturating_sub(self.looked) < COOL_EVERY {
            return !self.rest.is_empty();
        }
        self.looked = nanos;
        let idle = self.low.min(self.rest.len());
        for pipe in self.rest.drain(..idle) {
            port.close(pipe.read);
            port.close(pipe.write);
        }
        self.low = self.rest.len();
        !self.rest.is_empty()
    }

    fn take(&mut self, port: &mut Port) -> io::Result<Pipe> {
        let pipe = match self.rest.pop() {
            Some(pipe) => pipe,
            None => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                // A smaller pipe works as well.
                let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_SIZE);
                Pipe { read: port.adopt_as(read, Kind::Pipe, 0), write: port.adopt_as(write, Kind::Pipe, 0) }
            }
        };
        self.low = self.low.min(self.rest.len());
        self.in_use += 1;
        Ok(pipe)
    }

    /// How many pipes are in use and at rest.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.in_use, self.rest.len())
    }
}

/// A pipe that goes back to its worker, or is closed if there are bytes in it.
struct Lent {
    pipe: Pipe,
    worker: u32,
    clean: bool,
}

impl Lent {
    fn take(core: &Core) -> io::Result<Lent> {
        let pipe = core.pipes.borrow_mut().take(&mut core.port.borrow_mut())?;
        Ok(Lent { pipe, worker: core.id, clean: true })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Off its worker, the port's end closes the pipe.
        let _ = here::home(self.worker, |core| {
            let mut pipes = core.pipes.borrow_mut();
            pipes.in_use -= 1;
            let Pipe { read, write } = self.pipe;
            if self.clean && pipes.rest.len() < REST_MAX {
                pipes.rest.push(Pipe { read, write });
                core.pipes_rest.set(true);
            } else {
                let mut port = core.port.borrow_mut();
                port.close(read);
                port.close(write);
            }
            Ok(())
        });
    }
}

/// Whether bytes have to go by chunks: what the port has received, or is receiving, must go first.
pub(super) fn by_chunks(from: Raw) -> io::Result<bool> {
    here::home(from.worker, |core| Ok(core.port.borrow().is_receiving(from.handle)))
}

/// Moves up to `limit` bytes in the kernel, until the end; how many.
pub(super) async fn forward(from: Raw, to: Raw, limit: u64) -> io::Result<u64> {
    // Sends that were accepted earlier go first.
    std::future::poll_fn(|cx| to.poll_flush(cx)).await?;
    let mut pipe = here::home(from.worker, Lent::take)?;
    let mut moved = 0;
    while moved < limit {
        let room = usize::try_from(limit - moved).unwrap_or(usize::MAX).min(PIPE_SIZE);
        let operation = post(from.worker, from.handle, pipe.pipe.write, room)?;
        pipe.clean = false;
        let mut filled = operation.await?.result?;
        if filled == 0 {
            pipe.clean = true;
            break;
        }
        while filled > 0 {
            let emptied = post(to.worker, pipe.pipe.read, to.handle, filled)?.await?.result?;
            if emptied == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            filled -= emptied;
            moved += emptied as u64;
        }
        pipe.clean = true;
    }
    Ok(moved)
}

fn post(worker: u32, from: Handle, to: Handle, len: usize) -> io::Result<Operation> {
    crate::operation::post_home(worker, Op::Splice { from, to, len })
}

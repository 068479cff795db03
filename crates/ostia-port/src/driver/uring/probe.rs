//! Finding out what the kernel's io_uring can do, by trying it on a small ring, once a process.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;

use io_uring::{Probe, cqueue, opcode, squeue, types};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, socketpair};

use crate::bell::Bell;
use crate::clock::{Patience, monotonic};
use crate::config::Config;
use crate::counters::Counters;
use crate::driver::Env;
use crate::driver::uring::buffers::{BufferRing, Group};
use crate::driver::uring::setup::Ring;
use crate::driver::uring::{encode, message};
use crate::features::Features;
use crate::pool::{Pool, PoolConfig};
use crate::sys::Sys;

/// What this kernel grants this process.
pub(crate) fn supported() -> io::Result<Features> {
    static KNOWN: OnceLock<Features> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let found = Trial::new()?.run()?;
    Ok(*KNOWN.get_or_init(|| found))
}

struct Trial {
    ring: Ring,
    features: Features,
    pool: Pool,
    counters: Counters,
}

impl Trial {
    fn new() -> io::Result<Trial> {
        let pool = PoolConfig { buffer_size: 4096, buffers: 2, ready_min: 1, ready_max: 2, ..PoolConfig::default() };
        let config = Config { submission_entries: 8, completion_entries: 32, pool, ..Config::default() };
        let (ring, features) = Ring::new(&config, Features::all())?;
        Ok(Trial { ring, features, pool: Pool::new(pool, Bell::new()?.into())?, counters: Counters::default() })
    }

    fn run(mut self) -> io::Result<Features> {
        self.opcodes()?;
        self.buffer_ring()?;
        if !self.accepts_repeatedly()? {
            self.drop_features(Features::MULTISHOT_ACCEPT);
        }
        if !self.features.contains(Features::SKIP_SUCCESS) || !self.sends_silently()? {
            self.drop_features(Features::SILENT_SEND);
        }
        if message::send(self.ring.fd()).is_err() {
            self.drop_features(Features::MSG_RING);
        }
        Ok(self.features)
    }

    fn drop_features(&mut self, missing: Features) {
        self.features = self.features.without(missing);
    }

    /// What IORING_REGISTER_PROBE knows.
    fn opcodes(&mut self) -> io::Result<()> {
        let mut probe = Probe::new();
        self.ring.uring().submitter().register_probe(&mut probe)?;
        for (code, feature) in [
            (opcode::SendZc::CODE, Features::SEND_ZC),
            (opcode::ReadMulti::CODE, Features::MULTISHOT_READ),
            (opcode::FutexWait::CODE, Features::FUTEX),
        ] {
            if !probe.is_supported(code) {
                self.drop_features(feature);
            }
        }
        for needed in [opcode::Recv::CODE, opcode::Send::CODE, opcode::Accept::CODE, opcode::Connect::CODE, opcode::PollAdd::CODE]
        {
            if !probe.is_supported(needed) {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring here lacks network operations"));
            }
        }
        Ok(())
    }

    /// Provided buffers, whether they are consumed incrementally, and whether one receive repeats itself.
    fn buffer_ring(&mut self) -> io::Result<()> {
        let config = *self.pool.config();
        let made = match BufferRing::new(&self.ring, &config, Group::Bytes, true) {
            Ok(ring) => Ok(ring),
            Err(_) => {
                self.drop_features(Features::INCREMENTAL_BUFFERS);
                BufferRing::new(&self.ring, &config, Group::Bytes, false)
            }
        };
        let Ok(mut buffers) = made else {
            let all = Features::BUFFER_RING | Features::INCREMENTAL_BUFFERS | Features::MULTISHOT_RECV | Features::MULTISHOT_READ;
            self.drop_features(all);
            return Ok(());
        };
        buffers.refill(&self.pool);
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::io::write(&far, b"!")?;
        let first = self.try_entry(opcode::RecvMulti::new(types::Fd(near.as_raw_fd()), Group::Bytes.number()).build())?;
        match first {
            Some((1, flags)) => {
                let incremental = cqueue::buffer_more(flags);
                if !incremental {
                    self.drop_features(Features::INCREMENTAL_BUFFERS);
                }
                if let Some(id) = cqueue::buffer_select(flags) {
                    let env = Env { pool: &self.pool, counters: &self.counters };
                    drop(buffers.taken(id, 1, incremental, &env).map(|part| env.pool.chunk(part)));
                }
                if cqueue::more(flags) {
                    drop(far);
                    self.next_completion()?;
                } else {
                    self.drop_features(Features::MULTISHOT_RECV);
                }
            }
            _ => self.drop_features(Features::MULTISHOT_RECV),
        }
        buffers.surrender(&self.ring, &self.pool);
        Ok(())
    }

    fn accepts_repeatedly(&mut self) -> io::Result<bool> {
        let listener = listening()?;
        let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build();
        // SAFETY: the entry points to nothing.
        unsafe { self.ring.push(&accept.user_data(1)) };
        let refused = self.try_entry(opcode::AsyncCancel::new(1).build())?;
        let other = self.next_completion()?;
        // One of the two is the accept's own: cancelled if it was waiting, EINVAL if it was never understood.
        Ok([refused, other].into_iter().flatten().all(|(result, _)| result != -libc::EINVAL))
    }

    /// Whether a send that can't go out whole at once says how much did, and one that can says nothing.
    fn sends_silently(&mut self) -> io::Result<bool> {
        const LARGE: usize = 64 << 10;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::sockopt::set_socket_send_buffer_size(&near, LARGE / 8)?;
        let bytes = vec![0u8; LARGE];
        let send = |len: usize| encode::entry(&Sys::SendNow { fd: near.as_raw_fd(), ptr: bytes.as_ptr(), len }, Features::all());
        let Some((taken @ 1.., _)) = self.try_entry(send(LARGE))? else { return Ok(false) };
        if taken as usize >= LARGE {
            return Ok(false);
        }
        let (mut room, mut left) = (vec![0u8; LARGE], taken as usize);
        while left > 0 {
            match rustix::io::read(&far, &mut room)? {
                0 => return Ok(false),
                read => left = left.saturating_sub(read),
            }
        }
        // SAFETY: the entry points to `bytes`, and the wait for the next entry's completion ends after it.
        unsafe { self.ring.push(&send(1).user_data(3)) };
        // Of this one something would be heard in any case; of the send before it nothing may be.
        let heard = self.try_entry(opcode::Nop::new().build())?;
        let silent = heard.is_some_and(|(result, _)| result == 0) && !self.ring.has_completions();
        Ok(silent && rustix::io::read(&far, &mut room)? == 1)
    }

    fn try_entry(&mut self, entry: squeue::Entry) -> io::Result<Option<(i32, u32)>> {
        // SAFETY: the entries of this file point to nothing but descriptors that outlive the trial.
        unsafe { self.ring.push(&entry.user_data(2)) };
        self.next_completion()
    }

    fn next_completion(&mut self) -> io::Result<Option<(i32, u32)>> {
        if !self.ring.has_completions() {
            let env = Env { pool: &self.pool, counters: &self.counters };
            self.ring.enter(1, Patience::Until(monotonic() + 1_000_000_000), &env)?;
        }
        Ok(self.ring.next_completion().map(|entry| (entry.result(), entry.flags())))
    }
}

/// A listening socket that nobody connects to.
fn listening() -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // An empty name has the kernel choose one that no file system knows.
    bind(&socket, &SocketAddrUnix::new_unnamed())?;
    listen(&socket, 1)?;
    Ok(socket)
}

//! The calls that move bytes: send(2), recv(2) and what else is made of them.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::RawFd;

use crate::core::Core;
use crate::descriptors::Id;
use crate::socket::Kind;
use crate::world::Patience;
use crate::{Errno, Sockaddr, World};

/// What recvmsg(2) has received.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// Bytes, 0 at a stream's end; with MSG_TRUNC a datagram's whole length.
    pub count: usize,
    /// Who sent a datagram; streams have nobody.
    pub from: Option<Sockaddr>,
    /// MSG_TRUNC if a datagram was longer than there was room for.
    pub flags: i32,
}

impl Core {
    fn patience(&self, id: Id, flags: i32, sends: bool) -> Result<Patience, Errno> {
        let socket = self.socket(id)?;
        let timeout = if sends { socket.settings.send_timeout } else { socket.settings.receive_timeout };
        Ok(Patience::of(socket.nonblocking || flags & libc::MSG_DONTWAIT != 0, timeout))
    }
}

impl World {
    /// sendmsg(2) without control data. A stream that waits takes everything; one that doesn't, as much as there is room for.
    /// No call raises SIGPIPE.
    ///
    /// # Errors
    /// EAGAIN without room; EPIPE, ECONNRESET and what else a connection ended with; EOPNOTSUPP of MSG_FASTOPEN; EDESTADDRREQ,
    /// EMSGSIZE, EACCES of datagrams; EINVAL, EAFNOSUPPORT of a bad name; EBADF, ENOTSOCK.
    pub fn sendmsg(&self, fd: RawFd, data: &[IoSlice<'_>], flags: i32, name: Option<&[u8]>) -> Result<usize, Errno> {
        let (id, kind, patience) = {
            let mut inside = self.enter();
            let id = inside.id(fd)?;
            (id, inside.socket(id)?.kind(), inside.patience(id, flags, true)?)
        };
        let gathered;
        let data: &[u8] = match data {
            [only] => only,
            many => {
                gathered = many.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>();
                &gathered
            }
        };
        if kind == Kind::Datagram {
            return self.block(patience, |core| core.send_datagram(id, data, flags, name));
        }
        // As where fast open is switched off: data goes with no SYN.
        if flags & libc::MSG_FASTOPEN != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut sent = 0;
        let outcome = self.block(patience, |core| {
            sent += core.send_stream(id, &data[sent..], flags)?;
            if sent < data.len() { Err(Errno::EAGAIN) } else { Ok(()) }
        });
        match outcome {
            // What was taken before is told now, and the error with the next call.
            Err(error) if sent > 0 => {
                if error != Errno::EAGAIN
                    && error != Errno::EPIPE
                    && let Ok(socket) = self.enter().socket_mut(id)
                {
                    socket.error = Some(error);
                }
                Ok(sent)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(sent),
        }
    }

    /// send(2).
    ///
    /// # Errors
    /// As [`sendmsg`](World::sendmsg).
    pub fn send(&self, fd: RawFd, data: &[u8], flags: i32) -> Result<usize, Errno> {
        self.sendmsg(fd, &[IoSlice::new(data)], flags, None)
    }

    /// sendto(2); streams take no notice of the name.
    ///
    /// # Errors
    /// As [`sendmsg`](World::sendmsg).
    pub fn sendto(&self, fd: RawFd, data: &[u8], flags: i32, name: Option<&[u8]>) -> Result<usize, Errno> {
        self.sendmsg(fd, &[IoSlice::new(data)], flags, name)
    }

    /// recvmsg(2) without control data: MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL and MSG_TRUNC mean what they mean there.
    ///
    /// # Errors
    /// EAGAIN if nothing is there; what a connection ended with, once; ENOTCONN; EINVAL of MSG_OOB, for urgent octets stay in the
    /// stream (SO_OOBINLINE); EBADF, ENOTSOCK.
    pub fn recvmsg(&self, fd: RawFd, into: &mut [IoSliceMut<'_>], flags: i32) -> Result<Received, Errno> {
        let (id, kind, patience, least) = {
            let mut inside = self.enter();
            let id = inside.id(fd)?;
            let patience = inside.patience(id, flags, false)?;
            let socket = inside.socket(id)?;
            (id, socket.kind(), patience, socket.settings.receive_least as usize)
        };
        if flags & libc::MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN);
        }
        if kind == Kind::Datagram {
            let waits = patience != Patience::None;
            return self.block(patience, |core| core.receive_datagram(id, into, flags, waits));
        }
        if flags & libc::MSG_OOB != 0 {
            return Err(Errno::EINVAL);
        }
        let count = self.receive(id, into, flags, (patience, least))?;
        Ok(Received { count, from: None, flags: 0 })
    }

    /// From a stream; `least` is SO_RCVLOWAT.
    fn receive(
        &self,
        id: Id,
        into: &mut [IoSliceMut<'_>],
        flags: i32,
        (patience, least): (Patience, usize),
    ) -> Result<usize, Errno> {
        let room: usize = into.iter().map(|slice| slice.len()).sum();
        let (all, peeks) = (flags & libc::MSG_WAITALL != 0, flags & libc::MSG_PEEK != 0);
        let waits = patience != Patience::None;
        if all && waits && !peeks && room > 0 {
            return self.receive_all(id, into, flags, patience);
        }
        let least = match (waits, all) {
            (false, _) => 1,
            (true, true) => room.max(1),
            (true, false) => least.min(room).max(1),
        };
        match self.block(patience, |core| core.receive_stream(id, into, least, flags)) {
            // The time is up: what there is, if it is less than was wanted.
            Err(Errno::EAGAIN) if least > 1 => self.block(Patience::None, |core| core.receive_stream(id, into, 1, flags)),
            outcome => outcome,
        }
    }

    /// MSG_WAITALL: reads on until there is no more room, or the stream ends, or the time is up.
    fn receive_all(&self, id: Id, into: &mut [IoSliceMut<'_>], flags: i32, patience: Patience) -> Result<usize, Errno> {
        let mut taken = 0;
        let outcome = self.block(patience, |core| {
            loop {
                let mut rest: Vec<IoSliceMut<'_>> = after(into, taken);
                if rest.is_empty() {
                    return Ok(());
                }
                match core.receive_stream(id, &mut rest, 1, flags)? {
                    0 => return Ok(()),
                    count => taken += count,
                }
            }
        });
        match outcome {
            Ok(()) => Ok(taken),
            Err(error) if taken == 0 => Err(error),
            Err(error) => {
                if error != Errno::EAGAIN
                    && let Ok(socket) = self.enter().socket_mut(id)
                {
                    socket.error = Some(error);
                }
                Ok(taken)
            }
        }
    }

    /// recv(2).
    ///
    /// # Errors
    /// As [`recvmsg`](World::recvmsg).
    pub fn recv(&self, fd: RawFd, into: &mut [u8], flags: i32) -> Result<usize, Errno> {
        self.recvmsg(fd, &mut [IoSliceMut::new(into)], flags).map(|received| received.count)
    }

    /// recvfrom(2).
    ///
    /// # Errors
    /// As [`recvmsg`](World::recvmsg).
    pub fn recvfrom(&self, fd: RawFd, into: &mut [u8], flags: i32) -> Result<Received, Errno> {
        self.recvmsg(fd, &mut [IoSliceMut::new(into)], flags)
    }

    /// read(2): recv(2) without flags, but that nothing is read into no room.
    ///
    /// # Errors
    /// As [`recvmsg`](World::recvmsg).
    pub fn read(&self, fd: RawFd, into: &mut [u8]) -> Result<usize, Errno> {
        self.readv(fd, &mut [IoSliceMut::new(into)])
    }

    /// readv(2).
    ///
    /// # Errors
    /// As [`recvmsg`](World::recvmsg).
    pub fn readv(&self, fd: RawFd, into: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
        if into.iter().all(|slice| slice.is_empty()) {
            let mut inside = self.enter();
            return inside.id(fd).map(|_| 0);
        }
        self.recvmsg(fd, into, 0).map(|received| received.count)
    }

    /// write(2).
    ///
    /// # Errors
    /// As [`sendmsg`](World::sendmsg).
    pub fn write(&self, fd: RawFd, data: &[u8]) -> Result<usize, Errno> {
        self.send(fd, data, 0)
    }

    /// writev(2).
    ///
    /// # Errors
    /// As [`sendmsg`](World::sendmsg).
    pub fn writev(&self, fd: RawFd, data: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.sendmsg(fd, data, 0, None)
    }
}

/// The room behind the first `taken` bytes.
fn after<'a>(into: &'a mut [IoSliceMut<'_>], mut taken: usize) -> Vec<IoSliceMut<'a>> {
    let mut rest = Vec::new();
    for slice in into {
        let skipped = taken.min(slice.len());
        taken -= skipped;
        if skipped < slice.len() {
            rest.push(IoSliceMut::new(&mut slice[skipped..]));
        }
    }
    rest
}

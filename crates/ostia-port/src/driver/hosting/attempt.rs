//! One request on an engine's socket: the call of the engine that it comes to, which never waits.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::slice;

use crate::address::{Address, IpName};
use crate::chunk::Chunk;
use crate::driver::Env;
use crate::driver::hosting::Hosting;
use crate::driver::hosting::sockets::place_of;
use crate::driver::line::Waiting;
use crate::driver::open_buffer::OpenBuffer;
use crate::engine::{Engine, SocketId, Spare};
use crate::message::hop_limit_told;
use crate::os::message::{control_len, memory_of, pieces_of};
use crate::os::raw;
use crate::sys::{CURRENT, Event, Sys};

/// How much is received at once past a dry pool, in bytes.
const SPILL: usize = 16 << 10;

/// What an attempt came to.
pub(super) enum Tried {
    Done(Event),
    Again,
}

impl Hosting {
    /// Tries once.
    pub(super) fn attempt(&mut self, waiting: &Waiting, env: &Env<'_>) -> Tried {
        let &Waiting { tag, sys } = waiting;
        let Some(fd) = sys.fd() else { return Tried::Done(Event::last(tag, -raw::EINVAL)) };
        let Some(socket) = self.sockets.get(place_of(fd)) else { return Tried::Done(Event::last(tag, -raw::EBADF)) };
        let (engine, id, datagrams) = (socket.engine, socket.id, socket.datagrams);
        let host = &mut self.engines[engine as usize];
        let calls = &mut *host.engine;
        let tried = match sys {
            Sys::Accept { multi, .. } => match calls.accept(id) {
                Ok(accepted) => {
                    let place = self.sockets.insert(engine, accepted, false);
                    host.name(accepted, place);
                    return Tried::Done(Event { more: multi, ..Event::last(tag, place as i32) });
                }
                Err(error) => Err(error),
            },
            Sys::Receive { .. } | Sys::ReadPool { .. } => match receive(calls, id, &mut self.open, &mut self.spill, waiting, env)
            {
                Ok(event) => return Tried::Done(event),
                Err(errno) => Err(io::Error::from_raw_os_error(errno)),
            },
            // SAFETY: the operation's slot keeps what `sys` points to until its last event has been taken.
            _ => unsafe { call(calls, id, datagrams, &sys) },
        };
        match tried {
            Ok(result) => Tried::Done(Event::last(tag, result)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Tried::Again,
            Err(error) => Tried::Done(Event::last(tag, -code(&error))),
        }
    }
}

/// Whether a request waits for room rather than for something to arrive.
pub(super) fn writes(sys: &Sys) -> bool {
    let events = if let Sys::Poll { events, .. } = *sys { events } else { 0 };
    let polls_out = events & raw::POLLOUT as u32 != 0 && events & raw::POLLIN as u32 == 0;
    polls_out
        || matches!(
            sys,
            Sys::Connect { .. }
                | Sys::Send { .. }
                | Sys::SendZc { .. }
                | Sys::SendMsg { .. }
                | Sys::Write { .. }
                | Sys::Shutdown { .. }
        )
}

/// The code of an engine's error.
pub(super) fn code(error: &io::Error) -> i32 {
    match (error.raw_os_error(), error.kind()) {
        (Some(code), _) => code,
        (None, io::ErrorKind::WouldBlock) => raw::EAGAIN,
        (None, _) => raw::EIO,
    }
}

/// Receives into the pool; past it where that has one buffer left or none. All may stand ready for the kernel, which has none for an
/// engine, or be lent to somebody who keeps them: neither is a reason to let this socket wait, for its bytes are in memory
/// already. And the last one is for descriptors, which can't do without.
fn receive(
    engine: &mut dyn Engine,
    id: SocketId,
    open: &mut OpenBuffer,
    spill: &mut Vec<u8>,
    waiting: &Waiting,
    env: &Env<'_>,
) -> Result<Event, i32> {
    if !open.is_open() && env.pool.at_rest() < 2 {
        env.counters.buffers_dry.add(1);
        spill.clear();
        spill.reserve(SPILL);
        let mut spare = Spare::new(spill.spare_capacity_mut());
        engine.recv(id, &mut spare, false).map_err(|error| code(&error))?;
        let filled = spare.filled();
        // SAFETY: the spare has filled so many bytes from its start.
        unsafe { spill.set_len(filled) };
        // The port books it as copied out.
        let chunk = (filled > 0).then(|| Chunk::from(spill.to_vec()));
        return Ok(Event { chunk, more: filled > 0, ..Event::last(waiting.tag, filled as i32) });
    }
    let read = |ptr: *mut u8, len: usize| {
        // SAFETY: the open buffer's owner gives memory that is its own to fill, alone.
        let memory = unsafe { slice::from_raw_parts_mut(ptr.cast::<MaybeUninit<u8>>(), len) };
        let mut spare = Spare::new(memory);
        match engine.recv(id, &mut spare, false) {
            Ok(()) => spare.filled() as i32,
            Err(error) => -code(&error),
        }
    };
    // SAFETY: a spare fills its memory from the start and counts what it has filled.
    let mut event = unsafe { open.receive(waiting.tag, env.pool, read) };
    match &mut event {
        // It goes on until the end.
        Ok(event) => event.more = event.result > 0,
        Err(raw::ENOBUFS) => env.counters.buffers_dry.add(1),
        Err(_) => {}
    }
    event
}

/// Carries out a request that is one call.
///
/// # Safety
/// What `sys` points to is alive, and the caller's to read and fill.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between systems")]
unsafe fn call(engine: &mut dyn Engine, id: SocketId, datagrams: bool, sys: &Sys) -> io::Result<i32> {
    match *sys {
        // A socket has no positions. Above all such a read must not wait: a file that is sent is read for the socket it goes to.
        Sys::Read { offset, .. } | Sys::Write { offset, .. } if offset != CURRENT => {
            Err(io::Error::from_raw_os_error(raw::ESPIPE))
        }
        Sys::Connect { addr, len, .. } => {
            // SAFETY: by the caller's promise.
            let peer = unsafe { Address::read(addr, len) }.and_then(|address| address.ip());
            engine.connect(id, peer.ok_or(io::ErrorKind::InvalidInput).map_err(|_| invalid())?)?;
            Ok(0)
        }
        Sys::Recv { ptr, len, .. } | Sys::Read { ptr, len, .. } => {
            // SAFETY: by the caller's promise.
            let mut spare = Spare::new(unsafe { slice::from_raw_parts_mut(ptr.cast::<MaybeUninit<u8>>(), len) });
            if datagrams {
                engine.recv_from(id, &mut spare, false)?;
            } else {
                engine.recv(id, &mut spare, false)?;
            }
            Ok(spare.filled() as i32)
        }
        Sys::Send { ptr, len, .. } | Sys::SendZc { ptr, len, .. } | Sys::Write { ptr, len, .. } => {
            // SAFETY: by the caller's promise. One call moves no more than its result can say.
            let data = unsafe { slice::from_raw_parts(ptr, len.min(i32::MAX as usize)) };
            if datagrams {
                engine.send_to(id, data, None)?;
                return Ok(data.len() as i32);
            }
            if data.is_empty() { Ok(0) } else { engine.send(id, data, false).map(|sent| sent as i32) }
        }
        // SAFETY: by the caller's promise.
        Sys::RecvMsg { msg, flags, .. } => unsafe { recv_msg(engine, id, datagrams, &mut *msg, flags) },
        // SAFETY: by the caller's promise.
        Sys::SendMsg { msg, .. } => unsafe { send_msg(engine, id, datagrams, &*msg) },
        Sys::Shutdown { how, .. } => {
            let how = match how {
                raw::SHUT_RD => Shutdown::Read,
                raw::SHUT_WR => Shutdown::Write,
                _ => Shutdown::Both,
            };
            engine.shutdown(id, how).map(|()| 0)
        }
        Sys::Poll { events, .. } => {
            let always = raw::POLLERR | raw::POLLHUP;
            match engine.ready(id) & (events as i16 | always) {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                ready => Ok((ready as u16).into()),
            }
        }
        // Files, pipes and the kernel's other things.
        _ => Err(io::Error::from_raw_os_error(raw::EOPNOTSUPP)),
    }
}

/// recvmsg(2): into the first piece alone, for ports ask for no more.
///
/// # Safety
/// `head` is as for recvmsg(2).
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between systems")]
unsafe fn recv_msg(
    engine: &mut dyn Engine,
    id: SocketId,
    datagrams: bool,
    head: &mut raw::msghdr,
    flags: i32,
) -> io::Result<i32> {
    let peek = flags & raw::MSG_PEEK != 0;
    // SAFETY: by the caller's promise: a header has at least the one piece that ports give it.
    let (at, len) = memory_of(unsafe { &*head.msg_iov });
    // SAFETY: by the caller's promise.
    let memory = unsafe { slice::from_raw_parts_mut(at.cast::<MaybeUninit<u8>>(), len) };
    let mut spare = Spare::new(memory);
    let room = control_len(head);
    (head.msg_controllen, head.msg_flags) = (0, 0);
    if !datagrams {
        head.msg_namelen = 0;
        engine.recv(id, &mut spare, peek)?;
        return Ok(spare.filled() as i32);
    }
    let datagram = engine.recv_from(id, &mut spare, peek)?;
    let filled = spare.filled();
    if datagram.len > filled {
        head.msg_flags = raw::MSG_TRUNC as _;
    }
    if let (Some(peer), Some(hops)) = (datagram.peer, datagram.hop_limit) {
        let told = hop_limit_told(peer.is_ipv6(), hops);
        if told.len() <= room {
            // SAFETY: the header's control data has so much room, by the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(told.as_ptr(), head.msg_control.cast::<u8>(), told.len()) };
            head.msg_controllen = told.len() as _;
        }
    }
    match datagram.peer {
        Some(peer) if !head.msg_name.is_null() => {
            let name = IpName::new(peer);
            let (at, len) = name.as_ref();
            let len = len.min(head.msg_namelen);
            // SAFETY: the header's name has room for `msg_namelen` bytes, by the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(at.cast::<u8>(), head.msg_name.cast::<u8>(), len as usize) };
            head.msg_namelen = len;
        }
        _ => head.msg_namelen = 0,
    }
    Ok(if flags & raw::MSG_TRUNC != 0 { datagram.len } else { filled } as i32)
}

/// sendmsg(2).
///
/// # Safety
/// `head` is as for sendmsg(2).
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between systems")]
unsafe fn send_msg(engine: &mut dyn Engine, id: SocketId, datagrams: bool, head: &raw::msghdr) -> io::Result<i32> {
    let pieces = match pieces_of(head) {
        0 => &[],
        // SAFETY: by the caller's promise.
        count => unsafe { slice::from_raw_parts(head.msg_iov, count) },
    };
    let bytes = |piece: &raw::iovec| {
        let (at, len) = memory_of(piece);
        // SAFETY: by the caller's promise.
        unsafe { slice::from_raw_parts(at.cast_const(), len) }
    };
    if head.msg_controllen != 0 {
        // There are no control messages that an engine takes.
        return Err(io::Error::from_raw_os_error(raw::EOPNOTSUPP));
    }
    if datagrams {
        let peer = match head.msg_namelen {
            0 => None,
            // SAFETY: by the caller's promise.
            len => Some(unsafe { Address::read(head.msg_name.cast(), len as _) }.and_then(|a| a.ip()).ok_or_else(invalid)?),
        };
        let joined: Vec<u8>;
        let data = match pieces {
            [] => &[][..],
            [piece] => bytes(piece),
            pieces => {
                joined = pieces.iter().map(bytes).collect::<Vec<_>>().concat();
                &joined
            }
        };
        engine.send_to(id, data, peer)?;
        return Ok(data.len() as i32);
    }
    let mut sent = 0;
    for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| !bytes(piece).is_empty()) {
        let data = bytes(piece);
        match engine.send(id, data, at + 1 < pieces.len()) {
            Ok(taken) => {
                sent += taken;
                if taken < data.len() {
                    break;
                }
            }
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sent as i32)
}

/// An address of the wrong family, or of none.
fn invalid() -> io::Error {
    io::Error::from_raw_os_error(raw::EINVAL)
}

/// Whether an address can be an engine's.
pub(crate) fn ip_of(address: &Address) -> io::Result<SocketAddr> {
    address.ip().ok_or_else(invalid)
}

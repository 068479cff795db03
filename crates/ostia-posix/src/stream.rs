//! Sending and receiving on streams.

use std::io::IoSliceMut;

use ostia_stack::{State, TcpInfo};

use crate::Errno;
use crate::core::Core;
use crate::descriptors::Id;
use crate::socket::{Socket, Stage};

/// Room into which what nobody wants to see is read (MSG_TRUNC).
const DISCARD: usize = 16 << 10;

/// Whether the peer's stream has ended in that state, or everything has.
pub(crate) fn peer_ended(state: State) -> bool {
    matches!(state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait | State::Closed)
}

impl Core {
    pub(crate) fn tcp_info(&self, socket: &Socket) -> Option<TcpInfo> {
        self.stack.tcp_info(socket.stream()?.handle).ok()
    }

    /// Octets that a stream has received and its program hasn't read.
    pub(crate) fn unread(&self, socket: &Socket) -> u64 {
        let Some(stream) = socket.stream() else { return 0 };
        self.tcp_info(socket).map_or(0, |info| info.tcpi_bytes_received.saturating_sub(stream.read))
    }

    /// Octets that a stream has been given, and of these those that were never sent.
    pub(crate) fn unacknowledged(&self, socket: &Socket) -> (u64, u64) {
        let Some(info) = self.tcp_info(socket) else { return (0, 0) };
        if info.tcpi_state == State::Closed {
            return (0, 0);
        }
        let unsent = u64::from(info.tcpi_notsent_bytes);
        (info.tcpi_bytes_sent.saturating_sub(info.tcpi_bytes_acked) + unsent, unsent)
    }

    /// Whether enough of the send buffer is free for a writer to be told: a third, and of what was never sent there is less than half
    /// of what TCP_NOTSENT_LOWAT allows (Linux's sk_stream_is_writeable).
    pub(crate) fn has_room(&self, socket: &Socket) -> bool {
        let Some(handle) = socket.handle() else { return true };
        let Ok(room) = self.stack.has_room(handle) else { return true };
        let low = u64::from(socket.settings.not_sent_low);
        room && (low == 0 || self.unacknowledged(socket).1 * 2 < low)
    }

    /// Gives a stream as much as there is room for. EAGAIN if there is none, or the handshake lasts.
    pub(crate) fn send_stream(&mut self, id: Id, data: &[u8], flags: i32) -> Result<usize, Errno> {
        let socket = self.socket_mut(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let ended = socket.ended.1;
        let socket = self.socket(id)?;
        match self.state(socket) {
            State::SynSent | State::SynReceived if !ended => return Err(Errno::EAGAIN),
            State::Established | State::CloseWait if !ended => {}
            _ => return Err(Errno::EPIPE),
        }
        if data.is_empty() {
            return Ok(0);
        }
        let (handle, cork) = (socket.handle().ok_or(Errno::EPIPE)?, socket.settings.cork);
        let mut options = self.stack.socket_options(handle)?;
        // MSG_MORE is a cork for one call; the next call without it pulls it out.
        let cork = cork || flags & libc::MSG_MORE != 0;
        if options.cork != cork {
            options.cork = cork;
            self.stack.set_socket_options(handle, options)?;
        }
        if self.socket(id)?.settings.not_sent_low > 0 {
            return self.send_little(id, data, flags);
        }
        self.put(handle, data, flags)
    }

    fn put(&mut self, handle: ostia_stack::Handle, data: &[u8], flags: i32) -> Result<usize, Errno> {
        let sent = match flags & libc::MSG_OOB != 0 {
            true => self.stack.send_urgent(handle, data),
            false => self.stack.send(handle, data),
        };
        Ok(sent?)
    }

    /// TCP_NOTSENT_LOWAT: a segment's worth at a time, as long as less than that waits to be sent for the first time.
    fn send_little(&mut self, id: Id, data: &[u8], flags: i32) -> Result<usize, Errno> {
        let mut taken = 0;
        while taken < data.len() {
            let socket = self.socket(id)?;
            let (low, handle) = (u64::from(socket.settings.not_sent_low), socket.handle().ok_or(Errno::EPIPE)?);
            let segment = self.tcp_info(socket).map_or(1, |info| info.tcpi_snd_mss.max(1) as usize);
            let full = self.unacknowledged(socket).1 >= low;
            let end = data.len().min(taken + segment);
            match if full { Err(Errno::EAGAIN) } else { self.put(handle, &data[taken..end], flags) } {
                Ok(count) => taken += count,
                Err(Errno::EAGAIN) if taken > 0 => break,
                Err(error) => return Err(error),
            }
            // What can go out goes, and makes room.
            self.turn(self.now);
        }
        Ok(taken)
    }

    /// Takes what a stream has received, at least `least` octets of it unless it ends before. EAGAIN if there is less.
    pub(crate) fn receive_stream(
        &mut self,
        id: Id,
        into: &mut [IoSliceMut<'_>],
        least: usize,
        flags: i32,
    ) -> Result<usize, Errno> {
        let socket = self.socket(id)?;
        let handle = match &socket.stage {
            Stage::Stream(stream) => stream.handle,
            // It never was connected.
            Stage::Fresh if socket.error.is_none() && socket.ended.0 => return Ok(0),
            _ => {
                let error = self.socket_mut(id)?.error.take();
                return Err(error.unwrap_or(Errno::ENOTCONN));
            }
        };
        let unread = usize::try_from(self.unread(socket)).unwrap_or(usize::MAX);
        let over = socket.ended.0 || peer_ended(self.state(socket));
        if unread == 0 {
            let socket = self.socket_mut(id)?;
            return match socket.error.take() {
                Some(error) => Err(error),
                None if over => Ok(0),
                None => Err(Errno::EAGAIN),
            };
        }
        if unread < least && !over && socket.error.is_none() {
            return Err(Errno::EAGAIN);
        }
        let taken = match (flags & libc::MSG_PEEK != 0, flags & libc::MSG_TRUNC != 0) {
            (true, true) => into.iter().map(|slice| slice.len()).sum::<usize>().min(unread),
            (true, false) => self.peek_stream(handle, into)?,
            (false, true) => self.discard(handle, into.iter().map(|slice| slice.len()).sum())?,
            (false, false) => self.read_stream(handle, into)?,
        };
        if flags & libc::MSG_PEEK == 0
            && let Some(stream) = self.socket_mut(id)?.stream_mut()
        {
            stream.read += taken as u64;
        }
        Ok(taken)
    }

    fn read_stream(&mut self, handle: ostia_stack::Handle, into: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
        let mut taken = 0;
        for slice in into.iter_mut().filter(|slice| !slice.is_empty()) {
            match self.stack.recv(handle, slice) {
                Ok(count) => taken += count,
                // What there was has been taken.
                Err(_) if taken > 0 => break,
                Err(error) => return Err(error.into()),
            }
            if self.stack.peek(handle, &mut [0])? == 0 {
                break;
            }
        }
        Ok(taken)
    }

    fn peek_stream(&mut self, handle: ostia_stack::Handle, into: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
        if let [only] = into {
            return Ok(self.stack.peek(handle, only)?);
        }
        let mut whole = vec![0; into.iter().map(|slice| slice.len()).sum()];
        let count = self.stack.peek(handle, &mut whole)?;
        scatter(&whole[..count], into);
        Ok(count)
    }

    fn discard(&mut self, handle: ostia_stack::Handle, mut count: usize) -> Result<usize, Errno> {
        let (mut scratch, mut taken) = ([0; DISCARD], 0);
        while count > 0 && self.stack.peek(handle, &mut [0])? > 0 {
            let part = self.stack.recv(handle, &mut scratch[..count.min(DISCARD)])?;
            (taken, count) = (taken + part, count - part);
        }
        Ok(taken)
    }
}

/// Copies bytes into slices, one after the other; how many had room.
pub(crate) fn scatter(mut bytes: &[u8], into: &mut [IoSliceMut<'_>]) -> usize {
    let mut copied = 0;
    for slice in into {
        let count = bytes.len().min(slice.len());
        let (head, rest) = bytes.split_at(count);
        slice[..count].copy_from_slice(head);
        (bytes, copied) = (rest, copied + count);
    }
    copied
}

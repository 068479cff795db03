//! The calls of a port on the sockets of a branch: answered from what the stack has written, passed on by letters.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};

use ostia_port::os::{self, BorrowedFd};
use ostia_port::{
    Buffer, Datagram, Engine, LENT_MAX, OptionName, Remote, SocketId, SocketOption, SocketSpec, Spare, Turned, Woken,
};

use super::letters::{DATAGRAM, Question, Request, windows};
use super::{Branch, Datagrams, Kind, Progress, Stream};
use crate::calls::{CHUNK_COPIED_MAX, ENDED};
use crate::error::errno;
use crate::options;

/// Small sends of one turn are gathered in buffers of this size.
const GATHER: usize = 4096;

impl Branch {
    fn stream(&mut self, id: SocketId) -> io::Result<&mut Stream> {
        match &mut self.socket(id)?.kind {
            Kind::Stream(stream) => Ok(stream),
            _ => Err(errno(os::EOPNOTSUPP)),
        }
    }

    /// Writes bytes to a stream, behind those of the last letter if they are few and it has room.
    fn write(&mut self, id: SocketId, data: &[u8]) -> io::Result<()> {
        let name = self.socket(id)?.name;
        match self.out.last_mut() {
            Some(Request::Send(last, Buffer::Vec(bytes))) if *last == name && bytes.capacity() - bytes.len() >= data.len() => {
                bytes.extend_from_slice(data);
            }
            _ => {
                let mut bytes = Vec::with_capacity(data.len().max(GATHER));
                bytes.extend_from_slice(data);
                self.out.push(Request::Send(name, bytes.into()));
            }
        }
        Ok(())
    }

    /// Gives the frames of a stream that are empty back.
    fn give_back(&mut self, id: SocketId) -> io::Result<()> {
        while let Some(frame) = self.stream(id)?.received.pop_front_if(|frame| frame.is_empty()) {
            self.note_taken(id, frame.truesize());
            self.out.push(Request::Spent(frame));
        }
        Ok(())
    }

    /// Copies out of a stream; how many bytes.
    fn copy_out(&mut self, id: SocketId, into: &mut Spare<'_>, peek: bool) -> io::Result<usize> {
        let mut count = 0;
        for frame in &mut self.stream(id)?.received {
            let put = into.put(frame.as_slice());
            count += put;
            if !peek {
                frame.pull(put);
            }
            if into.room() == 0 {
                break;
            }
        }
        if !peek {
            self.give_back(id)?;
        }
        Ok(count)
    }
}

impl Engine for Branch {
    fn open(&mut self, spec: SocketSpec) -> io::Result<SocketId> {
        self.alive()?;
        let name = self.new_name();
        let kind = match spec {
            SocketSpec::Stream { local } => Kind::Stream(Stream::new(local, self.options)),
            SocketSpec::Listener { .. } => {
                let local = self.ask(name, Question::Open(spec))?.local;
                Kind::Listener { local, options: self.options, waiting: Default::default() }
            }
            SocketSpec::Datagram { .. } | SocketSpec::Echo { .. } => {
                Kind::Datagrams(Datagrams::new(self.ask(name, Question::Open(spec))?))
            }
            _ => return Err(errno(os::EOPNOTSUPP)),
        };
        Ok(self.insert(name, kind))
    }

    fn accept(&mut self, listener: SocketId) -> io::Result<SocketId> {
        let alive = self.alive();
        let Kind::Listener { waiting, .. } = &mut self.socket(listener)?.kind else { return Err(errno(os::EINVAL)) };
        alive?;
        let accepted = waiting.pop_front().ok_or_else(|| errno(os::EAGAIN))?;
        self.note_taken(listener, 1);
        // From now on it is given what comes.
        let (name, window) = (self.socket(accepted)?.name, windows(&self.stream(accepted)?.options).0);
        self.out.push(Request::Taken(name, window));
        Ok(accepted)
    }

    fn connect(&mut self, id: SocketId, peer: SocketAddr) -> io::Result<()> {
        self.alive()?;
        let name = self.socket(id)?.name;
        if let Kind::Datagrams(_) = self.socket(id)?.kind {
            let connected = self.ask(name, Question::Connect(peer))?;
            if let Kind::Datagrams(datagrams) = &mut self.socket(id)?.kind {
                datagrams.ends = connected;
            }
            return Ok(());
        }
        let stream = self.stream(id)?;
        match stream.progress {
            Progress::Connecting => Err(errno(os::EAGAIN)),
            Progress::Failed(code) => Err(errno(code)),
            Progress::Connected => Ok(()),
            Progress::Refused(code) => {
                stream.progress = Progress::Unconnected;
                Err(errno(code))
            }
            Progress::Unconnected => {
                stream.progress = Progress::Connecting;
                let (local, options) = (stream.local, Box::new(stream.options));
                self.out.push(Request::Connect { name, local, options, peer });
                Err(errno(os::EAGAIN))
            }
        }
    }

    fn recv(&mut self, id: SocketId, into: &mut Spare<'_>, peek: bool) -> io::Result<()> {
        let down = self.down;
        self.stream(id)?.ready()?;
        if self.copy_out(id, into, peek)? > 0 {
            return Ok(());
        }
        let stream = self.stream(id)?;
        match stream.error.take() {
            Some(code) => Err(errno(code)),
            None if stream.ended || stream.deaf => Ok(()),
            None if down => Err(errno(os::ENETDOWN)),
            None => Err(errno(os::EAGAIN)),
        }
    }

    fn send(&mut self, id: SocketId, data: &[u8], more: bool) -> io::Result<usize> {
        // All goes at the end of the turn.
        let _ = more;
        self.alive()?;
        let stream = self.stream(id)?;
        stream.check_sending()?;
        let count = data.len().min(stream.room as usize);
        stream.room -= count as isize;
        if count > 0 {
            self.write(id, &data[..count])?;
        }
        Ok(count)
    }

    fn send_buffer(&mut self, id: SocketId, data: Buffer) -> Result<(), (io::Error, Buffer)> {
        let len = data.len();
        if len > LENT_MAX {
            return Err((errno(os::EAGAIN), data));
        }
        let checked = self.alive().and_then(|()| self.stream(id)).and_then(|stream| {
            stream.check_sending()?;
            // It takes the whole, as long as there is room for any.
            stream.room -= len as isize;
            Ok(())
        });
        let written = match checked {
            Ok(()) if len <= GATHER / 4 => self.write(id, &data),
            Ok(()) if len <= CHUNK_COPIED_MAX && matches!(data, Buffer::Chunk(_)) => self.write(id, &data),
            Ok(()) => match self.socket(id).map(|socket| socket.name) {
                Ok(name) => {
                    self.out.push(Request::Send(name, data));
                    return Ok(());
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        written.map_err(|error| (error, data))
    }

    fn recv_from(&mut self, id: SocketId, into: &mut Spare<'_>, peek: bool) -> io::Result<Datagram> {
        let down = self.down;
        let Kind::Datagrams(datagrams) = &mut self.socket(id)?.kind else { return Err(errno(os::EOPNOTSUPP)) };
        let Some((frame, peer, hop_limit)) = datagrams.arrived.front() else {
            let code = datagrams.bounced.take().unwrap_or(if down { os::ENETDOWN } else { os::EAGAIN });
            return Err(errno(code));
        };
        into.put(frame.as_slice());
        let told = Datagram { len: frame.len(), peer: Some(*peer), hop_limit: Some(*hop_limit) };
        if !peek && let Some((frame, ..)) = datagrams.arrived.pop_front() {
            self.note_taken(id, frame.truesize() + DATAGRAM);
            self.out.push(Request::Spent(frame));
        }
        Ok(told)
    }

    fn send_to(&mut self, id: SocketId, data: &[u8], peer: Option<SocketAddr>) -> io::Result<()> {
        self.alive()?;
        let socket = self.socket(id)?;
        let name = socket.name;
        let Kind::Datagrams(datagrams) = &mut socket.kind else { return Err(errno(os::EOPNOTSUPP)) };
        if let Some(code) = datagrams.unsent.take() {
            return Err(errno(code));
        }
        let v6 = datagrams.ends.local.is_ipv6();
        if peer.or(datagrams.ends.peer).is_none() || peer.is_some_and(|peer| peer.is_ipv6() != v6) {
            return Err(errno(os::EINVAL));
        }
        // A datagram of UDP with its header (RFC 768), and over IPv4 one more (RFC 791, 3.1).
        if data.len() > usize::from(u16::MAX) - if v6 { 8 } else { 28 } {
            return Err(errno(os::EMSGSIZE));
        }
        let cost = data.len() + DATAGRAM;
        if datagrams.room < cost {
            return Err(errno(os::EAGAIN));
        }
        datagrams.room -= cost;
        self.out.push(Request::SendTo(name, data.to_vec(), peer));
        Ok(())
    }

    fn shutdown(&mut self, id: SocketId, how: Shutdown) -> io::Result<()> {
        let name = self.socket(id)?.name;
        let stream = self.stream(id)?;
        stream.ready()?;
        if stream.over {
            return Err(errno(os::ENOTCONN));
        }
        stream.shut |= how != Shutdown::Read;
        if how != Shutdown::Write {
            stream.deaf = true;
            for frame in mem::take(&mut stream.received) {
                self.note_taken(id, frame.truesize());
                self.out.push(Request::Spent(frame));
            }
        }
        self.out.push(Request::Shutdown(name, how));
        self.to_wake.push(id);
        Ok(())
    }

    fn close(&mut self, id: SocketId, abort: bool) {
        // What was read counts as read before it is closed.
        self.tell_taken(id);
        let Some(socket) = self.remove(id) else { return };
        match socket.kind {
            // Nothing of it was told yet, unless it has begun.
            Kind::Stream(Stream { progress: Progress::Unconnected | Progress::Refused(_), .. }) => return,
            // Others that share its place may have them.
            Kind::Listener { waiting, .. } => {
                let names: Vec<_> = waiting.into_iter().filter_map(|id| self.remove(id)).map(|socket| socket.name).collect();
                self.out.extend(names.into_iter().map(Request::HandBack));
            }
            _ => {}
        }
        self.out.push(Request::Close(socket.name, abort));
    }

    fn ready(&mut self, id: SocketId) -> i16 {
        let broken = if self.down { os::POLLERR } else { 0 };
        let bit = |holds: bool, bit: i16| if holds { bit } else { 0 };
        let Ok(socket) = self.socket(id) else { return os::POLLERR };
        broken
            | match &socket.kind {
                Kind::Listener { waiting, .. } => bit(!waiting.is_empty(), os::POLLIN),
                Kind::Datagrams(datagrams) => {
                    let failed = datagrams.bounced.is_some() || datagrams.unsent.is_some();
                    bit(!datagrams.arrived.is_empty() || datagrams.bounced.is_some(), os::POLLIN)
                        | bit(failed, os::POLLERR)
                        | bit(datagrams.room >= DATAGRAM + usize::from(u16::MAX), os::POLLOUT)
                }
                Kind::Stream(stream) => match stream.progress {
                    Progress::Unconnected | Progress::Refused(_) => os::POLLOUT | os::POLLHUP,
                    Progress::Connecting => 0,
                    Progress::Failed(_) => os::POLLIN | os::POLLOUT | ENDED | os::POLLERR | os::POLLHUP,
                    Progress::Connected => {
                        bit(!stream.received.is_empty() || stream.ended || stream.deaf || stream.error.is_some(), os::POLLIN)
                            | bit(stream.room > 0 || stream.over || stream.shut, os::POLLOUT)
                            | bit(stream.ended || stream.deaf, ENDED)
                            | bit(stream.over || stream.ended && stream.shut, os::POLLHUP)
                            | bit(stream.error.is_some(), os::POLLERR)
                    }
                },
            }
    }

    fn local(&self, id: SocketId) -> io::Result<SocketAddr> {
        match self.sockets.get(id as usize).and_then(Option::as_ref).map(|socket| &socket.kind) {
            None => Err(errno(os::EBADF)),
            Some(Kind::Listener { local, .. }) => Ok(*local),
            Some(Kind::Datagrams(datagrams)) => Ok(datagrams.ends.local),
            Some(Kind::Stream(stream)) => Ok(stream.local.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())),
        }
    }

    fn peer(&self, id: SocketId) -> io::Result<SocketAddr> {
        let peer = match self.sockets.get(id as usize).and_then(Option::as_ref).map(|socket| &socket.kind) {
            None => return Err(errno(os::EBADF)),
            Some(Kind::Listener { .. }) => None,
            Some(Kind::Datagrams(datagrams)) => datagrams.ends.peer,
            Some(Kind::Stream(stream)) => stream.peer.filter(|_| stream.progress == Progress::Connected),
        };
        peer.ok_or_else(|| errno(os::ENOTCONN))
    }

    fn set_option(&mut self, id: SocketId, option: SocketOption) -> io::Result<()> {
        let socket = self.socket(id)?;
        let name = socket.name;
        match &mut socket.kind {
            Kind::Datagrams(_) if !options::is_of_datagrams(option) => return Err(errno(os::ENOPROTOOPT)),
            Kind::Stream(stream) => {
                options::set(&mut stream.options, option)?;
                stream.options = stream.options.bounded();
                if matches!(stream.progress, Progress::Unconnected | Progress::Refused(_)) {
                    // It goes with the connecting.
                    stream.room = windows(&stream.options).1 as isize;
                    return Ok(());
                }
            }
            Kind::Listener { options, .. } => {
                options::set(options, option)?;
                *options = options.bounded();
            }
            Kind::Datagrams(_) => {}
        }
        self.out.push(Request::Set(name, option));
        Ok(())
    }

    fn option(&self, id: SocketId, name: OptionName) -> io::Result<SocketOption> {
        match self.sockets.get(id as usize).and_then(Option::as_ref).map(|socket| &socket.kind) {
            None => Err(errno(os::EBADF)),
            Some(Kind::Stream(stream)) => options::get(&stream.options, name),
            Some(Kind::Listener { options, .. }) => options::get(options, name),
            Some(Kind::Datagrams(_)) => Err(errno(os::ENOPROTOOPT)),
        }
    }

    fn link(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn attached(&mut self, remote: Remote) {
        self.line.reports.belongs_to(remote);
    }

    fn receive(&mut self, _: u64, woken: &mut Woken) -> bool {
        self.read_reports(woken);
        false
    }

    fn transmit(&mut self, _: u64, woken: &mut Woken) -> Turned {
        woken.append(&mut self.to_wake);
        self.tell();
        Turned { more: self.line.reports.is_filled(), ..Turned::default() }
    }

    fn is_draining(&self) -> bool {
        // What was written is the stack's to send; it waits for its branches.
        false
    }

    fn abort_all(&mut self) {}
}

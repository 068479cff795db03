//! A sequence of calls under way, and the record of what each of them answered.

use std::ffi::{c_int, c_ulong};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::{epoll_event, iovec, msghdr, pollfd, sockaddr, socklen_t};
use ostia_posix::Sockaddr;

use crate::api::Api;

/// How long a wait may last, in milliseconds, before the sequence goes on without what it has waited for.
const PATIENCE: c_int = 20_000;

/// The error of the call that has just failed, in words.
fn error() -> String {
    let error = std::io::Error::last_os_error();
    error.to_string()
}

/// getsockname or getpeername.
type NameCall = fn(Api, c_int, *mut sockaddr, *mut socklen_t) -> c_int;

/// A sequence under way. Its calls write down what they answered; numbers that differ from run to run (descriptors, ports) are
/// left out.
pub struct Run {
    pub api: Api,
    pub log: Vec<String>,
    /// What is closed in the end.
    open: Vec<c_int>,
    /// Calls of IPv4 or of IPv6.
    v6: bool,
}

impl Run {
    pub fn new(api: Api, v6: bool) -> Run {
        Run { api, log: Vec::new(), open: Vec::new(), v6 }
    }

    pub fn finish(self) -> Vec<String> {
        for fd in self.open {
            self.api.close(fd);
        }
        self.log
    }

    pub fn say(&mut self, what: impl Display) {
        self.log.push(what.to_string());
    }

    /// Notes a call that answers 0 or fails.
    fn plain(&mut self, call: &str, answer: c_int) -> bool {
        let text = if answer < 0 { format!("{call}: {}", error()) } else { format!("{call}: {answer}") };
        self.log.push(text);
        answer >= 0
    }

    /// Notes a call that answers a descriptor or fails.
    fn opened(&mut self, call: &str, answer: c_int) -> c_int {
        let text = if answer < 0 { format!("{call}: {}", error()) } else { format!("{call}: open") };
        self.log.push(text);
        if answer >= 0 {
            self.open.push(answer);
        }
        answer
    }

    fn count(&mut self, call: &str, answer: isize) -> isize {
        let text = if answer < 0 { format!("{call}: {}", error()) } else { format!("{call}: {answer}") };
        self.log.push(text);
        answer
    }

    pub fn family(&self) -> c_int {
        if self.v6 { libc::AF_INET6 } else { libc::AF_INET }
    }

    pub fn here(&self) -> IpAddr {
        if self.v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
    }

    pub fn any(&self) -> IpAddr {
        if self.v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
    }

    pub fn socket(&mut self, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
        let fd = self.api.socket(domain, kind, protocol);
        self.opened(&format!("socket({domain}, {kind:#x}, {protocol})"), fd)
    }

    pub fn tcp(&mut self) -> c_int {
        self.socket(self.family(), libc::SOCK_STREAM, 0)
    }

    pub fn tcp_nonblocking(&mut self) -> c_int {
        self.socket(self.family(), libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)
    }

    pub fn udp(&mut self) -> c_int {
        self.socket(self.family(), libc::SOCK_DGRAM, 0)
    }

    /// A number that leads to nothing: closed, and only this test's threads open any.
    pub fn nowhere(&self) -> c_int {
        1_000_000
    }

    pub fn bind_to(&mut self, fd: c_int, ip: IpAddr, port: u16) -> bool {
        let name = Sockaddr::new(ip, port);
        let answer = self.api.bind(fd, name.as_bytes().as_ptr().cast(), name.as_bytes().len() as socklen_t);
        self.plain("bind", answer)
    }

    pub fn bind(&mut self, fd: c_int, port: u16) -> bool {
        self.bind_to(fd, self.here(), port)
    }

    /// With a name of any bytes.
    pub fn bind_raw(&mut self, fd: c_int, name: &[u8]) {
        let answer = self.api.bind(fd, name.as_ptr().cast(), name.len() as socklen_t);
        self.plain("bind", answer);
    }

    pub fn listen(&mut self, fd: c_int, backlog: c_int) -> bool {
        let answer = self.api.listen(fd, backlog);
        self.plain("listen", answer)
    }

    pub fn accept(&mut self, fd: c_int, flags: c_int) -> c_int {
        let answer = self.api.accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), flags);
        self.opened("accept", answer)
    }

    /// Accepts, and writes down whether the peer's name is the one that is expected.
    pub fn accept_from(&mut self, fd: c_int, port: u16) -> c_int {
        let (mut name, mut len) = ([0u8; 28], 28);
        let answer = self.api.accept4(fd, name.as_mut_ptr().cast(), &mut len, 0);
        let fd = self.opened("accept", answer);
        let expected = Sockaddr::new(self.here(), port);
        self.say(format!("the peer's name: {len} {}", name.starts_with(expected.as_bytes())));
        fd
    }

    pub fn connect_to(&mut self, fd: c_int, ip: IpAddr, port: u16) -> bool {
        let name = Sockaddr::new(ip, port);
        let answer = self.api.connect(fd, name.as_bytes().as_ptr().cast(), name.as_bytes().len() as socklen_t);
        self.plain("connect", answer)
    }

    pub fn connect(&mut self, fd: c_int, port: u16) -> bool {
        self.connect_to(fd, self.here(), port)
    }

    pub fn connect_raw(&mut self, fd: c_int, name: &[u8]) {
        let answer = self.api.connect(fd, name.as_ptr().cast(), name.len() as socklen_t);
        self.plain("connect", answer);
    }

    /// Takes the peer back (AF_UNSPEC).
    pub fn disconnect(&mut self, fd: c_int) {
        self.connect_raw(fd, &[0; 16]);
    }

    pub fn shutdown(&mut self, fd: c_int, how: c_int) {
        let answer = self.api.shutdown(fd, how);
        self.plain(&format!("shutdown({how})"), answer);
    }

    pub fn close(&mut self, fd: c_int) {
        self.open.retain(|&other| other != fd);
        let answer = self.api.close(fd);
        self.plain("close", answer);
    }

    /// The socket's port.
    pub fn port(&self, fd: c_int) -> u16 {
        let (mut name, mut len) = ([0u8; 28], 28);
        self.api.getsockname(fd, name.as_mut_ptr().cast(), &mut len);
        u16::from_be_bytes([name[2], name[3]])
    }

    /// getsockname and getpeername: the address, and whether there is a port.
    pub fn names(&mut self, fd: c_int) {
        let calls: [(&str, NameCall); 2] = [("getsockname", Api::getsockname), ("getpeername", Api::getpeername)];
        for (what, call) in calls {
            let (mut name, mut len) = ([0u8; 28], 28);
            let answer = call(self.api, fd, name.as_mut_ptr().cast(), &mut len);
            if self.plain(what, answer) {
                let ported = name[2..4] != [0, 0];
                name[2..4].fill(0);
                // The flow label of IPv6 is nobody's business.
                self.say(format!("{len} {:?} {:?} port {ported}", &name[..2], &name[4..]));
            }
        }
    }

    pub fn send_to(&mut self, fd: c_int, data: &[u8], flags: c_int, to: Option<(IpAddr, u16)>) -> isize {
        let name = to.map(|(ip, port)| Sockaddr::new(ip, port));
        let (start, len) = match &name {
            Some(name) => (name.as_bytes().as_ptr().cast(), name.as_bytes().len() as socklen_t),
            None => (std::ptr::null(), 0),
        };
        let flags = flags | libc::MSG_NOSIGNAL;
        let answer = self.api.sendto(fd, data.as_ptr().cast(), data.len(), flags, start, len);
        self.count("send", answer)
    }

    pub fn send(&mut self, fd: c_int, data: &[u8], flags: c_int) -> isize {
        self.send_to(fd, data, flags, None)
    }

    /// Receives, and writes down what.
    pub fn recv(&mut self, fd: c_int, room: usize, flags: c_int) -> isize {
        let mut bytes = vec![0u8; room];
        let none = std::ptr::null_mut();
        let answer = self.api.recvfrom(fd, bytes.as_mut_ptr().cast(), room, flags, none, none.cast());
        let count = self.count("recv", answer);
        if let Ok(count) = usize::try_from(count) {
            bytes.truncate(count.min(room));
            self.say(format!("{:?}", String::from_utf8_lossy(&bytes)));
        }
        count
    }

    /// Without writing down what.
    pub fn recv_quietly(&self, fd: c_int, room: usize) -> isize {
        let mut bytes = vec![0u8; room];
        let none = std::ptr::null_mut();
        self.api.recvfrom(fd, bytes.as_mut_ptr().cast(), room, 0, none, none.cast())
    }

    /// Sends, without waiting, until there is no room.
    pub fn fill(&mut self, fd: c_int) {
        self.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK as isize);
        let bytes = vec![0; 1 << 20];
        let full = (0..1000).any(|_| self.api.sendto(fd, bytes.as_ptr().cast(), bytes.len(), 0, std::ptr::null(), 0) < 0);
        self.say(full);
    }

    /// Reads at a connection's other end, without waiting, until this one has room again.
    pub fn make_room(&mut self, fd: c_int, other: c_int) {
        self.fcntl(other, libc::F_SETFL, libc::O_NONBLOCK as isize);
        for _ in 0..100_000 {
            let mut entry = pollfd { fd, events: libc::POLLOUT, revents: 0 };
            if self.recv_quietly(other, 65_536) <= 0 && self.api.poll(&mut entry, 1, 10) == 1 {
                break;
            }
        }
    }

    /// recvmsg into rows, with the sender's name.
    pub fn recvmsg(&mut self, fd: c_int, rooms: &[usize], flags: c_int) {
        let mut rows: Vec<Vec<u8>> = rooms.iter().map(|&room| vec![0; room]).collect();
        let mut vectors: Vec<iovec> =
            rows.iter_mut().map(|row| iovec { iov_base: row.as_mut_ptr().cast(), iov_len: row.len() }).collect();
        let mut name = [0u8; 28];
        // SAFETY: all its fields may be zero.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        (message.msg_name, message.msg_namelen) = (name.as_mut_ptr().cast(), 28);
        (message.msg_iov, message.msg_iovlen) = (vectors.as_mut_ptr(), vectors.len() as _);
        let answer = self.api.recvmsg(fd, &mut message, flags);
        if self.count("recvmsg", answer) >= 0 {
            let texts: Vec<String> = rows.iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect();
            self.say(format!("{texts:?} name {} flags {:#x}", message.msg_namelen, message.msg_flags));
        }
    }

    pub fn sendmsg(&mut self, fd: c_int, pieces: &[&[u8]], to: Option<(IpAddr, u16)>) {
        let mut vectors: Vec<iovec> =
            pieces.iter().map(|piece| iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() }).collect();
        let name = to.map(|(ip, port)| Sockaddr::new(ip, port));
        // SAFETY: all its fields may be zero.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        if let Some(name) = &name {
            message.msg_name = name.as_bytes().as_ptr().cast_mut().cast();
            message.msg_namelen = name.as_bytes().len() as socklen_t;
        }
        (message.msg_iov, message.msg_iovlen) = (vectors.as_mut_ptr(), vectors.len() as _);
        let answer = self.api.sendmsg(fd, &message, libc::MSG_NOSIGNAL);
        self.count("sendmsg", answer);
    }

    pub fn writev(&mut self, fd: c_int, pieces: &[&[u8]]) {
        let vectors: Vec<iovec> =
            pieces.iter().map(|piece| iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() }).collect();
        let answer = self.api.writev(fd, vectors.as_ptr(), vectors.len() as c_int);
        self.count("writev", answer);
    }

    pub fn readv(&mut self, fd: c_int, rooms: &[usize]) {
        let mut rows: Vec<Vec<u8>> = rooms.iter().map(|&room| vec![0; room]).collect();
        let vectors: Vec<iovec> =
            rows.iter_mut().map(|row| iovec { iov_base: row.as_mut_ptr().cast(), iov_len: row.len() }).collect();
        let answer = self.api.readv(fd, vectors.as_ptr(), vectors.len() as c_int);
        self.count("readv", answer);
        self.say(format!("{:?}", rows.iter().map(|row| String::from_utf8_lossy(row)).collect::<Vec<_>>()));
    }

    pub fn read(&mut self, fd: c_int, room: usize) {
        let mut bytes = vec![0u8; room];
        let answer = self.api.read(fd, bytes.as_mut_ptr().cast(), room);
        self.count("read", answer);
    }

    pub fn write(&mut self, fd: c_int, data: &[u8]) {
        let answer = self.api.write(fd, data.as_ptr().cast(), data.len());
        self.count("write", answer);
    }

    pub fn set(&mut self, fd: c_int, level: c_int, name: c_int, value: c_int) -> bool {
        let answer = self.api.setsockopt(fd, level, name, (&raw const value).cast(), 4);
        self.plain(&format!("setsockopt({level}, {name}, {value})"), answer)
    }

    pub fn set_bytes(&mut self, fd: c_int, level: c_int, name: c_int, value: &[u8]) {
        let answer = self.api.setsockopt(fd, level, name, value.as_ptr().cast(), value.len() as socklen_t);
        self.plain(&format!("setsockopt({level}, {name}, {} bytes)", value.len()), answer);
    }

    /// An option's bytes, written down.
    pub fn get(&mut self, fd: c_int, level: c_int, name: c_int, room: usize) -> Vec<u8> {
        let (mut bytes, mut len) = (vec![0u8; room], room as socklen_t);
        let answer = self.api.getsockopt(fd, level, name, bytes.as_mut_ptr().cast(), &mut len);
        if !self.plain(&format!("getsockopt({level}, {name})"), answer) {
            return Vec::new();
        }
        bytes.truncate(len as usize);
        self.say(format!("{bytes:?}"));
        bytes
    }

    /// As [`get`](Run::get), not written down.
    pub fn look(&self, fd: c_int, level: c_int, name: c_int, room: usize) -> Vec<u8> {
        let (mut bytes, mut len) = (vec![0u8; room], room as socklen_t);
        self.api.getsockopt(fd, level, name, bytes.as_mut_ptr().cast(), &mut len);
        bytes.truncate(len as usize);
        bytes
    }

    pub fn error(&mut self, fd: c_int) {
        self.get(fd, libc::SOL_SOCKET, libc::SO_ERROR, 4);
    }

    pub fn fcntl(&mut self, fd: c_int, command: c_int, argument: isize) -> c_int {
        let answer = self.api.fcntl(fd, command, argument);
        self.plain(&format!("fcntl({command}, {argument})"), answer);
        answer
    }

    pub fn ioctl(&mut self, fd: c_int, request: c_ulong, mut value: c_int) {
        let answer = self.api.ioctl(fd, request, &mut value);
        if self.plain(&format!("ioctl({request:#x})"), answer) {
            self.say(value);
        }
    }

    /// Everything that poll says of a descriptor now.
    pub fn mask(&mut self, fd: c_int) {
        let events = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP | libc::POLLRDNORM | libc::POLLWRNORM;
        let mut entry = pollfd { fd, events, revents: 0 };
        let answer = self.api.poll(&mut entry, 1, 0);
        self.plain("poll", answer);
        self.say(format!("mask {:#x}", entry.revents));
    }

    /// Waits until poll says one of these; whether it came is written down, not what else came with it.
    pub fn wait(&mut self, fd: c_int, events: i16) {
        let mut entry = pollfd { fd, events, revents: 0 };
        self.api.poll(&mut entry, 1, PATIENCE);
        self.say(format!("waited for {events:#x}: {}", entry.revents & events != 0));
    }

    pub fn epoll(&mut self) -> c_int {
        let answer = self.api.epoll_create1(0);
        self.opened("epoll_create1", answer)
    }

    pub fn control(&mut self, epfd: c_int, op: c_int, fd: c_int, events: c_int, data: u64) {
        let mut event = epoll_event { events: events as u32, u64: data };
        let answer = self.api.epoll_ctl(epfd, op, fd, &mut event);
        self.plain(&format!("epoll_ctl({op}, {events:#x})"), answer);
    }

    pub fn add(&mut self, epfd: c_int, fd: c_int, events: c_int, data: u64) {
        self.control(epfd, libc::EPOLL_CTL_ADD, fd, events, data);
    }

    /// Events, by their data, so that the order makes no difference.
    pub fn events(&mut self, epfd: c_int, most: c_int, timeout: c_int) -> usize {
        let mut events = vec![epoll_event { events: 0, u64: 0 }; most.max(0) as usize];
        let answer = self.api.epoll_wait(epfd, events.as_mut_ptr(), most, timeout);
        self.plain("epoll_wait", answer);
        let count = usize::try_from(answer).unwrap_or(0);
        let mut found: Vec<(u64, u32)> = events[..count].iter().map(|event| (event.u64, event.events)).collect();
        found.sort_unstable();
        self.say(format!("{found:x?}"));
        count
    }

    /// Waits for events as long as it takes.
    pub fn await_events(&mut self, epfd: c_int, most: c_int) -> usize {
        self.events(epfd, most, PATIENCE)
    }

    pub fn pipe(&mut self) -> [c_int; 2] {
        let mut ends = [0; 2];
        let answer = self.api.pipe(ends.as_mut_ptr());
        if self.plain("pipe", answer) {
            self.open.extend(ends);
        }
        ends
    }

    pub fn splice(&mut self, from: c_int, to: c_int, len: usize) {
        let answer = self.api.splice(from, to, len);
        self.count("splice", answer);
    }

    /// A listener on a free port.
    pub fn listener(&mut self) -> (c_int, u16) {
        let fd = self.tcp();
        self.bind(fd, 0);
        self.listen(fd, 16);
        (fd, self.port(fd))
    }

    /// A port on which nobody listens.
    pub fn free_port(&mut self) -> u16 {
        let fd = self.tcp();
        self.bind(fd, 0);
        let port = self.port(fd);
        self.close(fd);
        port
    }

    /// A connection: the client's end, and the server's.
    pub fn pair(&mut self) -> (c_int, c_int) {
        let (listener, port) = self.listener();
        let client = self.tcp();
        self.connect(client, port);
        let server = self.accept(listener, 0);
        self.close(listener);
        (client, server)
    }

    /// Runs calls in another thread while this one makes others, and puts their record behind this one's.
    pub fn beside(&mut self, other: impl FnOnce(&mut Run) + Send, this: impl FnOnce(&mut Run)) {
        let (api, v6) = (self.api, self.v6);
        let (log, open) = std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let mut run = Run::new(api, v6);
                other(&mut run);
                (run.log, run.open)
            });
            this(self);
            thread.join().expect("a thread that makes calls")
        });
        self.log.extend(log);
        self.open.extend(open);
    }
}

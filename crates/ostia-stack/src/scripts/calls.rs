//! System calls, and what they are on the stack.

use core::time::Duration;
use std::collections::BTreeMap;
use std::string::String;
use std::{format, vec};

use super::parse::words_of;
use super::peer::{PORT, octet};
use super::run::{Run, seconds};
use super::script::{Call, Value};
use crate::{Error, Handle, How, Keepalive, Kind, Local, Options, Socket, State, TcpInfo};

/// A file descriptor.
struct Fd {
    handle: Option<Handle>,
    options: Options,
    keepalive: Keepalive,
    bound: Option<u16>,
    nonblocking: bool,
    /// It has been connected once.
    connected: bool,
    /// The error that events told of, until somebody is told.
    error: Option<Error>,
    /// The script's numbers of the next octets to be written and read.
    written: u32,
    read: u32,
}

/// A call that has not returned yet.
struct Waiting {
    what: What,
    fd: i64,
    result: i64,
    error: Option<String>,
    /// When it must return, in microseconds.
    end: u64,
}

#[derive(Clone, Copy)]
enum What {
    Accept,
    Connect,
    Read(usize),
}

/// The descriptors of a script.
#[derive(Default)]
pub(super) struct Calls {
    fds: BTreeMap<i64, Fd>,
    waiting: Option<Waiting>,
    /// The connection that code snippets look at.
    subject: Option<i64>,
}

/// What a call returns: a number, or an error's name.
type Outcome = Result<i64, &'static str>;

fn name(error: Error) -> &'static str {
    match error {
        Error::WouldBlock => "EAGAIN",
        Error::BadHandle => "EBADF",
        Error::InvalidInput => "EINVAL",
        Error::AddressInUse => "EADDRINUSE",
        Error::AddressNotAvailable => "EADDRNOTAVAIL",
        Error::NotConnected => "ENOTCONN",
        Error::AlreadyConnected => "EISCONN",
        Error::ConnectionRefused => "ECONNREFUSED",
        Error::ConnectionReset => "ECONNRESET",
        Error::ConnectionAborted => "ECONNABORTED",
        Error::TimedOut => "ETIMEDOUT",
        Error::BrokenPipe => "EPIPE",
        Error::NetworkUnreachable => "ENETUNREACH",
        Error::HostUnreachable => "EHOSTUNREACH",
        Error::ProtocolUnreachable => "ENOPROTOOPT",
        Error::MessageTooLong => "EMSGSIZE",
        Error::NoBufferSpace => "ENOBUFS",
        Error::PermissionDenied => "EACCES",
        Error::NotSupported => "EOPNOTSUPP",
    }
}

fn integer(call: &Call, place: usize) -> Result<i64, String> {
    match call.arguments.get(place) {
        Some(Value::Integer(number)) => Ok(*number),
        other => Err(format!("argument {place} of {}: {other:?}", call.name)),
    }
}

/// The number in `[n]`.
fn boxed(call: &Call, place: usize) -> Result<i64, String> {
    match call.arguments.get(place) {
        Some(Value::List(values)) => match values[..] {
            [Value::Integer(number)] => Ok(number),
            _ => Err(format!("argument {place} of {}: {values:?}", call.name)),
        },
        other => Err(format!("argument {place} of {}: {other:?}", call.name)),
    }
}

fn word(call: &Call, place: usize) -> Result<&str, String> {
    match call.arguments.get(place) {
        Some(Value::Word(word)) => Ok(word),
        other => Err(format!("argument {place} of {}: {other:?}", call.name)),
    }
}

/// The port of a socket address; `...` is the usual one.
fn port(call: &Call, place: usize) -> Result<u16, String> {
    match call.arguments.get(place) {
        Some(Value::Ellipsis) => Ok(PORT),
        Some(Value::Port(port)) => Ok(*port),
        other => Err(format!("argument {place} of {}: {other:?}", call.name)),
    }
}

impl Calls {
    /// Makes a call. One with an end may wait till then; any other must return at once.
    pub(super) fn call(&mut self, call: &Call, end: Option<u64>, run: &mut Run) -> Result<(), String> {
        if self.waiting.is_some() {
            return Err("the call before has not returned".into());
        }
        let Value::Integer(result) = call.result else {
            return Err(format!("the result of {}: {:?}", call.name, call.result));
        };
        self.take_events(run);
        if let Some(end) = end {
            let fd = integer(call, 0)?;
            let what = match call.name.as_str() {
                "accept" => What::Accept,
                "connect" => {
                    if let Err(error) = self.begin_connecting(call, run)? {
                        return Err(format!("failed at once with {error}"));
                    }
                    What::Connect
                }
                "read" | "recv" => What::Read(integer(call, 2)? as usize),
                name => return Err(format!("{name} can't wait")),
            };
            self.waiting = Some(Waiting { what, fd, result, error: call.error.clone(), end });
            return self.resume(run);
        }
        let outcome = self.carry_out(call, result, run)?;
        self.judge(outcome, result, call.error.as_deref())?;
        if let ("accept", Ok(fd)) = (call.name.as_str(), outcome) {
            self.subject = Some(fd);
        }
        Ok(())
    }

    fn judge(&self, outcome: Outcome, result: i64, error: Option<&str>) -> Result<(), String> {
        match outcome {
            Ok(found) if found == result && error.is_none() => Ok(()),
            Err(found) if result == -1 && error == Some(found) => Ok(()),
            Ok(found) => Err(format!("returned {found}, not {result} {}", error.unwrap_or(""))),
            Err(found) => Err(format!("failed with {found}, instead of {result} {}", error.unwrap_or(""))),
        }
    }

    /// Events tell of connections and their ends.
    fn take_events(&mut self, run: &mut Run) {
        while let Some(event) = run.stack.poll_event() {
            let Some(fd) = self.fds.values_mut().find(|fd| fd.handle == Some(event.socket)) else { continue };
            match event.kind {
                Kind::Connected => fd.connected = true,
                Kind::Failed(error) => fd.error = Some(error),
                _ => {}
            }
        }
    }

    /// Lets a call that waits return if it can; if so it must be the time for it.
    pub(super) fn resume(&mut self, run: &mut Run) -> Result<(), String> {
        self.take_events(run);
        let Some(Waiting { what, fd, result, end, .. }) = self.waiting else { return Ok(()) };
        let outcome = match what {
            What::Accept => self.accept(fd, result, run)?,
            What::Read(count) => self.read(fd, count, run)?,
            What::Connect => self.connected(fd)?,
        };
        let now = run.micros();
        if outcome == Err("EAGAIN") {
            return match now > end {
                true => Err(format!("a call that was to return at {} has not", seconds(end))),
                false => Ok(()),
            };
        }
        let error = self.waiting.take().and_then(|waiting| waiting.error);
        if now != end {
            return Err(format!("a call returned {outcome:?} at {}, not at {}", seconds(now), seconds(end)));
        }
        if let (What::Accept, Ok(fd)) = (what, outcome) {
            self.subject = Some(fd);
        }
        self.judge(outcome, result, error.as_deref())
    }

    pub(super) fn nothing_left(&self) -> Result<(), String> {
        match &self.waiting {
            Some(waiting) => Err(format!("the call that was to return at {} has not", seconds(waiting.end))),
            None => Ok(()),
        }
    }

    /// The figures of the connection that the script is about.
    pub(super) fn info(&self, run: &Run) -> Result<TcpInfo, String> {
        let handle = self.subject.and_then(|fd| self.fds.get(&fd)).and_then(|fd| fd.handle);
        let handle = handle.ok_or("no connection to look at")?;
        run.stack.tcp_info(handle).map_err(|error| format!("tcp_info: {error}"))
    }

    fn fd(&mut self, fd: i64) -> Result<&mut Fd, String> {
        self.fds.get_mut(&fd).ok_or_else(|| format!("no descriptor {fd}"))
    }

    fn carry_out(&mut self, call: &Call, result: i64, run: &mut Run) -> Result<Outcome, String> {
        match call.name.as_str() {
            "socket" => {
                let options = run.stack.options();
                let keepalive = Keepalive::default();
                let (handle, bound, nonblocking, connected, error) = (None, None, false, false, None);
                let fd = Fd { handle, options, keepalive, bound, nonblocking, connected, error, written: 1, read: 1 };
                self.fds.insert(result, fd);
                Ok(Ok(result))
            }
            "fcntl" => {
                let flags = call.arguments.get(2).map(words_of).unwrap_or_default();
                self.fd(integer(call, 0)?)?.nonblocking = flags.iter().any(|flag| flag == "O_NONBLOCK");
                Ok(Ok(0))
            }
            "bind" => self.bind(call, run),
            "listen" => self.listen(call, run),
            "accept" => {
                let fd = integer(call, 0)?;
                let outcome = self.accept(fd, result, run)?;
                self.must_not_wait(fd, outcome)
            }
            "connect" => {
                let fd = integer(call, 0)?;
                match self.begin_connecting(call, run)? {
                    Err(error) => Ok(Err(error)),
                    Ok(_) if self.fd(fd)?.nonblocking => Ok(Err("EINPROGRESS")),
                    Ok(_) => Err("connect waits on a blocking socket: give it an end".into()),
                }
            }
            "read" | "recv" => {
                let fd = integer(call, 0)?;
                let outcome = self.read(fd, integer(call, 2)? as usize, run)?;
                let flags = call.arguments.get(3).map(words_of).unwrap_or_default();
                if flags.iter().any(|flag| flag == "MSG_DONTWAIT") {
                    return Ok(outcome);
                }
                self.must_not_wait(fd, outcome)
            }
            "write" | "send" => self.write(call, run),
            "shutdown" => {
                let how = match word(call, 1)? {
                    "SHUT_RD" => How::Read,
                    "SHUT_WR" => How::Write,
                    _ => How::Both,
                };
                let Some(handle) = self.fd(integer(call, 0)?)?.handle else { return Ok(Err("ENOTCONN")) };
                Ok(run.stack.shutdown(handle, how).map(|()| 0).map_err(name))
            }
            "close" => {
                let Some(fd) = self.fds.remove(&integer(call, 0)?) else { return Ok(Err("EBADF")) };
                match fd.handle {
                    Some(handle) => Ok(run.stack.close(handle).map(|()| 0).map_err(name)),
                    None => Ok(Ok(0)),
                }
            }
            "setsockopt" => self.set_option(call, run),
            "getsockopt" => self.socket_error(call, run),
            name => Err(format!("no such call: {name}")),
        }
    }

    /// A call without an end must not have to wait, unless its socket never does.
    fn must_not_wait(&mut self, fd: i64, outcome: Outcome) -> Result<Outcome, String> {
        if outcome == Err("EAGAIN") && !self.fd(fd)?.nonblocking {
            return Err("the call would wait, and has no end".into());
        }
        Ok(outcome)
    }

    /// A port that somebody listens on can't be had.
    fn bind(&mut self, call: &Call, run: &mut Run) -> Result<Outcome, String> {
        let port = port(call, 1)?;
        self.fd(integer(call, 0)?)?.bound = Some(port);
        Ok(match run.stack.listen(Local { address: None, port }, 0) {
            Ok(handle) => run.stack.close(handle).map(|()| 0).map_err(name),
            Err(error) => Err(name(error)),
        })
    }

    fn listen(&mut self, call: &Call, run: &mut Run) -> Result<Outcome, String> {
        let backlog = integer(call, 1)? as usize;
        let fd = self.fd(integer(call, 0)?)?;
        let local = Local { address: None, port: fd.bound.ok_or("listen without bind")? };
        Ok(match run.stack.listen_with(local, backlog, fd.options, None) {
            Ok(handle) => {
                fd.handle = Some(handle);
                Ok(0)
            }
            Err(error) => Err(name(error)),
        })
    }

    fn accept(&mut self, fd: i64, result: i64, run: &mut Run) -> Result<Outcome, String> {
        let listener = self.fd(fd)?;
        let (handle, options, keepalive) =
            (listener.handle.ok_or("accept without listen")?, listener.options, listener.keepalive);
        let accepted = match run.stack.accept(handle) {
            Ok(accepted) => accepted,
            Err(error) => return Ok(Err(name(error))),
        };
        if accepted.kind() != Socket::Connection {
            return Err(format!("accepted {accepted:?}"));
        }
        let ((_, local), (_, remote)) = run.stack.addresses(accepted).map_err(|error| format!("addresses: {error}"))?;
        let start = run.peers.by_ports(local, remote).map_or(1, |peer| peer.start);
        let fd = Fd {
            handle: Some(accepted),
            options,
            keepalive,
            bound: None,
            nonblocking: false,
            connected: true,
            error: None,
            written: 1,
            read: start,
        };
        self.fds.insert(result, fd);
        Ok(Ok(result))
    }

    fn begin_connecting(&mut self, call: &Call, run: &mut Run) -> Result<Outcome, String> {
        let number = integer(call, 0)?;
        let port = port(call, 1)?;
        let (_, _, remote) = run.family.addresses();
        self.subject = Some(number);
        let fd = self.fd(number)?;
        let local = fd.bound.map(|port| (None, port));
        match run.stack.connect_with((remote.into(), port), local, None, fd.options) {
            Ok(handle) => {
                fd.handle = Some(handle);
                run.peers.connecting(port);
                Ok(Ok(0))
            }
            Err(error) => Ok(Err(name(error))),
        }
    }

    fn connected(&mut self, fd: i64) -> Result<Outcome, String> {
        let fd = self.fd(fd)?;
        Ok(match fd.error.take() {
            Some(error) => Err(name(error)),
            None if fd.connected => Ok(0),
            None => Err("EAGAIN"),
        })
    }

    fn read(&mut self, fd: i64, count: usize, run: &mut Run) -> Result<Outcome, String> {
        let fd = self.fd(fd)?;
        let Some(handle) = fd.handle else { return Ok(Err("ENOTCONN")) };
        let mut bytes = vec![0; count];
        let count = match run.stack.recv(handle, &mut bytes) {
            Ok(count) => count,
            // What was connected once and is over has simply ended, once its error has been told.
            Err(Error::NotConnected) if fd.connected => 0,
            Err(error) => {
                fd.error = None;
                return Ok(Err(name(error)));
            }
        };
        for (&byte, number) in bytes[..count].iter().zip(fd.read..) {
            if byte != octet(false, number) {
                return Err(format!("octet {number} of the stream was read wrong"));
            }
        }
        fd.read += count as u32;
        Ok(Ok(count as i64))
    }

    fn write(&mut self, call: &Call, run: &mut Run) -> Result<Outcome, String> {
        let flags = call.arguments.get(3).map(words_of).unwrap_or_default();
        let has = |flag: &str| flags.iter().any(|other| other == flag);
        let count = integer(call, 2)? as u32;
        let fd = self.fd(integer(call, 0)?)?;
        let Some(handle) = fd.handle else { return Ok(Err("EPIPE")) };
        let bytes: std::vec::Vec<u8> = (fd.written..fd.written + count).map(|number| octet(true, number)).collect();
        let outcome = if has("MSG_OOB") { run.stack.send_urgent(handle, &bytes) } else { run.stack.send(handle, &bytes) };
        let may_wait = !fd.nonblocking && !has("MSG_DONTWAIT");
        match outcome {
            Ok(done) if done < bytes.len() && may_wait => Err(format!("the call would wait after {done} octets")),
            Ok(done) => {
                fd.written += done as u32;
                Ok(Ok(done as i64))
            }
            Err(Error::WouldBlock) if may_wait => Err("the call would wait".into()),
            Err(error) => {
                fd.error = None;
                Ok(Err(name(error)))
            }
        }
    }

    fn set_option(&mut self, call: &Call, run: &mut Run) -> Result<Outcome, String> {
        let option = word(call, 2)?;
        let fd = self.fd(integer(call, 0)?)?;
        if option == "SO_LINGER" {
            let Some(Value::Linger { on, seconds }) = call.arguments.get(3) else {
                return Err("SO_LINGER without its structure".into());
            };
            fd.options.linger = on.then(|| Duration::from_secs(*seconds));
        } else {
            let value = boxed(call, 3)?;
            let number = u32::try_from(value).map_err(|error| format!("{option} {value}: {error}"))?;
            let (on, seconds) = (number != 0, Duration::from_secs(number.into()));
            let (keepalive, options) = (&mut fd.keepalive, &mut fd.options);
            match option {
                // The stack listens where nobody else does, and leaves urgent data in the stream.
                "SO_REUSEADDR" | "SO_OOBINLINE" => {}
                "SO_RCVBUF" => options.receive_buffer = number,
                "SO_SNDBUF" => (options.send_buffer, options.send_buffer_most) = (number, number),
                "SO_KEEPALIVE" => options.keepalive = on.then_some(*keepalive),
                "TCP_KEEPIDLE" => keepalive.idle = seconds,
                "TCP_KEEPINTVL" => keepalive.interval = seconds,
                "TCP_KEEPCNT" => keepalive.count = number as u8,
                "TCP_NODELAY" => options.nodelay = on,
                "TCP_CORK" => options.cork = on,
                "TCP_MAXSEG" => options.max_segment = number as u16,
                "TCP_USER_TIMEOUT" => options.user_timeout = on.then(|| Duration::from_millis(number.into())),
                "TCP_LINGER2" => options.fin_wait_2 = seconds,
                "IP_TTL" | "IPV6_UNICAST_HOPS" => options.hop_limit = number as u8,
                "IP_TOS" | "IPV6_TCLASS" => options.traffic_class = number as u8,
                _ => return Err(format!("no such option: {option}")),
            }
            if option.starts_with("TCP_KEEP") && options.keepalive.is_some() {
                options.keepalive = Some(*keepalive);
            }
        }
        let options = fd.options;
        Ok(match fd.handle {
            Some(handle) => run.stack.set_socket_options(handle, options).map(|()| 0).map_err(name),
            None => Ok(0),
        })
    }

    /// SO_ERROR: the error is told, and gone.
    fn socket_error(&mut self, call: &Call, run: &mut Run) -> Result<Outcome, String> {
        if word(call, 2)? != "SO_ERROR" {
            return Err(format!("no such option: {}", word(call, 2)?));
        }
        let fd = self.fd(integer(call, 0)?)?;
        let wanted = match call.arguments.get(3) {
            Some(Value::List(values)) => match &values[..] {
                [Value::Integer(0)] => "none",
                [Value::Word(word)] => word,
                _ => return Err(format!("an error, not {values:?}")),
            },
            other => return Err(format!("an error, not {other:?}")),
        };
        let found = fd.error.take();
        if let (Some(_), Some(handle)) = (found, fd.handle) {
            // The stack tells of it once, with whatever is asked next.
            let _ = run.stack.recv(handle, &mut []);
        }
        let connecting = fd.handle.is_some_and(|handle| run.stack.state(handle) == Ok(State::SynSent));
        let found = found.map_or("none", name);
        match found == wanted && !(connecting && wanted == "none") {
            true => Ok(Ok(0)),
            false => Err(format!("the error is {found}, not {wanted}")),
        }
    }
}

//! Reads requests out of received chunks: incremental, pipelined, and strict.
//!
//! A [`Reader`] is fed the bytes of a connection in whatever pieces they arrive. A request that
//! lies in one piece is parsed where it lies; only one that is cut is put together in the reader's
//! own buffer, which goes away with it. Every byte is looked at once for line ends, so a client that
//! dribbles its head byte by byte costs no more than one that sends it whole.
//!
//! Strict means that what two programs could read differently (and smuggle requests by) is
//! refused: a bare LF, a folded line, a space before a colon, two lengths, a length beside a
//! transfer coding, a missing or second `Host` (RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.3).

use super::body::Body;
use super::response::{Persistence, Status};
use crate::hosts;
use std::mem::MaybeUninit;

/// Most header fields that a request may have; one more is answered with 431.
pub const MAX_FIELDS: usize = 96;

/// How large a request may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The request target; beyond it 414.
    pub target: usize,
    /// Request line and header section together; beyond it 431.
    pub head: usize,
    /// Content of a request body, which is read and thrown away; beyond it 413.
    pub body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { target: 8 << 10, head: 16 << 10, body: 64 << 10 }
    }
}

/// Why a request is refused. The connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// What the client is told.
    pub status: Status,
    /// What was wrong, for the log and for tests.
    pub why: &'static str,
}

impl Reject {
    /// A refusal with its reason.
    pub const fn new(status: Status, why: &'static str) -> Self {
        Reject { status, why }
    }
}

const fn bad(why: &'static str) -> Reject {
    Reject::new(Status::BadRequest, why)
}

/// The methods that files can be asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The file.
    Get,
    /// Only what a GET's head would be.
    Head,
}

/// A well-formed request, borrowed from the bytes it arrived in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// GET or HEAD.
    pub method: Method,
    /// The path as sent: begins with `/`, still percent-encoded, without the query.
    pub path: &'a [u8],
    /// What follows the `?`, if there is one.
    pub query: Option<&'a [u8]>,
    /// The authority asked for: from the target if it is in absolute form, else the `Host` field.
    /// `None` only in HTTP/1.0.
    pub host: Option<&'a [u8]>,
    /// What is to happen to the connection afterwards.
    pub persistence: Persistence,
    /// There is an `If-…` field other than `If-Range`.
    pub conditional: bool,
    /// There is a `Range` field.
    pub ranged: bool,
    /// The request line, for the log.
    pub line: &'a [u8],
    fields: &'a [u8],
}

impl<'a> Request<'a> {
    /// The values of every field of this name (lower case), in order, without surrounding space.
    /// Reads the header section again: meant for the fields that few requests have.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields.split(|&b| b == b'\n').filter_map(move |line| {
            let (field, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            field.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
        })
    }

    /// The value of a field that may occur only once; `None` when it is absent or repeated.
    pub fn single(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }
}

/// What a call of [`Reader::next`] came to.
#[derive(Debug)]
pub enum Step<'a> {
    /// All input has been taken and no request is complete.
    More,
    /// A request; its body, if it had one, has been read.
    Request(Request<'a>),
    /// The client waits for an interim response before it sends the body: send
    /// [`CONTINUE`](super::response::CONTINUE) and go on.
    Continue,
    /// Answer with this status and close.
    Reject {
        /// Status and reason.
        reject: Reject,
        /// The request line so far as it was read, for the log.
        line: &'a [u8],
    },
}

/// What a connection waits for; each has a time limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The first byte of a request.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

#[derive(Debug)]
enum Phase {
    Head,
    /// The head lies in `carry`.
    Body(Body),
    /// The request in `carry` has been handed out: forget it before going on.
    Done,
}

/// The reading half of one HTTP/1.x connection.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    carry: Vec<u8>,
    scan: Scan,
    phase: Phase,
}

/// How far a head has been searched for its end. Offsets count from the head's first byte.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// Searched up to here.
    to: usize,
    /// Where the current line begins.
    line: usize,
    /// Where the request line begins: after the empty lines that RFC 9112 section 2.2 lets pass.
    start: usize,
    /// Where the request line ends, its CRLF not counted; 0 until then.
    first_end: usize,
}

impl Reader {
    /// A reader at the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        Reader { limits, carry: Vec::new(), scan: Scan::default(), phase: Phase::Head }
    }

    /// What the connection waits for when [`Reader::next`] says [`Step::More`].
    pub fn waiting(&self) -> Waiting {
        match self.phase {
            Phase::Body(_) => Waiting::Body,
            Phase::Head if !self.carry.is_empty() => Waiting::Head,
            Phase::Head | Phase::Done => Waiting::Request,
        }
    }

    /// Takes bytes from the front of `input` up to the end of one request, and says how many.
    ///
    /// Call again with the rest until it says [`Step::More`], which is only said once all input
    /// has been taken. After [`Step::Reject`] the reader must not be used again.
    pub fn next<'a>(&'a mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        match self.phase {
            Phase::Body(_) => return self.body(input, 0),
            Phase::Head if !self.carry.is_empty() => return self.cut_head(input),
            Phase::Head => {}
            Phase::Done => {
                // Few requests are cut; a connection that waits for its next one holds no buffer.
                self.carry = Vec::new();
                self.phase = Phase::Head;
            }
        }
        if input.is_empty() {
            return (0, Step::More);
        }
        let end = match self.scan.advance(input, &self.limits) {
            Ok(Some(end)) => end,
            Ok(None) => {
                self.carry.extend_from_slice(input);
                return (input.len(), Step::More);
            }
            Err(reject) => {
                return (input.len(), Step::Reject { reject, line: self.scan.line_of(input) });
            }
        };
        let scan = std::mem::take(&mut self.scan);
        match parse(&input[scan.start..end], scan.line_len(), &self.limits) {
            Ok(Parsed { request, body: None, .. }) => (end, Step::Request(request)),
            Ok(Parsed { body: Some(body), expects, .. }) => {
                self.carry.extend_from_slice(&input[..end]);
                self.scan = scan;
                self.enter_body(body, expects, input, end)
            }
            Err(reject) => (end, Step::Reject { reject, line: scan.line_of(input) }),
        }
    }

    /// Goes on with a head whose beginning lies in `carry`.
    fn cut_head<'a>(&'a mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        let before = self.carry.len();
        self.carry.extend_from_slice(input);
        let end = match self.scan.advance(&self.carry, &self.limits) {
            Ok(Some(end)) => end,
            Ok(None) => return (input.len(), Step::More),
            Err(reject) => {
                return (input.len(), Step::Reject { reject, line: self.scan.line_of(&self.carry) });
            }
        };
        let used = end - before;
        self.carry.truncate(end);
        match parse(&self.carry[self.scan.start..], self.scan.line_len(), &self.limits) {
            Ok(Parsed { body: None, .. }) => (used, self.hand_out()),
            Ok(Parsed { body: Some(body), expects, .. }) => self.enter_body(body, expects, input, used),
            Err(reject) => (used, Step::Reject { reject, line: self.scan.line_of(&self.carry) }),
        }
    }

    fn enter_body<'a>(&'a mut self, body: Body, expects: bool, input: &[u8], used: usize) -> (usize, Step<'a>) {
        self.phase = Phase::Body(body);
        // No interim response once content has come (RFC 9110 section 10.1.1).
        if expects && used == input.len() {
            return (used, Step::Continue);
        }
        self.body(input, used)
    }

    /// Goes on with a body that begins at `used`, or in an earlier piece.
    fn body<'a>(&'a mut self, input: &[u8], used: usize) -> (usize, Step<'a>) {
        let Phase::Body(body) = &mut self.phase else {
            return (used, Step::More);
        };
        match body.feed(&input[used..]) {
            Ok(taken) if body.is_done() => (used + taken, self.hand_out()),
            Ok(taken) => (used + taken, Step::More),
            Err(reject) => (input.len(), Step::Reject { reject, line: self.scan.line_of(&self.carry) }),
        }
    }

    /// Hands out the request whose head lies in `carry`. It is parsed a second time here, so that
    /// nothing of it needs to be kept while its body arrives.
    fn hand_out(&mut self) -> Step<'_> {
        self.phase = Phase::Done;
        let scan = std::mem::take(&mut self.scan);
        match parse(&self.carry[scan.start..], scan.line_len(), &self.limits) {
            Ok(parsed) => Step::Request(parsed.request),
            Err(reject) => Step::Reject { reject, line: scan.line_of(&self.carry) },
        }
    }
}

impl Scan {
    /// Searches `head` on from where the last call stopped. Gives the head's length once its end
    /// has come; refuses bare LFs, and heads and targets over their limits.
    fn advance(&mut self, head: &[u8], limits: &Limits) -> Result<Option<usize>, Reject> {
        while let Some(found) = memchr::memchr(b'\n', &head[self.to..]) {
            let lf = self.to + found;
            self.to = lf + 1;
            if lf == self.line || head[lf - 1] != b'\r' {
                return Err(bad("a line that ends in LF without CR"));
            }
            let line = self.line..lf - 1;
            self.line = lf + 1;
            if line.is_empty() {
                if self.first_end > 0 {
                    return if lf < limits.head { Ok(Some(lf + 1)) } else { Err(Self::TOO_LARGE) };
                }
                self.start = lf + 1;
            } else if self.first_end == 0 {
                self.first_end = line.end;
                self.check_target(line.end, limits)?;
            }
        }
        self.to = head.len();
        if self.first_end == 0 {
            self.check_target(head.len(), limits)?;
        }
        if head.len() > limits.head { Err(Self::TOO_LARGE) } else { Ok(None) }
    }

    const TOO_LARGE: Reject = Reject::new(Status::RequestHeaderFieldsTooLarge, "the head is too large");

    /// A request line so long that its target must be over the limit, whatever the method.
    fn check_target(&self, end: usize, limits: &Limits) -> Result<(), Reject> {
        match end - self.start > limits.target + 64 {
            true => Err(Reject::new(Status::UriTooLong, "the request line is too long")),
            false => Ok(()),
        }
    }

    /// Length of the request line, once it has ended.
    fn line_len(&self) -> usize {
        self.first_end - self.start
    }

    /// The request line, or what there is of it.
    fn line_of<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        let rest = head.get(self.start..).unwrap_or_default();
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        &rest[..end]
    }
}

struct Parsed<'a> {
    request: Request<'a>,
    body: Option<Body>,
    expects: bool,
}

/// What the fields that matter said; gathered in one pass.
#[derive(Default)]
struct Gathered<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    coding: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    conditional: bool,
    ranged: bool,
}

/// Parses a complete head, whose first line has `line` bytes.
fn parse<'a>(head: &'a [u8], line: usize, limits: &Limits) -> Result<Parsed<'a>, Reject> {
    let mut slots = [MaybeUninit::uninit(); MAX_FIELDS];
    let mut raw = httparse::Request::new(&mut []);
    match raw.parse_with_uninit_headers(head, &mut slots) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("a head that ends before its end")),
        Err(httparse::Error::Version) => return Err(version_error(head)),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Reject::new(Status::RequestHeaderFieldsTooLarge, "too many header fields"));
        }
        Err(_) => return Err(bad("a malformed request line or field")),
    }
    let (Some(method), Some(target), Some(minor)) = (raw.method, raw.path, raw.version) else {
        return Err(bad("an incomplete request line"));
    };
    if target.len() > limits.target {
        return Err(Reject::new(Status::UriTooLong, "the target is too long"));
    }
    let mut gathered = Gathered::default();
    for field in raw.headers.iter() {
        gathered.add(field.name, field.value)?;
    }
    let body = gathered.body(minor, limits)?;
    let (authority, path, query) = split_target(target.as_bytes())?;
    let host = match (authority, gathered.host) {
        (_, None) if minor == 1 => return Err(bad("no Host")),
        (authority, host) => authority.or(host),
    };
    if let Some(host) = host
        && !host.is_empty()
        && !hosts::is_authority(host)
    {
        return Err(bad("a malformed Host"));
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => {
            return Err(Reject::new(Status::MethodNotAllowed, "a method other than GET and HEAD"));
        }
    };
    let expects = match gathered.expect {
        Some(value) if minor == 1 && value.eq_ignore_ascii_case(b"100-continue") => true,
        Some(_) if minor == 1 => {
            return Err(Reject::new(Status::ExpectationFailed, "an unknown expectation"));
        }
        _ => false,
    };
    let persistence = match minor {
        1 if !gathered.close => Persistence::Keep,
        0 if gathered.keep_alive && !gathered.close => Persistence::KeepExplicit,
        _ => Persistence::Close,
    };
    Ok(Parsed {
        request: Request {
            method,
            path,
            query,
            host,
            persistence,
            conditional: gathered.conditional,
            ranged: gathered.ranged,
            line: &head[..line],
            fields: head.get(line + 2..).unwrap_or_default(),
        },
        body,
        expects,
    })
}

impl<'a> Gathered<'a> {
    fn add(&mut self, name: &str, value: &'a [u8]) -> Result<(), Reject> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is("host") => once(&mut self.host, value, "two Host fields"),
            5 if is("range") => {
                self.ranged = true;
                Ok(())
            }
            6 if is("expect") => once(&mut self.expect, value, "two Expect fields"),
            10 if is("connection") => {
                for token in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
                Ok(())
            }
            14 if is("content-length") => once(&mut self.length, content_length(value)?, "two Content-Length fields"),
            17 if is("transfer-encoding") => once(&mut self.coding, value, "two Transfer-Encoding fields"),
            8 | 13 | 17 | 19 => {
                self.conditional |= is("if-match") || is("if-none-match") || is("if-modified-since") || is("if-unmodified-since");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// How the body is framed (RFC 9112 section 6.3), `None` without one.
    fn body(&self, minor: u8, limits: &Limits) -> Result<Option<Body>, Reject> {
        match (self.coding, self.length) {
            (None, None | Some(0)) => Ok(None),
            (None, Some(length)) => Body::with_length(length, limits.body).map(Some),
            (Some(_), Some(_)) => Err(bad("Content-Length beside Transfer-Encoding")),
            (Some(_), None) if minor == 0 => Err(bad("Transfer-Encoding in HTTP/1.0")),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(Body::chunked(limits.body))),
            (Some(coding), None) => {
                let last = coding.rsplit(|&b| b == b',').next().unwrap_or_default();
                Err(match last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    true => Reject::new(Status::NotImplemented, "a transfer coding other than chunked"),
                    false => bad("a transfer coding without an end"),
                })
            }
        }
    }
}

/// Keeps the value of a field that may occur only once.
fn once<T>(slot: &mut Option<T>, value: T, twice: &'static str) -> Result<(), Reject> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad(twice)),
    }
}

/// `1*DIGIT`, nothing else: no sign, no list, no space inside.
fn content_length(value: &[u8]) -> Result<u64, Reject> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(bad("a Content-Length that is not one number"));
    }
    // Too large for 64 bits is too large for any limit: leave that to the limit.
    Ok(value.iter().fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// Authority (absolute form only), path and query of a target (RFC 9112 section 3.2).
type Target<'a> = (Option<&'a [u8]>, &'a [u8], Option<&'a [u8]>);

fn split_target(target: &[u8]) -> Result<Target<'_>, Reject> {
    let mut mark = None;
    for (at, &byte) in target.iter().enumerate() {
        if byte == b'?' {
            mark = mark.or(Some(at));
        } else if byte == b'#' || !byte.is_ascii_graphic() {
            return Err(bad("a character in the target that belongs escaped"));
        }
    }
    let (before, query) = match mark {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    if before.starts_with(b"/") {
        return Ok((None, before, query));
    }
    let after = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = before.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let after = after.ok_or(bad("a target that is neither a path nor an http URL"))?;
    let (authority, path) = after.split_at(memchr::memchr(b'/', after).unwrap_or(after.len()));
    if authority.is_empty() {
        return Err(bad("an URL without an authority"));
    }
    Ok((Some(authority), if path.is_empty() { b"/" } else { path }, query))
}

/// 505 for a version that is spelt right, 400 for anything else in its place.
fn version_error(head: &[u8]) -> Reject {
    let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
    let mut words = line.split(|&b| b == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None) if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Reject::new(Status::HttpVersionNotSupported, "an HTTP version other than 1.0 and 1.1")
        }
        _ => bad("a malformed HTTP version"),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

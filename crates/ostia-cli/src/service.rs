//! Decides what a request is answered with: the server between parser and socket, free of I/O
//! but for look-ups that never wait.

use crate::files::cache::{Cache, Look};
use crate::files::entry::{Entry, Fetched};
use crate::files::path::encode;
use crate::files::root::OpenError;
use crate::hosts::Hosts;
use crate::http::conditional::Verdict;
use crate::http::range::{self, Part};
use crate::http::request::{Method, Request};
use crate::http::response::{Clock, Head, Persistence, Status, error};
use crate::listing;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// What is to be sent, and what the log says of it.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// Bytes of content.
    pub bytes: u64,
    /// Where they are.
    pub payload: Payload,
}

/// Where an answer's bytes are.
#[derive(Debug)]
pub enum Payload {
    /// All of them were appended to the buffer.
    Written,
    /// All of them are here, shared with the cache; nothing was appended.
    Shared(Arc<[u8]>),
    /// The head was appended to the buffer, or is here when `head` is some; then comes this part of
    /// the entry's file.
    File {
        /// A head shared with the cache.
        head: Option<Arc<[u8]>>,
        /// The entry, whose file is open.
        entry: Rc<Entry>,
        /// The part.
        range: Range<u64>,
    },
}

/// What a request needs first.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing: here is the answer.
    Answer(Answer),
    /// A look at the disk: run [`fetch`](crate::files::entry::fetch) for [`Service::path`] on the
    /// blocking pool, then [`Service::fetched`].
    Fetch,
    /// The names in a directory: run [`listing::page`] for [`Service::path`] on the blocking pool,
    /// then [`Service::listed`].
    List,
}

/// One worker's server.
#[derive(Debug)]
pub struct Service {
    cache: Cache,
    hosts: Arc<Hosts>,
    /// The authority that was allowed last: nearly always the next one too.
    allowed: Vec<u8>,
    clock: Clock,
}

impl Service {
    /// A server of the cache's files, for these hosts.
    pub fn new(cache: Cache, hosts: Arc<Hosts>) -> Service {
        Service { cache, hosts, allowed: Vec::new(), clock: Clock::default() }
    }

    /// To be called once a turn, before the first request that was received in it.
    pub fn turn(&mut self) {
        self.clock.tick();
        self.cache.refresh();
    }

    /// The clock of this turn.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The cache, for its counters and its root.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The canonical path that the last [`Outcome::Fetch`] or [`Outcome::List`] is about.
    pub fn path(&self) -> &[u8] {
        self.cache.path()
    }

    /// Answers a request, or says what is needed first.
    pub fn ask(&mut self, request: &Request<'_>, now: Instant, out: &mut Vec<u8>) -> Outcome {
        if !self.allows(request.host) {
            return Outcome::Answer(self.refuse(request, Status::MisdirectedRequest, out));
        }
        let look = self.cache.look(request.path, now, &self.clock);
        match look {
            Look::Cold => Outcome::Fetch,
            Look::Listing => Outcome::List,
            Look::File(entry) => Outcome::Answer(self.file(request, entry, out)),
            Look::Error(status) => Outcome::Answer(self.refuse(request, status, out)),
            Look::Redirect => Outcome::Answer(self.redirect(request, self.cache.path(), out)),
        }
    }

    fn allows(&mut self, host: Option<&[u8]>) -> bool {
        let Some(host) = host else {
            return self.hosts.allows(None);
        };
        if self.hosts.allows_any() || !host.is_empty() && host == self.allowed {
            return true;
        }
        let allowed = self.hosts.allows(Some(host));
        if allowed {
            self.allowed.clear();
            self.allowed.extend_from_slice(host);
        }
        allowed
    }

    /// Goes on after [`Outcome::Fetch`] for `path`, which was `asked` for in that turn; then only a listing can still be needed.
    pub fn fetched(
        &mut self,
        request: &Request<'_>,
        path: &[u8],
        asked: Instant,
        result: Result<Fetched, OpenError>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let look = self.cache.fetched(result, path, asked, &self.clock);
        Outcome::Answer(match look {
            Look::Cold => self.refuse(request, Status::ServiceUnavailable, out),
            Look::Listing => return Outcome::List,
            Look::File(entry) => self.file(request, entry, out),
            Look::Error(status) => self.refuse(request, status, out),
            Look::Redirect => self.redirect(request, path, out),
        })
    }

    /// Goes on after [`Outcome::List`], with the page for the path.
    pub fn listed(&self, request: &Request<'_>, page: Result<Vec<u8>, OpenError>, out: &mut Vec<u8>) -> Answer {
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.refuse(request, crate::files::cache::status_of(&error), out),
        };
        Head::new(out, Status::Ok, &self.clock, request.persistence)
            .field("Content-Type", b"text/html; charset=utf-8")
            .field("Content-Security-Policy", listing::POLICY.as_bytes())
            .field("Referrer-Policy", b"no-referrer")
            .field("Cache-Control", b"no-cache")
            .length(page.len() as u64)
            .end();
        let content: &[u8] = if request.method == Method::Get { &page } else { &[] };
        out.extend_from_slice(content);
        Answer { status: Status::Ok, bytes: content.len() as u64, payload: Payload::Written }
    }

    /// An error on a connection that goes on as the request wishes.
    pub fn refuse(&self, request: &Request<'_>, status: Status, out: &mut Vec<u8>) -> Answer {
        let head_only = request.method == Method::Head;
        self.fail(status, request.persistence, head_only, out)
    }

    /// An error after which the connection is closed: there may be no request to speak of.
    pub fn reject(&self, status: Status, out: &mut Vec<u8>) -> Answer {
        self.fail(status, Persistence::Close, false, out)
    }

    fn fail(&self, status: Status, persistence: Persistence, head_only: bool, out: &mut Vec<u8>) -> Answer {
        let content = error(out, status, &self.clock, persistence, head_only);
        Answer { status, bytes: content, payload: Payload::Written }
    }

    fn redirect(&self, request: &Request<'_>, path: &[u8], out: &mut Vec<u8>) -> Answer {
        // Always one slash first: a browser would take two for another host.
        let mut location = Vec::with_capacity(path.len() + 16);
        encode(path, &mut location);
        location.push(b'/');
        if let Some(query) = request.query {
            location.push(b'?');
            location.extend_from_slice(query);
        }
        Head::new(out, Status::MovedPermanently, &self.clock, request.persistence)
            .field("Location", &location)
            .field("Cache-Control", b"no-cache")
            .length(0)
            .end();
        Answer { status: Status::MovedPermanently, bytes: 0, payload: Payload::Written }
    }

    fn file(&self, request: &Request<'_>, entry: Rc<Entry>, out: &mut Vec<u8>) -> Answer {
        if request.conditional {
            match entry.validators.weigh(request) {
                Verdict::Proceed => {}
                Verdict::Failed => return self.refuse(request, Status::PreconditionFailed, out),
                Verdict::NotModified => {
                    entry.identify(self.head(request, Status::NotModified, out)).end();
                    return Answer { status: Status::NotModified, bytes: 0, payload: Payload::Written };
                }
            }
        }
        let size = entry.meta.size;
        match self.part(request, &entry) {
            Part::Whole => self.whole(request, entry, out),
            Part::Unsatisfiable => {
                self.head(request, Status::RangeNotSatisfiable, out).unsatisfied(size).length(0).end();
                Answer { status: Status::RangeNotSatisfiable, bytes: 0, payload: Payload::Written }
            }
            Part::Bytes(range) => {
                let head = entry.describe(self.head(request, Status::PartialContent, out));
                let bytes = range.end - range.start;
                head.range(&range, size).length(bytes).end();
                let payload = content(entry, range, out);
                Answer { status: Status::PartialContent, bytes, payload }
            }
        }
    }

    /// Which part a GET asks for; ranges are defined for no other method (RFC 9110 section 14.2).
    fn part(&self, request: &Request<'_>, entry: &Entry) -> Part {
        if !request.ranged || request.method != Method::Get {
            return Part::Whole;
        }
        match request.single("range") {
            Some(value) if entry.validators.range_stands(request, self.clock.seconds()) => range::select(value, entry.meta.size),
            _ => Part::Whole,
        }
    }

    fn whole(&self, request: &Request<'_>, entry: Rc<Entry>, out: &mut Vec<u8>) -> Answer {
        let size = entry.meta.size;
        let status = Status::Ok;
        match (request.method, request.persistence) {
            (Method::Get, Persistence::Keep) => {
                let shared = entry.whole(&self.clock);
                let payload = match entry.file {
                    None => Payload::Shared(shared),
                    Some(_) => Payload::File { head: Some(shared), entry, range: 0..size },
                };
                Answer { status, bytes: size, payload }
            }
            (Method::Head, Persistence::Keep) => {
                entry.append_head(&self.clock, out);
                Answer { status, bytes: 0, payload: Payload::Written }
            }
            (method, _) => {
                entry.describe(self.head(request, status, out)).length(size).end();
                match method {
                    Method::Head => Answer { status, bytes: 0, payload: Payload::Written },
                    Method::Get => Answer { status, bytes: size, payload: content(entry, 0..size, out) },
                }
            }
        }
    }

    fn head<'a>(&self, request: &Request<'_>, status: Status, out: &'a mut Vec<u8>) -> Head<'a> {
        Head::new(out, status, &self.clock, request.persistence)
    }
}

fn content(entry: Rc<Entry>, range: Range<u64>, out: &mut Vec<u8>) -> Payload {
    match entry.file {
        None => {
            entry.append(range, out);
            Payload::Written
        }
        Some(_) => Payload::File { head: None, entry, range },
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;

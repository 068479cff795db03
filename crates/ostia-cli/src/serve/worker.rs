//! What the connections of one worker share: the server with its file cache, and the access log.

use super::counters::HttpCounters;
use crate::access_log::{AccessLog, Record, WorkerLog};
use crate::args::ServeArgs;
use crate::files::cache::{Cache, Settings};
use crate::files::entry::fetch;
use crate::files::root::{OpenError, Root, Wait};
use crate::hosts::Hosts;
use crate::http::request::{Limits, Request};
use crate::http::response::Status;
use crate::listing::{self, Sort};
use crate::service::{Answer, Outcome, Service};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long lines of the access log wait for others before they are handed on together.
const LOG_DELAY: Duration = Duration::from_millis(100);

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The directory that is served.
    pub root: Arc<Root>,
    /// Of each worker's cache.
    pub settings: Settings,
    /// The names answered to.
    pub hosts: Arc<Hosts>,
    /// `None` with `--access-log off`.
    pub log: Option<AccessLog>,
    /// Requests are counted and timed, for `--metrics`.
    pub counted: bool,
    /// How large a request may be.
    pub limits: Limits,
    /// How long things may take.
    pub times: Times,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// A request's head, from its first byte.
    pub head: Duration,
    /// A request's body.
    pub body: Duration,
    /// Silence between requests, and of a reader in the middle of a response.
    pub idle: Duration,
}

impl From<&ServeArgs> for Times {
    fn from(args: &ServeArgs) -> Times {
        Times { head: args.header_timeout, body: args.body_timeout, idle: args.idle_timeout }
    }
}

/// One worker's part.
pub(super) struct Worker {
    /// What all share.
    pub shared: Arc<Shared>,
    service: RefCell<Service>,
    log: Option<RefCell<WorkerLog>>,
    counters: RefCell<HttpCounters>,
    /// The turn in which the service was last told of a new one.
    turn: Cell<Option<Instant>>,
    /// A task is about to hand the log's lines on.
    flushing: Cell<bool>,
}

thread_local! {
    /// One, but in a simulation, where a thread has several servers.
    static WORKERS: RefCell<Vec<Rc<Worker>>> = const { RefCell::new(Vec::new()) };
}

impl Worker {
    /// This worker's part, made at the first call.
    ///
    /// # Errors
    /// When no descriptor is left for it.
    pub fn here(shared: &Arc<Shared>) -> io::Result<Rc<Worker>> {
        WORKERS.with_borrow_mut(|workers| {
            if let Some(worker) = workers.iter().find(|worker| Arc::ptr_eq(&worker.shared, shared)) {
                return Ok(worker.clone());
            }
            let cache = Cache::new(shared.root.clone(), shared.settings, ostia::time::now())?;
            let worker = Rc::new(Worker {
                shared: shared.clone(),
                service: RefCell::new(Service::new(cache, shared.hosts.clone())),
                log: shared.log.as_ref().map(|log| RefCell::new(log.worker())),
                counters: RefCell::default(),
                turn: Cell::new(None),
                flushing: Cell::new(false),
            });
            workers.push(worker.clone());
            Ok(worker)
        })
    }

    /// The counters of the calling thread's worker, if it serves.
    pub fn counters_here() -> Option<HttpCounters> {
        WORKERS.with_borrow(|workers| {
            let worker = workers.first()?;
            let cache = worker.service.borrow().cache().counters();
            Some(HttpCounters { cache, ..*worker.counters.borrow() })
        })
    }

    /// Hands on what the log of the calling thread's worker still holds.
    pub fn flush_here() {
        WORKERS.with_borrow(|workers| {
            for log in workers.iter().filter_map(|worker| worker.log.as_ref()) {
                log.borrow_mut().flush();
            }
        });
    }

    /// The time of this turn of the loop. The first call in a turn has the cache hear of all changes:
    /// whatever this turn serves was received before.
    pub fn turn(&self) -> Instant {
        let now = ostia::time::now();
        if self.turn.get() != Some(now) {
            self.turn.set(Some(now));
            self.service.borrow_mut().turn();
        }
        now
    }

    /// Answers a request. Waits, without holding the worker up, if the answer lies on a disk.
    pub async fn answer(&self, request: &Request<'_>, out: &mut Vec<u8>) -> Answer {
        let now = self.turn();
        let outcome = self.service.borrow_mut().ask(request, now, out);
        match outcome {
            Outcome::Answer(answer) => answer,
            outcome => Box::pin(self.answer_from_disk(request, now, outcome, out)).await,
        }
    }

    async fn answer_from_disk(&self, request: &Request<'_>, asked: Instant, mut outcome: Outcome, out: &mut Vec<u8>) -> Answer {
        let path: Arc<[u8]> = self.service.borrow().path().into();
        let root = &self.shared.root;
        if let Outcome::Fetch = outcome {
            let (root, wanted) = (root.clone(), path.clone());
            let fetched = blocking(move || fetch(&root, &wanted, Wait::Allowed)).await;
            self.turn();
            outcome = self.service.borrow_mut().fetched(request, &path, asked, fetched, out);
        }
        match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Fetch => self.service.borrow().refuse(request, Status::ServiceUnavailable, out),
            Outcome::List => {
                let (root, settings) = (root.clone(), self.shared.settings);
                let sort = Sort::from_query(request.query);
                let page = blocking(move || listing::page(&root, &path, settings, sort)).await;
                self.turn();
                self.service.borrow().listed(request, page, out)
            }
        }
    }

    /// Appends an error after which the connection is closed.
    pub fn reject(&self, status: Status, out: &mut Vec<u8>) -> Answer {
        self.turn();
        self.service.borrow().reject(status, out)
    }

    /// Whether lines are logged.
    pub fn logs(&self) -> bool {
        self.log.is_some()
    }

    /// Counts and logs a request that was answered; it was received at `since`.
    pub fn record(self: &Rc<Self>, peer: &str, line: &[u8], status: Status, bytes: u64, since: Instant) {
        if self.shared.counted {
            let took = ostia::time::now().saturating_duration_since(since);
            self.counters.borrow_mut().count(status, bytes, took);
        }
        let Some(log) = &self.log else {
            return;
        };
        let record = Record { peer, line, status, bytes };
        let waiting = log.borrow_mut().add(&record, self.service.borrow().clock());
        if waiting && !self.flushing.replace(true) {
            let worker = self.clone();
            let flush = async move {
                ostia::time::sleep(LOG_DELAY).await;
                worker.flushing.set(false);
                if let Some(log) = &worker.log {
                    log.borrow_mut().flush();
                }
            };
            ostia::spawn(flush).detach();
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, OpenError> + Send + 'static) -> Result<T, OpenError> {
    match ostia::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(OpenError::Other(io::Error::other(error))),
    }
}

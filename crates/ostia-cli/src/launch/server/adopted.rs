//! Serving on listening sockets that somebody else has bound.
//!
//! [`ostia::serve::Server`] binds its sockets itself and takes over none, so the same contract is kept here for those of
//! systemd: a cap, a pause when descriptors run out, an end with a deadline. Every worker accepts on every socket.

use super::{Origin, Reject};
use ostia::net::{Endpoint, Listener, Stream};
use ostia::time::{sleep, timeout};
use ostia::{Address, WorkerId};
use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The first pause after a failed accept, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// How many connections may be in the course of being turned away, per worker and socket.
const REJECTING_MAX: usize = 256;
/// How long turning one away may take.
const REJECT_TIME: Duration = Duration::from_secs(5);
/// The most turns for emptying the queue of a socket that is about to be left.
const LAST_TURNS: usize = 64;

/// A socket, where it listens, and the path to be removed at the end.
pub(super) type Bound = (Address, OwnedFd, Option<PathBuf>);

/// Binds an endpoint in the usual way, to be served beside the sockets handed over.
pub(super) fn bind(endpoint: &Endpoint) -> io::Result<Bound> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in endpoint.resolve()? {
        let bound = match (address.ip(), address.path()) {
            (Some(ip), _) => TcpListener::bind(ip).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok((Address::from(socket.local_addr()?), OwnedFd::from(socket), None))
            }),
            (None, Some(path)) => UnixListener::bind(&path).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok((address.clone(), OwnedFd::from(socket), Some(path)))
            }),
            (None, None) => continue,
        };
        match bound {
            Ok(bound) => return Ok(bound),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Counts connections in and out, and wakes who waits for that or for the end.
#[derive(Debug)]
pub(super) struct Group {
    most: usize,
    live: AtomicUsize,
    each: Vec<AtomicUsize>,
    accepted: AtomicUsize,
    rejected: AtomicUsize,
    stopping: AtomicBool,
    /// The deadline has passed: handlers are dropped.
    aborting: AtomicBool,
    has_waiters: AtomicBool,
    /// Acceptors and whoever waits for the last connection.
    waiters: Mutex<Vec<Waker>>,
    /// The connections' tasks, by place; free places are empty.
    tasks: Vec<Mutex<Tasks>>,
}

#[derive(Debug, Default)]
struct Tasks {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that could panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    fn enter(&self, worker: usize) -> bool {
        let entered = self.live.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |live| (live < self.most).then_some(live + 1));
        if entered.is_ok() {
            self.accepted.fetch_add(1, Ordering::Relaxed);
            self.each[worker].fetch_add(1, Ordering::Relaxed);
        }
        entered.is_ok()
    }

    fn leave(&self, worker: usize) {
        self.live.fetch_sub(1, Ordering::AcqRel);
        self.each[worker].fetch_sub(1, Ordering::Relaxed);
        self.tell();
    }

    fn has_room(&self) -> bool {
        self.live.load(Ordering::Acquire) < self.most
    }

    fn tell(&self) {
        if self.has_waiters.load(Ordering::SeqCst) {
            let waiters = {
                let mut waiters = lock(&self.waiters);
                self.has_waiters.store(false, Ordering::SeqCst);
                std::mem::take(&mut *waiters)
            };
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    /// Has `waker` woken at the next change. To be followed by another look: a change may have been just before.
    fn watch(&self, waker: &Waker) {
        let mut waiters = lock(&self.waiters);
        if !waiters.iter().any(|known| known.will_wake(waker)) {
            waiters.push(waker.clone());
        }
        self.has_waiters.store(true, Ordering::SeqCst);
    }

    fn wake_tasks(&self) {
        for tasks in &self.tasks {
            let wakers: Vec<Waker> = lock(tasks).wakers.iter().flatten().cloned().collect();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.tell();
        self.wake_tasks();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(super) fn connections_each(&self) -> Vec<usize> {
        self.each.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn rejected(&self) -> usize {
        self.rejected.load(Ordering::Relaxed)
    }
}

/// A connection's place in its group, given back when the task ends or is dropped.
struct Guard {
    group: Arc<Group>,
    worker: usize,
    place: Option<usize>,
}

impl Guard {
    /// Notes the task at its first poll; a task's waker stays the same.
    fn note(&mut self, waker: &Waker) {
        if self.place.is_none() {
            let mut tasks = lock(&self.group.tasks[self.worker]);
            let place = tasks.free.pop().unwrap_or_else(|| {
                tasks.wakers.push(None);
                tasks.wakers.len() - 1
            });
            tasks.wakers[place] = Some(waker.clone());
            self.place = Some(place);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut tasks = lock(&self.group.tasks[self.worker]);
            tasks.wakers[place] = None;
            tasks.free.push(place);
        }
        self.group.leave(self.worker);
    }
}

/// A server over adopted sockets.
pub(super) struct Adopted {
    pub(super) group: Arc<Group>,
    sockets: Vec<Bound>,
    workers: Vec<WorkerId>,
    reject: Option<Reject>,
    drain: Duration,
}

impl Adopted {
    /// To be called in the runtime.
    pub(super) fn new(sockets: Vec<Bound>, most: Option<usize>, reject: Option<Reject>, drain: Duration) -> Adopted {
        let workers = ostia::workers();
        let group = Group {
            most: most.unwrap_or(usize::MAX),
            live: AtomicUsize::new(0),
            each: workers.iter().map(|_| AtomicUsize::new(0)).collect(),
            accepted: AtomicUsize::new(0),
            rejected: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            aborting: AtomicBool::new(false),
            has_waiters: AtomicBool::new(false),
            waiters: Mutex::default(),
            tasks: workers.iter().map(|_| Mutex::default()).collect(),
        };
        Adopted { group: Arc::new(group), sockets, workers, reject, drain }
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.sockets.iter().map(|(address, ..)| address.clone()).collect()
    }

    /// Serves to the end; gives how many connections had to be cut off.
    pub(super) async fn run<H, F>(self, handler: H) -> io::Result<usize>
    where
        H: Fn(Stream, Origin) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        let mut loops = Vec::new();
        for (listener, (_, socket, _)) in self.sockets.iter().enumerate() {
            for (number, &worker) in self.workers.iter().enumerate() {
                let socket = socket.try_clone()?;
                let (group, handler, reject) = (self.group.clone(), handler.clone(), self.reject.clone());
                loops.push(ostia::spawn_on(worker, move || async move {
                    let acceptor = Acceptor { group, handler, reject, worker: number, origin: Origin { listener } };
                    acceptor.run(Listener::from_fd(socket)?).await
                }));
            }
        }
        let mut failed = Ok(());
        for accepting in loops {
            let ended = accepting.await.unwrap_or_else(|error| Err(io::Error::other(error)));
            failed = failed.and(ended);
        }
        for (.., path) in &self.sockets {
            // Somebody may have removed it already.
            let _ = path.as_ref().map(std::fs::remove_file);
        }
        let _ = timeout(self.drain, self.empty()).await;
        let left = self.group.live.load(Ordering::Acquire);
        if left > 0 {
            self.group.aborting.store(true, Ordering::SeqCst);
            self.group.wake_tasks();
            let _ = timeout(Duration::from_secs(5), self.empty()).await;
        }
        failed.map(|()| left)
    }

    async fn empty(&self) {
        poll_fn(|cx| {
            self.group.watch(cx.waker());
            if self.group.live.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Accepts on one socket, on one worker, and serves there.
struct Acceptor<H> {
    group: Arc<Group>,
    handler: H,
    reject: Option<Reject>,
    worker: usize,
    origin: Origin,
}

impl<H, F> Acceptor<H>
where
    H: Fn(Stream, Origin) -> F + Clone + Send + 'static,
    F: Future + 'static,
    F::Output: 'static,
{
    async fn run(self, mut listener: Listener) -> io::Result<()> {
        let rejecting = Arc::new(AtomicUsize::new(0));
        let mut pause = None;
        while let Some(accepted) = poll_fn(|cx| self.next(&mut listener, cx)).await {
            match accepted {
                Ok(stream) => {
                    pause = None;
                    self.begin(stream, &rejecting);
                }
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => return Err(error),
                Err(error) => {
                    if pause.is_none() {
                        tracing::warn!(listener = self.origin.listener, %error, "accepting pauses: raise the limit or close connections");
                    }
                    let next = pause.map_or(PAUSE.0, |before: Duration| (before * 2).min(PAUSE.1));
                    pause = Some(next);
                    sleep(next).await;
                }
            }
        }
        // What the port has accepted ahead is served. What the kernel still holds is left to whoever has the socket next.
        let mut quiet = 0;
        for _ in 0..LAST_TURNS {
            quiet += 1;
            while let Poll::Ready(Ok(stream)) = listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
                quiet = 0;
                self.begin(stream, &rejecting);
            }
            if quiet > 2 {
                break;
            }
            ostia::yield_now().await;
        }
        Ok(())
    }

    /// The next connection or error; none when the server is being stopped.
    fn next(&self, listener: &mut Listener, cx: &mut Context<'_>) -> Poll<Option<io::Result<Stream>>> {
        self.group.watch(cx.waker());
        if self.group.is_stopping() {
            return Poll::Ready(None);
        }
        if self.reject.is_none() && !self.group.has_room() {
            return Poll::Pending;
        }
        listener.poll_accept(cx).map(Some)
    }

    fn begin(&self, stream: Stream, rejecting: &Arc<AtomicUsize>) {
        if !self.group.enter(self.worker) {
            return self.turn_away(stream, rejecting);
        }
        let mut guard = Guard { group: self.group.clone(), worker: self.worker, place: None };
        let future = (self.handler)(stream, self.origin);
        let serve = async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                guard.note(cx.waker());
                if guard.group.aborting.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                future.as_mut().poll(cx).map(drop)
            })
            .await;
        };
        ostia::spawn(serve).detach();
    }

    fn turn_away(&self, stream: Stream, rejecting: &Arc<AtomicUsize>) {
        self.group.rejected.fetch_add(1, Ordering::Relaxed);
        let Some(reject) = self.reject.clone().filter(|_| rejecting.load(Ordering::Relaxed) < REJECTING_MAX) else { return };
        rejecting.fetch_add(1, Ordering::Relaxed);
        let (rejecting, origin) = (rejecting.clone(), self.origin);
        let tell = async move {
            let _ = timeout(REJECT_TIME, reject(stream, origin)).await;
            rejecting.fetch_sub(1, Ordering::Relaxed);
        };
        ostia::spawn(tell).detach();
    }
}

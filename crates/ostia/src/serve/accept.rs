//! Accepting: room under the cap, the pause when descriptors run out, the hand-over, and the last look into the queue.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ostia_port::os::{EBADF, ENETDOWN};

use crate::net::listener::Arrived;
use crate::net::{Listener, Network, Stream};
use crate::observe::named::named;
use crate::serve::Peer;
use crate::serve::gate::Gate;
use crate::serve::server::Reject;
use crate::task::spawn_within;
use crate::time::{now, sleep, timeout};
use crate::{WorkerId, here, task};

/// The first pause after a failed accept, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// How often a lasting shortage is told of.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// How many connections may be in the course of being turned away, per acceptor.
const REJECTING_MAX: usize = 256;
/// The most turns for emptying the queue of a listener that is about to be closed.
const LAST_TURNS: usize = 64;
/// How long a connection of an engine's network may be under way from the worker that has the engine.
const LAST_LETTERS: Duration = Duration::from_millis(1);
/// How long turning one away may take.
const REJECT_TIME: Duration = Duration::from_secs(5);

/// A worker, and the number that the server's connections have there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) worker: WorkerId,
    pub(crate) group: u8,
}

/// Accepts on one listening socket.
pub(crate) struct Acceptor<H> {
    pub(crate) gate: Arc<Gate>,
    pub(crate) index: u16,
    pub(crate) mine: Place,
    /// Where connections can go.
    pub(crate) places: Arc<[Place]>,
    pub(crate) round_robin: bool,
    pub(crate) handler: H,
    pub(crate) reject: Option<Reject>,
    /// At the end, connections in the kernel's queue are somebody else's.
    pub(crate) leaves_queue: bool,
}

impl<H, F> Acceptor<H>
where
    H: Fn(Stream, Peer) -> F + Clone + Send + 'static,
    F: Future + 'static,
    F::Output: 'static,
{
    /// Accepts until the server is stopped; then serves what is in the queue, and closes.
    pub(crate) async fn run(self, listener: Listener) -> io::Result<()> {
        let name = format!("accept {}", self.index);
        named(name, self.accept(listener)).await
    }

    async fn accept(self, mut listener: Listener) -> io::Result<()> {
        let rejecting = Rc::new(Cell::new(0));
        let mut turn = usize::from(self.index);
        let mut pause = None;
        let mut told = None;
        loop {
            match std::future::poll_fn(|cx| self.poll_next(&mut listener, cx)).await {
                None => break,
                Some(Ok(socket)) => {
                    if pause.take().is_some() {
                        tracing::debug!(listener = self.index, "accepting again");
                    }
                    self.place(socket, &mut turn, &rejecting);
                }
                Some(Err(error)) if error.raw_os_error() == Some(EBADF) => return Err(error),
                // The kernel says so of one connection (accept(2)); an engine, of its network, which does not come back.
                Some(Err(error)) if error.raw_os_error() == Some(ENETDOWN) && listener.raw.is_engines() => return Err(error),
                Some(Err(error)) => {
                    // A crowd that comes and goes would make it a line for each connection.
                    if told.is_none_or(|told| now().saturating_duration_since(told) >= TOLD_EVERY) {
                        told = Some(now());
                        tracing::warn!(listener = self.index, %error, "accepting pauses: raise the limit or close connections");
                    }
                    let next = pause.map_or(PAUSE.0, |before: Duration| (before * 2).min(PAUSE.1));
                    pause = Some(next);
                    self.rest(next).await;
                }
            }
        }
        // What clients see as connected is served, though nothing new is let in: the kernel's queue is emptied (unless
        // somebody else goes on with it), and what the port has accepted ahead comes out of it in a turn or two.
        let away = listener.raw.is_engines() && crate::workers().len() > 1;
        let mut quiet = 0;
        for _ in 0..LAST_TURNS {
            let mut last = Vec::new();
            while let Poll::Ready(Ok(socket)) = listener.poll_accept_any(&mut Context::from_waker(Waker::noop())) {
                last.push(socket);
            }
            if !self.leaves_queue {
                last.extend(listener.drain().into_iter().map(Arrived::Anywhere));
            }
            quiet = if last.is_empty() { quiet + 1 } else { 0 };
            if quiet > 2 {
                break;
            }
            last.into_iter().for_each(|socket| self.place(socket, &mut turn, &rejecting));
            match away {
                true => sleep(LAST_LETTERS).await,
                false => task::yield_now().await,
            }
        }
        Ok(())
    }

    /// The next connection or error; none when the server is being stopped. Pending at the cap too, unless connections
    /// above it are turned away.
    fn poll_next(&self, listener: &mut Listener, cx: &mut Context<'_>) -> Poll<Option<io::Result<Arrived>>> {
        if self.gate.is_stopping() {
            return Poll::Ready(None);
        }
        if self.reject.is_none() && !self.gate.has_room() {
            self.gate.watch(cx.waker());
            if !self.gate.has_room() {
                return if self.gate.watch_stop(cx.waker()) { Poll::Ready(None) } else { Poll::Pending };
            }
        }
        match listener.poll_accept_any(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending if self.gate.watch_stop(cx.waker()) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits for this long, or until a connection has ended or the server is being stopped.
    async fn rest(&self, pause: Duration) {
        let mut sleep = pin!(sleep(pause));
        let mut first = true;
        std::future::poll_fn(|cx| {
            if !std::mem::take(&mut first) || self.gate.watch_stop(cx.waker()) {
                return Poll::Ready(());
            }
            self.gate.watch(cx.waker());
            sleep.as_mut().poll(cx)
        })
        .await;
    }

    /// Gives a connection to a worker.
    fn place(&self, socket: Arrived, turn: &mut usize, rejecting: &Rc<Cell<usize>>) {
        let place = self.choose(turn);
        if !self.gate.enter(place.worker.0) {
            return self.turn_away(socket, rejecting);
        }
        if place.worker == self.mine.worker {
            return begin(self.mine, &self.gate, Network::inherited(), &self.handler, socket, self.index);
        }
        let (gate, network, handler) = (Arc::clone(&self.gate), Network::inherited(), self.handler.clone());
        let index = self.index;
        if !task::call(place.worker.0, move |_| begin(place, &gate, network, &handler, socket, index)) {
            self.gate.leave(place.worker.0);
        }
    }

    fn choose(&self, turn: &mut usize) -> Place {
        *turn = turn.wrapping_add(1);
        let count = self.places.len();
        if count == 1 {
            return self.places[0];
        }
        let in_turn = |i: usize| self.places[(*turn + i) % count];
        if self.round_robin {
            return in_turn(0);
        }
        (0..count).map(in_turn).min_by_key(|place| self.gate.live_on(place.worker.0)).unwrap_or(self.mine)
    }

    fn turn_away(&self, socket: Arrived, rejecting: &Rc<Cell<usize>>) {
        self.gate.count_rejected();
        let Some(reject) = self.reject.clone().filter(|_| rejecting.get() < REJECTING_MAX) else { return };
        let Ok(stream) = socket.settle() else { return };
        let peer = Peer::new(&stream, self.index);
        let rejecting = Rc::clone(rejecting);
        rejecting.set(rejecting.get() + 1);
        let one_less = OnDrop(move || rejecting.set(rejecting.get() - 1));
        task::spawn(async move {
            let _one_less = one_less;
            let _ = timeout(REJECT_TIME, reject(stream, peer)).await;
        })
        .detach();
    }
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Starts the handler of a connection that has been counted in.
fn begin<H, F>(place: Place, gate: &Gate, network: Option<Network>, handler: &H, socket: Arrived, listener: u16)
where
    H: Fn(Stream, Peer) -> F,
    F: Future + 'static,
    F::Output: 'static,
{
    let begun = socket.settle().ok().and_then(|stream| {
        let peer = Peer::new(&stream, listener);
        let future = catch_unwind(AssertUnwindSafe(|| handler(stream, peer))).ok()?;
        here::with(|core| spawn_within(core, place.group, network, future).detach())
    });
    if begun.is_none() {
        tracing::error!(listener, "a connection's handler panicked before its first await");
        gate.leave(place.worker.0);
    }
}

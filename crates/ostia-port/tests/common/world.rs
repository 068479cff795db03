//! A port whose waits end: in a completion, or after the suite's patience in a message that says what was missing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ostia_port::{Completion, Config, Handle, Op, OpId, Port, os};

use super::net::{Net, Network};

/// A port, the completions it gave that nobody has asked for, and a count of what was verified.
pub struct World {
    pub port: Port,
    pub faulty: bool,
    /// Behind the port: at its end that still sends to the peer.
    pub net: Net,
    stash: VecDeque<Completion>,
    next_context: u64,
    verified: usize,
}

impl World {
    pub fn new(config: Config) -> World {
        World::on(Network::Kernel, config)
    }

    /// A world whose sockets are of this network.
    pub fn on(network: Network, config: Config) -> World {
        let faulty = config.faults.is_some();
        let mut port = Port::with(config).unwrap_or_else(|error| panic!("no port: {error}"));
        let net = Net::new(network, &mut port);
        World { port, faulty, net, stash: VecDeque::new(), next_context: 1, verified: 0 }
    }

    /// Posts an operation with a context of its own.
    pub fn submit(&mut self, op: Op) -> (OpId, u64) {
        let context = self.next_context;
        self.next_context += 1;
        (self.port.submit(op, context), context)
    }

    /// Submits, waits for `timeout` at most, and keeps what completes.
    pub fn turn(&mut self, timeout: Duration) {
        self.port.wait(Some(timeout)).expect("the port works");
        while let Some(done) = self.port.next() {
            self.stash.push_back(done);
        }
    }

    /// A few turns that wait for nothing: enough for requests to reach the kernel.
    pub fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn(Duration::ZERO);
        }
    }

    /// The next completion with this context, whether it was taken before or comes yet.
    #[track_caller]
    pub fn take(&mut self, context: u64) -> Completion {
        self.take_while(context, |_| {})
    }

    /// As [`take`](Self::take), calling `meanwhile` between turns: the peer that reads along.
    #[track_caller]
    pub fn take_while(&mut self, context: u64, mut meanwhile: impl FnMut(&mut Port)) -> Completion {
        let mut found = None;
        self.until("a completion", |world| {
            meanwhile(&mut world.port);
            found = world.taken(context);
            found.is_some()
        });
        found.expect("until returned")
    }

    /// Takes a stashed completion with this context.
    pub fn taken(&mut self, context: u64) -> Option<Completion> {
        let at = self.stash.iter().position(|done| done.context == context)?;
        self.stash.remove(at)
    }

    /// Takes the completion that came first, if one has come.
    pub fn pop(&mut self) -> Option<Completion> {
        self.stash.pop_front()
    }

    /// How many completions with this context are stashed.
    pub fn stashed(&self, context: u64) -> usize {
        self.stash.iter().filter(|done| done.context == context).count()
    }

    /// Turns until `met` holds; fails when the suite's patience is over.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut met: impl FnMut(&mut World) -> bool) {
        let deadline = Instant::now() + super::patience();
        while !met(self) {
            let (slots, requests) = self.port.outstanding();
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}; {slots} operations and {requests} requests outstanding, {} completions of others",
                self.stash.len()
            );
            self.turn(Duration::from_millis(5));
        }
    }

    /// Posts an operation and takes its completion.
    #[track_caller]
    pub fn run(&mut self, op: Op) -> Completion {
        let (_, context) = self.submit(op);
        self.take(context)
    }

    /// Closes a handle and waits until it is closed.
    #[track_caller]
    pub fn close(&mut self, handle: Handle) {
        let done = self.run(Op::Close { handle });
        self.equal(done.result.expect("close succeeds"), 0, "close answers 0");
    }

    /// Verifies one thing.
    #[track_caller]
    pub fn check(&mut self, holds: bool, what: &str) {
        assert!(holds, "{what}");
        self.verified += 1;
    }

    /// Verifies that two values agree.
    #[track_caller]
    pub fn equal<T: PartialEq + std::fmt::Debug>(&mut self, got: T, want: T, what: &str) {
        assert!(got == want, "{what}: got {got:?}, want {want:?}");
        self.verified += 1;
    }

    /// Verifies a number of bytes, which faults may have cut to a part.
    #[track_caller]
    pub fn amount(&mut self, got: usize, want: usize, what: &str) {
        let right = if self.faulty { (1..=want).contains(&got) } else { got == want };
        assert!(right, "{what}: {got} bytes, want {want}");
        self.verified += 1;
    }

    /// Verifies that an operation failed with this errno.
    #[track_caller]
    pub fn failed(&mut self, done: &Completion, errno: i32, what: &str) {
        let got = done.result.as_ref().map_err(|error| error.raw_os_error());
        assert!(got == Err(Some(errno)), "{what}: got {got:?}, want errno {errno}");
        self.verified += 1;
    }

    /// Verifies that an operation failed with one of these errors.
    #[track_caller]
    pub fn failed_by(&mut self, done: &Completion, errnos: &[i32], what: &str) {
        let got = done.result.as_ref().map_err(|error| error.raw_os_error());
        assert!(
            got.is_err_and(|got| got.is_some_and(|got| errnos.contains(&got))),
            "{what}: got {got:?}, want one of {errnos:?}"
        );
        self.verified += 1;
    }

    /// How many things were verified.
    pub fn verified(&self) -> usize {
        self.verified
    }
}

/// Whether a completion says "cancelled".
pub fn is_cancelled(done: &Completion) -> bool {
    done.result.as_ref().is_err_and(|error| error.raw_os_error() == Some(os::ECANCELED))
}

//! A world: one host with its sockets, its link, and the clock and the thread that make its timers run out.

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ostia_stack::{Config, Instant, LinkConfig, Medium, Stack};
use ostia_wire::Frame;

use crate::address::Domain;
use crate::core::Core;
use crate::descriptors::Id;
use crate::socket::{Kind, Socket};
use crate::{Clock, Errno, SystemClock};

/// How a world begins.
pub struct Setup {
    /// The stack's configuration.
    pub config: Config,
    /// What all its randomness comes from.
    pub seed: [u8; 32],
    /// The link's longest IP packet, in bytes: 1500.
    pub mtu: u32,
    /// The host's addresses with the lengths of their prefixes; the loopback addresses it has anyway. Everything else is behind
    /// the link.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The time.
    pub clock: Box<dyn Clock>,
}

impl Default for Setup {
    /// A host without addresses but the loopback ones, by the system's clock and with the system's randomness.
    fn default() -> Setup {
        let mut seed = [0; 32];
        // Without any the world is as good, only foreseeable.
        let _ = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
        Setup { config: Config::default(), seed, mtu: 1500, addresses: Vec::new(), clock: Box::new(SystemClock::new()) }
    }
}

/// An IP packet that has left the stack.
#[derive(Debug)]
pub struct Packet {
    /// Its bytes, from the IP header on.
    pub frame: Frame,
    /// When it left.
    pub at: Instant,
}

/// A host with POSIX sockets. Its methods are called from any thread; those that block sleep until what they wait for has
/// come. Blocking calls fail with ECANCELED once the world is [closed](World::close).
pub struct World {
    shared: Arc<Shared>,
    timer: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) struct Shared {
    guarded: Mutex<Guarded>,
    /// Something has changed that somebody may be waiting for.
    changed: Condvar,
    /// The next deadline has come nearer.
    due: Condvar,
    clock: Box<dyn Clock>,
}

struct Guarded {
    core: Core,
    /// What sleepers have been told of.
    told: u64,
    /// Until when the timer thread sleeps.
    asleep_until: Instant,
}

/// How long a call waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// For so long.
    For(Duration),
    /// For ever.
    Forever,
}

impl Patience {
    /// Of a socket with a timeout (SO_RCVTIMEO, SO_SNDTIMEO).
    pub(crate) fn of(nonblocking: bool, timeout: Option<Duration>) -> Patience {
        match (nonblocking, timeout) {
            (true, _) => Patience::None,
            (false, Some(timeout)) => Patience::For(timeout),
            (false, None) => Patience::Forever,
        }
    }

    /// Of poll(2) and the like: below 0 is for ever.
    pub(crate) fn of_millis(millis: i32) -> Patience {
        match u64::try_from(millis) {
            Ok(0) => Patience::None,
            Ok(millis) => Patience::For(Duration::from_millis(millis)),
            Err(_) => Patience::Forever,
        }
    }
}

/// The world's mutex, held. Whatever was done meanwhile takes effect when it is let go of.
pub(crate) struct Inside<'a> {
    shared: &'a Shared,
    guarded: Option<MutexGuard<'a, Guarded>>,
}

impl Deref for Inside<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.guarded.as_ref().expect("held but while it sleeps").core
    }
}

impl DerefMut for Inside<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        &mut self.guarded.as_mut().expect("held but while it sleeps").core
    }
}

impl Inside<'_> {
    /// Lets the stack do what is due, and tells others.
    fn settle(&mut self) {
        let shared = self.shared;
        if let Some(guarded) = self.guarded.as_mut() {
            guarded.core.turn(shared.clock.now());
            guarded.tell(shared);
        }
    }

    /// Sleeps until something changes, or until a time.
    fn sleep(&mut self, until: Option<Instant>) {
        let shared = self.shared;
        let Some(guarded) = self.guarded.take() else { return };
        let woken = match until {
            None => shared.changed.wait(guarded).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let left = until.since(shared.clock.now());
                shared.changed.wait_timeout(guarded, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        self.guarded = Some(woken);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Guarded {
    /// Wakes who waits for what has changed, and the timer thread if it would sleep too long.
    fn tell(&mut self, shared: &Shared) {
        if self.told != self.core.changes {
            self.told = self.core.changes;
            shared.changed.notify_all();
        }
        if self.core.stack.next_deadline() < self.asleep_until {
            shared.due.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The timer thread: what is due happens though nobody calls.
    fn run(&self) {
        let mut guarded = self.lock();
        while !guarded.core.over {
            let now = self.clock.now();
            guarded.core.turn(now);
            guarded.tell(self);
            let deadline = guarded.core.stack.next_deadline();
            guarded.asleep_until = deadline;
            guarded = match deadline.is_set() {
                true => self.due.wait_timeout(guarded, deadline.since(now)).unwrap_or_else(PoisonError::into_inner).0,
                false => self.due.wait(guarded).unwrap_or_else(PoisonError::into_inner),
            };
            // Until it sleeps again nobody needs to wake it.
            guarded.asleep_until = Instant(0);
        }
    }
}

impl World {
    /// A world, with the thread that keeps its timers.
    ///
    /// # Errors
    /// EINVAL if its link or one of its addresses can't be, ENOMEM if there can't be another thread.
    pub fn new(setup: Setup) -> Result<World, Errno> {
        let (low, high) = setup.config.ephemeral_ports;
        let random = u16::from_le_bytes([setup.seed[0], setup.seed[1]]);
        let first_port = low.saturating_add(random % high.saturating_sub(low).max(1));
        let mut stack = Stack::new(setup.config, setup.seed);
        let (name, medium) = ("ostia0".to_string(), Medium::Ip);
        let link = stack.add_link(LinkConfig { name, medium, mtu: setup.mtu, checksum_offload: false, gso_max: 0 })?;
        for domain in [Domain::V4, Domain::V6] {
            stack.add_route(domain.any(), 0, None, link, 0)?;
        }
        let now = setup.clock.now();
        let core = Core::new(stack, link, first_port, now);
        let guarded = Mutex::new(Guarded { core, told: 0, asleep_until: Instant(0) });
        let shared = Shared { guarded, changed: Condvar::new(), due: Condvar::new(), clock: setup.clock };
        let world = World { shared: Arc::new(shared), timer: Mutex::new(None) };
        for (address, prefix) in setup.addresses {
            world.add_address(address, prefix)?;
        }
        let shared = Arc::clone(&world.shared);
        let spawned = std::thread::Builder::new().name("ostia-timer".into()).spawn(move || shared.run());
        *world.timer.lock().unwrap_or_else(PoisonError::into_inner) = Some(spawned.map_err(|_| Errno::ENOMEM)?);
        Ok(world)
    }

    /// The mutex, with the stack's time set.
    pub(crate) fn enter(&self) -> Inside<'_> {
        let mut inside = Inside { shared: &self.shared, guarded: Some(self.shared.lock()) };
        inside.settle();
        inside
    }

    /// Makes an attempt, and while it fails with EAGAIN makes it again whenever something has changed.
    ///
    /// Errors: what the attempt says; EAGAIN when the time is up; ECANCELED when the world is over.
    pub(crate) fn block<T>(
        &self,
        patience: Patience,
        mut attempt: impl FnMut(&mut Core) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut inside = self.enter();
        let until = match patience {
            Patience::For(time) => Some(inside.now + time),
            Patience::None | Patience::Forever => None,
        };
        loop {
            let seen = inside.changes;
            let outcome = attempt(&mut inside);
            if outcome.is_ok() || outcome.as_ref().is_err_and(|&error| error != Errno::EAGAIN) || patience == Patience::None {
                return outcome;
            }
            // What the attempt itself has set going may be what it waits for.
            inside.settle();
            if inside.changes != seen {
                continue;
            }
            if inside.over {
                return Err(Errno::ECANCELED);
            }
            if until.is_some_and(|until| inside.now >= until) {
                return Err(Errno::EAGAIN);
            }
            inside.sleep(until);
            inside.settle();
        }
    }

    /// Gives the host another address.
    ///
    /// # Errors
    /// EINVAL if no host can have it, EADDRINUSE if it has it.
    pub fn add_address(&self, address: IpAddr, prefix: u8) -> Result<(), Errno> {
        let mut inside = self.enter();
        let link = inside.link;
        Ok(inside.stack.add_address(link, address.into(), prefix)?)
    }

    /// Changes the longest IP packet of the link, in bytes.
    ///
    /// # Errors
    /// EINVAL if that is less than 68, or less than 1280 where the host has an IPv6 address.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), Errno> {
        let mut inside = self.enter();
        let link = inside.link;
        Ok(inside.stack.set_mtu(link, mtu)?)
    }

    /// The host's addresses, without the loopback ones.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let inside = self.enter();
        inside.stack.link_addresses(inside.link).map(|own| own.address.ip()).collect()
    }

    /// An IP packet arrives on the link.
    ///
    /// # Errors
    /// EINVAL if it is empty or longer than 65,575 bytes, which none can be.
    pub fn inject(&self, packet: &[u8]) -> Result<(), Errno> {
        if packet.is_empty() || packet.len() > 65_535 + 40 {
            return Err(Errno::EINVAL);
        }
        let mut inside = self.enter();
        let (link, now) = (inside.link, inside.now);
        inside.stack.input(link, [Frame::from_slice(packet)], now);
        inside.changes += 1;
        Ok(())
    }

    /// The next IP packet that leaves by the link, waiting for it for so long, or for ever.
    ///
    /// # Errors
    /// EAGAIN if there was none, ECANCELED if the world is over.
    pub fn take_packet(&self, patience: Option<Duration>) -> Result<Packet, Errno> {
        self.block(Patience::of(false, patience), |core| core.out.pop_front().ok_or(Errno::EAGAIN))
    }

    /// Packets that were lost since the beginning, for nobody took them: at most 16,384 are kept.
    pub fn lost_packets(&self) -> u64 {
        self.enter().lost
    }

    /// The world's time.
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// A clock that its owner moves has moved: what is due happens, and sleepers look at the time again.
    pub fn tick(&self) {
        self.enter().changes += 1;
    }

    /// What has happened on the stack since it was made.
    pub fn counters(&self) -> ostia_stack::Counters {
        self.enter().stack.counters().clone()
    }

    /// Ends the world: its thread ends, calls that block fail with ECANCELED, and its sockets are closed.
    pub fn close(&self) {
        let descriptors = {
            let mut inside = self.enter();
            let ids: Vec<Id> = inside.sockets.keys().chain(inside.epolls.keys()).copied().collect();
            for id in ids {
                inside.end(id);
            }
            inside.over = true;
            inside.changes += 1;
            std::mem::take(&mut inside.descriptors)
        };
        // Closed without the lock, for close(2) may be somebody else's function that asks for it.
        drop(descriptors);
        self.shared.due.notify_one();
        let timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(timer) = timer {
            // It doesn't panic, and if it had there would be nothing to be done.
            let _ = timer.join();
        }
    }

    /// Bytes that packets and peers make the stack keep.
    pub fn memory_used(&self) -> usize {
        self.enter().stack.memory().used()
    }

    /// socket(2): a descriptor for a stream or a datagram socket of IPv4 or IPv6.
    ///
    /// # Errors
    /// EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT and EINVAL as Linux has them, EMFILE.
    pub fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Result<RawFd, Errno> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let (base, nonblocking, close_on_exec) = (kind & !flags, kind & libc::SOCK_NONBLOCK != 0, kind & libc::SOCK_CLOEXEC != 0);
        // SOCK_TYPE_MASK: what is beyond it and no flag is an error.
        if base & !0xf != 0 {
            return Err(Errno::EINVAL);
        }
        let domain = match domain {
            libc::AF_INET => Domain::V4,
            libc::AF_INET6 => Domain::V6,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        // SOCK_MAX and IPPROTO_MAX.
        if !(0..11).contains(&base) || !(0..256).contains(&protocol) {
            return Err(Errno::EINVAL);
        }
        let kind = match (base, protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Kind::Stream,
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Kind::Datagram,
            (libc::SOCK_STREAM | libc::SOCK_DGRAM, _) => return Err(Errno::EPROTONOSUPPORT),
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        self.enter().add(Socket::new(domain, kind, nonblocking), close_on_exec)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.close();
    }
}

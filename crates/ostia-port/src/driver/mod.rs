//! The drivers: each carries the same requests out by other means, chosen when the port is made.

#[cfg(target_os = "linux")]
mod epoll;
mod fault;
mod hosting;
#[cfg(unix)]
mod interest;
#[cfg(windows)]
mod iocp;
#[cfg(all(unix, not(target_os = "linux")))]
mod kqueue;
mod line;
mod open_buffer;
#[cfg(unix)]
mod readiness;
#[cfg(unix)]
mod reading;
mod simulated;
#[cfg(target_os = "linux")]
mod uring;

use crate::os::RawFd;
use std::io;
use std::sync::Arc;

use crate::bell::Bell;
use crate::clock::{Clock, Patience};
use crate::config::{Config, DriverChoice, DriverKind};
use crate::counters::Counters;
use crate::engine::{Engine, EngineId};
use crate::features::Features;
use crate::pool::Pool;
use crate::port::Usual;
use crate::sys::{Event, Sys};
use crate::tag::Tag;

pub use fault::Faults;
pub(crate) use hosting::{Hosting, ip_of, is_hosted, number_of};
#[cfg(target_os = "linux")]
pub(crate) use uring::message;
#[cfg(target_os = "linux")]
pub use uring::why_not as why_not_uring;

/// A driver, or the wrapper that makes one misbehave.
pub(crate) enum Driver {
    #[cfg(target_os = "linux")]
    Uring(Box<uring::Uring>),
    #[cfg(target_os = "linux")]
    Epoll(Box<epoll::Epoll>),
    #[cfg(windows)]
    Iocp(Box<iocp::Iocp>),
    #[cfg(all(unix, not(target_os = "linux")))]
    Kqueue(Box<kqueue::Kqueue>),
    Virtual(Box<simulated::Simulated>),
    Faulty(Box<fault::Faulty>),
    Hosting(Box<hosting::Hosting>),
}

/// What a driver needs from its port at every call.
pub(crate) struct Env<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) counters: &'a Counters,
}

macro_rules! each {
    ($self:expr, $driver:ident => $what:expr) => {
        match $self {
            #[cfg(target_os = "linux")]
            Driver::Uring($driver) => $what,
            #[cfg(target_os = "linux")]
            Driver::Epoll($driver) => $what,
            #[cfg(windows)]
            Driver::Iocp($driver) => $what,
            #[cfg(all(unix, not(target_os = "linux")))]
            Driver::Kqueue($driver) => $what,
            Driver::Virtual($driver) => $what,
            Driver::Faulty($driver) => $what,
            Driver::Hosting($driver) => $what,
        }
    };
}

impl Driver {
    /// Makes the driver that `config` asks for; with [`DriverChoice::Auto`] epoll where io_uring can't be had.
    pub(crate) fn new(config: &Config, bell: &Arc<Bell>) -> io::Result<Driver> {
        let driver = match config.driver {
            DriverChoice::Virtual => {
                let time = config.virtual_time.clone().unwrap_or_default();
                Driver::Virtual(Box::new(simulated::Simulated::new(time, Arc::clone(bell))))
            }
            _ => Driver::plain(config, bell)?,
        };
        Ok(match config.faults {
            Some(faults) => Driver::Faulty(Box::new(fault::Faulty::new(driver, faults))),
            None => driver,
        })
    }

    #[cfg(target_os = "linux")]
    fn plain(config: &Config, bell: &Arc<Bell>) -> io::Result<Driver> {
        let epoll = || epoll::Epoll::new(config, Arc::clone(bell)).map(|d| Driver::Epoll(Box::new(d)));
        let uring = || uring::Uring::new(config, Arc::clone(bell)).map(|d| Driver::Uring(Box::new(d)));
        match config.driver {
            DriverChoice::Epoll => epoll(),
            DriverChoice::IoUring => uring().map_err(uring::explain),
            DriverChoice::Auto => uring().or_else(|_| epoll()),
            other => Err(other.elsewhere()),
        }
    }

    #[cfg(windows)]
    fn plain(config: &Config, bell: &Arc<Bell>) -> io::Result<Driver> {
        match config.driver {
            DriverChoice::Iocp | DriverChoice::Auto => Ok(Driver::Iocp(Box::new(iocp::Iocp::new(config, Arc::clone(bell))))),
            other => Err(other.elsewhere()),
        }
    }

    #[cfg(all(unix, not(target_os = "linux")))]
    fn plain(config: &Config, bell: &Arc<Bell>) -> io::Result<Driver> {
        match config.driver {
            DriverChoice::Kqueue | DriverChoice::Auto => {
                Ok(Driver::Kqueue(Box::new(kqueue::Kqueue::new(config, Arc::clone(bell)))))
            }
            other => Err(other.elsewhere()),
        }
    }

    /// Takes an engine in, around what there is; inside of the faults, if there are any.
    pub(crate) fn host(&mut self, engine: Box<dyn Engine>, clock: Clock) -> EngineId {
        match self {
            Driver::Faulty(faulty) => faulty.host(engine, clock),
            Driver::Hosting(hosting) => hosting.add(engine),
            _ => {
                let mut hosting = Hosting::new(clock);
                let id = hosting.add(engine);
                let inner = std::mem::replace(self, Driver::Hosting(Box::new(hosting)));
                if let Driver::Hosting(hosting) = self {
                    hosting.enclose(inner);
                }
                id
            }
        }
    }

    /// What serves the sockets of engines, if there is one.
    pub(crate) fn hosting(&self) -> Option<&Hosting> {
        match self {
            Driver::Hosting(hosting) => Some(hosting),
            Driver::Faulty(faulty) => faulty.hosting(),
            _ => None,
        }
    }

    /// As [`hosting`](Self::hosting), to be used.
    pub(crate) fn hosting_mut(&mut self) -> Option<&mut Hosting> {
        match self {
            Driver::Hosting(hosting) => Some(hosting),
            Driver::Faulty(faulty) => faulty.hosting_mut(),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> DriverKind {
        each!(self, driver => driver.kind())
    }

    pub(crate) fn features(&self) -> Features {
        each!(self, driver => driver.features())
    }

    /// Takes a request. It is never refused: what can't start now waits in the driver, what fails has an event.
    #[inline]
    pub(crate) fn push(&mut self, tag: Tag, sys: Sys, env: &Env<'_>) {
        each!(self, driver => driver.push(tag, sys, env));
    }

    /// Asks for the end of a request on `fd`. Its event comes in any case, cancelled or not.
    pub(crate) fn cancel(&mut self, tag: Tag, fd: RawFd, env: &Env<'_>) {
        each!(self, driver => driver.cancel(tag, fd, env));
    }

    /// Submits what was pushed, waits as `patience` allows and gathers events, but for those that `usual` (if it is given, and
    /// the driver can) deals with at once.
    #[inline]
    pub(crate) fn turn(
        &mut self,
        patience: Patience,
        out: &mut Vec<Event>,
        usual: Option<&mut Usual<'_>>,
        env: &Env<'_>,
    ) -> io::Result<()> {
        each!(self, driver => driver.turn(patience, out, usual, env))
    }

    /// A descriptor leaves for another port; nothing of it is in flight.
    ///
    /// # Errors
    /// Where it can't leave, and all is as it was.
    pub(crate) fn release(&mut self, fd: RawFd) -> io::Result<()> {
        match self {
            #[cfg(windows)]
            Driver::Iocp(driver) => driver.release(fd),
            Driver::Faulty(driver) => driver.release(fd),
            Driver::Hosting(driver) => driver.release(fd),
            _ => {
                self.forget(fd);
                Ok(())
            }
        }
    }

    /// A handle has come that may be another of a file or socket which the driver knows. Later that may be closed, and nobody
    /// could tell any more that packets of this one come here too.
    #[cfg(windows)]
    pub(crate) fn meet(&mut self, fd: RawFd) {
        match self {
            Driver::Iocp(iocp) => iocp.meet(fd),
            Driver::Faulty(faulty) => faulty.meet(fd),
            Driver::Hosting(hosting) => hosting.meet(fd),
            Driver::Virtual(_) => {}
        }
    }

    /// A descriptor that requests have waited for is about to be closed other than by a request.
    pub(crate) fn forget(&mut self, fd: RawFd) {
        each!(self, driver => driver.forget(fd));
    }

    /// Whether a listener must be given several accepts, for one can't repeat itself.
    pub(crate) fn accepts_singly(&self) -> bool {
        match self.kind() {
            DriverKind::IoUring => !self.features().contains(Features::MULTISHOT_ACCEPT),
            DriverKind::Iocp => true,
            DriverKind::Epoll | DriverKind::Kqueue | DriverKind::Virtual => false,
        }
    }

    /// Whether clients that have connected and say nothing hold every accept of this name.
    pub(crate) fn accepts_are_held(&mut self, tag: Tag) -> bool {
        match self {
            #[cfg(windows)]
            Driver::Iocp(driver) => driver.accepts_are_held(tag),
            Driver::Faulty(driver) => driver.accepts_are_held(tag),
            Driver::Hosting(driver) => driver.accepts_are_held(tag),
            _ => {
                let _ = tag;
                false
            }
        }
    }

    /// Whether sends may be pushed as [`Sys::SendNow`].
    pub(crate) fn sends_silently(&self) -> bool {
        match self {
            // It holds events back, and a silent send has none.
            Driver::Faulty(_) => false,
            driver => driver.features().contains(Features::SILENT_SEND),
        }
    }

    /// After a turn: whether every [`Sys::SendNow`] pushed before it that has had no event is over.
    pub(crate) fn is_settled(&mut self) -> bool {
        each!(self, driver => driver.is_settled())
    }

    /// Whether to send at once costs no more than to push a request.
    fn sends_directly(&self) -> bool {
        each!(self, driver => driver.sends_directly())
    }

    /// Sends at once where that costs no more than to push a request; none where it would.
    #[inline]
    pub(crate) fn send_directly(&mut self, fd: RawFd, bytes: &[u8], env: &Env<'_>) -> Option<i32> {
        if !self.sends_directly() || is_hosted(fd) {
            return None;
        }
        env.counters.syscalls.add(1);
        Some(crate::os::syscalls::send(fd, bytes, false))
    }

    /// Whether files may be read past the driver where nobody has to be waited for: not where it decides what comes when.
    pub(crate) fn reads_at_once(&self) -> bool {
        match self {
            Driver::Faulty(_) | Driver::Virtual(_) => false,
            Driver::Hosting(driver) => driver.reads_at_once(),
            _ => true,
        }
    }

    /// Gives idle memory back; called about once a second.
    pub(crate) fn cool(&mut self, env: &Env<'_>) {
        each!(self, driver => driver.cool(env));
    }

    /// Takes back every buffer of the pool that the driver still holds; called when nothing is in flight.
    pub(crate) fn surrender(&mut self, env: &Env<'_>) {
        each!(self, driver => driver.surrender(env));
    }

    /// Whether datagrams can be received ahead, by [`Sys::ReceiveMsg`].
    pub(crate) fn receives_datagrams(&self) -> bool {
        self.features().contains(Features::MULTISHOT_RECV | Features::BUFFER_RING)
    }

    /// Whether datagrams should be copied out rather than kept where they are.
    pub(crate) fn datagrams_strained(&self) -> bool {
        each!(self, driver => driver.datagrams_strained())
    }

    /// How many buffers stand ready, or are needed by who has none yet: what is lent must leave as many.
    pub(crate) fn buffers_needed(&self) -> usize {
        match self {
            Driver::Hosting(driver) => driver.buffers_needed(),
            Driver::Faulty(driver) => driver.buffers_needed(),
            driver => driver.buffers_ready(),
        }
    }

    /// Descriptors find no buffer: the sockets of engines give up theirs, for they can do without.
    pub(crate) fn give_way(&mut self, pool: &Pool) {
        match self {
            Driver::Hosting(driver) => driver.give_way(pool),
            Driver::Faulty(driver) => driver.give_way(pool),
            _ => {}
        }
    }

    /// How many of the buffers that stand ready are for descriptors; the sockets of engines have one of their own.
    pub(crate) fn ready_for_descriptors(&self) -> usize {
        match self {
            Driver::Hosting(driver) => driver.ready_for_descriptors(),
            Driver::Faulty(driver) => driver.ready_for_descriptors(),
            driver => driver.buffers_ready(),
        }
    }

    /// How many buffers stand ready for the kernel to fill.
    pub(crate) fn buffers_ready(&self) -> usize {
        each!(self, driver => driver.buffers_ready())
    }
}

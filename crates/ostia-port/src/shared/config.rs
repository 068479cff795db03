//! How a shared port is set up.

use std::io;
use std::time::Duration;

use crate::config::Config;

/// The settings of a [`SharedPort`](crate::SharedPort). Every bound is checked when the port is made.
#[derive(Clone, Debug)]
pub struct SharedConfig {
    /// Of the port inside.
    pub port: Config,
    /// How many threads may run at once, as far as packets are handed out; 0 is the number of processors that this process
    /// may use. Default 0.
    pub concurrency: usize,
    /// How many operations may wait for the port thread to take them, at least 1. When so many do,
    /// [`submit`](crate::SharedPort::submit) waits and [`try_submit`](crate::SharedPort::try_submit) gives the operation
    /// back. The port thread takes all at once at each of its turns. Default 1,024.
    pub submissions_max: usize,
    /// How many packets may wait for members before the port thread reaps no more, at least 1. What has completed then
    /// stays where it is: receives that repeat themselves pause and the peer's window closes. Default 1,024.
    pub reaped_max: usize,
    /// How many packets may wait before [`post`](crate::SharedPort::post) refuses one more, at least 1. Default 65,536.
    pub posted_max: usize,
    /// How often, while packets wait and as many threads run as may, the port thread looks whether one of them is asleep in
    /// the kernel; at least 1 ms. None: never, and only those count as blocked that say so. Default 10 ms.
    pub watch_every: Option<Duration>,
    /// How long the port thread at most leaves the kernel alone after a turn, while more packets wait than threads may run;
    /// at most 10 ms. What threads submit meanwhile and what arrives is then dealt with together, and a thread that
    /// computes isn't interrupted for each (as network cards gather interrupts). It ends early when no more packets wait
    /// than threads may run, so nobody runs dry for it; an answer may go out that much later. Zero: never.
    /// Default 100 µs.
    pub gather: Duration,
}

impl Default for SharedConfig {
    fn default() -> SharedConfig {
        SharedConfig {
            port: Config::default(),
            concurrency: 0,
            submissions_max: 1024,
            reaped_max: 1024,
            posted_max: 65_536,
            watch_every: Some(Duration::from_millis(10)),
            gather: Duration::from_micros(100),
        }
    }
}

impl SharedConfig {
    pub(super) fn check(&self) -> io::Result<()> {
        let bounds =
            [("submissions_max", self.submissions_max), ("reaped_max", self.reaped_max), ("posted_max", self.posted_max)];
        if let Some((name, _)) = bounds.iter().find(|(_, bound)| *bound == 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is 0: it must be at least 1")));
        }
        if let Some(every) = self.watch_every
            && every < Duration::from_millis(1)
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("watch_every is {every:?}: it must be at least 1 ms, or none"),
            ));
        }
        if self.gather > Duration::from_millis(10) {
            let wrong = format!("gather is {:?}: it must be at most 10 ms", self.gather);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, wrong));
        }
        Ok(())
    }

    /// The concurrency in numbers.
    pub(super) fn limit(&self) -> usize {
        match self.concurrency {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

//! Programs of hosts: what makes one, what it is given, and what it comes to.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostia::VirtualTime;

use crate::record::Record;
use crate::run::lock;

/// What a program comes to. An error is told as its text.
pub type Outcome = Result<(), Box<dyn Error>>;

pub(crate) type Running = Pin<Box<dyn Future<Output = Outcome>>>;
pub(crate) type Make = Box<dyn FnOnce(Host) -> Running + Send>;

/// A program that is to run.
pub(crate) struct Program {
    pub(crate) host: usize,
    pub(crate) name: String,
    /// The world goes on until it is done; else it ends with the world.
    pub(crate) client: bool,
    pub(crate) make: Make,
}

impl Program {
    pub(crate) fn new<F>(host: usize, name: &str, client: bool, make: impl FnOnce(Host) -> F + Send + 'static) -> Program
    where
        F: Future<Output = Outcome> + 'static,
    {
        Program { host, name: name.to_owned(), client, make: Box::new(move |host| Box::pin(make(host))) }
    }
}

/// The host that a program runs on.
#[derive(Clone)]
pub struct Host {
    pub(crate) number: usize,
    pub(crate) name: Arc<str>,
    pub(crate) time: VirtualTime,
    pub(crate) record: Arc<Mutex<Record>>,
}

impl Host {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long the world has been there.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.time.nanos())
    }

    /// Takes note of something, in the world's report and in its hash.
    pub fn note(&self, text: &str) {
        lock(&self.record).note(self.time.nanos(), self.number, &self.name, text);
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("name", &self.name).field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

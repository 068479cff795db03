//! A stack on the port of a thread of its own, whose branch is an engine of the port under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ostia_link::Memory;
use ostia_net::{NetConfig, StackEngine};
use ostia_port::{Config, DriverChoice, Engine, Port, Remote};

/// The thread; it ends with this.
pub struct Away {
    stop: Arc<AtomicBool>,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Away {
    /// A stack over this link, set up so, and a branch of it.
    pub fn new(link: Memory, config: NetConfig) -> (Away, Box<dyn Engine + Send>) {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (made, is_made) = channel();
        let thread = thread::spawn(move || {
            // Some tests leave sends behind that nobody reads.
            let config_of_port = Config { driver: DriverChoice::Epoll, linger: Duration::from_millis(100), ..Config::default() };
            let mut port = Port::with(config_of_port).expect("a port");
            let mut stack = StackEngine::new(Box::new(link), &config).expect("a stack");
            let branch = stack.branch().expect("a branch");
            port.add_engine(Box::new(stack));
            made.send((port.remote(), branch)).expect("somebody waits");
            while !stopped.load(Ordering::Acquire) {
                port.wait(Some(Duration::from_secs(1))).expect("the port works");
            }
        });
        let (remote, branch) = is_made.recv().expect("the thread has made them");
        (Away { stop, remote, thread: Some(thread) }, branch)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.remote.wake();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the stack's thread has panicked");
    }
}

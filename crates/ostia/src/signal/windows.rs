//! Events of the console (SetConsoleCtrlHandler): a thread of the system's calls the handler, which tells those who watch.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT, SetConsoleCtrlHandler,
};

use crate::here;
use crate::signal::SignalKind;
use crate::sync::Notify;

/// Those who watch.
static WATCHERS: Mutex<Vec<Arc<Watcher>>> = Mutex::new(Vec::new());
/// The events that have ever been watched, as bits.
static WATCHED: AtomicU32 = AtomicU32::new(0);
/// Whether the handler is set, or the code of the error.
static HANDLER: OnceLock<Result<(), i32>> = OnceLock::new();

#[derive(Debug)]
struct Watcher {
    /// Which events, as bits.
    events: u32,
    /// Keeps one notification for who comes later.
    notify: Notify,
}

impl SignalKind {
    /// Its events, as bits.
    fn events(self) -> u32 {
        let events: &[u32] = match self {
            SignalKind::Interrupt => &[CTRL_C_EVENT],
            SignalKind::Terminate => &[CTRL_BREAK_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT],
            SignalKind::Hangup | SignalKind::Close => &[CTRL_CLOSE_EVENT],
            SignalKind::Break => &[CTRL_BREAK_EVENT],
            SignalKind::Logoff => &[CTRL_LOGOFF_EVENT],
            SignalKind::Shutdown => &[CTRL_SHUTDOWN_EVENT],
        };
        events.iter().fold(0, |bits, event| bits | 1 << event)
    }
}

fn watchers() -> MutexGuard<'static, Vec<Arc<Watcher>>> {
    WATCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by the system, on a thread that it makes for each event. Whether the event is dealt with; else the next handler is asked,
/// the last of which ends the process.
unsafe extern "system" fn handler(event: u32) -> i32 {
    let bit = 1u32.checked_shl(event).unwrap_or(0);
    let told: Vec<_> = watchers().iter().filter(|watcher| watcher.events & bit != 0).map(Arc::clone).collect();
    told.iter().for_each(|watcher| watcher.notify.notify_one());
    if WATCHED.load(Ordering::Acquire) & bit == 0 {
        return 0;
    }
    if matches!(event, CTRL_CLOSE_EVENT | CTRL_LOGOFF_EVENT | CTRL_SHUTDOWN_EVENT) {
        // The system ends the process as soon as this returns, and else after a while: so much is left to those who were told.
        loop {
            std::thread::sleep(Duration::from_secs(60));
        }
    }
    1
}

fn set_handler() -> io::Result<()> {
    let set = HANDLER.get_or_init(|| {
        // SAFETY: the handler is a function of this program and touches only statics.
        match unsafe { SetConsoleCtrlHandler(Some(handler), 1) } {
            0 => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
            _ => Ok(()),
        }
    });
    set.map_err(io::Error::from_raw_os_error)
}

#[derive(Debug)]
pub(super) struct Signal {
    watcher: Arc<Watcher>,
    worker: u32,
}

impl Signal {
    pub(super) fn new(kind: SignalKind) -> io::Result<Signal> {
        let worker = here::with(|core| core.id).ok_or_else(here::elsewhere)?;
        set_handler()?;
        let watcher = Arc::new(Watcher { events: kind.events(), notify: Notify::new() });
        watchers().push(Arc::clone(&watcher));
        WATCHED.fetch_or(watcher.events, Ordering::AcqRel);
        Ok(Signal { watcher, worker })
    }

    pub(super) async fn recv(&mut self) -> io::Result<()> {
        here::home(self.worker, |_| Ok(()))?;
        self.watcher.notify.notified().await;
        Ok(())
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        watchers().retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_told_to_those_who_watch_it() {
        crate::block_on(async {
            for (event, kinds) in [
                (CTRL_C_EVENT, &[SignalKind::Interrupt][..]),
                (CTRL_BREAK_EVENT, &[SignalKind::Break, SignalKind::Terminate]),
                (CTRL_CLOSE_EVENT, &[SignalKind::Close, SignalKind::Hangup, SignalKind::Terminate]),
                (CTRL_LOGOFF_EVENT, &[SignalKind::Logoff, SignalKind::Terminate]),
                (CTRL_SHUTDOWN_EVENT, &[SignalKind::Shutdown, SignalKind::Terminate]),
            ] {
                let mut all: Vec<Signal> = kinds.iter().map(|&kind| Signal::new(kind).expect("a watch")).collect();
                // As the system does: on a thread of its own, which is not waited for, for some events keep it for good.
                // SAFETY: the handler may be called by any thread.
                std::thread::spawn(move || unsafe { handler(event) });
                for signal in &mut all {
                    signal.recv().await.expect("told");
                }
            }
        });
    }

    #[test]
    fn what_nobody_has_watched_is_left_to_others() {
        // SAFETY: as above. The number is no event's.
        assert_eq!(unsafe { handler(31) }, 0);
    }
}

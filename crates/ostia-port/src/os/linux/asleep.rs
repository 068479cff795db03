//! Whether a thread is asleep, as the kernel tells it in /proc/self/task/TID/stat (proc_pid_stat(5)).

use std::io::Read;

/// Whether a thread of this process sleeps or is stopped; none if /proc doesn't tell.
pub(crate) fn is_asleep(thread: i32) -> Option<bool> {
    let mut line = [0u8; 512];
    let mut file = std::fs::File::open(format!("/proc/self/task/{thread}/stat")).ok()?;
    let len = file.read(&mut line).ok()?;
    state_of(&line[..len]).map(|state| matches!(state, b'S' | b'D' | b'T' | b't'))
}

/// The letter behind the name, which stands in parentheses and may itself hold any.
fn state_of(line: &[u8]) -> Option<u8> {
    let end = line.iter().rposition(|&byte| byte == b')')?;
    line.get(end + 2).copied()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::os::thread::current;

    #[test]
    fn the_state_stands_behind_the_last_parenthesis() {
        assert_eq!(state_of(b"12 (worker) S 1 2"), Some(b'S'));
        assert_eq!(state_of(b"12 (a) R (b) D 1 2"), Some(b'D'));
        assert_eq!(state_of(b"12 (cut off)"), None);
        assert_eq!(state_of(b""), None);
    }

    #[test]
    fn this_thread_runs_and_one_that_waits_sleeps() {
        let me = current();
        assert_eq!(is_asleep(me), Some(false));
        let (send, receive) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            send.send(current()).expect("received");
            let _ = stopped.recv();
        });
        let thread = receive.recv().expect("sent");
        while is_asleep(thread) == Some(false) {
            std::thread::yield_now();
        }
        assert_eq!(is_asleep(thread), Some(true));
        drop(stop);
        sleeper.join().expect("no panic");
        // The entry goes a moment after the join returns; then nothing is told.
        while is_asleep(thread).is_some() {
            std::thread::yield_now();
        }
    }
}

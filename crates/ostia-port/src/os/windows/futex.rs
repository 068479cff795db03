//! Words that threads wait on by [`Op::FutexWait`](crate::Op::FutexWait): Windows' own call can't say how many it woke.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::codes::{EAGAIN, ETIMEDOUT};

/// Those that wait for one word.
#[derive(Default)]
struct Line {
    waiting: u32,
    /// How many of them may go.
    woken: u32,
}

#[derive(Default)]
struct Table {
    lines: Mutex<HashMap<usize, Line>>,
    changed: Condvar,
}

impl Table {
    fn lines(&self) -> MutexGuard<'_, HashMap<usize, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(Table::default)
}

/// Waits until the word is woken, if it holds `expected`, for `slice` at most.
pub(crate) fn wait(word: &AtomicU32, expected: u32, slice: Duration) -> i32 {
    let address = word.as_ptr() as usize;
    let table = table();
    let mut lines = table.lines();
    // Under the lock: whoever changes the word and then wakes comes before this or after it.
    if word.load(Ordering::SeqCst) != expected {
        return -EAGAIN;
    }
    lines.entry(address).or_default().waiting += 1;
    let still = |lines: &mut HashMap<usize, Line>| lines.get(&address).is_some_and(|line| line.woken == 0);
    let (mut lines, _) = table.changed.wait_timeout_while(lines, slice, still).unwrap_or_else(PoisonError::into_inner);
    let Some(line) = lines.get_mut(&address) else { return 0 };
    line.waiting -= 1;
    let woken = line.woken > 0;
    line.woken -= u32::from(woken);
    if line.waiting == 0 {
        lines.remove(&address);
    }
    if woken { 0 } else { -ETIMEDOUT }
}

/// Wakes up to `count` of those that wait for the word; answers how many.
pub(crate) fn wake(word: *const u32, count: u32) -> i32 {
    let table = table();
    let mut lines = table.lines();
    let Some(line) = lines.get_mut(&(word as usize)) else { return 0 };
    let woken = count.min(line.waiting - line.woken);
    line.woken += woken;
    drop(lines);
    table.changed.notify_all();
    woken as i32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_woken_are_counted_and_a_wrong_value_does_not_wait() {
        let word = Arc::new(AtomicU32::new(1));
        assert_eq!(wait(&word, 2, Duration::from_secs(60)), -EAGAIN);
        assert_eq!(wait(&word, 1, Duration::from_millis(1)), -ETIMEDOUT);
        assert_eq!(wake(word.as_ptr(), 9), 0);
        let shared = Arc::clone(&word);
        let waiter = std::thread::spawn(move || wait(&shared, 1, Duration::from_secs(60)));
        while wake(word.as_ptr(), 1) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(waiter.join().expect("no panic"), 0);
    }
}

//! Finds out what of a failing sequence it is that fails.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::action::Script;
use crate::world;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: Cell<String> = const { Cell::new(String::new()) };
}

/// Does something, and gives its panic as text with its place, without a word on the way.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                PLACE.set(format!("{place}: {}", info.payload_as_str().unwrap_or_default()));
            } else {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    result.map_err(|_| PLACE.take())
}

/// Takes out of a script that fails what isn't needed for it to fail at the same place.
pub fn shrink(script: Script) -> Script {
    let fails = |script: &Script| caught(|| world::run(script)).err().map(|error| place(&error));
    let Some(wanted) = fails(&script) else { return script };
    let mut least = script;
    let mut size = least.actions.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < least.actions.len() {
            let mut fewer = least.clone();
            fewer.actions.drain(at..(at + size).min(least.actions.len()));
            if fails(&fewer).as_ref() == Some(&wanted) {
                least = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    for bit in 0..32 {
        let simpler = Script { setup: least.setup & !(1 << bit), actions: least.actions.clone() };
        if fails(&simpler).as_ref() == Some(&wanted) {
            least = simpler;
        }
    }
    least
}

/// The file and line of a panic's text.
fn place(error: &str) -> String {
    error.split(": ").next().unwrap_or_default().into()
}

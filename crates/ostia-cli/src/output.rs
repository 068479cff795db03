//! What the program prints on standard output and how: for people, or as JSON, one object a line; in colours or not.

use crate::args::{Color, Global};
use serde_json::Value;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

// Set once, before anything is printed; a flag for the whole program, as its standard output is one.
static JSON: AtomicBool = AtomicBool::new(false);
static COLOR: AtomicBool = AtomicBool::new(false);
static OUTPUT_COLOR: AtomicBool = AtomicBool::new(false);
// Whoever read standard output has gone.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// How wide a page is that goes to no terminal.
const WIDTH: usize = 80;

/// Decides how this program prints.
pub fn set_up(global: &Global) {
    JSON.store(global.json, Ordering::Relaxed);
    let color = |is_terminal: bool| match global.color {
        Color::Always => {
            prepare_console();
            true
        }
        Color::Never => false,
        Color::Auto => is_terminal && allowed(|name| std::env::var_os(name)) && prepare_console(),
    };
    COLOR.store(color(io::stderr().is_terminal()), Ordering::Relaxed);
    OUTPUT_COLOR.store(color(io::stdout().is_terminal()), Ordering::Relaxed);
}

/// Whether the terminal takes the sequences for colours: Windows' console has to be asked to.
fn prepare_console() -> bool {
    #[cfg(windows)]
    return anstyle_query::windows::enable_ansi_colors() == Some(true);
    #[cfg(not(windows))]
    true
}

/// Whether the environment allows colours: <https://no-color.org>, and terminals that know none.
fn allowed(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty()) && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Whether `--json` was given.
#[must_use]
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Whether messages on standard error are coloured.
#[must_use]
pub fn colors_errors() -> bool {
    COLOR.load(Ordering::Relaxed)
}

/// Whether what goes to standard output is coloured.
#[must_use]
pub fn colors_output() -> bool {
    OUTPUT_COLOR.load(Ordering::Relaxed)
}

/// Whether standard output has a reader, as far as is known from what was printed. Who prints for ever and does nothing else has
/// no more to do when it has none.
#[must_use]
pub fn is_read() -> bool {
    !UNREAD.load(Ordering::Relaxed)
}

/// How many columns and lines the terminal has that standard output is; none if it is something else.
#[must_use]
pub fn screen() -> Option<(usize, usize)> {
    let (terminal_size::Width(columns), terminal_size::Height(lines)) = terminal_size::terminal_size_of(io::stdout())?;
    Some((columns.into(), lines.into()))
}

/// How many columns standard output has.
#[must_use]
pub fn width() -> usize {
    screen().map_or(WIDTH, |(columns, _)| columns)
}

/// Prints a line for people, or with `--json` the object. Standard output may have no reader any more.
pub fn print(line: &str, object: impl FnOnce() -> Value) {
    let mut stdout = io::stdout().lock();
    let written = match is_json() {
        true => writeln!(stdout, "{}", object()),
        false => writeln!(stdout, "{line}"),
    };
    if let Err(error) = written.and_then(|()| stdout.flush())
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        UNREAD.store(true, Ordering::Relaxed);
    }
}

/// The choice for clap, which prints before all settings are known: looks for `--color` by itself.
#[must_use]
pub fn early_choice(words: &[std::ffi::OsString]) -> clap::ColorChoice {
    let mut words = words.iter().filter_map(|word| word.to_str());
    let mut choice = std::env::var("OSTIA_COLOR").unwrap_or_default();
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some(("--color", value)) => choice = value.to_owned(),
            None if word == "--color" => choice = words.next().unwrap_or_default().to_owned(),
            _ => {}
        }
    }
    match choice.as_str() {
        "always" => clap::ColorChoice::Always,
        "never" => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_forbids() {
        let with = |name: &'static str, value: &'static str| allowed(move |asked| (asked == name).then(|| value.into()));
        assert!(with("TERM", "xterm") && with("NO_COLOR", ""));
        assert!(!with("TERM", "dumb") && !with("NO_COLOR", "1"));
    }

    #[test]
    fn the_choice_is_seen_early() {
        let choice = |words: &[&str]| early_choice(&words.iter().map(Into::into).collect::<Vec<_>>());
        assert_eq!(choice(&["ostia", "--color", "always"]), clap::ColorChoice::Always);
        assert_eq!(choice(&["ostia", "serve", "--color=never"]), clap::ColorChoice::Never);
        assert_eq!(choice(&["ostia", "--color"]), clap::ColorChoice::Auto);
    }
}

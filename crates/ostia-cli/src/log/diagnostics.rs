//! Warnings and errors as lines: a [`Layer`] that gives each event to a sink.

use super::sink::Sink;
use crate::args::LogFormat;
use serde_json::Value;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Longest line; what is longer is cut. No peer can fill a log with one event.
const LONGEST: usize = 16 << 10;

/// Gives events to a sink.
#[derive(Debug)]
pub struct Diagnostics {
    sink: Sink,
    format: LogFormat,
    color: bool,
}

impl Diagnostics {
    /// Events go to this sink, in this shape.
    #[must_use]
    pub fn new(sink: Sink, format: LogFormat, color: bool) -> Diagnostics {
        Diagnostics { sink, format, color }
    }
}

impl<S: Subscriber> Layer<S> for Diagnostics {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        thread_local! {
            static LINE: RefCell<String> = const { RefCell::new(String::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            let mut found = Found::default();
            event.record(&mut found);
            let meta = event.metadata();
            match self.format {
                LogFormat::Pretty => pretty(line, *meta.level(), &found, self.color),
                LogFormat::Compact => compact(line, *meta.level(), meta.target(), &found, ostia::time::wall()),
                LogFormat::Json => json(line, *meta.level(), meta.target(), &found, ostia::time::wall()),
            }
            line.push('\n');
            self.sink.push(line.as_bytes(), 1);
        });
    }
}

/// An event's message and details.
#[derive(Debug, Default)]
struct Found {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Found {
    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text.into())),
        }
    }
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }
}

fn pretty(line: &mut String, level: Level, found: &Found, color: bool) {
    let (name, code) = match level {
        Level::ERROR => ("error", "1;31"),
        Level::WARN => ("warning", "1;33"),
        Level::INFO => ("info", "1;32"),
        Level::DEBUG => ("debug", "1;34"),
        Level::TRACE => ("trace", "2"),
    };
    let _ = match color {
        true => write!(line, "\x1b[{code}m{name}:\x1b[0m "),
        false => write!(line, "{name}: "),
    };
    details(line, found);
}

fn compact(line: &mut String, level: Level, target: &str, found: &Found, now: SystemTime) {
    let _ = write!(line, "{} {level:5} {target}: ", humantime::format_rfc3339_millis(now));
    details(line, found);
}

fn details(line: &mut String, found: &Found) {
    escape(&found.message, line);
    for (name, value) in &found.fields {
        let _ = write!(line, " {name}=");
        match value {
            Value::String(text) => escape(text, line),
            other => {
                let _ = write!(line, "{other}");
            }
        }
    }
}

fn json(line: &mut String, level: Level, target: &str, found: &Found, now: SystemTime) {
    let fields: serde_json::Map<String, Value> = found
        .fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_str().map_or_else(|| value.clone(), |text| cut(text).into())))
        .collect();
    let object = serde_json::json!({
        "time": humantime::format_rfc3339_millis(now).to_string(),
        "type": "log",
        "level": level.as_str().to_lowercase(),
        "target": target,
        "message": cut(&found.message),
        "fields": fields,
    });
    let _ = write!(line, "{object}");
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// Text that may come from a peer can neither forge a line nor reach a terminal with control sequences; neither can the
/// characters that change the direction of text.
fn escape(text: &str, line: &mut String) {
    for char in cut(text).chars() {
        match char {
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(line, "{}", char.escape_unicode());
            }
            _ if char.is_control() => {
                let _ = write!(line, "{}", char.escape_default());
            }
            _ => line.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::sink::tests::Passing;
    use std::sync::mpsc;
    use std::time::Duration;
    use tracing_subscriber::layer::SubscriberExt as _;

    fn said(format: LogFormat, color: bool, speak: impl FnOnce()) -> String {
        let (written, seen) = mpsc::channel();
        let sink = Sink::to_stream(Passing(written), "test", format).unwrap();
        let subscriber = tracing_subscriber::registry().with(Diagnostics::new(sink.clone(), format, color));
        tracing::subscriber::with_default(subscriber, speak);
        sink.finish(Duration::from_secs(60));
        String::from_utf8(seen.iter().flatten().collect()).unwrap()
    }

    fn hostile() {
        tracing::warn!(n = 3, path = "a\nb", "evil \x1b[2J \u{202e}text");
    }

    #[test]
    fn each_shape_is_one_line_without_control_characters() {
        let text = said(LogFormat::Pretty, false, hostile);
        assert_eq!(text, "warning: evil \\u{1b}[2J \\u{202e}text n=3 path=a\\nb\n");
        let text = said(LogFormat::Compact, false, hostile);
        assert!(text.contains("Z WARN  ostia_cli::log::diagnostics::tests: evil") && text.ends_with("path=a\\nb\n"), "{text}");
        assert_eq!(text.matches(|c: char| c.is_control()).count(), 1);
        let text = said(LogFormat::Json, false, hostile);
        assert_eq!(text.matches(|c: char| c.is_control()).count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["level"], &value["fields"]["n"], &value["fields"]["path"]),
            (&"warn".into(), &3.into(), &"a\nb".into())
        );
    }

    #[test]
    fn colours_are_for_the_level_only() {
        assert_eq!(said(LogFormat::Pretty, true, || tracing::error!("no")), "\x1b[1;31merror:\x1b[0m no\n");
    }

    #[test]
    fn a_long_message_is_cut() {
        let text = said(LogFormat::Pretty, false, || tracing::info!("{}", "é".repeat(LONGEST)));
        assert!(text.len() < LONGEST + 100, "{}", text.len());
    }
}

//! The access log: one line a request, in the Common Log Format or as JSON, written by another thread.
//!
//! A worker appends lines to a buffer of its own and hands them on in batches; it never waits for the terminal, the pipe or
//! the disk that they go to: see [`Sink`].

use crate::args::LogFormat;
use crate::http::response::{Clock, Status};
use crate::log::sink::Sink;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// A worker hands its lines on when they have come to this many bytes.
const BATCH: usize = 8 << 10;

/// What a line tells.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who asked: an IP address, or `unix:`.
    pub peer: &'a str,
    /// The request line as it was received, whole or not.
    pub line: &'a [u8],
    /// The answer.
    pub status: Status,
    /// Bytes of content sent.
    pub bytes: u64,
}

/// Appends one line: `PEER - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1" 200 5`.
///
/// In the request line, quotes and backslashes are escaped with a backslash, and every byte that
/// isn't printable ASCII is written as `\xNN`, so that no request can forge a line or reach a
/// terminal with control sequences.
pub fn format(record: &Record<'_>, clock: &Clock, out: &mut Vec<u8>) {
    // Sun, 06 Nov 1994 08:49:37 GMT
    let date = clock.text();
    out.extend_from_slice(record.peer.as_bytes());
    out.extend_from_slice(b" - - [");
    for (part, after) in [(&date[5..7], &b"/"[..]), (&date[8..11], b"/"), (&date[12..16], b":"), (&date[17..25], b"")] {
        out.extend_from_slice(part);
        out.extend_from_slice(after);
    }
    out.extend_from_slice(b" +0000] \"");
    escape(record.line, out);
    let _ = writeln!(out, "\" {} {}", record.status.code(), record.bytes);
}

fn escape(line: &[u8], out: &mut Vec<u8>) {
    for &byte in line {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let _ = write!(out, "\\x{byte:02X}");
            }
        }
    }
}

/// Appends one line of JSON with the same content, time in UTC:
/// `{"time":"1994-11-06T08:49:37Z","type":"access","peer":"::1","request":"GET / HTTP/1.1","status":200,"bytes":5}`.
///
/// Bytes of the request line that aren't ASCII are taken for the Latin-1 characters of the same number, so that each can be
/// told; everything but printable ASCII is escaped.
pub fn format_json(record: &Record<'_>, clock: &Clock, out: &mut Vec<u8>) {
    let seconds = u64::try_from(clock.seconds()).unwrap_or(0);
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
    let _ = write!(out, "{{\"time\":\"{time}\",\"type\":\"access\",\"peer\":\"{}\",\"request\":\"", record.peer);
    for &byte in record.line {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let _ = write!(out, "\\u00{byte:02x}");
            }
        }
    }
    let _ = writeln!(out, "\",\"status\":{},\"bytes\":{}}}", record.status.code(), record.bytes);
}

/// The log of the whole program.
#[derive(Debug)]
pub struct AccessLog {
    sink: Sink,
    format: LogFormat,
}

impl AccessLog {
    /// A log that goes to a sink.
    pub fn new(sink: Sink, format: LogFormat) -> AccessLog {
        AccessLog { sink, format }
    }

    /// A face of the log for one worker.
    pub fn worker(&self) -> WorkerLog {
        WorkerLog {
            sink: self.sink.clone(),
            json: self.format == LogFormat::Json,
            buffer: Vec::with_capacity(2 * BATCH),
            lines: 0,
        }
    }

    /// Writes what is left; gives up after `patience`.
    pub fn finish(&self, patience: Duration) {
        self.sink.finish(patience);
    }
}

/// One worker's lines. What is not handed on when it is dropped is handed on then.
#[derive(Debug)]
pub struct WorkerLog {
    sink: Sink,
    json: bool,
    buffer: Vec<u8>,
    lines: u64,
}

impl WorkerLog {
    /// Adds a line; hands all on when they have come to a batch. Says whether lines are left that
    /// [`WorkerLog::flush`] must be called for within a moment.
    pub fn add(&mut self, record: &Record<'_>, clock: &Clock) -> bool {
        match self.json {
            true => format_json(record, clock, &mut self.buffer),
            false => format(record, clock, &mut self.buffer),
        }
        self.lines += 1;
        if self.buffer.len() >= BATCH {
            self.flush();
        }
        self.lines > 0
    }

    /// Hands all lines on. Never waits for them to be written.
    pub fn flush(&mut self) {
        if self.lines > 0 {
            self.sink.push(&self.buffer, self.lines);
            self.buffer.clear();
            self.lines = 0;
        }
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        let mut clock = Clock::default();
        clock.set(784_111_777);
        clock
    }

    fn record(line: &[u8]) -> Record<'_> {
        Record { peer: "::1", line, status: Status::Ok, bytes: 5 }
    }

    #[test]
    fn a_line_has_the_common_format() {
        let mut out = Vec::new();
        format(&record(b"GET / HTTP/1.1"), &clock(), &mut out);
        assert_eq!(out, b"::1 - - [06/Nov/1994:08:49:37 +0000] \"GET / HTTP/1.1\" 200 5\n");
    }

    #[test]
    fn a_line_of_json_is_an_object() {
        let mut out = Vec::new();
        format_json(&record(b"GET /\"\\\r\n\x1b[2J\xff\0\x7f"), &clock(), &mut out);
        assert!(out.is_ascii() && out.iter().filter(|byte| byte.is_ascii_control()).count() == 1);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["request"], "GET /\"\\\r\n\u{1b}[2J\u{ff}\0\u{7f}");
        assert_eq!(
            (&value["time"], value["status"].as_u64(), value["bytes"].as_u64()),
            (&"1994-11-06T08:49:37Z".into(), Some(200), Some(5))
        );
    }

    #[test]
    fn no_request_can_forge_a_line() {
        let mut out = Vec::new();
        format(&record(b"GET /\"\\\r\n\x1b[2J\xff\0\x7f"), &clock(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(r#""GET /\"\\\x0D\x0A\x1B[2J\xFF\x00\x7F" 200"#), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn all_lines_arrive_in_order() {
        let (written, seen) = std::sync::mpsc::channel();
        let sink = Sink::to_stream(crate::log::sink::tests::Passing(written), "test", LogFormat::Pretty).unwrap();
        let log = AccessLog::new(sink, LogFormat::Pretty);
        let mut worker = log.worker();
        for n in 0..1000 {
            worker.add(&record(format!("GET /{n}").as_bytes()), &clock());
        }
        drop(worker);
        log.finish(Duration::from_secs(60));
        let text = String::from_utf8(seen.iter().flatten().collect()).unwrap();
        let names: Vec<_> = text.lines().map(|line| line.split('"').nth(1).unwrap().to_owned()).collect();
        assert_eq!(names, (0..1000).map(|n| format!("GET /{n}")).collect::<Vec<_>>());
    }
}

//! Response heads: status codes, the date of the current second, and a writer into a reused buffer.

use std::io::Write as _;
use std::time::UNIX_EPOCH;

/// Defines [`Status`] from one table, so that code and reason phrase can't part.
macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal,)*) => {
        /// The status codes this server answers with (RFC 9110 section 15).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Status {
            $(#[doc = $reason] $name = $code,)*
        }

        impl Status {
            /// The three digits.
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// The reason phrase that RFC 9110 gives the code.
            pub const fn reason(self) -> &'static str {
                match self { $(Status::$name => $reason,)* }
            }

            /// `HTTP/1.1 CODE REASON\r\n`.
            const fn line(self) -> &'static str {
                match self { $(Status::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"),)* }
            }
        }
    };
}

statuses! {
    Ok = 200 "OK",
    PartialContent = 206 "Partial Content",
    MovedPermanently = 301 "Moved Permanently",
    NotModified = 304 "Not Modified",
    BadRequest = 400 "Bad Request",
    Forbidden = 403 "Forbidden",
    NotFound = 404 "Not Found",
    MethodNotAllowed = 405 "Method Not Allowed",
    RequestTimeout = 408 "Request Timeout",
    PreconditionFailed = 412 "Precondition Failed",
    ContentTooLarge = 413 "Content Too Large",
    UriTooLong = 414 "URI Too Long",
    RangeNotSatisfiable = 416 "Range Not Satisfiable",
    ExpectationFailed = 417 "Expectation Failed",
    MisdirectedRequest = 421 "Misdirected Request",
    RequestHeaderFieldsTooLarge = 431 "Request Header Fields Too Large",
    InternalServerError = 500 "Internal Server Error",
    NotImplemented = 501 "Not Implemented",
    ServiceUnavailable = 503 "Service Unavailable",
    HttpVersionNotSupported = 505 "HTTP Version Not Supported",
}

/// The interim response that asks a client for the body it holds back (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Length of an HTTP date in its one preferred form (RFC 9110 section 5.6.7), in bytes.
pub const DATE_LEN: usize = 29;

/// The last second that four digits of a year can hold: 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

/// Spells `seconds` since the epoch as an HTTP date; `None` before 1970 and after the year 9999.
pub fn http_date(seconds: i64) -> Option<[u8; DATE_LEN]> {
    if !(0..=LAST_SECOND).contains(&seconds) {
        return None;
    }
    let time = UNIX_EPOCH + std::time::Duration::from_secs(seconds as u64);
    let mut text = [0; DATE_LEN];
    write!(&mut text[..], "{}", httpdate::HttpDate::from(time)).ok()?;
    Some(text)
}

/// The wall clock as the `Date` header shows it, formatted once a second.
///
/// A worker keeps one and calls [`Clock::set`] or [`Clock::tick`] once a turn.
#[derive(Debug)]
pub struct Clock {
    seconds: i64,
    text: [u8; DATE_LEN],
}

impl Default for Clock {
    fn default() -> Self {
        let mut clock = Clock { seconds: 0, text: *b"Thu, 01 Jan 1970 00:00:00 GMT" };
        clock.tick();
        clock
    }
}

impl Clock {
    /// Reads the wall clock.
    pub fn tick(&mut self) {
        let now = ostia::time::wall().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        self.set(now);
    }

    /// Moves the clock to `seconds` since the epoch; times outside 1970 to 9999 are ignored.
    pub fn set(&mut self, seconds: i64) {
        if seconds != self.seconds
            && let Some(text) = http_date(seconds)
        {
            self.seconds = seconds;
            self.text = text;
        }
    }

    /// Seconds since the epoch.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// The date's 29 bytes.
    pub fn text(&self) -> &[u8; DATE_LEN] {
        &self.text
    }
}

/// What happens to the connection after a response, and how the head must say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// HTTP/1.1 keeps the connection without saying a word.
    Keep,
    /// An HTTP/1.0 client asked to keep it: the answer must say that it is kept.
    KeepExplicit,
    /// Closed after the response.
    Close,
}

impl Persistence {
    /// Whether another request may follow.
    pub fn keeps(self) -> bool {
        self != Persistence::Close
    }
}

/// Writes one response head into a buffer that is reused from response to response.
///
/// The order is fixed: status line, `Date`, then the rest; so the date of a rendered head can be
/// brought up to the second in place (see [`patch_date`]).
#[derive(Debug)]
pub struct Head<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Head<'a> {
    /// Appends the status line, `Date`, `Connection` where needed, and `X-Content-Type-Options`.
    pub fn new(out: &'a mut Vec<u8>, status: Status, clock: &Clock, persistence: Persistence) -> Self {
        out.extend_from_slice(status.line().as_bytes());
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(clock.text());
        out.extend_from_slice(b"\r\nX-Content-Type-Options: nosniff\r\n");
        match persistence {
            Persistence::Keep => {}
            Persistence::KeepExplicit => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            Persistence::Close => out.extend_from_slice(b"Connection: close\r\n"),
        }
        Head { out }
    }

    /// Appends a field. The caller vouches for the value: it must hold no CR, LF or NUL; any that
    /// it does hold are replaced by spaces, so that no value can end the head early.
    pub fn field(self, name: &str, value: &[u8]) -> Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        let from = self.out.len();
        self.out.extend_from_slice(value);
        for byte in &mut self.out[from..] {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Appends `Content-Length`.
    pub fn length(self, bytes: u64) -> Self {
        let _ = write!(self.out, "Content-Length: {bytes}\r\n");
        self
    }

    /// Appends `Content-Range` for bytes `start..end` of `size` (RFC 9110 section 14.4).
    /// `start < end <= size`.
    pub fn range(self, range: &std::ops::Range<u64>, size: u64) -> Self {
        let last = range.end.saturating_sub(1);
        let _ = write!(self.out, "Content-Range: bytes {}-{last}/{size}\r\n", range.start);
        self
    }

    /// Appends the `Content-Range` of a 416: `bytes */SIZE`.
    pub fn unsatisfied(self, size: u64) -> Self {
        let _ = write!(self.out, "Content-Range: bytes */{size}\r\n");
        self
    }

    /// Ends the head.
    pub fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Where [`Head::new`] puts the 29 bytes of the date, for a head that begins with this status.
pub const fn date_offset(status: Status) -> usize {
    status.line().len() + "Date: ".len()
}

/// Brings the date in a rendered head of this status up to date.
pub fn patch_date(head: &mut [u8], status: Status, clock: &Clock) {
    let at = date_offset(status);
    if let Some(slot) = head.get_mut(at..at + DATE_LEN) {
        slot.copy_from_slice(clock.text());
    }
}

/// Appends a whole error response: a line of text as content, left out for HEAD. Gives the bytes of
/// content.
///
/// 405 carries `Allow` (RFC 9110 section 15.5.6), 503 carries `Retry-After: 1`.
pub fn error(out: &mut Vec<u8>, status: Status, clock: &Clock, persistence: Persistence, head_only: bool) -> u64 {
    let mut head = Head::new(out, status, clock, persistence)
        .field("Content-Type", b"text/plain; charset=utf-8")
        .length((4 + status.reason().len() + 1) as u64);
    match status {
        Status::MethodNotAllowed => head = head.field("Allow", b"GET, HEAD"),
        Status::ServiceUnavailable => head = head.field("Retry-After", b"1"),
        _ => {}
    }
    head.end();
    let content = out.len();
    if !head_only {
        let _ = writeln!(out, "{} {}", status.code(), status.reason());
    }
    (out.len() - content) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        let mut clock = Clock::default();
        clock.set(784_111_777);
        clock
    }

    #[test]
    fn dates_have_the_preferred_form() {
        assert_eq!(&http_date(784_111_777).unwrap(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&http_date(0).unwrap(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&http_date(LAST_SECOND).unwrap(), b"Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(http_date(-1), None);
        assert_eq!(http_date(LAST_SECOND + 1), None);
        assert_eq!(http_date(i64::MAX), None);
    }

    #[test]
    fn the_clock_follows_and_ignores_what_cannot_be_spelt() {
        let mut clock = clock();
        clock.set(784_111_778);
        assert_eq!(clock.text(), b"Sun, 06 Nov 1994 08:49:38 GMT");
        clock.set(i64::MAX);
        assert_eq!(clock.seconds(), 784_111_778);
    }

    #[test]
    fn a_head_is_spelt_field_by_field() {
        let mut out = Vec::new();
        Head::new(&mut out, Status::PartialContent, &clock(), Persistence::Keep)
            .field("Content-Type", b"text/plain")
            .range(&(5..10), 20)
            .length(5)
            .end();
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            "HTTP/1.1 206 Partial Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Type: text/plain\r\n\
             Content-Range: bytes 5-9/20\r\nContent-Length: 5\r\n\r\n"
        );
    }

    #[test]
    fn a_value_cannot_end_the_head() {
        let mut out = Vec::new();
        Head::new(&mut out, Status::MovedPermanently, &clock(), Persistence::Keep)
            .field("Location", b"/a\r\nSet-Cookie: x\0")
            .end();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("Location: /a  Set-Cookie: x \r\n"), "{text:?}");
    }

    #[test]
    fn the_date_is_patched_in_place() {
        for status in [Status::Ok, Status::PartialContent, Status::NotModified] {
            let mut clock = clock();
            let mut old = Vec::new();
            Head::new(&mut old, status, &clock, Persistence::Keep).length(1).end();
            clock.set(784_111_999);
            let mut new = Vec::new();
            Head::new(&mut new, status, &clock, Persistence::Keep).length(1).end();
            patch_date(&mut old, status, &clock);
            assert_eq!(old, new);
        }
    }

    #[test]
    fn errors_carry_what_their_status_demands() {
        let text = |status, head_only| {
            let mut out = Vec::new();
            error(&mut out, status, &clock(), Persistence::Close, head_only);
            String::from_utf8(out).unwrap()
        };
        let not_allowed = text(Status::MethodNotAllowed, false);
        assert!(not_allowed.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
        assert!(not_allowed.contains("\r\nAllow: GET, HEAD\r\n"));
        assert!(not_allowed.contains("\r\nConnection: close\r\n"));
        assert!(text(Status::ServiceUnavailable, false).contains("\r\nRetry-After: 1\r\n"));
        let whole = text(Status::NotFound, false);
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "404 Not Found\n");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(text(Status::NotFound, true).ends_with("\r\n\r\n"));
    }

    #[test]
    fn an_http_1_0_client_is_told_that_the_connection_stays() {
        let mut out = Vec::new();
        Head::new(&mut out, Status::Ok, &clock(), Persistence::KeepExplicit).end();
        assert!(String::from_utf8(out).unwrap().contains("\r\nConnection: keep-alive\r\n"));
        assert!(Persistence::KeepExplicit.keeps() && !Persistence::Close.keeps());
    }
}

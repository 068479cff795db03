//! Validators of a file and the preconditions that compare against them (RFC 9110 sections 8.8 and 13).

use super::request::Request;
use super::response::{DATE_LEN, http_date};
use crate::files::Meta;
use std::io::Write as _;

/// A change younger than this may be followed by another within the same tick of the file
/// system's clock, so the tag made from the time of change is only a weak one, in milliseconds.
const TICK_MS: i64 = 100;

/// Longest tag: `W/` and three times 16 hexadecimal digits, with two dashes and two quotes.
const TAG_LEN: usize = 54;

/// Entity tag and modification date of one state of a file.
#[derive(Clone, Copy, Debug)]
pub struct Validators {
    tag: [u8; TAG_LEN],
    tag_len: u8,
    modified: i64,
    modified_text: Option<[u8; DATE_LEN]>,
}

/// What the preconditions of a request come to (section 13.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// The client's copy is current: 304.
    NotModified,
    /// The client asked for another state of the file: 412.
    Failed,
}

impl Validators {
    /// From the file's inode, size and time of change to the nanosecond. `now_ms` is the wall
    /// clock in milliseconds since the epoch: a file changed within the last tick gets a weak tag
    /// (section 8.8.1), and a time of change in the future is shown as now (section 8.8.2.1).
    pub fn new(meta: &Meta, now_ms: i64) -> Self {
        let mut tag = [0; TAG_LEN];
        let changed_ms = meta.mtime.saturating_mul(1000).saturating_add(i64::from(meta.mtime_nsec / 1_000_000));
        let weak = if now_ms.saturating_sub(changed_ms) < TICK_MS { "W/" } else { "" };
        let nanos = i128::from(meta.mtime) * 1_000_000_000 + i128::from(meta.mtime_nsec);
        let mut rest = &mut tag[..];
        // Sixteen digits hold every inode and size, and times up to the year 2554; later ones
        // wrap, which keeps tags of one file apart all the same.
        let _ = write!(rest, "{weak}\"{:x}-{:x}-{:x}\"", meta.ino, meta.size, nanos as u64);
        let tag_len = (TAG_LEN - rest.len()) as u8;
        let modified = meta.mtime.min(now_ms / 1000);
        Validators { tag, tag_len, modified, modified_text: http_date(modified) }
    }

    /// The value of `ETag`.
    pub fn tag(&self) -> &[u8] {
        &self.tag[..usize::from(self.tag_len)]
    }

    /// The value of `Last-Modified`; `None` for times that an HTTP date can't spell.
    pub fn last_modified(&self) -> Option<&[u8; DATE_LEN]> {
        self.modified_text.as_ref()
    }

    /// Weighs `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since`, in the
    /// order of section 13.2.2. Dates that don't parse, or are given twice, are ignored.
    pub fn weigh(&self, request: &Request<'_>) -> Verdict {
        let mut matches = request.values("if-match").peekable();
        if matches.peek().is_some() {
            if !matches.any(|list| self.listed(list, strong_eq)) {
                return Verdict::Failed;
            }
        } else if let Some(date) = request.single("if-unmodified-since").and_then(date)
            && self.modified > date
        {
            return Verdict::Failed;
        }
        let mut none_matches = request.values("if-none-match").peekable();
        if none_matches.peek().is_some() {
            if none_matches.any(|list| self.listed(list, weak_eq)) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = request.single("if-modified-since").and_then(date)
            && self.modified <= date
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether `If-Range` lets the range stand: absent, the same strong tag, or exactly the date of
    /// a change that is at least two seconds past, so that no second change shares it
    /// (sections 13.1.5 and 8.8.2.2). `now` in seconds since the epoch.
    pub fn range_stands(&self, request: &Request<'_>, now: i64) -> bool {
        let mut values = request.values("if-range");
        match (values.next(), values.next()) {
            (None, _) => true,
            (Some(tag), None) if tag.starts_with(b"\"") || tag.starts_with(b"W/") => strong_eq(tag, self.tag()),
            (Some(value), None) => date(value).is_some_and(|date| date == self.modified && now.saturating_sub(date) >= 2),
            (Some(_), Some(_)) => false,
        }
    }

    /// Whether a list of tags holds ours, or is `*`.
    fn listed(&self, mut list: &[u8], eq: fn(&[u8], &[u8]) -> bool) -> bool {
        if list == b"*" {
            return true;
        }
        loop {
            let skip = list.iter().take_while(|b| matches!(b, b' ' | b'\t' | b',')).count();
            list = &list[skip..];
            let quote = if list.starts_with(b"W/\"") { 3 } else { 1 };
            if list.get(quote - 1) != Some(&b'"') {
                return false;
            }
            let Some(end) = memchr::memchr(b'"', &list[quote..]) else {
                return false;
            };
            let (tag, rest) = list.split_at(quote + end + 1);
            if eq(tag, self.tag()) {
                return true;
            }
            list = rest;
        }
    }
}

/// Strong comparison (section 8.8.3.2): equal, and neither is weak.
fn strong_eq(a: &[u8], b: &[u8]) -> bool {
    a == b && !a.starts_with(b"W/")
}

/// Weak comparison: equal but for weakness.
fn weak_eq(a: &[u8], b: &[u8]) -> bool {
    a.strip_prefix(b"W/").unwrap_or(a) == b.strip_prefix(b"W/").unwrap_or(b)
}

/// Seconds since the epoch of an HTTP date in any of its three forms.
fn date(value: &[u8]) -> Option<i64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::{Limits, Reader, Step};

    const MODIFIED: i64 = 784_111_777;
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn meta() -> Meta {
        Meta { dev: 1, ino: 0xabc, size: 0x10, mtime: MODIFIED, mtime_nsec: 5, ctime: MODIFIED, ctime_nsec: 5 }
    }

    fn validators() -> Validators {
        Validators::new(&meta(), (MODIFIED + 100) * 1000)
    }

    fn with<T>(fields: &str, then: impl FnOnce(&Request<'_>) -> T) -> T {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut reader = Reader::new(Limits::default());
        match reader.next(text.as_bytes()) {
            (_, Step::Request(request)) => then(&request),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn weigh(fields: &str) -> Verdict {
        with(fields, |request| validators().weigh(request))
    }

    fn tag() -> String {
        String::from_utf8(validators().tag().to_vec()).unwrap()
    }

    #[test]
    fn a_tag_names_inode_size_and_time() {
        let nanos = MODIFIED * 1_000_000_000 + 5;
        assert_eq!(tag(), format!("\"abc-10-{nanos:x}\""));
        for other in [
            Meta { ino: 1, ..meta() },
            Meta { size: 1, ..meta() },
            Meta { mtime_nsec: 6, ..meta() },
            Meta { mtime: MODIFIED - 1, ..meta() },
        ] {
            assert_ne!(Validators::new(&other, (MODIFIED + 100) * 1000).tag(), validators().tag());
        }
        let longest = Meta { ino: u64::MAX, size: u64::MAX, mtime: -1, mtime_nsec: 0, ..meta() };
        assert_eq!(Validators::new(&longest, -1000).tag().len(), TAG_LEN);
    }

    #[test]
    fn a_tag_is_weak_while_a_second_change_could_share_it() {
        assert!(Validators::new(&meta(), MODIFIED * 1000 + 50).tag().starts_with(b"W/\""));
        assert!(Validators::new(&meta(), MODIFIED * 1000 + 150).tag().starts_with(b"\""));
        assert!(Validators::new(&meta(), 0).tag().starts_with(b"W/\""), "changed in the future");
    }

    #[test]
    fn last_modified_is_never_in_the_future() {
        assert_eq!(validators().last_modified().unwrap(), DATE.as_bytes());
        let early = Validators::new(&meta(), (MODIFIED - 1) * 1000);
        assert_eq!(early.last_modified().unwrap(), EARLIER.as_bytes());
        let before = Meta { mtime: -5, ..meta() };
        assert_eq!(Validators::new(&before, 0).last_modified(), None);
    }

    #[test]
    fn if_none_match_compares_weakly_and_takes_lists() {
        let tag = tag();
        assert_eq!(weigh(&format!("If-None-Match: {tag}\r\n")), Verdict::NotModified);
        assert_eq!(weigh(&format!("If-None-Match: W/{tag}\r\n")), Verdict::NotModified);
        assert_eq!(weigh(&format!("If-None-Match: \"a\", , W/\"b,c\",{tag}\r\n")), Verdict::NotModified);
        assert_eq!(weigh(&format!("If-None-Match: \"a\"\r\nIf-None-Match: {tag}\r\n")), Verdict::NotModified);
        assert_eq!(weigh("If-None-Match: *\r\n"), Verdict::NotModified);
        assert_eq!(weigh("If-None-Match: \"a\"\r\n"), Verdict::Proceed);
        assert_eq!(weigh("If-None-Match: \"a\r\n"), Verdict::Proceed);
        assert_eq!(weigh("If-None-Match: a\r\n"), Verdict::Proceed);
        assert_eq!(weigh("If-None-Match:\r\n"), Verdict::Proceed);
        // A date beside it is not looked at.
        assert_eq!(weigh(&format!("If-None-Match: \"a\"\r\nIf-Modified-Since: {DATE}\r\n")), Verdict::Proceed);
    }

    #[test]
    fn if_modified_since_compares_dates() {
        assert_eq!(weigh(&format!("If-Modified-Since: {DATE}\r\n")), Verdict::NotModified);
        assert_eq!(weigh(&format!("If-Modified-Since: {LATER}\r\n")), Verdict::NotModified);
        assert_eq!(weigh(&format!("If-Modified-Since: {EARLIER}\r\n")), Verdict::Proceed);
        assert_eq!(weigh("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n"), Verdict::NotModified);
        assert_eq!(weigh("If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n"), Verdict::NotModified);
        assert_eq!(weigh("If-Modified-Since: yesterday\r\n"), Verdict::Proceed);
        assert_eq!(weigh(&format!("If-Modified-Since: {DATE}\r\nIf-Modified-Since: {DATE}\r\n")), Verdict::Proceed);
    }

    #[test]
    fn preconditions_for_another_state_fail() {
        let tag = tag();
        assert_eq!(weigh("If-Match: \"a\"\r\n"), Verdict::Failed);
        assert_eq!(weigh(&format!("If-Match: W/{tag}\r\n")), Verdict::Failed);
        assert_eq!(weigh(&format!("If-Match: \"a\", {tag}\r\n")), Verdict::Proceed);
        assert_eq!(weigh("If-Match: *\r\n"), Verdict::Proceed);
        assert_eq!(weigh(&format!("If-Match: *\r\nIf-None-Match: {tag}\r\n")), Verdict::NotModified);
        assert_eq!(weigh(&format!("If-Unmodified-Since: {EARLIER}\r\n")), Verdict::Failed);
        assert_eq!(weigh(&format!("If-Unmodified-Since: {DATE}\r\n")), Verdict::Proceed);
        assert_eq!(weigh(&format!("If-Match: *\r\nIf-Unmodified-Since: {EARLIER}\r\n")), Verdict::Proceed);
    }

    #[test]
    fn if_range_demands_the_very_same_state() {
        let stands = |fields: &str, now| with(fields, |request| validators().range_stands(request, now));
        let now = MODIFIED + 100;
        let tag = tag();
        assert!(stands("", now));
        assert!(stands(&format!("If-Range: {tag}\r\n"), now));
        assert!(!stands(&format!("If-Range: W/{tag}\r\n"), now));
        assert!(!stands("If-Range: \"a\"\r\n", now));
        assert!(stands(&format!("If-Range: {DATE}\r\n"), now));
        assert!(!stands(&format!("If-Range: {LATER}\r\n"), now));
        assert!(!stands(&format!("If-Range: {EARLIER}\r\n"), now));
        assert!(!stands(&format!("If-Range: {DATE}\r\n"), MODIFIED + 1), "too young for a date to be strong");
        assert!(!stands("If-Range: nonsense\r\n", now));
        assert!(!stands(&format!("If-Range: {tag}\r\nIf-Range: {tag}\r\n"), now));
    }
}

//! Tests of the request reader: what it accepts, what it refuses, and that pieces don't matter.

use super::*;
use proptest::prelude::*;

/// What the reader made of some input, in owned form.
#[derive(Debug, PartialEq, Clone)]
enum Seen {
    Request { head: bool, path: String, query: Option<String>, host: Option<String>, keep: bool },
    Continue,
    Reject(u16),
}

fn owned(step: Step<'_>) -> Option<Seen> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    match step {
        Step::More => None,
        Step::Continue => Some(Seen::Continue),
        Step::Reject { reject, .. } => Some(Seen::Reject(reject.status.code())),
        Step::Request(r) => Some(Seen::Request {
            head: r.method == Method::Head,
            path: text(r.path),
            query: r.query.map(text),
            host: r.host.map(text),
            keep: r.persistence.keeps(),
        }),
    }
}

/// Runs `pieces` through one reader, as a connection would.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut reader = Reader::new(Limits::default());
    let mut seen = Vec::new();
    for piece in pieces {
        let mut at = 0;
        loop {
            let (used, step) = reader.next(&piece[at..]);
            at += used;
            match owned(step) {
                None => break,
                Some(Seen::Reject(status)) => {
                    seen.push(Seen::Reject(status));
                    return seen;
                }
                Some(other) => seen.push(other),
            }
        }
        assert_eq!(at, piece.len(), "More is only said when all has been taken");
    }
    seen
}

fn one(text: &str) -> Seen {
    let seen = run([text.as_bytes()]);
    assert_eq!(seen.len(), 1, "{text:?} gave {seen:?}");
    seen[0].clone()
}

fn status(text: &str) -> u16 {
    match one(text) {
        Seen::Reject(status) => status,
        other => panic!("{text:?} was taken: {other:?}"),
    }
}

#[test]
fn a_plain_request_is_taken_apart() {
    assert_eq!(
        one("GET /a%20b?sort=name HTTP/1.1\r\nHost: example:8080\r\nUser-Agent: x\r\n\r\n"),
        Seen::Request {
            head: false,
            path: "/a%20b".into(),
            query: Some("sort=name".into()),
            host: Some("example:8080".into()),
            keep: true
        }
    );
    assert!(matches!(one("HEAD / HTTP/1.1\r\nhost:\r\n\r\n"), Seen::Request { head: true, .. }));
}

#[test]
fn the_absolute_form_overrides_host() {
    let Seen::Request { path, query, host, .. } = one("GET HTTP://a.example:81?x HTTP/1.1\r\nHost: b\r\n\r\n") else {
        panic!("refused")
    };
    assert_eq!((path.as_str(), query.as_deref(), host.as_deref()), ("/", Some("x"), Some("a.example:81")));
    assert_eq!(status("GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n"), 400);
    assert_eq!(status("GET ftp://a/x HTTP/1.1\r\nHost: b\r\n\r\n"), 400);
    assert_eq!(status("GET http://u@a/x HTTP/1.1\r\nHost: b\r\n\r\n"), 400);
    assert_eq!(status("GET x HTTP/1.1\r\nHost: b\r\n\r\n"), 400);
}

#[test]
fn the_connection_field_decides_what_follows() {
    let keeps = |text: &str| matches!(one(text), Seen::Request { keep: true, .. });
    assert!(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
    assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

#[test]
fn ambiguous_framing_is_refused() {
    let post = |fields: &str| status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400);
    assert_eq!(post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400);
    assert_eq!(post("Content-Length: 3\r\nContent-Length: 3\r\n"), 400);
    assert_eq!(post("Content-Length: 3, 3\r\n"), 400);
    assert_eq!(post("Content-Length: +3\r\n"), 400);
    assert_eq!(post("Content-Length: -3\r\n"), 400);
    assert_eq!(post("Content-Length: 0x3\r\n"), 400);
    assert_eq!(post("Content-Length:\r\n"), 400);
    assert_eq!(post("Content-Length : 3\r\n"), 400);
    assert_eq!(post("Content-Length: 99999999999999999999999\r\n"), 413);
    assert_eq!(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400);
    assert_eq!(post("Transfer-Encoding: chunked, gzip\r\n"), 400);
    assert_eq!(post("Transfer-Encoding: gzip, chunked\r\n"), 501);
    assert_eq!(post("Transfer-Encoding: xchunked\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn malformed_heads_are_refused() {
    for (text, code) in [
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTX/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 405),
        ("DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n", 413),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\r\n\r\n", 400),
    ] {
        assert_eq!(status(text), code, "{text:?}");
    }
}

#[test]
fn limits_are_told_apart() {
    let target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n - 1));
    assert!(matches!(one(&target(8192)), Seen::Request { .. }));
    assert_eq!(status(&target(8193)), 414);
    assert_eq!(status(&target(100_000)), 414);
    assert_eq!(status(&"G".repeat(9000)), 414, "a line without an end");
    let field = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(n));
    assert!(matches!(one(&field(16_000)), Seen::Request { .. }));
    assert_eq!(status(&field(16_384)), 431);
    assert_eq!(status(&field(100_000)), 431);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(17_000))), 431, "a head without an end");
    let many = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(n));
    assert!(matches!(one(&many(MAX_FIELDS - 1)), Seen::Request { .. }));
    assert_eq!(status(&many(MAX_FIELDS)), 431);
    assert_eq!(status(&"\r\n".repeat(10_000)), 431, "empty lines are let pass, but not for ever");
}

#[test]
fn bodies_are_read_and_forgotten() {
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let seen = run([format!("GET /a HTTP/1.1\r\nHost: a\r\n{body}{next}").as_bytes()]);
        let paths: Vec<_> = seen
            .iter()
            .map(|s| match s {
                Seen::Request { path, .. } => path.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(paths, ["/a", "/next"]);
    }
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n"), 413);
}

#[test]
fn an_expectation_is_met_once_and_only_when_the_body_is_held_back() {
    let head = &b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"[..];
    let seen = run([head, b"hi"]);
    assert!(matches!(seen[..], [Seen::Continue, Seen::Request { .. }]), "{seen:?}");
    let together = [head, b"hi"].concat();
    assert!(matches!(run([&together[..]])[..], [Seen::Request { .. }]));
    // HTTP/1.0 knows no interim responses.
    let old = b"GET / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert!(run([&old[..]]).is_empty());
}

#[test]
fn the_reader_says_what_it_waits_for() {
    let mut reader = Reader::new(Limits::default());
    assert_eq!(reader.waiting(), Waiting::Request);
    let _ = reader.next(b"GET / HT");
    assert_eq!(reader.waiting(), Waiting::Head);
    let _ = reader.next(b"TP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(reader.waiting(), Waiting::Body);
    assert!(matches!(reader.next(b"hi"), (2, Step::Request(_))));
    assert!(matches!(reader.next(b""), (0, Step::More)));
    assert_eq!(reader.waiting(), Waiting::Request);
}

#[test]
fn an_uncut_request_is_not_copied() {
    let mut reader = Reader::new(Limits::default());
    let text = b"GET /path HTTP/1.1\r\nHost: a\r\n\r\n";
    let (used, Step::Request(request)) = reader.next(text) else { panic!("not taken") };
    assert_eq!(used, text.len());
    assert!(text.as_ptr_range().contains(&request.path.as_ptr()));
    assert_eq!(request.line, b"GET /path HTTP/1.1");
    assert_eq!(reader.carry.capacity(), 0);
}

#[test]
fn fields_are_found_by_name() {
    let mut reader = Reader::new(Limits::default());
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nIF-None-Match: \"1\" \r\nif-none-match:\"2\"\r\nRange: bytes=0-1\r\n\r\n";
    let (_, Step::Request(request)) = reader.next(text) else { panic!("not taken") };
    assert!(request.conditional && request.ranged);
    assert_eq!(request.values("if-none-match").collect::<Vec<_>>(), [b"\"1\"", b"\"2\""]);
    assert_eq!(request.single("if-none-match"), None);
    assert_eq!(request.single("range"), Some(&b"bytes=0-1"[..]));
    assert_eq!(request.single("rang"), None);
}

#[test]
fn a_refusal_shows_the_request_line() {
    let mut reader = Reader::new(Limits::default());
    let (_, Step::Reject { line, .. }) = reader.next(b"\r\nGET /x HTTP/3.0\r\nHost: a\r\n\r\n") else { panic!("taken") };
    assert_eq!(line, b"GET /x HTTP/3.0");
}

/// A stream of requests, good and bad, as text.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let request = prop_oneof![
        Just("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Just("\r\nHEAD /x?y HTTP/1.1\r\nHost: b\r\nRange: bytes=1-\r\n\r\n"),
        Just("GET /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"),
        Just("GET /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n"),
        Just("GET /d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        Just("GET / HTTP/1.1\r\nHost: a\r\nX: a\n\r\n"),
        Just("POST / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    proptest::collection::vec(request, 1..6).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn pieces_do_not_matter(text in streams(), cuts in proptest::collection::vec(0usize..400, 0..12)) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&c| c < text.len()).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        prop_assert_eq!(run(pieces), run([&text[..]]));
        prop_assert_eq!(run(text.chunks(1)), run([&text[..]]));
    }

    #[test]
    fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        run([&text[..]]);
        run(text.chunks(3));
    }
}

//! Tests of the server's decisions: request text in, answer text out, files on a real disk.

use super::*;
use crate::files::cache::Settings;
use crate::files::entry::{SMALL, fetch};
use crate::files::root::{Root, Wait};
use crate::http::request::{Limits, Reader, Step};
use crate::listing::Sort;
use std::time::{Duration, SystemTime};

struct World {
    dir: tempfile::TempDir,
    service: Service,
}

fn settings() -> Settings {
    Settings { capacity: 16.try_into().unwrap(), revalidate: Duration::from_secs(1), hidden: false, simulated: false }
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let root = Arc::new(Root::open(dir.path()).unwrap());
    let cache = Cache::new(root, settings(), Instant::now()).unwrap();
    let hosts = Arc::new(Hosts::new(&[], [Some("127.0.0.1")]));
    World { dir, service: Service::new(cache, hosts) }
}

/// A response taken apart.
#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.head.lines().filter_map(|line| line.split_once(": ")).filter(|(n, _)| *n == name);
        let value = found.next().map(|(_, value)| value);
        assert!(found.next().is_none(), "{name} twice in {}", self.head);
        value
    }
}

impl World {
    fn write(&self, name: &str, content: &[u8]) {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }

    /// The whole way of one request, as the connection loop goes it.
    fn send(&mut self, line: &str, fields: &str) -> Response {
        let text = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        self.send_raw(&text)
    }

    fn send_raw(&mut self, text: &str) -> Response {
        let mut reader = Reader::new(Limits::default());
        let (_, Step::Request(request)) = reader.next(text.as_bytes()) else { panic!("refused: {text}") };
        let mut out = b"earlier".to_vec();
        self.service.turn();
        let now = Instant::now();
        let mut outcome = self.service.ask(&request, now, &mut out);
        let path = self.service.path().to_vec();
        let root = self.service.cache().root().clone();
        if let Outcome::Fetch = outcome {
            let fetched = fetch(&root, &path, Wait::Allowed);
            outcome = self.service.fetched(&request, &path, now, fetched, &mut out);
        }
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::List => {
                let page = listing::page(&root, &path, settings(), Sort::from_query(request.query));
                self.service.listed(&request, page, &mut out)
            }
            Outcome::Fetch => panic!("a second fetch"),
        };
        match &answer.payload {
            Payload::Written => {}
            Payload::Shared(bytes) => out.extend_from_slice(bytes),
            Payload::File { head, entry, range } => {
                out.extend_from_slice(head.as_deref().unwrap_or_default());
                out.extend_from_slice(&entry.file.as_ref().unwrap().read(range.clone()));
            }
        }
        let out = out.strip_prefix(b"earlier").expect("what was written before stays");
        let end = memchr::memmem::find(out, b"\r\n\r\n").unwrap();
        let (head, body) = (String::from_utf8(out[..end].to_vec()).unwrap(), out[end + 4..].to_vec());
        let status = head[9..12].parse().unwrap();
        let response = Response { status, head, body };
        assert_eq!(status, answer.status.code());
        assert_eq!(response.body.len() as u64, answer.bytes);
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        assert!(response.field("Date").is_some());
        match (request.method, status, response.field("Content-Length")) {
            (_, 304, length) => assert_eq!((length, response.body.len()), (None, 0)),
            (Method::Head, _, length) => assert!(length.is_some() && response.body.is_empty()),
            (Method::Get, _, length) => {
                assert_eq!(length.unwrap(), response.body.len().to_string())
            }
        }
        response
    }
}

#[test]
fn get_and_head_say_the_same() {
    let mut world = world();
    world.write("small.txt", b"hello");
    world.write("large.bin", &vec![7; SMALL as usize + 1]);
    for name in ["/small.txt", "/large.bin", "/nothing", "/"] {
        for keep in ["", "Connection: close\r\n"] {
            let get = world.send(&format!("GET {name}"), keep);
            let head = world.send(&format!("HEAD {name}"), keep);
            let without_date = |r: &Response| r.head.lines().filter(|l| !l.starts_with("Date")).collect::<String>();
            assert_eq!(without_date(&get), without_date(&head), "{name}");
            assert_eq!(get.field("Connection"), (!keep.is_empty()).then_some("close"));
        }
    }
    assert_eq!(world.send("GET /small.txt", "").body, b"hello");
    assert_eq!(world.send("GET /small.txt", "").field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(world.send("GET /large.bin", "").body.len(), SMALL as usize + 1);
}

#[test]
fn an_http_1_0_client_gets_its_connection_back() {
    let mut world = world();
    world.write("a", b"hello");
    let kept = world.send_raw("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((kept.field("Connection"), &kept.body[..]), (Some("keep-alive"), &b"hello"[..]));
    assert_eq!(world.send_raw("GET /a HTTP/1.0\r\n\r\n").field("Connection"), Some("close"));
}

#[test]
fn ranges_of_small_and_of_large_files() {
    let mut world = world();
    let large: Vec<u8> = (0..40_000u32).map(|n| n as u8).collect();
    world.write("large", &large);
    world.write("small", &large[..100]);
    for (name, size) in [("small", 100usize), ("large", 40_000)] {
        let get = |world: &mut World, range: &str| world.send(&format!("GET /{name}"), &format!("Range: {range}\r\n"));
        for (range, part) in [("bytes=0-0", 0..1), ("bytes=5-49", 5..50), ("bytes=90-", 90..size), ("bytes=-7", size - 7..size)] {
            let response = get(&mut world, range);
            assert_eq!(response.status, 206, "{range}");
            assert_eq!(response.body, large[part.clone()]);
            let expected = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            assert_eq!(response.field("Content-Range"), Some(&expected[..]));
            assert!(response.field("ETag").is_some() && response.field("Last-Modified").is_some());
        }
        for range in ["bytes=-0", &format!("bytes={size}-"), "bytes=99999999999999999999999-"] {
            let response = get(&mut world, range);
            assert_eq!((response.status, response.field("Content-Range")), (416, Some(&format!("bytes */{size}")[..])));
        }
        for range in ["bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "nonsense"] {
            assert_eq!(get(&mut world, range).status, 200, "{range}");
        }
        // Defined for GET only, and ambiguous when given twice.
        assert_eq!(world.send(&format!("HEAD /{name}"), "Range: bytes=0-0\r\n").status, 200);
        assert_eq!(world.send(&format!("GET /{name}"), "Range: bytes=0-0\r\nRange: bytes=1-1\r\n").status, 200);
    }
}

#[test]
fn copies_are_validated() {
    let mut world = world();
    world.write("a", b"hello");
    let first = world.send("GET /a", "");
    let (tag, date) = (first.field("ETag").unwrap(), first.field("Last-Modified").unwrap());
    for fields in [format!("If-None-Match: {tag}\r\n"), format!("If-Modified-Since: {date}\r\n")] {
        let response = world.send("GET /a", &fields);
        assert_eq!(response.status, 304);
        assert_eq!(response.field("ETag"), Some(tag));
    }
    assert_eq!(world.send("GET /a", "If-Match: \"other\"\r\n").status, 412);
    assert_eq!(world.send("GET /a", &format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n")).body, b"el");
    assert_eq!(world.send("GET /a", &format!("Range: bytes=1-2\r\nIf-Range: {date}\r\n")).body, b"el");
    world.write("a", b"other");
    assert_eq!(world.send("GET /a", &format!("If-None-Match: {tag}\r\n")).body, b"other");
    assert_eq!(world.send("GET /a", &format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n")).body, b"other");
}

#[test]
fn a_directory_is_redirected_to_within_this_server() {
    let mut world = world();
    // No file of Windows has such a name.
    let injected = cfg!(unix).then_some("a b\r\nX-Injected: 1");
    for name in ["sub", "evil.example"].into_iter().chain(injected) {
        std::fs::create_dir(world.dir.path().join(name)).unwrap();
    }
    let injecting = ("/a%20b%0D%0AX-Injected:%201", "/a%20b%0D%0AX-Injected%3A%201/");
    for (path, location) in [
        ("/sub", "/sub/"),
        ("/sub?sort=size&order=desc", "/sub/?sort=size&order=desc"),
        ("//evil.example", "/evil.example/"),
        ("///evil.example?x", "/evil.example/?x"),
    ]
    .into_iter()
    .chain(injected.map(|_| injecting))
    {
        let response = world.send(&format!("GET {path}"), "");
        assert_eq!((response.status, response.field("Location")), (301, Some(location)), "{path}");
        assert_eq!(response.field("X-Injected"), None);
    }
}

#[test]
fn a_listing_allows_nothing_but_itself() {
    let mut world = world();
    let (name, shown) = if cfg!(unix) { ("<b>.txt", "&lt;b&gt;.txt") } else { ("a&b.txt", "a&amp;b.txt") };
    world.write(name, b"hello");
    let response = world.send("GET /?sort=size", "");
    assert_eq!((response.status, response.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert!(response.field("Content-Security-Policy").unwrap().starts_with("default-src 'none'"));
    assert!(String::from_utf8(response.body).unwrap().contains(shown));
    world.write("index.html", b"index");
    assert_eq!(world.send("GET /", "").body, b"index");
}

#[test]
fn a_foreign_name_is_misdirected() {
    let mut world = world();
    world.write("a", b"hello");
    assert_eq!(world.send_raw("GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 421);
    assert_eq!(world.send_raw("GET /a HTTP/1.1\r\nHost:\r\n\r\n").status, 421);
    assert_eq!(world.send_raw("GET http://evil.example/a HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 421);
    assert_eq!(world.send_raw("GET http://localhost/a HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 200);
}

#[test]
fn the_plain_case_is_shared_and_writes_nothing() {
    let mut world = world();
    world.write("a", b"hello");
    let text = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut reader = Reader::new(Limits::default());
    let mut out = Vec::new();
    let mut shared = Vec::new();
    // Where nothing is opened in place, a first request has it held.
    world.send("GET /a", "");
    for _ in 0..2 {
        let (_, Step::Request(request)) = reader.next(text) else { panic!("refused") };
        match world.service.ask(&request, Instant::now(), &mut out) {
            Outcome::Answer(Answer { payload: Payload::Shared(bytes), .. }) => shared.push(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert!(Arc::ptr_eq(&shared[0], &shared[1]) && out.is_empty());
}

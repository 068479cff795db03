//! Tests of the listing: order, escaping, and what is left out.

use super::*;
use proptest::prelude::*;

fn file(name: &str, size: u64, modified: i64) -> Item {
    Item { name: name.into(), kind: Kind::File, size, modified }
}

fn directory(name: &str, modified: i64) -> Item {
    Item { name: name.into(), kind: Kind::Directory, size: 4096, modified }
}

fn page(path: &[u8], items: Vec<Item>, query: &str) -> String {
    let mut out = Vec::new();
    render(path, Items { items, truncated: false }, Sort::from_query(Some(query.as_bytes())), &mut out);
    String::from_utf8(out).expect("a page is UTF-8, whatever the names are")
}

/// The links of the rows, in order, without the one upwards.
fn links(page: &str) -> Vec<&str> {
    let rows = page.split("<tr><td><a href=\"./").skip(1);
    rows.map(|row| row.split('"').next().unwrap()).collect()
}

#[test]
fn each_column_sorts_both_ways_with_directories_first() {
    let items = vec![file("b", 3, 10), file("A", 1, 30), file("c", 2, 20), directory("z", 5), directory("y", 6)];
    for (query, order) in [
        ("", ["y/", "z/", "A", "b", "c"]),
        ("sort=name&order=asc", ["y/", "z/", "A", "b", "c"]),
        ("sort=name&order=desc", ["z/", "y/", "c", "b", "A"]),
        ("sort=size&order=asc", ["y/", "z/", "A", "c", "b"]),
        ("order=desc&sort=size", ["y/", "z/", "b", "c", "A"]),
        ("sort=date", ["z/", "y/", "b", "c", "A"]),
        ("sort=date&order=desc", ["y/", "z/", "A", "c", "b"]),
        ("sort=%3Cscript%3E&order=x&&=", ["y/", "z/", "A", "b", "c"]),
    ] {
        assert_eq!(links(&page(b"/d/", items.clone(), query)), order, "{query}");
    }
}

#[test]
fn headings_lead_to_the_other_order() {
    let default = page(b"/", vec![], "");
    assert!(default.contains("<th aria-sort=\"ascending\"><a href=\"?sort=name&amp;order=desc\">Name \u{2191}</a>"));
    assert!(default.contains("<a href=\"?sort=size&amp;order=desc\">Size</a>"));
    let by_size = page(b"/", vec![], "sort=size&order=desc");
    assert!(by_size.contains("aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\">Size \u{2193}</a>"));
    assert!(by_size.contains("<a href=\"?sort=name&amp;order=asc\">Name</a>"));
}

#[test]
fn names_are_escaped_in_text_and_in_links() {
    for (name, link, shown) in [
        (&b"<script>alert(1)</script>"[..], "%3Cscript%3Ealert%281%29%3C/script%3E", "&lt;script&gt;alert(1)"),
        (b"a\"b'c&d", "a%22b%27c%26d", "a&quot;b&#39;c&amp;d"),
        (b"new\nline\x7f", "new%0Aline%7F", "new\u{240a}line\u{2421}"),
        (b"\xff\xfe", "%FF%FE", "\u{fffd}\u{fffd}"),
        (b"javascript:alert(1)", "javascript%3Aalert%281%29", "javascript:alert(1)"),
        (b"?sort=size#x%41", "%3Fsort%3Dsize%23x%2541", "?sort=size#x%41"),
        (b"\xc2\x9b", "%C2%9B", "\u{fffd}"),
    ] {
        let item = Item { name: name.to_vec(), kind: Kind::File, size: 1, modified: 0 };
        let page = page(b"/", vec![item], "");
        assert_eq!(links(&page), [link]);
        assert!(page.contains(&format!("\"><bdi>{shown}")), "{page}");
        assert!(!page.contains("<script"));
    }
}

#[test]
fn the_path_is_a_row_of_links() {
    let page = page(b"/a b/<c>/", vec![], "");
    assert!(page.contains("<title>/a b/&lt;c&gt;/</title>"));
    assert!(page.contains("<a href=\"/\">/</a> <a href=\"/a%20b/\"><bdi>a b</bdi>/</a>"));
    assert!(page.contains("<a href=\"/a%20b/%3Cc%3E/\"><bdi>&lt;c&gt;</bdi>/</a></h1>"));
    assert!(page.contains("<a href=\"../\">../</a>"));
}

#[test]
fn sizes_and_dates_are_legible() {
    for (bytes, shown) in [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (10 << 10, "10.0 KiB"),
        (100 << 20, "100 MiB"),
        (1 << 30, "1.00 GiB"),
        (u64::MAX, "16.0 EiB"),
    ] {
        assert_eq!(human_size(bytes), shown);
    }
    let page = page(b"/", vec![file("a", 5, 784_111_777), file("b", 0, -5), file("c", 0, i64::MAX)], "");
    assert!(page.contains("<time datetime=\"1994-11-06T08:49:37Z\">1994-11-06 08:49</time>"));
    assert!(page.contains("title=\"5 bytes\">5 B"));
    assert!(page.contains("0 directories, 3 files"));
    assert_eq!(page.matches("<time").count(), 1);
}

#[cfg(unix)]
#[test]
fn only_what_would_be_served_is_listed() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), "12345").unwrap();
    std::fs::write(at(".hidden"), "").unwrap();
    std::fs::create_dir(at("sub")).unwrap();
    std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff\n<")), "").unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    std::os::unix::fs::symlink("sub", at("to-sub")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("out")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let names = |hidden| {
        let mut items = read(&root, b"/", hidden).unwrap().items;
        items.sort_by(|a, b| a.name.cmp(&b.name));
        items.iter().map(|i| (i.name.clone(), i.kind == Kind::Directory)).collect::<Vec<_>>()
    };
    let expected = [(&b"file"[..], false), (b"link", false), (b"sub", true), (b"to-sub", true), (b"\xff\n<", false)];
    assert_eq!(names(false), expected.map(|(name, dir)| (name.to_vec(), dir)));
    assert_eq!(names(true).len(), expected.len() + 1);
    let link = read(&root, b"/", false).unwrap().items.into_iter().find(|i| i.name == b"link").unwrap();
    assert_eq!(link.size, 5, "the file's size, not the link's");
    assert!(read(&root, b"/to-sub/", false).unwrap().items.is_empty());
    assert!(matches!(read(&root, b"/file", false), Err(OpenError::NotFound)));
    assert!(matches!(read(&root, b"/gone/", false), Err(OpenError::NotFound)));
}

#[cfg(windows)]
#[test]
fn only_what_would_be_served_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), "12345").unwrap();
    std::fs::write(at(".hidden"), "").unwrap();
    std::fs::create_dir(at("sub")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let names = |hidden| {
        let mut items = read(&root, b"/", hidden).unwrap().items;
        items.sort_by(|a, b| a.name.cmp(&b.name));
        items.iter().map(|i| (i.name.clone(), i.kind == Kind::Directory)).collect::<Vec<_>>()
    };
    assert_eq!(names(false), [(b"file".to_vec(), false), (b"sub".to_vec(), true)]);
    assert_eq!(names(true).len(), 3);
    let file = read(&root, b"/", false).unwrap().items.into_iter().find(|i| i.name == b"file").unwrap();
    assert!(file.size == 5 && file.modified > 1_600_000_000);
    assert!(read(&root, b"/sub/", false).unwrap().items.is_empty());
    for path in ["/file", "/gone/", "/SUB/", "/"] {
        assert_eq!(read(&root, path.as_bytes(), false).is_ok(), path == "/", "{path}");
    }
}

proptest! {
    #[test]
    fn any_name_gives_a_page_whose_markup_is_ours(name in proptest::collection::vec(1u8..=255, 1..60)) {
        let plain = page(b"/", vec![file("x", 1, 1)], "");
        let item = Item { name, kind: Kind::File, size: 1, modified: 1 };
        let odd = page(b"/", vec![item], "");
        for mark in ['<', '>', '"', '\n'] {
            prop_assert_eq!(odd.matches(mark).count(), plain.matches(mark).count());
        }
    }
}

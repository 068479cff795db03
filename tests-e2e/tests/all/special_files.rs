//! What is not a regular file beneath the root is 404, and blocks nobody.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::support::case::on_both_drivers;
use crate::support::server::Launch;
use crate::support::site::Site;

on_both_drivers! {
    /// FIFOs, sockets, devices, and links to them, with a single worker that must not stop.
    fn what_is_no_file_is_not_found(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, site.path("fifo"), FileType::Fifo, mode, 0).expect("a FIFO can be made");
        let _listener = bind_beneath(&site, "socket");
        symlink("fifo", site.path("link-to-fifo")).expect("linked");
        let mut names = vec!["fifo", "socket", "link-to-fifo"];
        // The null device, 1:3 (Documentation/admin-guide/devices.txt).
        let null = makedev(1, 3);
        match mknodat(CWD, site.path("null"), FileType::CharacterDevice, mode, null) {
            Ok(()) => names.push("null"),
            Err(error) => case.skip_part("device", &format!("mknod: {error}")),
        }
        let server = Launch::new(case, site.root()).workers(1).start();
        let mut waiting = server.connect();
        for name in names {
            // Twice: the second answer may come from a cache.
            for _ in 0..2 {
                assert_eq!(server.get(&format!("/{name}")).head.status, 404, "{name}");
                let head = format!("HEAD /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let mut client = server.connect();
                client.send(head.as_bytes());
                assert_eq!(client.head().status, 404, "{name}");
            }
            assert_eq!(waiting.get("/file").text(), "content", "after {name}");
        }
        server.stop();
    }

    /// A file whose name is taken by a FIFO while it is in the cache.
    fn a_fifo_in_the_place_of_a_cached_file_is_not_found(case: Case) {
        let site = Site::new();
        site.write("name", "content");
        site.write("file", "content");
        let server = Launch::new(case, site.root()).workers(1).start();
        let mut client = server.connect();
        assert_eq!(client.get("/name").text(), "content");
        fs::remove_file(site.path("name")).expect("removed");
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, site.path("name"), FileType::Fifo, mode, 0).expect("a FIFO can be made");
        assert_eq!(client.get("/name").head.status, 404);
        assert_eq!(server.get("/file").text(), "content");
        server.stop();
    }

    /// No way leads out of the root: not dots, however written, not links.
    fn nothing_outside_the_root_is_served(case: Case) {
        let outside = Site::new();
        outside.write("secret", "secret");
        fs::create_dir(outside.path("root")).expect("made");
        fs::create_dir(outside.path("root/sub")).expect("made");
        fs::write(outside.path("root/file"), "content").expect("written");
        fs::write(outside.path("root/.hidden"), "hidden").expect("written");
        symlink("../secret", outside.path("root/relative")).expect("linked");
        symlink(outside.path("secret"), outside.path("root/absolute")).expect("linked");
        symlink("..", outside.path("root/folder")).expect("linked");
        let server = Launch::new(case, &outside.path("root")).start();
        assert_eq!(server.get("/file").text(), "content");
        for path in [
            "/../secret",
            "/sub/../../secret",
            "/%2e%2e/secret",
            "/.%2E/secret",
            "/..%2fsecret",
            "/%2e%2e%2fsecret",
            "/%252e%252e/secret",
            "/..//secret",
            "//../secret",
            "/sub/..%2f..%2fsecret",
            "/..\\secret",
            "/..%5csecret",
            "/relative",
            "/absolute",
            "/folder/secret",
            "/.hidden",
        ] {
            let answer = server.get(path);
            assert!(
                [400, 403, 404].contains(&answer.head.status),
                "{path} gave {}",
                answer.head.status
            );
            assert!(!answer.text().contains("secret\n"), "{path}");
            assert_ne!(answer.body, b"secret", "{path}");
            assert_ne!(answer.body, b"hidden", "{path}");
        }
        server.stop();
    }
}

/// A listening socket below the site. Socket addresses are short (unix(7)): bound by a
/// short name elsewhere, then moved in.
fn bind_beneath(site: &Site, name: &str) -> UnixListener {
    let short = tempfile::TempDir::new_in("/tmp").expect("a folder can be made");
    let path = short.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket can be bound");
    fs::hard_link(&path, site.path(name))
        .or_else(|_| UnixListener::bind(site.path(name)).map(drop))
        .expect("the socket gets its name");
    listener
}

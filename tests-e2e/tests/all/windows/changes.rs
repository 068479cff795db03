//! Files that change while they are served: from the next request on the new content, though nobody tells of changes.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::site::Site;
use crate::support::wine::under_wine;

under_wine! {
    /// A file that is held in memory, changed in every way that there is.
    fn each_change_is_seen_by_the_next_request(wine: Wine) {
        let site = Site::new();
        fs::create_dir(site.path("d")).expect("made");
        let write = |name: &str, content: &str| {
            let path = site.write(name, content);
            // Old enough to be held in memory.
            let old = SystemTime::now() - Duration::from_secs(3600);
            fs::File::options().write(true).open(path).and_then(|file| file.set_modified(old)).expect("set");
        };
        write("d/f", "one");
        let server = wine.serve(site.root(), 1, &["--metrics", "127.0.0.1:0"]);
        let mut client = server.connect();
        let mut get = |path: &str| {
            let answer = client.get(path);
            (answer.head.status, if answer.head.status == 200 { answer.text() } else { String::new() })
        };
        let ok = |content: &str| (200, content.to_owned());
        for _ in 0..3 {
            assert_eq!(get("/d/f"), ok("one"));
        }
        assert_eq!(server.samples("ostia_file_cache_hits_total"), [2], "held in memory");
        fs::write(site.path("d/f"), "two").expect("written");
        assert_eq!(get("/d/f"), ok("two"));
        write("d/f", "three");
        assert_eq!(get("/d/f"), ok("three"));
        write("d/g", "four");
        fs::rename(site.path("d/g"), site.path("d/f")).expect("replaced");
        assert_eq!((get("/d/f"), get("/d/g").0), (ok("four"), 404));
        fs::rename(site.path("d"), site.path("e")).expect("renamed");
        assert_eq!((get("/d/f").0, get("/e/f")), (404, ok("four")));
        fs::create_dir(site.path("d")).expect("made");
        write("d/f", "five");
        assert_eq!(get("/d/f"), ok("five"));
        fs::remove_file(site.path("d/f")).expect("removed");
        assert_eq!(get("/d/f").0, 404);
        fs::create_dir(site.path("d/f")).expect("made");
        assert_eq!(get("/d/f").0, 301);
        server.interrupt();
    }
}

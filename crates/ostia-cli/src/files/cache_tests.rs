//! Tests of the cache: that it caches, and that it is never stale, whatever happens to the files.

use super::*;
use proptest::prelude::*;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::SystemTime;

struct World {
    dir: tempfile::TempDir,
    cache: Cache,
    now: Instant,
    clock: Clock,
}

fn world_with(watcher: Option<Rc<Watcher>>, revalidate: Duration, capacity: usize) -> World {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { capacity: NonZeroUsize::new(capacity).unwrap(), revalidate, hidden: false, simulated: false };
    let root = Arc::new(Root::open(dir.path()).unwrap());
    let now = Instant::now();
    let cache = Cache::with_watcher(root, settings, now, watcher).unwrap();
    World { dir, cache, now, clock: Clock::default() }
}

/// With inotify, and a clock that stands still: only events can tell of a change.
fn world() -> World {
    let watcher = Watcher::new().expect("inotify is needed for this test");
    world_with(Some(watcher), Duration::from_secs(3600), 64)
}

impl World {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file that looks old enough to be held in memory.
    fn write(&self, name: &str, content: &str) {
        fs::write(self.at(name), content).unwrap();
        self.age(name);
    }

    fn age(&self, name: &str) {
        let old = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(self.at(name)).unwrap().set_modified(old).unwrap();
    }

    fn look(&mut self, path: &str) -> Look {
        self.cache.refresh();
        self.cache.look(path.as_bytes(), self.now, &self.clock)
    }

    /// What a client would be sent for this path: 301 and 200 stand for a redirect and a listing.
    fn get(&mut self, path: &str) -> Result<String, u16> {
        let look = match self.look(path) {
            Look::Cold => {
                let path = self.cache.path().to_vec();
                let fetched = fetch(self.cache.root(), &path, Wait::Allowed);
                look_of_fetch(fetched, &path, &self.clock, &self.cache.settings)
            }
            look => look,
        };
        match look {
            Look::File(entry) => Ok(content(&entry)),
            Look::Redirect => Err(301),
            Look::Listing => Err(200),
            Look::Cold => panic!("cold when waiting is allowed"),
            Look::Error(status) => Err(status.code()),
        }
    }

    /// Whether the last `get` was answered without opening the file.
    fn hits(&mut self, path: &str) -> bool {
        let before = self.cache.counters().hits;
        let _ = self.get(path);
        self.cache.counters().hits == before + 1
    }
}

fn content(entry: &Entry) -> String {
    let mut bytes = Vec::new();
    match &entry.file {
        None => entry.append(0..entry.meta.size, &mut bytes),
        Some(file) => bytes = file.read(0..1 << 20),
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_file_is_opened_once() {
    let mut world = world();
    fs::create_dir(world.at("d")).unwrap();
    world.write("d/a b.txt", "one");
    assert_eq!(world.get("/d/a%20b.txt"), Ok("one".into()));
    assert!(world.hits("/d/a%20b.txt"));
    assert!(world.hits("//d/a%20%62.txt"), "another spelling of the same path");
    assert_eq!(world.cache.files.len(), 1);
}

#[test]
fn each_kind_of_change_is_seen_at_once() {
    type Change = (&'static str, fn(&World), Result<&'static str, u16>);
    let changes: [Change; 9] = [
        ("written in place", |w| w.write("d/f", "two"), Ok("two")),
        ("appended to", |w| File::options().append(true).open(w.at("d/f")).unwrap().write_all(b"+").unwrap(), Ok("one+")),
        ("truncated", |w| File::options().write(true).open(w.at("d/f")).unwrap().set_len(1).unwrap(), Ok("o")),
        (
            "replaced",
            |w| {
                w.write("d/new", "two");
                fs::rename(w.at("d/new"), w.at("d/f")).unwrap();
            },
            Ok("two"),
        ),
        ("removed", |w| fs::remove_file(w.at("d/f")).unwrap(), Err(404)),
        ("renamed", |w| fs::rename(w.at("d/f"), w.at("d/g")).unwrap(), Err(404)),
        (
            "its directory replaced",
            |w| {
                fs::rename(w.at("d"), w.at("e")).unwrap();
                fs::create_dir(w.at("d")).unwrap();
                w.write("d/f", "two");
            },
            Ok("two"),
        ),
        (
            "written through another name",
            |w| {
                fs::hard_link(w.at("d/f"), w.at("hard")).unwrap();
                w.write("hard", "two");
            },
            Ok("two"),
        ),
        (
            "replaced by a directory",
            |w| {
                fs::remove_file(w.at("d/f")).unwrap();
                fs::create_dir(w.at("d/f")).unwrap();
            },
            Err(301),
        ),
    ];
    for (what, change, expected) in changes {
        let mut world = world();
        fs::create_dir(world.at("d")).unwrap();
        world.write("d/f", "one");
        assert_eq!(world.get("/d/f"), Ok("one".into()));
        assert!(world.hits("/d/f"), "{what}");
        change(&world);
        assert_eq!(world.get("/d/f"), expected.map(str::to_owned), "{what}");
    }
}

#[test]
fn a_write_of_the_same_length_and_time_is_seen() {
    let mut world = world();
    world.write("f", "one");
    let stamp = fs::metadata(world.at("f")).unwrap().modified().unwrap();
    assert_eq!(world.get("/f"), Ok("one".into()));
    fs::write(world.at("f"), "two").unwrap();
    File::options().write(true).open(world.at("f")).unwrap().set_modified(stamp).unwrap();
    assert_eq!(world.get("/f"), Ok("two".into()));
}

#[test]
fn an_index_comes_and_goes() {
    let mut world = world();
    fs::create_dir(world.at("d")).unwrap();
    assert_eq!(world.get("/d/"), Err(200));
    world.write("d/index.html", "one");
    assert_eq!(world.get("/d/"), Ok("one".into()));
    assert!(world.hits("/d/"));
    assert!(matches!(world.look("/d/"), Look::File(entry) if &*entry.content_type == "text/html; charset=utf-8"));
    world.write("d/index.html", "two");
    assert_eq!(world.get("/d/"), Ok("two".into()));
    fs::rename(world.at("d/index.html"), world.at("d/other")).unwrap();
    assert_eq!(world.get("/d/"), Err(200));
    fs::remove_dir_all(world.at("d")).unwrap();
    assert_eq!(world.get("/d/"), Err(404));
    world.write("index.html", "root");
    assert_eq!(world.get("/"), Ok("root".into()));
    assert!(world.hits("/"));
    fs::remove_file(world.at("index.html")).unwrap();
    assert_eq!(world.get("/"), Err(200));
}

#[test]
fn a_lost_event_flushes_everything() {
    let mut world = world();
    world.write("f", "one");
    assert!(world.get("/f").is_ok() && world.hits("/f"));
    world.cache.apply(Change::Everything);
    assert!(!world.hits("/f"));
    assert!(world.hits("/f"));
}

#[test]
fn a_full_event_queue_is_heard_of() {
    let mut world = world();
    world.write("f", "one");
    assert!(world.get("/f").is_ok() && world.hits("/f"));
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    if limit > 100_000 {
        return;
    }
    // Equal neighbouring events are merged, so two files take turns; the change that counts is
    // made once the queue is full, so that its own event is among the lost.
    let mut files = [File::create(world.at("x")).unwrap(), File::create(world.at("y")).unwrap()];
    assert!(world.get("/x").is_ok() && world.get("/y").is_ok());
    for round in 0..limit + 10 {
        files[round % 2].write_all(b".").unwrap();
    }
    world.write("f", "two");
    assert_eq!(world.get("/f"), Ok("two".into()));
}

#[test]
fn without_inotify_every_look_up_checks() {
    let mut world = world_with(None, Duration::from_secs(3600), 64);
    fs::create_dir(world.at("d")).unwrap();
    world.write("d/f", "one");
    assert_eq!(world.get("/d/f"), Ok("one".into()));
    assert!(world.hits("/d/f"));
    fs::write(world.at("d/f"), "two!").unwrap();
    assert_eq!(world.get("/d/f"), Ok("two!".into()));
    fs::rename(world.at("d"), world.at("e")).unwrap();
    assert_eq!(world.get("/d/f"), Err(404));
    fs::create_dir(world.at("d")).unwrap();
    world.write("d/f", "three");
    world.write("d/g", "four");
    assert_eq!(world.get("/d/f"), Ok("three".into()));
    assert_eq!(world.get("/d/g"), Ok("four".into()));
}

#[test]
fn entries_age_even_when_nothing_is_heard() {
    let mut world = world_with(Watcher::new(), Duration::from_secs(1), 64);
    world.write("f", "one");
    assert_eq!(world.get("/f"), Ok("one".into()));
    // A change that no event tells of: its event is thrown away.
    fs::write(world.at("f"), "two!").unwrap();
    world.cache.watcher.as_ref().unwrap().drain(|_| {});
    assert_eq!(world.get("/f"), Ok("one".into()), "not yet old");
    world.now += Duration::from_secs(1);
    assert_eq!(world.get("/f"), Ok("two!".into()));
}

#[test]
fn a_file_that_has_just_changed_is_read_each_time_until_it_settles() {
    let mut world = world();
    fs::write(world.at("f"), "young").unwrap();
    assert!(!world.hits("/f") && !world.hits("/f"));
    world.age("f");
    assert!(!world.hits("/f") && world.hits("/f"));
}

#[test]
fn the_least_recently_used_goes_first() {
    let mut world = world_with(Watcher::new(), Duration::from_secs(3600), 2);
    for name in ["a", "b", "c"] {
        world.write(name, name);
    }
    assert!(world.get("/a").is_ok() && world.get("/b").is_ok() && world.get("/a").is_ok());
    assert!(world.get("/c").is_ok());
    assert_eq!(world.cache.files.len(), 2);
    assert!(world.hits("/a") && !world.hits("/b"));
    // Root and two files.
    assert_eq!(world.cache.watcher.as_ref().unwrap().watched(), 3);
}

#[test]
fn what_lies_behind_a_link_is_looked_up_each_time() {
    let mut world = world();
    fs::create_dir(world.at("d")).unwrap();
    world.write("d/f", "one");
    world.write("d/index.html", "index");
    symlink("d", world.at("link")).unwrap();
    symlink("d/f", world.at("file")).unwrap();
    for path in ["/link/f", "/file"] {
        assert_eq!(world.get(path), Ok("one".into()));
        assert!(!world.hits(path));
    }
    assert_eq!(world.get("/link/"), Ok("index".into()));
    assert_eq!(world.get("/link"), Err(301));
    fs::remove_file(world.at("link")).unwrap();
    assert_eq!(world.get("/link/f"), Err(404));
}

#[test]
fn what_may_not_be_served_has_its_status() {
    let mut world = world();
    world.write("f", "x");
    world.write(".hidden", "x");
    symlink("/etc/passwd", world.at("out")).unwrap();
    let long = format!("/{}", "x".repeat(300));
    for (path, status) in [
        ("/nothing", 404),
        ("/f/", 404),
        ("/f/x", 404),
        ("/.hidden", 404),
        ("/out", 404),
        ("/%2e%2e/etc/passwd", 404),
        ("/%", 400),
        ("/%00", 400),
        (long.as_str(), 404),
    ] {
        assert_eq!(world.get(path), Err(status), "{path}");
    }
}

/// One thing that can happen to the files.
#[derive(Clone, Debug)]
enum Act {
    Write(usize, String),
    Rename(usize, usize),
    Remove(usize),
    Link(usize, usize),
    Pass(u64),
}

const NAMES: [&str; 6] = ["a", "d/a", "d/b", "d/e/a", "d", "d/e"];

fn acts() -> impl Strategy<Value = Vec<(Act, usize)>> {
    let name = 0..NAMES.len();
    let act = prop_oneof![
        4 => (name.clone(), "[a-z]{0,3}").prop_map(|(n, text)| Act::Write(n, text)),
        3 => (name.clone(), name.clone()).prop_map(|(a, b)| Act::Rename(a, b)),
        1 => name.clone().prop_map(Act::Remove),
        1 => (name.clone(), name.clone()).prop_map(|(a, b)| Act::Link(a, b)),
        1 => (0u64..1500).prop_map(Act::Pass),
    ];
    proptest::collection::vec((act, name), 1..60)
}

fn perform(world: &mut World, act: &Act) {
    // Many of these fail, which is a thing that happens to files too.
    match act {
        Act::Write(n, text) => {
            if let Some(parent) = world.at(NAMES[*n]).parent() {
                let _ = fs::create_dir_all(parent);
            }
            if fs::write(world.at(NAMES[*n]), text).is_ok() {
                world.age(NAMES[*n]);
            }
        }
        Act::Rename(a, b) => {
            let _ = fs::rename(world.at(NAMES[*a]), world.at(NAMES[*b]));
        }
        Act::Remove(n) => {
            let path = world.at(NAMES[*n]);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        Act::Link(a, b) => {
            let _ = fs::hard_link(world.at(NAMES[*a]), world.at(NAMES[*b]));
        }
        Act::Pass(ms) => world.now += Duration::from_millis(*ms),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// After anything that has returned, a look-up tells what the file system tells.
    #[test]
    fn it_is_never_stale(acts in acts(), watched: bool, capacity in 1usize..8) {
        let watcher = if watched { Watcher::new() } else { None };
        let mut world = world_with(watcher, Duration::from_secs(1), capacity);
        for (act, name) in acts {
            perform(&mut world, &act);
            let path = format!("/{}", NAMES[name]);
            let at = world.at(NAMES[name]);
            let truth = match fs::metadata(&at) {
                Ok(meta) if meta.is_dir() => Err(301),
                Ok(_) => Ok(fs::read_to_string(&at).unwrap()),
                Err(_) => Err(404),
            };
            let got = world.get(&path);
            // Without events only what metadata show can be seen: times were set alike, and a
            // rewrite of the same length within one tick of the clock shows in nothing.
            let same_length = |a: &Result<String, u16>, b: &Result<String, u16>| match (a, b) {
                (Ok(a), Ok(b)) => a.len() == b.len(),
                _ => false,
            };
            prop_assert!(got == truth || !watched && same_length(&got, &truth), "{path}: {got:?}, in truth {truth:?}");
        }
    }
}

//! Tests of the cache where nobody tells of changes: that it holds what the pool has fetched, and is never stale.

use super::*;
use crate::files::entry::SMALL;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::SystemTime;

struct World {
    dir: tempfile::TempDir,
    cache: Cache,
    now: Instant,
    clock: Clock,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        capacity: NonZeroUsize::new(64).unwrap(),
        revalidate: Duration::from_secs(3600),
        hidden: false,
        simulated: false,
    };
    let root = Arc::new(Root::open(dir.path()).unwrap());
    let now = Instant::now();
    let cache = Cache::new(root, settings, now).unwrap();
    World { dir, cache, now, clock: Clock::default() }
}

impl World {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file that looks old enough to be held in memory.
    fn write(&self, name: &str, content: &str) {
        fs::write(self.at(name), content).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(self.at(name)).unwrap().set_modified(old).unwrap();
    }

    /// What a client would be sent for this path, each time in a turn of its own: 301 and 200 stand for a redirect and a
    /// listing.
    fn get(&mut self, path: &str) -> Result<String, u16> {
        self.now += Duration::from_millis(1);
        self.get_in_turn(path)
    }

    fn get_in_turn(&mut self, path: &str) -> Result<String, u16> {
        self.cache.refresh();
        let look = match self.cache.look(path.as_bytes(), self.now, &self.clock) {
            Look::Cold => {
                let path = self.cache.path().to_vec();
                let fetched = fetch(self.cache.root(), &path, Wait::Allowed);
                self.cache.fetched(fetched, &path, self.now, &self.clock)
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

    /// Whether a look-up is answered without opening the file for reading.
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
fn a_small_file_is_read_once_and_a_large_one_never_held_open() {
    let mut world = world();
    fs::create_dir(world.at("d")).unwrap();
    world.write("d/a b.txt", "one");
    world.write("large", &"x".repeat(SMALL as usize + 1));
    assert_eq!(world.get("/d/a%20b.txt"), Ok("one".into()));
    assert!(world.hits("/d/a%20b.txt") && world.hits("//d/a%20%62.txt"));
    assert_eq!(world.get("/large").map(|text| text.len()), Ok(SMALL as usize + 1));
    assert!(!world.hits("/large"));
    fs::rename(world.at("d/a b.txt"), world.at("large")).expect("nothing keeps it from being replaced");
    assert_eq!((world.get("/large"), world.get("/d/a%20b.txt")), (Ok("one".into()), Err(404)));
}

#[test]
fn each_kind_of_change_is_seen_in_the_next_turn() {
    type Change = (&'static str, fn(&World), Result<&'static str, u16>);
    let changes: [Change; 7] = [
        ("written in place", |w| fs::write(w.at("d/f"), "two").unwrap(), Ok("two")),
        ("of another length", |w| w.write("d/f", "other"), Ok("other")),
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
fn one_turn_looks_once() {
    let mut world = world();
    world.write("f", "one");
    assert_eq!(world.get("/f"), Ok("one".into()));
    // All requests of a turn were received before it looked.
    fs::remove_file(world.at("f")).unwrap();
    assert_eq!(world.get_in_turn("/f"), Ok("one".into()));
    assert_eq!(world.get("/f"), Err(404));
}

#[test]
fn a_file_that_has_just_changed_is_read_each_time() {
    let mut world = world();
    fs::write(world.at("f"), "young").unwrap();
    assert!(!world.hits("/f") && !world.hits("/f"));
    world.write("f", "settled");
    assert!(!world.hits("/f") && world.hits("/f"));
}

#[test]
fn an_index_comes_and_goes() {
    let mut world = world();
    fs::create_dir(world.at("d")).unwrap();
    assert_eq!(world.get("/d/"), Err(200));
    world.write("d/index.html", "one");
    assert_eq!(world.get("/d/"), Ok("one".into()));
    assert!(world.hits("/d/"));
    fs::remove_file(world.at("d/index.html")).unwrap();
    assert_eq!(world.get("/d/"), Err(200));
}

#[test]
fn what_may_not_be_served_has_its_status() {
    let mut world = world();
    world.write("f.txt", "x");
    for (path, status) in
        [("/nothing", 404), ("/f.txt/", 404), ("/f.txt/x", 404), ("/F.TXT", 404), ("/f.txt.", 404), ("/C:/", 404), ("/%", 400)]
    {
        assert_eq!(world.get(path), Err(status), "{path}");
    }
    assert_eq!(world.get("/f.txt"), Ok("x".into()));
}

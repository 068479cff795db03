//! The cache is never stale: what was changed before the request is what the answer shows.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::case::on_both_drivers;
use crate::support::http::Client;
use crate::support::server::Launch;
use crate::support::site::Site;
use crate::support::{Random, scaled, seed};

/// Names that take part: few, so that the same ones change again and again.
const NAMES: [&str; 4] = ["a", "b", "sub/c", "sub/d"];

on_both_drivers! {
    /// Random changes, each followed by requests for every name: the bytes, and the status.
    fn no_change_is_served_stale(case: Case) {
        let seed = seed(case.name);
        let mut world = World::new(seed);
        // The old answer must come from the cache, were it wrong: a minute is the whole test.
        let server = Launch::new(case, world.site.root())
            .argument("--revalidate")
            .argument("60s")
            .start();
        let mut clients = [server.connect(), server.connect()];
        for round in 0..scaled(300, 3_000) {
            let change = world.change();
            // Two connections, on different workers as a rule: each has its own way to the cache.
            for client in &mut clients {
                world.compare(client, &format!("{change}, round {round}, seed {seed}"));
            }
        }
        server.stop();
    }

    /// A change is also seen by a conditional request, which a stale cache would answer with 304.
    fn a_changed_file_is_never_not_modified(case: Case) {
        let site = Site::new();
        let server = Launch::new(case, site.root())
            .argument("--revalidate")
            .argument("60s")
            .start();
        let mut client = server.connect();
        for round in 0..scaled(100, 1_000) {
            // Same length, and within one tick of the file system's clock as a rule.
            site.write("file", format!("{round:08}"));
            let first = client.get("/file");
            let tag = first.head.field("etag").expect("there is an ETag").to_owned();
            let request = format!(
                "GET /file HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\n\r\n"
            );
            client.send(request.as_bytes());
            assert_eq!(client.response().head.status, 304, "unchanged");
            site.write("file", format!("{:08}", round + 1));
            client.send(request.as_bytes());
            let second = client.response();
            assert_eq!(second.head.status, 200, "changed, round {round}");
            assert_eq!(second.text(), format!("{:08}", round + 1));
        }
        server.stop();
    }

    /// The listing too shows what is there at the time of the request.
    fn a_listing_is_never_stale(case: Case) {
        let site = Site::new();
        let server = Launch::new(case, site.root()).start();
        let mut client = server.connect();
        for round in 0..scaled(50, 500) {
            let name = format!("file-{round}");
            let path = site.write(&name, "x");
            assert!(client.get("/").text().contains(&name), "{name} is missing");
            fs::remove_file(path).expect("removed");
            assert!(!client.get("/").text().contains(&name), "{name} is gone");
        }
        server.stop();
    }
}

/// A site and what it should answer.
struct World {
    site: Site,
    outside: Site,
    random: Random,
    counter: u64,
    /// The content behind each name that exists.
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl World {
    fn new(seed: u64) -> World {
        let site = Site::new();
        fs::create_dir(site.path("sub")).expect("made");
        World { site, outside: Site::new(), random: Random(seed), counter: 0, files: BTreeMap::new() }
    }

    /// Makes one random change, and says which.
    fn change(&mut self) -> String {
        let name = NAMES[self.random.below(NAMES.len() as u64) as usize];
        let kind = self.random.below(9);
        // Most changes need a file that is there.
        let what = match self.files.contains_key(name) {
            true => self.change_existing(name, kind),
            false if kind < 6 => self.create(name),
            false => self.link_in(name),
        };
        format!("{what} of {name}")
    }

    fn change_existing(&mut self, name: &'static str, kind: u64) -> &'static str {
        let path = self.site.path(name);
        match kind {
            0 => self.overwrite(name),
            1 => self.truncate(name),
            2 => {
                let content = self.content();
                let file = OpenOptions::new().append(true).open(path);
                file.and_then(|mut file| file.write_all(&content)).expect("appended");
                self.update(name, |old| old.extend_from_slice(&content));
                "append"
            }
            3 => {
                let content = self.content();
                let temporary = self.outside.write("temporary", &content);
                fs::rename(temporary, path).expect("renamed");
                self.files.insert(name, content);
                "replacement"
            }
            4 => {
                let other = NAMES[self.random.below(NAMES.len() as u64) as usize];
                if other != name {
                    fs::rename(path, self.site.path(other)).expect("renamed");
                    let content = self.files.remove(name).expect("it is there");
                    self.files.insert(other, content);
                }
                "renaming"
            }
            5 => {
                fs::remove_file(path).expect("removed");
                self.files.remove(name);
                "removal"
            }
            6 => self.write_through_another_name(name),
            7 => {
                // Away with the whole folder, and back under its name.
                let folder = self.site.path("sub");
                let away = self.outside.path("sub");
                fs::rename(&folder, &away).expect("moved away");
                fs::rename(&away, &folder).expect("moved back");
                "moving the folder"
            }
            _ => self.exchange_folder(),
        }
    }

    fn create(&mut self, name: &'static str) -> &'static str {
        let content = self.content();
        fs::write(self.site.path(name), &content).expect("written");
        self.files.insert(name, content);
        "creation"
    }

    /// A file from elsewhere gets a name here.
    fn link_in(&mut self, name: &'static str) -> &'static str {
        let content = self.content();
        let elsewhere = self.outside.write("elsewhere", &content);
        fs::hard_link(&elsewhere, self.site.path(name)).expect("linked");
        fs::remove_file(elsewhere).expect("removed");
        self.files.insert(name, content);
        "linking in"
    }

    /// Some bytes in place, so that neither the inode nor the length changes.
    fn overwrite(&mut self, name: &'static str) -> &'static str {
        let position = match self.files[name].len() as u64 {
            0 => return "nothing to overwrite",
            length => self.random.below(length),
        };
        let byte = self.random.next() as u8;
        let mut file = open(self.site.path(name));
        file.seek(SeekFrom::Start(position)).expect("positioned");
        file.write_all(&[byte]).expect("written");
        self.update(name, |old| old[position as usize] = byte);
        "overwriting"
    }

    fn truncate(&mut self, name: &'static str) -> &'static str {
        let length = self.random.below(self.files[name].len() as u64 + 1);
        open(self.site.path(name)).set_len(length).expect("cut");
        self.update(name, |old| old.truncate(length as usize));
        "truncation"
    }

    /// The same inode has a name outside of the root, and is written there.
    fn write_through_another_name(&mut self, name: &'static str) -> &'static str {
        let other = self.outside.path("hard-link");
        fs::hard_link(self.site.path(name), &other).expect("linked");
        let content = self.content();
        fs::write(&other, &content).expect("written");
        fs::remove_file(other).expect("removed");
        self.files.insert(name, content);
        "writing through a hard link"
    }

    /// Another folder takes the name `sub`: all below it changes without being touched.
    fn exchange_folder(&mut self) -> &'static str {
        let new = self.outside.path("new");
        fs::create_dir(&new).expect("made");
        let content = self.content();
        fs::write(new.join("c"), &content).expect("written");
        let folder = self.site.path("sub");
        let old = self.outside.path("old");
        fs::rename(&folder, &old).expect("moved away");
        fs::rename(&new, &folder).expect("moved in");
        fs::remove_dir_all(old).expect("removed");
        self.files.remove("sub/d");
        self.files.insert("sub/c", content);
        "exchanging the folder"
    }

    fn update(&mut self, name: &'static str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.files.get_mut(name).expect("it is there"));
    }

    /// Content that was never there before.
    fn content(&mut self) -> Vec<u8> {
        self.counter += 1;
        let repeats = 1 + self.random.below(200) as usize;
        format!("content {};", self.counter).repeat(repeats).into_bytes()
    }

    fn compare(&self, client: &mut Client, context: &str) {
        for name in NAMES {
            let answer = client.get(&format!("/{name}"));
            match self.files.get(name) {
                Some(content) => {
                    assert_eq!(answer.head.status, 200, "{name} after {context}");
                    assert!(answer.body == *content, "{name} is stale after {context}");
                }
                None => assert_eq!(answer.head.status, 404, "{name} after {context}"),
            }
        }
    }
}

fn open(path: PathBuf) -> File {
    OpenOptions::new().write(true).open(path).expect("it is there")
}

on_both_drivers! {
    /// A symbolic link that stays beneath the root leads to its target of the moment.
    fn a_changed_symbolic_link_leads_to_its_new_target(case: Case) {
        let site = Site::new();
        site.write("one", "one");
        site.write("two", "two");
        let server = Launch::new(case, site.root())
            .argument("--revalidate")
            .argument("60s")
            .start();
        let mut client = server.connect();
        for round in 0..scaled(50, 500) {
            let target = ["one", "two"][round % 2];
            symlink(target, site.path("fresh")).expect("linked");
            fs::rename(site.path("fresh"), site.path("link")).expect("renamed");
            assert_eq!(client.get("/link").text(), target, "round {round}");
        }
        // Its target changes, not the link.
        let target = "one or two";
        site.write(["one", "two"][(scaled(50, 500) - 1) % 2], target);
        assert_eq!(client.get("/link").text(), target);
        server.stop();
    }
}

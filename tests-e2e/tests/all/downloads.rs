//! Files by curl: whole, by ranges, resumed, and many at once.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::case::on_both_drivers;
use crate::support::server::{Launch, Server};
use crate::support::site::{Pattern, Sha, Site};
use crate::support::{Random, scaled, seed};

/// The big file: 1 GiB in full, and in both cases no multiple of any buffer.
fn big() -> u64 {
    scaled(128 << 20, 1 << 30) + 12_345
}

on_both_drivers! {
    /// One big file, three ways, always the same digest.
    fn a_big_file(case: Case) {
        if !case.has("curl") {
            return;
        }
        let site = Site::new();
        let expected = site.fill("big.bin", Pattern(seed(case.name)), big());
        let server = Launch::new(case, site.root()).start();
        let url = server.url("/big.bin");
        assert_eq!(whole(&url), expected, "whole");
        assert_eq!(by_ranges(&url, big()), expected, "by ranges");
        assert_eq!(resumed(&url, &site.path("part")), expected, "resumed");
        server.stop();
    }

    /// 200 files of random sizes at the same time.
    fn two_hundred_at_once(case: Case) {
        if case.has("curl") {
            let site = Site::new();
            let files = Files::make(&site, case.name);
            let server = Launch::new(case, site.root()).start();
            files.fetch_at_once(&server);
            server.stop();
        }
    }
}

/// Downloads in one piece.
pub fn whole(url: &str) -> Sha {
    let mut curl = curl(&["--fail", url]);
    let digest = Sha::of([curl.stdout.take().expect("a pipe")]);
    assert!(curl.wait().expect("a child").success());
    digest
}

/// Downloads in seven ranges, one after the other; the last is open to the right.
pub fn by_ranges(url: &str, length: u64) -> Sha {
    let step = length / 7 + 1;
    let ranges = (0..7).map(|index| {
        let last = match index {
            6 => String::new(),
            _ => (step * (index + 1) - 1).to_string(),
        };
        format!("{}-{last}", step * index)
    });
    let parts = ranges.map(|range| {
        let mut part = Vec::new();
        let mut curl = curl(&["--fail", "--range", &range, "-w", "%{stderr}%{http_code}", url]);
        let mut output = curl.stdout.take().expect("a pipe");
        output.read_to_end(&mut part).expect("the pipe is read");
        let ended = curl.wait_with_output().expect("a child");
        assert!(ended.status.success());
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "206", "{range}");
        io::Cursor::new(part)
    });
    Sha::of(parts)
}

/// Breaks a download off after a third, then lets curl go on from there.
fn resumed(url: &str, part: &Path) -> Sha {
    let mut broken = curl(&["--fail", url]);
    let output = broken.stdout.take().expect("a pipe");
    let mut file = File::create(part).expect("the part can be made");
    io::copy(&mut output.take(big() / 3), &mut file).expect("a third comes");
    // The pipe is gone with `take`: curl can't write on, and stops.
    assert!(!broken.wait().expect("a child").success());
    let path = part.to_str().expect("the path is text");
    let rest = curl(&["--fail", "--continue-at", "-", "--output", path, url]);
    let ended = rest.wait_with_output().expect("a child");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    Sha::of([File::open(part).expect("the part is there")])
}

/// Starts curl, which says nothing but errors.
pub fn curl(arguments: &[&str]) -> Child {
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "600"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("curl can be run")
}

/// 200 files of random sizes, from one byte on, most of them small.
pub struct Files {
    site_root: std::path::PathBuf,
    digests: Vec<Sha>,
}

impl Files {
    /// Makes the files in the site.
    pub fn make(site: &Site, name: &str) -> Files {
        let mut random = Random(seed(name));
        let digests = (0..200)
            .map(|index| {
                // Every order of magnitude equally often.
                let bits = random.below(scaled(20, 24));
                let length = (1 << bits) + random.below(1 << bits);
                site.fill(&format!("{index}.bin"), Pattern(random.next()), length)
            })
            .collect();
        Files { site_root: site.root().to_path_buf(), digests }
    }

    /// Downloads all, each on a connection of its own, and compares.
    pub fn fetch_at_once(&self, server: &Server) {
        self.fetch_from(&server.url(""));
    }

    /// The same from a server of which the start of its URLs is known.
    pub fn fetch_from(&self, base: &str) {
        let got = tempfile::TempDir::new_in(&self.site_root).expect("a folder can be made");
        let mut plan = String::new();
        for index in 0..self.digests.len() {
            let file = got.path().join(index.to_string());
            let url = format!("{base}/{index}.bin");
            plan += &format!("url = \"{url}\"\noutput = \"{}\"\n", file.display());
        }
        let plan_file = got.path().join("plan");
        fs::write(&plan_file, plan).expect("the plan can be written");
        let plan_path = plan_file.to_str().expect("the path is text");
        let ended = curl(&[
            "--fail",
            "--fail-early",
            "--globoff",
            "--parallel",
            "--parallel-immediate",
            "--parallel-max",
            "200",
            "--config",
            plan_path,
        ])
        .wait_with_output()
        .expect("a child");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        for (index, expected) in self.digests.iter().enumerate() {
            let file = File::open(got.path().join(index.to_string()));
            assert_eq!(Sha::of([file.expect("it came")]), *expected, "file {index}");
        }
    }
}

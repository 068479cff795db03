//! The listing in a real browser: opened, sorted, and a file downloaded from it.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::support::DEADLINE;
use crate::support::case::{Case, Driver};
use crate::support::server::Launch;
use crate::support::site::{Pattern, Sha, Site};
use crate::support::webdriver::Browser;

/// The names in the order in which the page shows them.
const NAMES: &str = "return [...document.querySelectorAll('tbody tr a')].map(a => a.textContent)";

#[test]
fn chromium_opens_sorts_and_downloads() {
    let case = Case { name: concat!(module_path!(), "::chromium_opens_sorts_and_downloads"), driver: Driver::Auto };
    if !case.has("chromium") || !case.has("chromedriver") {
        return;
    }
    let site = Site::new();
    let expected = site.fill("b-middle.bin", Pattern(3), 3 << 20);
    site.fill("a-large.bin", Pattern(4), 9 << 20);
    site.fill("c-small.bin", Pattern(5), 1000);
    site.write("<b>\"quoted\" & 'odd'.txt", "x");
    site.write("naïve 文件.txt", "x".repeat(50));
    fs::create_dir(site.path("folder")).expect("made");
    let server = Launch::new(case, site.root()).start();
    let downloads = Site::new();
    let browser = Browser::start(downloads.root());

    browser.resize(1000, 700);
    browser.open(&server.url("/"));
    let names = shown(&browser);
    for name in ["a-large.bin", "<b>\"quoted\" & 'odd'.txt", "naïve 文件.txt"] {
        assert!(names.iter().any(|shown| shown == name), "{name} in {names:?}");
    }
    let by_name = binaries(&browser);
    assert_eq!(by_name, ["a-large.bin", "b-middle.bin", "c-small.bin"]);
    save(&browser, "listing-by-name.png");

    let by_size = sort_by(&browser, "size");
    let ascending = ["c-small.bin", "b-middle.bin", "a-large.bin"];
    let descending = ["a-large.bin", "b-middle.bin", "c-small.bin"];
    assert!(by_size == ascending || by_size == descending, "{by_size:?}");
    let mut other_way = by_size.clone();
    other_way.reverse();
    assert_eq!(sort_by(&browser, "size"), other_way, "a second click reverses");
    save(&browser, "listing-by-size.png");

    let arrival = Arrival::watch(downloads.root());
    browser.click("a[href*='b-middle.bin']");
    arrival.wait_for("b-middle.bin");
    let file = File::open(downloads.path("b-middle.bin")).expect("it came");
    assert_eq!(Sha::of([file]), expected);

    browser.emulate_phone(390, 844);
    browser.open(&server.url("/"));
    let overflow = browser.run("return document.documentElement.scrollWidth - innerWidth");
    assert!(overflow.as_i64() <= Some(0), "{overflow} pixels too wide");
    save(&browser, "listing-on-a-phone.png");
    server.stop();
}

fn shown(browser: &Browser) -> Vec<String> {
    let names = browser.run(NAMES);
    let names = names.as_array().expect("a list of names");
    names.iter().filter_map(|name| name.as_str().map(|name| name.trim().to_owned())).collect()
}

/// The three binary files, in the order shown.
fn binaries(browser: &Browser) -> Vec<String> {
    let mut names = shown(browser);
    names.retain(|name| name.ends_with(".bin"));
    names
}

/// Clicks the head of a column and gives the order afterwards. Whether the page sorts
/// itself or asks the server, WebDriver waits until that has happened.
fn sort_by(browser: &Browser, column: &str) -> Vec<String> {
    let script = format!(
        "const head = [...document.querySelectorAll('th')]\
         .find(th => th.textContent.toLowerCase().includes('{column}'));\
         const target = head.querySelector('a, button') || head;\
         target.id = 'the-head'; return true"
    );
    browser.run(&script);
    browser.click("#the-head");
    binaries(browser)
}

/// Keeps a picture beside the build, to be looked at.
fn save(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&folder).expect("a folder can be made");
    browser.screenshot(&folder.join(name));
}

/// Waits for a file to be moved to its name, as browsers do when a download is complete.
struct Arrival(rustix::fd::OwnedFd);

impl Arrival {
    fn watch(folder: &Path) -> Arrival {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("a queue");
        let events = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
        inotify::add_watch(&queue, folder, events).expect("the folder is watched");
        Arrival(queue)
    }

    fn wait_for(self, wanted: &str) {
        let began = Instant::now();
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(self.0.as_fd(), &mut space);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes());
                    let moved = event.events().contains(ReadFlags::MOVED_TO);
                    if moved && name == Some(wanted.as_bytes()) {
                        return;
                    }
                }
                Err(rustix::io::Errno::AGAIN) => {
                    let left = DEADLINE.saturating_sub(began.elapsed());
                    let left = Timespec::try_from(left).expect("two minutes are a time");
                    let mut ready = [PollFd::new(&self.0, PollFlags::IN)];
                    let count = poll(&mut ready, Some(&left)).expect("the queue is polled");
                    assert!(count > 0, "{wanted} did not arrive");
                }
                Err(error) => panic!("the queue can't be read: {error}"),
            }
        }
    }
}

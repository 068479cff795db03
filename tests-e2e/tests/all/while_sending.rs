//! Files that change while they are being sent.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::support::case::{Case, on_both_drivers};
use crate::support::http::Client;
use crate::support::process::Ended;
use crate::support::seed;
use crate::support::server::{Launch, Server};
use crate::support::site::{Pattern, Site};

/// Far more than two socket buffers hold.
const LENGTH: u64 = 64 << 20;

/// A server, and a client that has read some of a big file and then stopped.
pub struct Stalled {
    site: Site,
    server: Server,
    stop: fn(Server) -> Ended,
    client: Client,
    pattern: Pattern,
    received: u64,
    truncated: bool,
}

impl Stalled {
    fn begin(case: Case) -> Stalled {
        Stalled::with(case.name, |root| Launch::new(case, root).start(), Server::stop)
    }

    /// On a server that is started and stopped in these ways.
    pub fn with(name: &str, start: impl FnOnce(&Path) -> Server, stop: fn(Server) -> Ended) -> Stalled {
        let site = Site::new();
        let pattern = Pattern(seed(name));
        site.fill("big", pattern, LENGTH);
        let server = start(site.root());
        let mut client = server.connect();
        client.ask("/big");
        let head = client.head();
        assert_eq!((head.status, head.length()), (200, LENGTH));
        let mut stalled = Stalled { site, server, stop, client, pattern, received: 0, truncated: false };
        stalled.read_until(100_000);
        stalled
    }

    /// Reads up to a position; false if the connection ended before. Every byte is compared:
    /// only where the file was cut may there be zeros, for what sendfile(2) has queued are
    /// the file's own pages, and the kernel clears the rest of a folio (of up to 2 MiB) that it cuts.
    fn read_until(&mut self, position: u64) -> bool {
        let mut block = vec![0; 1 << 18];
        while self.received < position {
            let room = (position - self.received).min(block.len() as u64) as usize;
            let length = match self.client.read(&mut block[..room]) {
                // A reset says as clearly as FIN that the answer is not whole.
                Ok(0) | Err(_) => return false,
                Ok(length) => length,
            };
            let mut expected = vec![0; length];
            self.pattern.at(self.received, &mut expected);
            let cleared = |byte: u8| self.truncated && byte == 0;
            let same = |(got, expected): (&u8, &u8)| got == expected || cleared(*got);
            assert!(block.iter().zip(&expected).all(same), "other bytes than the file's, after {}", self.received);
            self.received += length as u64;
        }
        true
    }

    /// The old content comes to its end, and the connection can be used again.
    fn ends_with_the_old_content(mut self) {
        assert!(self.read_until(LENGTH), "ended at {}", self.received);
        self.site.write("next", "next");
        assert_eq!(self.client.get("/next").text(), "next");
        (self.stop)(self.server);
    }

    /// The file is cut: the connection is closed short of what was announced.
    pub fn truncate(mut self) {
        let file = OpenOptions::new().write(true).open(self.site.path("big"));
        file.and_then(|file| file.set_len(1000)).expect("truncated");
        self.truncated = true;
        assert!(!self.read_until(LENGTH), "all came from a file that is short");
        let again = self.server.get("/big");
        assert_eq!(again.body.len(), 1000);
        assert!(self.pattern.is_at(0, &again.body));
        (self.stop)(self.server);
    }

    /// The file grows.
    pub fn append(self) {
        let file = OpenOptions::new().append(true).open(self.site.path("big"));
        file.and_then(|mut file| file.write_all(&[0; 1 << 20])).expect("appended");
        self.ends_with_the_old_content();
    }

    /// Another file takes its name.
    pub fn replace(self) {
        let other = self.site.path("other");
        let file = File::create(&other);
        file.and_then(|file| file.set_len(LENGTH)).expect("made");
        fs::rename(other, self.site.path("big")).expect("renamed");
        self.ends_with_the_old_content();
    }

    /// Its name goes away.
    pub fn remove(self) {
        fs::remove_file(self.site.path("big")).expect("removed");
        assert_eq!(self.server.get("/big").head.status, 404);
        self.ends_with_the_old_content();
    }
}

on_both_drivers! {
    /// Less than announced can be sent: the connection is closed, nothing is made up.
    fn a_truncated_file_closes_the_connection(case: Case) {
        Stalled::begin(case).truncate();
    }

    /// What is added behind the announced length is not sent.
    fn a_growing_file_is_sent_to_the_announced_length(case: Case) {
        Stalled::begin(case).append();
    }

    /// Another file takes the name: the answer that has begun is of the old one.
    fn a_replaced_file_is_sent_to_its_end(case: Case) {
        Stalled::begin(case).replace();
    }

    /// The name goes away: so does nothing of the answer that has begun.
    fn a_removed_file_is_sent_to_its_end(case: Case) {
        Stalled::begin(case).remove();
    }
}

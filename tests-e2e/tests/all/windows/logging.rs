//! Log files on Windows: lines of requests, and files that are replaced when they are full.

use std::fs;

use crate::support::eventually;
use crate::support::site::Site;
use crate::support::wine::{on_drive_z, under_wine};

under_wine! {
    /// Each request is a line, in one of the files that are kept.
    fn requests_are_logged_and_files_replaced(wine: Wine) {
        const REQUESTS: usize = 200;
        let (site, logs) = (Site::new(), Site::new());
        site.write("file", "content");
        let log = on_drive_z(&logs.path("log")).into_string().expect("text");
        let server = wine.serve(site.root(), 2, &["--log-file", &log, "--log-max-size", "4kB", "--log-keep", "100"]);
        let mut client = server.connect();
        for number in 0..REQUESTS {
            assert_eq!(client.get(&format!("/file?{number}")).text(), "content");
        }
        let lines = || {
            let files = fs::read_dir(logs.root()).expect("readable").filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
            files.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert!(eventually(|| lines().len() == REQUESTS), "{:?}", lines());
        let lines = lines();
        for number in 0..REQUESTS {
            let request = format!("\"GET /file?{number} HTTP/1.1\" 200 7");
            assert_eq!(lines.iter().filter(|line| line.contains(&request)).count(), 1, "{request}");
        }
        assert!(logs.path("log.2").is_file(), "more than 8 kB are three files");
        server.interrupt();
    }
}

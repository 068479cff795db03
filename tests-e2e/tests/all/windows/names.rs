//! What Windows would read into a name: none of it reaches a file, each is answered with 404 on a connection that goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::http::Client;
use crate::support::site::Site;
use crate::support::wine::under_wine;

/// Targets of requests as they are sent, none of which may be served.
const NOTHING: &[&str] = &[
    // Upwards, by every separator.
    "/../secret.txt",
    "/..%2fsecret.txt",
    "/..%5csecret.txt",
    "/..%5Csecret.txt",
    "/..\\secret.txt",
    "/Sub/..%5c..%5csecret.txt",
    "/%2e%2e%5csecret.txt",
    "/Sub\\inner.txt",
    "/Sub%5Cinner.txt",
    "/%5CSub%5Cinner.txt",
    // Drives, shares, other name spaces.
    "/C:/",
    "/C:/windows/win.ini",
    "/c%3A/windows/win.ini",
    "/C:%5Cwindows%5Cwin.ini",
    "/Z:/etc/passwd",
    "/C:win.ini",
    "//server/share",
    "//127.0.0.1/c$/windows/win.ini",
    "/%5C%5Cserver%5Cshare",
    "/%5C%5C%3F%5C",
    "/%5C%5C%3F%5CC:%5Cwindows%5Cwin.ini",
    "/%5C%5C.%5CNUL",
    "/%3F%3F/C:/windows/win.ini",
    "/%5C%3F%3F%5CC:%5C",
    // Streams.
    "/file.txt::$DATA",
    "/file.txt%3A%3A$DATA",
    "/file.txt:",
    "/file.txt:stream",
    "/Sub::$INDEX_ALLOCATION/inner.txt",
    "/Sub:$I30:$INDEX_ALLOCATION/inner.txt",
    "/:$DATA",
    // Devices.
    "/NUL",
    "/nul.txt",
    "/CON",
    "/con.txt",
    "/Con%20.txt",
    "/aux.h",
    "/PRN",
    "/COM1",
    "/COM1.txt",
    "/com1%20.log",
    "/com%C2%B9.txt",
    "/lpt9.x.y",
    "/LPT%C2%B3",
    "/CONIN$",
    "/conout$.txt",
    "/CLOCK$",
    "/Sub/NUL",
    "/NUL/file.txt",
    // Ends that don't count.
    "/file.txt.",
    "/file.txt..",
    "/file.txt%20",
    "/file.txt.%20.",
    "/Sub./inner.txt",
    "/Sub%20/inner.txt",
    "/./file.txt",
    "/...",
    // Patterns, quotes, control characters, what isn't UTF-8.
    "/*",
    "/%3F",
    "/file.tx%3F",
    "/file.%3C",
    "/%22file.txt%22",
    "/file.txt%7C",
    "/file.txt%0A",
    "/file%01.txt",
    "/%FF",
    "/file.txt%C0%AE",
    "/..%C0%AFsecret.txt",
    // Another case.
    "/FILE.TXT",
    "/File.txt",
    "/sub/inner.txt",
    "/SUB/",
    "/Sub/INNER.TXT",
    "/%C3%9CBER.TXT",
    // Short aliases as Windows makes them up; those of Wine are asked of Wine.
    "/FILE~1.TXT",
    "/ARATHE~1.TEX",
    "/PROGRA~1",
    "/Sub/INNER~1.TXT",
    // Links, to a directory and to a file.
    "/link/",
    "/link/secret.txt",
    "/link-to-file",
    "/up/secret.txt",
    "/Sub/root/etc/passwd",
    // Neither file nor directory.
    "/fifo",
    "/zero",
];

under_wine! {
    /// The table, each with what is true beside it.
    fn only_the_very_name_is_served(wine: Wine) {
        let (site, outside) = (Site::new(), Site::new());
        outside.write("secret.txt", "secret");
        fs::create_dir(site.path("root")).expect("made");
        fs::create_dir(site.path("root/Sub")).expect("made");
        site.write("secret.txt", "secret");
        site.write("root/file.txt", "content");
        site.write("root/Sub/inner.txt", "inner");
        site.write("root/a rather long name.text", "long");
        site.write("root/\u{fc}ber.txt", "umlaut");
        // Names that only Unix has: they would be found by what is refused.
        for name in ["nul", "con.txt", "COM1.txt", "file.txt::$DATA", "co:lon", "back\\slash", "file.txt.", "trailing "] {
            site.write(&format!("root/{name}"), "secret");
        }
        for (target, link) in [
            (outside.root().to_str().expect("text"), "link"),
            (outside.path("secret.txt").to_str().expect("text"), "link-to-file"),
            ("..", "up"),
            ("/", "Sub/root"),
            ("/dev/zero", "zero"),
        ] {
            symlink(target, site.path("root").join(link)).expect("linked");
        }
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mkfifoat(rustix::fs::CWD, site.path("root/fifo"), mode).expect("made");
        let server = wine.serve(&site.path("root"), 2, &["--idle-timeout", "600s"]);
        let mut client = server.connect();
        let alias = short_alias(wine.command(), &site);
        let more = ["/co:lon", "/co%3Alon", "/back%5Cslash", "/trailing%20", "/file.txt%3a%3a%24DATA"];
        for target in NOTHING.iter().chain(&more).copied().chain(alias.as_deref()) {
            let answer = client.get(target);
            assert_eq!(answer.head.status, 404, "{target}: {}", answer.text());
            assert_ne!(answer.text(), "secret", "{target}");
        }
        for (target, content) in [
            ("/file.txt", "content"),
            ("/file%2Etxt", "content"),
            ("//file.txt", "content"),
            ("/Sub/inner.txt", "inner"),
            ("/a%20rather%20long%20name.text", "long"),
            ("/%C3%BCber.txt", "umlaut"),
        ] {
            let answer = client.get(target);
            assert_eq!((answer.head.status, answer.text().as_str()), (200, content), "{target}");
        }
        assert_eq!(client.get("/Sub").head.status, 301);
        only_servable_names_are_listed(&mut client);
        server.interrupt();
    }
}

/// What the listing shows is what can be had.
fn only_servable_names_are_listed(client: &mut Client) {
    let page = client.get("/").text();
    let links: Vec<&str> = page.split("href=\"./").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links, ["Sub/", "a%20rather%20long%20name.text", "file.txt", "%C3%BCber.txt"], "{page}");
}

/// The target that would ask for the long name by the alias that Wine has for it, if it has one.
fn short_alias(ostia: Command, site: &Site) -> Option<String> {
    let mut wine = Command::new(ostia.get_program());
    for (name, value) in ostia.get_envs() {
        match value {
            Some(value) => wine.env(name, value),
            None => wine.env_remove(name),
        };
    }
    let folder = crate::support::wine::on_drive_z(&site.path("root"));
    let listed = wine.args(["cmd", "/c", "dir", "/x"]).arg(folder).output().expect("wine can be run");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("a rather long name.text"))?;
    let alias = line.split_whitespace().find(|word| word.contains('~'))?;
    Some(format!("/{alias}"))
}

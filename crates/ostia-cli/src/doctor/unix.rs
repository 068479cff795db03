//! What the doctor looks at on Linux: the kernel, io_uring and why not, its features.

use super::Found;
use crate::args::Driver;
use crate::errors::Failure;
use ostia_port::{Config, DriverKind, Features, Port};

/// Above the features.
pub(super) const FEATURES: &str = "features of io_uring, found by trying";

/// Of a feature that is not in use.
pub(super) const ABSENT: &str = "no, or not with the others";

pub(super) fn name() -> String {
    let name = rustix::system::uname();
    format!("{} {}, {}", name.sysname().to_string_lossy(), name.release().to_string_lossy(), name.machine().to_string_lossy())
}

pub(super) fn examine(asked: Driver) -> Result<Found, Failure> {
    let config = Config { driver: asked.into(), ..Config::default() };
    let port = Port::with(config).map_err(|error| Failure::start(&error))?;
    let why_not_uring = ostia_port::why_not_uring().map(|error| error.to_string());
    Ok(found(port.driver(), asked, port.features(), why_not_uring))
}

fn found(kind: DriverKind, asked: Driver, features: Features, why_not_uring: Option<String>) -> Found {
    let because = match (asked, kind, why_not_uring) {
        (Driver::IoUring | Driver::Epoll, _, _) => "--driver asked for it".to_owned(),
        (Driver::Auto, DriverKind::IoUring, _) => "io_uring works here and is the faster of the two".to_owned(),
        (Driver::Auto, _, Some(why)) => why,
        (Driver::Auto, _, None) => "io_uring can be set up, but lacks something a server needs (before Linux 5.11)".to_owned(),
    };
    let features = match kind {
        DriverKind::IoUring => Features::all().iter().map(|(feature, name)| (name, features.contains(feature))).collect(),
        _ => Vec::new(),
    };
    Found { kind, because, features }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Report;
    use crate::limits::Facts;

    fn report(kind: DriverKind, why: Option<&str>) -> String {
        let features = Features::BUFFER_RING | Features::MULTISHOT_RECV;
        let driver = found(kind, Driver::Auto, features, why.map(str::to_owned));
        let facts = Facts { inotify_works: true, proc_mounted: true, openat2: true, workers: 2, ..Facts::default() };
        Report { system: "Linux 6.18, x86_64".into(), driver, facts }.render()
    }

    #[test]
    fn the_driver_comes_first_with_its_reason() {
        let text = report(DriverKind::IoUring, None);
        let line = text.lines().find(|line| line.contains("driver")).unwrap();
        assert!(line.starts_with("driver ") && line.ends_with(" io_uring"), "{line}");
        assert!(text.contains("+ buffer_ring") && text.contains("- send_zc"));
        assert!(text.ends_with("nothing needs to be changed\n"));
    }

    #[test]
    fn a_forbidden_ring_is_explained_and_its_features_left_out() {
        let text = report(DriverKind::Epoll, Some("a seccomp filter forbids io_uring"));
        assert!(text.contains("  because                       a seccomp filter forbids io_uring\n"), "{text}");
        assert!(!text.contains("buffer_ring"));
    }

    #[test]
    fn what_bites_is_listed_with_its_remedy() {
        let driver = found(DriverKind::Epoll, Driver::Epoll, Features::none(), None);
        let facts = Facts { descriptors: (Some(100), Some(100)), ..Facts::default() };
        let text = Report { system: "Linux".into(), driver, facts }.render();
        assert!(text.contains("- open descriptors") && text.contains("! open descriptors: "), "{text}");
    }

    #[test]
    fn a_demanded_driver_is_had() {
        let found = examine(Driver::Epoll).unwrap();
        assert_eq!((found.kind, &*found.because), (DriverKind::Epoll, "--driver asked for it"));
    }
}

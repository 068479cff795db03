//! The leak guard: what a program in a world may not read, and that programs which keep to Ostia don't.
//!
//! A leak ends the process, so each is tried in a process of its own: this binary again, told by a variable what to do.

use std::process::Command;
use std::time::Duration;

use ostia::net::{Stream, TcpListener};
use ostia_sim::{LinkConfig, Outcome, Report, World};

const LEAK: &str = "OSTIA_TEST_LEAK";

fn world(leak: Option<&'static str>) -> Report {
    let mut world = World::new(1);
    let delay = Duration::from_millis(3);
    let lan = world.link("lan", LinkConfig { delay, loss: 0.05, ..LinkConfig::default() }).expect("a link");
    let server = world.host("server", lan, &["10.0.0.1/24"]).expect("a host");
    let client = world.host("client", lan, &["10.0.0.2/24"]).expect("a host");
    world.service(server, "echo", |_| async {
        let mut listener = TcpListener::bind("10.0.0.1:7".parse()?)?;
        let mut stream = listener.accept().await?;
        while let Some(chunk) = stream.recv().await? {
            stream.send(chunk).await?;
        }
        Ok(())
    });
    world.client(client, "client", move |_| async move {
        let mut stream = Stream::connect(&"server:7".parse()?).await?;
        stream.send(vec![5; 100_000]).await?;
        let mut left = 100_000;
        while left > 0 {
            left -= stream.recv().await?.ok_or("the end came early")?.len();
        }
        ostia::time::sleep(Duration::from_secs(1)).await;
        let _ = (ostia::time::now(), ostia::time::wall(), ostia::random::number()?);
        match leak {
            Some("instant") => drop(std::time::Instant::now()),
            Some("system-time") => drop(std::time::SystemTime::now()),
            // SAFETY: a null pointer is not written to.
            Some("time") => drop(unsafe { libc::time(std::ptr::null_mut()) }),
            Some("timeofday") => {
                let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
                // SAFETY: it writes to `time`, and not to a null pointer.
                unsafe { libc::gettimeofday(&raw mut time, std::ptr::null_mut()) };
            }
            Some("entropy") => {
                let mut bytes = [0u8; 8];
                // SAFETY: it writes so many bytes.
                unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) };
            }
            Some("random-state") => drop(std::hash::RandomState::new()),
            _ => {}
        }
        Outcome::Ok(())
    });
    world.run().expect("a world")
}

#[test]
fn a_program_that_keeps_to_ostia_passes() {
    // Outside of worlds the clock and the randomness are the system's.
    let (before, _) = (std::time::Instant::now(), std::hash::RandomState::new());
    let report = world(None);
    assert!(report.succeeded(), "{report:?}");
    assert!(before.elapsed() < Duration::from_secs(3600));
}

#[test]
fn leaks_are_caught() {
    const LEAKS: [(&str, &str); 6] = [
        ("instant", "reads the system's clock"),
        ("system-time", "reads the system's clock"),
        ("time", "reads the system's clock"),
        ("timeofday", "reads the system's clock"),
        ("entropy", "reads the system's source of randomness"),
        ("random-state", "reads the system's source of randomness"),
    ];
    if let Ok(told) = std::env::var(LEAK) {
        world(LEAKS.iter().map(|(leak, _)| *leak).find(|leak| *leak == told));
        return;
    }
    for (leak, says) in LEAKS {
        let mut child = Command::new(std::env::current_exe().expect("this binary"));
        let child = child.args(["--exact", "leaks_are_caught", "--nocapture"]).env(LEAK, leak);
        let output = child.output().expect("this binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(says), "{leak}: {} {told}", output.status);
    }
}

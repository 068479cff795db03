//! What these tests share: an echo server and its clients, on a link of one's choice.

use ostia::net::{Stream, TcpListener};
use ostia_sim::{HostId, LinkConfig, LinkId, World};

/// The seed of this run, for tests that draw by chance.
pub fn seed() -> u64 {
    std::env::var("OSTIA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// `quick` of them, or `full` with `OSTIA_REPEAT=full`.
pub fn repeats(quick: u64, full: u64) -> u64 {
    if std::env::var_os("OSTIA_REPEAT").is_some_and(|value| value == "full") { full } else { quick }
}

/// Serves echo on port 7 of a host, for every connection that comes.
pub fn serve_echo(world: &mut World, host: HostId, address: &'static str) {
    world.service(host, "echo", move |_| async move {
        let mut listener = TcpListener::bind(address.parse()?)?;
        loop {
            let mut stream = listener.accept().await?;
            ostia::spawn(async move {
                while let Ok(Some(chunk)) = stream.recv().await {
                    if stream.send(chunk).await.is_err() {
                        break;
                    }
                }
            })
            .detach();
        }
    });
}

/// Sends `len` bytes that are the host's own to the server's echo, and compares what comes back.
pub fn compare_echo(world: &mut World, host: HostId, len: usize) {
    world.client(host, "compare", move |host| async move {
        let mut sent = vec![0; len];
        ostia::random::fill(&mut sent)?;
        let mut stream = Stream::connect(&"server:7".parse()?).await?;
        let (mut reading, mut writing) = stream.split();
        let data = sent.clone();
        let writes = async move {
            writing.send(data).await?;
            writing.shutdown().await
        };
        let reads = async {
            let mut got = Vec::new();
            while let Some(chunk) = reading.recv().await? {
                got.extend_from_slice(&chunk);
            }
            std::io::Result::Ok(got)
        };
        let (written, got) = ostia::join!(writes, reads);
        written?;
        if got? != sent {
            return Err("what came back is not what was sent".into());
        }
        host.note("the same came back");
        Ok(())
    });
}

/// A server with this many clients, each of which has so many bytes echoed.
pub fn echo_world(seed: u64, config: LinkConfig, clients: u8, len: usize) -> (World, LinkId, Vec<HostId>) {
    let mut world = World::new(seed);
    let lan = world.link("lan", config).expect("a link");
    let server = world.host("server", lan, &["10.0.0.1/24"]).expect("a host");
    serve_echo(&mut world, server, "10.0.0.1:7");
    let mut hosts = vec![server];
    for number in 0..clients {
        let host = world.host(&format!("client{number}"), lan, &[&format!("10.0.0.{}/24", number + 2)]).expect("a host");
        compare_echo(&mut world, host, len);
        hosts.push(host);
    }
    (world, lan, hosts)
}

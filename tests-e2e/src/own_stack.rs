//! Clients on Ostia's own stack, for tests: `own-stack [--pcap FILE] COMMAND`, on a TUN device that it makes.
//!
//! | command | does |
//! |---|---|
//! | `forward LISTEN TO` | listens on the stack, and forwards what connects to an address of the kernel's network |
//! | `exchange ADDRESS FILE` | connects from the stack, sends the file and the end, and prints what comes |
//! | `hold ADDRESS` | connects, probes the silent peer every second, and says how the connection ended |
//!
//! The stack is 10.7.0.2/24 and fd07::2/64, the kernel's side 10.7.0.1 and fd07::1.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use ostia::Runtime;
use ostia::fs::File;
use ostia::net::{Endpoint, Keepalive, ListenOptions, Network, Stream};
use ostia_link::{Capture, CaptureOptions, HostAddress, HostSide, Link, Tun, TunConfig};
use ostia_net::{NetConfig, StackEngine};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("own-stack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &mut Vec<String>) -> Outcome {
    let mut capture = None;
    if arguments.first().is_some_and(|first| first == "--pcap") && arguments.len() > 1 {
        capture = Some(Capture::create(&arguments[1], CaptureOptions::default())?);
        arguments.drain(..2);
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut runtime = Runtime::builder().workers(1).build()?;
    let done = runtime.block_on(async {
        let network = open(capture.as_ref())?;
        match words[..] {
            ["forward", listen, to] => forward(&network, &listen.parse()?, to.parse()?).await,
            ["exchange", address, file] => exchange(network.connect(&address.parse()?).await?, file).await,
            ["hold", address] => hold(network.connect(&address.parse()?).await?).await,
            _ => Err("usage: own-stack [--pcap FILE] forward LISTEN TO | exchange ADDRESS FILE | hold ADDRESS".into()),
        }
    });
    // What is on its way goes out first.
    runtime.shutdown(Duration::from_secs(10));
    if let Some(capture) = capture {
        capture.flush()?;
    }
    done
}

/// A stack on a new device.
fn open(capture: Option<&Capture>) -> Result<Network, Box<dyn Error>> {
    let host = |address: &str, prefix| {
        Ok::<_, Box<dyn Error>>(HostAddress { address: address.parse()?, prefix, peer: None, no_dad: true })
    };
    let addresses = vec![host("10.7.0.1", 24)?, host("fd07::1", 64)?];
    let tun = Tun::open(&TunConfig { host: HostSide { addresses, ..HostSide::default() }, ..TunConfig::default() })?;
    let link: Box<dyn Link> = match capture {
        Some(capture) => Box::new(capture.link(tun)),
        None => Box::new(tun),
    };
    let config = NetConfig::new([7; 32]).with_address("10.7.0.2".parse()?, 24).with_address("fd07::2".parse()?, 64);
    Ok(Network::of_engine(Box::new(StackEngine::new(link, &config)?))?)
}

/// Forwards each connection both ways, until it is killed.
async fn forward(network: &Network, listen: &Endpoint, to: Endpoint) -> Outcome {
    let mut listener = network.listen(listen, ListenOptions::default()).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let from = listener.accept().await?;
        let to = to.clone();
        ostia::spawn(async move {
            if let Err(error) = forward_one(from, &to).await {
                eprintln!("own-stack: a connection ended: {error}");
            }
        })
        .detach();
    }
}

async fn forward_one(mut near: Stream, to: &Endpoint) -> std::io::Result<()> {
    let mut far = Network::kernel().connect(to).await?;
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.split(), far.split());
    let up = async {
        while let Some(chunk) = near_in.recv().await? {
            far_out.send(chunk).await?;
        }
        far_out.shutdown().await
    };
    let down = async {
        while let Some(chunk) = far_in.recv().await? {
            near_out.send(chunk).await?;
        }
        near_out.shutdown().await
    };
    let (up, down) = ostia::join!(up, down);
    up.and(down)
}

/// Sends and receives at the same time.
async fn exchange(mut stream: Stream, file: &str) -> Outcome {
    let file = File::open(file).await?;
    let length = file.metadata().await?.len();
    let (mut receiving, mut sending) = stream.split();
    let send = async {
        let sent = sending.send_file(None, &file, 0..length).await?;
        sending.shutdown().await?;
        Ok::<_, std::io::Error>(sent)
    };
    let receive = async {
        let mut out = std::io::stdout().lock();
        while let Some(chunk) = receiving.recv().await? {
            out.write_all(&chunk)?;
        }
        out.flush()
    };
    let (sent, received) = ostia::join!(send, receive);
    received?;
    if sent? != length {
        return Err("the file has become shorter".into());
    }
    Ok(())
}

/// Keeps a silent connection.
async fn hold(mut stream: Stream) -> Outcome {
    stream.set_keepalive(Some(Keepalive { idle: Duration::from_secs(1), interval: Duration::from_secs(1), probes: 3 }))?;
    println!("connected");
    let ended = loop {
        match stream.recv().await {
            Ok(Some(chunk)) => println!("received {}", chunk.len()),
            Ok(None) => break "by the peer".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    println!("ended: {ended}");
    Ok(())
}

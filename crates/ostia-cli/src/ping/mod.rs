//! `ostia ping`: ICMP echo requests over any network, and what came of them.

pub mod figures;

use crate::args::PingArgs;
use crate::errors::Failure;
use crate::network::Opened;
use crate::{launch, limits, network, output};
use figures::Figures;
use ostia::net::{EchoReply, EchoSocket, Endpoint, NetError};
use ostia::time::{interval, sleep, sleep_until};
use serde_json::json;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What a header of ICMP has, which ping(8) counts too.
const HEADER: usize = 8;
/// After an error, so that one which stays doesn't keep the processor busy.
const PAUSE: Duration = Duration::from_millis(10);
/// Answers that may come longer than was asked for: those to requests of others, cut off.
const ROOM: usize = 66_000;

/// Asks until all is answered, or a signal comes.
///
/// # Errors
/// What keeps it from asking; and that nobody has answered.
pub fn run(args: &PingArgs) -> Result<(), Failure> {
    limits::raise_descriptors();
    let builder = ostia::Runtime::builder().workers(1).driver(args.driver.into());
    let mut runtime = builder.build().map_err(|error| Failure::start(&error))?;
    let (opened, figures) = runtime.block_on(async {
        let opened = network::open(&args.network).await?;
        let figures = opened.network.scope(ping(args, &opened)).await?;
        Ok((opened, figures))
    })?;
    runtime.shutdown(Duration::ZERO);
    opened.finish();
    if figures.answered > 0 {
        return Ok(());
    }
    Err(Failure::new(
        format!("{} has not answered", args.host),
        "check that it is up, that packets find the way there and back, and that no firewall drops echo requests",
    ))
}

/// A failure before anything was asked. What the network says of it is divided into what and what to do.
fn failure(host: &str, error: &io::Error) -> Failure {
    let text = error.to_string();
    match NetError::of(error) {
        Some(known) => {
            let remedy = known.remedy();
            let what = text.strip_suffix(remedy).map_or(text.as_str(), |what| what.trim_end_matches("; "));
            Failure::new(format!("cannot ping {host}: {what}"), remedy)
        }
        None if error.kind() == io::ErrorKind::PermissionDenied => {
            let (why, remedy) = text.split_once(": ").unwrap_or((text.as_str(), "run as another user"));
            Failure::permission(format!("cannot ping {host}: {why}"), remedy)
        }
        None => Failure::new(format!("cannot ping {host}: {text}"), "name another host, or another --network"),
    }
}

async fn address_of(host: &str, opened: &Opened) -> Result<IpAddr, Failure> {
    let digits = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = digits.parse() {
        return Ok(ip);
    }
    let found = opened.network.resolve(&Endpoint::Name(host.to_owned(), 0)).await.map_err(|error| failure(host, &error))?;
    let ip = found.iter().find_map(|address| address.ip()).map(|address| address.ip());
    ip.ok_or_else(|| failure(host, &io::ErrorKind::NotFound.into()))
}

async fn ping(args: &PingArgs, opened: &Opened) -> Result<Figures, Failure> {
    let host = address_of(&args.host, opened).await?;
    let socket = EchoSocket::open(host).map_err(|error| failure(&args.host, &error))?;
    let mut stop = launch::Stop::watch()?;
    let named = if host.to_string() == args.host { args.host.clone() } else { format!("{} ({host})", args.host) };
    launch::started();
    output::print(
        &format!("PING {named}: {} bytes of data", args.size),
        || json!({ "event": "ping", "host": args.host, "address": host.to_string(), "bytes": args.size }),
    );
    let began = Instant::now();
    let mut asking = Asking::new(args, host, socket);
    ostia::select! {
        () = asking.all() => {},
        () = opened.until_gone() => {},
        _ = stop.asked() => {},
    }
    let (figures, elapsed) = (asking.figures, began.elapsed());
    output::print(&figures.lines(&args.host, elapsed), || figures.object(&args.host, elapsed));
    opened.gone().map_or(Ok(figures), Err)
}

/// A request that is under way, or was answered a moment ago.
struct Asked {
    number: u64,
    sent: Instant,
    answered: bool,
}

struct Asking {
    args: PingArgs,
    host: IpAddr,
    socket: EchoSocket,
    payload: Vec<u8>,
    figures: Figures,
    /// By sequence number, as long as an answer is waited for.
    asked: BTreeMap<u16, Asked>,
    buffer: Vec<u8>,
}

impl Asking {
    fn new(args: &PingArgs, host: IpAddr, socket: EchoSocket) -> Asking {
        // The bytes that ping(8) has.
        let payload = (0..args.size).map(|at| at as u8).collect();
        Asking {
            args: args.clone(),
            host,
            socket,
            payload,
            figures: Figures::default(),
            asked: BTreeMap::new(),
            buffer: Vec::with_capacity(ROOM),
        }
    }

    /// Sends all requests, and waits for the answers, as long as somebody reads of them.
    async fn all(&mut self) {
        let mut ticks = interval(self.args.interval);
        // The first tick comes at once, so this is moved on before anything waits for it.
        let mut end = Instant::now();
        loop {
            let more = self.args.count.is_none_or(|count| self.figures.sent < count.get());
            if !more && self.asked.values().all(|asked| asked.answered) || !output::is_read() {
                return;
            }
            let (socket, buffer) = (&mut self.socket, &mut self.buffer);
            buffer.clear();
            ostia::select! {
                _ = ticks.tick(), if more => {
                    self.request().await;
                    end = Instant::now() + self.args.timeout;
                },
                received = poll_fn(|cx| socket.poll_recv_from(cx, buffer)) => match received {
                    Ok(reply) => self.reply(reply),
                    Err(error) => {
                        self.error(None, &error);
                        sleep(PAUSE).await;
                    }
                },
                () = sleep_until(end), if !more => return,
            }
        }
    }

    async fn request(&mut self) {
        let now = Instant::now();
        self.asked.retain(|_, asked| now.duration_since(asked.sent) <= self.args.timeout);
        self.figures.sent += 1;
        let number = self.figures.sent;
        // It goes round after 65,536, as that of ping(8) does.
        let sequence = number as u16;
        self.asked.insert(sequence, Asked { number, sent: now, answered: false });
        if let Err(error) = self.socket.send_to(&self.payload, self.host, sequence).await {
            // Nothing will come.
            self.asked.remove(&sequence);
            self.error(Some(number), &error);
        }
    }

    fn reply(&mut self, reply: EchoReply) {
        // Too late, or never asked for; or another payload than was sent.
        let Some(asked) = self.asked.get_mut(&reply.sequence) else { return };
        if self.buffer != self.payload {
            return;
        }
        let (time, number) = (asked.sent.elapsed(), asked.number);
        let duplicate = std::mem::replace(&mut asked.answered, true);
        match duplicate {
            true => self.figures.duplicates += 1,
            false => self.figures.answer(time),
        }
        let ttl = reply.ttl.map(|ttl| format!("ttl={ttl} ")).unwrap_or_default();
        let (bytes, ms) = (reply.len + HEADER, figures::rounded(time.as_secs_f64() * 1000.0));
        output::print(
            &format!(
                "{bytes} bytes from {}: icmp_seq={number} {ttl}time={ms:.3} ms{}",
                reply.from,
                if duplicate { " (DUP!)" } else { "" }
            ),
            || {
                json!({
                    "event": "reply", "from": reply.from.to_string(), "bytes": bytes, "sequence": number, "ttl": reply.ttl,
                    "ms": ms, "duplicate": duplicate,
                })
            },
        );
    }

    /// A request could not be sent, or somebody tells that one could not be delivered.
    fn error(&mut self, number: Option<u64>, error: &io::Error) {
        self.figures.errors += 1;
        let bare = NetError::of(error).and_then(NetError::raw_os_error).map(io::Error::from_raw_os_error);
        let why = bare.as_ref().unwrap_or(error).to_string();
        let which = number.map(|number| format!("icmp_seq={number} ")).unwrap_or_default();
        output::print(&format!("{which}{why}"), || json!({ "event": "error", "sequence": number, "error": why }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_a_remedy_of_their_own() {
        let missing = io::Error::new(io::ErrorKind::PermissionDenied, "the kernel allows none: `sysctl` does");
        let failure = failure("10.7.0.1", &missing);
        assert_eq!((failure.code, failure.remedy.as_str()), (4, "`sysctl` does"));
        assert_eq!(failure.what, "cannot ping 10.7.0.1: the kernel allows none");
    }
}

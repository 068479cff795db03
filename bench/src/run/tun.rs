//! The TCP/IP stack over TUN devices, to and from the kernel's: one stream each way, and requests one after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::Session;
use crate::cli::Tun;
use crate::machine;
use crate::paired::{self, Figure};
use crate::report::{Count, Ratio};
use crate::stats;
use crate::target::{self, Service, Target};

/// Ports of the servers (bench/rivals/tun).
const SINK: u16 = 5001;
const SOURCE: u16 = 5002;
const ECHO: u16 = 7;

/// One piece of a stream.
const PIECE: usize = 1 << 20;
/// What a request has.
const REQUEST: usize = 64;

/// One datagram of a flood, and how many of them a super-segment stands for.
const DATAGRAM: usize = 1_400;
const SEGMENTS: usize = 44;

/// Networks that servers have had.
static NETWORKS: AtomicU8 = AtomicU8::new(0);

/// A server behind a device of its own.
struct Behind {
    child: Child,
    address: Ipv4Addr,
}

impl Behind {
    /// Starts one on a network of its own, on a processor.
    fn start(program: &Path, whose: &str, mtu: u32, offload: bool, cpu: usize) -> Result<Behind, String> {
        // A device that its program has left behind is in nobody's way.
        let number = 1 + NETWORKS.fetch_add(1, Ordering::Relaxed) % 250;
        let address = Ipv4Addr::new(10, number, 0, 2);
        let mut command = Command::new(program);
        command.args([whose, "--name", &format!("bench{number}"), "--address", &address.to_string()]);
        command.args(["--mtu", &mtu.to_string(), "--cpu", &cpu.to_string()]);
        if offload {
            command.arg("--offload");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("does not start: {error}"))?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or("does not start: it has no output")?;
        let read = BufReader::new(output).read_line(&mut line);
        let behind = Behind { child, address };
        match read {
            Ok(_) if line.trim() == "ready" => Ok(behind),
            _ => Err(format!("does not serve on {address}")),
        }
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    fn cpu(&self) -> Result<Duration, String> {
        machine::cpu_time(self.child.id()).map_err(|error| error.to_string())
    }

    /// A stream for so long: nanoseconds per KiB, and the server's processor time for it.
    fn stream(&self, inwards: bool, duration: Duration) -> Result<Vec<f64>, String> {
        let failed = |error: std::io::Error| format!("the stream ends: {error}");
        let mut stream = TcpStream::connect(self.at(if inwards { SINK } else { SOURCE })).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(failed)?;
        stream.set_write_timeout(Some(Duration::from_secs(5))).map_err(failed)?;
        let mut piece = vec![7u8; PIECE];
        let mut moved = 0;
        let (began, before) = (Instant::now(), self.cpu()?);
        while began.elapsed() < duration {
            moved += if inwards { stream.write(&piece) } else { stream.read(&mut piece) }.map_err(failed)?;
        }
        let (time, cpu) = (began.elapsed(), self.cpu()?.saturating_sub(before));
        if moved == 0 {
            return Err("nothing moved".to_owned());
        }
        let per_kib = |time: Duration| time.as_nanos() as f64 * 1_024.0 / moved as f64;
        Ok(vec![per_kib(time), per_kib(cpu).max(f64::MIN_POSITIVE)])
    }

    /// A flood of datagrams for so long: the server's processor time per frame that it has read, and per KiB, in nanoseconds.
    fn flood(&self, segments: usize, duration: Duration) -> Result<Vec<f64>, String> {
        let failed = |error: std::io::Error| format!("no datagram goes out: {error}");
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(failed)?;
        socket.connect(self.at(ECHO)).map_err(failed)?;
        if segments > 1 {
            let (len, size) = (DATAGRAM as libc::c_int, size_of::<libc::c_int>() as libc::socklen_t);
            // SAFETY: the option is an int, which the kernel reads.
            let set =
                unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, (&raw const len).cast(), size) };
            if set != 0 {
                return Err(failed(std::io::Error::last_os_error()));
            }
        }
        let datagrams = vec![7u8; DATAGRAM * segments];
        let (before, (bytes_before, frames_before), began) = (self.cpu()?, self.carried()?, Instant::now());
        while began.elapsed() < duration {
            // What the device has no room for is lost, as everywhere.
            let _ = socket.send(&datagrams);
        }
        let (cpu, (bytes, frames)) = (self.cpu()?.saturating_sub(before).as_nanos() as f64, self.carried()?);
        let (bytes, frames) = (bytes - bytes_before, frames - frames_before);
        if frames == 0 {
            return Err("reads nothing".to_owned());
        }
        Ok(vec![cpu / frames as f64, cpu * 1_024.0 / bytes as f64])
    }

    /// Bytes and frames that the server has read from its device (proc_net(5)).
    fn carried(&self) -> Result<(u64, u64), String> {
        let devices = std::fs::read_to_string("/proc/thread-self/net/dev").map_err(|error| error.to_string())?;
        let name = format!("bench{}:", self.address.octets()[1]);
        let line = devices.lines().find_map(|line| line.trim_start().strip_prefix(&name)).ok_or("its device is gone")?;
        let mut sent = line.split_ascii_whitespace().skip(8).map_while(|number| number.parse().ok());
        sent.next().zip(sent.next()).ok_or_else(|| "its device counts nothing".to_owned())
    }

    /// Requests one after the other for so long: the median time of one, in microseconds.
    fn requests(&self, datagrams: bool, duration: Duration) -> Result<Vec<f64>, String> {
        let failed = |error: std::io::Error| format!("no answer: {error}");
        let patience = Some(Duration::from_secs(5));
        let request = [7u8; REQUEST];
        let mut answer = [0u8; REQUEST];
        let mut times = Vec::new();
        let began = Instant::now();
        if datagrams {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(failed)?;
            socket.connect(self.at(ECHO)).and_then(|()| socket.set_read_timeout(patience)).map_err(failed)?;
            while began.elapsed() < duration {
                let asked = Instant::now();
                socket.send(&request).and_then(|_| socket.recv(&mut answer)).map_err(failed)?;
                times.push(asked.elapsed().as_nanos() as f64 / 1e3);
            }
        } else {
            let mut stream = TcpStream::connect(self.at(ECHO)).map_err(failed)?;
            stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(patience)).map_err(failed)?;
            while began.elapsed() < duration {
                let asked = Instant::now();
                stream.write_all(&request).and_then(|()| stream.read_exact(&mut answer)).map_err(failed)?;
                times.push(asked.elapsed().as_nanos() as f64 / 1e3);
            }
        }
        stats::median(&times).map(|median| vec![median]).ok_or_else(|| "no request was answered".to_owned())
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Session<'_> {
    /// The parts asked for, in a network namespace of this program's own.
    pub fn tun(&mut self, options: &Tun) -> Result<(), String> {
        enter_namespace()?;
        machine::pin(self.placement.generator).map_err(|error| error.to_string())?;
        for part in &options.parts {
            match part.as_str() {
                "stream" => self.streams(options)?,
                "offload" => self.offloaded()?,
                "request" => self.requests()?,
                "read" => self.reads()?,
                _ => return Err(format!("no part called {part:?}: choose stream, offload, request or read")),
            }
        }
        Ok(())
    }

    /// One stream each way, offload off, each subject beside each rival.
    fn streams(&mut self, options: &Tun) -> Result<(), String> {
        for (subject, rival) in self.pairs(Service::Tun)? {
            for &mtu in &options.mtus {
                let goal = (subject.is_ostia() && !rival.is_ostia()).then_some(1.0);
                self.stream_pair(&format!("TUN, MTU {mtu}, offload off"), mtu, (&subject, false), (&rival, false), goal);
            }
        }
        Ok(())
    }

    /// The same with super-segments over the device, beside the rival without.
    fn offloaded(&mut self) -> Result<(), String> {
        for (subject, rival) in self.pairs(Service::Tun)? {
            self.stream_pair("TUN, MTU 1500, offload on beside off", 1500, (&subject, true), (&rival, false), Some(0.5));
        }
        Ok(())
    }

    fn stream_pair(&mut self, what: &str, mtu: u32, subject: (&Target, bool), rival: (&Target, bool), goal: Option<f64>) {
        for (way, inwards) in [("in", true), ("out", false)] {
            let result = self.stream(mtu, inwards, subject, rival, goal);
            if let Ok([time, ..]) = result.as_deref() {
                for (target, nanos) in [(subject.0, time.subject), (rival.0, time.rival)] {
                    let count = Count::new(8.0 * 1_024.0 / nanos, "Gbit/s", None);
                    self.counted(&format!("{what}, {way}: throughput"), target, Ok(count));
                }
            }
            let cases = ["time", "the server's processor time"].map(|value| format!("{what}, {way}: {value} per KiB"));
            self.paired(&cases, &subject.0.to_string(), &rival.0.to_string(), result);
        }
    }

    fn stream(
        &mut self,
        mtu: u32,
        inwards: bool,
        subject: (&Target, bool),
        rival: (&Target, bool),
        goal: Option<f64>,
    ) -> Result<Vec<Ratio>, String> {
        let cpu = self.placement.server;
        let mut start =
            |(target, offload): (&Target, bool)| Behind::start(&self.programs.get(target)?, target.args[0], mtu, offload, cpu);
        let own = start(subject).map_err(|error| format!("subject {error}"))?;
        let other = start(rival)?;
        let figure = |place, goal, decides| Figure { subject: place, rival: place, unit: "ns", goal, decides };
        let figures = [figure(0, goal, true), figure(1, None, false)];
        let slice = self.effort.slice;
        paired::compare(&mut || own.stream(inwards, slice), &mut || other.stream(inwards, slice), self.effort, &figures)
    }

    /// Frames that are only read: by a multishot read into buffers of a ring, beside a poll and read(2).
    fn reads(&mut self) -> Result<(), String> {
        let Some(ostia) = Target::find_all(Service::Tun, &["ostia".to_owned()])?.first().copied() else { return Ok(()) };
        // On the sender's processor the reader has its turn when the sender may send no more: then there are many.
        let (apart, together) = (self.placement.server, self.placement.generator);
        let cells = [
            ("frames of 1,428 B, one by one,", 1, apart),
            ("frames of 1,428 B, in bursts,", 1, together),
            ("super-segments of 60 KiB, one by one,", SEGMENTS, apart),
        ];
        for (what, segments, cpu) in cells {
            for way in ["multishot", "multishot-copied"] {
                let mut measure = || {
                    let program = self.programs.get(&ostia)?;
                    let own = Behind::start(&program, way, 1500, true, cpu)?;
                    let other = Behind::start(&program, "poll", 1500, true, cpu)?;
                    let figure = |place, decides| Figure { subject: place, rival: place, unit: "ns", goal: None, decides };
                    let slice = self.effort.slice;
                    paired::compare(
                        &mut || own.flood(segments, slice),
                        &mut || other.flood(segments, slice),
                        self.effort,
                        &[figure(0, true), figure(1, false)],
                    )
                };
                let result = measure();
                let cases = ["frame", "KiB"].map(|unit| format!("TUN, {what} read: the server's processor time per {unit}"));
                self.paired(&cases, way, "poll and read(2)", result);
            }
        }
        Ok(())
    }

    /// Requests one after the other, beside a loop that sends each packet back as it came.
    fn requests(&mut self) -> Result<(), String> {
        let Some(ostia) = Target::find_all(Service::Tun, &["ostia".to_owned()])?.first().copied() else { return Ok(()) };
        for (what, datagrams) in [("datagrams", true), ("TCP", false)] {
            let mut measure = || {
                let (program, cpu) = (self.programs.get(&ostia)?, self.placement.server);
                let own = Behind::start(&program, "ostia", 1500, false, cpu)?;
                let other = Behind::start(&program, "swap", 1500, false, cpu)?;
                let goal = Some(target::SWAP_GOAL);
                let figures = [Figure { subject: 0, rival: 0, unit: "µs", goal, decides: true }];
                let slice = self.effort.slice;
                // The loop knows no TCP: what a packet takes there and back is the same for both.
                paired::compare(
                    &mut || own.requests(datagrams, slice),
                    &mut || other.requests(true, slice),
                    self.effort,
                    &figures,
                )
            };
            let result = measure();
            let case = format!("TUN, {REQUEST} B there and back by {what}: median");
            self.paired(&[case], &ostia.to_string(), "a loop that swaps addresses", result);
        }
        Ok(())
    }
}

/// Devices and addresses of the measurement are nobody else's.
fn enter_namespace() -> Result<(), String> {
    // SAFETY: it changes which network this thread and its children see, and no memory or descriptor of others.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|error| format!("no network namespace can be had: {error}; run as root"))?;
    match Command::new("ip").args(["link", "set", "lo", "up"]).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("ip(8) does not set lo up: {other:?}")),
    }
}

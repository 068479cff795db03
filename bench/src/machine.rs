//! What the measurements ask the machine: processors, processor time of a process, resident memory, limits.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use rustix::thread::CpuSet;

/// The processors a measurement runs on.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// The server's.
    pub server: usize,
    /// The load generator's; the server's where there is only one.
    pub generator: usize,
}

impl Placement {
    /// The first two processors this process may use.
    pub fn choose() -> io::Result<Placement> {
        let allowed = rustix::thread::sched_getaffinity(None)?;
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let server = cpus.next().ok_or_else(|| io::Error::other("no processor to run on"))?;
        Ok(Placement { server, generator: cpus.next().unwrap_or(server) })
    }
}

/// Binds the calling thread, and what it starts from now on, to one processor.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Gives the calling thread, while the value lives, real-time priority: a server on the same processor then sees a
/// wave of requests only once the whole wave was sent. Dropping it returns to the default policy.
pub struct FirstInLine(());

impl FirstInLine {
    /// Takes the priority.
    ///
    /// # Errors
    /// Without `CAP_SYS_NICE` the kernel refuses (sched_setscheduler(2)).
    pub fn take() -> io::Result<FirstInLine> {
        set_policy(libc::SCHED_FIFO, 1).map(|()| FirstInLine(()))
    }
}

impl Drop for FirstInLine {
    fn drop(&mut self) {
        // Going back to the default policy needs no privilege.
        let _ = set_policy(libc::SCHED_OTHER, 0);
    }
}

fn set_policy(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: 0 is the calling thread, and `param` outlives the call.
    // SCHED_RESET_ON_FORK keeps servers started meanwhile at the default.
    let result = unsafe { libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &param) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Processor time, user and system, that all threads of a process have had: its clock as clock_getcpuclockid(3)
/// builds it, exact to the nanosecond.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    /// Scheduler time of all threads (`CPUCLOCK_SCHED` in the kernel's posix-timers.h).
    const SCHED: i32 = 2;
    let clock: libc::clockid_t = (!(pid as i32) << 3) | SCHED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the write.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// A process and all its descendants.
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        next += 1;
        for task in tasks(parent) {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{task}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    family
}

/// The threads of a process, those of the kernel working for it included.
pub fn tasks(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Resident memory in bytes, as `/proc/PID/smaps_rollup` adds it up page by page (`VmRSS` may lag behind).
pub fn resident(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    line.and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other("no Rss line in smaps_rollup"))
}

/// Connections to a local IPv4 port that its listener has not yet accepted; 0 where nobody listens.
pub fn accept_queue(port: u16) -> io::Result<u32> {
    // Listeners come first; what follows may be tens of thousands of lines.
    let lines = BufReader::with_capacity(4096, File::open("/proc/net/tcp")?).lines().skip(1);
    let mut queued = 0;
    for line in lines {
        match listener_queue(&line?) {
            Some((own, queue)) if own == port => queued += queue,
            Some(_) => {}
            None => break,
        }
    }
    Ok(queued)
}

/// A line of `/proc/net/tcp`: a listener's port and the length of its accept queue; none for other sockets.
fn listener_queue(line: &str) -> Option<(u16, u32)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let (_, received) = fields.next()?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTEN).then(|| Some((port, u32::from_str_radix(received, 16).ok()?)))?
}

/// Raises this process's limit of open descriptors as far as it may go, and says how far that is.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// One line about the machine, for reports.
pub fn description() -> String {
    let kernel = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()))
        .unwrap_or_else(|| "unknown processor".to_owned());
    let release = kernel.release().to_string_lossy().into_owned();
    format!("{model}, {cpus} processors, Linux {release}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_of_this_process_grows() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let mut sum = 0_u64;
        while cpu_time(pid).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_time(pid).unwrap() > before);
    }

    #[test]
    fn a_process_that_is_gone_has_no_clock() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(cpu_time(pid).is_err());
    }

    #[test]
    fn resident_memory_grows_with_touched_pages() {
        let pid = std::process::id();
        let before = resident(pid).unwrap();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident(pid).unwrap() >= before + (32 << 20), "{}", touched.len());
    }

    #[test]
    fn the_accept_queue_counts_connections() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(accept_queue(addr.port()).unwrap(), 0);
        let waiting = [std::net::TcpStream::connect(addr).unwrap(), std::net::TcpStream::connect(addr).unwrap()];
        assert_eq!(accept_queue(addr.port()).unwrap(), waiting.len() as u32);
        listener.accept().unwrap();
        assert_eq!(accept_queue(addr.port()).unwrap(), 1);
    }

    #[test]
    fn only_listeners_have_a_queue() {
        let listener = "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000 0 0 1 1";
        assert_eq!(listener_queue(listener), Some((8080, 3)));
        assert_eq!(listener_queue(&listener.replace(" 0A ", " 01 ")), None);
        assert_eq!(listener_queue("  sl  local_address rem_address"), None);
        assert_eq!(listener_queue(""), None);
    }

    #[test]
    fn the_family_holds_the_child() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(family(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

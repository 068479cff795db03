//! The same comparison with wrk(1) as the load: a second opinion on this program's own generator.

use std::process::Command;

use crate::compare::Effort;
use crate::paired::{self, Figure};
use crate::report::Ratio;
use crate::server::Server;

/// Processor time per request of two servers under wrk, in turn. A slice is as long as wrk can make it short: a second.
///
/// # Errors
/// wrk is not installed or fails; what a server's clock says.
pub fn compare(
    subject: &Server,
    rival: &Server,
    path: &str,
    connections: usize,
    effort: Effort,
    goal: Option<f64>,
) -> Result<Vec<Ratio>, String> {
    let figure = Figure { subject: 0, rival: 0, unit: "µs CPU/req", goal, decides: true };
    let mut own = || slice(subject, path, connections);
    let mut other = || slice(rival, path, connections);
    // A few runs will do.
    let effort = Effort { min_blocks: effort.min_blocks.min(3), half_width: f64::INFINITY, ..effort };
    paired::compare(&mut own, &mut other, effort, &[figure])
}

fn slice(server: &Server, path: &str, connections: usize) -> Result<Vec<f64>, String> {
    let text = |error: std::io::Error| error.to_string();
    let before = server.cpu_time().map_err(text)?;
    let output = Command::new("wrk")
        .args(["-t1", "-d1s", "-c", &connections.to_string(), &format!("http://{}{path}", server.addr())])
        .output()
        .map_err(|error| format!("wrk does not run (Debian: apt install wrk): {error}"))?;
    let cpu = server.cpu_time().map_err(text)?.saturating_sub(before);
    let printed = String::from_utf8_lossy(&output.stdout);
    let requests = requests(&printed).filter(|_| output.status.success()).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("under wrk: {}", printed.lines().chain(errors.lines()).last().unwrap_or("it printed nothing"))
    })?;
    Ok(vec![cpu.as_secs_f64() * 1e6 / requests as f64])
}

/// The requests that wrk counted: `  12345 requests in 1.10s, 1.50MB read`. None if answers were missing or no success.
fn requests(printed: &str) -> Option<u64> {
    if printed.contains("Socket errors") || printed.contains("Non-2xx") {
        return None;
    }
    let (before, _) = printed.split_once(" requests in ")?;
    before.rsplit(char::is_whitespace).next()?.parse().ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_in_what_wrk_prints() {
        let printed = "Running 1s test\n  Thread Stats   Avg\n  51234 requests in 1.10s, 6.50MB read\nRequests/sec:  46576.36\n";
        assert_eq!(requests(printed), Some(51_234));
        assert_eq!(requests(&format!("{printed}  Socket errors: connect 0, read 3, write 0, timeout 0\n")), None);
        assert_eq!(requests(&format!("{printed}  Non-2xx or 3xx responses: 9\n")), None);
        assert_eq!(requests("  0 requests in 1.10s, 0.00B read"), None);
        assert_eq!(requests(""), None);
    }
}

//! Programs that measure themselves when told to: a slice's length goes in as a line, its figures come back as one.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A running program, asleep unless it measures.
pub struct Driven {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Driven {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start; the message is meant for a table.
    pub fn start(program: &Path, args: &[&str]) -> Result<Driven, String> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("does not start: {error}"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(orders), Some(answers)) => Ok(Driven { child, orders, answers: BufReader::new(answers) }),
            _ => Err("does not start: it has no pipes".to_owned()),
        }
    }

    /// Has it measure for so long; the figures it gives, `count` of them.
    ///
    /// # Errors
    /// It has ended, or answers something else.
    pub fn slice(&mut self, duration: Duration, count: usize) -> Result<Vec<f64>, String> {
        let failed = |error: std::io::Error| format!("does not measure: {error}");
        writeln!(self.orders, "{}", duration.as_millis()).map_err(failed)?;
        let mut line = String::new();
        if self.answers.read_line(&mut line).map_err(failed)? == 0 {
            return Err("ended without an answer".to_owned());
        }
        let figures: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if figures.len() == count { Ok(figures) } else { Err(format!("answers {:?}", line.trim())) }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Driven {
        Driven::start(Path::new("sh"), &["-c", script]).unwrap()
    }

    #[test]
    fn figures_come_back_line_by_line() {
        let mut program = shell("while read ms; do echo $ms 1.5; done");
        assert_eq!(program.slice(Duration::from_millis(20), 2), Ok(vec![20.0, 1.5]));
        assert_eq!(program.slice(Duration::from_millis(30), 2), Ok(vec![30.0, 1.5]));
        assert!(program.slice(Duration::from_millis(30), 3).unwrap_err().contains("30 1.5"));
    }

    #[test]
    fn a_program_that_ends_is_noticed() {
        assert!(shell("read ms").slice(Duration::from_millis(1), 1).is_err());
        assert!(Driven::start(Path::new("/nonexistent/program"), &[]).is_err());
    }
}

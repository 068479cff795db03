//! The TCP/IP stack in memory: beside another, over many connections, its memory, and under a flood of SYNs.

use std::path::Path;
use std::process::Command;

use super::Session;
use crate::cli::Stack;
use crate::counts;
use crate::driven::Driven;
use crate::machine;
use crate::paired::{self, Figure};
use crate::report::{Count, Ratio};
use crate::target::{self, Service, Target};

/// Numbers of connections that a packet's cost is compared between.
const CONNECTIONS: [usize; 3] = [10, 1_000, 100_000];
/// Connections that carry something while others are idle.
const ACTIVE: usize = 64;
/// Connections that others open while the flood goes on, and what the stack may keep then: as the program has it.
const LEGITIMATE: f64 = 100.0;
const BUDGET: f64 = (16 << 20) as f64;

/// Floods.
const SIEGES: [(&str, &[&str]); 4] = [
    ("cookies", &[]),
    ("cookies, accepted late", &["--queues", "late"]),
    ("no cookies", &["--no-cookies"]),
    ("no cookies, accepted late", &["--no-cookies", "--queues", "late"]),
];

/// What a SYN may meet.
const COSTS: [(&str, &[&str]); 4] = [
    ("remembered as half open", &["--queues", "open"]),
    ("answered with a cookie", &["--queues", "full"]),
    ("dropped, the SYN queue being full", &["--queues", "full", "--no-cookies"]),
    ("dropped, the accept queue being full", &["--queues", "late"]),
];

impl Session<'_> {
    /// The parts asked for.
    pub fn stack(&mut self, options: &Stack) -> Result<(), String> {
        machine::pin(self.placement.server).map_err(|error| error.to_string())?;
        for part in &options.parts {
            match part.as_str() {
                "transfer" => self.transfers(options)?,
                "instructions" => self.spread()?,
                "idle" => self.beside_idle()?,
                "memory" => self.stack_memory()?,
                "flood" => self.flood(options)?,
                _ => return Err(format!("no part called {part:?}: choose transfer, instructions, idle, memory or flood")),
            }
        }
        Ok(())
    }

    /// One connection that carries as much as it can, each subject beside each rival.
    fn transfers(&mut self, options: &Stack) -> Result<(), String> {
        for (subject, rival) in self.pairs(Service::Stack)? {
            for mtu in &options.mtus {
                for (how, way) in [("copied in and out", None), ("lent", Some("--lend"))] {
                    let case = |what| format!("TCP in memory, MTU {mtu}, bytes {how}: {what}");
                    let result = self.transfer(&subject, &rival, *mtu, way);
                    if let Ok([per_byte, ..]) = result.as_deref() {
                        for (target, nanos) in [(&subject, per_byte.subject), (&rival, per_byte.rival)] {
                            let count = Count::new(8.0 * 1_024.0 / nanos, "Gbit/s", None);
                            self.counted(&case("throughput of one processor"), target, Ok(count));
                        }
                    }
                    let cases = [case("time per KiB"), case("time per packet, through both stacks")];
                    self.paired(&cases, &subject.to_string(), &rival.to_string(), result);
                }
            }
        }
        Ok(())
    }

    fn transfer(&mut self, subject: &Target, rival: &Target, mtu: u32, way: Option<&str>) -> Result<Vec<Ratio>, String> {
        let mtu_arg = mtu.to_string();
        let mut start = |target: &Target| {
            let args = [&["transfer", "--mtu", &mtu_arg], target.args, way.as_slice()].concat();
            Driven::start(&self.programs.get(target)?, &args)
        };
        let mut own = start(subject).map_err(|error| format!("subject {error}"))?;
        let mut other = start(rival)?;
        let goal = target::transfer_goal(subject, rival, mtu);
        let figure = |place, goal, decides| Figure { subject: place, rival: place, unit: "ns", goal, decides };
        let figures = [figure(0, goal, true), figure(1, goal.map(|_| 1.0), false)];
        let slice = self.effort.slice;
        paired::compare(&mut || own.slice(slice, 2), &mut || other.slice(slice, 2), self.effort, &figures)
    }

    /// Instructions per packet, with traffic spread over more and more connections.
    fn spread(&mut self) -> Result<(), String> {
        let (target, case) = (ostia()?, "instructions per packet, through both stacks: traffic over all connections");
        let mut all = Vec::new();
        // The largest takes 20 seconds.
        for connections in CONNECTIONS.into_iter().take(if self.common.quick { 2 } else { CONNECTIONS.len() }) {
            let result = self.programs.get(&target).and_then(|program| per_packet(&program, connections));
            all.extend(result.as_ref().ok().copied());
            let count = result.map(|value| Count::new(value, "instructions", None));
            self.counted(&format!("{case}, {connections} of them"), &target, count);
        }
        let (least, most) = all.iter().fold((f64::MAX, 0.0), |(least, most), value| (value.min(least), value.max(most)));
        let count = Count::new(most / least, "most / least", Some(target::SPREAD_GOAL));
        self.counted(case, &target, if all.is_empty() { Err("not measured".to_owned()) } else { Ok(count) });
        Ok(())
    }

    /// Time per packet over a few connections, beside many idle ones and beside few.
    fn beside_idle(&mut self) -> Result<(), String> {
        let target = ostia()?;
        let [few, more @ ..] = CONNECTIONS;
        for many in more {
            let mut measure = || {
                let program = self.programs.get(&target)?;
                let start = |idle: usize| {
                    let (all, active) = ((ACTIVE + idle).to_string(), ACTIVE.to_string());
                    Driven::start(&program, &["many", "--connections", &all, "--active", &active])
                };
                let (mut own, mut other) = (start(many)?, start(few)?);
                let goal = Some(target::SPREAD_GOAL);
                let figures = [Figure { subject: 0, rival: 0, unit: "ns", goal, decides: true }];
                let slice = self.effort.slice;
                paired::compare(&mut || own.slice(slice, 1), &mut || other.slice(slice, 1), self.effort, &figures)
            };
            let result = measure();
            let case = format!("time per packet, through both stacks: {ACTIVE} connections beside {many} idle ones");
            self.paired(&[case], "ostia", &format!("beside {few} idle ones"), result);
        }
        Ok(())
    }

    /// Bytes of an idle connection.
    fn stack_memory(&mut self) -> Result<(), String> {
        let target = ostia()?;
        let connections = if self.common.quick { "1000" } else { "10000" };
        let result = self.programs.get(&target).and_then(|program| printed(&program, &["idle", "--connections", connections], 2));
        for (place, what) in ["allocated", "counted by the stack"].into_iter().enumerate() {
            let value = result.as_ref().map(|values| Count::new(values[place], "bytes", Some(target::STACK_IDLE_GOAL)));
            let case = format!("the stack's memory for an idle connection that was used, of {connections}: {what}");
            self.counted(&case, &target, value.map_err(String::clone));
        }
        Ok(())
    }

    /// Others' connections during a flood, and what a SYN costs.
    fn flood(&mut self, options: &Stack) -> Result<(), String> {
        let target = ostia()?;
        let syns = if self.common.quick { 20_000.min(options.syns) } else { options.syns }.to_string();
        for (what, args) in SIEGES {
            let args = [&["siege", "--syns", &syns], args].concat();
            let result = self.programs.get(&target).and_then(|program| printed(&program, &args, 5));
            let case = |value| format!("flood of {syns} SYNs, {what}: {value}");
            let mut note = |case: String, place: usize, count: &dyn Fn(f64) -> Count| {
                let value = result.as_ref().map(|values| count(values[place])).map_err(String::clone);
                self.counted(&case, &target, value);
            };
            note(case("of 100 others' connections, not served"), 0, &|served| {
                Count::new(LEGITIMATE - served, "connections", Some(0.0))
            });
            note(case("their SYNs sent again"), 1, &|again| Count::new(again, "SYNs", None));
            note(case("most memory kept"), 2, &|peak| Count::new(peak, "bytes", Some(BUDGET)));
            note(case("memory kept in the end"), 3, &|left| Count::new(left, "bytes", Some(0.0)));
            note(case("time until the last is served"), 4, &|seconds| Count::new(seconds, "s of the stacks' time", None));
        }
        for (what, args) in COSTS {
            let program = self.programs.get(&target);
            let times = program.clone().and_then(|program| printed(&program, &[&["cost", "--syns", &syns], args].concat(), 1));
            let time = times.map(|values| Count::new(values[0], "ns", None));
            self.counted(&format!("a bogus SYN, {what}: time"), &target, time);
            let instructions = program.and_then(|program| per_syn(&program, args));
            let instructions = instructions.map(|value| Count::new(value, "instructions", None));
            self.counted(&format!("a bogus SYN, {what}: instructions"), &target, instructions);
        }
        Ok(())
    }
}

fn ostia() -> Result<Target, String> {
    Target::find_all(Service::Stack, &["ostia".to_owned()])?.first().copied().ok_or_else(|| "there is no stack".to_owned())
}

/// The numbers in a program's only line.
fn numbers(line: &str, count: usize) -> Result<Vec<f64>, String> {
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if numbers.len() == count { Ok(numbers) } else { Err(format!("answers {:?}", line.trim())) }
}

/// Runs a program to its end; the numbers that it prints.
fn printed(program: &Path, args: &[&str], count: usize) -> Result<Vec<f64>, String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("does not start: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("fails: {}", words.lines().find(|line| !line.is_empty()).unwrap_or("without a word")));
    }
    numbers(&String::from_utf8_lossy(&output.stdout), count)
}

/// Instructions per packet: the difference between a short and a long run.
fn per_packet(program: &Path, connections: usize) -> Result<f64, String> {
    // Turns are of ten connections; all have had theirs in either run.
    let turns = (connections / 10).max(500);
    let run = |turns: usize| {
        let (connections, turns) = (connections.to_string(), turns.to_string());
        let (total, line) = counts::instructions_of(program, &["many", "--connections", &connections, "--run", &turns])?;
        Ok::<_, String>((total as f64, numbers(&line, 1)?[0]))
    };
    let ((short, few), (long, many)) = (run(turns)?, run(2 * turns)?);
    if many > few { Ok((long - short) / (many - few)) } else { Err("the long run was not longer than the short one".to_owned()) }
}

/// Instructions per SYN: the difference between a short and a long run, less what making the SYNs takes.
fn per_syn(program: &Path, args: &[&str]) -> Result<f64, String> {
    let (short, long) = (2_000, 12_000);
    let run = |how: &str, syns: i32| {
        let syns = syns.to_string();
        Ok::<_, String>(counts::instructions_of(program, &[&[how, "--syns", &syns], args].concat())?.0 as f64)
    };
    let with = run("cost", long)? - run("cost", short)?;
    let without = run("cost-dry", long)? - run("cost-dry", short)?;
    Ok((with - without) / f64::from(long - short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_numbers_that_it_should() {
        assert_eq!(numbers("100 0 352 0 1.1\n", 5), Ok(vec![100.0, 0.0, 352.0, 0.0, 1.1]));
        assert!(numbers("100 0", 5).unwrap_err().contains("100 0"));
        assert!(printed(Path::new("/nonexistent/program"), &[], 1).is_err());
        assert_eq!(printed(Path::new("echo"), &["7", "8"], 2), Ok(vec![7.0, 8.0]));
    }
}

//! The matrix: columns, reasons for empty cells, running every cell, and the table that is printed.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use ostia_port::{Config, DriverChoice, PoolConfig};

use crate::columns;
use crate::common::net::Network;
use crate::common::{World, skip, under_valgrind};
use crate::rows;

/// A situation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    Done,
    Short,
    EndOfFile,
    Reset,
    CancelBefore,
    CancelAfter,
    CancelRacing,
    HandleClosed,
    PortDropped,
    BuffersDry,
    QueueFull,
}

impl Column {
    pub const ALL: [Column; 11] = [
        Column::Done,
        Column::Short,
        Column::EndOfFile,
        Column::Reset,
        Column::CancelBefore,
        Column::CancelAfter,
        Column::CancelRacing,
        Column::HandleClosed,
        Column::PortDropped,
        Column::BuffersDry,
        Column::QueueFull,
    ];

    fn title(self) -> &'static str {
        match self {
            Column::Done => "done",
            Column::Short => "short",
            Column::EndOfFile => "eof",
            Column::Reset => "reset",
            Column::CancelBefore => "cancel before",
            Column::CancelAfter => "cancel after",
            Column::CancelRacing => "cancel racing",
            Column::HandleClosed => "handle closed",
            Column::PortDropped => "port dropped",
            Column::BuffersDry => "buffers dry",
            Column::QueueFull => "queue full",
        }
    }

    /// What makes the situation: queues of a few entries, a pool of two buffers.
    fn adjust(self, config: Config) -> Config {
        match self {
            Column::QueueFull => Config { submission_entries: 1, completion_entries: 2, ..config },
            Column::BuffersDry => {
                let pool = PoolConfig { buffer_size: 4096, buffers: 2, ready_min: 1, ready_max: 2, ..config.pool };
                Config { pool, ..config }
            }
            // Peers that don't read would hold up each end of a port that has sockets of its own.
            Column::PortDropped => Config { linger: Duration::from_millis(100), ..config },
            _ => config,
        }
    }
}

/// Why a situation does not exist for an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    NoHandle,
    NoBytes,
    AllOrNothing,
    NoEnd,
    NoPeer,
    NoPool,
    Atomic,
    NoIdentity,
    Unprovokable,
    #[cfg(windows)]
    NoSplice,
    ForgottenReset,
    TimeUnknown,
}

impl Reason {
    pub fn letter(self) -> char {
        match self {
            Reason::NoHandle => 'h',
            Reason::NoBytes => 'b',
            Reason::AllOrNothing => 'w',
            Reason::NoEnd => 'e',
            Reason::NoPeer => 'r',
            Reason::NoPool => 'p',
            Reason::Atomic => 'a',
            Reason::NoIdentity => 'i',
            Reason::Unprovokable => 'u',
            #[cfg(windows)]
            Reason::NoSplice => 's',
            Reason::ForgottenReset => 'f',
            Reason::TimeUnknown => 't',
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            Reason::NoHandle => "the operation has no handle that could be closed",
            Reason::NoBytes => "the operation moves no bytes that could be cut short",
            Reason::AllOrNothing => "what it moves has boundaries: whole or not at all",
            Reason::NoEnd => "the operation reads nothing that could end",
            Reason::NoPeer => "there is no peer that could break off",
            Reason::NoPool => "the operation uses no buffer of the pool",
            Reason::Atomic => "it is done before submit returns: nothing can race with it",
            Reason::NoIdentity => "a packet is no operation: it has no id to cancel",
            Reason::Unprovokable => "a regular file takes all unless the disk is full: the fault injector's engines cut it",
            #[cfg(windows)]
            Reason::NoSplice => "Windows has no splice: the operation completes with EOPNOTSUPP, as a test of its own shows",
            Reason::ForgottenReset => crate::common::system::FORGETS_RESETS,
            Reason::TimeUnknown => {
                "the kernel would end it in real time: in virtual time it completes with EOPNOTSUPP, as a test of its own shows"
            }
        }
    }
}

/// What a cell holds.
pub enum Cell {
    Test(Box<dyn Fn(&mut Bench)>),
    Empty(Reason),
}

/// What a cell's test works with: ports of the engine under test, set up for the column.
pub struct Bench {
    base: Config,
    network: Network,
    column: Column,
    verified: usize,
}

impl Bench {
    pub fn world(&self) -> World {
        World::on(self.network, self.column.adjust(self.base.clone()))
    }

    #[cfg(unix)]
    pub fn network(&self) -> Network {
        self.network
    }

    /// Whether time is virtual, and nothing of the kernel's is waited for.
    pub fn simulated(&self) -> bool {
        self.base.driver == DriverChoice::Virtual
    }

    pub fn faulty(&self) -> bool {
        self.base.faults.is_some()
    }

    /// Counts what was verified in a world.
    pub fn book(&mut self, world: &World) {
        self.verified += world.verified();
    }

    /// Verifies something outside of a world.
    #[track_caller]
    pub fn check(&mut self, holds: bool, what: &str) {
        assert!(holds, "{what}");
        self.verified += 1;
    }
}

enum Outcome {
    Passed,
    Empty(Reason),
    Failed(String),
}

/// The outcome of every cell on one engine.
pub struct Matrix {
    name: String,
    rows: Vec<(&'static str, Vec<Outcome>)>,
}

impl Matrix {
    pub fn run(name: &str, network: Network, base: &Config) -> Matrix {
        let faulty = base.faults.is_some();
        let only = std::env::var("OSTIA_CELL").ok();
        let mut rows = Vec::new();
        for row in if base.driver == DriverChoice::Virtual { rows::simulated() } else { rows::all() } {
            if row.name == "WaitPid" && under_valgrind() {
                skip(&format!("{name}/WaitPid"), "valgrind does not know pidfd_open(2)");
                continue;
            }
            let mut outcomes = Vec::new();
            for column in Column::ALL {
                let cell = format!("{} × {}", row.name, column.title());
                if only.as_ref().is_some_and(|only| !cell.contains(only.as_str())) {
                    continue;
                }
                outcomes.push(match columns::cell(&row, column, faulty) {
                    Cell::Empty(reason) => Outcome::Empty(reason),
                    Cell::Test(test) => {
                        match attempt(test.as_ref(), Bench { base: base.clone(), network, column, verified: 0 }) {
                            Ok(()) => Outcome::Passed,
                            Err(message) => {
                                eprintln!("{name}: {cell}: {message}");
                                Outcome::Failed(message)
                            }
                        }
                    }
                });
            }
            rows.push((row.name, outcomes));
        }
        Matrix { name: name.to_owned(), rows }
    }

    /// Prints and files the table, then fails if a cell did.
    pub fn publish(&self) {
        let table = self.table();
        println!("\n{table}");
        // Under valgrind a row is missing.
        if std::env::var_os("OSTIA_CELL").is_none() && !under_valgrind() {
            let folder = folder();
            std::fs::create_dir_all(&folder).expect("the folder of matrices");
            std::fs::write(folder.join(format!("{}.txt", self.name)), table).expect("the matrix is written");
        }
        self.require_no_failures();
    }

    pub fn require_no_failures(&self) {
        let failures: Vec<String> = self
            .rows
            .iter()
            .flat_map(|(row, outcomes)| outcomes.iter().zip(Column::ALL).map(move |(outcome, column)| (row, outcome, column)))
            .filter_map(|(row, outcome, column)| match outcome {
                Outcome::Failed(why) => Some(format!("  {row} × {}: {why}", column.title())),
                _ => None,
            })
            .collect();
        assert!(
            failures.is_empty(),
            "{}: {} cells failed (OSTIA_SEED={}):\n{}",
            self.name,
            failures.len(),
            crate::common::seed(),
            failures.join("\n")
        );
    }

    fn table(&self) -> String {
        let wide = self.name.chars().count().max(12) + 1;
        let mut text = format!("{:<wide$}", self.name);
        for half in 0..2 {
            for column in Column::ALL {
                let word = column.title().split(' ').nth(half).unwrap_or("");
                let _ = write!(text, "{word:>8}");
            }
            text.push('\n');
            if half == 0 {
                let _ = write!(text, "{:<wide$}", "");
            }
        }
        let mut used = Vec::new();
        for (row, outcomes) in &self.rows {
            let _ = write!(text, "{row:<wide$}");
            for outcome in outcomes {
                let mark = match outcome {
                    Outcome::Passed => '✓',
                    Outcome::Failed(_) => '✗',
                    Outcome::Empty(reason) => {
                        if !used.contains(reason) {
                            used.push(*reason);
                        }
                        reason.letter()
                    }
                };
                let _ = write!(text, "{mark:>8}");
            }
            text.push('\n');
        }
        text.push_str("✓ verified");
        for reason in used {
            let _ = write!(text, "\n{} {}", reason.letter(), reason.sentence());
        }
        text.push('\n');
        text
    }
}

/// Runs a cell's test; a panic in it, or nothing verified, is the cell's failure.
fn attempt(test: &dyn Fn(&mut Bench), mut bench: Bench) -> Result<(), String> {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        test(&mut bench);
        bench.verified
    }));
    match ran {
        Ok(0) => Err("nothing was verified".into()),
        Ok(_) => Ok(()),
        Err(panic) => Err(panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without words".into())),
    }
}

/// Where matrices are filed: beside the build that this program came from.
fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("OSTIA_CONFORMANCE") {
        return folder.into();
    }
    let program = std::env::current_exe().expect("the path of this program");
    // target/[triple/]profile/deps/program
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).unwrap_or(&program);
    target.join("conformance")
}

//! placeholder essay
mod blocking;
mod counters;
pub mod fs;
mod here;
mod inbox;
pub mod net;
mod operation;
mod paged;
mod runtime;
pub mod serve;
pub mod signal;
mod task;
pub mod time;
mod worker;

pub use counters::{TaskStatistics, WorkerStatistics};
pub use ostia_port::{
    Address, Buffer, Chunk, Config, DriverChoice, DriverKind, Faults, Features, Metadata, PoolConfig, Statistics, why_not_uring,
};
pub use runtime::{Builder, Runtime, Shutdown, WorkerId, block_on, statistics, workers};
pub use task::{JoinError, JoinHandle, spawn, spawn_blocking, spawn_on, yield_now};

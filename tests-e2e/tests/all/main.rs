//! End-to-end tests: the release build of `ostia` as a process, real clients, real faults.
//!
//! One test binary, one module per subject. Tests that concern the network run on both
//! drivers; see `support::case`.

mod support;

mod addresses;
mod bad_input;
mod browser;
mod coherence;
mod command_line;
mod downloads;
mod echo;
mod exhaustion;
mod load;
mod logging;
mod own_stack;
mod peers;
mod sandbox;
mod service_manager;
mod settings;
mod shell;
mod shutdown;
mod simulation;
mod special_files;
mod stack;
mod while_sending;
mod windows;

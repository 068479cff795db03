//! The program for Windows under Wine, driven by clients of Linux.

mod changes;
mod clients;
mod command_line;
mod downloads;
mod echo;
mod logging;
mod names;
mod shutdown;

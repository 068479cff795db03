//! The parts of the `ostia` program: a static file server, an echo server, a doctor, a look into the TCP/IP
//! stack, and simulations.
//!
//! What needs no I/O is kept free of it: [`http`] turns bytes into requests and decisions into
//! bytes, [`files`] knows which file a path names and when a cached one has changed, and
//! [`listing`], [`mime`], [`hosts`] and [`access_log`] are plain functions of their input.
//! [`config`] turns flags, environment and file into one command line, and [`log`] writes what was logged off the workers'
//! threads. [`service`] decides what a request is answered with; only [`serve`] and [`echo`] touch sockets.
//!
//! ```
//! use ostia_cli::http::request::{Limits, Reader, Step};
//!
//! let mut reader = Reader::new(Limits::default());
//! let received = b"GET /a.txt?x HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ne";
//! let (used, step) = reader.next(received);
//! assert!(matches!(step, Step::Request(request) if request.path == b"/a.txt"));
//! let (_, step) = reader.next(&received[used..]);
//! assert!(matches!(step, Step::More));
//! ```
#![forbid(unsafe_code)]

pub mod access_log;
pub mod args;
pub mod config;
pub mod doctor;
pub mod echo;
pub mod errors;
pub mod files;
pub mod hosts;
pub mod http;
pub mod launch;
pub mod limits;
pub mod listing;
pub mod log;
pub mod metrics;
pub mod mime;
pub mod network;
pub mod output;
pub mod ping;
pub mod serve;
pub mod service;
pub mod shell;
pub mod sim;
pub mod stack;

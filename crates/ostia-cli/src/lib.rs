//! The parts of the `ostia` program: a static file server, an echo server, and a doctor.
//!
//! What needs no I/O is kept free of it: [`http`] turns bytes into requests and decisions into
//! bytes, [`files`] knows which file a path names and when a cached one has changed, and
//! [`listing`], [`mime`], [`hosts`] and [`access_log`] are plain functions of their input.
#![forbid(unsafe_code)]

pub mod access_log;
pub mod args;
pub mod doctor;
pub mod echo;
pub mod errors;
pub mod files;
pub mod hosts;
pub mod http;
pub mod launch;
pub mod limits;
pub mod listing;
pub mod mime;
pub mod serve;
pub mod service;

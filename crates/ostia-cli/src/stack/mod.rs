//! `ostia stack`: Ostia's own TCP/IP stack, watched at work.

pub mod explain;

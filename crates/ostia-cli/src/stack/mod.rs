//! `ostia stack`: Ostia's own TCP/IP stack, brought up on a device and watched at work.

pub mod explain;
pub mod watch;

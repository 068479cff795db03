//! TCP (RFC 9293).

#[allow(dead_code, reason = "the connection is built on it")]
mod congestion;
#[allow(dead_code, reason = "the connection is built on it")]
mod cookie;
#[allow(dead_code, reason = "the connection is built on it")]
mod isn;
#[allow(dead_code, reason = "the connection is built on it")]
pub(crate) mod limiter;
#[allow(dead_code, reason = "the connection is built on it")]
mod out_of_order;
#[allow(dead_code, reason = "the connection is built on it")]
mod piece;
#[allow(dead_code, reason = "the connection is built on it")]
pub(crate) mod ports;
#[allow(dead_code, reason = "the connection is built on it")]
mod records;
#[allow(dead_code, reason = "the connection is built on it")]
mod rtt;
#[allow(dead_code, reason = "the connection is built on it")]
mod sack;
#[allow(dead_code, reason = "the connection is built on it")]
mod send_queue;
#[allow(dead_code, reason = "the connection is built on it")]
mod seq;

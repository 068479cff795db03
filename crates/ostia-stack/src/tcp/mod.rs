//! TCP (RFC 9293).

#[allow(dead_code, reason = "the connection is built on it")]
mod records;
#[allow(dead_code, reason = "the connection is built on it")]
mod rtt;
#[allow(dead_code, reason = "the connection is built on it")]
mod send_queue;
#[allow(dead_code, reason = "the connection is built on it")]
mod seq;

//! TCP (RFC 9293).

#[allow(dead_code, reason = "the connection is built on it")]
mod seq;

//! HTTP/1.1 as the server speaks it, free of I/O: bytes in, requests out; decisions in, bytes out.
//!
//! | module | what it decides | source |
//! |---|---|---|
//! | [`request`] | where a request begins and ends, and whether it is well formed | RFC 9112 |
//! | [`body`] | where a request's body ends | RFC 9112 sections 6 and 7 |
//! | [`conditional`] | 304 and 412 | RFC 9110 section 13 |
//! | [`range`] | 206 and 416 | RFC 9110 section 14 |
//! | [`response`] | how a response's head is spelt | RFC 9110 and 9112 |

pub mod body;
pub mod conditional;
pub mod range;
pub mod request;
pub mod response;

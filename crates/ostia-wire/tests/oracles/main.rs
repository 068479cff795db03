//! What others make of the same bytes: etherparse and smoltcp are oracles for this crate's parsers, over bytes that are nearly
//! packets, and makers of packets that it must read.

mod bytes;
mod etherparse_views;
mod smoltcp_messages;
mod smoltcp_views;

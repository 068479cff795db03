//! Sockets as a whole: frames in, frames out.

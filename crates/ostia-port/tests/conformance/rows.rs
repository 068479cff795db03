//! The rows: every operation of the vocabulary, its rig, its special situations, and why others don't exist.

use crate::common::system::remembers_resets;
use crate::matrix::Bench;
use crate::matrix::Reason::{
    AllOrNothing, Atomic, ForgottenReset, NoBytes, NoEnd, NoHandle, NoIdentity, NoPeer, NoPool, TimeUnknown, Unprovokable,
};
use crate::rig::Special::{No, Test};
use crate::rig::{Row, Special};
#[cfg(unix)]
use crate::splicing;
use crate::{files, messages, others, receiving, sending};

/// What most rows have in common: an operation that waits, can be cancelled, and has nothing special.
const PLAIN: Row = Row {
    name: "",
    not_here: None,
    rig: None,
    waits: true,
    cancellable: true,
    done: None,
    short: No(NoBytes),
    end_of_file: No(NoEnd),
    reset: No(NoPeer),
    dry: No(NoPool),
    cancel: None,
    closed: None,
    dropped: None,
    full: None,
};

#[cfg(unix)]
const SPLICE: Row = Row {
    name: "Splice",
    rig: Some(splicing::splice),
    short: Test(splicing::splice_short),
    end_of_file: Test(splicing::splice_end),
    reset: Test(splicing::splice_broken),
    ..PLAIN
};
#[cfg(windows)]
const SPLICE: Row = Row { name: "Splice", not_here: Some(crate::matrix::Reason::NoSplice), ..PLAIN };

/// A test in which a connection is reset while nothing waits on it.
fn told_reset(test: fn(&mut Bench)) -> Special {
    if remembers_resets() { Test(test) } else { No(ForgottenReset) }
}

/// All rows, in the order of the vocabulary.
pub fn all() -> Vec<Row> {
    vec![
        Row { name: "Accept", rig: Some(receiving::accept), reset: Test(receiving::accept_reset), ..PLAIN },
        Row { name: "AcceptMulti", rig: Some(receiving::accept_multi), reset: Test(receiving::accept_reset), ..PLAIN },
        Row { name: "Connect", rig: Some(receiving::connect), waits: false, reset: Test(receiving::connect_refused), ..PLAIN },
        Row {
            name: "Recv",
            rig: Some(receiving::recv),
            short: Test(receiving::recv_short),
            end_of_file: Test(receiving::recv_end),
            reset: Test(receiving::recv_reset),
            dry: Test(receiving::recv_dry),
            ..PLAIN
        },
        Row {
            name: "RecvMulti",
            rig: Some(receiving::recv_multi),
            short: Test(receiving::recv_multi_short),
            end_of_file: Test(receiving::recv_multi_end),
            reset: Test(receiving::recv_multi_reset),
            dry: Test(receiving::recv_multi_dry),
            ..PLAIN
        },
        Row {
            name: "RecvInto",
            rig: Some(receiving::recv_into),
            short: Test(receiving::recv_into_short),
            end_of_file: Test(receiving::recv_into_end),
            reset: Test(receiving::recv_into_reset),
            ..PLAIN
        },
        Row {
            name: "Send",
            rig: Some(sending::send),
            short: Test(sending::send_short),
            reset: Test(sending::send_reset),
            ..PLAIN
        },
        Row {
            name: "SendZc",
            rig: Some(sending::send_zc),
            short: Test(sending::send_zc_short),
            reset: Test(sending::send_zc_reset),
            ..PLAIN
        },
        Row {
            name: "SendVectored",
            rig: Some(sending::send_vectored),
            short: Test(sending::send_vectored_short),
            reset: Test(sending::send_vectored_reset),
            ..PLAIN
        },
        Row {
            name: "RecvMsg",
            rig: Some(messages::recv_msg),
            short: Test(messages::recv_msg_short),
            end_of_file: Test(messages::recv_msg_end),
            reset: Test(messages::recv_msg_reset),
            ..PLAIN
        },
        Row {
            name: "SendMsg",
            rig: Some(sending::send_msg),
            done: Some(messages::send_msg_done),
            short: Test(sending::send_msg_short),
            reset: Test(sending::send_msg_reset),
            ..PLAIN
        },
        Row {
            name: "send_to",
            rig: Some(messages::send_to),
            waits: false,
            short: No(AllOrNothing),
            reset: Test(messages::datagram_refused),
            ..PLAIN
        },
        Row { name: "Read", rig: Some(files::read), short: Test(files::read_short), end_of_file: Test(files::read_end), ..PLAIN },
        Row {
            name: "Write",
            rig: Some(files::write),
            short: Test(files::write_short),
            reset: Test(files::write_broken),
            ..PLAIN
        },
        Row {
            name: "ReadAt",
            rig: Some(files::read_at),
            waits: false,
            short: Test(files::read_at_end),
            end_of_file: Test(files::read_at_end),
            ..PLAIN
        },
        Row { name: "WriteAt", rig: Some(files::write_at), waits: false, short: No(Unprovokable), ..PLAIN },
        Row {
            name: "ReadMulti",
            rig: Some(receiving::read_multi),
            short: Test(receiving::read_multi_short),
            end_of_file: Test(receiving::read_multi_end),
            dry: Test(receiving::read_multi_dry),
            ..PLAIN
        },
        Row { name: "Fsync", rig: Some(files::fsync), waits: false, ..PLAIN },
        Row { name: "Open", rig: Some(files::open), waits: false, ..PLAIN },
        Row { name: "Statx", rig: Some(files::statx), waits: false, ..PLAIN },
        Row {
            name: "SendFile",
            rig: Some(sending::send_file),
            short: Test(sending::send_file_short),
            end_of_file: Test(sending::send_file_end),
            reset: Test(sending::send_file_reset),
            ..PLAIN
        },
        SPLICE,
        Row { name: "Shutdown", rig: Some(sending::shutdown), reset: told_reset(sending::shutdown_reset), ..PLAIN },
        Row {
            name: "Close",
            rig: Some(others::close),
            waits: false,
            cancellable: false,
            reset: Test(others::close_reset),
            closed: Some(Test(others::close_closed)),
            ..PLAIN
        },
        Row {
            name: "Poll",
            rig: Some(others::poll),
            end_of_file: Test(others::poll_end),
            reset: Test(others::poll_reset),
            ..PLAIN
        },
        Row { name: "Timeout", rig: Some(others::timeout), closed: Some(No(NoHandle)), ..PLAIN },
        Row {
            name: "WaitPid",
            rig: Some(others::wait_pid),
            closed: Some(No(NoHandle)),
            reset: Test(others::wait_pid_wrong),
            ..PLAIN
        },
        Row { name: "FutexWait", rig: Some(others::futex_wait), closed: Some(No(NoHandle)), ..PLAIN },
        Row {
            name: "FutexWake",
            rig: Some(others::futex_wake),
            waits: false,
            cancellable: false,
            cancel: Some(No(Atomic)),
            closed: Some(No(NoHandle)),
            ..PLAIN
        },
        Row {
            name: "post",
            done: Some(messages::post_done),
            cancel: Some(No(NoIdentity)),
            closed: Some(No(NoHandle)),
            dropped: Some(messages::post_dropped),
            full: Some(messages::post_full),
            ..PLAIN
        },
    ]
}

/// All rows in virtual time: reads and writes are of files, and what waits for the kernel does not exist.
pub fn simulated() -> Vec<Row> {
    let instead = |row: Row| match row.name {
        "Read" => Row {
            name: row.name,
            rig: Some(files::read_on),
            waits: false,
            short: Test(files::read_on_end),
            end_of_file: Test(files::read_on_end),
            ..PLAIN
        },
        "Write" => Row { name: row.name, rig: Some(files::write_on), waits: false, short: No(Unprovokable), ..PLAIN },
        "ReadMulti" | "Splice" | "WaitPid" | "FutexWait" => Row { not_here: Some(TimeUnknown), ..row },
        _ => row,
    };
    all().into_iter().map(instead).collect()
}

//! One conformance suite for every engine: each operation in each situation, printed as a matrix.
//!
//! A row is an operation of the vocabulary, a column a situation; a cell is ticked only if something was verified in
//! it, and an empty one carries its reason. The suite runs on io_uring and on epoll, on Windows on IOCP, plain and behind the
//! fault injector, and on io_uring with each kernel feature masked singly and with all of them masked. On Linux it runs once more,
//! on both drivers and with faults, with sockets that are those of a stack (see `common/net`), and so on the virtual driver, where
//! the stack's peer is in virtual time too, and what the kernel alone could tell the time of has a reason instead.
//!
//! The matrices go to standard output and to `target/conformance/ENGINE.txt` (or the folder that `OSTIA_CONFORMANCE`
//! names).

#[path = "../common/mod.rs"]
mod common;

mod columns;
mod files;
mod matrix;
mod messages;
mod others;
mod receiving;
mod rig;
mod rows;
mod sending;
#[cfg(unix)]
mod splicing;

use common::net::Network;
use common::{ENGINES, Engine, alone, skip, unavailable, under_valgrind};
use matrix::Matrix;

fn conforms(engine: &Engine) {
    let _alone = alone();
    if let Some(why) = unavailable(engine) {
        return skip(&engine.name.replace('+', "_with_"), &why);
    }
    if under_valgrind() && engine.network != Network::Kernel && engine.driver != ENGINES[0].driver {
        let why = "valgrind would take an hour; the stack on io_uring runs there";
        return skip(&engine.name.replace('+', "_with_"), why);
    }
    Matrix::run(engine.name, engine.network, &engine.config()).publish();
}

#[cfg(target_os = "linux")]
mod linux {
    use ostia_port::{Features, Op};

    use super::*;
    use crate::common::STACKS;
    use crate::common::system::{BRANCHES, SIMULATED};

    #[test]
    fn io_uring() {
        conforms(&ENGINES[0]);
    }

    #[test]
    fn epoll() {
        conforms(&ENGINES[1]);
    }

    #[test]
    fn io_uring_with_faults() {
        conforms(&ENGINES[2]);
    }

    #[test]
    fn epoll_with_faults() {
        conforms(&ENGINES[3]);
    }

    #[test]
    fn stack() {
        conforms(&STACKS[0]);
    }

    #[test]
    fn stack_on_epoll() {
        conforms(&STACKS[1]);
    }

    #[test]
    fn stack_with_faults() {
        conforms(&STACKS[2]);
    }

    #[test]
    fn stack_on_epoll_with_faults() {
        conforms(&STACKS[3]);
    }

    #[test]
    fn branch() {
        conforms(&BRANCHES[0]);
    }

    #[test]
    fn branch_with_faults() {
        conforms(&BRANCHES[1]);
    }

    #[test]
    fn simulated() {
        conforms(&SIMULATED[0]);
    }

    #[test]
    fn simulated_with_faults() {
        conforms(&SIMULATED[1]);
    }

    /// The clock must not jump over what the peer is about to do: nothing on this link takes time, and no wait is in vain.
    #[test]
    fn virtual_time_waits_for_the_peer() {
        let _alone = alone();
        let mut world = SIMULATED[0].world(SIMULATED[0].config());
        let time = world.port.virtual_time().expect("virtual").clone();
        let (socket, mut peer) = world.pair(0);
        for _ in 0..100 {
            world.port.submit(Op::Recv { socket }, u64::MAX);
            peer.write_all(b"to and");
            let heard = world.take(u64::MAX).payload.into_chunk().expect("a chunk");
            assert_eq!(&*heard, b"to and");
            assert_eq!(world.run(Op::Send { socket, data: b"fro".into() }).result.expect("sent"), 3);
            let mut got = Vec::new();
            world.read_up_to(&peer, &mut got, 3);
            assert_eq!(got, b"fro");
        }
        assert_eq!(time.nanos(), 0, "acknowledgments and answers came without a timer");
    }

    /// The whole suite on io_uring with `features` only.
    fn conforms_with(name: &str, features: Features) {
        let _alone = alone();
        if let Some(why) = unavailable(&ENGINES[0]) {
            return skip(name, &why);
        }
        let config = Engine::with_features(features);
        let got = ostia_port::Port::with(config.clone()).expect("a port").features();
        assert!(features.contains(got), "{got:?} was granted, only {features:?} was allowed");
        Matrix::run(name, Network::Kernel, &config).require_no_failures();
    }

    #[test]
    fn io_uring_with_each_feature_masked_singly() {
        if under_valgrind() {
            return skip(
                "io_uring_with_each_feature_masked_singly",
                "valgrind would take an hour; all and none masked run there",
            );
        }
        for (feature, name) in Features::all().iter() {
            conforms_with(&format!("io_uring_without_{name}"), Features::all().without(feature));
        }
    }

    #[test]
    fn io_uring_with_all_features_masked() {
        conforms_with("io_uring_of_linux_5.11", Features::none());
    }
}

#[cfg(windows)]
mod windows {
    use super::*;

    #[test]
    fn iocp() {
        conforms(&ENGINES[0]);
    }

    #[test]
    fn iocp_with_faults() {
        conforms(&ENGINES[1]);
    }
}

/// Whoever adds an operation to the vocabulary is told to add its row.
#[test]
fn every_operation_of_the_vocabulary_has_a_row() {
    let vocabulary = include_str!("../../src/op.rs");
    let body = vocabulary.split_once("pub enum Op {").expect("the enum").1.split_once("\n}").expect("its end").0;
    let operations: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" {"))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .collect();
    assert!(operations.len() > 20, "the enum was read: {operations:?}");
    for rows in [rows::all(), rows::simulated()] {
        let rows: Vec<&str> = rows.iter().map(|row| row.name).collect();
        for operation in &operations {
            assert!(rows.contains(operation), "{operation} has no row in the conformance suite");
        }
    }
}

/// Every cell without a test states its reason; the type allows no other kind, and each reason has its sentence.
#[test]
fn no_cell_is_silently_empty() {
    let mut letters = std::collections::BTreeMap::new();
    for row in rows::all().into_iter().chain(rows::simulated()) {
        for column in matrix::Column::ALL {
            if let matrix::Cell::Empty(reason) = columns::cell(&row, column, false) {
                assert!(reason.sentence().len() > 10, "{} × {column:?}: the reason has no sentence", row.name);
                let earlier = letters.insert(reason.letter(), reason.sentence());
                assert!(earlier.is_none_or(|sentence| sentence == reason.sentence()), "two reasons share a letter");
            }
        }
    }
}

//! No parser panics, whatever the bytes, and no walk over a view goes on for ever: valid packets of every kind are damaged in
//! every way and read by every parser, and packets that someone once got wrong are replayed (`tests/corpus`).
//!
//! `OSTIA_REPEAT=full` damages a hundred times as many; `OSTIA_SEED` repeats a run.

mod mutate;
mod random;
mod seeds;
mod walk;

use std::fs;
use std::path::Path;

use random::Random;
use walk::Walk;

const PACKETS: u64 = 100_000;

fn seed() -> u64 {
    std::env::var("OSTIA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_128)
}

#[test]
fn no_parser_panics_on_damaged_packets() {
    let full = std::env::var("OSTIA_REPEAT").is_ok_and(|value| value == "full");
    let packets = if full { PACKETS * 100 } else { PACKETS };
    let seeds = seeds::all();
    let mut random = Random::new(seed());
    let mut walk = Walk::default();
    for _ in 0..packets {
        let mut bytes = random.pick(&seeds).clone();
        for _ in 0..=random.below(4) {
            mutate::damage(&mut bytes, &seeds, &mut random);
        }
        walk.everything(&bytes);
    }
    println!("OSTIA_SEED={} damaged packets: {packets} of {} seeds\n{walk}", seed(), seeds.len());
    for (parser, accepted, refused) in walk.counts() {
        assert!(accepted > 0 && refused > 0, "{parser} took {accepted} and refused {refused}: both must be tried");
    }
}

#[test]
fn every_seed_is_taken_by_some_parser_and_every_parser_takes_some_seed() {
    let mut all = Walk::default();
    for bytes in seeds::all() {
        let mut walk = Walk::default();
        walk.everything(&bytes);
        assert!(walk.counts().any(|(_, accepted, _)| accepted > 0), "{bytes:02x?}");
        all.everything(&bytes);
    }
    for (parser, accepted, _) in all.counts() {
        assert!(accepted > 0, "{parser}");
    }
}

#[test]
fn every_prefix_of_a_packet_is_read_without_panic() {
    let mut walk = Walk::default();
    for bytes in seeds::all() {
        for len in 0..bytes.len() {
            walk.everything(&bytes[..len]);
        }
    }
    println!("prefixes\n{walk}");
}

/// Each file of the corpus says on lines with `#` what is odd about the packet, and on the others its bytes in hexadecimal.
#[test]
fn the_corpus_is_read_without_panic() {
    let mut files = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")).expect("the corpus is there") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a text");
        let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect::<String>().split_whitespace().collect();
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
            .collect();
        assert!(text.starts_with('#') && !bytes.is_empty(), "{}", path.display());
        Walk::default().everything(&bytes);
        files += 1;
    }
    println!("corpus: {files} packets");
    assert!(files >= 20, "{files}");
}

//! Tests of the transmit records.

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;
use std::vec;

const MSS: u32 = 1000;

fn at(millis: u64) -> Instant {
    Instant(millis * 1_000_000)
}

/// Super-segments of so many octets, sent at 1 ms, 2 ms, and so on, from number 0 on.
fn sent(lens: &[u32]) -> Records {
    let mut records = Records::default();
    let mut start = Seq(0);
    for (len, millis) in lens.iter().zip(1..) {
        records.push(start, *len, MSS as u16, 0, at(millis));
        start += *len;
    }
    records
}

fn sack(records: &mut Records, start: u32, end: u32) -> u32 {
    records.sack(Seq(start), Seq(end), &mut Acked::default())
}

fn ranges(records: &Records) -> Vec<(u32, u32, u8)> {
    records.iter().map(|record| (record.start.0, record.end().0, record.flags)).collect()
}

#[test]
fn an_acknowledgment_takes_whole_records_and_trims_the_next() {
    let mut records = sent(&[3000, 3000, 3000]);
    let acked = records.acknowledge(Seq(4000));
    assert_eq!((acked.seqs, acked.delivered()), (4000, 4000));
    assert_eq!(acked.oldest_sent, Some(at(1)), "of the record that is covered whole, which waited longer");
    assert_eq!(acked.latest, Some(Latest { sent: at(2), end: Seq(4000), retransmitted: false }));
    assert_eq!(ranges(&records), [(4000, 6000, 0), (6000, 9000, 0)]);
    assert_eq!((records.total(), records.in_flight()), (5000, 5000));
    assert_eq!(records.acknowledge(Seq(4000)), Acked::default(), "again says nothing new");
    assert_eq!(records.acknowledge(Seq(3000)), Acked::default(), "nor does an old one");
    assert_eq!(records.acknowledge(Seq(9000)).seqs, 5000);
    assert!(records.is_empty());
}

#[test]
fn syn_stays_with_the_first_part_and_fin_with_the_last() {
    let mut records = Records::default();
    // The SYN, 1999 octets, and the FIN.
    records.push(Seq(u32::MAX), 2001, MSS as u16, SYN | FIN | PUSH, at(1));
    assert_eq!(sack(&mut records, 999, 2000), 1001);
    assert_eq!(ranges(&records), [(u32::MAX, 999, SYN), (999, 2000, SACKED | FIN | PUSH)]);
    records.acknowledge(Seq(0));
    assert_eq!(ranges(&records), [(0, 999, 0), (999, 2000, SACKED | FIN | PUSH)], "the SYN is acknowledged");
}

#[test]
fn a_super_segment_sacked_in_part_is_split() {
    let mut records = sent(&[10_000]);
    let mut acked = Acked::default();
    assert_eq!(records.sack(Seq(3000), Seq(5000), &mut acked), 2000);
    assert_eq!(ranges(&records), [(0, 3000, 0), (3000, 5000, SACKED), (5000, 10_000, 0)]);
    assert_eq!(records.sack(Seq(2000), Seq(6000), &mut acked), 2000);
    assert_eq!(ranges(&records), [(0, 2000, 0), (2000, 6000, SACKED), (6000, 10_000, 0)], "neighbours become one");
    assert_eq!((acked.sacked, acked.delivered()), (4000, 4000));
    assert_eq!(acked.latest, Some(Latest { sent: at(1), end: Seq(6000), retransmitted: false }));
    assert_eq!((records.sacked(), records.in_flight(), records.highest_sacked()), (4000, 6000, Some(Seq(6000))));
    let acked = records.acknowledge(Seq(7000));
    assert_eq!((acked.seqs, acked.were_sacked, acked.delivered()), (7000, 4000, 3000));
    assert_eq!((records.sacked(), records.highest_sacked()), (0, None));
}

#[test]
fn nobody_can_cut_records_within_segments() {
    let mut records = sent(&[10_000]);
    for start in (0..10_000).step_by(2) {
        assert_eq!(sack(&mut records, start, start + 1), 0);
    }
    assert!(records.iter().count() <= 10);
    assert_eq!(sack(&mut records, 1500, 4500), 2000, "the segments that are covered whole");
    assert_eq!(records.find(Seq(2000)).map(|record| (record.start, record.end())), Some((Seq(2000), Seq(4000))));
}

#[test]
fn sacked_neighbours_become_one_from_both_sides() {
    let mut records = sent(&[1000, 1000, 1000, 1000]);
    sack(&mut records, 2000, 3000);
    sack(&mut records, 1000, 2000);
    assert_eq!(ranges(&records), [(0, 1000, 0), (1000, 3000, SACKED), (3000, 4000, 0)]);
    sack(&mut records, 3000, 4000);
    assert_eq!(ranges(&records), [(0, 1000, 0), (1000, 4000, SACKED)]);
}

#[test]
fn with_shorter_segments_records_are_split_at_their_ends() {
    let mut records = sent(&[3000]);
    records.limit_segment(500);
    assert_eq!(sack(&mut records, 500, 1500), 1000);
    records.limit_segment(900);
    assert_eq!(sack(&mut records, 2000, 2500), 500, "they never become longer");
}

#[test]
fn blocks_that_cannot_be_are_ignored() {
    let mut records = sent(&[3000]);
    records.acknowledge(Seq(1000));
    assert_eq!(sack(&mut records, 2000, 3001), 0, "beyond SND.NXT");
    assert_eq!(sack(&mut records, 3000, 2000), 0, "end before start");
    assert_eq!(sack(&mut records, 2000, 2000), 0, "empty");
    assert_eq!(sack(&mut records, 0, 1000), 0, "acknowledged");
    assert_eq!(records.sacked(), 0);
    assert_eq!(sack(&mut records, 0, 2000), 1000, "clipped at SND.UNA");
    assert_eq!(sack(&mut Records::default(), 0, 1), 0, "nothing sent");
}

#[test]
fn what_is_lost_is_sent_again_in_order() {
    let mut records = sent(&[4000, 4000]);
    sack(&mut records, 2000, 3000);
    assert_eq!(records.mark_lost(Seq(5000), Seq(6000)), 1000);
    assert_eq!(records.mark_lost(Seq(0), Seq(1)), 1000, "a whole segment, not an octet and not the super-segment");
    assert_eq!((records.lost(), records.in_flight()), (2000, 8000 - 1000 - 2000));
    assert_eq!(records.next_lost().map(|record| record.start), Some(Seq(0)));
    records.retransmitted(Seq(0), 1000, at(10));
    assert_eq!(records.next_lost().map(|record| record.start), Some(Seq(5000)));
    records.retransmitted(Seq(5000), 600, at(11));
    assert_eq!(records.next_lost().map(|record| (record.start, record.len)), Some((Seq(5600), 400)), "what was cut off is left");
    records.retransmitted(Seq(5600), 400, at(12));
    assert_eq!(records.next_lost(), None);
    assert_eq!((records.lost(), records.retransmitted_out(), records.in_flight()), (2000, 2000, 7000));
    assert_eq!(records.mark_lost(Seq(0), Seq(2)), 1000, "the retransmission is lost too");
    assert_eq!((records.lost(), records.retransmitted_out(), records.in_flight()), (2000, 1000, 6000));
    assert_eq!(records.next_lost().map(|record| (record.start, record.transmissions)), Some((Seq(0), 2)));
}

#[test]
fn what_was_retransmitted_gives_no_round_trip_time() {
    let mut records = sent(&[1000, 1000, 1000]);
    records.mark_lost(Seq(1000), Seq(2000));
    records.retransmitted(Seq(1000), 1000, at(50));
    let acked = records.acknowledge(Seq(2000));
    assert_eq!(acked.oldest_sent, Some(at(1)));
    assert!(acked.retransmitted);
    assert_eq!(acked.latest, Some(Latest { sent: at(50), end: Seq(2000), retransmitted: true }));
    assert_eq!((records.lost(), records.retransmitted_out()), (0, 0));
}

#[test]
fn a_sacked_record_is_neither_lost_nor_on_its_way() {
    let mut records = sent(&[1000, 1000, 1000]);
    records.mark_lost(Seq(0), Seq(2000));
    records.retransmitted(Seq(1000), 1000, at(5));
    assert_eq!(sack(&mut records, 1000, 2000), 1000);
    assert_eq!((records.sacked(), records.lost(), records.retransmitted_out()), (1000, 1000, 0));
    records.mark_all_lost();
    assert_eq!((records.sacked(), records.lost(), records.in_flight()), (1000, 2000, 0));
    records.clear_sacked();
    assert_eq!((records.sacked(), records.in_flight()), (0, 1000));
    assert_eq!(records.mark_all_lost(), 1000, "a peer that reneged gets all of it again");
}

#[test]
fn a_probe_counts_as_on_its_way_twice_until_it_is_answered() {
    let mut records = sent(&[1000, 1000]);
    records.retransmitted(Seq(1000), 1000, at(5));
    assert_eq!((records.lost(), records.retransmitted_out(), records.in_flight()), (0, 1000, 3000));
    assert_eq!(records.mark_lost_if(|record| record.sent == at(1)), 1000);
    assert_eq!(records.in_flight(), 2000);
    records.acknowledge(Seq(2000));
    assert_eq!(records.in_flight(), 0);
}

#[test]
fn a_record_is_small() {
    assert!(size_of::<Record>() <= 40);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u32),
    Ack(u32),
    Sack(u32, u32),
    Lost(u32, u32),
    AllLost,
    SendLost(u32),
    Again(u32, u32),
    Renege,
}

fn step() -> impl Strategy<Value = Step> {
    let range = || (0u32..200, 1u32..60);
    prop_oneof![
        4 => (1u32..40).prop_map(Step::Push),
        2 => (0u32..50).prop_map(Step::Ack),
        4 => range().prop_map(|(start, len)| Step::Sack(start, len)),
        3 => range().prop_map(|(start, len)| Step::Lost(start, len)),
        1 => Just(Step::AllLost),
        4 => (1u32..30).prop_map(Step::SendLost),
        1 => range().prop_map(|(start, len)| Step::Again(start, len)),
        1 => Just(Step::Renege),
    ]
}

/// What is known of one octet.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Octet {
    sacked: bool,
    lost: bool,
    again: bool,
}

fn octets(records: &Records) -> Vec<Octet> {
    let octet = |record: &Record| Octet { sacked: record.is(SACKED), lost: record.is(LOST), again: record.is(RETRANSMITTED) };
    records.iter().flat_map(|record| vec![octet(record); record.len as usize]).collect()
}

fn check(records: &Records, una: Seq) -> Result<(), TestCaseError> {
    let mut next = una;
    for record in records.iter() {
        prop_assert_eq!(record.start, next, "contiguous");
        prop_assert!(record.len > 0);
        prop_assert!(!record.is(SACKED) || record.flags & (LOST | RETRANSMITTED) == 0);
        prop_assert_eq!(records.find(record.start), Some(record));
        next = record.end();
    }
    let sum = |of: &dyn Fn(&Record) -> bool| records.iter().filter(|record| of(record)).map(|record| record.len).sum::<u32>();
    prop_assert_eq!(records.total(), next.since(una));
    prop_assert_eq!(records.sacked(), sum(&|record| record.is(SACKED)));
    prop_assert_eq!(records.lost(), sum(&|record| record.is(LOST)));
    prop_assert_eq!(records.retransmitted_out(), sum(&|record| record.is(RETRANSMITTED)));
    prop_assert_eq!(records.waiting, sum(&Record::is_waiting));
    prop_assert_eq!(records.next_lost(), records.iter().find(|record| record.is_waiting()));
    prop_assert_eq!(records.highest_sacked(), records.iter().rev().find(|record| record.is(SACKED)).map(Record::end));
    // RFC 6675, 4: SetPipe.
    let pipe = |record: &Record| u32::from(record.flags & (SACKED | LOST) == 0) + u32::from(record.is(RETRANSMITTED));
    prop_assert_eq!(records.in_flight(), records.iter().map(|record| record.len * pipe(record)).sum::<u32>());
    Ok(())
}

proptest! {
    #[test]
    fn with_segments_of_one_octet_every_octet_has_its_own_fate(start: u32, steps in proptest::collection::vec(step(), 1..80)) {
        let mut una = Seq(start);
        let mut records = Records::default();
        let mut model: Vec<Octet> = Vec::new();
        for (step, millis) in steps.into_iter().zip(1..) {
            let total = model.len() as u32;
            let nxt = una + total;
            match step {
                Step::Push(len) => {
                    records.push(nxt, len, 1, 0, at(millis));
                    model.extend(vec![Octet::default(); len as usize]);
                }
                Step::Ack(count) => {
                    let count = count.min(total);
                    let gone: Vec<Octet> = model.drain(..count as usize).collect();
                    una += count;
                    let acked = records.acknowledge(una);
                    prop_assert_eq!(acked.seqs, count);
                    prop_assert_eq!(acked.were_sacked as usize, gone.iter().filter(|octet| octet.sacked).count());
                }
                Step::Sack(start, len) => {
                    let mut acked = Acked::default();
                    let newly = records.sack(una + start, una + start + len, &mut acked);
                    let mut expected = 0;
                    if start + len <= total {
                        for octet in &mut model[start as usize..(start + len) as usize] {
                            expected += u32::from(!octet.sacked);
                            *octet = Octet { sacked: true, ..Octet::default() };
                        }
                    }
                    prop_assert_eq!((newly, acked.sacked, acked.latest.is_some()), (expected, expected, expected > 0));
                }
                Step::Lost(start, len) => {
                    records.mark_lost(una + start, una + start + len);
                    for octet in model.iter_mut().skip(start as usize).take(len as usize).filter(|octet| !octet.sacked) {
                        *octet = Octet { lost: true, ..Octet::default() };
                    }
                }
                Step::AllLost => {
                    records.mark_all_lost();
                    for octet in model.iter_mut().filter(|octet| !octet.sacked) {
                        *octet = Octet { lost: true, ..Octet::default() };
                    }
                }
                Step::SendLost(most) => {
                    let first = model.iter().position(|octet| octet.lost && !octet.again);
                    let lost = records.next_lost().copied();
                    prop_assert_eq!(lost.map(|record| record.start.since(una) as usize), first);
                    if let Some(record) = lost {
                        let len = record.len.min(most);
                        records.retransmitted(record.start, len, at(millis));
                        let first = record.start.since(una) as usize;
                        model[first..first + len as usize].iter_mut().for_each(|octet| octet.again = true);
                    }
                }
                Step::Again(start, len) => {
                    records.retransmitted(una + start, len, at(millis));
                    for octet in model.iter_mut().skip(start as usize).take(len as usize) {
                        octet.again |= !octet.sacked;
                    }
                }
                Step::Renege => {
                    records.clear_sacked();
                    model.iter_mut().for_each(|octet| octet.sacked = false);
                }
            }
            prop_assert_eq!(octets(&records), model.clone());
            check(&records, una)?;
        }
    }

    #[test]
    fn with_longer_segments_the_counts_hold_and_whole_segments_are_sacked(
        start: u32,
        segment in 1u16..12,
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut una = Seq(start);
        let mut nxt = una;
        let mut records = Records::default();
        for (step, millis) in steps.into_iter().zip(1..) {
            let before = octets(&records);
            match step {
                Step::Push(len) => {
                    records.push(nxt, len, segment, 0, at(millis));
                    nxt += len;
                }
                Step::Ack(count) => {
                    una += count.min(records.total());
                    records.acknowledge(una);
                }
                Step::Sack(start, len) => {
                    let newly = records.sack(una + start, una + start + len, &mut Acked::default());
                    let after = octets(&records);
                    let changed = |index: &u32| before[*index as usize] != after[*index as usize];
                    prop_assert_eq!((0..records.total()).filter(changed).count(), newly as usize);
                    prop_assert!((0..records.total()).filter(changed).all(|index| (start..start + len).contains(&index)));
                }
                Step::Lost(start, len) => {
                    records.mark_lost(una + start, una + start + len);
                    let after = octets(&records);
                    prop_assert!(after.iter().skip(start as usize).take(len as usize).all(|octet| octet.sacked || octet.lost));
                }
                Step::AllLost => {
                    records.mark_all_lost();
                }
                Step::SendLost(most) => {
                    if let Some(&Record { start, len, .. }) = records.next_lost() {
                        records.retransmitted(start, len.min(most), at(millis));
                    }
                }
                Step::Again(start, len) => records.retransmitted(una + start, len, at(millis)),
                Step::Renege => records.clear_sacked(),
            }
            check(&records, una)?;
        }
    }
}

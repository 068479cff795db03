//! The interpreter itself: a script that is right passes, and one with any field wrong fails where it is wrong.

use std::string::String;
use std::{format, vec};

use super::{Family, parse, run};

const RIGHT: &str = "\
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <mss 1012,sackOK,TS val 1000 ecr 0,nop,wscale 7>
   +0 > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 100 ecr 1000,nop,wscale 3>
  +.1 < . 1:1(0) ack 1 win 257 <nop,nop,TS val 1100 ecr 100>
   +0 accept(3, ..., ...) = 4
   +0 write(4, ..., 1500) = 1500
   +0 > [noecn] . 1:1001(1000) ack 1 win 32768 <nop,nop,TS val 200 ecr 1100>
   +0 > P. 1001:1501(500) ack 1 win 32768 <nop,nop,TS val 200 ecr 1100>
  +.1 < P. 1:101(100) ack 1501 win 257 <nop,nop,TS val 1150 ecr 200>
   +0 > . 1501:1501(0) ack 101 win 32755 <...>
   +0 read(4, ..., 1000) = 100
   +0 %{ assert tcpi_state == 1 and tcpi_snd_mss == 1000 }%
   +0 send(4, ..., 5, MSG_OOB) = 5
   +0 > PU. 1501:1506(5) ack 101 urg 5 <...>
  +.3 > PU. 1501:1506(5) ack 101 urg 5 <...>
+0...0.1 read(4, ..., 10) = 10
  +.1 < P. 101:111(10) ack 1506 win 257 <nop,nop,TS val 1150 ecr 200>
 +.04 > . 1506:1506(0) ack 111 <...>
";

/// The line where a script fails over each family, and why.
fn failure(text: &str, family: Family) -> Option<(usize, String)> {
    let script = parse::parse(text).unwrap_or_else(|(line, error)| panic!("line {line}: {error}"));
    run::run(&script, family).err()
}

#[test]
fn a_right_script_passes() {
    for family in Family::BOTH {
        assert_eq!(failure(RIGHT, family), None);
    }
}

#[test]
fn every_wrong_field_is_noticed() {
    let wrongs = vec![
        (5, "S. 0:0(0) ack 1 win 65535", "S. 0:0(0) ack 2 win 65535"),
        (5, "S. 0:0(0) ack 1 win 65535", "S. 0:0(0) ack 1 win 65534"),
        (5, "> S. 0:0(0) ack 1", "> SE. 0:0(0) ack 1"),
        (5, "<mss 1460,sackOK", "<mss 1459,sackOK"),
        (5, "TS val 100 ecr 1000,nop", "TS val 100 ecr 1001,nop"),
        (5, "<mss 1460,sackOK,TS val 100 ecr 1000,nop", "<sackOK,mss 1460,TS val 100 ecr 1000,nop"),
        (5, "nop,wscale 3>", "wscale 3,nop>"),
        (9, "+0 > [noecn]", "+.000001 > [noecn]"),
        (9, "[noecn]", "[ect0]"),
        (9, "[noecn]", "[ttl 63]"),
        (9, ". 1:1001(1000)", ". 2:1002(1000)"),
        (9, ". 1:1001(1000)", ". 1:1002(1001)"),
        (9, ". 1:1001(1000)", "P. 1:1001(1000)"),
        (10, "P. 1001:1501(500) ack 1 win 32768 <nop,nop,TS val 200", "P. 1001:1501(500) ack 1 win 32768 <nop,nop,TS val 201"),
        (10, "P. 1001:1501(500) ack 1 win 32768 <nop,nop,TS val 200 ecr 1100>", "P. 1001:1501(500) ack 1 win 32768"),
        (13, "read(4, ..., 1000) = 100", "read(4, ..., 1000) = 99"),
        (13, "read(4, ..., 1000) = 100", "read(4, ..., 50) = 100"),
        (14, "tcpi_state == 1", "tcpi_state == 2"),
        (14, "tcpi_snd_mss == 1000", "tcpi_snd_mss < 1000"),
        (16, "PU. 1501:1506(5) ack 101 urg 5 <...>\n  +.3", "PU. 1501:1506(5) ack 101 urg 4 <...>\n  +.3"),
        (16, "PU. 1501:1506(5) ack 101 urg 5 <...>\n  +.3", "P. 1501:1506(5) ack 101 <...>\n  +.3"),
        (17, "+.3 > PU", "+.300001 > PU"),
        (17, "+.3 > PU", "+.299999 > PU"),
        (19, "+0...0.1 read", "+0...0.100001 read"),
        (19, "+0...0.1 read(4, ..., 10) = 10", "+0...0.1 read(4, ..., 10) = 9"),
    ];
    for family in Family::BOTH {
        for (line, right, wrong) in &wrongs {
            assert_eq!(RIGHT.matches(right).count(), 1, "{right}");
            let text = RIGHT.replace(right, wrong);
            let found = failure(&text, family);
            assert_eq!(found.as_ref().map(|(at, _)| at), Some(line), "{wrong}: {found:?}");
        }
    }
}

#[test]
fn what_is_left_in_the_end_is_noticed() {
    let (shorter, _) = RIGHT.split_once("   +0 > [noecn]").expect("it is there");
    let (_, error) = failure(shorter, Family::V4).expect("data was not expected");
    assert!(error.starts_with("not expected: > . 1:1001(1000) ack 1 win 32768"), "{error}");
    let waits = format!("{RIGHT}+0...9 read(4, ..., 10) = 10\n");
    let (_, error) = failure(&waits, Family::V4).expect("the call has not returned");
    assert!(error.contains("has not"), "{error}");
}

#[test]
fn a_failure_says_what_was_expected_and_what_came() {
    let (_, error) = failure(&RIGHT.replace("P. 1001:1501(500) ack 1", ". 1001:1501(500) ack 9"), Family::V6).expect("it fails");
    let expected = "expected > . 1001:1501(500) ack 9 win 32768 <nop,nop,TS val 200 ecr 1100>\n    \
        but came > P. 1001:1501(500) ack 1 win 32768 <nop,nop,TS val 200 ecr 1100>";
    assert_eq!(error, expected);
}

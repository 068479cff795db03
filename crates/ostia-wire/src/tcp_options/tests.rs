//! Options of TCP: reading, and the layouts.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const TIMESTAMPS: Timestamps = Timestamps { value: 0x0102_0304, echo: 0x0506_0708 };
const TS: [u8; 10] = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];

fn written(options: TcpOptions, order: OptionOrder) -> Vec<u8> {
    let mut bytes = alloc::vec![0xee; 40];
    let len = options.emit(order, &mut bytes);
    assert_eq!(len, options.encoded_len(order));
    bytes.truncate(len);
    bytes
}

fn linux(options: TcpOptions) -> Vec<u8> {
    written(options, OptionOrder::Linux)
}

#[test]
fn linux_lays_out_a_syn_without_wasting_an_octet() {
    let all = TcpOptions {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(TIMESTAMPS),
        ..TcpOptions::default()
    };
    let expected = [&[2, 4, 5, 180, 4, 2][..], &TS, &[1, 3, 3, 7]].concat();
    assert_eq!(linux(all), expected);
    let expected = [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7];
    assert_eq!(linux(TcpOptions { timestamps: None, ..all }), expected);
    let expected = [&[2, 4, 5, 180, 1, 1][..], &TS, &[1, 3, 3, 7]].concat();
    assert_eq!(linux(TcpOptions { sack_permitted: false, ..all }), expected);
    assert_eq!(linux(TcpOptions { mss: Some(536), ..TcpOptions::default() }), [2, 4, 2, 24]);
}

#[test]
fn linux_lays_out_other_segments_aligned_to_four() {
    let mut options = TcpOptions { timestamps: Some(TIMESTAMPS), ..TcpOptions::default() };
    let aligned = [&[1, 1][..], &TS].concat();
    assert_eq!(linux(options), aligned);
    options.sack.push(1, 2);
    assert_eq!(linux(options), [&aligned[..], &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2]].concat());
    options.timestamps = None;
    assert_eq!(linux(options), [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    let cookie = Cookie::new(&[9; 8]);
    let options = TcpOptions { mss: Some(1460), fast_open: cookie, ..TcpOptions::default() };
    assert_eq!(linux(options), [2, 4, 5, 180, 34, 10, 9, 9, 9, 9, 9, 9, 9, 9, 1, 1]);
}

#[test]
fn the_plain_layout_has_padding_only_at_the_end() {
    let mut options = TcpOptions { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..TcpOptions::default() };
    assert_eq!(written(options, OptionOrder::Plain), [2, 4, 5, 180, 3, 3, 7, 4, 2, 0, 0, 0]);
    options.user_timeout = Some(0x8005);
    assert_eq!(written(options, OptionOrder::Plain), [2, 4, 5, 180, 3, 3, 7, 4, 2, 28, 4, 0x80, 5, 0, 0, 0]);
}

#[test]
fn sack_blocks_that_have_no_room_are_left_out() {
    let sack: SackBlocks = (0..9).map(|n| (n, n + 1)).collect();
    assert_eq!(sack.len(), 4);
    for (timestamps, blocks) in [(None, 4), (Some(TIMESTAMPS), 3)] {
        let bytes = linux(TcpOptions { timestamps, sack, ..TcpOptions::default() });
        assert_eq!(TcpOptions::parse(&bytes).unwrap().sack.as_slice(), &sack.as_slice()[..blocks]);
    }
}

#[test]
fn more_sack_blocks_than_can_be_are_another_option() {
    let bytes = [&[5, 42][..], &[1; 40]].concat();
    assert_eq!(OptionIter::new(&bytes).next(), Some(Ok(TcpOption::Other { kind: 5, data: &[1; 40] })));
}

#[test]
fn every_standard_option_is_recognised() {
    let md5 = [[19, 18].as_slice(), &[7; 16]].concat();
    let options = TcpOptions::parse(&md5).unwrap();
    assert!(options.md5);
    let options = TcpOptions::parse(&[29, 4, 1, 2, 30, 3, 0, 34, 2, 28, 4, 0, 9]).unwrap();
    assert!(options.ao && options.mptcp);
    assert_eq!((options.fast_open, options.user_timeout), (Some(Cookie::default()), Some(9)));
    let all: Vec<_> = OptionIter::new(&[254, 4, 0xf9, 0x89, 1, 3, 3, 14, 4, 2]).map(Result::unwrap).collect();
    assert_eq!(all, [TcpOption::Other { kind: 254, data: &[0xf9, 0x89] }, TcpOption::WindowScale(14), TcpOption::SackPermitted]);
}

#[test]
fn unknown_options_and_lengths_that_a_kind_cannot_have_are_passed_over() {
    let odd = [99, 3, 1, 2, 3, 5, 3, 2, 0, 0, 8, 2, 5, 3, 0, 34, 3, 9, 4, 3, 0, 3, 3, 5];
    let bytes = &odd[..3];
    assert_eq!(TcpOptions::parse(bytes), Ok(TcpOptions::default()));
    let bytes = [99, 3, 1, 2, 3, 5, 8, 2, 5, 3, 0, 34, 3, 9, 4, 3, 0, 3, 3, 5];
    assert_eq!(TcpOptions::parse(&bytes), Ok(TcpOptions { window_scale: Some(5), ..TcpOptions::default() }));
}

#[test]
fn lengths_below_two_and_past_the_end_are_malformed() {
    for bytes in [&[2][..], &[2, 0, 5, 180], &[2, 1, 5, 180], &[2, 5, 5, 180], &[1, 1, 8, 11, 0, 0, 0, 0, 0, 0, 0, 0], &[99, 0]] {
        assert_eq!(TcpOptions::parse(bytes), Err(Malformed::Option), "{bytes:?}");
    }
    assert_eq!(TcpOptions::parse(&[1, 0, 2, 0]), Ok(TcpOptions::default()), "nothing is read behind the end of options");
}

fn any_options() -> impl Strategy<Value = TcpOptions> {
    let cookie = proptest::option::of(prop::sample::select(alloc::vec![0usize, 4, 8, 10, 16]));
    let sack = proptest::collection::vec(any::<(u32, u32)>(), 0..5);
    let times = proptest::option::of(any::<(u32, u32)>());
    (any::<Option<u16>>(), any::<Option<u8>>(), any::<bool>(), sack, times, any::<Option<u16>>(), cookie).prop_map(
        |(mss, window_scale, sack_permitted, sack, times, user_timeout, cookie)| TcpOptions {
            mss,
            window_scale,
            sack_permitted,
            sack: sack.into_iter().collect(),
            timestamps: times.map(|(value, echo)| Timestamps { value, echo }),
            user_timeout,
            fast_open: cookie.and_then(|len| Cookie::new(&[0x5a; 16][..len])),
            ..TcpOptions::default()
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same_but_for_what_had_no_room(options in any_options(), plain: bool) {
        let order = if plain { OptionOrder::Plain } else { OptionOrder::Linux };
        let bytes = written(options, order);
        prop_assert!(bytes.len() <= 40 && bytes.len().is_multiple_of(4));
        let read = TcpOptions::parse(&bytes).unwrap();
        prop_assert!(options.sack.starts_with(&read.sack));
        prop_assert!(read.fast_open.is_none() || read.fast_open == options.fast_open);
        prop_assert!(read.user_timeout.is_none() || read.user_timeout == options.user_timeout);
        let rest = TcpOptions { sack: options.sack, fast_open: options.fast_open, user_timeout: options.user_timeout, ..read };
        prop_assert_eq!(rest, options, "the others always have room");
    }

    #[test]
    fn the_walk_takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..41)) {
        let whole: Result<Vec<_>, _> = OptionIter::new(&bytes).collect();
        prop_assert_eq!(whole.is_ok(), TcpOptions::parse(&bytes).is_ok());
    }
}

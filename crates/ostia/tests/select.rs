//! `select!`, `join!` and `try_join!`: what a branch may be, which one runs, and what is dropped when.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use common::{drivers, on_each, poll_once, runtime, tcp_pair};
use ostia::sync::{mpsc, oneshot};
use ostia::{join, select, try_join, yield_now};

#[test]
fn the_first_that_is_ready_runs_its_branch() {
    on_each(|| async {
        let (sender, mut receiver) = mpsc::channel(1);
        ostia::spawn(async move { sender.send(5).await }).detach();
        let what = select! {
            number = receiver.recv() => number,
            () = pending() => None,
        };
        assert_eq!(what, Some(5));
    });
}

#[test]
fn a_branch_may_use_what_its_rivals_had_borrowed_and_leave_the_loop() {
    async fn drain(receiver: &mut mpsc::Receiver<u32>, stop: &mut oneshot::Receiver<()>) -> Result<Vec<u32>, &'static str> {
        let mut seen = Vec::new();
        loop {
            select! {
                biased;
                Some(number) = receiver.recv() => {
                    // Both futures are gone: the receiver can be used again, and awaited.
                    let more = receiver.try_recv().ok();
                    yield_now().await;
                    if number == 0 {
                        continue;
                    }
                    seen.push(number);
                    seen.extend(more);
                }
                end = &mut *stop => {
                    end.map_err(|_| "nobody says stop")?;
                    break;
                }
            }
        }
        Ok(seen)
    }
    on_each(|| async {
        let (sender, mut receiver) = mpsc::channel(9);
        let (stop, mut stopped) = oneshot::channel();
        for number in [0, 9, 1, 2, 3] {
            sender.send(number).await.expect("open");
        }
        stop.send(()).expect("it is waited for");
        assert_eq!(drain(&mut receiver, &mut stopped).await, Ok(vec![1, 2, 3]));
        let (stop, mut stopped) = oneshot::channel();
        drop(stop);
        assert_eq!(drain(&mut receiver, &mut stopped).await, Err("nobody says stop"));
    });
}

#[test]
fn an_output_that_does_not_match_disables_its_branch() {
    let what = poll_once(async {
        select! {
            Some(number) = ready(None::<u32>) => number,
            Ok(mut number) = ready(Ok::<u32, ()>(3)) => { number += 1; number }
        }
    });
    assert_eq!(what, Poll::Ready(4));
    let what = poll_once(async {
        select! {
            Some(ref text) = ready(None::<String>) => text.len(),
            (1 | 2, _) = ready((3, "three")) => 0,
            else => 77,
        }
    });
    assert_eq!(what, Poll::Ready(77));
    let what = poll_once(async {
        select! {
            Some(number) = ready(None::<u32>) => number,
            () = pending() => 0,
        }
    });
    assert_eq!(what, Poll::Pending, "the other branch may still come");
}

#[test]
fn a_value_that_matches_is_moved_into_its_branch() {
    let text = poll_once(async {
        select! { Ok::<String, u8>(text) = ready(Ok(String::from("moved"))) => text, else => String::new() }
    });
    assert_eq!(text, Poll::Ready("moved".into()));
}

#[test]
fn conditions_are_looked_at_before_the_futures_are_made() {
    let order = RefCell::new(Vec::new());
    let note = |what: &'static str, value: bool| {
        order.borrow_mut().push(what);
        value
    };
    let future = |what: &'static str| {
        order.borrow_mut().push(what);
        ready(what)
    };
    let won = poll_once(async {
        select! {
            biased;
            what = future("future 1"), if note("condition 1", false) => what,
            what = future("future 2"), if note("condition 2", true) => { what },
            what = future("future 3") => what,
        }
    });
    assert_eq!(won, Poll::Ready("future 2"));
    assert_eq!(*order.borrow(), ["condition 1", "condition 2", "future 1", "future 2", "future 3"]);
}

#[test]
#[should_panic(expected = "every branch of a select! is disabled")]
fn nothing_to_wait_for_without_else_is_a_mistake() {
    let _ = poll_once(async {
        select! { () = ready(()), if false => {} }
    });
}

#[test]
fn losers_are_dropped_before_the_branch_runs() {
    struct Flag<'a>(&'a Cell<u32>);
    impl Drop for Flag<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Cell::new(0);
    let loser = |flag| async move {
        let _flag = flag;
        pending::<()>().await;
    };
    let seen = poll_once(async {
        select! {
            biased;
            () = loser(Flag(&dropped)) => 0,
            () = loser(Flag(&dropped)), if false => 0,
            () = ready(()) => dropped.get(),
        }
    });
    assert_eq!((seen, dropped.get()), (Poll::Ready(2), 2));
}

#[test]
fn branches_that_are_always_ready_take_turns_unless_biased() {
    let mut times = [0u32; 3];
    let mut biased = [0u32; 3];
    for _ in 0..3000 {
        let won = poll_once(async {
            select! { () = ready(()) => 0, () = ready(()) => 1, () = ready(()) => 2 }
        });
        let Poll::Ready(won) = won else { panic!("all are ready") };
        times[won] += 1;
        let won = poll_once(async {
            select! { biased; () = ready(()) => 0, () = ready(()) => 1, () = ready(()) => 2 }
        });
        let Poll::Ready(won) = won else { panic!("all are ready") };
        biased[won] += 1;
    }
    assert!(times.iter().all(|&times| times > 900), "{times:?}");
    assert_eq!(biased, [3000, 0, 0]);
}

#[test]
fn many_branches_and_futures_that_are_kept_outside() {
    on_each(|| async {
        let mut slow = pin!(async {
            for _ in 0..5 {
                yield_now().await;
            }
            "slow but whole"
        });
        let mut rounds = 0;
        let what = loop {
            rounds += 1;
            select! {
                biased;
                () = pending() => unreachable!(),
                () = pending() => unreachable!(),
                () = pending() => unreachable!(),
                () = pending() => unreachable!(),
                () = pending() => unreachable!(),
                () = pending() => unreachable!(),
                () = pending() => unreachable!(),
                what = &mut slow => break what,
                () = yield_now() => {}
            }
        };
        assert_eq!(what, "slow but whole");
        assert!(rounds > 1, "it was kept from one round to the next");
    });
}

#[test]
fn a_receive_that_loses_loses_no_byte() {
    on_each(|| async {
        let (mut here, mut there) = tcp_pair().await;
        let sending = ostia::spawn(async move {
            for number in 0..200u8 {
                there.send(vec![number; 3]).await.expect("send");
                yield_now().await;
            }
            there.shutdown(std::net::Shutdown::Write).await.expect("shutdown");
            there
        });
        let mut all = Vec::new();
        loop {
            select! {
                chunk = here.recv() => match chunk.expect("recv") {
                    Some(chunk) => all.extend_from_slice(&chunk),
                    None => break,
                },
                () = yield_now() => {}
                () = ostia::time::sleep(Duration::from_millis(1)) => {}
            }
        }
        let expected: Vec<u8> = (0..200).flat_map(|number| [number; 3]).collect();
        assert_eq!(all, expected);
        drop(sending.await);
    });
}

#[test]
fn join_waits_for_all_and_drops_each_when_it_is_ready() {
    on_each(|| async {
        let shared = Rc::new(());
        let (send, receive) = oneshot::channel();
        let first = {
            let shared = Rc::clone(&shared);
            async move {
                let _shared = shared;
                1
            }
        };
        let second = async {
            yield_now().await;
            yield_now().await;
            send.send(Rc::strong_count(&shared)).expect("it is waited for");
            "two"
        };
        let (one, two, count) = join!(first, second, receive);
        assert_eq!((one, two, count), (1, "two", Ok(1)));
    });
    assert_eq!(poll_once(async { join!(ready(1)) }), Poll::Ready((1,)));
    assert_eq!(poll_once(async { join!(ready(1), pending::<()>()) }), Poll::Pending);
}

#[test]
fn try_join_ends_with_the_first_error() {
    on_each(|| async {
        let both = try_join!(
            async {
                yield_now().await;
                Ok::<_, String>(1)
            },
            ready(Ok("two")),
        );
        assert_eq!(both, Ok((1, "two")));
        let failed: Result<((), u8), String> = try_join!(pending(), async {
            yield_now().await;
            Err("second".into())
        });
        assert_eq!(failed, Err("second".into()));
    });
    let first = poll_once(async { try_join!(ready(Err::<(), _>(1)), ready(Err::<(), _>(2))) });
    assert_eq!(first, Poll::Ready(Err(1)));
}

#[test]
fn every_runtime_of_a_thread_begins_with_the_same_turns() {
    /// Which of three branches ran, each time all were ready.
    async fn turns() -> Vec<u32> {
        let mut taken = Vec::new();
        for _ in 0..50 {
            taken.push(select! {
                () = ready(()) => 0,
                () = ready(()) => 1,
                () = ready(()) => 2,
            });
        }
        taken
    }
    for driver in drivers() {
        let first = runtime(driver, 1).block_on(turns());
        for branch in 0..3 {
            assert!(first.iter().filter(|taken| **taken == branch).count() > 10, "{first:?}");
        }
        // What runs between them, in a runtime or outside of any, changes nothing.
        runtime(driver, 1).block_on(async {
            for _ in 0..7 {
                turns().await;
            }
        });
        assert!(poll_once(turns()).is_ready());
        assert_eq!(runtime(driver, 1).block_on(turns()), first);
        // Within one runtime the turns go on.
        let (one, other) = runtime(driver, 1).block_on(async { (turns().await, turns().await) });
        assert_eq!(one, first);
        assert_ne!(other, first);
    }
}

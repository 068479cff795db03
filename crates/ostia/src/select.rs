//! `select!`: waiting for the first of several things in one task.

use std::cell::Cell;

use crate::here;

/// Where a [`select!`](crate::select) of `branches` begins this time.
///
/// A counter of the worker's own that goes round by a fixed stride: all places come up equally often and spread evenly, and
/// a runtime of one worker does the same every time, whatever ran on its thread before. Outside of a runtime the counter is
/// the thread's.
#[doc(hidden)]
#[must_use]
pub fn first_branch(branches: usize) -> usize {
    /// The golden ratio of 2^32, which spreads any run of numbers evenly.
    const STRIDE: u32 = 0x9e37_79b9;
    thread_local! {
        static OUTSIDE: Cell<u32> = const { Cell::new(0) };
    }
    let next = |turn: &Cell<u32>| {
        turn.set(turn.get().wrapping_add(STRIDE));
        turn.get()
    };
    let turn = here::with(|core| next(&core.select_turn)).unwrap_or_else(|| OUTSIDE.with(next));
    // The upper bits as a fraction of the branches: cheaper than a remainder, and as even.
    ((u64::from(turn) * branches as u64) >> 32) as usize
}

/// Waits until the first of several futures is ready, runs its branch, and drops the others.
///
/// ```
/// use std::time::Duration;
/// use ostia::sync::mpsc;
///
/// ostia::block_on(async {
///     let (sender, mut numbers) = mpsc::channel(4);
///     let (_keep, mut words) = mpsc::channel::<String>(4);
///     sender.send(3).await.unwrap();
///     let what = ostia::select! {
///         Some(number) = numbers.recv() => format!("number {number}"),
///         Some(word) = words.recv() => word,
///         () = ostia::time::sleep(Duration::from_secs(5)) => String::from("nothing"),
///     };
///     assert_eq!(what, "number 3");
/// });
/// ```
///
/// # Branches
///
/// `pattern = future => expression,` and, after the future, optionally `, if condition`; at the end optionally
/// `else => expression`. The comma after a block can be left out. All expressions have one type, that of the `select!`.
///
/// 1. The conditions are evaluated, then the futures, all of them, in the order written. A branch whose condition is false
///    is disabled: its future is made and not polled.
/// 2. The futures are polled whenever the task is woken. If one is ready and its output matches the pattern, all futures are
///    dropped and the branch's expression runs: it may use what the futures had borrowed, `await`, `break`, `return` and
///    `?`. If the output does not match, the branch is disabled and the others go on.
/// 3. If all are disabled, `else` runs.
///
/// Each poll begins at another branch, so that one that is always ready doesn't starve the others; a counter of the worker
/// says where, so the order is fair but not random. With `biased;` before the first branch they are polled in the order
/// written: for a branch that must come first, say to stop.
///
/// # What dropping means
///
/// The futures of the branches that lose are dropped in the middle of what they do. What that means stands in their docs,
/// under "Cancelled" or "Cancel safe". Receiving in Ostia is cancel safe ([`Stream::recv`](crate::net::Stream::recv),
/// [`Listener::accept`](crate::net::Listener::accept), every channel): what arrives after the drop is there for the next
/// call, so a loop around a `select!` loses nothing. A future of your own with several awaits in it loses what it has done
/// so far; keep it outside of the loop, pinned, and give the `select!` a `&mut` of it.
///
/// # Panics
/// If all branches are disabled and there is no `else`.
#[macro_export]
macro_rules! select {
    (biased; $($branches:tt)+) => {
        $crate::__select!(@parse biased (0usize) [] $($branches)+)
    };
    ($($branches:tt)+) => {
        $crate::__select!(@parse fair (0usize) [] $($branches)+)
    };
}

/// Takes the branches apart, one a step, and puts them together as one future.
///
/// `[$done]` gathers `(future enabled output (index) (pattern) (expression of the future) (condition) (expression))`. The
/// first three are names of variables: every step writes the same ones, but by the hygiene of macros each step's are its
/// own.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@parse $mode:ident ($($count:tt)+) [$($done:tt)+] else => $else:expr $(,)?) => {
        $crate::__select!(@run $mode ($($count)+) [$($done)+] ($else))
    };
    (@parse $mode:ident ($($count:tt)+) [$($done:tt)+]) => {
        $crate::__select!(@run $mode ($($count)+) [$($done)+]
            (::core::panic!("every branch of a select! is disabled, and it has no else")))
    };

    // With a condition: the expression as a block, with a comma or without; as anything else; as the last.
    (@parse $mode:ident $count:tt $done:tt $p:pat = $f:expr, if $c:expr => $e:block, $($rest:tt)*) => {
        $crate::__select!(@add $mode $count $done ($p) ($f) ($c) ($e) $($rest)*)
    };
    (@parse $mode:ident $count:tt $done:tt $p:pat = $f:expr, if $c:expr => $e:block $($rest:tt)*) => {
        $crate::__select!(@add $mode $count $done ($p) ($f) ($c) ($e) $($rest)*)
    };
    (@parse $mode:ident $count:tt $done:tt $p:pat = $f:expr, if $c:expr => $e:expr, $($rest:tt)*) => {
        $crate::__select!(@add $mode $count $done ($p) ($f) ($c) ($e) $($rest)*)
    };
    (@parse $mode:ident $count:tt $done:tt $p:pat = $f:expr, if $c:expr => $e:expr) => {
        $crate::__select!(@add $mode $count $done ($p) ($f) ($c) ($e))
    };
    // Without.
    (@parse $mode:ident $count:tt $done:tt $p:pat = $f:expr => $e:block, $($rest:tt)*) => {
        $crate::__select!(@add $mode $count $done ($p) ($f) (true) ($e) $($rest)*)
    };
    (@parse $mode:ident $count:tt $done:tt $p:pat = $f:expr => $e:block $($rest:tt)*) => {
        $crate::__select!(@add $mode $count $done ($p) ($f) (true) ($e) $($rest)*)
    };
    (@parse $mode:ident $count:tt $done:tt $p:pat = $f:expr => $e:expr, $($rest:tt)*) => {
        $crate::__select!(@add $mode $count $done ($p) ($f) (true) ($e) $($rest)*)
    };
    (@parse $mode:ident $count:tt $done:tt $p:pat = $f:expr => $e:expr) => {
        $crate::__select!(@add $mode $count $done ($p) ($f) (true) ($e))
    };

    (@add $mode:ident ($($count:tt)+) [$($done:tt)*] $p:tt $f:tt $c:tt $e:tt $($rest:tt)*) => {
        $crate::__select!(@parse $mode ($($count)+ + 1)
            [$($done)* (future enabled output ($($count)+) $p $f $c $e)] $($rest)*)
    };

    (@run $mode:ident ($($count:tt)+)
        [$(($future:ident $enabled:ident $output:ident ($($index:tt)+) ($p:pat) ($f:expr) ($c:expr) ($e:expr)))+]
        ($else:expr)
    ) => {{
        $(let mut $enabled: bool = $c;)+
        $(let mut $output = ::core::option::Option::None;)+
        let chosen: usize = {
            $(let mut $future = ::core::pin::pin!(::core::future::IntoFuture::into_future($f));)+
            ::core::future::poll_fn(|cx: &mut ::core::task::Context<'_>| {
                let count: usize = $($count)+;
                let mut branch: usize = $crate::__select!(@first $mode count);
                let mut pending = false;
                for _ in 0..count {
                    $(if branch == $($index)+ && $enabled {
                        match ::core::future::Future::poll($future.as_mut(), cx) {
                            ::core::task::Poll::Pending => pending = true,
                            ::core::task::Poll::Ready(ready) => {
                                $enabled = false;
                                let mut fits = false;
                                // A guard that says no: the pattern is tried and the output stays where it is.
                                #[allow(unused_variables, unused_mut, unreachable_code, unreachable_patterns)]
                                match ready {
                                    $p if { fits = true; false } => ::core::unreachable!(),
                                    _ => {}
                                }
                                if fits {
                                    $output = ::core::option::Option::Some(ready);
                                    return ::core::task::Poll::Ready(branch);
                                }
                            }
                        }
                    })+
                    branch = if branch + 1 == count { 0 } else { branch + 1 };
                }
                if pending { ::core::task::Poll::Pending } else { ::core::task::Poll::Ready(usize::MAX) }
            })
            .await
        };
        $(if chosen == $($index)+ {
            match $output {
                ::core::option::Option::Some($p) => $e,
                _ => ::core::unreachable!(),
            }
        } else)+ {
            $else
        }
    }};

    (@first biased $count:ident) => { 0 };
    (@first fair $count:ident) => { $crate::__private::first_branch($count) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_branch_is_first_equally_often() {
        for branches in 1..=7 {
            let mut times = vec![0u32; branches];
            (0..70_000).for_each(|_| times[first_branch(branches)] += 1);
            let even = 70_000 / branches as u32;
            assert!(times.iter().all(|&times| times.abs_diff(even) <= 2 * branches as u32), "{times:?}");
        }
    }
}

//! `join!` and `try_join!`: awaiting several things at once in one task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project_lite::pin_project! {
    /// A future, then its output, then nothing.
    #[project = BranchView]
    #[project_replace = BranchTaken]
    #[doc(hidden)]
    pub enum Branch<F: Future> {
        Running { #[pin] future: F },
        Done { output: F::Output },
        Taken,
    }
}

impl<F: Future> Branch<F> {
    #[must_use]
    pub fn new(future: F) -> Branch<F> {
        Branch::Running { future }
    }

    /// Polls, unless it is done; tells whether it is. The future is dropped as soon as it is ready.
    pub fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        if let BranchView::Running { future } = self.as_mut().project() {
            let Poll::Ready(output) = future.poll(cx) else { return false };
            self.set(Branch::Done { output });
        }
        true
    }

    /// The output, once it is done.
    ///
    /// # Panics
    /// If it is not, or the output was taken.
    #[must_use]
    pub fn take(self: Pin<&mut Self>) -> F::Output {
        match self.project_replace(Branch::Taken) {
            BranchTaken::Done { output } => output,
            _ => unreachable!("join! takes each output once, when all are there"),
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Branch<F> {
    /// Whether it has ended with an error.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self, Branch::Done { output: Err(_) })
    }
}

/// Awaits several futures at once, in this task, until all are ready; gives their outputs as a tuple.
///
/// All are polled, in the order written, whenever the task is woken, and each is dropped when it is ready. For many, or
/// for work that should spread over workers, there is [`JoinSet`](crate::JoinSet).
///
/// Cancelled: all are dropped, and the outputs of those that were ready with them.
///
/// ```
/// use ostia::sync::oneshot;
///
/// ostia::block_on(async {
///     let (question, asked) = oneshot::channel();
///     let (answer, answered) = oneshot::channel();
///     let (sum, ()) = ostia::join!(
///         async {
///             question.send((3, 4)).unwrap();
///             answered.await.unwrap()
///         },
///         async {
///             let (a, b) = asked.await.unwrap();
///             answer.send(a + b).unwrap();
///         },
///     );
///     assert_eq!(sum, 7);
/// });
/// ```
#[macro_export]
macro_rules! join {
    ($($future:expr),+ $(,)?) => {
        $crate::__join!(@parse all [] $($future,)+)
    };
}

/// Awaits several futures of results at once, in this task, until all are ready or one fails. Gives `Ok` of a tuple of
/// what they gave, or the first error; then the others are dropped.
///
/// All errors have one type. Otherwise as [`join!`](crate::join), cancelling too.
///
/// ```
/// ostia::block_on(async {
///     let both: Result<(u32, u32), std::num::ParseIntError> = ostia::try_join!(async { "7".parse() }, async { "8".parse() });
///     assert_eq!(both, Ok((7, 8)));
///     let failed = ostia::try_join!(async { "x".parse::<u32>() }, std::future::pending::<Result<(), _>>());
///     assert!(failed.is_err());
/// });
/// ```
#[macro_export]
macro_rules! try_join {
    ($($future:expr),+ $(,)?) => {
        $crate::__join!(@parse first_error [] $($future,)+)
    };
}

/// Gives each future a variable of its own, as `__select` does.
#[doc(hidden)]
#[macro_export]
macro_rules! __join {
    (@parse $until:ident [$($done:tt)*] $f:expr, $($rest:tt)*) => {
        $crate::__join!(@parse $until [$($done)* (branch ($f))] $($rest)*)
    };
    (@parse all [$(($branch:ident ($f:expr)))+]) => {{
        $(let mut $branch = ::core::pin::pin!($crate::__private::Branch::new(::core::future::IntoFuture::into_future($f)));)+
        ::core::future::poll_fn(|cx: &mut ::core::task::Context<'_>| {
            let mut all = true;
            $(all &= $branch.as_mut().poll(cx);)+
            if all {
                ::core::task::Poll::Ready(($($branch.as_mut().take(),)+))
            } else {
                ::core::task::Poll::Pending
            }
        })
        .await
    }};
    (@parse first_error [$(($branch:ident ($f:expr)))+]) => {{
        $(let mut $branch = ::core::pin::pin!($crate::__private::Branch::new(::core::future::IntoFuture::into_future($f)));)+
        ::core::future::poll_fn(|cx: &mut ::core::task::Context<'_>| {
            let mut all = true;
            $(
                all &= $branch.as_mut().poll(cx);
                if $branch.has_failed() {
                    let ::core::result::Result::Err(error) = $branch.as_mut().take() else { ::core::unreachable!() };
                    return ::core::task::Poll::Ready(::core::result::Result::Err(error));
                }
            )+
            if !all {
                return ::core::task::Poll::Pending;
            }
            ::core::task::Poll::Ready(::core::result::Result::Ok(($(
                match $branch.as_mut().take() {
                    ::core::result::Result::Ok(output) => output,
                    ::core::result::Result::Err(_) => ::core::unreachable!(),
                },
            )+)))
        })
        .await
    }};
}

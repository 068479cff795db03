//! Tasks whose channels and locks never make them wait let others run all the same.
//!
//! A task may complete so many operations a turn, be they of the port or of this module; then it is polled again after the
//! others. Outside of a runtime nothing is counted.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::here;

/// For what is about to be ready: whether it may. If not, the task has been woken and the poll is to be pending.
#[inline]
pub(crate) fn spend(cx: &Context<'_>) -> bool {
    here::with(|core| core.spend(cx)).unwrap_or(true)
}

/// For what can't tell beforehand whether it will be ready: lets others run if it is time to, once.
pub(crate) async fn step() {
    let mut asked = false;
    poll_fn(|cx| match std::mem::replace(&mut asked, true) || spend(cx) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

//! The spans and events that tokio-console reads (feature `console`): a span per task, entered while it is polled, and its
//! wake-ups.
//!
//! What console-subscriber looks for: spans with the name `runtime.spawn`, whose fields `kind`, `task.name`, `loc.file`,
//! `loc.line` and `loc.col` it knows, and events with the target `runtime::waker` and the fields `op` and `task.id`, the
//! span's id (<https://github.com/tokio-rs/console/tree/main/console-subscriber>). Build it with
//! `--cfg console_without_tokio_unstable`. Its server runs on a tokio runtime of its own thread.
//!
//! A worker keeps one waker of each task for as long as the task lives and wakes it by number: that is the one waker shown.
//! Of a wake-up is shown what brings the task into its worker's queue; further ones before it is polled do nothing.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::{Id, Span};

use crate::observe::pulse::Name;

/// Where a task comes from.
pub(crate) struct Origin {
    kind: &'static str,
    name: Option<Name>,
    at: &'static Location<'static>,
}

impl Origin {
    /// A task that the caller's caller spawns. The kinds that the console knows: `task`, `blocking`, `block_on`.
    #[track_caller]
    pub(crate) fn new(kind: &'static str, name: Option<&Name>) -> Origin {
        Origin { kind, name: name.cloned(), at: Location::caller() }
    }
}

pin_project_lite::pin_project! {
    /// A task's future in its span.
    pub(crate) struct Observed<F> {
        #[pin]
        future: F,
        shown: Shown,
    }
}

/// A span that is shown as a task with one waker.
struct Shown(Span);

impl Drop for Shown {
    fn drop(&mut self) {
        waker_event("waker.drop", self.0.id().as_ref());
    }
}

impl<F> Observed<F> {
    pub(crate) fn new(future: F, worker: Option<u32>, origin: Origin) -> Observed<F> {
        let Origin { kind, name, at } = origin;
        let span = tracing::trace_span!(
            target: "runtime",
            parent: None,
            "runtime.spawn",
            kind,
            task.name = name.as_deref(),
            worker,
            size.bytes = size_of::<F>(),
            loc.file = at.file(),
            loc.line = at.line(),
            loc.col = at.column(),
        );
        waker_event("waker.clone", span.id().as_ref());
        Observed { future, shown: Shown(span) }
    }

    /// The span's id, if anybody listens.
    pub(crate) fn id(&self) -> Option<Id> {
        self.shown.0.id()
    }
}

impl<F: Future> Future for Observed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.shown.0.enter();
        this.future.poll(cx)
    }
}

/// Something happens to a waker of the task with this span.
pub(crate) fn waker_event(op: &'static str, task: Option<&Id>) {
    if let Some(id) = task {
        tracing::trace!(target: "runtime::waker", op, task.id = id.into_u64());
    }
}

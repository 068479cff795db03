//! Catches what is traced, from all threads of a test program.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Fields by their names, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub BTreeMap<&'static str, String>);

impl Fields {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// What has happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Event,
    New,
    Enter,
    Exit,
    Close,
}

/// One thing that has happened.
#[derive(Clone, Debug)]
pub struct Caught {
    pub what: What,
    pub name: &'static str,
    pub target: &'static str,
    pub level: tracing::Level,
    /// The span's number; of an event, that of the span around it.
    pub span: Option<u64>,
    pub fields: Fields,
    /// The spans around an event, from the inmost: name and fields.
    pub around: Vec<(&'static str, Fields)>,
}

static CAUGHT: Mutex<Vec<Caught>> = Mutex::new(Vec::new());

fn caught_now() -> MutexGuard<'static, Vec<Caught>> {
    CAUGHT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was caught so far and passes.
pub fn caught(passes: impl Fn(&Caught) -> bool) -> Vec<Caught> {
    caught_now().iter().filter(|one| passes(one)).cloned().collect()
}

/// Events of a worker with this text in their message.
pub fn events(worker: ostia::WorkerId, message: &str) -> Vec<Caught> {
    let worker = worker.to_string();
    caught(|one| {
        one.what == What::Event
            && one.fields.get("worker") == Some(&worker)
            && one.fields.get("message").is_some_and(|text| text.contains(message))
    })
}

/// Waits, blocking the thread, until something is so; for as long as no machine should take.
pub fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} has not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Catcher;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Catcher {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields.clone());
        }
        self.note(What::New, id, &context, fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let scope = context.event_scope(event).into_iter().flatten();
        let around: Vec<_> = scope.map(|span| (span.name(), span.extensions().get().cloned().unwrap_or_default())).collect();
        let metadata = event.metadata();
        let span = context.event_span(event).map(|span| span.id().into_u64());
        let (name, target, level) = (metadata.name(), metadata.target(), *metadata.level());
        caught_now().push(Caught { what: What::Event, name, target, level, span, fields, around });
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.note(What::Enter, id, &context, Fields::default());
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.note(What::Exit, id, &context, Fields::default());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.note(What::Close, &id, &context, Fields::default());
    }
}

impl Catcher {
    fn note<S: Subscriber + for<'a> LookupSpan<'a>>(&self, what: What, id: &Id, context: &Context<'_, S>, fields: Fields) {
        let Some(metadata) = context.metadata(id) else { return };
        let (name, target, level) = (metadata.name(), metadata.target(), *metadata.level());
        if name != "worker" {
            caught_now().push(Caught { what, name, target, level, span: Some(id.into_u64()), fields, around: Vec::new() });
        }
    }
}

/// Catches from now on.
pub fn catch() {
    static SET: OnceLock<()> = OnceLock::new();
    SET.get_or_init(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Catcher)).expect("the only one");
    });
}

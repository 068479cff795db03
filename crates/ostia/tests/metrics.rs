//! What a recorder of the crate `metrics` gets: every number once, from workers that live and from those that end.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use common::drivers;
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use ostia::observe::{SampleKind, describe, publish, publish_every};
use ostia::{Runtime, WorkerId, spawn, spawn_on, time, yield_now};

/// Remembers everything.
#[derive(Default)]
struct Book {
    descriptions: Mutex<BTreeMap<String, (Option<Unit>, String)>>,
    numbers: Mutex<HashMap<Key, Arc<Number>>>,
}

/// A counter, a gauge, or the number and the sum of a histogram's values.
#[derive(Default)]
struct Number {
    value: AtomicU64,
    sum: Mutex<f64>,
}

impl CounterFn for Number {
    fn increment(&self, value: u64) {
        self.value.fetch_add(value, Ordering::SeqCst);
    }

    fn absolute(&self, _: u64) {
        unreachable!("increments only");
    }
}

impl GaugeFn for Number {
    fn increment(&self, _: f64) {
        unreachable!("set only");
    }

    fn decrement(&self, _: f64) {
        unreachable!("set only");
    }

    fn set(&self, value: f64) {
        self.value.store(value as u64, Ordering::SeqCst);
    }
}

impl HistogramFn for Number {
    fn record(&self, value: f64) {
        self.value.fetch_add(1, Ordering::SeqCst);
        *self.sum.lock().expect("no panic") += value;
    }
}

impl Book {
    fn number(&self, key: &Key) -> Arc<Number> {
        Arc::clone(self.numbers.lock().expect("no panic").entry(key.clone()).or_default())
    }

    fn describe(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.descriptions.lock().expect("no panic").insert(name.as_str().into(), (unit, text.into_owned()));
    }

    fn of(&self, name: &str, worker: WorkerId) -> Option<Arc<Number>> {
        let key = Key::from_parts(name.to_owned(), vec![metrics::Label::new("worker", worker.to_string())]);
        self.numbers.lock().expect("no panic").get(&key).cloned()
    }

    fn value(&self, name: &str, worker: WorkerId) -> u64 {
        self.of(name, worker).map_or(0, |number| number.value.load(Ordering::SeqCst))
    }
}

struct Clerk(Arc<Book>);

impl Recorder for Clerk {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe(name, unit, text);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe(name, unit, text);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe(name, unit, text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.number(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.0.number(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.0.number(key))
    }
}

static BOOK: LazyLock<Arc<Book>> = LazyLock::new(|| {
    let book = Arc::new(Book::default());
    assert!(metrics::set_global_recorder(Clerk(Arc::clone(&book))).is_ok(), "the only one");
    book
});

const PANICKED: &str = "ostia_worker_panicked_total";

async fn panic_on(worker: WorkerId, times: usize) {
    for _ in 0..times {
        assert!(spawn_on(worker, || async { panic!("counted") }).await.is_err_and(|error| error.is_panic()));
    }
}

#[test]
fn everything_is_published_once_whoever_asks_and_the_rest_when_a_worker_ends() {
    for driver in drivers() {
        let book = &*BOOK;
        let mut runtime = Runtime::builder().workers(2).driver(driver).histograms(true).build().expect("a runtime");
        let workers = runtime.workers();
        let (first, other) = (workers[0], workers[1]);
        runtime.block_on(async {
            panic_on(first, 2).await;
            panic_on(other, 3).await;
            assert_eq!(book.value(PANICKED, first), 0, "nobody has asked yet");
            publish().await;
            assert_eq!((book.value(PANICKED, first), book.value(PANICKED, other)), (2, 3));
            // Several at once, from both workers: each number is given out once.
            let asking: Vec<_> = (0..20).map(|i| spawn_on(workers[i % 2], publish)).collect();
            panic_on(first, 5).await;
            for one in asking {
                one.await.expect("no panic");
            }
            publish().await;
            assert_eq!((book.value(PANICKED, first), book.value(PANICKED, other)), (7, 3));

            let before = ostia::observe::histograms().await;
            publish().await;
            let polled = book.of("ostia_worker_poll_seconds", first).expect("a histogram");
            assert!(polled.value.load(Ordering::SeqCst) >= before[0].poll.count());
            for name in ["ostia_worker_turn_seconds", "ostia_worker_turn_tasks"] {
                assert!(book.value(name, other) > 0, "{name}");
            }
            // The rest is not asked for.
            panic_on(first, 1).await;
            panic_on(other, 4).await;
            assert_eq!((book.value(PANICKED, first), book.value(PANICKED, other)), (7, 3));
            spawn(std::future::pending::<()>()).detach();
            spawn_on(other, || time::sleep(Duration::from_secs(3600))).detach();
            yield_now().await;
        });
        assert_eq!(runtime.shutdown(Duration::from_millis(50)).aborted, 2);
        assert_eq!((book.value(PANICKED, first), book.value(PANICKED, other)), (8, 7));
        for &worker in &workers {
            let of = |name: &str| book.value(name, worker);
            assert!(of("ostia_worker_spawned_total") > 0);
            assert_eq!(of("ostia_worker_spawned_total"), of("ostia_worker_ended_total"), "every task has ended");
            // One was left behind on each; what stands in for the root is a task that never completes.
            assert_eq!(of("ostia_worker_aborted_total"), if worker == first { 2 } else { 1 });
            assert_eq!(of("ostia_worker_tasks"), 0, "no gauge stays behind");
            // Polls that only drop a task and those of the root are no polls of the counter's.
            let polls = of("ostia_worker_polls_total");
            let measured = of("ostia_worker_poll_seconds");
            assert!((polls..polls * 2 + 100).contains(&measured), "{polls} {measured}");
        }
    }
}

#[test]
fn everything_has_a_description() {
    let book = &*BOOK;
    describe();
    let descriptions = book.descriptions.lock().expect("no panic").clone();
    for sample in ostia::WorkerStatistics::default().samples() {
        assert_eq!(descriptions.get(&*sample.name).map(|(_, text)| &**text), Some(&*sample.help));
    }
    assert_eq!(descriptions.get("ostia_worker_turn_seconds").map(|(unit, _)| *unit), Some(Some(Unit::Seconds)));
    let counters = ostia::WorkerStatistics::default().samples().filter(|sample| sample.kind == SampleKind::Counter).count();
    assert!(counters > 20);
}

#[test]
fn publishing_goes_on_by_itself_until_it_is_aborted() {
    let book = &*BOOK;
    for driver in drivers() {
        let mut runtime = Runtime::builder().workers(1).driver(driver).build().expect("a runtime");
        let worker = runtime.workers()[0];
        runtime.block_on(async {
            let mut publishing = publish_every(Duration::from_millis(2));
            for total in 1..=3 {
                panic_on(worker, 1).await;
                while book.value(PANICKED, worker) < total {
                    time::sleep(Duration::from_millis(1)).await;
                }
                assert_eq!(book.value(PANICKED, worker), total);
            }
            assert!(book.of("ostia_worker_poll_seconds", worker).is_none(), "histograms are off");
            publishing.abort();
            assert!(publishing.await.is_err_and(|error| error.is_cancelled()));
        });
        let process = Key::from_name("ostia_blocking_threads");
        assert!(book.numbers.lock().expect("no panic").contains_key(&process), "without a worker's label");
    }
}

//! What tokio-console is told (feature `console`): a span per task with its fields, polls, wake-ups.

mod common;
#[path = "common/trace.rs"]
mod trace;

use std::time::Duration;

use common::drivers;
use ostia::{Runtime, TaskBuilder, spawn, spawn_blocking, spawn_named, yield_now};
use trace::{Caught, What, catch, caught};

fn spans(passes: impl Fn(&Caught) -> bool) -> Vec<Caught> {
    caught(|one| one.what == What::New && one.name == "runtime.spawn" && passes(one))
}

fn of_span(span: &Caught, what: What) -> usize {
    caught(|one| one.what == what && one.span == span.span && one.name == "runtime.spawn").len()
}

fn waker_ops(span: &Caught, op: &str) -> usize {
    let id = span.span.map(|id| id.to_string());
    caught(|one| {
        one.what == What::Event
            && one.target == "runtime::waker"
            && one.fields.get("op") == Some(op)
            && one.fields.get("task.id") == id.as_deref()
    })
    .len()
}

#[test]
fn every_task_is_a_span_that_is_entered_while_it_is_polled() {
    catch();
    for driver in drivers() {
        let mut runtime = Runtime::builder().workers(2).driver(driver).build().expect("a runtime");
        let (first, other) = (runtime.workers()[0], runtime.workers()[1]);
        let line = runtime.block_on(async move {
            let line = line!() + 1;
            let named = spawn_named("helmsman", async {
                for _ in 0..3 {
                    yield_now().await;
                }
                ostia::time::sleep(Duration::from_millis(1)).await;
            });
            named.await.expect("no panic");
            let far = TaskBuilder::new().name("lookout").spawn_on(other, || async { yield_now().await });
            far.await.expect("no panic");
            spawn(async {}).await.expect("no panic");
            let work = spawn_blocking(|| {
                assert!(spans(|span| span.fields.get("kind") == Some("blocking")).len() == 1);
            });
            assert!(work.await.is_ok() || driver != drivers()[0]);
            line
        });
        drop(runtime);

        let here = first.to_string();
        let mine = spans(|span| span.fields.get("task.name") == Some("helmsman") && span.fields.get("worker") == Some(&here));
        assert_eq!(mine.len(), 1);
        let task = &mine[0];
        assert_eq!(task.target, "runtime");
        assert_eq!(task.fields.get("kind"), Some("task"));
        assert!(task.fields.get("loc.file").is_some_and(|file| file.ends_with("console.rs")), "{task:?}");
        assert_eq!(task.fields.get("loc.line"), Some(&*line.to_string()), "where it was spawned");
        assert!(task.fields.get("loc.col").is_some());
        let polls = of_span(task, What::Enter);
        assert!(polls >= 5, "four times put off, then done: {polls}");
        assert_eq!((of_span(task, What::Exit), of_span(task, What::Close)), (polls, 1));
        assert_eq!(waker_ops(task, "waker.wake"), polls - 1, "all polls but the first");
        assert_eq!((waker_ops(task, "waker.clone"), waker_ops(task, "waker.drop")), (1, 1));

        let there = other.to_string();
        let far = spans(|span| span.fields.get("task.name") == Some("lookout") && span.fields.get("worker") == Some(&there));
        assert_eq!(far.len(), 1);
        assert!(far[0].fields.get("loc.file").is_some_and(|file| file.ends_with("console.rs")));
        assert_eq!((of_span(&far[0], What::Enter), waker_ops(&far[0], "waker.wake")), (2, 1));

        let root = spans(|span| span.fields.get("kind") == Some("block_on") && span.fields.get("worker") == Some(&here));
        assert_eq!((root.len(), of_span(&root[0], What::Close)), (1, 1));
        assert!(waker_ops(&root[0], "waker.wake") > 0);
    }
}

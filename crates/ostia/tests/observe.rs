//! Names of tasks, their spans, the reports of panics and of tasks that never yield, histograms.

mod common;
#[path = "common/trace.rs"]
mod trace;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use common::{drivers, on_each, runtime};
use ostia::net::Endpoint;
use ostia::time::sleep;
use ostia::{Runtime, TaskBuilder, WorkerId, named, spawn, spawn_blocking, spawn_named, spawn_on, task_name, yield_now};
use trace::{What, catch, caught, events, until};

fn here() -> WorkerId {
    WorkerId::current().expect("a worker")
}

#[test]
fn names_belong_to_their_tasks() {
    assert_eq!(task_name(), None);
    on_each(|| async {
        assert_eq!(task_name(), None, "the root has no name");
        let outer = spawn_named("outer", async {
            assert_eq!(task_name().as_deref(), Some("outer"));
            yield_now().await;
            let inner = spawn(async { task_name() });
            assert_eq!(inner.await.expect("no panic"), None, "names are not inherited");
            let part = named(format!("part {}", 1), async {
                yield_now().await;
                task_name()
            });
            assert_eq!(part.await.as_deref(), Some("part 1"));
            assert_eq!(task_name().as_deref(), Some("outer"), "the name comes back");
            7
        });
        assert_eq!(outer.await.expect("no panic"), 7);
        // The places of tasks that have ended are used again; names must not stay behind.
        for _ in 0..10 {
            let after = spawn(async { task_name() });
            assert_eq!(after.await.expect("no panic"), None);
        }
        let mut aborted = spawn_named("aborted", std::future::pending::<()>());
        yield_now().await;
        aborted.abort();
        assert!(aborted.await.expect_err("aborted").is_cancelled());
        assert_eq!(spawn(async { task_name() }).await.expect("no panic"), None);
        let root = named("root", async { task_name() }).await;
        assert_eq!(root.as_deref(), Some("root"));
        assert_eq!(TaskBuilder::new().spawn(async { task_name() }).await.expect("no panic"), None);
        let long = spawn_named("n".repeat(1000), async { task_name() }).await.expect("no panic");
        assert_eq!(long.map(|name| name.len()), Some(64));
    });
}

#[test]
fn names_travel_to_other_workers() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        let found = runtime.block_on(async move {
            let builder = TaskBuilder::new().name("traveller");
            builder.spawn_on(other, || async { (task_name(), WorkerId::current()) }).await.expect("no panic")
        });
        assert_eq!((found.0.as_deref(), found.1), (Some("traveller"), Some(other)));
        drop(runtime);
        let gone = TaskBuilder::new().name("late").spawn_on(other, || async { unreachable!("the worker has gone") });
        assert!(ostia::block_on(gone).expect_err("nobody runs it").is_cancelled());
    }
}

#[test]
fn events_are_in_the_span_of_their_named_task() {
    catch();
    on_each(|| async {
        let worker = here().to_string();
        let speak = |text: &'static str| {
            let worker = worker.clone();
            async move {
                yield_now().await;
                tracing::info!(worker, "{text}");
            }
        };
        spawn_named("speaker", speak("with a name")).await.expect("no panic");
        spawn(speak("without a name")).await.expect("no panic");
        let with = events(here(), "with a name");
        let (name, fields) = &with[0].around[0];
        assert_eq!((*name, fields.get("name"), fields.get("worker")), ("task", Some("speaker"), Some(&*worker)));
        assert!(fields.get("number").is_some());
        assert!(events(here(), "without a name")[0].around.iter().all(|(name, _)| *name != "task"));
    });
}

#[test]
fn a_panic_is_reported_with_its_tasks_name() {
    catch();
    on_each(|| async {
        let spoken = |error: ostia::JoinError| error.to_string();
        let error = spawn_named("bilge pump", async { panic!("jammed") }).await.map_err(spoken);
        assert_eq!(error, Err("the task 'bilge pump' panicked: jammed".into()));
        let inside = spawn(async { named("inner", async { panic!("sprung") }).await }).await.map_err(spoken);
        assert_eq!(inside, Err("the task 'inner' panicked: sprung".into()));
        let both = spawn_named("outer", named("inner", async { panic!("sprung") })).await.map_err(spoken);
        assert_eq!(both, Err("the task 'inner' panicked: sprung".into()));
        let nobody = spawn(async { panic!("nameless") }).await.map_err(spoken);
        assert_eq!(nobody, Err("the task panicked: nameless".into()), "an earlier name is not taken for this one's");
        let blocking = TaskBuilder::new().name("stoker").spawn_blocking(|| panic!("fire")).await.map_err(spoken);
        assert_eq!(blocking, Err("the task 'stoker' panicked: fire".into()));
        assert_eq!(spawn_blocking(|| panic!("smoke")).await.map_err(spoken), Err("the task panicked: smoke".into()));

        let text = format!("unheard {}", here());
        let panic = text.clone();
        spawn_named("left alone", async move { panic!("{panic}") }).detach();
        yield_now().await;
        yield_now().await;
        let logged = caught(|one| one.fields.get("panic") == Some(&text));
        assert_eq!(logged.len(), 1);
        assert_eq!((logged[0].fields.get("name"), logged[0].level), (Some("left alone"), tracing::Level::ERROR));
    });
}

const STUCK: &str = "does not yield";
const YIELDED: &str = "has yielded at last";

/// Waits, yielding, until a worker has been reported to have yielded.
async fn yielded(worker: WorkerId) {
    while events(worker, YIELDED).is_empty() {
        sleep(Duration::from_millis(2)).await;
    }
}

/// Blocks the thread until this worker has been reported once more than before.
fn block_until_reported() {
    let worker = here();
    let before = events(worker, STUCK).len();
    until("a report", || events(worker, STUCK).len() > before);
}

fn watched(driver: ostia::DriverChoice, workers: usize, limit: Duration) -> Runtime {
    Runtime::builder().workers(workers).driver(driver).stuck_after(limit).build().expect("a runtime")
}

#[test]
fn a_task_that_does_not_yield_is_named_until_it_does() {
    catch();
    for driver in drivers() {
        let mut runtime = watched(driver, 2, Duration::from_millis(150));
        let workers = runtime.workers();
        let (first, other) = (workers[0], workers[1]);
        runtime.block_on(async move {
            let hog = spawn_named("hog", async {
                block_until_reported();
                // And again, though it is the same episode.
                block_until_reported();
            });
            hog.await.expect("no panic");
            yielded(first).await;
            let reports = events(first, STUCK);
            assert!(reports.iter().all(|one| one.fields.get("name") == Some("hog") && one.level == tracing::Level::WARN));
            let tasks: Vec<_> = reports.iter().map(|one| one.fields.get("task").map(str::to_owned)).collect();
            assert!(tasks[0].is_some() && tasks.iter().all(|task| *task == tasks[0]));
            let over = &events(first, YIELDED)[0];
            assert_eq!((over.fields.get("name"), over.fields.get("task")), (Some("hog"), tasks[0].as_deref()));

            // One on the other worker, without a name; this worker goes on meanwhile.
            spawn_on(other, || async { block_until_reported() }).await.expect("no panic");
            yielded(other).await;
            assert!(events(other, STUCK).iter().all(|one| one.fields.get("name").is_none()));

            let statistics = ostia::statistics().await;
            assert_eq!((statistics[0].tasks.stuck, statistics[1].tasks.stuck), (1, 1), "episodes, not reports");
        });
        assert_eq!(events(first, YIELDED).len(), 1);
    }
}

#[test]
fn the_root_future_is_watched_too() {
    catch();
    for driver in drivers() {
        let mut runtime = watched(driver, 1, Duration::from_millis(150));
        let worker = runtime.workers()[0];
        runtime.block_on(async {
            yield_now().await;
            named("root", async { block_until_reported() }).await;
        });
        // Its last poll is over, though the loop is not entered any more.
        until("the end's report", || events(worker, YIELDED).len() == 1);
        assert_eq!(events(worker, STUCK)[0].fields.get("name"), Some("root"));
    }
}

#[test]
fn a_report_says_whether_the_task_computes_or_is_blocked() {
    catch();
    for driver in drivers() {
        watched(driver, 1, Duration::from_millis(150)).block_on(async {
            let worker = here();
            let done = Arc::new(AtomicBool::new(false));
            let watching = Arc::clone(&done);
            let watcher = thread::spawn(move || {
                until("a report", || !events(worker, STUCK).is_empty());
                watching.store(true, Ordering::Relaxed);
            });
            spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
            .await
            .expect("no panic");
            watcher.join().expect("no panic");
            assert_eq!(events(worker, STUCK)[0].fields.get("doing"), Some("computing"));

            yielded(worker).await;
            let before = events(worker, STUCK).len();
            let (done, is_done) = mpsc::channel();
            let watcher = thread::spawn(move || {
                until("a report", || events(worker, STUCK).len() > before);
                done.send(()).expect("somebody waits");
            });
            spawn(async move { is_done.recv().expect("a word") }).await.expect("no panic");
            watcher.join().expect("no panic");
            assert_eq!(events(worker, STUCK)[before].fields.get("doing"), Some("blocked in the system"));
        });
    }
}

#[test]
fn workers_that_wait_or_take_turns_are_not_reported() {
    catch();
    const LIMIT: Duration = Duration::from_millis(400);
    const LONG: Duration = Duration::from_millis(1000);
    for driver in drivers() {
        let mut runtime = watched(driver, 2, LIMIT);
        let workers = runtime.workers();
        let stuck = runtime.block_on(async {
            // One worker waits for its timer, the other for nothing at all.
            sleep(LONG).await;
            // Always in a poll, but never in the same.
            let busy = spawn_named("busy", async {
                let began = std::time::Instant::now();
                while began.elapsed() < LONG {
                    yield_now().await;
                }
            });
            busy.await.expect("no panic");
            spawn_blocking(|| thread::sleep(LONG)).await.expect("no panic");
            ostia::statistics().await.iter().map(|one| one.tasks.stuck).sum::<u64>()
        });
        // Between two calls the thread belongs to somebody else.
        thread::sleep(LONG);
        assert_eq!(stuck, 0);
        // As after a panic of the root, which leaves the loop by another way.
        let root = std::panic::AssertUnwindSafe(|| runtime.block_on(async { panic!("aground") }));
        std::panic::catch_unwind(root).expect_err("it panics");
        thread::sleep(LONG);
        drop(runtime);
        assert!(workers.iter().all(|&worker| events(worker, STUCK).is_empty()));
    }
}

#[cfg(unix)]
#[test]
fn the_watchdogs_thread_is_there_only_for_those_who_asked() {
    if !common::alone("the_watchdogs_thread_is_there_only_for_those_who_asked") {
        return;
    }
    let there = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("this process");
        tasks.flatten().any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "ostia-watchdog\n"))
    };
    for driver in drivers() {
        let unwatched = runtime(driver, 1);
        assert!(!there());
        let (one, two) = (watched(driver, 2, Duration::from_secs(9)), watched(driver, 1, Duration::from_secs(3)));
        until("the thread", there);
        drop(one);
        assert!(there());
        drop((two, unwatched));
        until("its end", || !there());
    }
}

#[test]
fn the_loops_of_a_server_have_names() {
    catch();
    for driver in drivers() {
        runtime(driver, 1).block_on(async {
            let worker = here().to_string();
            let endpoint: Endpoint = "127.0.0.1:0".parse().expect("an endpoint");
            let server = ostia::serve::Server::builder().listen(endpoint).build().expect("a server");
            let handle = server.handle();
            let running = spawn(server.run(|_, _| async {}));
            sleep(Duration::from_millis(5)).await;
            handle.stop();
            running.await.expect("no panic").expect("served");
            let spans = caught(|one| one.what == What::New && one.name == "task" && one.fields.get("worker") == Some(&worker));
            assert!(spans.iter().any(|span| span.fields.get("name") == Some("accept 0")), "{spans:?}");
        });
    }
}

#[test]
fn histograms_count_what_happens() {
    for driver in drivers() {
        runtime(driver, 1).block_on(async { assert!(ostia::observe::histograms().await.is_empty(), "off by default") });
        let mut runtime = Runtime::builder().workers(2).driver(driver).histograms(true).build().expect("a runtime");
        let workers = runtime.workers();
        runtime.block_on(async {
            for _ in 0..5 {
                sleep(Duration::from_millis(2)).await;
            }
            spawn(async { thread::sleep(Duration::from_millis(30)) }).await.expect("no panic");
            let all = ostia::observe::histograms().await;
            assert_eq!(all.iter().map(|one| one.worker).collect::<Vec<_>>(), workers);
            let statistics = ostia::statistics().await;
            let (mine, counted) = (&all[0], &statistics[0].tasks);
            let long = Duration::from_millis(30).as_nanos() as u64;
            assert!(mine.poll.quantile(1.0).is_some_and(|most| most >= long));
            assert!(mine.turn.quantile(1.0).is_some_and(|most| most >= long), "the poll was in a turn");
            assert!(mine.poll.sum() >= long && mine.poll.sum() <= mine.turn.sum() + mine.poll.sum());
            assert!(mine.lateness.count() >= 5);
            assert!((1..=counted.turns + 1).contains(&mine.turn.count()) && mine.tasks.count() <= counted.turns + 1);
            assert!(mine.tasks.sum() <= counted.polls && mine.tasks.sum() > 0);
            let later = ostia::observe::histograms().await.swap_remove(0);
            let new = later.poll.since(&mine.poll);
            assert!(new.count() > 0 && new.count() < mine.poll.count() + 100);
        });
    }
}

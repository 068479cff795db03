//! Two workers of one runtime.

use std::error::Error;
use std::sync::Arc;

use ostia::sync::{Notify, mpsc, oneshot};
use ostia::{WorkerId, spawn_on};

use crate::{By, Rounds, obey, pin};

/// Measures as told until the end of standard input.
pub fn run(driver: ostia::DriverChoice, by: By, cpus: [usize; 2]) -> Result<(), Box<dyn Error>> {
    let mut runtime = ostia::Runtime::builder().workers(2).driver(driver).build()?;
    let there = runtime.workers()[1];
    pin(cpus[0]);
    runtime.block_on(spawn_on(there, move || async move { pin(cpus[1]) }))?;
    match by {
        By::Channel => {
            let (asking, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
            let answering = move || async move {
                while let Some(answer) = asked.recv().await {
                    let _ = answer.send(());
                }
            };
            spawn_on(there, answering).detach();
            obey(|rounds| runtime.block_on(ask(&asking, rounds)))
        }
        By::Notify => {
            let (ping, pong) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (heard, answer) = (Arc::clone(&ping), Arc::clone(&pong));
            let answering = move || async move {
                loop {
                    heard.notified().await;
                    answer.notify_one();
                }
            };
            spawn_on(there, answering).detach();
            obey(|rounds| runtime.block_on(notify(&ping, &pong, rounds)))
        }
        By::Spawn => obey(|rounds| runtime.block_on(spawn(there, rounds))),
    }
}

async fn ask(asking: &mpsc::Sender<oneshot::Sender<()>>, rounds: &mut Rounds) {
    while rounds.begin() {
        let (answer, answered) = oneshot::channel();
        let _ = asking.send(answer).await;
        let _ = answered.await;
        rounds.end();
    }
}

async fn notify(ping: &Notify, pong: &Notify, rounds: &mut Rounds) {
    while rounds.begin() {
        ping.notify_one();
        pong.notified().await;
        rounds.end();
    }
}

async fn spawn(there: WorkerId, rounds: &mut Rounds) {
    while rounds.begin() {
        let _ = spawn_on(there, || async {}).await;
        rounds.end();
    }
}

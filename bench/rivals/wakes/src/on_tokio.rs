//! Two current-thread runtimes with their I/O on, as a server of one thread a core has them.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{By, Rounds, obey, pin};

/// Measures as told until the end of standard input.
pub fn run(by: By, cpus: [usize; 2]) -> Result<(), Box<dyn Error>> {
    let made = || -> io::Result<Runtime> { Builder::new_current_thread().enable_io().build() };
    let (here, other) = (made()?, made()?);
    let there = other.handle().clone();
    pin(cpus[0]);
    thread::spawn(move || {
        pin(cpus[1]);
        other.block_on(std::future::pending::<()>());
    });
    match by {
        By::Channel => {
            let (asking, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
            there.spawn(async move {
                while let Some(answer) = asked.recv().await {
                    let _ = answer.send(());
                }
            });
            obey(|rounds| here.block_on(ask(&asking, rounds)))
        }
        By::Notify => {
            let (ping, pong) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (heard, answer) = (Arc::clone(&ping), Arc::clone(&pong));
            there.spawn(async move {
                loop {
                    heard.notified().await;
                    answer.notify_one();
                }
            });
            obey(|rounds| here.block_on(notify(&ping, &pong, rounds)))
        }
        By::Spawn => obey(|rounds| here.block_on(spawn(&there, rounds))),
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

async fn spawn(there: &Handle, rounds: &mut Rounds) {
    while rounds.begin() {
        let _ = there.spawn(async {}).await;
        rounds.end();
    }
}

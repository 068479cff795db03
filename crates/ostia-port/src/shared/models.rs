//! Models of what the shared port's threads share, for loom: it runs each with every order of steps that matters.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p ostia-port --release --lib shared::models`, best with a `CARGO_TARGET_DIR` of its own,
//! for the flag builds everything anew. `LOOM_MAX_PREEMPTIONS` bounds how often a thread is interrupted at will (4 where a
//! model sets nothing else); loom reports a deadlock, which is what a lost wake-up is here, by itself.

use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::crew::Crew;
use super::ended::{PortEnded, Refused};
use super::intake::Intake;
use super::parker::Parker;
use super::queue::{Queue, Wakes};
use super::sync::Patience;

/// A limit of time: under loom it is met at once, wherever the others stand.
const LIMIT: Option<Duration> = Some(Duration::from_secs(3600));

/// The packet that ends a thread of a pool.
const EXIT: u32 = 0;

fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(run);
}

/// A member on a thread of its own.
struct Member {
    queue: Arc<Queue<u32>>,
    parker: Arc<Parker>,
    seat: u32,
}

impl Member {
    fn new(queue: &Arc<Queue<u32>>) -> Member {
        let parker = Arc::new(Parker::new());
        let seat = queue.join(Arc::clone(&parker), 0);
        Member { queue: Arc::clone(queue), parker, seat }
    }

    fn wait_for(&self, timeout: Option<Duration>) -> Result<Option<u32>, PortEnded> {
        let mut got = None;
        self.queue.wait(self.seat, &self.parker, 1, timeout, |packet| got = Some(packet))?;
        Ok(got)
    }

    fn wait(&self) -> u32 {
        self.wait_for(None).expect("not ended").expect("waited for ever")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.queue.leave(self.seat);
    }
}

fn queue(limit: usize) -> Arc<Queue<u32>> {
    Arc::new(Queue::new(limit))
}

fn post(queue: &Queue<u32>, packet: u32) {
    queue.push(packet, usize::MAX).expect("room");
}

/// Nobody runs, waits or has a seat, and nothing is left.
fn assert_deserted(queue: &Queue<u32>) {
    let census = queue.census();
    assert_eq!((census.packets, census.members, census.waiting, census.running), (0, 0, 0, 0));
}

/// Waits until so many members stand on the stack.
fn until_waiting(queue: &Queue<u32>, count: usize) {
    while queue.census().waiting < count {
        thread::yield_now();
    }
}

#[test]
fn a_wake_before_or_after_the_sleep_ends_it() {
    model(8, || {
        let parker = Arc::new(Parker::new());
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let parker = Arc::clone(&parker);
                thread::spawn(move || parker.unpark())
            })
            .collect();
        assert!(parker.park(Patience::Forever));
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        // What was woken twice is at most one wake more, and none is lost.
        parker.park(Patience::None);
        let waker = Arc::clone(&parker);
        let waker = thread::spawn(move || waker.unpark());
        assert!(parker.park(Patience::Forever));
        waker.join().unwrap();
    });
}

/// No packet is lost, none comes twice, however posting, waiting and leaving mix; with one that may run the second packet
/// waits for the first member's end.
#[test]
fn every_packet_comes_once() {
    for limit in [1, 2] {
        model(3, move || {
            let queue = queue(limit);
            let sum = Arc::new(AtomicUsize::new(0));
            let members: Vec<_> = (0..2)
                .map(|_| {
                    let (queue, sum) = (Arc::clone(&queue), Arc::clone(&sum));
                    thread::spawn(move || {
                        let member = Member::new(&queue);
                        sum.fetch_add(member.wait() as usize, Ordering::SeqCst);
                    })
                })
                .collect();
            post(&queue, 1);
            post(&queue, 10);
            members.into_iter().for_each(|member| member.join().unwrap());
            assert_eq!(sum.load(Ordering::SeqCst), 11);
            assert_deserted(&queue);
        });
    }
}

/// Two who post at once, and one who takes: each poster's packets keep their order.
#[test]
fn packets_leave_first_in_first_out() {
    model(3, || {
        let queue = queue(1);
        let poster = Arc::clone(&queue);
        let poster = thread::spawn(move || {
            post(&poster, 1);
            post(&poster, 2);
        });
        let member = Member::new(&queue);
        post(&queue, 10);
        let mut got = [member.wait(), member.wait(), member.wait()];
        assert!(got.iter().position(|&p| p == 1) < got.iter().position(|&p| p == 2), "{got:?}");
        got.sort_unstable();
        assert_eq!(got, [1, 2, 10]);
        poster.join().unwrap();
        drop(member);
        assert_deserted(&queue);
    });
}

/// The last to wait is the first to be released, and the packet is its own, whichever thread the scheduler favours.
#[test]
fn the_last_to_wait_is_released_first() {
    model(3, || {
        let queue = queue(2);
        let member = |expected: u32| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let member = Member::new(&queue);
                assert_eq!(member.wait(), expected);
            })
        };
        let first = member(2);
        until_waiting(&queue, 1);
        let second = member(1);
        until_waiting(&queue, 2);
        post(&queue, 1);
        post(&queue, 2);
        first.join().unwrap();
        second.join().unwrap();
        assert_deserted(&queue);
    });
}

/// Members that take packet after packet: never more than the limit are between a packet and the next wait.
#[test]
fn no_more_run_than_may() {
    model(3, || {
        let queue = queue(1);
        let running = Arc::new(AtomicUsize::new(0));
        let members: Vec<_> = (0..2)
            .map(|_| {
                let (queue, running) = (Arc::clone(&queue), Arc::clone(&running));
                thread::spawn(move || {
                    let member = Member::new(&queue);
                    for _ in 0..2 {
                        member.wait();
                        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two run");
                        running.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        (0..4).for_each(|packet| post(&queue, packet));
        members.into_iter().for_each(|member| member.join().unwrap());
        assert_deserted(&queue);
    });
}

/// A packet waits, one runs and one may: as soon as the runner blocks, the one that waits is released, before the runner
/// goes on. Afterwards the count is right again.
#[test]
fn a_blocked_member_lets_another_run() {
    model(4, || {
        let queue = queue(1);
        let released = Arc::new(Parker::new());
        let first = Member::new(&queue);
        post(&queue, 1);
        assert_eq!(first.wait(), 1);
        let second = {
            let (queue, released) = (Arc::clone(&queue), Arc::clone(&released));
            thread::spawn(move || {
                let member = Member::new(&queue);
                assert_eq!(member.wait(), 2);
                released.unpark();
                assert_eq!(member.wait(), 3);
            })
        };
        post(&queue, 2);
        assert!(queue.block(first.seat));
        // Only the other member ends this.
        released.park(Patience::Forever);
        queue.unblock(first.seat);
        post(&queue, 3);
        drop(first);
        second.join().unwrap();
        assert_deserted(&queue);
    });
}

/// A wait that gives up while a packet is being handed to it takes the packet, or leaves it to the next.
#[test]
fn a_wait_that_gives_up_loses_nothing() {
    model(4, || {
        let queue = queue(1);
        let poster = Arc::clone(&queue);
        let poster = thread::spawn(move || post(&poster, 7));
        let member = Member::new(&queue);
        let early = member.wait_for(LIMIT).expect("not ended");
        let packet = early.unwrap_or_else(|| member.wait());
        assert_eq!(packet, 7);
        poster.join().unwrap();
        drop(member);
        assert_deserted(&queue);
    });
}

/// Giving up in the middle of the stack leaves the others where they are.
#[test]
fn giving_up_disturbs_nobody_else() {
    model(3, || {
        let queue = queue(2);
        let patient = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || Member::new(&queue).wait())
        };
        let hasty = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || Member::new(&queue).wait_for(LIMIT).expect("not ended").is_some())
        };
        post(&queue, 1);
        if hasty.join().unwrap() {
            post(&queue, 2);
        }
        patient.join().unwrap();
        assert_deserted(&queue);
    });
}

/// The end wakes everybody, in whatever state; nobody waits after it, and nothing is taken.
#[test]
fn the_end_wakes_everybody() {
    model(3, || {
        let queue = queue(1);
        let members: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    let member = Member::new(&queue);
                    while member.wait_for(None).is_ok() {}
                    assert_eq!(member.wait_for(None), Err(PortEnded::CLOSED));
                })
            })
            .collect();
        post(&queue, 1);
        queue.end(PortEnded::CLOSED);
        assert_eq!(queue.push(2, usize::MAX), Err(Refused::Ended(2)));
        members.into_iter().for_each(|member| member.join().unwrap());
        assert_deserted(&queue);
    });
}

/// The port thread finds a member asleep while that takes its next packet or leaves: the count stays right, and a packet
/// that waits for the sleeper's place is handed out.
#[test]
fn judging_a_sleeper_races_with_its_waking() {
    model(3, || {
        let queue = queue(1);
        post(&queue, 1);
        post(&queue, 2);
        let members: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || Member::new(&queue).wait())
            })
            .collect();
        let mut suspects = Vec::new();
        queue.suspects(&mut suspects);
        suspects.iter_mut().for_each(|suspect| suspect.asleep = true);
        queue.judge(&suspects);
        let sum: u32 = members.into_iter().map(|member| member.join().unwrap()).sum();
        assert_eq!(sum, 3);
        assert_deserted(&queue);
    });
}

/// A member sleeps until another gets the packet that waits: once it is seen asleep, the other does.
#[test]
fn who_is_seen_asleep_makes_room() {
    model(3, || {
        let queue = queue(1);
        let released = Arc::new(Parker::new());
        let first = Member::new(&queue);
        post(&queue, 1);
        assert_eq!(first.wait(), 1);
        let second = {
            let (queue, released) = (Arc::clone(&queue), Arc::clone(&released));
            thread::spawn(move || {
                assert_eq!(Member::new(&queue).wait(), 2);
                released.unpark();
            })
        };
        let port_thread = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut suspects = Vec::new();
                while suspects.is_empty() {
                    thread::yield_now();
                    queue.suspects(&mut suspects);
                }
                suspects.iter_mut().for_each(|suspect| suspect.asleep = true);
                queue.judge(&suspects);
            })
        };
        post(&queue, 2);
        released.park(Patience::Forever);
        drop(first);
        second.join().unwrap();
        port_thread.join().unwrap();
        assert_deserted(&queue);
    });
}

/// The port thread delivers a batch: members that sleep are released, the rest stays for those that come.
#[test]
fn a_batch_is_shared_out() {
    model(3, || {
        let queue = queue(2);
        let members: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    let member = Member::new(&queue);
                    let mut got = Vec::new();
                    while !got.contains(&0) {
                        queue.wait(member.seat, &member.parker, 2, None, |packet| got.push(packet)).expect("not ended");
                    }
                    // An exit packet too many is another's.
                    got.iter().filter(|&&packet| packet == 0).skip(1).for_each(|_| post(&queue, 0));
                    got.iter().sum::<u32>()
                })
            })
            .collect();
        queue.deliver(&mut vec![1, 10, 0, 0], usize::MAX, &mut Wakes::default());
        assert_eq!(members.into_iter().map(|member| member.join().unwrap()).sum::<u32>(), 11);
        assert_deserted(&queue);
    });
}

/// Packets wait and nobody does: whoever makes more members hears of it, whether it looks before or after.
#[test]
fn want_of_members_is_heard() {
    model(4, || {
        let queue = queue(1);
        let poster = Arc::clone(&queue);
        let grower = Arc::new(Parker::new());
        queue.add_grower(Arc::clone(&grower));
        let poster = thread::spawn(move || post(&poster, 5));
        while !queue.is_starving() {
            grower.park(Patience::Forever);
        }
        assert_eq!(Member::new(&queue).wait(), 5);
        poster.join().unwrap();
        queue.remove_grower(&grower);
        assert_deserted(&queue);
    });
}

/// A thread of a pool, as `pool.rs` has it.
fn work(crew: &Crew, queue: &Arc<Queue<u32>>) {
    let member = Member::new(queue);
    let mut found = member.wait_for(Some(Duration::ZERO));
    crew.arrived();
    loop {
        if found.expect("not ended") == Some(EXIT) {
            return crew.leave();
        }
        found = member.wait_for(LIMIT);
        if found == Ok(None) {
            if crew.dismiss() {
                return;
            }
            // Who may not go is needed, or has an exit packet to take: waiting with a limit again would hide that none comes.
            found = member.wait_for(None);
        }
    }
}

/// A pool that is stopped while a thread comes, and while one finds that it is not needed: all that were made end, and leave
/// no exit packet behind.
#[test]
fn a_stopped_pool_ends_to_the_last_thread() {
    for min in [0, 1] {
        model(3, move || {
            let (queue, crew) = (queue(2), Arc::new(Crew::new(min, 2)));
            let supervisor = {
                let (queue, crew) = (Arc::clone(&queue), Arc::clone(&crew));
                thread::spawn(move || {
                    let mut made = Vec::new();
                    crew.supervise(&queue, |_| {
                        let (queue, crew) = (Arc::clone(&queue), Arc::clone(&crew));
                        made.push(thread::spawn(move || work(&crew, &queue)));
                        Ok(())
                    });
                    made
                })
            };
            post(&queue, 1);
            (0..crew.stop()).for_each(|_| post(&queue, EXIT));
            assert_eq!(crew.wait_until_empty(Patience::Forever), 0);
            supervisor.join().unwrap().into_iter().for_each(|thread| thread.join().unwrap());
            // The pool may have been stopped before it had a thread: its packet stays then, and nothing else.
            let stranger = Member::new(&queue);
            assert_ne!(stranger.wait_for(Some(Duration::ZERO)), Ok(Some(EXIT)));
            drop(stranger);
            assert_deserted(&queue);
        });
    }
}

/// The port thread sleeps until packets run low: whoever takes the last of them calls it, be it a member that comes back or
/// one that is released because another blocks.
#[test]
fn who_takes_the_last_packets_calls_the_port_thread() {
    model(3, || {
        let queue = queue(1);
        let port_thread = Arc::new(Parker::new());
        queue.deliver(&mut vec![1, 10], usize::MAX, &mut Wakes::default());
        let members: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    let member = Member::new(&queue);
                    let packet = member.wait();
                    if queue.block(member.seat) {
                        queue.unblock(member.seat);
                    }
                    packet
                })
            })
            .collect();
        if queue.stall(0, &port_thread) {
            assert!(port_thread.park(Patience::Forever));
        }
        assert_eq!(queue.census().packets, 0);
        assert_eq!(members.into_iter().map(|member| member.join().unwrap()).sum::<u32>(), 11);
        assert_deserted(&queue);
    });
}

/// What is to be done by the port thread: it sleeps when it finds nothing, and only the first sender rings.
fn obey(intake: &Intake<u32, ()>, bell: &Parker, count: usize) -> Vec<u32> {
    let (mut done, mut commands) = (Vec::new(), Vec::new());
    while done.len() < count {
        intake.take(&mut commands, |()| ());
        if commands.is_empty() {
            bell.park(Patience::Forever);
        }
        done.append(&mut commands);
    }
    done
}

fn send(intake: &Intake<u32, ()>, bell: &Parker, command: u32) {
    let ((), first) = intake.send(command, true, |command, ()| (command, ())).expect("open");
    if first.0 {
        bell.unpark();
    }
}

/// Senders wait for room and are woken, the port thread is rung and not more often than needed; all commands arrive once,
/// each sender's in its order, and a cancel that must not wait arrives behind what it cancels.
#[test]
fn commands_arrive_once_through_a_full_queue() {
    model(3, || {
        let (intake, bell) = (Arc::new(Intake::new(1, ())), Arc::new(Parker::new()));
        let senders: Vec<_> = [1, 10]
            .into_iter()
            .map(|from| {
                let (intake, bell) = (Arc::clone(&intake), Arc::clone(&bell));
                thread::spawn(move || {
                    send(&intake, &bell, from);
                    if intake.send_surely(|()| Some(from + 1)).expect("open").0 {
                        bell.unpark();
                    }
                })
            })
            .collect();
        let done = obey(&intake, &bell, 4);
        for from in [1, 10] {
            assert!(done.iter().position(|&c| c == from) < done.iter().position(|&c| c == from + 1), "{done:?}");
        }
        assert_eq!(done.iter().sum::<u32>(), 24);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// Closing the intake refuses those that wait for room, with what they wanted to send.
#[test]
fn closing_refuses_those_that_wait_for_room() {
    model(4, || {
        let intake: Arc<Intake<u32, ()>> = Arc::new(Intake::new(1, ()));
        let ((), _) = intake.send(1, false, |command, ()| (command, ())).expect("room");
        let sender = Arc::clone(&intake);
        let sender = thread::spawn(move || sender.send(2, true, |command, ()| (command, ())).map(drop));
        intake.close();
        assert_eq!(sender.join().unwrap(), Err(Refused::Ended(2)));
        let mut left = Vec::new();
        assert!(!intake.take(&mut left, |()| ()), "closed");
        assert_eq!(left, [1], "what was taken before the end is still there");
        assert_eq!(intake.send_surely(|()| Some(3)), None);
    });
}

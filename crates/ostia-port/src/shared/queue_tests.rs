//! The queue's rules one by one, on one thread: nobody sleeps, members only look.

use std::sync::Arc;
use std::time::Duration;

use super::ended::{PortEnded, Refused};
use super::parker::Parker;
use super::queue::{Census, Queue, Wakes};
use super::sync::Patience;

struct Member {
    seat: u32,
    parker: Arc<Parker>,
}

impl Member {
    fn of(queue: &Queue<u32>) -> Member {
        let parker = Arc::new(Parker::new());
        Member { seat: queue.join(Arc::clone(&parker), 0), parker }
    }

    /// What a wait finds that doesn't sleep.
    fn look(&self, queue: &Queue<u32>, max: usize) -> Vec<u32> {
        let mut got = Vec::new();
        queue.wait(self.seat, &self.parker, max, Some(Duration::ZERO), |packet| got.push(packet)).expect("not ended");
        got
    }
}

fn filled(limit: usize, packets: std::ops::Range<u32>) -> Queue<u32> {
    let queue = Queue::new(limit);
    packets.for_each(|packet| queue.push(packet, usize::MAX).expect("room"));
    queue
}

#[test]
fn a_batch_is_taken_in_order_and_no_longer_than_asked() {
    let queue = filled(1, 0..5);
    let member = Member::of(&queue);
    assert_eq!(member.look(&queue, 3), [0, 1, 2]);
    assert_eq!(queue.census(), Census { packets: 2, members: 1, waiting: 0, running: 1 });
    assert_eq!(member.look(&queue, 9), [3, 4]);
    assert_eq!(member.look(&queue, 9), [0u32; 0]);
    assert_eq!(queue.census().running, 0, "whoever looked in vain doesn't run");
}

#[test]
fn packets_wait_while_as_many_run_as_may() {
    let queue = filled(2, 0..4);
    let members: Vec<Member> = (0..3).map(|_| Member::of(&queue)).collect();
    assert_eq!(members[0].look(&queue, 1), [0]);
    assert_eq!(members[1].look(&queue, 1), [1]);
    assert_eq!(members[2].look(&queue, 1), [0u32; 0], "a third may not run");
    queue.leave(members[0].seat);
    assert_eq!(members[2].look(&queue, 1), [2], "one has ended");
}

#[test]
fn who_blocks_is_not_counted_and_who_goes_on_is() {
    let queue = filled(1, 0..3);
    let [first, second] = [Member::of(&queue), Member::of(&queue)];
    assert!(!queue.block(first.seat), "nothing to take back from one that doesn't run");
    assert_eq!(first.look(&queue, 1), [0]);
    assert!(queue.block(first.seat));
    assert!(!queue.block(first.seat), "only the outermost counts");
    assert_eq!(second.look(&queue, 1), [1]);
    queue.unblock(first.seat);
    assert_eq!(queue.census().running, 2, "one more than may: nobody is stopped");
    assert_eq!(second.look(&queue, 1), [0u32; 0], "but nobody is released");
    assert_eq!(first.look(&queue, 1), [2]);
    queue.block(first.seat);
    first.look(&queue, 1);
    queue.unblock(first.seat);
    assert_eq!(queue.census().running, 0, "who has waited since is counted anew");
}

#[test]
fn who_is_seen_asleep_makes_room_until_seen_awake() {
    let queue = filled(1, 0..3);
    let [first, second] = [Member::of(&queue), Member::of(&queue)];
    let mut suspects = Vec::new();
    queue.add_grower(Arc::new(Parker::new()));
    queue.suspects(&mut suspects);
    assert!(suspects.is_empty(), "nobody runs");
    first.look(&queue, 1);
    queue.suspects(&mut suspects);
    assert_eq!(suspects.len(), 1);
    suspects[0].asleep = true;
    queue.judge(&suspects);
    assert_eq!(queue.census().running, 0);
    assert_eq!(second.look(&queue, 1), [1]);
    queue.suspects(&mut suspects);
    assert_eq!(suspects.iter().map(|suspect| suspect.asleep).collect::<Vec<_>>(), [false, true], "the runner first");
    suspects[1].asleep = false;
    queue.judge(&suspects);
    assert_eq!(queue.census().running, 2, "it has woken");
    // What was seen of an earlier packet is not taken for this one.
    let mut stale = suspects.clone();
    stale.iter_mut().for_each(|suspect| suspect.asleep = !suspect.asleep);
    assert_eq!(first.look(&queue, 1), [0u32; 0]);
    assert_eq!(second.look(&queue, 1), [2]);
    let before = queue.census();
    assert_eq!(before.running, 1);
    queue.judge(&stale);
    assert_eq!(queue.census(), before);
}

#[test]
fn nobody_is_watched_for_nobody() {
    let queue = filled(1, 0..3);
    let member = Member::of(&queue);
    member.look(&queue, 1);
    let mut suspects = Vec::new();
    queue.suspects(&mut suspects);
    assert!(suspects.is_empty(), "packets wait, but nobody could take them");
}

#[test]
fn growers_are_called_when_one_more_may_run_and_nobody_waits() {
    let queue = filled(1, 0..2);
    let grower = Arc::new(Parker::new());
    queue.add_grower(Arc::clone(&grower));
    assert!(queue.is_starving());
    let member = Member::of(&queue);
    member.look(&queue, 1);
    assert!(!queue.is_starving() && !grower.park(Patience::None), "as many run as may");
    queue.block(member.seat);
    assert!(queue.is_starving() && grower.park(Patience::None));
    queue.remove_grower(&grower);
    queue.push(9, usize::MAX).expect("room");
    assert!(!grower.park(Patience::None));
}

#[test]
fn bounds_refuse_and_the_end_refuses_everything() {
    let queue = filled(1, 0..2);
    assert_eq!(queue.push(7, 2), Err(Refused::Full(7)));
    assert_eq!(queue.deliver(&mut vec![7], 4, &mut Wakes::default()), (1, false));
    assert_eq!(queue.deliver(&mut vec![8, 9], 4, &mut Wakes::default()), (0, false), "delivered, though it is too much");
    queue.end(PortEnded::CLOSED);
    assert_eq!(queue.ended(), Some(PortEnded::CLOSED));
    assert_eq!(queue.push(7, 9), Err(Refused::Ended(7)));
    let mut late = vec![1];
    queue.deliver(&mut late, 4, &mut Wakes::default());
    assert!(late.is_empty() && queue.census().packets == 0, "dropped");
    let member = Member::of(&queue);
    assert!(queue.wait(member.seat, &member.parker, 1, None, |_| ()).is_err());
}

#[test]
fn the_port_thread_is_called_back_when_there_is_room() {
    let queue = filled(1, 0..3);
    let parker = Arc::new(Parker::new());
    assert!(!queue.stall(3, &parker), "there is room");
    assert!(queue.stall(1, &parker));
    let member = Member::of(&queue);
    member.look(&queue, 1);
    assert!(!parker.park(Patience::None));
    member.look(&queue, 1);
    assert!(parker.park(Patience::None));
}

#[test]
fn the_port_thread_is_called_back_however_packets_go() {
    let queue = filled(1, 0..3);
    let parker = Arc::new(Parker::new());
    let [first, second] = [Member::of(&queue), Member::of(&queue)];
    first.look(&queue, 1);
    // A member that sleeps on the stack, and takes the next packet when the first blocks.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut got = Vec::new();
            queue.wait(second.seat, &second.parker, 1, None, |packet| got.push(packet)).expect("not ended");
            assert_eq!(got, [1]);
        });
        while queue.census().waiting == 0 {
            std::thread::yield_now();
        }
        assert!(queue.stall(1, &parker));
        queue.block(first.seat);
    });
    assert!(parker.park(Patience::None), "one packet is left");
    // A delivery is the port thread's own doing: it needs no call.
    queue.push(3, usize::MAX).expect("room");
    assert!(queue.stall(0, &parker));
    queue.deliver(&mut vec![4], 9, &mut Wakes::default());
    second.look(&queue, 9);
    assert!(!parker.park(Patience::None), "it is no longer asleep");
}

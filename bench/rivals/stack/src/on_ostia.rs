//! Ostia's stack.

use bytes::Bytes;
use ostia_stack::{Handle, Local};

use crate::pair::{PORT, Pair};
use crate::stream::{CHUNK, Pattern, Reader};
use crate::transfer::{Plan, Transfer};

/// Nanoseconds that a turn takes, as the stacks are told.
const TURN: u64 = 20_000;

pub struct Ostia {
    pair: Pair,
    sender: Handle,
    receiver: Handle,
    into: Vec<u8>,
    /// The pattern, where it is lent.
    lent: Option<Bytes>,
    mtu: usize,
}

impl Ostia {
    pub fn new(plan: Plan) -> Ostia {
        let mut pair = Pair::new(plan.mtu, |config| {
            config.receive_buffer = plan.buffer as u32;
            (config.send_buffer, config.send_buffer_most) = (plan.buffer as u32, plan.buffer as u32);
            config.memory = 1 << 30;
        });
        let listener = pair.server.stack.listen(Local { address: None, port: PORT }, 1).expect("nobody else listens");
        let sender = pair.client.stack.connect(Pair::target()).expect("there is a way");
        pair.settle();
        let receiver = pair.server.stack.accept(listener).expect("connected");
        let lent = plan.lend.then(|| Bytes::copy_from_slice(Pattern::new(plan.buffer).bytes()));
        Ostia { pair, sender, receiver, into: vec![0; CHUNK], lent, mtu: plan.mtu }
    }
}

impl Transfer for Ostia {
    fn turn(&mut self, sent: &mut u64, pattern: &Pattern, reader: &mut Reader<'_>) -> u64 {
        let Ostia { pair, sender, receiver, into, lent, mtu } = self;
        pair.now += TURN;
        let client = &mut pair.client.stack;
        match lent {
            Some(bytes) => {
                let chunk = |number| bytes.slice(pattern.place(number)..).slice(..CHUNK);
                while let Ok(count) = client.send_shared(*sender, chunk(*sent)) {
                    *sent += count as u64;
                }
            }
            None => {
                while let Ok(count) = client.send(*sender, pattern.chunk(*sent)) {
                    *sent += count as u64;
                }
            }
        }
        let packets = pair.forth();
        let (client, server) = (&mut pair.client.stack, &mut pair.server.stack);
        // A device gives a frame back when it has sent it. Here the other side is the device, so its frames go back.
        if lent.is_some() {
            while let Ok(frame) = server.recv_frame(*receiver) {
                reader.take(frame.as_slice());
                client.recycle(frame);
            }
        } else {
            while let Ok(count) = server.recv(*receiver, into) {
                reader.take(&into[..count]);
            }
            for _ in 0..packets {
                client.recycle(server.frame(*mtu));
            }
        }
        let packets = packets + pair.back();
        while pair.client.stack.poll_event().is_some() {}
        while pair.server.stack.poll_event().is_some() {}
        packets
    }
}

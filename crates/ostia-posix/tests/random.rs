//! Any calls in any order, with any arguments: none panics, none hangs, and when all is closed nothing is left.
#![cfg(target_os = "linux")]

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ostia_posix::{EpollEvent, Errno, PollFd, Setup, Sockaddr, World};

/// A generator that isn't secret (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Mostly small, sometimes anything.
    fn number(&mut self) -> i32 {
        match self.below(8) {
            0 => self.next() as i32,
            1 => -1,
            _ => self.below(140) as i32,
        }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.below(most + 1);
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn seed() -> u64 {
    std::env::var("OSTIA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1) | 1
}

fn calls() -> usize {
    if std::env::var("OSTIA_REPEAT").is_ok_and(|repeat| repeat == "full") { 1_000_000 } else { 60_000 }
}

struct Caller<'a> {
    world: &'a World,
    random: Random,
    open: Vec<i32>,
}

impl Caller<'_> {
    /// One that is open, mostly.
    fn fd(&mut self) -> i32 {
        if self.open.is_empty() || self.random.below(40) == 0 {
            return self.random.of(&[-1, 0, 1, 99_999]);
        }
        let at = self.random.below(self.open.len());
        self.open[at]
    }

    fn keep(&mut self, opened: Result<i32, Errno>) {
        self.open.extend(opened.ok());
    }

    /// A name that may be good.
    fn name(&mut self) -> Vec<u8> {
        let ips: [IpAddr; 6] = [
            Ipv4Addr::LOCALHOST.into(),
            Ipv6Addr::LOCALHOST.into(),
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
            Ipv4Addr::new(10, 0, 0, 9).into(),
        ];
        match self.random.below(12) {
            0 => self.random.bytes(130),
            1 => vec![0; 16],
            _ => {
                let (ip, port) = (self.random.of(&ips), 7000 + self.random.below(3) as u16);
                Sockaddr::new(ip, port).as_bytes().to_vec()
            }
        }
    }

    fn flags(&mut self) -> i32 {
        let all = [0, 0, libc::MSG_PEEK, libc::MSG_WAITALL, libc::MSG_TRUNC, libc::MSG_MORE, libc::MSG_OOB, libc::MSG_DONTWAIT];
        self.random.of(&all) | self.random.of(&all)
    }

    fn call(&mut self) {
        let (world, fd) = (self.world, self.fd());
        match self.random.below(24) {
            0 | 1 if self.open.len() < 60 => {
                let (domain, kind) = (self.random.of(&[2, 10]), self.random.of(&[1, 1, 1, 2]));
                self.keep(world.socket(domain, kind | libc::SOCK_NONBLOCK, 0));
            }
            2 => {
                let (domain, kind, protocol) = (self.random.number(), self.random.number(), self.random.number());
                // It may wait for nothing: what comes of it is closed at once.
                if let Ok(fd) = world.socket(domain, kind, protocol) {
                    world.close_fd(fd).expect("open");
                }
            }
            3 => {
                let _ = world.bind(fd, &self.name());
            }
            4 => {
                let _ = world.listen(fd, self.random.number());
            }
            5 | 6 => {
                let accepted = world.accept4(fd, libc::SOCK_NONBLOCK);
                self.keep(accepted.map(|(fd, _)| fd));
            }
            7 | 8 => {
                let _ = world.connect(fd, &self.name());
            }
            9 | 10 => {
                let (data, flags) = (self.random.bytes(3000), self.flags());
                let name = (self.random.below(3) == 0).then(|| self.name());
                let _ = world.sendto(fd, &data, flags, name.as_deref());
            }
            11..=13 => {
                let (mut a, mut b) = (vec![0; self.random.below(2000)], vec![0; self.random.below(2000)]);
                let flags = self.flags();
                let _ = world.recvmsg(fd, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)], flags);
            }
            14 => {
                let _ = world.shutdown(fd, self.random.number() % 4);
            }
            15 if self.random.below(3) == 0 || self.open.len() >= 60 => {
                self.open.retain(|&other| other != fd);
                let _ = world.close_fd(fd);
            }
            16 | 17 => {
                let level = self.random.of(&[libc::SOL_SOCKET, libc::IPPROTO_TCP, libc::IPPROTO_IP, libc::IPPROTO_IPV6]);
                let name = self.random.number();
                // Lingering would make close(2) wait.
                if (level, name) != (libc::SOL_SOCKET, libc::SO_LINGER) {
                    let value = if self.random.below(3) == 0 {
                        self.random.bytes(20)
                    } else {
                        self.random.number().to_ne_bytes().to_vec()
                    };
                    let _ = world.setsockopt(fd, level, name, &value);
                }
                let _ = world.getsockopt(fd, level, name, self.random.below(400));
            }
            18 => {
                let _ = world.setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]);
                let _ = world.getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 300);
            }
            19 => {
                let _ = world.getsockname(fd).and_then(|_| world.getpeername(fd));
            }
            20 => {
                let mut entries: Vec<PollFd> =
                    (0..4).map(|_| PollFd { fd: self.fd(), events: self.random.next() as i16, revents: 0 }).collect();
                world.poll(&mut entries, 0).expect("it waits for nothing");
            }
            21 => {
                if self.random.below(4) == 0 {
                    self.keep(world.epoll_create(0));
                }
                let event = EpollEvent { events: self.random.next() as u32, data: 7 };
                let (epfd, op) = (self.fd(), self.random.below(4) as i32);
                let _ = world.epoll_ctl(epfd, op, fd, Some(event));
                let _ = world.epoll_wait(epfd, self.random.below(9), 0);
            }
            22 => {
                let request = self.random.of(&[0x541b, 0x5411, 0x8905, 0x894b, 0x1234]);
                let _ = world.ioctl(fd, request, 0);
                let _ = world.fcntl(fd, self.random.of(&[libc::F_GETFL, libc::F_GETFD, 77]), 0);
            }
            _ => {
                let _ = world.inject(&self.random.bytes(100));
            }
        }
    }
}

#[test]
fn any_calls_in_any_order_leave_nothing_behind() {
    let seed = seed();
    let addresses = vec![(Ipv4Addr::new(10, 0, 0, 9).into(), 24)];
    let world = World::new(Setup { addresses, seed: [9; 32], ..Setup::default() }).expect("a world");
    let mut caller = Caller { world: &world, random: Random(seed), open: Vec::new() };
    for call in 0..calls() {
        if call % 1000 == 0 {
            // What a failure is replayed with.
            eprintln!("seed {seed}, call {call}");
        }
        caller.call();
    }
    for fd in caller.open {
        let _ = world.close_fd(fd);
    }
    let counters = world.counters();
    assert!(counters.tcp_passive_opens > 10 && counters.udp_in_datagrams > 0, "something happened: {counters:?}");
    // What is on its way to its end holds little, and goes by itself; a deadline only for a failure.
    let end = Instant::now() + Duration::from_secs(60);
    while world.memory_used() > 1 << 20 && Instant::now() < end {
        // Looks again whenever a packet comes or the time is up.
        let _ = world.take_packet(Some(Duration::from_millis(50)));
    }
    assert!(world.memory_used() <= 1 << 20, "seed {seed}: {} bytes", world.memory_used());
}

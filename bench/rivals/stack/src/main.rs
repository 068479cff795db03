//! Ostia's TCP/IP stack by itself, and beside smoltcp, in memory: no device, no system call, one thread.
//!
//! What it measures is its first argument: `transfer`, one connection that carries as much as it can; `many` connections, all
//! active or a few of them; `idle` connections' memory; `siege` and `cost` of a flood of SYNs.

mod args;
mod flood;
mod many;
mod on_ostia;
mod on_smoltcp;
mod pair;
mod stream;
mod transfer;

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use args::Args;
use flood::Cost;
use many::Many;
use transfer::Transfer;

/// What ends the program early.
pub type Failure = Box<dyn Error>;

/// Counts what is allocated.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does everything; this only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(size, Relaxed);
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Binds the calling thread to a processor.
fn pin(cpu: usize) {
    // SAFETY: an all-zero cpu_set_t is an empty set; CPU_SET checks its bound, and the kernel only reads the set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Processor time of this thread so far: others on the machine don't count.
pub fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel only writes the time.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() -> Result<(), Failure> {
    let args = Args::parse()?;
    match args.what.as_str() {
        "transfer" => {
            let mut transfer: Box<dyn Transfer> = match args.on.as_str() {
                "ostia" => Box::new(on_ostia::Ostia::new(args.transfer)),
                "smoltcp" => Box::new(on_smoltcp::Smoltcp::new(args.transfer)),
                other => return Err(format!("nothing called {other}: choose ostia or smoltcp").into()),
            };
            match args.run {
                Some(bytes) => transfer::run(&mut *transfer, args.transfer, bytes),
                None => transfer::obey(&mut *transfer, args.transfer)?,
            }
        }
        "many" => {
            let mut many = Many::new(args.connections, args.active);
            match args.run {
                Some(turns) => many.run(turns),
                None => many.obey()?,
            }
        }
        "idle" => {
            let (allocated, counted) = Many::idle(args.connections, || ALLOCATED.load(Relaxed));
            println!("{allocated:.1} {counted:.1}");
        }
        "siege" => {
            let outcome = flood::siege(args.flood);
            let flood::Outcome { served, again, peak, left, seconds } = outcome;
            println!("{served} {again} {peak} {left} {seconds:.1}");
        }
        "cost" => {
            let mut cost = Cost::new(args.flood);
            println!("{:.2}", cost.nanos(args.flood.syns));
        }
        // The same without the stack: what the difference of instructions must not count.
        "cost-dry" => {
            let mut cost = Cost::new(args.flood);
            cost.dry = true;
            cost.nanos(args.flood.syns);
        }
        other => return Err(format!("nothing called {other:?}: choose transfer, many, idle, siege or cost").into()),
    }
    Ok(())
}

//! Load: a fixed number of connections, each asking again as soon as it is answered; and single requests, timed.

use crate::http::{Address, Connection};
use crate::process::pin_this_thread;
use crate::report::Samples;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Asks over `connections` connections for `time`. Gives requests per second.
pub(crate) fn throughput(address: &Address, request: &[u8], connections: usize, time: Duration, processors: &[usize]) -> io::Result<f64> {
    let is_over = AtomicBool::new(false);
    let counts = std::thread::scope(|scope| {
        let ask = || -> io::Result<(u64, Duration)> {
            pin_this_thread(processors)?;
            let mut connection = Connection::open(address)?;
            expect_success(&mut connection, request)?;
            let (start, mut count) = (Instant::now(), 0);
            while !is_over.load(Ordering::Relaxed) {
                expect_success(&mut connection, request)?;
                count += 1;
            }
            Ok((count, start.elapsed()))
        };
        let askers: Vec<_> = (0..connections).map(|_| scope.spawn(ask)).collect();
        crate::pause(time);
        is_over.store(true, Ordering::Relaxed);
        askers.into_iter().map(|asker| asker.join().unwrap_or_else(|_| Err(io::Error::other("a client broke off")))).collect::<Vec<_>>()
    });
    let mut sum = 0.0;
    for count in counts {
        let (count, time) = count?;
        sum += f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64();
    }
    Ok(sum)
}

fn expect_success(connection: &mut Connection, request: &[u8]) -> io::Result<()> {
    let reply = connection.exchange(request)?;
    if reply.status < 300 { Ok(()) } else { Err(io::Error::other(format!("HTTP {}: {}", reply.status, reply.head))) }
}

/// Times `count` requests, one after the other, in milliseconds.
pub(crate) fn latency(connection: &mut Connection, request: &[u8], count: usize) -> io::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..count {
        let start = Instant::now();
        expect_success(connection, request)?;
        samples.push_milliseconds(start.elapsed());
    }
    Ok(samples)
}

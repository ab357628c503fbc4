//! Clients that never end a TLS handshake: each in one of several ways.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::Failure;
use crate::soak::random::Random;
use crate::soak::scene::Scene;

/// What they send: nothing, not TLS, the beginning of a record, a record of nonsense, an alert.
const BEGINNINGS: [&[u8]; 5] = [
    b"",
    b"GET / HTTP/1.1\r\nHost: soak\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
    b"\x15\x03\x01\x00\x02\x02\x28",
];
const PAUSE: std::ops::Range<u64> = 50..500;
/// Until they go away.
const STAY: std::ops::Range<u64> = 0..200;

/// Counts them in `sent`.
pub(super) fn run(scene: &Scene, seed: u64, over: &AtomicBool, sent: &AtomicU64) {
    let mut random = Random::new(seed, 300);
    while !over.load(Relaxed) {
        sent.fetch_add(1, Relaxed);
        // That the gateway ends it first is as good.
        drop(come(scene, &mut random));
        thread::sleep(random.millis(PAUSE));
    }
}

fn come(scene: &Scene, random: &mut Random) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(scene.secure)?;
    stream.write_all(random.pick::<&[u8]>(&BEGINNINGS))?;
    stream.set_read_timeout(Some(random.millis(STAY).max(Duration::from_millis(1))))?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

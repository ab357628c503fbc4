//! A name server of one name, which has one address, another, or both, and now and then no answer.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Failure;

/// The name, whatever is asked for.
pub(super) const NAME: &str = "named.soak.test";
pub(super) const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
/// How often it looks whether it should end.
const LOOKS: Duration = Duration::from_millis(100);
const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Answers,
    Silent,
    /// SERVFAIL.
    Fails,
    /// NXDOMAIN.
    Denies,
    /// Half of an answer.
    Garbage,
}

impl Manner {
    pub(super) const BAD: [Self; 4] = [Self::Silent, Self::Fails, Self::Denies, Self::Garbage];

    fn from(number: u8) -> Self {
        let all = [Self::Answers, Self::Silent, Self::Fails, Self::Denies, Self::Garbage];
        all.get(usize::from(number)).copied().unwrap_or(Self::Answers)
    }
}

pub(super) struct NameServer {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    manner: AtomicU8,
    /// A bit for each address.
    has: AtomicU8,
    /// Addresses told since `tell` was called last.
    told: AtomicU64,
    over: AtomicBool,
}

impl NameServer {
    pub(super) fn start() -> Result<Self, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LOOKS))?;
        let addr = socket.local_addr()?;
        let shared = Arc::new(Shared { has: AtomicU8::new(1), ..Shared::default() });
        let server = shared.clone();
        Ok(Self { addr, shared, thread: Some(thread::spawn(move || server.serve(&socket))) })
    }

    /// From now on: `manner`, and the addresses whose bits are set.
    pub(super) fn tell(&self, manner: Manner, has: u8) {
        self.shared.has.store(has, Relaxed);
        self.shared.manner.store(manner as u8, Relaxed);
        self.shared.told.store(0, Relaxed);
    }

    /// How often addresses were told since then.
    pub(super) fn told(&self) -> u64 {
        self.shared.told.load(Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn serve(&self, socket: &UdpSocket) {
        let mut packet = [0; 1500];
        while !self.over.load(Relaxed) {
            // Loopback also reports here that an answer reached nobody.
            let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
            let manner = Manner::from(self.manner.load(Relaxed));
            let has = self.has.load(Relaxed);
            let Some(mut reply) = reply(&packet[..length], manner, has) else { continue };
            if manner == Manner::Garbage {
                reply.truncate(reply.len() / 2);
            }
            if let Err(failure) = sent(socket, &reply, from) {
                eprintln!("the name server: {failure}");
            }
            if manner == Manner::Answers && reply[7] > 0 {
                self.told.fetch_add(1, Relaxed);
            }
        }
    }
}

fn sent(socket: &UdpSocket, reply: &[u8], to: SocketAddr) -> io::Result<()> {
    match socket.send_to(reply, to) {
        Err(failure) if failure.kind() != ErrorKind::ConnectionRefused => Err(failure),
        _ => Ok(()),
    }
}

/// An answer to a query with one question; each address is good for a second or two.
fn reply(query: &[u8], manner: Manner, has: u8) -> Option<Vec<u8>> {
    let name = query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(HEADER..HEADER + name + 5)?;
    let code = match manner {
        Manner::Silent => return None,
        Manner::Fails => 2,
        Manner::Denies => 3,
        Manner::Answers | Manner::Garbage => 0,
    };
    let known = |place: &usize| code == 0 && has & 1 << place != 0 && question[name + 1..name + 3] == TYPE_A;
    let addresses: Vec<Ipv4Addr> = (0..ADDRESSES.len()).filter(known).map(|place| ADDRESSES[place]).collect();
    // The same id; an answer with authority, recursion as asked for; one question, so many answers.
    let mut reply = vec![query[0], query[1], 0x84 | query[2] & 1, code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0];
    reply.extend_from_slice(question);
    for address in addresses {
        let ttl = 1 + query[1] % 2;
        // The name of the question, type A, class IN.
        reply.extend_from_slice(&[0xC0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::{Manner, reply};

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x04test\x00\x00\x01\x00\x01more";

    #[test]
    fn answers() {
        let question = &QUERY[12..24];
        let answer = reply(QUERY, Manner::Answers, 0b10).unwrap();
        assert_eq!(answer[..12], *b"\x12\x34\x85\x00\x00\x01\x00\x01\x00\x00\x00\x00");
        assert_eq!(answer[12..24], *question);
        assert_eq!(answer[24..], *b"\xC0\x0C\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x7f\x00\x00\x02");
        assert_eq!(reply(QUERY, Manner::Answers, 0b11).unwrap()[7], 2);
        assert_eq!(reply(QUERY, Manner::Denies, 0b11).unwrap()[3..8], [3, 0, 1, 0, 0]);
        assert_eq!(reply(QUERY, Manner::Silent, 1), None);
        assert_eq!(reply(&QUERY[..20], Manner::Answers, 1), None);
    }
}

//! A name server of hand-made answers, over UDP.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;

/// Answers questions for IPv4 addresses; every other one has no answer.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    records: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone)]
pub(crate) enum Answer {
    Addresses(Vec<Ipv4Addr>, u32),
    /// The server has failed.
    Failure,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (records, asked) = (Arc::<Mutex<HashMap<String, Answer>>>::default(), Arc::<AtomicUsize>::default());
        let (known, count) = (records.clone(), asked.clone());
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let (name, ipv4, end) = question(&packet[..length]);
                if ipv4 {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                let answer = known.lock().unwrap().get(&name).cloned();
                let _ = socket.send_to(&reply(&packet[..end], ipv4, answer), from).await;
            }
        });
        Self { address, records, asked }
    }

    pub(crate) fn set(&self, name: &str, answer: Answer) {
        self.records.lock().unwrap().insert(name.into(), answer);
    }

    /// Questions for IPv4 addresses so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Name, whether it asks for an IPv4 address, and where the question ends.
fn question(packet: &[u8]) -> (String, bool, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let label = &packet[at + 1..=at + usize::from(packet[at])];
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + label.len();
    }
    (labels.join("."), packet[at + 1..at + 3] == [0, 1], at + 5)
}

fn reply(question: &[u8], ipv4: bool, answer: Option<Answer>) -> Vec<u8> {
    let (code, addresses, ttl) = match answer {
        None => (3, Vec::new(), 0),
        Some(Answer::Failure) => (2, Vec::new(), 0),
        Some(Answer::Addresses(..)) if !ipv4 => (0, Vec::new(), 0),
        Some(Answer::Addresses(addresses, ttl)) => (0, addresses, ttl),
    };
    let mut reply = question.to_vec();
    // An answer, recursion asked for and had; counts of questions and answers, and of nothing else.
    reply[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    reply[4..12].copy_from_slice(&[0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    for address in addresses {
        reply.extend([0xc0, 12, 0, 1, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(address.octets());
    }
    reply
}

//! What the kernel says of a gateway's process: memory and open files.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};

use crate::gateway::Gateway;

/// Bytes that are read of a process's memory at a time.
const PIECE: usize = 1 << 20;

impl Gateway {
    /// Bytes of memory that the process holds (its resident set).
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident set");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
    }

    /// Files and sockets that the process has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("the process lives").count()
    }

    /// Reads everything that the process can write to, and calls `visit` with one piece after the other. Neighbours
    /// overlap by `overlap` bytes, so that no text of that length is cut.
    ///
    /// # Errors
    /// Where a process may not read its children's memory.
    pub fn read_memory(&self, overlap: usize, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.id()))?;
        let mut memory = File::open(format!("/proc/{}/mem", self.id()))?;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (from, rest) = line.split_once('-').expect("a range of addresses");
            let from = u64::from_str_radix(from, 16).expect("an address");
            let to = u64::from_str_radix(rest.split(' ').next().unwrap_or_default(), 16).expect("an address");
            let mut piece = vec![0; PIECE + overlap];
            let mut kept = 0;
            let mut at = from;
            while at < to {
                let length = PIECE.min(usize::try_from(to - at).unwrap_or(PIECE));
                memory.seek(SeekFrom::Start(at))?;
                // A range may have gone since the list was read.
                let Ok(read) = memory.read(&mut piece[kept..kept + length]) else { break };
                if read == 0 {
                    break;
                }
                visit(&piece[..kept + read]);
                let end = kept + read;
                kept = overlap.min(end);
                piece.copy_within(end - kept..end, 0);
                at += read as u64;
            }
        }
        Ok(())
    }
}

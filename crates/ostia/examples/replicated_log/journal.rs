//! What a node keeps on its disk: a file that only grows, of votes and entries.
//!
//! ```text
//! record: length of the body (4 bytes) | checksum (4) | body
//! body:   1, term (8), vote (1)        or   2, index (8), entry
//! ```
//!
//! An entry takes the place of all that came before it from its index on. The checksum covers the checksum of the record
//! before it, so a record is good only where it was written: what a former life has left behind the end can't become part of
//! the journal by chance.
//!
//! A crash in the middle of a write leaves a tail that is no record. It was never acknowledged, so at start it is cut off:
//! overwritten with zeros, which are no record either. A disk that changes what it had stored is not distinguished from that;
//! it is beyond this example.
//!
//! One node at a time uses a directory. Whoever aborts a node in the middle of a write lets that end before the next begins.

use std::io;
use std::path::Path;

use ostia::fs::{File, OpenOptions};

use crate::bytes::{Put, Reader};
use crate::checksum::crc32c;
use crate::message::{ENTRY_MOST, entry, node_or_nobody, put_entry, put_node};
use crate::raft::{Kept, Record};

const HEAD: usize = 8;
/// No body is longer.
const BODY_MOST: usize = ENTRY_MOST + 64;
/// What is zeroed at once.
const ZEROS: usize = 64 << 10;

#[derive(Debug)]
pub struct Journal {
    file: File,
    /// Where the next record begins.
    end: u64,
    /// The last record's checksum.
    chain: u32,
}

/// What was found in a journal.
#[derive(Debug, Default)]
pub struct Found {
    pub kept: Kept,
    /// How many bytes at the end were no record.
    pub torn: u64,
}

impl Journal {
    /// Opens the journal in a directory, which exists; makes one if there is none.
    pub async fn open(directory: &Path) -> io::Result<(Journal, Found)> {
        let how = OpenOptions::new().read(true).write(true).create(true);
        #[cfg(unix)]
        let how = how.mode(0o600);
        let file = how.open(directory.join("journal")).await?;
        // That the file is there has to survive too.
        ostia::fs::sync_dir(directory).await?;
        let bytes = file.read_to_end(0).await?;
        let mut journal = Journal { file, end: 0, chain: 0 };
        let mut found = Found::default();
        let mut rest = Reader(&bytes);
        while let Some((record, checksum)) = next_record(&mut rest, journal.chain) {
            if !replay(record, &mut found.kept) {
                break;
            }
            journal.chain = checksum;
            journal.end = (bytes.len() - rest.0.len()) as u64;
        }
        let tail = &bytes[journal.end as usize..];
        found.torn = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        for from in (0..found.torn).step_by(ZEROS) {
            let zeros = vec![0; (found.torn - from).min(ZEROS as u64) as usize];
            journal.file.write_all_at(zeros, journal.end + from).await?;
        }
        if found.torn > 0 {
            journal.file.sync_all().await?;
        }
        Ok((journal, found))
    }

    /// Writes records; done when they are on the disk. Cancelled, or after an error: some of them may be; don't go on.
    pub async fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut out = Vec::new();
        let mut chain = self.chain;
        for record in records {
            let mut body = Vec::new();
            match record {
                Record::Vote { term, vote } => {
                    body.put_u8(1);
                    body.put_u64(*term);
                    put_node(&mut body, *vote);
                }
                Record::Entry { index, entry } => {
                    body.put_u8(2);
                    body.put_u64(*index);
                    put_entry(&mut body, entry);
                }
            }
            let length = (body.len() as u32).to_be_bytes();
            chain = crc32c(&[&chain.to_be_bytes(), &length, &body]);
            out.put(&length);
            out.put_u32(chain);
            out.put(&body);
        }
        let length = out.len() as u64;
        self.file.write_all_at(out, self.end).await?;
        self.file.sync_data().await?;
        (self.end, self.chain) = (self.end + length, chain);
        Ok(())
    }
}

/// The next record and its checksum; none at the end, or where it is torn.
fn next_record(rest: &mut Reader<'_>, chain: u32) -> Option<(Record, u32)> {
    let mut ahead = *rest;
    let (length, checksum) = (ahead.u32()?, ahead.u32()?);
    let body = ahead.take(Some(length as usize).filter(|length| (1..=BODY_MOST).contains(length))?)?;
    if checksum != crc32c(&[&chain.to_be_bytes(), &length.to_be_bytes(), body]) {
        return None;
    }
    let mut reader = Reader(body);
    let record = match reader.u8()? {
        1 => Record::Vote { term: reader.u64()?, vote: node_or_nobody(&mut reader)? },
        2 => Record::Entry { index: reader.u64()?, entry: entry(&mut reader)? },
        _ => return None,
    };
    reader.end()?;
    rest.take(HEAD + body.len())?;
    Some((record, checksum))
}

/// Whether the record can follow what there is.
fn replay(record: Record, kept: &mut Kept) -> bool {
    match record {
        Record::Vote { term, vote } => (kept.term, kept.vote) = (term, vote),
        Record::Entry { index, entry } => {
            let last = kept.log.last_index();
            if index == 0 || index > last + 1 {
                return false;
            }
            if index <= last {
                kept.log.cut(index);
            }
            kept.log.push(entry);
        }
    }
    true
}

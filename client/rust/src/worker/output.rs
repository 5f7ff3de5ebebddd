//! What a task writes, in the order read: so much of its beginning, so much of its end, and how much is missing between.

use std::collections::VecDeque;

use crate::v1::{OutputChannel, OutputChunk};

const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct OutputBook {
    head_bytes: i64,
    tail_bytes: i64,
    total: i64,
    dropped: i64,
    tail_size: i64,
    head: VecDeque<OutputChunk>,
    tail: VecDeque<OutputChunk>,
}

impl OutputBook {
    pub(crate) fn new(head_bytes: i64, tail_bytes: i64) -> Self {
        Self {
            head_bytes,
            tail_bytes,
            total: 0,
            dropped: 0,
            tail_size: 0,
            head: VecDeque::new(),
            tail: VecDeque::new(),
        }
    }

    pub(crate) fn add(&mut self, channel: OutputChannel, data: &[u8]) {
        let room = usize::try_from(self.head_bytes - self.total).unwrap_or(0).min(data.len());
        let (first, rest) = data.split_at(room);
        if !first.is_empty() {
            append(&mut self.head, &mut self.total, channel, first);
        }
        for piece in rest.chunks(CHUNK_BYTES) {
            append(&mut self.tail, &mut self.total, channel, piece);
            self.tail_size += piece.len() as i64;
        }
        // The oldest of the tail goes, whole pieces, while what is left is as much as must be kept.
        while let Some(oldest) = self.tail.front().filter(|_| self.tail.len() > 1) {
            let size = oldest.data.len() as i64;
            if self.tail_size - size < self.tail_bytes {
                break;
            }
            self.tail_size -= size;
            self.dropped += size;
            self.tail.pop_front();
        }
    }

    /// Offset behind the last byte.
    pub(crate) fn total_bytes(&self) -> i64 {
        self.total
    }

    pub(crate) fn dropped_bytes(&self) -> i64 {
        self.dropped
    }

    /// All that is kept from this offset on, in order; the first piece behind what is missing says how much that is.
    pub(crate) fn from(&self, offset: i64) -> Vec<OutputChunk> {
        let mut kept = self.settled_from(offset);
        for (number, chunk) in self.tail.iter().enumerate() {
            if let Some(mut rest) = behind(chunk, offset) {
                if number == 0 && self.dropped > 0 && rest.offset == chunk.offset {
                    rest.dropped_bytes = self.dropped;
                }
                kept.push(rest);
            }
        }
        kept
    }

    /// The same, but only of the beginning, of which nothing will be dropped.
    pub(crate) fn settled_from(&self, offset: i64) -> Vec<OutputChunk> {
        self.head.iter().filter_map(|chunk| behind(chunk, offset)).collect()
    }

    /// Offset behind the last byte of the beginning.
    pub(crate) fn settled_bytes(&self) -> i64 {
        self.total.min(self.head_bytes)
    }
}

fn append(to: &mut VecDeque<OutputChunk>, total: &mut i64, channel: OutputChannel, data: &[u8]) {
    let offset = *total;
    *total += data.len() as i64;
    match to.back_mut() {
        Some(last) if last.channel() == channel && last.data.len() + data.len() <= CHUNK_BYTES => {
            last.data.extend_from_slice(data);
        }
        _ => {
            let channel = channel.into();
            to.push_back(OutputChunk { offset, channel, data: data.to_vec(), dropped_bytes: 0 });
        }
    }
}

/// What of a chunk lies behind the offset.
fn behind(chunk: &OutputChunk, offset: i64) -> Option<OutputChunk> {
    let skipped = usize::try_from(offset - chunk.offset).unwrap_or(0);
    let data = chunk.data.get(skipped..).filter(|rest| !rest.is_empty())?.to_vec();
    Some(OutputChunk { offset: chunk.offset + skipped as i64, data, ..chunk.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutputChannel::{Stderr, Stdout};

    fn shown(chunks: &[OutputChunk]) -> Vec<(i64, OutputChannel, &str, i64)> {
        let text = |chunk: &'_ OutputChunk| (chunk.offset, chunk.channel(), chunk.dropped_bytes);
        chunks
            .iter()
            .map(|chunk| {
                let (offset, channel, dropped) = text(chunk);
                (offset, channel, std::str::from_utf8(&chunk.data).unwrap(), dropped)
            })
            .collect()
    }

    #[test]
    fn both_channels_share_one_line_of_offsets() {
        let mut book = OutputBook::new(100, 100);
        book.add(Stdout, b"ab");
        book.add(Stdout, b"c");
        book.add(Stderr, b"de");
        assert_eq!(shown(&book.from(0)), [(0, Stdout, "abc", 0), (3, Stderr, "de", 0)]);
        assert_eq!(shown(&book.from(2)), [(2, Stdout, "c", 0), (3, Stderr, "de", 0)]);
        assert_eq!(shown(&book.from(5)), []);
        assert_eq!((book.total_bytes(), book.dropped_bytes()), (5, 0));
    }

    #[test]
    fn of_too_much_the_beginning_and_the_end_are_kept() {
        let mut book = OutputBook::new(4, 4);
        for (number, line) in ["aabb", "cc", "dd", "ee", "ff"].iter().enumerate() {
            book.add(if number % 2 == 0 { Stdout } else { Stderr }, line.as_bytes());
        }
        assert_eq!(shown(&book.from(0)), [(0, Stdout, "aabb", 0), (8, Stderr, "ee", 4), (10, Stdout, "ff", 0)]);
        assert_eq!((book.total_bytes(), book.dropped_bytes()), (12, 4));
        assert_eq!(shown(&book.from(9)), [(9, Stderr, "e", 0), (10, Stdout, "ff", 0)]);
        assert_eq!((shown(&book.settled_from(2)), book.settled_bytes()), (vec![(2, Stdout, "bb", 0)], 4));
    }

    #[test]
    fn what_is_kept_and_what_is_dropped_add_up() {
        let mut book = OutputBook::new(64 << 10, 32 << 10);
        for number in 0..50_000 {
            book.add(Stdout, format!("{number}\n").as_bytes());
        }
        let chunks = book.from(0);
        let kept: i64 = chunks.iter().map(|chunk| chunk.data.len() as i64).sum();
        assert_eq!(kept + book.dropped_bytes(), book.total_bytes());
        assert!(kept >= (96 << 10) && book.dropped_bytes() > 0);
        let mut offset = 0;
        for chunk in &chunks {
            offset += chunk.dropped_bytes;
            assert_eq!(chunk.offset, offset);
            offset += chunk.data.len() as i64;
        }
        assert_eq!(offset, book.total_bytes());
    }
}

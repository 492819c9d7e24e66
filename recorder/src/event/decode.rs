//! From the bytes of a ring buffer to events. The layout of the bytes is trusted (both sides
//! assert it); their length is not: a short record is refused, without a panic.

use tcprst_schema::wire::{EventHeader, MAX_FRAMES};
use zerocopy::{FromBytes, IntoBytes};

/// A header in words; the stack behind it is words as well.
const HEADER: usize = size_of::<EventHeader>() / size_of::<u64>();
const _: () = assert!(size_of::<EventHeader>().is_multiple_of(size_of::<u64>()));

/// Events as read from the ring, one behind the other, without the room that a record has left.
#[derive(Debug, Default)]
pub(crate) struct Events {
    words: Vec<u64>,
    count: usize,
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) header: &'a EventHeader,
    /// Return addresses, leaf first.
    pub(crate) stack: &'a [u64],
}

impl Events {
    /// Without events, with as much room as these took: a storm's chunks are full, a quiet host's
    /// have a few events.
    pub(crate) fn like(other: &Self) -> Self {
        Self { words: Vec::with_capacity(other.words.len()), count: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds a record; one that is shorter than a header is passed over.
    pub(crate) fn push(&mut self, record: &[u8]) {
        let Ok((header, rest)) = EventHeader::read_from_prefix(record) else {
            return;
        };
        // A negative errno of a failed stack walk means no frames.
        let bytes = usize::try_from(header.stack_bytes).unwrap_or(0);
        let frames = (bytes.min(rest.len()) / size_of::<u64>()).min(MAX_FRAMES);
        let whole = EventHeader { stack_bytes: (frames * size_of::<u64>()) as i32, ..header };
        let at = self.words.len();
        self.words.resize(at + HEADER + frames, 0);
        let bytes = self.words[at..].as_mut_bytes();
        let (to_header, to_stack) = bytes.split_at_mut(size_of::<EventHeader>());
        to_header.copy_from_slice(whole.as_bytes());
        to_stack.copy_from_slice(&rest[..frames * size_of::<u64>()]);
        self.count += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Event<'_>> {
        let mut words = &self.words[..];
        std::iter::from_fn(move || {
            let (header, rest) = EventHeader::ref_from_prefix(words.as_bytes()).ok()?;
            let frames = header.stack_bytes.cast_unsigned() as usize / size_of::<u64>();
            let event = Event { header, stack: words.get(HEADER..HEADER + frames)? };
            debug_assert!(rest.len() >= frames);
            words = &words[HEADER + frames..];
            Some(event)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcprst_schema::wire;
    use zerocopy::FromZeros;

    #[test]
    fn only_the_frames_that_were_taken_are_kept() {
        let mut event = wire::Event::new_zeroed();
        event.stack = [9; MAX_FRAMES];
        let mut events = Events::default();
        for (seq, stack_bytes) in [(1, 16), (2, -14), (3, 4096)] {
            (event.header.seq, event.header.stack_bytes) = (seq, stack_bytes);
            events.push(event.as_bytes());
        }
        let found: Vec<_> = events.iter().map(|e| (e.header.seq, e.stack.len())).collect();
        assert_eq!(found, [(1, 2), (2, 0), (3, MAX_FRAMES)]);
        assert!(events.iter().all(|event| event.stack.iter().all(|frame| *frame == 9)));
        assert_eq!(events.len(), 3);
    }

    #[test]
    fn a_short_record_is_refused() {
        let mut events = Events::default();
        events.push(&[0; size_of::<EventHeader>() - 1]);
        assert_eq!((events.len(), events.iter().count()), (0, 0));
    }
}

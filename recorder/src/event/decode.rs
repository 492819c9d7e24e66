//! From the bytes of a ring buffer to an event. The layout of the bytes is trusted (both sides
//! assert it); their length is not: a short record is refused, without a panic.

use tcprst_schema::wire::EventHeader;
use zerocopy::{FromBytes, IntoBytes};

/// One event as read from the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) header: EventHeader,
    stack: [u64; tcprst_schema::wire::MAX_FRAMES],
    frames: usize,
}

impl Event {
    /// Reads a record; `None` if it is shorter than a header.
    pub(crate) fn decode(record: &[u8]) -> Option<Self> {
        let (header, rest) = EventHeader::read_from_prefix(record).ok()?;
        let mut stack = [0; tcprst_schema::wire::MAX_FRAMES];
        // A negative errno of a failed stack walk means no frames.
        let bytes = usize::try_from(header.stack_bytes).unwrap_or(0);
        let bytes = bytes.min(rest.len()).min(size_of_val(&stack)) & !7;
        stack.as_mut_bytes()[..bytes].copy_from_slice(&rest[..bytes]);
        Some(Self { header, stack, frames: bytes / 8 })
    }

    /// Return addresses, leaf first.
    pub(crate) fn stack(&self) -> &[u64] {
        &self.stack[..self.frames]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcprst_schema::wire::ShortEvent;
    use zerocopy::FromZeros;

    #[test]
    fn only_the_frames_that_were_taken_are_kept() {
        let mut event = ShortEvent::new_zeroed();
        event.header.seq = 7;
        event.header.stack_bytes = 16;
        event.stack = [9; 8];
        let decoded = Event::decode(event.as_bytes()).expect("whole");
        assert_eq!((decoded.header.seq, decoded.stack()), (7, &[9, 9][..]));

        event.header.stack_bytes = -14;
        assert!(Event::decode(event.as_bytes()).expect("whole").stack().is_empty());
        event.header.stack_bytes = 4096;
        assert_eq!(Event::decode(event.as_bytes()).expect("whole").stack().len(), 8);
    }

    #[test]
    fn a_short_record_is_refused() {
        assert!(Event::decode(&[0; 199]).is_none());
    }
}

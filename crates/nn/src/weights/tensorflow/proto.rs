//! Protocol buffers, as far as TensorFlow's files need them: the fields of one message in order, over bytes that
//! are there already, so that no length can ask for memory.

use std::ops::Range;

/// One field's value. Groups, which no file here has, are refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Varint(u64),
    Fixed64(u64),
    /// Where its bytes lie in the buffer: a message, a string or packed numbers.
    Bytes(Range<usize>),
    Fixed32(u32),
}

/// A cursor over a part of a buffer. Positions are those of the buffer.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    buffer: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(buffer: &'a [u8]) -> Fields<'a> {
        Fields { buffer, at: 0, end: buffer.len() }
    }

    /// The message at `range`, which a field of the same buffer gave.
    pub(super) fn within(buffer: &'a [u8], range: Range<usize>) -> Fields<'a> {
        Fields { buffer, at: range.start, end: range.end.min(buffer.len()) }
    }

    /// Of the next byte, in the buffer.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// The next field's number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value)>, String> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            kind => return Err(format!("a field must be of wire type 0, 1, 2 or 5, got {kind}")),
        };
        Ok(Some((tag >> 3, value)))
    }

    /// A number of 64 bits in groups of seven, the lowest first.
    pub(super) fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number must have at most 10 bytes".into())
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: u64) -> Result<Range<usize>, String> {
        let left = self.end.saturating_sub(self.at);
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                let start = self.at;
                self.at += length;
                Ok(start..self.at)
            }
            _ => Err(format!("{length} bytes are needed, but {left} are left")),
        }
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], String> {
        let range = self.take(LENGTH as u64)?;
        self.buffer[range].try_into().map_err(|_| "a number is cut short".to_owned())
    }
}

/// Fields as test data.
#[cfg(test)]
pub(in crate::weights) mod write {
    pub(in crate::weights) fn varint(mut value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    }

    pub(in crate::weights) fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    pub(in crate::weights) fn fixed32(field: u64, value: u32) -> Vec<u8> {
        [varint(field << 3 | 5), value.to_le_bytes().to_vec()].concat()
    }

    pub(in crate::weights) fn bytes(field: u64, bytes: &[u8]) -> Vec<u8> {
        [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::write::{bytes, fixed32, number, varint};
    use super::*;

    #[test]
    fn fields_of_every_kind_come_in_order_with_their_places() {
        let fixed64 = [&[4 << 3 | 1][..], &7u64.to_le_bytes()].concat();
        let message =
            [number(1, 300), bytes(2, b"abc"), fixed32(3, 9), fixed64, number(1, u64::MAX)].concat();
        let mut fields = Fields::new(&message);
        assert_eq!(fields.next(), Ok(Some((1, Value::Varint(300)))));
        let Ok(Some((2, Value::Bytes(range)))) = fields.next() else { panic!("bytes") };
        assert_eq!(&message[range], b"abc");
        assert_eq!(fields.next(), Ok(Some((3, Value::Fixed32(9)))));
        assert_eq!(fields.next(), Ok(Some((4, Value::Fixed64(7)))));
        assert_eq!(fields.next(), Ok(Some((1, Value::Varint(u64::MAX)))));
        assert_eq!(fields.next(), Ok(None));
        assert!(fields.is_empty());
    }

    #[test]
    fn what_is_cut_short_or_of_another_kind_is_an_error() {
        let message = [number(1, 300), bytes(2, b"abc"), fixed32(3, 9)].concat();
        for length in 0..message.len() {
            let mut fields = Fields::new(&message[..length]);
            let last = std::iter::repeat_with(|| fields.next()).find(|next| !matches!(next, Ok(Some(_))));
            // A message may end between two fields, and nowhere else.
            let between = [0, 3, 8].contains(&length);
            assert_eq!(last.expect("it ends").is_ok(), between, "{length}");
        }
        for wrong in [&[0x0b][..], &[0x0c, 0], &[0x0e], &[0xff; 11], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert!(Fields::new(wrong).next().is_err(), "{wrong:?}");
        }
        assert_eq!(varint(300), [0xac, 2]);
    }
}

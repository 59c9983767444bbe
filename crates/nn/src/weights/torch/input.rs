//! A cursor over untrusted bytes: what is asked for is there, or it is an error.

/// Bytes not read yet, and how many were.
pub(super) struct Input<'a> {
    rest: &'a [u8],
    position: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { rest: bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let Some((slice, rest)) = self.rest.split_at_checked(length) else {
            return Err(format!("{length} bytes are needed, but {} are left", self.rest.len()));
        };
        self.rest = rest;
        self.position += length;
        Ok(slice)
    }

    pub(super) fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], String> {
        let slice = self.slice(LENGTH)?;
        slice.try_into().map_err(|_| format!("{LENGTH} bytes are needed, got {}", slice.len()))
    }

    pub(super) fn u8(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// Up to the next line feed, which is read too.
    pub(super) fn line(&mut self) -> Result<&'a [u8], String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or("a line has no end")?;
        let line = self.slice(end)?;
        self.slice(1)?;
        Ok(line)
    }
}

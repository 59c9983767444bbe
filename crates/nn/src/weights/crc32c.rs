//! CRC-32C (Castagnoli), the checksum of TensorFlow's files, and the mask they keep it under.

/// Of the reflected form.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const MASK: u32 = 0xa282_ead8;

/// `TABLES[k][byte]`: what `byte` does to the remainder when `k` more bytes follow it. Eight bytes a step is about
/// six times as fast as one.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = (remainder >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(remainder & 1));
            bit += 1;
        }
        tables[0][byte] = remainder;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// A checksum in the making, over bytes in any number of pieces.
#[derive(Clone, Copy)]
pub(super) struct Crc32c(u32);

impl Crc32c {
    pub(super) fn new() -> Crc32c {
        Crc32c(!0)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut state = self.0;
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            let [a, b, c, d, e, f, g, h] = *eight;
            let [a, b, c, d] = (u32::from_le_bytes([a, b, c, d]) ^ state).to_le_bytes();
            let of = |table: usize, byte: u8| TABLES[table][usize::from(byte)];
            state = of(7, a) ^ of(6, b) ^ of(5, c) ^ of(4, d) ^ of(3, e) ^ of(2, f) ^ of(1, g) ^ of(0, h);
        }
        for &byte in rest {
            state = (state >> 8) ^ TABLES[0][usize::from(state as u8 ^ byte)];
        }
        self.0 = state;
    }

    /// As it is written beside the bytes: a checksum of bytes that hold their own checksum would say little.
    pub(super) fn masked(self) -> u32 {
        (!self.0).rotate_right(15).wrapping_add(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> u32 {
        let mut crc = Crc32c::new();
        crc.add(bytes);
        !crc.0
    }

    #[test]
    fn the_published_examples_have_their_checksums() {
        // RFC 3720, appendix B.4, and the customary check value.
        assert_eq!(plain(b"123456789"), 0xe306_9283);
        assert_eq!(plain(&[0; 32]), 0x8a91_36aa);
        assert_eq!(plain(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(plain(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(plain(b""), 0);
    }

    #[test]
    fn pieces_of_any_length_give_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..100).map(|i| (i * 37 % 251) as u8).collect();
        let whole = plain(&bytes);
        for cut in 0..bytes.len() {
            let mut crc = Crc32c::new();
            crc.add(&bytes[..cut]);
            crc.add(&bytes[cut..]);
            assert_eq!(!crc.0, whole, "{cut}");
        }
    }
}

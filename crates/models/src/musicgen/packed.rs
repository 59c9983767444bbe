//! Packed networks as bytes.
//!
//! ```text
//! magic [8]   key [32]   section ...   crc32 of all before, u32
//! section:    length of the title u32   title   length of the bytes u64   bytes
//! ```
//! Sections are the parts of the network in the order they are asked for; a title is the tensors' names, precision and
//! shape. The key says what was packed, how and from which files. **Rule:** a reader that finds anything but what it
//! expects gives up, and whoever called it packs anew; nothing is taken from a file on its own word.

use std::io::{Error as IoError, ErrorKind, Read, Result as IoResult, Write};

use partita_kernels::{Matrix, Precision, read_floats, write_floats};

use super::parts::Parts;

/// The last two bytes are the version of this format.
const MAGIC: &[u8; 8] = b"PARTLM\x00\x01";
/// Of the sum at the end.
const SUM: u64 = 4;
/// Bytes that are summed while they are still in the processor's cache.
const PIECE: usize = 1 << 18;

/// What was packed, how and from which files.
pub(super) type Key = [u8; 32];

/// A stream and the sum of what went through it.
struct Summed<S> {
    stream: S,
    sum: crc32fast::Hasher,
}

impl<S> Summed<S> {
    fn new(stream: S) -> Summed<S> {
        Summed { stream, sum: crc32fast::Hasher::new() }
    }
}

impl<S: Read> Read for Summed<S> {
    fn read(&mut self, into: &mut [u8]) -> IoResult<usize> {
        let most = into.len().min(PIECE);
        let read = self.stream.read(&mut into[..most])?;
        self.sum.update(&into[..read]);
        Ok(read)
    }
}

impl<S: Write> Write for Summed<S> {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        let written = self.stream.write(&bytes[..bytes.len().min(PIECE)])?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.stream.flush()
    }
}

fn matrix_title(names: &[String], shape: [usize; 2], precision: Precision) -> String {
    format!("{} {} {shape:?}", names.join(" "), precision.name())
}

fn floats_title(name: &str, shape: &[usize]) -> String {
    format!("{name} {shape:?}")
}

fn heading(title: &str, bytes: u64) -> Vec<u8> {
    [&(title.len() as u32).to_le_bytes(), title.as_bytes(), &bytes.to_le_bytes()].concat()
}

fn damaged(what: &str) -> IoError {
    IoError::new(ErrorKind::InvalidData, what.to_owned())
}

/// Parts from a stream of known length.
pub(super) struct Reader<S> {
    from: Summed<S>,
    /// Bytes before the sum that were not read yet.
    left: u64,
}

impl<S: Read> Reader<S> {
    /// # Errors
    /// Those of the stream; [`ErrorKind::InvalidData`] for another kind of file or key.
    pub fn new(stream: S, length: u64, key: &Key) -> IoResult<Reader<S>> {
        let left = length.checked_sub(SUM).ok_or_else(|| damaged("too short"))?;
        let mut reader = Reader { from: Summed::new(stream), left };
        reader.expect(&[MAGIC, key.as_slice()].concat())?;
        Ok(reader)
    }

    /// Checks the sum, after all parts were taken. Nothing that was read may be used before.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn finish(self) -> IoResult<()> {
        if self.left > 0 {
            return Err(damaged("too long"));
        }
        let Summed { mut stream, sum } = self.from;
        let mut expected = [0; SUM as usize];
        stream.read_exact(&mut expected)?;
        if u32::from_le_bytes(expected) != sum.finalize() {
            return Err(damaged("another sum"));
        }
        Ok(())
    }

    /// Takes `bytes` bytes off what is left, before any memory is taken for them.
    fn claim(&mut self, bytes: u64) -> IoResult<()> {
        self.left = self.left.checked_sub(bytes).ok_or(ErrorKind::UnexpectedEof)?;
        Ok(())
    }

    fn expect(&mut self, bytes: &[u8]) -> IoResult<()> {
        self.claim(bytes.len() as u64)?;
        let mut found = vec![0; bytes.len()];
        self.from.read_exact(&mut found)?;
        if found == bytes { Ok(()) } else { Err(damaged("another section")) }
    }
}

impl<S: Read> Parts for Reader<S> {
    type Error = IoError;

    fn matrix(&mut self, names: &[String], shape: [usize; 2], precision: Precision) -> IoResult<Matrix> {
        let (out, inputs) = (names.len() * shape[0], shape[1]);
        let bytes = Matrix::packed_bytes(out, inputs, precision).map_err(IoError::other)?;
        self.expect(&heading(&matrix_title(names, shape, precision), bytes))?;
        self.claim(bytes)?;
        Matrix::read_packed(&mut self.from, out, inputs, precision)
    }

    fn floats(&mut self, name: &str, shape: &[usize]) -> IoResult<Vec<f32>> {
        let count: usize = shape.iter().product();
        self.expect(&heading(&floats_title(name, shape), 4 * count as u64))?;
        self.claim(4 * count as u64)?;
        read_floats(&mut self.from, count)
    }
}

/// Parts from elsewhere, written as they pass. A failure to write ends the writing, not the passing.
pub(super) struct Recorder<P, S> {
    parts: P,
    /// The stream, or why there is none any more.
    to: IoResult<Summed<S>>,
}

impl<P: Parts, S: Write> Recorder<P, S> {
    /// Begins at the stream's beginning, where there is one.
    pub fn new(parts: P, to: IoResult<S>, key: &Key) -> Recorder<P, S> {
        let mut recorder = Recorder { parts, to: to.map(Summed::new) };
        recorder.write(|to| to.write_all(&[MAGIC, key.as_slice()].concat()));
        recorder
    }

    /// Writes the sum, after all parts have passed.
    ///
    /// # Errors
    /// The first failure of the stream.
    pub fn finish(self) -> IoResult<S> {
        let Summed { mut stream, sum } = self.to?;
        stream.write_all(&sum.finalize().to_le_bytes())?;
        stream.flush()?;
        Ok(stream)
    }

    fn write(&mut self, write: impl FnOnce(&mut Summed<S>) -> IoResult<()>) {
        if let Ok(to) = &mut self.to
            && let Err(error) = write(to)
        {
            self.to = Err(error);
        }
    }
}

impl<P: Parts, S: Write> Parts for Recorder<P, S> {
    type Error = P::Error;

    fn matrix(
        &mut self,
        names: &[String],
        shape: [usize; 2],
        precision: Precision,
    ) -> Result<Matrix, P::Error> {
        let matrix = self.parts.matrix(names, shape, precision)?;
        self.write(|to| {
            let (out, inputs) = (matrix.out_features(), matrix.in_features());
            let bytes = Matrix::packed_bytes(out, inputs, precision).map_err(IoError::other)?;
            to.write_all(&heading(&matrix_title(names, shape, precision), bytes))?;
            matrix.write_packed(to)
        });
        Ok(matrix)
    }

    fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, P::Error> {
        let floats = self.parts.floats(name, shape)?;
        self.write(|to| {
            to.write_all(&heading(&floats_title(name, shape), 4 * floats.len() as u64))?;
            write_floats(to, &floats)
        });
        Ok(floats)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Lm};
    use super::*;

    const KEY: Key = [7; 32];

    fn config(model_type: &str) -> Config {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/reference/hf/musicgen_mono");
        let json = std::fs::read_to_string(format!("{folder}/config.json")).unwrap();
        Config { model_type: model_type.to_owned(), ..Config::from_json(&json).unwrap() }
    }

    /// A network's bytes, written as it is made.
    fn packed(config: &Config, precision: Precision) -> Vec<u8> {
        let mut recorder = Recorder::new(Lm::noise(3), Ok(Vec::new()), &KEY);
        Lm::build(config, precision, &mut recorder).unwrap();
        recorder.finish().unwrap()
    }

    fn read(bytes: &[u8], config: &Config, precision: Precision) -> IoResult<Vec<u8>> {
        let mut recorder = Recorder::new(Reader::new(bytes, bytes.len() as u64, &KEY)?, Ok(Vec::new()), &KEY);
        Lm::build(config, precision, &mut recorder)?;
        let Recorder { parts, to } = recorder;
        parts.finish()?;
        Recorder { parts: Lm::noise(0), to }.finish()
    }

    #[test]
    fn musicgen_packed_networks_are_read_back_to_the_bit() {
        for model in ["musicgen", "musicgen_melody"] {
            let config = config(model);
            for precision in Precision::ALL {
                let bytes = packed(&config, precision);
                assert!(read(&bytes, &config, precision).unwrap() == bytes, "{model} {precision:?}");
            }
        }
    }

    #[test]
    fn musicgen_packed_files_with_a_wrong_byte_are_refused() {
        let config = config("musicgen");
        let bytes = packed(&config, Precision::Q4);
        let many = (0..bytes.len()).step_by(bytes.len() / 200);
        for at in (0..150).chain(many).chain(bytes.len() - 8..bytes.len()) {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x10;
            assert!(read(&wrong, &config, Precision::Q4).is_err(), "byte {at}");
            assert!(read(&bytes[..at], &config, Precision::Q4).is_err(), "cut at {at}");
        }
        assert!(read(&[bytes.as_slice(), &[0]].concat(), &config, Precision::Q4).is_err());
    }

    #[test]
    fn musicgen_packed_files_of_other_sizes_are_refused() {
        let one = config("musicgen");
        let bytes = packed(&one, Precision::Int8);
        assert!(read(&bytes, &one, Precision::Q4).is_err());
        assert!(read(&bytes, &config("musicgen_melody"), Precision::Int8).is_err());
        // Sizes that would fill the memory are compared with the file first.
        let mut large = one.clone();
        large.decoder.vocab_size = 1 << 16;
        large.decoder.hidden_size = 1 << 14;
        assert!(read(&bytes, &large, Precision::F32).is_err());
        assert!(Reader::new(bytes.as_slice(), bytes.len() as u64, &[8; 32]).is_err());
        // A length that is not the stream's.
        let mut reader = Reader::new(bytes.as_slice(), u64::MAX, &KEY).unwrap();
        Lm::build(&one, Precision::Int8, &mut reader).map(|_| ()).unwrap();
        assert!(reader.finish().is_err());
    }

    #[test]
    fn musicgen_networks_are_packed_although_the_stream_fails() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }

            fn flush(&mut self) -> IoResult<()> {
                Ok(())
            }
        }
        let config = config("musicgen");
        for room in [0, 50, 10_000] {
            let mut recorder = Recorder::new(Lm::noise(3), Ok(Full(room)), &KEY);
            Lm::build(&config, Precision::Int8, &mut recorder).map(|_| ()).unwrap();
            assert_eq!(recorder.finish().err().map(|error| error.kind()), Some(ErrorKind::StorageFull));
        }
    }
}

//! Writing, whole or as the sound comes.

use std::io::Write;

use super::WavFormat;
use crate::stop::{STEP, Stop};
use crate::{Error, Pcm, quantize};

/// Sizes in a header whose writer does not know the length: other tools write and read it so.
const UNKNOWN: u32 = u32::MAX;

/// Writes a WAV file chunk by chunk, to a sink that need not seek.
///
/// The same samples give the same bytes however they are cut into chunks.
pub struct WavWriter<W: Write> {
    sink: W,
    format: WavFormat,
    channels: usize,
    /// Frames the header promised, if it did.
    promised: Option<usize>,
    frames: usize,
    dither: quantize::Int16,
    buffer: Vec<u8>,
}

impl<W: Write> WavWriter<W> {
    /// Writes the header.
    ///
    /// `frames`: samples per channel to come. `None` where nobody knows yet, as in a pipe: the sizes in the
    /// header are then 0xFFFFFFFF, which readers take as "to the end of the stream".
    ///
    /// # Errors
    /// [`Error::Wav`] for other than 1..=8 channels or if the file would pass 4 GiB, [`Error::SampleRate`]
    /// for a rate outside 1..=384000 Hz, [`Error::Io`] when writing fails.
    pub fn new(
        sink: W,
        sample_rate: u32,
        channels: usize,
        format: WavFormat,
        frames: Option<usize>,
    ) -> Result<Self, Error> {
        if !(1..=8).contains(&channels) {
            return Err(wrong("channels", "in 1..=8", channels.to_string()));
        }
        if !(1..=384_000).contains(&sample_rate) {
            return Err(Error::SampleRate { min: 1, max: 384_000, got: sample_rate });
        }
        let frame_bytes = channels * format.bytes();
        let data_size = frames.map(|frames| data_size(frames, frame_bytes)).transpose()?;
        let mut writer = Self {
            sink,
            format,
            channels,
            promised: frames,
            frames: 0,
            dither: quantize::Int16::new(),
            buffer: Vec::new(),
        };
        let (tag, extra): (u16, u32) = if format == WavFormat::Float32 { (3, 12) } else { (1, 0) };
        let out = &mut writer.buffer;
        out.extend(b"RIFF");
        out.extend(data_size.map_or(UNKNOWN, |size| 36 + extra + size + (size & 1)).to_le_bytes());
        out.extend(b"WAVEfmt ");
        out.extend(16u32.to_le_bytes());
        out.extend(tag.to_le_bytes());
        out.extend((channels as u16).to_le_bytes());
        out.extend(sample_rate.to_le_bytes());
        out.extend((sample_rate * frame_bytes as u32).to_le_bytes());
        out.extend((frame_bytes as u16).to_le_bytes());
        out.extend((format.bytes() as u16 * 8).to_le_bytes());
        if format == WavFormat::Float32 {
            // Required for formats other than integer PCM: frames in the file.
            out.extend(b"fact");
            out.extend(4u32.to_le_bytes());
            out.extend(frames.map_or(UNKNOWN, |frames| frames as u32).to_le_bytes());
        }
        out.extend(b"data");
        out.extend(data_size.unwrap_or(UNKNOWN).to_le_bytes());
        writer.flush_buffer()?;
        Ok(writer)
    }

    /// Adds a chunk, `[C][N]`: as many channels as the header says, of one length, which may be 0.
    ///
    /// Integer formats clip at full scale; samples that are not numbers become 0.
    ///
    /// # Errors
    /// [`Error::Channels`] for another shape, [`Error::Wav`] for more frames than the header promised,
    /// [`Error::Io`] when writing fails. What was written before stays written.
    pub fn write(&mut self, chunk: &[&[f32]]) -> Result<(), Error> {
        let frames = chunk.first().map_or(0, |channel| channel.len());
        if chunk.len() != self.channels || chunk.iter().any(|channel| channel.len() != frames) {
            return Err(Error::Channels { lengths: chunk.iter().map(|c| c.len()).take(9).collect() });
        }
        if self.promised.is_some_and(|promised| frames > promised - self.frames) {
            return Err(self.broken_promise(self.frames + frames));
        }
        self.frames += frames;
        for start in (0..frames).step_by(STEP) {
            for frame in start..(start + STEP).min(frames) {
                for channel in chunk {
                    let (sample, out) = (channel[frame], &mut self.buffer);
                    match self.format {
                        WavFormat::Int16 => out.extend(self.dither.step(sample).to_le_bytes()),
                        WavFormat::Int24 => out.extend(&quantize::int24(sample).to_le_bytes()[..3]),
                        WavFormat::Float32 => out.extend(quantize::finite(sample).to_le_bytes()),
                    }
                }
            }
            self.flush_buffer()?;
        }
        Ok(())
    }

    /// Ends the file and gives the sink back, flushed.
    ///
    /// # Errors
    /// [`Error::Wav`] if fewer frames came than the header promised, [`Error::Io`] when writing fails.
    pub fn finish(mut self) -> Result<W, Error> {
        if self.promised.is_some_and(|promised| promised != self.frames) {
            return Err(self.broken_promise(self.frames));
        }
        // Chunks are padded to even sizes; at the end of a stream of unknown length it would read as a sample.
        if self.promised.is_some() && self.frames * self.channels * self.format.bytes() % 2 == 1 {
            self.buffer.push(0);
        }
        self.flush_buffer()?;
        self.sink.flush().map_err(failed)?;
        Ok(self.sink)
    }

    fn flush_buffer(&mut self) -> Result<(), Error> {
        self.sink.write_all(&self.buffer).map_err(failed)?;
        self.buffer.clear();
        Ok(())
    }

    fn broken_promise(&self, got: usize) -> Error {
        let promised = self.promised.unwrap_or(0);
        Error::WavLength { promised, got }
    }
}

fn wrong(what: &'static str, allowed: &'static str, got: String) -> Error {
    Error::Wav { what, allowed, got }
}

fn failed(source: std::io::Error) -> Error {
    Error::Io { action: "write", name: "wav".into(), source }
}

fn data_size(frames: usize, frame_bytes: usize) -> Result<u32, Error> {
    let bytes = frames as u64 * frame_bytes as u64;
    u32::try_from(bytes)
        .ok()
        .filter(|&size| size < 4_294_967_000)
        .ok_or_else(|| wrong("data size", "below 4294967000 bytes", format!("{bytes} bytes")))
}

/// The whole WAV file as bytes.
///
/// Integer formats clip at full scale; samples that are not numbers become 0.
///
/// # Errors
/// [`Error::Channels`] for uneven channels, [`Error::Wav`] if the file would pass 4 GiB,
/// [`Error::SampleRate`] for a rate outside 1..=384000 Hz.
pub fn wav_bytes(pcm: &Pcm, format: WavFormat) -> Result<Vec<u8>, Error> {
    encode(pcm, format, Stop::NEVER)
}

/// As [`wav_bytes`], asking `stop` every few milliseconds whether to break off.
///
/// # Errors
/// [`Error::Stopped`] once `stop` says `true`; else those of [`wav_bytes`].
pub fn wav_bytes_until(pcm: &Pcm, format: WavFormat, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, Error> {
    encode(pcm, format, Stop::when(stop))
}

fn encode(pcm: &Pcm, format: WavFormat, stop: Stop<'_>) -> Result<Vec<u8>, Error> {
    pcm.check_channels()?;
    let size = data_size(pcm.frames(), pcm.channels.len() * format.bytes())?;
    let out = Vec::with_capacity(56 + size as usize + 1);
    let mut writer = WavWriter::new(out, pcm.sample_rate, pcm.channels.len(), format, Some(pcm.frames()))?;
    for start in (0..pcm.frames()).step_by(STEP) {
        stop.check()?;
        let part = start..(start + STEP).min(pcm.frames());
        let chunk: Vec<&[f32]> = pcm.channels.iter().map(|channel| &channel[part.clone()]).collect();
        writer.write(&chunk)?;
    }
    writer.finish()
}

/// Writes a WAV file to `sink`. See [`wav_bytes`].
///
/// # Errors
/// As [`wav_bytes`], and [`Error::Io`] when writing fails.
pub fn write_wav<W: Write>(sink: &mut W, pcm: &Pcm, format: WavFormat) -> Result<(), Error> {
    let bytes = wav_bytes(pcm, format)?;
    sink.write_all(&bytes).map_err(failed)
}

//! Reading.

use crate::{Error, Pcm, quantize};

/// Where the samples of a WAV file are and how to read them.
pub(crate) struct Samples<'a> {
    pub sample_rate: u32,
    /// 1..=8.
    pub channels: usize,
    /// What there is of the data chunk.
    data: &'a [u8],
    /// Bytes the data chunk says it has; `None` if its writer did not know.
    claimed: Option<usize>,
    /// Bytes of a sample, 1..=8.
    width: usize,
    sample: fn(&[u8]) -> f32,
}

/// Reads a WAV file of 8-, 16-, 24- or 32-bit integers or 32- or 64-bit floats, plain or extensible header, 1..=8 channels.
///
/// A data chunk that claims more than the file holds is read as far as it goes. Samples that are not numbers become 0.
/// The largest positive integer reads as 1.
///
/// # Errors
/// [`Error::Wav`] naming the field that is broken or not supported.
pub fn read_wav(bytes: &[u8]) -> Result<Pcm, Error> {
    Ok(find_samples(bytes)?.read())
}

/// As [`read_wav`], before anything is decoded.
pub(crate) fn find_samples(bytes: &[u8]) -> Result<Samples<'_>, Error> {
    if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
        let start = bytes[..bytes.len().min(12)].escape_ascii().to_string();
        return Err(wrong("header", "RIFF....WAVE", format!("\"{start}\"")));
    }
    let mut rest = &bytes[12..];
    let mut format: Option<(u16, u16, u32, u16)> = None;
    while rest.len() >= 8 {
        let (head, body) = rest.split_at(8);
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let claimed = size as usize;
        let chunk = &body[..claimed.min(body.len())];
        match &head[..4] {
            b"fmt " => {
                if chunk.len() < 16 {
                    return Err(wrong("fmt chunk", "at least 16 bytes", format!("{}", chunk.len())));
                }
                let u16_at = |at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
                let rate = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
                // 0xfffe: extensible, the real tag starts the sub-format id.
                let tag = if u16_at(0) == 0xfffe && chunk.len() >= 26 { u16_at(24) } else { u16_at(0) };
                format = Some((tag, u16_at(2), rate, u16_at(14)));
            }
            b"data" => {
                let (tag, channels, sample_rate, bits) =
                    format.ok_or_else(|| wrong("fmt chunk", "before the data chunk", "none".into()))?;
                if !(1..=8).contains(&channels) {
                    return Err(wrong("channels", "in 1..=8", channels.to_string()));
                }
                if !(1..=384_000).contains(&sample_rate) {
                    return Err(wrong("sample rate", "in 1..=384000 Hz", sample_rate.to_string()));
                }
                // Writers into pipes leave 0xFFFFFFFF, some 0x7FFFFFFF or a little less.
                let known = size < 0x7fff_f000;
                return Ok(Samples {
                    sample_rate,
                    channels: usize::from(channels),
                    data: chunk,
                    claimed: known.then_some(claimed),
                    width: usize::from(bits / 8),
                    sample: decoder(tag, bits)?,
                });
            }
            _ => {}
        }
        // Chunks are padded to even sizes.
        rest = body.get(claimed.saturating_add(claimed & 1)..).unwrap_or(&[]);
    }
    Err(wrong("data chunk", "present", "none".into()))
}

fn decoder(tag: u16, bits: u16) -> Result<fn(&[u8]) -> f32, Error> {
    Ok(match (tag, bits) {
        (1, 8) => |b| (f32::from(b[0]) - 128.0) / 127.0,
        (1, 16) => |b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32767.0,
        (1, 24) => |b| (i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8) as f32 / 8_388_607.0,
        (1, 32) => |b| {
            let value = i32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            (f64::from(value) / f64::from(i32::MAX)) as f32
        },
        (3, 32) => |b| quantize::finite(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        (3, 64) => |b| {
            let value = f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            quantize::finite(value as f32)
        },
        _ => {
            let got = format!("tag {tag} with {bits} bits");
            return Err(wrong("format", "8-, 16-, 24- or 32-bit integer or 32- or 64-bit float", got));
        }
    })
}

impl Samples<'_> {
    /// Frames that are there.
    pub fn frames(&self) -> usize {
        self.data.len() / (self.width * self.channels)
    }

    /// Frames that the header speaks of and the file lacks.
    pub fn missing(&self) -> usize {
        let frame = self.width * self.channels;
        self.claimed.map_or(0, |claimed| (claimed - self.data.len()).div_ceil(frame))
    }

    pub fn read(&self) -> Pcm {
        let frame = self.width * self.channels;
        let decode = |c| self.data.chunks_exact(frame).map(|f| (self.sample)(&f[c * self.width..])).collect();
        Pcm { sample_rate: self.sample_rate, channels: (0..self.channels).map(decode).collect() }
    }
}

fn wrong(what: &'static str, allowed: &'static str, got: String) -> Error {
    Error::Wav { what, allowed, got }
}

//! Reading sound files of the common kinds: WAV, FLAC, MP3 and Ogg Vorbis.
//!
//! The content decides what a file is, never its name. What is broken or cut off is refused, not read as far as it
//! goes. MP3 and Vorbis are decoded with the platform's maths, so the last bits of their samples may differ between
//! platforms; WAV and FLAC read the same everywhere.
//!
//! Of Ogg files, Opus is not read: the decoder at hand is young and does much of its work in unsafe code.
//!
//! Rule: whatever the bytes, the answer is samples or an error, in memory bounded by the length of the file and the
//! [`Limits`].

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use symphonia::core::audio::{Audio, AudioBuffer, Channels, GenericAudioBufferRef, sample::Sample};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoderOptions, well_known::CODEC_ID_MP3};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::{TrackType, probe::Hint};
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};

use crate::resample::RATES;
use crate::{Error, Pcm, quantize::finite, wav};

/// How much sound may be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seconds.
    pub seconds: u32,
    /// Samples of all channels together: 4 bytes of memory each.
    pub samples: usize,
}

impl Default for Limits {
    /// 10 minutes, and half a gigabyte: that is 10 minutes of stereo at 96 kHz.
    fn default() -> Self {
        Self { seconds: 600, samples: 120_000_000 }
    }
}

/// Largest file read, bytes: more than any file within the default limits has.
const MAX_FILE: u64 = 1 << 30;

/// Reads the sound file at `path`. See [`read_audio`].
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::TooMuch`] if it is larger than 1 GiB, and those of [`read_audio`].
pub fn read_audio_file(path: &Path, limits: &Limits) -> Result<Pcm, Error> {
    let name = path.display().to_string();
    let failed = |source| Error::Io { action: "read", name: name.clone(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        let got = format!("more than {MAX_FILE}");
        return Err(Error::TooMuch { name, allowed: format!("{MAX_FILE} bytes"), got });
    }
    read_audio(&name, &bytes, limits)
}

/// Reads a sound file: WAV, FLAC, MP3 or Ogg Vorbis, 1..=8 channels, 8000..=192000 Hz.
///
/// `name` is for messages only. The largest positive integer of an integer format reads as 1.
///
/// # Errors
/// [`Error::Unreadable`] for what is of no known kind, broken, cut off or empty, [`Error::TooMuch`] for more sound than
/// `limits` allow. An MP3 whose first frame states no length is read to its end: that it was cut cannot be seen.
pub fn read_audio(name: &str, bytes: &[u8], limits: &Limits) -> Result<Pcm, Error> {
    let file = File { name, limits };
    let pcm = match kind(bytes) {
        Kind::Wav => file.wav(bytes)?,
        Kind::Ogg => {
            file.check_ogg(bytes)?;
            file.decode_safely(bytes)?
        }
        Kind::Flac | Kind::Mpeg => file.decode_safely(bytes)?,
        Kind::Unknown => {
            let start = bytes[..bytes.len().min(8)].escape_ascii();
            let known = "it must be WAV, FLAC, MP3 or Ogg Vorbis";
            return Err(file.unreadable(format!("{known}, and starts with \"{start}\"")));
        }
    };
    if pcm.frames() == 0 {
        return Err(file.unreadable("it holds no sound"));
    }
    Ok(pcm)
}

enum Kind {
    Wav,
    Flac,
    Ogg,
    /// MP3, plain or after an ID3 tag.
    Mpeg,
    Unknown,
}

fn kind(bytes: &[u8]) -> Kind {
    match bytes {
        [b'R', b'I', b'F', b'F', ..] => Kind::Wav,
        [b'f', b'L', b'a', b'C', ..] => Kind::Flac,
        [b'O', b'g', b'g', b'S', ..] => Kind::Ogg,
        [b'I', b'D', b'3', ..] => Kind::Mpeg,
        // Eleven bits of sync, then a layer that is not the reserved one.
        [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0 => Kind::Mpeg,
        _ => Kind::Unknown,
    }
}

struct File<'a> {
    name: &'a str,
    limits: &'a Limits,
}

impl File<'_> {
    fn unreadable(&self, reason: impl Into<String>) -> Error {
        Error::Unreadable { name: self.name.into(), reason: reason.into() }
    }

    fn wav(&self, bytes: &[u8]) -> Result<Pcm, Error> {
        let samples = wav::find_samples(bytes).map_err(|error| self.unreadable(error.to_string()))?;
        self.check_shape(samples.sample_rate, samples.channels)?;
        self.check_length(samples.frames(), samples.sample_rate, samples.channels)?;
        if samples.missing() > 0 {
            return Err(self.cut(samples.missing()));
        }
        Ok(samples.read())
    }

    fn cut(&self, missing: usize) -> Error {
        self.unreadable(format!("it is incomplete: {missing} samples are missing"))
    }

    fn check_shape(&self, rate: u32, channels: usize) -> Result<(), Error> {
        if !RATES.contains(&rate) {
            let (min, max) = (RATES.start(), RATES.end());
            return Err(self.unreadable(format!("the sample rate must be in {min}..={max} Hz, got {rate}")));
        }
        if !(1..=8).contains(&channels) {
            return Err(self.unreadable(format!("channels must be in 1..=8, got {channels}")));
        }
        Ok(())
    }

    fn check_length(&self, frames: usize, rate: u32, channels: usize) -> Result<(), Error> {
        let too_much = |allowed, got| Err(Error::TooMuch { name: self.name.into(), allowed, got });
        let seconds = frames as f64 / f64::from(rate);
        if seconds > f64::from(self.limits.seconds) {
            let got = format!("at least {}", seconds.ceil());
            return too_much(format!("{} seconds of sound", self.limits.seconds), got);
        }
        if frames.saturating_mul(channels) > self.limits.samples {
            let got = format!("more in {channels} channels at {rate} Hz");
            return too_much(format!("{} samples", self.limits.samples), got);
        }
        Ok(())
    }

    /// Walks the pages of an Ogg file, because the decoder steps over broken and missing ones.
    fn check_ogg(&self, bytes: &[u8]) -> Result<(), Error> {
        // Number of the page to come, by stream.
        let mut numbers = BTreeMap::new();
        let mut rest = bytes;
        while let Some(page) = OggPage::first(rest) {
            if numbers.insert(page.stream, page.number.wrapping_add(1)).is_some_and(|due| due != page.number)
            {
                return Err(self.unreadable(format!("an Ogg page is missing before page {}", page.number)));
            }
            rest = &rest[page.bytes..];
        }
        if !rest.is_empty() {
            let at = bytes.len() - rest.len();
            return Err(self.unreadable(format!("an Ogg page is broken or cut off at byte {at}")));
        }
        let mut packets = ogg::PacketReader::new(Cursor::new(bytes));
        let mut ended = false;
        loop {
            match packets.read_packet() {
                Ok(Some(packet)) if packet.data.starts_with(b"OpusHead") => {
                    return Err(self.unreadable("it is Opus: of Ogg files, Vorbis is read"));
                }
                Ok(Some(packet)) => ended = packet.last_in_stream(),
                Ok(None) if ended => return Ok(()),
                Ok(None) => return Err(self.unreadable("it is cut off: the last page is missing")),
                Err(error) => return Err(self.unreadable(format!("an Ogg page is broken: {error}"))),
            }
        }
    }

    /// As [`File::decode`]. Symphonia's Vorbis decoder panics at some broken set-up headers (its assertion that code words
    /// have at most 32 bits, for one): that, too, is a broken file.
    fn decode_safely(&self, bytes: &[u8]) -> Result<Pcm, Error> {
        // Nothing the decoder touched outlives the panic.
        let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| self.decode(bytes)));
        decoded.unwrap_or_else(|_| Err(self.unreadable("it is broken where no file may be")))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Pcm, Error> {
        let broken = |error: Symphonia| match error {
            Symphonia::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.unreadable("it is cut off")
            }
            error => self.unreadable(error.to_string()),
        };
        // Not seekable: of an MP3 without a stated length the demuxer would guess one, and cut the sound there.
        let source = ReadOnlySource::new(Cursor::new(bytes));
        let stream = MediaSourceStream::new(Box::new(source), Default::default());
        let probe = symphonia::default::get_probe();
        let mut format =
            probe.probe(&Hint::new(), stream, Default::default(), Default::default()).map_err(broken)?;
        let no_track = || self.unreadable("it has no track of sound");
        let track = format.default_track(TrackType::Audio).ok_or_else(no_track)?;
        let (id, stated) = (track.id, track.num_frames);
        let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(no_track)?.clone();
        let options = AudioDecoderOptions::default().verify(true);
        let mut decoder =
            symphonia::default::get_codecs().make_audio_decoder(&parameters, &options).map_err(broken)?;
        if let (Some(stated), Some(rate)) = (stated, parameters.sample_rate) {
            // Before anything is decoded; the count below decides.
            let channels = parameters.channels.as_ref().map_or(1, Channels::count);
            self.check_length(usize::try_from(stated).unwrap_or(usize::MAX), rate.max(1), channels)?;
        }
        let mut pcm: Option<Pcm> = None;
        loop {
            let packet = match format.next_packet() {
                Ok(Some(packet)) if packet.track_id == id => packet,
                Ok(Some(_)) => continue,
                Ok(None) => break,
                Err(Symphonia::ResetRequired) => {
                    return Err(self.unreadable("it holds several pieces one after the other"));
                }
                Err(error) => return Err(broken(error)),
            };
            let buffer = decoder.decode(&packet).map_err(broken)?;
            let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
            let pcm = match &mut pcm {
                Some(pcm) => pcm,
                None => {
                    self.check_shape(rate, channels)?;
                    pcm.insert(Pcm::silence(rate, channels, 0))
                }
            };
            if (pcm.sample_rate, pcm.channels.len()) != (rate, channels) {
                let reason = format!("the sound changes to {channels} channels at {rate} Hz");
                return Err(self.unreadable(reason));
            }
            self.check_length(pcm.frames() + buffer.frames(), rate, channels)?;
            append(pcm, &buffer, &parameters);
        }
        let pcm = pcm.ok_or_else(|| self.unreadable("it holds no sound"))?;
        let stated = stated.map_or(0, |stated| usize::try_from(stated).unwrap_or(usize::MAX));
        let missing = stated.saturating_sub(pcm.frames());
        if missing > slack(&parameters) {
            return Err(self.cut(missing));
        }
        if decoder.finalize().verify_ok == Some(false) {
            return Err(self.unreadable("its samples do not match its checksum"));
        }
        Ok(pcm)
    }
}

/// A page of an Ogg file, RFC 3533 section 6.
struct OggPage {
    stream: u32,
    number: u32,
    bytes: usize,
}

impl OggPage {
    /// The page `bytes` begin with, if they hold a whole one.
    fn first(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<27>().filter(|head| head.starts_with(b"OggS"))?;
        let sizes = bytes.get(27..27 + usize::from(head[26]))?;
        let length = 27 + sizes.len() + sizes.iter().map(|&size| usize::from(size)).sum::<usize>();
        let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        (length <= bytes.len()).then(|| Self { stream: u32_at(14), number: u32_at(18), bytes: length })
    }
}

/// Samples that may be missing without it meaning anything.
fn slack(parameters: &AudioCodecParameters) -> usize {
    // Some MP3 encoders count the frame that holds the count. A frame is shorter at the lower rates.
    match parameters.sample_rate {
        _ if parameters.codec != CODEC_ID_MP3 => 0,
        Some(rate) if rate < 32_000 => 576,
        _ => 1152,
    }
}

/// Adds what was decoded, full scale of integers being their largest positive number.
fn append(pcm: &mut Pcm, buffer: &GenericAudioBufferRef<'_>, parameters: &AudioCodecParameters) {
    match buffer {
        GenericAudioBufferRef::S32(buffer) => {
            // Fewer bits stand at the top of the 32.
            let bits = parameters.bits_per_sample.unwrap_or(32).clamp(2, 32);
            let (down, full) = (32 - bits, (1u64 << (bits - 1)) - 1);
            if bits <= 24 {
                each(pcm, buffer, |sample: i32| (sample >> down) as f32 / full as f32);
            } else {
                each(pcm, buffer, |sample: i32| (f64::from(sample >> down) / full as f64) as f32);
            }
        }
        GenericAudioBufferRef::F32(buffer) => each(pcm, buffer, finite),
        other => {
            let mut planes: Vec<Vec<f32>> = Vec::new();
            other.copy_to_vecs_planar(&mut planes);
            for (channel, plane) in pcm.channels.iter_mut().zip(planes) {
                channel.extend(plane.into_iter().map(finite));
            }
        }
    }
}

fn each<S: Sample>(pcm: &mut Pcm, buffer: &AudioBuffer<S>, float: impl Fn(S) -> f32) {
    for (channel, plane) in pcm.channels.iter_mut().zip(buffer.iter_planes()) {
        channel.extend(plane.iter().map(|&sample| float(sample)));
    }
}

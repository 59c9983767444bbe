//! Ogg Opus files, for mono and stereo.
//!
//! Source: RFC 7845 (Ogg encapsulation for Opus), RFC 6716 (Opus).

use ogg::{PacketWriteEndInfo, PacketWriter};
use opus_rs::{Application, OpusEncoder};

use crate::resample::resample_until;
use crate::stop::Stop;
use crate::{Error, Pcm, quantize::finite};

/// Opus's own rate; sound of other rates is resampled to it.
const RATE: u32 = 48_000;
/// Samples of a packet: 20 ms.
const FRAME: usize = 960;
/// Samples the decoder gives before the sound begins: the encoder's look-ahead, 4 ms, and the transform's
/// overlap, 2.5 ms.
const PRE_SKIP: usize = 312;
/// Largest packet of one frame, bytes.
const MAX_PACKET: usize = 1275;
/// Packets of a page: a second, so that a player finds its place.
const PACKETS_PER_PAGE: usize = 50;
/// Number of the stream in its file. Always the same, so that the same samples give the same bytes.
const SERIAL: u32 = 1;
const VENDOR: &[u8] = b"partita";

/// Bits a second that can be asked for, thousands.
const KBITS: std::ops::RangeInclusive<u32> = 24..=320;

/// The whole Ogg Opus file as bytes, at a variable rate around `kbits` thousand bits a second: 24..=320, by default
/// 128 for stereo and 96 for mono.
///
/// Sound of another rate is resampled to 48 kHz. Clips at full scale; samples that are not numbers become 0. Decoded,
/// the file has exactly as many samples as the sound at 48 kHz.
///
/// # Errors
/// [`Error::Format`] for more than 2 channels, no sample or a bit rate out of range, [`Error::Channels`] for uneven
/// channels, [`Error::SampleRate`] for a rate outside 8000..=192000 Hz.
pub fn opus_bytes(pcm: &Pcm, kbits: Option<u32>) -> Result<Vec<u8>, Error> {
    encode(pcm, kbits, Stop::NEVER)
}

/// As [`opus_bytes`], asking `stop` every few milliseconds whether to break off.
///
/// # Errors
/// [`Error::Stopped`] once `stop` says `true`; else those of [`opus_bytes`].
pub fn opus_bytes_until(pcm: &Pcm, kbits: Option<u32>, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, Error> {
    encode(pcm, kbits, Stop::when(stop))
}

fn encode(pcm: &Pcm, kbits: Option<u32>, stop: Stop<'_>) -> Result<Vec<u8>, Error> {
    let wrong = |what, allowed, got: String| Error::Format { format: "opus", what, allowed, got };
    pcm.check_channels()?;
    let channels = pcm.channels.len();
    if channels > 2 {
        return Err(wrong("channels", "1 or 2", channels.to_string()));
    }
    if pcm.frames() == 0 {
        return Err(wrong("length", "at least one sample", "none".into()));
    }
    let kbits = kbits.unwrap_or(if channels == 1 { 96 } else { 128 });
    if !KBITS.contains(&kbits) {
        return Err(wrong("bit rate", "in 24..=320 kbit/s", kbits.to_string()));
    }
    let sound = resample_until(pcm, RATE, stop)?;
    let failed = |reason: &str| Error::Encoder { format: "opus", reason: reason.into() };
    let mut encoder = Box::new(OpusEncoder::new(RATE as i32, channels, Application::Audio).map_err(failed)?);
    encoder.bitrate_bps = kbits as i32 * 1000;
    encoder.complexity = 10;

    let mut file = PacketWriter::new(Vec::new());
    let mut write = |packet: Vec<u8>, end, samples| {
        file.write_packet(packet, SERIAL, end, samples).map_err(|error| failed(&error.to_string()))
    };
    // Each header has a page of its own.
    write(head(channels as u8, pcm.sample_rate), PacketWriteEndInfo::EndPage, 0)?;
    write(tags(), PacketWriteEndInfo::EndPage, 0)?;
    let frames = sound.frames();
    let packets = (PRE_SKIP + frames).div_ceil(FRAME);
    let mut interleaved = vec![0.0f32; FRAME * channels];
    let mut packet = [0u8; MAX_PACKET];
    for index in 0..packets {
        stop.check()?;
        for (place, frame) in interleaved.chunks_exact_mut(channels).zip(index * FRAME..) {
            for (sample, channel) in place.iter_mut().zip(&sound.channels) {
                *sample = channel.get(frame).map_or(0.0, |&sample| finite(sample).clamp(-1.0, 1.0));
            }
        }
        let bytes = encoder.encode(&interleaved, FRAME, &mut packet).map_err(failed)?;
        let end = match index + 1 {
            last if last == packets => PacketWriteEndInfo::EndStream,
            number if number % PACKETS_PER_PAGE == 0 => PacketWriteEndInfo::EndPage,
            _ => PacketWriteEndInfo::NormalPacket,
        };
        // Samples a decoder has given after this packet; in the last page less, which cuts the padding off.
        let samples = ((index + 1) * FRAME).min(PRE_SKIP + frames);
        write(packet[..bytes].to_vec(), end, samples as u64)?;
    }
    Ok(file.into_inner())
}

/// The identification header, RFC 7845 section 5.1.
fn head(channels: u8, sample_rate: u32) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend((PRE_SKIP as u16).to_le_bytes());
    // Of the sound before encoding, for information.
    head.extend(sample_rate.to_le_bytes());
    // No gain; mapping family 0: mono or stereo in one stream.
    head.extend([0, 0, 0]);
    head
}

/// The comment header, RFC 7845 section 5.2: who wrote the file and no comments.
fn tags() -> Vec<u8> {
    let mut tags = b"OpusTags".to_vec();
    tags.extend((VENDOR.len() as u32).to_le_bytes());
    tags.extend(VENDOR);
    tags.extend(0u32.to_le_bytes());
    tags
}

//! From samples to the bytes of a file, by the name it shall have.

use std::io::Write;
use std::process::{Command, Stdio};

use partita_audio::wav::wav_bytes;
use partita_audio::{Pcm, WavFormat, flac_bytes, opus_bytes};

use crate::error::{Error, Kind, Result};
use crate::output::Target;

/// A kind of sound file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoding {
    Wav,
    Flac,
    Opus,
    /// Through the `ffmpeg` of this machine; its name for the kind.
    Ffmpeg(String),
}

impl Encoding {
    /// By the end of the name.
    ///
    /// # Errors
    /// A name without an end, or one that needs an ffmpeg which is not there.
    pub fn of(target: &Target) -> Result<Encoding> {
        let Target::File(path) = target else { return Ok(Encoding::Wav) };
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        match end.as_str() {
            "wav" => Ok(Encoding::Wav),
            "flac" => Ok(Encoding::Flac),
            "ogg" | "opus" => Ok(Encoding::Opus),
            "mp3" | "m4a" | "aac" | "aiff" | "aif" | "wma" | "webm" | "mka" => {
                if has_ffmpeg() {
                    Ok(Encoding::Ffmpeg(end))
                } else {
                    Err(no_ffmpeg(&end))
                }
            }
            _ => {
                let got = if end.is_empty() { target.to_string() } else { format!(".{end}") };
                let message = format!(
                    "output must end in .wav, .flac, .ogg, .opus, or with ffmpeg .mp3 or .m4a, got {got}"
                );
                Err(Error::usage("output", message))
            }
        }
    }

    /// The file. Samples beyond full scale would be cut off, so such a clip is turned down as a whole.
    ///
    /// # Errors
    /// What cannot be encoded, or an ffmpeg that fails.
    pub fn encode(&self, mut clip: Pcm) -> Result<Vec<u8>> {
        clip.fit();
        match self {
            Encoding::Wav => Ok(wav_bytes(&clip, WavFormat::Int16)?),
            Encoding::Flac => Ok(flac_bytes(&clip)?),
            Encoding::Opus => Ok(opus_bytes(&clip, None)?),
            Encoding::Ffmpeg(end) => ffmpeg(&wav_bytes(&clip, WavFormat::Int16)?, end),
        }
    }
}

fn has_ffmpeg() -> bool {
    let mut command = Command::new("ffmpeg");
    command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn no_ffmpeg(end: &str) -> Error {
    let message =
        format!("output .{end} needs ffmpeg, which is not installed; .wav, .flac and .ogg work without");
    Error::usage("output", message)
}

/// WAV to another kind. The kind needs a file that can be sought in, so it is made in a temporary one.
fn ffmpeg(wav: &[u8], end: &str) -> Result<Vec<u8>> {
    let failed =
        |why: String| Error::new(Kind::Failed, "output", format!("ffmpeg could not make .{end}: {why}"));
    let suffix = format!(".{end}");
    let file = tempfile::Builder::new().prefix("partita-").suffix(&suffix).tempfile();
    let file = file.map_err(|error| failed(error.to_string()))?;
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-y", "-f", "wav", "-i", "pipe:0"])
        .arg(file.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    // It says itself why it stops reading.
    let _ = stdin.write_all(wav);
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).chars().take(300).collect()));
    }
    std::fs::read(file.path()).map_err(|error| failed(error.to_string()))
}

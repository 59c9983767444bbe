//! Sizes of a codec, from the `audio_encoder` block of a published `config.json`.

use serde::Deserialize;

use crate::musicgen::Error;

/// The published keys that matter. Those left out have the values the published library gives them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct CodecConfig {
    pub sampling_rate: usize,
    pub audio_channels: usize,
    pub normalize: bool,
    pub chunk_length_s: Option<f64>,
    /// Channels of the latent frames.
    pub hidden_size: usize,
    /// Channels beside the samples; they double with each ratio.
    pub num_filters: usize,
    pub num_residual_layers: usize,
    /// From the latent frames to the samples; their product is the hop.
    pub upsampling_ratios: Vec<usize>,
    pub norm_type: String,
    pub kernel_size: usize,
    pub last_kernel_size: usize,
    pub residual_kernel_size: usize,
    pub use_causal_conv: bool,
    pub pad_mode: String,
    /// A residual block is narrower inside by this factor.
    pub compress: usize,
    pub num_lstm_layers: usize,
    /// Codes of a codebook.
    pub codebook_size: usize,
    /// Channels of a codebook; those of the latent frames if left out.
    pub codebook_dim: Option<usize>,
    pub use_conv_shortcut: bool,
    /// In kilobits a second; the last one decides the number of codebooks.
    pub target_bandwidths: Vec<f64>,
}

impl Default for CodecConfig {
    fn default() -> CodecConfig {
        CodecConfig {
            sampling_rate: 24_000,
            audio_channels: 1,
            normalize: false,
            chunk_length_s: None,
            hidden_size: 128,
            num_filters: 32,
            num_residual_layers: 1,
            upsampling_ratios: vec![8, 5, 4, 2],
            norm_type: "weight_norm".to_owned(),
            kernel_size: 7,
            last_kernel_size: 7,
            residual_kernel_size: 3,
            use_causal_conv: true,
            pad_mode: "reflect".to_owned(),
            compress: 2,
            num_lstm_layers: 2,
            codebook_size: 1024,
            codebook_dim: None,
            use_conv_shortcut: true,
            target_bandwidths: vec![1.5, 3.0, 6.0, 12.0, 24.0],
        }
    }
}

impl CodecConfig {
    /// The codec published with MusicGen: 32 kHz, hop 640, four codebooks of 2048.
    pub fn encodec_32khz() -> CodecConfig {
        CodecConfig {
            sampling_rate: 32_000,
            num_filters: 64,
            upsampling_ratios: vec![8, 5, 4, 4],
            use_causal_conv: false,
            codebook_size: 2048,
            codebook_dim: Some(128),
            use_conv_shortcut: false,
            target_bandwidths: vec![2.2],
            ..CodecConfig::default()
        }
    }

    /// Samples of a frame.
    pub fn hop(&self) -> usize {
        self.upsampling_ratios.iter().product()
    }

    /// Frames of a second, rounded up.
    pub fn frame_rate(&self) -> usize {
        self.sampling_rate.div_ceil(self.hop())
    }

    /// K.
    pub fn codebooks(&self) -> usize {
        let bits = usize::BITS - self.codebook_size.saturating_sub(1).leading_zeros();
        let bandwidth = self.target_bandwidths.last().copied().unwrap_or_default();
        (1000.0 * bandwidth / (self.frame_rate() as f64 * f64::from(bits))).floor() as usize
    }

    /// Channels of the widest frames, those of the LSTM.
    pub(super) fn widest(&self) -> usize {
        self.num_filters << self.upsampling_ratios.len()
    }

    /// # Errors
    /// [`Error::Config`] for a variant that is not implemented or a size out of range.
    pub fn check(&self) -> Result<(), Error> {
        let allowed = |field, holds: bool, allowed: &str, got: String| {
            if holds { Ok(()) } else { Err(Error::config(field, allowed, got)) }
        };
        let flag = |field, wanted: bool, got: bool| {
            allowed(field, got == wanted, &wanted.to_string(), got.to_string())
        };
        flag("audio_encoder.use_causal_conv", false, self.use_causal_conv)?;
        flag("audio_encoder.use_conv_shortcut", false, self.use_conv_shortcut)?;
        flag("audio_encoder.normalize", false, self.normalize)?;
        let norm = &self.norm_type;
        allowed("audio_encoder.norm_type", norm == "weight_norm", "weight_norm", norm.clone())?;
        allowed("audio_encoder.pad_mode", self.pad_mode == "reflect", "reflect", self.pad_mode.clone())?;
        if let Some(seconds) = self.chunk_length_s {
            return Err(Error::config("audio_encoder.chunk_length_s", "null", seconds));
        }
        let ratios = &self.upsampling_ratios;
        let fitting = (1..=8).contains(&ratios.len()) && ratios.iter().all(|ratio| (1..=64).contains(ratio));
        let got = format!("{ratios:?}");
        allowed("audio_encoder.upsampling_ratios", fitting, "1 to 8 numbers in 1..=64", got)?;
        let bandwidth = self.target_bandwidths.last().copied().unwrap_or_default();
        let fitting = bandwidth > 0.0 && bandwidth <= 1000.0;
        let got = format!("{:?}", self.target_bandwidths);
        allowed("audio_encoder.target_bandwidths", fitting, "a list that ends in (0, 1000]", got)?;
        // Far above the published sizes, far below what would overflow or fill memory by a mistyped number.
        for (field, most, got) in [
            ("audio_encoder.sampling_rate", 1 << 20, self.sampling_rate),
            ("audio_encoder.audio_channels", 1, self.audio_channels),
            ("audio_encoder.hidden_size", 1 << 12, self.hidden_size),
            ("audio_encoder.num_filters", 1 << 12, self.num_filters),
            ("audio_encoder.num_filters, doubled with each ratio", 1 << 12, self.widest()),
            ("audio_encoder.num_residual_layers", 1, self.num_residual_layers),
            ("audio_encoder.compress", self.num_filters, self.compress),
            ("audio_encoder.num_lstm_layers", 8, self.num_lstm_layers),
            ("audio_encoder.codebook_size", 1 << 16, self.codebook_size),
            ("audio_encoder.upsampling_ratios, multiplied", 1 << 16, self.hop()),
            ("audio_encoder: codebooks", 64, self.codebooks()),
        ] {
            if !(1..=most).contains(&got) {
                return Err(Error::config(field, format!("in 1..={most}"), got));
            }
        }
        for (field, got) in [
            ("audio_encoder.kernel_size", self.kernel_size),
            ("audio_encoder.last_kernel_size", self.last_kernel_size),
            ("audio_encoder.residual_kernel_size", self.residual_kernel_size),
        ] {
            if !(1..=15).contains(&got) {
                return Err(Error::config(field, "in 1..=15", got));
            }
        }
        let width = self.codebook_dim.unwrap_or(self.hidden_size);
        let same = self.hidden_size.to_string();
        allowed("audio_encoder.codebook_dim", width == self.hidden_size, &same, width.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_musicgen_codec_has_four_codebooks_and_fifty_frames_a_second() {
        let config = CodecConfig::encodec_32khz();
        config.check().unwrap();
        assert_eq!(
            (config.hop(), config.frame_rate(), config.codebooks(), config.widest()),
            (640, 50, 4, 1024)
        );
    }

    #[test]
    fn musicgen_codec_variants_that_are_not_implemented_are_named() {
        let refused = |change: fn(&mut CodecConfig)| {
            let mut config = CodecConfig::encodec_32khz();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(
            refused(|c| c.use_causal_conv = true),
            "config audio_encoder.use_causal_conv must be false, got true"
        );
        assert_eq!(
            refused(|c| c.use_conv_shortcut = true),
            "config audio_encoder.use_conv_shortcut must be false, got true"
        );
        assert_eq!(refused(|c| c.normalize = true), "config audio_encoder.normalize must be false, got true");
        assert_eq!(
            refused(|c| c.norm_type = "time_group_norm".to_owned()),
            "config audio_encoder.norm_type must be weight_norm, got time_group_norm"
        );
        assert_eq!(
            refused(|c| c.chunk_length_s = Some(1.0)),
            "config audio_encoder.chunk_length_s must be null, got 1"
        );
        assert!(refused(|c| c.pad_mode = "zero".to_owned()).contains("pad_mode must be reflect"));
        assert!(refused(|c| c.audio_channels = 2).contains("audio_channels must be in 1..=1, got 2"));
        assert!(refused(|c| c.num_residual_layers = 3).contains("num_residual_layers"));
        assert!(refused(|c| c.num_filters = 1 << 11).contains("doubled"));
        assert!(refused(|c| c.upsampling_ratios = vec![8, 0]).contains("[8, 0]"));
        assert!(refused(|c| c.upsampling_ratios = vec![64; 9]).contains("upsampling_ratios"));
        assert!(refused(|c| c.target_bandwidths = vec![f64::NAN]).contains("target_bandwidths"));
        assert!(refused(|c| c.target_bandwidths.clear()).contains("[]"));
        assert!(refused(|c| c.target_bandwidths = vec![0.1]).contains("codebooks must be in 1..=64, got 0"));
        assert!(refused(|c| c.codebook_dim = Some(64)).contains("codebook_dim must be 128, got 64"));
        assert!(refused(|c| c.kernel_size = 0).contains("kernel_size must be in 1..=15, got 0"));
        assert!(refused(|c| c.compress = 0).contains("compress"));
        assert!(refused(|c| c.upsampling_ratios = vec![64; 4]).contains("multiplied must be in 1..=65536"));
        assert!(refused(|c| c.sampling_rate = usize::MAX).contains("sampling_rate"));
        assert!(refused(|c| c.codebook_size = usize::MAX).contains("codebook_size"));
        assert!(refused(|c| c.num_filters = usize::MAX).contains("num_filters"));
    }
}

//! What a checkpoint is, read off its tensors: there are published files whose sizes are in no list.
//!
//! ```text
//! H = bias / 4    layers = how many there are    z = mu's bias    depth = output_projection's bias
//! decoder's first kernel:  depth + z + controls + H rows  ->  controls
//! encoder's first kernel:  input + controls + H rows      ->  input
//! ```
//! Two things leave no trace in a shape and are told by the published sizes: that 27 outputs are a groove, and that 692
//! are three instruments. Whoever knows better sets [`Config::head`].

use partita_nn::TensorSource;

use super::Error;

/// More layers than this are no MusicVAE.
const MOST_LAYERS: usize = 16;
/// Hits, velocities and offsets of the nine drums of a groove.
const GROOVE: usize = 27;
/// Melody, bass and drums of a trio.
const TRIO: [usize; 3] = [90, 90, 512];

/// What the outputs of a step are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// One choice for each column among so many classes. Columns follow each other in the outputs.
    Categorical(Vec<usize>),
    /// Hits, velocities and offsets, a third of the outputs each.
    Groove,
    /// Yes or no for each drum, each knowing those before it.
    Nade {
        /// Hidden units.
        hidden: usize,
    },
}

/// Widths of stacked layers, the first one first.
pub(super) type Layers = Vec<usize>;

/// How a hierarchical model cuts its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    pub count: usize,
    /// Of one segment.
    pub steps: usize,
}

impl Segments {
    /// Sixteen bars of sixteen steps, as published.
    pub const BARS: Segments = Segments { count: 16, steps: 16 };

    /// Steps of all segments.
    pub fn total(self) -> usize {
        self.count.saturating_mul(self.steps)
    }
}

/// A stack of encoder layers and the scope of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub scope: String,
    /// Forward, backward.
    pub layers: Vec<[usize; 2]>,
}

impl Level {
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |[forward, backward]| forward + backward)
    }
}

/// A decoder of steps and the scope of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreShape {
    pub scope: String,
    pub layers: Layers,
    /// Values of a step that is fed back.
    pub depth: usize,
    /// Values of `output_projection`: with NADE, more than the depth.
    pub outputs: usize,
}

/// A network's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Values of a step that is encoded, controls left out.
    pub input_depth: usize,
    /// Values of a control; 0 without controls.
    pub control_depth: usize,
    /// Values of z.
    pub z_size: usize,
    pub head: Head,
    /// Of hierarchical models.
    pub segments: Option<Segments>,
    /// One, or two where the encoder is hierarchical: of steps, and of segments.
    pub(super) levels: Vec<Level>,
    /// Widths of the conductor's layers, none in flat models.
    pub(super) conductor: Layers,
    pub(super) cores: Vec<CoreShape>,
}

pub(super) const CONDUCTOR: &str = "decoder/hierarchical_level_0";

impl Config {
    /// Reads the shapes.
    ///
    /// # Errors
    /// The first tensor that is missing or contradicts the others, by name.
    pub fn derive(source: &dyn TensorSource) -> Result<Config, Error> {
        let shapes = Shapes::new(source);
        let z_size = shapes.length("encoder/mu/bias")?;
        let levels = shapes.levels()?;
        let hierarchical = shapes.has(CONDUCTOR) || shapes.has("core_decoder");
        let (conductor, latent, scopes) = if hierarchical {
            shapes.alone("decoder/hierarchical_level_1", "one level of a conductor")?;
            let conductor = shapes.stack(|layer| format!("{CONDUCTOR}/cell_{layer}/lstm_cell"))?;
            let several: Vec<String> = (0..MOST_LAYERS)
                .map(|index| format!("core_decoder/core_decoder_{index}"))
                .take_while(|scope| shapes.has(scope))
                .map(|scope| format!("{scope}/decoder"))
                .collect();
            let scopes = if several.is_empty() { vec!["core_decoder/decoder".to_owned()] } else { several };
            let latent = conductor.last().copied().unwrap_or(0);
            (conductor, latent, scopes)
        } else {
            (Vec::new(), z_size, vec!["decoder".to_owned()])
        };
        let cores = scopes.into_iter().map(|scope| shapes.core(scope)).collect::<Result<Vec<_>, _>>()?;
        let (core, first) = (&cores[0], levels[0].layers[0][0]);
        let below = core.depth + latent + core.layers[0];
        let control_depth = shapes.left(&format!("{}/kernel", layer(&core.scope, 0)), below)?;
        let name = format!("{}/kernel", direction(&levels[0].scope, 0, "fw"));
        let input_depth = shapes.left(&name, control_depth + first)?;
        if input_depth == 0 {
            return Err(shapes.wrong(&name, format!("more than {} rows", control_depth + first)));
        }
        let segments = (hierarchical || levels.len() > 1).then_some(Segments::BARS);
        let head = shapes.head(&cores, input_depth, hierarchical)?;
        Ok(Config { input_depth, control_depth, z_size, head, segments, levels, conductor, cores })
    }

    /// Values of a decoded step.
    pub fn output_depth(&self) -> usize {
        self.cores.iter().map(|core| core.depth).sum()
    }

    /// Columns of token ids in a decoded step; none where a step is a row of values.
    pub fn columns(&self) -> Option<&[usize]> {
        match &self.head {
            Head::Categorical(depths) => Some(depths),
            Head::Groove | Head::Nade { .. } => None,
        }
    }

    /// Checks what was set by hand against the tensors.
    pub(super) fn check(&self) -> Result<(), Error> {
        let depth = self.output_depth();
        let hidden: usize = self.cores.iter().map(|core| core.outputs - core.depth).sum();
        match &self.head {
            Head::Categorical(_) | Head::Groove if hidden > 0 => {
                return Err(Error::range("head", format!("NADE with {hidden} hidden units"), "another"));
            }
            Head::Categorical(depths) => {
                let fits = if self.cores.len() > 1 {
                    depths.iter().eq(self.cores.iter().map(|core| &core.depth))
                } else {
                    depths.iter().try_fold(0usize, |sum, &depth| sum.checked_add(depth)) == Some(depth)
                };
                if !fits || depths.contains(&0) {
                    return Err(Error::range(
                        "classes of the head",
                        format!("{depth} in all"),
                        format!("{depths:?}"),
                    ));
                }
            }
            Head::Groove if self.cores.len() > 1 || !depth.is_multiple_of(3) => {
                return Err(Error::range("outputs of a groove", "a multiple of 3 of one decoder", depth));
            }
            Head::Nade { hidden: asked } if self.cores.len() > 1 || *asked != hidden || hidden == 0 => {
                return Err(Error::range("hidden units of NADE", hidden, asked));
            }
            Head::Groove | Head::Nade { .. } => {}
        }
        if let Some(Segments { count, steps }) = self.segments
            && !(1..=1024).contains(&count) | !(1..=1024).contains(&steps)
        {
            return Err(Error::range(
                "segments",
                "1..=1024 of 1..=1024 steps",
                format!("{count} of {steps}"),
            ));
        }
        Ok(())
    }
}

/// Scope of one direction, `fw` or `bw`, of an encoder layer.
pub(super) fn direction(scope: &str, layer: usize, side: &str) -> String {
    format!("{scope}/cell_{layer}/bidirectional_rnn/{side}/multi_rnn_cell/cell_0/lstm_cell")
}

/// Scope of a decoder's layer.
pub(super) fn layer(scope: &str, layer: usize) -> String {
    format!("{scope}/multi_rnn_cell/cell_{layer}/lstm_cell")
}

/// A tensor is missing: what that says depends on what else there is.
pub(super) fn missing(source: &dyn TensorSource, name: &str) -> Error {
    let opaque = source.names().into_iter().find(|found| found.ends_with("/opaque_kernel"));
    match opaque.filter(|_| name.contains("/lstm_cell/")) {
        Some(found) => Error::Opaque { missing: name.to_owned(), found },
        None => Error::Weights(partita_nn::Error::MissingTensor(name.to_owned())),
    }
}

struct Shapes<'a> {
    source: &'a dyn TensorSource,
    /// Sorted.
    names: Vec<String>,
}

impl Shapes<'_> {
    fn new(source: &dyn TensorSource) -> Shapes<'_> {
        let mut names = source.names();
        names.sort_unstable();
        Shapes { source, names }
    }

    /// Whether there is any tensor under a scope: a part of which only some tensors are there is damaged, not absent.
    fn has(&self, scope: &str) -> bool {
        let start = format!("{scope}/");
        let at = self.names.partition_point(|name| *name < start);
        self.names.get(at).is_some_and(|name| name.starts_with(&start))
    }

    /// Refuses a scope beyond the `most` there may be.
    fn alone(&self, scope: &str, most: &str) -> Result<(), Error> {
        if self.has(scope) {
            let got = format!("tensors under {scope:?}");
            return Err(Error::range("checkpoint", most, got));
        }
        Ok(())
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, Error> {
        self.source.shape(name).ok_or_else(|| missing(self.source, name))
    }

    fn wrong(&self, name: &str, allowed: String) -> Error {
        Error::Sizes { name: name.to_owned(), allowed, got: self.source.shape(name).unwrap_or_default() }
    }

    /// Of a vector.
    fn length(&self, name: &str) -> Result<usize, Error> {
        match self.shape(name)?[..] {
            [length] if length > 0 => Ok(length),
            _ => Err(self.wrong(name, "one axis of 1 value and more".into())),
        }
    }

    /// H of a layer.
    fn width(&self, scope: &str) -> Result<usize, Error> {
        let name = format!("{scope}/bias");
        let gates = self.length(&name)?;
        if gates.is_multiple_of(4) { Ok(gates / 4) } else { Err(self.wrong(&name, "four gates".into())) }
    }

    /// Rows of a kernel beyond those that are accounted for.
    fn left(&self, name: &str, rows: usize) -> Result<usize, Error> {
        let left = match self.shape(name)?[..] {
            [all, _] => all.checked_sub(rows),
            _ => None,
        };
        left.ok_or_else(|| self.wrong(name, format!("{rows} rows and more")))
    }

    /// Widths of the layers there are, at least one; `scope` names them.
    fn stack(&self, scope: impl Fn(usize) -> String) -> Result<Layers, Error> {
        let mut layers = vec![self.width(&scope(0))?];
        while layers.len() < MOST_LAYERS && self.has(&scope(layers.len())) {
            layers.push(self.width(&scope(layers.len()))?);
        }
        self.alone(&scope(MOST_LAYERS), &format!("at most {MOST_LAYERS} layers"))?;
        Ok(layers)
    }

    /// The encoder's levels.
    fn levels(&self) -> Result<Vec<Level>, Error> {
        if !self.has("encoder/hierarchical_level_0") {
            return Ok(vec![self.level("encoder".to_owned())?]);
        }
        self.alone("encoder/hierarchical_level_2", "two levels of an encoder")?;
        (0..2).map(|level| self.level(format!("encoder/hierarchical_level_{level}"))).collect()
    }

    fn level(&self, scope: String) -> Result<Level, Error> {
        let forward = self.stack(|layer| direction(&scope, layer, "fw"))?;
        let pair = |(layer, width)| Ok([width, self.width(&direction(&scope, layer, "bw"))?]);
        let layers = forward.into_iter().enumerate().map(pair).collect::<Result<_, Error>>()?;
        Ok(Level { scope, layers })
    }

    fn core(&self, scope: String) -> Result<CoreShape, Error> {
        let layers = self.stack(|index| layer(&scope, index))?;
        let outputs = self.length(&format!("{scope}/output_projection/bias"))?;
        let nade = format!("{scope}/nade/w_enc");
        let depth = if self.has(&format!("{scope}/nade")) {
            match self.shape(&nade)?[..] {
                [depth, 1, hidden] if depth.checked_add(hidden) == Some(outputs) && hidden > 0 => depth,
                _ => return Err(self.wrong(&nade, format!("[D, 1, hidden] with D + hidden = {outputs}"))),
            }
        } else {
            outputs
        };
        Ok(CoreShape { scope, layers, depth, outputs })
    }

    fn head(&self, cores: &[CoreShape], input: usize, hierarchical: bool) -> Result<Head, Error> {
        if cores.len() > 1 {
            for core in cores {
                self.alone(&format!("{}/nade", core.scope), "no NADE in one of several decoders")?;
            }
        }
        let hidden = cores[0].outputs - cores[0].depth;
        if hidden > 0 {
            return Ok(Head::Nade { hidden });
        }
        let depths: Vec<usize> = cores.iter().map(|core| core.depth).collect();
        Ok(match depths[..] {
            [GROOVE] if input == GROOVE && !hierarchical => Head::Groove,
            [depth] if depth == TRIO.iter().sum::<usize>() && input == depth => {
                Head::Categorical(TRIO.to_vec())
            }
            _ => Head::Categorical(depths),
        })
    }
}

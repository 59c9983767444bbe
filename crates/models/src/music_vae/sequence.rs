//! Steps as a model reads and writes them.

use super::Error;

/// Steps of one piece, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Sequence {
    /// `[T, columns]`: ids of classes; one column for a melody or drums, three for a trio.
    Tokens { columns: usize, ids: Vec<u32> },
    /// `[T, width]`: a drum roll, or hits, velocities and offsets of a groove.
    Rows { width: usize, values: Vec<f32> },
}

impl Sequence {
    /// One column of ids.
    pub fn tokens(ids: Vec<u32>) -> Sequence {
        Sequence::Tokens { columns: 1, ids }
    }

    /// Rows of `width` values.
    pub fn rows(width: usize, values: Vec<f32>) -> Sequence {
        Sequence::Rows { width, values }
    }

    /// Steps; those that are whole.
    #[expect(clippy::len_without_is_empty, reason = "an empty sequence is nothing special")]
    pub fn len(&self) -> usize {
        match self {
            Sequence::Tokens { columns, ids } => ids.len() / (*columns).max(1),
            Sequence::Rows { width, values } => values.len() / (*width).max(1),
        }
    }

    /// The steps `range`.
    ///
    /// # Panics
    /// If they are not inside.
    pub fn part(&self, range: std::ops::Range<usize>) -> Sequence {
        match self {
            Sequence::Tokens { columns, ids } => Sequence::Tokens {
                columns: *columns,
                ids: ids[range.start * columns..range.end * columns].to_vec(),
            },
            Sequence::Rows { width, values } => Sequence::Rows {
                width: *width,
                values: values[range.start * width..range.end * width].to_vec(),
            },
        }
    }

    /// Checks against what a model takes: ids below `columns` where it takes ids, and rows of `depth` values.
    pub(super) fn check(&self, columns: Option<&[usize]>, depth: usize) -> Result<(), Error> {
        match self {
            Sequence::Tokens { columns: got, ids } => {
                let Some(classes) = columns else {
                    return Err(Error::range("steps", format!("rows of {depth} values"), "token ids"));
                };
                if *got != classes.len() || !ids.len().is_multiple_of(*got) {
                    let allowed = format!("{} ids each", classes.len());
                    return Err(Error::range(
                        "steps",
                        allowed,
                        format!("{} ids in {got} columns", ids.len()),
                    ));
                }
                for step in ids.chunks_exact(classes.len()) {
                    for (&id, &classes) in step.iter().zip(classes) {
                        if id as usize >= classes {
                            return Err(Error::range("token", format!("in 0..{classes}"), id));
                        }
                    }
                }
            }
            Sequence::Rows { width, values } => {
                if *width != depth || !values.len().is_multiple_of(depth) {
                    let allowed = format!("{depth} values each");
                    return Err(Error::range(
                        "steps",
                        allowed,
                        format!("{} values in rows of {width}", values.len()),
                    ));
                }
                if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                    return Err(Error::range("value of a step", "finite", value));
                }
            }
        }
        Ok(())
    }
}

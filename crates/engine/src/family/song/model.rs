//! The models of a song, held together for one request.

use std::sync::Arc;

use partita_models::arrange::Arranger;
use partita_models::drums::Drummer;
use partita_models::melody::Writer;
use partita_models::song::Band;
use partita_models::stage::{Player, Shared};

use crate::Fault;
use crate::family::model::{Description, Kind, Model as Any};

/// Models that are in memory for themselves, each with the decoder that its requests share.
pub struct Model {
    writer: (Arc<Writer>, Shared),
    drummer: (Arc<Drummer>, Shared),
    /// Of the drummer.
    drums: Kind,
    arranger: Option<(Arc<Arranger>, Shared)>,
    description: Description,
}

impl Model {
    /// `writer` and `others`: a drummer, and an arranger where one is asked for.
    ///
    /// # Errors
    /// `InvalidRequest` for models of other families.
    pub(crate) fn of(writer: &Any, others: &[&Any]) -> Result<Model, Fault> {
        let Any::Melody(melody) = writer else { return Err(writer.cannot("write a song")) };
        let (mut drummer, mut arranger) = (None, None);
        for other in others {
            match other {
                Any::Drums(model) => drummer = Some(model),
                Any::Arrange(model) => arranger = Some((model.arranger().clone(), model.player().clone())),
                other => return Err(other.cannot("play in a song")),
            }
        }
        let drummer = drummer.ok_or_else(|| Fault::internal("a song came without a drummer"))?;
        Ok(Model {
            writer: (melody.writer().clone(), melody.player().clone()),
            drums: drummer.description().kind.clone(),
            drummer: (drummer.drummer().clone(), drummer.player().clone()),
            arranger,
            description: melody.description().clone(),
        })
    }

    /// How many models play in it beside the writer.
    pub(crate) fn others(&self) -> usize {
        1 + usize::from(self.arranger.is_some())
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn writer(&self) -> (&Writer, &dyn Player) {
        (&self.writer.0, &self.writer.1)
    }

    pub(crate) fn drummer(&self) -> &Drummer {
        &self.drummer.0
    }

    /// What its drummer's `model.json` says.
    pub(crate) fn drums(&self) -> &Kind {
        &self.drums
    }

    pub(crate) fn band(&self) -> Band<'_> {
        Band {
            arranger: self.arranger.as_ref().map(|(arranger, player)| (&**arranger, player as &dyn Player)),
            drummer: (&self.drummer.0, &self.drummer.1),
        }
    }
}

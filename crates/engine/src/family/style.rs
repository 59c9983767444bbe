//! What a model's styles are, for lists.

use partita_models::drums::Style;
use partita_score::DrumClass;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::melody;
use super::model::{Description, Kind};

/// A way of playing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StyleInfo {
    #[schema(example = "boom-bap")]
    pub name: String,
    /// `learned` from players, or a `profile` that shapes a learned style.
    #[schema(example = "profile")]
    pub kind: String,
    /// The learned style underneath.
    #[schema(example = "hiphop")]
    pub base: String,
    /// Beats per minute when a request names no tempo.
    pub default_tempo: f64,
    /// Lowest and highest usual tempo, of a profile.
    pub tempo: Option<[f64; 2]>,
    /// Drums that may sound.
    pub kit: Vec<String>,
    /// Built-in sound of rendered files.
    #[schema(example = "acoustic")]
    pub sound: String,
    /// One line for people, of a profile.
    pub about: Option<String>,
    /// What the profile changes.
    pub changes: Vec<String>,
}

impl Description {
    /// Its styles, learned ones first.
    pub fn style_list(&self) -> Vec<StyleInfo> {
        match &self.kind {
            Kind::Drums(kind) => kind.all().iter().map(info).collect(),
            Kind::Melody(kind) => kind.names().iter().map(|name| learned(name)).collect(),
            Kind::Chorale | Kind::Arrange | Kind::MusicGen(_) => vec![],
        }
    }
}

/// A style of lead sheets: nothing is known of it but what the model learned.
fn learned(name: &str) -> StyleInfo {
    StyleInfo {
        name: name.to_owned(),
        kind: "learned".to_owned(),
        base: name.to_owned(),
        default_tempo: melody::check::USUAL_TEMPO,
        tempo: None,
        kit: vec![],
        sound: "acoustic".to_owned(),
        about: None,
        changes: vec![],
    }
}

fn info(style: &Style) -> StyleInfo {
    let lanes = style.lanes();
    let kit = DrumClass::ALL.into_iter().filter(|class| lanes[class.index()]);
    StyleInfo {
        name: style.name.clone(),
        kind: if style.profile.is_some() { "profile" } else { "learned" }.to_owned(),
        base: style.base.clone(),
        default_tempo: style.default_tempo(),
        tempo: style.profile.as_ref().map(|profile| profile.tempo),
        kit: kit.map(|class| class.name().to_owned()).collect(),
        sound: style.sound().to_owned(),
        about: style.profile.as_ref().map(|profile| profile.about.clone()).filter(|about| !about.is_empty()),
        changes: style.changes(),
    }
}

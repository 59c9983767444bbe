//! The weights inside the program, and those in the folder of `--model`, whatever they write.

use std::path::Path;

use partita_models::arrange::{ArrangeConfig, Arranger};
use partita_models::drums::Drummer;
use partita_models::harmony::{Harmonizer, HarmonyConfig};
use partita_models::latent::{LatentConfig, LatentModel};
use partita_models::melody::{MelodyConfig, Writer};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Result;
use crate::model::{self, PRECISION};
use crate::session::Session;

/// Weights that were opened: their name, where they are, and their `model.json` once their checksum was tested.
pub struct Opened {
    pub name: String,
    pub place: &'static str,
    pub config: Result<Value>,
}

/// All within reach without the store.
pub fn all(session: &Session) -> Vec<Opened> {
    let inside = |name: &str, config| Opened { name: name.to_owned(), place: "bundled", config };
    let mut models = vec![
        inside("drums", told(Drummer::bundled(PRECISION), |it| &it.config)),
        inside("melody", told(Writer::bundled(PRECISION), |it| &it.config)),
        inside("chorale", told(Harmonizer::bundled(PRECISION), |it| &it.config)),
        inside("arrange", told(Arranger::bundled(PRECISION), |it| &it.config)),
    ];
    for name in LatentModel::bundled_names() {
        let opened = LatentModel::bundled(name, None).expect("its own names");
        let config = LatentModel::bundled_config(name);
        models.push(inside(name, told(opened.map(|_| config), |it| it)));
    }
    if let Some(folder) = &session.model {
        let config = at(folder, session);
        models.push(Opened { name: folder.display().to_string(), place: "folder", config });
    }
    models
}

/// The model in a folder by what it says it is; a folder that says nothing is taken for a drummer's.
fn at(folder: &Path, session: &Session) -> Result<Value> {
    match model::family(folder).as_deref() {
        Some(MelodyConfig::FAMILY) => told(model::writer(session), |it| &it.config),
        Some(HarmonyConfig::FAMILY) => told(model::choir(session, PRECISION), |it| &it.config),
        Some(ArrangeConfig::FAMILY) => told(model::arranger(session), |it| &it.config),
        Some(LatentConfig::FAMILY) => {
            let name = folder.display().to_string();
            LatentModel::open(&name, folder, None)?;
            Ok(json!({ "family": LatentConfig::FAMILY }))
        }
        _ => told(model::load(folder, PRECISION), |it| &it.config),
    }
}

fn told<T, C: Serialize, E: Into<crate::error::Error>>(
    opened: std::result::Result<T, E>,
    config: impl Fn(&T) -> &C,
) -> Result<Value> {
    let opened = opened.map_err(Into::into)?;
    Ok(serde_json::to_value(config(&opened)).unwrap_or_else(|_| json!({})))
}

impl Opened {
    /// A line for people.
    pub fn line(&self) -> String {
        let (name, place) = (&self.name, self.place);
        match &self.config {
            Ok(config) => {
                let mut line = format!("{name}  {place}, {}", config["family"].as_str().unwrap_or_default());
                if let (Some(layers), Some(width)) = (config["layers"].as_u64(), config["width"].as_u64()) {
                    line += &format!(", {layers} layers x {width}, context {}", config["context"]);
                }
                let styles = config["styles"].as_array().map_or(0, Vec::len);
                if styles > 0 {
                    line += &format!(", {styles} styles");
                }
                line + "\n"
            }
            Err(error) => format!("{name}  {place}, damaged: {}\n", error.message),
        }
    }

    pub fn object(&self) -> Value {
        match &self.config {
            Ok(config) => {
                let mut object = config.clone();
                object["name"] = json!(self.name);
                object["place"] = json!(self.place);
                object["ok"] = json!(true);
                object
            }
            Err(error) => {
                json!({ "name": self.name, "place": self.place, "ok": false, "message": error.message })
            }
        }
    }
}

//! Tokenizer files and token files.
//!
//! A tokenizer is `tokenizer.json`, as MidiTok writes it. We put `vocab.json` beside it (name -> id, in the order of the
//! ids), because MidiTok itself does not store the vocabulary of an untrained tokenizer.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::bpe::Merges;
use super::config::{Config, Tokenization, Version, WrittenBy};
use super::json::Json;
use super::{Error, Result, Tokenizer, Tokens, Vocab, VocabSource, keys};

const TOKENIZER: &str = "tokenizer.json";
const VOCAB: &str = "vocab.json";
/// Libraries whose ids [`Version::CURRENT`] means.
const SYMUSIC: &str = "0.6.0";
const TOKENIZERS: &str = "0.23.3";

impl Tokenizer {
    /// Opens a folder with `tokenizer.json`, or that file. A `vocab.json` beside it is preferred to the order that
    /// follows from the configuration.
    ///
    /// # Errors
    /// A file that can't be read, and whatever [`Tokenizer::from_json`] refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Tokenizer> {
        let path = path.as_ref();
        let file = if path.is_dir() { path.join(TOKENIZER) } else { path.to_owned() };
        let text = read(&file)?;
        let vocab = file.with_file_name(VOCAB);
        let vocab = if vocab.is_file() { Some(read(&vocab)?) } else { None };
        Tokenizer::from_json(&text, vocab.as_deref())
    }

    /// From the text of `tokenizer.json`, and that of `vocab.json` if there is one.
    ///
    /// # Errors
    /// Text that is no JSON, keys and values that no tokenizer can have, options that are not supported, a vocabulary
    /// that does not belong to the configuration.
    pub fn from_json(text: &str, vocab: Option<&str>) -> Result<Tokenizer> {
        let mut pairs = object("tokenizer.json", text)?;
        let mut take = |key: &str| {
            let at = pairs.iter().position(|(name, _)| name == key)?;
            Some(pairs.remove(at).1)
        };
        let mut word = |key: &'static str| -> Result<Option<String>> {
            match take(key) {
                None | Some(Json::Null) => Ok(None),
                Some(Json::Text(text)) => Ok(Some(text)),
                Some(other) => Err(Error::value(key, "text", other.excerpt())),
            }
        };
        let miditok = word("miditok_version")?;
        let miditok = miditok
            .ok_or_else(|| Error::value("miditok_version", "a version such as \"3.1.0\"", "nothing"))?;
        let version = Version::parse(&miditok)
            .ok_or_else(|| Error::value("miditok_version", "a version such as \"3.1.0\"", &miditok))?;
        let name = word("tokenization")?.unwrap_or_default();
        let (symusic, tokenizers) = (word("symusic_version")?, word("hf_tokenizers_version")?);
        let model = word("_model")?;
        let written_by = Some(WrittenBy { miditok, symusic, tokenizers });
        let config = take("config").unwrap_or(Json::Map(Vec::new()));
        let base = take("_vocab_base");
        let characters = take("_vocab_base_byte_to_token");
        let tokenization = Tokenization::ALL.into_iter().find(|own| own.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Tokenization::ALL.iter().map(|own| own.name()).collect();
            Error::value("tokenization", names.join(", "), &name)
        })?;
        let Json::Map(config) = config else {
            return Err(Error::value("config", "an object", config.excerpt()));
        };
        let config = keys::read(config, tokenization, version, written_by)?;
        let (vocab, source) = match (base, vocab) {
            (Some(base), _) => {
                (Vocab::explicit(&config, &ids("_vocab_base", &base)?)?, VocabSource::Tokenizer)
            }
            (None, Some(text)) => {
                let pairs = ids(VOCAB, &Json::Map(object(VOCAB, text)?))?;
                (Vocab::explicit(&config, &pairs)?, VocabSource::File)
            }
            (None, None) => (Vocab::new(&config)?, VocabSource::Config),
        };
        let merges = match (model, characters) {
            (None, _) => None,
            (Some(_), None) => {
                return Err(Error::Model("needs _vocab_base_byte_to_token in the same file".into()));
            }
            (Some(model), Some(characters)) => {
                let pair = |(key, value): &(String, Json)| Some((key.clone(), value.text()?.to_owned()));
                let pairs: Option<Vec<_>> = characters.map().and_then(|map| map.iter().map(pair).collect());
                let pairs = pairs.ok_or_else(|| {
                    Error::value("_vocab_base_byte_to_token", "an object of names", characters.excerpt())
                })?;
                Some(Merges::read(&model, &pairs, &vocab)?)
            }
        };
        Tokenizer::assemble(config, vocab, source, merges)
    }

    /// The text of `tokenizer.json`.
    pub fn to_json(&self) -> String {
        let by = self.config.written_by.clone().unwrap_or_else(|| WrittenBy {
            miditok: self.config.version.to_string(),
            symusic: Some(SYMUSIC.into()),
            tokenizers: Some(TOKENIZERS.into()),
        });
        let text = |text: &str| Json::Text(text.into());
        let mut pairs = vec![
            ("config".to_owned(), Json::Map(keys::write(&self.config))),
            ("tokenization".to_owned(), text(self.config.tokenization.name())),
            ("miditok_version".to_owned(), text(&by.miditok)),
        ];
        let versions = [("symusic_version", by.symusic), ("hf_tokenizers_version", by.tokenizers)];
        pairs.extend(
            versions.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Json::Text(value?)))),
        );
        if let Some(merges) = &self.merges {
            let names = self.vocab.names();
            let characters = merges.characters().iter().zip(names);
            let characters = characters.map(|(character, name)| (character.clone(), text(name)));
            pairs.push(("_vocab_base".to_owned(), self.vocab_pairs()));
            pairs.push(("_model".to_owned(), text(merges.json())));
            pairs.push(("_vocab_base_byte_to_token".to_owned(), Json::Map(characters.collect())));
        }
        pretty(&Json::Map(pairs))
    }

    /// The text of `vocab.json`.
    pub fn vocab_json(&self) -> String {
        pretty(&self.vocab_pairs())
    }

    fn vocab_pairs(&self) -> Json {
        let pair = |(name, id): (&String, i64)| (name.clone(), Json::Int(id));
        Json::Map(self.vocab.names().iter().zip(0..).map(pair).collect())
    }

    /// Writes `tokenizer.json` and `vocab.json` into a folder, which is made if need be.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|source| file_error(folder, source))?;
        for (name, text) in [(TOKENIZER, self.to_json()), (VOCAB, self.vocab_json())] {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| file_error(&path, source))?;
        }
        Ok(())
    }
}

impl Tokens {
    /// From the text of a token file: `{"ids": [...], "ids_encoded": false, "programs": [[0, false], ...]}`, where `ids`
    /// is one list or one list a track.
    ///
    /// # Errors
    /// [`Error::Value`] for another shape.
    pub fn from_json(text: &str) -> Result<Tokens> {
        let pairs = object("token file", text)?;
        let find = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let ids = find("ids").unwrap_or(&Json::Null);
        let lists = match ids.list() {
            Some(list) if list.iter().any(|item| matches!(item, Json::List(_))) => {
                list.iter().map(Json::ints).collect()
            }
            Some(_) => ids.ints().map(|ids| vec![ids]),
            None => None,
        };
        let ids =
            lists.ok_or_else(|| Error::value("ids", "a list of ids, or a list of such", ids.excerpt()))?;
        let encoded = match find("ids_encoded").or_else(|| find("are_ids_encoded")) {
            None => false,
            Some(value) => {
                value.bool().ok_or_else(|| Error::value("ids_encoded", "true or false", value.excerpt()))?
            }
        };
        let program = |pair: &Json| match pair.list()? {
            [program, is_drum] => Some((program.int()?, is_drum.bool()?)),
            _ => None,
        };
        let programs = match find("programs") {
            None | Some(Json::Null) => Vec::new(),
            Some(value) => {
                let each: Option<Vec<_>> = value.list().and_then(|list| list.iter().map(program).collect());
                each.ok_or_else(|| Error::value("programs", "a list of [program, is_drum]", value.excerpt()))?
            }
        };
        Ok(Tokens { ids, encoded, programs, cuts: None })
    }

    /// The text of a token file. `one` writes a single sequence as a flat list, as MidiTok does for
    /// [`Config::one_stream`].
    pub fn to_json(&self, one: bool) -> String {
        let ids = match self.ids.as_slice() {
            [ids] if one => Json::list_of(ids),
            lists => Json::List(lists.iter().map(|ids| Json::list_of(ids)).collect()),
        };
        let mut pairs = vec![("ids".to_owned(), ids), ("ids_encoded".to_owned(), Json::Bool(self.encoded))];
        if !self.programs.is_empty() {
            let pair = |&(program, drum): &(i16, bool)| {
                Json::List(vec![Json::Int(program.into()), Json::Bool(drum)])
            };
            pairs.push(("programs".to_owned(), Json::List(self.programs.iter().map(pair).collect())));
        }
        serde_json::to_string(&Json::Map(pairs)).unwrap_or_default()
    }
}

impl Config {
    /// The configuration of a `tokenizer.json`, without its vocabulary.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub fn from_json(text: &str) -> Result<Config> {
        Tokenizer::from_json(text, None).map(|tokenizer| tokenizer.config)
    }
}

fn object(what: &str, text: &str) -> Result<Vec<(String, Json)>> {
    match serde_json::from_str(text) {
        Ok(Json::Map(pairs)) => Ok(pairs),
        Ok(other) => Err(Error::Json(format!("{what} must be an object, got {}", other.excerpt()))),
        Err(error) => Err(Error::Json(format!("{what}: {error}"))),
    }
}

fn ids(what: &str, json: &Json) -> Result<Vec<(String, u32)>> {
    let pair = |(name, id): &(String, Json)| Some((name.clone(), id.int()?));
    let pairs: Option<Vec<_>> = json.map().and_then(|map| map.iter().map(pair).collect());
    pairs.ok_or_else(|| Error::value(what, "an object of ids", json.excerpt()))
}

/// Four blanks a level, as MidiTok indents.
fn pretty(json: &Json) -> String {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let written = json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, format));
    written.expect("a tree of plain values is JSON");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: PathBuf::from(path), source }
}

//! The keys of `config` in a tokenizer file, read into a [`Config`] and written back.

use super::bins::Resolution;
use super::config::{Config, Split, Tokenization, Version, WrittenBy};
use super::json::Json;
use super::{Error, Result};

/// What has no effect on ids as long as the options it belongs to are off; kept for writing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtherKeys {
    keys: Vec<(String, Json)>,
    parameters: Vec<(String, Json)>,
}

/// Options of MidiTok that this tokenizer hasn't got, with the version that brought them.
const MISSING_OPTIONS: [(&str, Version); 5] = [
    ("use_key_signatures", Version::CURRENT),
    ("use_sustain_pedals", Version::new(3, 0, 0)),
    ("use_pitch_bends", Version::new(3, 0, 0)),
    ("use_control_changes", Version::CURRENT),
    ("use_pitch_intervals", Version::new(3, 0, 0)),
];

/// Keys that belong to options this tokenizer hasn't got.
const REST: [&str; 6] = [
    "control_change_numbers",
    "control_change_n_bins",
    "sustain_pedal_duration",
    "pitch_bend_range",
    "max_pitch_interval",
    "pitch_intervals_max_time_dist",
];

/// Attribute controls: their keys all begin so.
const ATTRIBUTE: &str = "ac_";

struct Reader {
    pairs: Vec<(String, Json)>,
    version: Version,
}

/// What a key is when the file does not name it.
struct Absent<T> {
    /// First version that knew the key, and what earlier ones did.
    since: Version,
    before: T,
    /// The default of [`Version::CURRENT`].
    default: T,
}

const V3: Version = Version::new(3, 0, 0);

impl Reader {
    fn take(&mut self, key: &str) -> Option<Json> {
        let at = self.pairs.iter().position(|(name, _)| name == key)?;
        Some(self.pairs.remove(at).1)
    }

    fn get<T>(
        &mut self,
        key: &'static str,
        absent: Absent<T>,
        allowed: &str,
        parse: impl Fn(&Json) -> Option<T>,
    ) -> Result<T> {
        match self.take(key) {
            Some(json) => {
                parse(&json).ok_or_else(|| Error::value(format!("config.{key}"), allowed, json.excerpt()))
            }
            None if self.version < absent.since => Ok(absent.before),
            None if self.version == Version::CURRENT => Ok(absent.default),
            None => Err(Error::Missing { field: key, version: self.version.to_string() }),
        }
    }

    fn flag(&mut self, key: &'static str, since: Version, before: bool, default: bool) -> Result<bool> {
        self.get(key, Absent { since, before, default }, "true or false", Json::bool)
    }

    /// A key that all versions since 3.0 have.
    fn old<T>(
        &mut self,
        key: &'static str,
        default: T,
        allowed: &str,
        parse: impl Fn(&Json) -> Option<T>,
    ) -> Result<T>
    where
        T: Clone,
    {
        self.get(key, Absent { since: V3, before: default.clone(), default }, allowed, parse)
    }
}

/// Reads the pairs of `config`, then checks the whole.
///
/// # Errors
/// The first key that is missing, unknown, of the wrong kind or out of range.
pub(super) fn read(
    pairs: Vec<(String, Json)>,
    tokenization: Tokenization,
    version: Version,
    written_by: Option<WrittenBy>,
) -> Result<Config> {
    if version.major != 3 {
        // Says what is wrong before any key of another age can be.
        return Config { version, ..Config::new(tokenization) }.check();
    }
    let base = Config { use_time_signatures: true, ..Config::new(tokenization) };
    let mut reader = Reader { pairs, version };
    let from = &mut reader;
    let all_programs = base.programs.clone();
    let programs = "a list of programs in -1..=127";
    let config = Config {
        tokenization,
        version,
        written_by,
        pitch_range: from.old("pitch_range", base.pitch_range, "two pitches", pitches)?,
        drums_pitch_range: from.get(
            "drums_pitch_range",
            Absent { since: Version::new(3, 0, 1), before: (27, 88), default: base.drums_pitch_range },
            "two pitches",
            pitches,
        )?,
        beat_res: from.old("beat_res", base.beat_res, RANGES, ranges)?,
        beat_res_rest: from.old("beat_res_rest", base.beat_res_rest, RANGES, ranges)?,
        num_velocities: from.old("num_velocities", base.num_velocities, "a number", Json::int)?,
        special_tokens: from.old("special_tokens", base.special_tokens, "a list of names", texts)?,
        encode_ids_split: from.get(
            "encode_ids_split",
            Absent { since: Version::new(3, 0, 3), before: Split::No, default: Split::Bar },
            "\"bar\", \"beat\" or \"no\"",
            split,
        )?,
        use_velocities: from.flag("use_velocities", Version::new(3, 0, 4), true, true)?,
        use_note_duration_programs: from.get(
            "use_note_duration_programs",
            Absent {
                since: Version::new(3, 0, 4),
                before: all_programs.clone(),
                default: all_programs.clone(),
            },
            programs,
            Json::ints,
        )?,
        use_chords: from.flag("use_chords", V3, false, false)?,
        use_rests: from.flag("use_rests", V3, false, false)?,
        use_tempos: from.flag("use_tempos", V3, false, false)?,
        use_time_signatures: from.flag("use_time_signatures", V3, false, true)?,
        use_programs: from.flag("use_programs", V3, false, false)?,
        use_pitchdrum_tokens: from.flag("use_pitchdrum_tokens", Version::new(3, 0, 1), false, true)?,
        default_note_duration: from.get(
            "default_note_duration",
            Absent { since: Version::new(3, 0, 4), before: 0.5, default: 0.5 },
            "a number of beats",
            Json::float,
        )?,
        programs: from.old("programs", all_programs, programs, Json::ints)?,
        one_token_stream_for_programs: from.flag("one_token_stream_for_programs", V3, true, true)?,
        program_changes: from.flag("program_changes", V3, false, false)?,
        chord_maps: from.old("chord_maps", base.chord_maps, "an object of lists of semitones", chords)?,
        chord_tokens_with_root_note: from.flag("chord_tokens_with_root_note", V3, false, false)?,
        chord_unknown: from.old("chord_unknown", None, "null or two numbers of notes", unknown)?,
        num_tempos: from.old("num_tempos", base.num_tempos, "a number", Json::int)?,
        tempo_range: from.old("tempo_range", base.tempo_range, "two numbers", tempos)?,
        log_tempos: from.flag("log_tempos", V3, false, false)?,
        remove_duplicated_notes: from.flag("remove_duplicated_notes", V3, false, false)?,
        delete_equal_successive_tempo_changes: from.flag(
            "delete_equal_successive_tempo_changes",
            V3,
            false,
            false,
        )?,
        delete_equal_successive_time_sig_changes: from.flag(
            "delete_equal_successive_time_sig_changes",
            V3,
            false,
            false,
        )?,
        time_signature_range: from.old(
            "time_signature_range",
            base.time_signature_range,
            "an object of lists of numerators",
            signatures,
        )?,
        use_bar_end_tokens: false,
        add_trailing_bars: false,
        rest: OtherKeys::default(),
    };
    rest(reader, config)?.check()
}

/// What is left after the keys above.
fn rest(mut from: Reader, mut config: Config) -> Result<Config> {
    let structured = config.tokenization == Tokenization::Structured;
    for (key, since) in MISSING_OPTIONS {
        if from.flag(key, since, false, false)? && !structured {
            return Err(Error::Unsupported(format!("config.{key} must be false, others are not supported")));
        }
    }
    let parameters = from.take("additional_params").unwrap_or(Json::Map(Vec::new()));
    let Json::Map(parameters) = parameters else {
        return Err(Error::value("config.additional_params", "an object", parameters.excerpt()));
    };
    for (key, value) in parameters {
        let name = format!("config.additional_params.{key}");
        let flag =
            || value.bool().ok_or_else(|| Error::value(name.as_str(), "true or false", value.excerpt()));
        match key.as_str() {
            "use_bar_end_tokens" => config.use_bar_end_tokens = flag()?,
            "add_trailing_bars" => config.add_trailing_bars = flag()?,
            "max_bar_embedding" | "max_duration" if value != Json::Null => {
                return Err(Error::Unsupported(format!("{name} must be null, others are not supported")));
            }
            _ => config.rest.parameters.push((key, value)),
        }
    }
    let ignores_attributes = structured || (config.use_programs && config.one_token_stream_for_programs);
    for (key, value) in from.pairs {
        let attribute = key.starts_with(ATTRIBUTE);
        if !attribute && !REST.contains(&key.as_str()) {
            return Err(Error::value(
                "config",
                "an object of MidiTok's keys",
                format!("the unknown key {key}"),
            ));
        }
        if attribute && value == Json::Bool(true) && !ignores_attributes {
            return Err(Error::Unsupported(format!("config.{key} must be false, others are not supported")));
        }
        config.rest.keys.push((key, value));
    }
    Ok(config)
}

const RANGES: &str = "an object like {\"0_4\": 8}";

fn pitches(json: &Json) -> Option<(u8, u8)> {
    match json.list()? {
        [low, high] => Some((low.int()?, high.int()?)),
        _ => None,
    }
}

fn tempos(json: &Json) -> Option<(f64, f64)> {
    match json.list()? {
        [low, high] => Some((low.float()?, high.float()?)),
        _ => None,
    }
}

fn unknown(json: &Json) -> Option<Option<(u16, u16)>> {
    match json {
        Json::Null => Some(None),
        _ => match json.list()? {
            [from, to] => Some(Some((from.int()?, to.int()?))),
            _ => None,
        },
    }
}

fn ranges(json: &Json) -> Option<Vec<Resolution>> {
    let each = json.map()?.iter().map(|(range, resolution)| {
        let (from, to) = range.split_once('_')?;
        Some(Resolution { from: from.parse().ok()?, to: to.parse().ok()?, resolution: resolution.int()? })
    });
    each.collect()
}

fn texts(json: &Json) -> Option<Vec<String>> {
    json.list()?.iter().map(|item| item.text().map(String::from)).collect()
}

fn split(json: &Json) -> Option<Split> {
    [Split::Bar, Split::Beat, Split::No].into_iter().find(|split| json.text() == Some(split.name()))
}

fn chords(json: &Json) -> Option<Vec<(String, Vec<i16>)>> {
    json.map()?.iter().map(|(name, map)| Some((name.clone(), map.ints()?))).collect()
}

/// MidiTok's Python code also takes a first and a last numerator; it never writes them to a file.
fn signatures(json: &Json) -> Option<Vec<(u32, Vec<u32>)>> {
    json.map()?.iter().map(|(denominator, list)| Some((denominator.parse().ok()?, list.ints()?))).collect()
}

/// The pairs of `config`, in the order MidiTok 3.1.0 writes them.
pub(super) fn write(config: &Config) -> Vec<(String, Json)> {
    let ranges = |ranges: &[Resolution]| {
        let pair =
            |range: &Resolution| (format!("{}_{}", range.from, range.to), Json::Int(range.resolution.into()));
        Json::Map(ranges.iter().map(pair).collect())
    };
    let int = |value: u16| Json::Int(value.into());
    let pair = |(a, b): (u8, u8)| Json::list_of(&[a, b]);
    let chords = config.chord_maps.iter().map(|(name, map)| (name.clone(), Json::list_of(map)));
    let signatures =
        config.time_signature_range.iter().map(|(key, list)| (key.to_string(), Json::list_of(list)));
    let special = config.special_tokens.iter().map(|name| Json::Text(name.clone()));
    let mut parameters = config.rest.parameters.clone();
    if config.tokenization == Tokenization::Remi {
        if !parameters.iter().any(|(key, _)| key == "max_bar_embedding") {
            parameters.push(("max_bar_embedding".into(), Json::Null));
        }
        parameters.push(("use_bar_end_tokens".into(), Json::Bool(config.use_bar_end_tokens)));
        parameters.push(("add_trailing_bars".into(), Json::Bool(config.add_trailing_bars)));
    }
    let flag = Json::Bool;
    let mut pairs: Vec<(&str, Json)> = vec![
        ("pitch_range", pair(config.pitch_range)),
        ("beat_res", ranges(&config.beat_res)),
        ("num_velocities", int(config.num_velocities)),
        ("remove_duplicated_notes", flag(config.remove_duplicated_notes)),
        ("encode_ids_split", Json::Text(config.encode_ids_split.name().into())),
        ("special_tokens", Json::List(special.collect())),
        ("use_velocities", flag(config.use_velocities)),
        ("use_note_duration_programs", Json::list_of(&config.use_note_duration_programs)),
        ("use_chords", flag(config.use_chords)),
        ("use_rests", flag(config.use_rests)),
        ("use_tempos", flag(config.use_tempos)),
        ("use_time_signatures", flag(config.use_time_signatures)),
    ];
    pairs.extend(MISSING_OPTIONS.map(|(key, _)| (key, flag(false))));
    pairs.extend([
        ("use_programs", flag(config.use_programs)),
        ("use_pitchdrum_tokens", flag(config.use_pitchdrum_tokens)),
        ("default_note_duration", Json::number(config.default_note_duration)),
        ("programs", Json::list_of(&config.programs)),
        ("one_token_stream_for_programs", flag(config.one_token_stream_for_programs)),
        ("program_changes", flag(config.program_changes)),
        ("beat_res_rest", ranges(&config.beat_res_rest)),
        ("chord_maps", Json::Map(chords.collect())),
        ("chord_tokens_with_root_note", flag(config.chord_tokens_with_root_note)),
        ("chord_unknown", config.chord_unknown.map_or(Json::Null, |(a, b)| Json::list_of(&[a, b]))),
        ("num_tempos", int(config.num_tempos)),
        (
            "tempo_range",
            Json::List(vec![Json::number(config.tempo_range.0), Json::number(config.tempo_range.1)]),
        ),
        ("log_tempos", flag(config.log_tempos)),
        ("delete_equal_successive_tempo_changes", flag(config.delete_equal_successive_tempo_changes)),
        ("time_signature_range", Json::Map(signatures.collect())),
        ("delete_equal_successive_time_sig_changes", flag(config.delete_equal_successive_time_sig_changes)),
        ("drums_pitch_range", pair(config.drums_pitch_range)),
    ]);
    let named = pairs.into_iter().map(|(key, value)| (key.to_string(), value));
    named
        .chain(config.rest.keys.iter().cloned())
        .chain([("additional_params".into(), Json::Map(parameters))])
        .collect()
}

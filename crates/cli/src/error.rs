//! One table: what went wrong, its exit code, and how it is told.
//!
//! | code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | wrong use: an unknown option, or a value outside its range |
//! | 3 | a model or file that is not there |
//! | 4 | a server that does not answer |
//! | 5 | cancelled by something other than the keyboard |
//! | 130 | interrupted (Ctrl-C) |

use std::fmt::Display;
use std::path::Path;

use serde_json::{Value, json};

/// Result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Failed,
    Usage,
    NotFound,
    Unreachable,
    Cancelled,
    Interrupted,
    /// The reader of our output has gone: nothing to say, nobody to say it to.
    ClosedPipe,
}

/// A failure, told in one line and perhaps shown below it.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    /// The option or argument it is about.
    pub field: Option<String>,
    pub message: String,
    /// Lines to show below it: the text at fault with a caret, or nothing.
    pub below: String,
}

/// A value outside what its field allows.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{field} must be {allowed}, got {got}")]
pub struct Invalid {
    pub field: &'static str,
    /// As it reads after "must be".
    pub allowed: String,
    pub got: String,
}

impl Error {
    pub fn new(kind: Kind, field: impl Into<String>, message: impl Display) -> Error {
        Error { field: Some(field.into()), ..Error::told(kind).saying(message) }
    }

    pub fn failed(message: impl Display) -> Error {
        Error::told(Kind::Failed).saying(message)
    }

    /// A failure that has been told in full: it only decides the exit code.
    pub fn told(kind: Kind) -> Error {
        Error { kind, field: None, message: String::new(), below: String::new() }
    }

    /// With a message.
    pub fn saying(self, message: impl Display) -> Error {
        Error { message: one_line(&message.to_string()), ..self }
    }

    /// With lines to show below the message.
    pub fn with(self, below: String) -> Error {
        Error { below, ..self }
    }

    pub fn usage(field: &str, message: impl Display) -> Error {
        Error::new(Kind::Usage, field, message)
    }

    /// About reading or writing `path`; what is not there is [`Kind::NotFound`].
    pub fn file(field: &str, verb: &str, path: &Path, source: &std::io::Error) -> Error {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound if verb == "read" => Kind::NotFound,
            _ => Kind::Failed,
        };
        Error::new(kind, field, format!("cannot {verb} {}: {}", path.display(), plain(source)))
    }

    pub fn interrupted() -> Error {
        Error::told(Kind::Interrupted).saying("interrupted; nothing was written")
    }

    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::ClosedPipe => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Unreachable => 4,
            Kind::Cancelled => 5,
            Kind::Interrupted => 130,
        }
    }

    pub fn to_json(&self) -> Value {
        let mut error = json!({});
        if let Some(field) = &self.field {
            error["field"] = json!(field);
        }
        error["message"] = json!(self.message);
        json!({ "error": error })
    }
}

/// The system's words without its error number.
fn plain(source: &std::io::Error) -> String {
    let text = source.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        Error::usage(invalid.field, &invalid)
    }
}

impl From<partita_models::drums::Error> for Error {
    fn from(error: partita_models::drums::Error) -> Error {
        use partita_models::drums::Error as Drums;
        match &error {
            Drums::Range { field, .. } => Error::usage(field, &error),
            Drums::UnknownStyle { .. } | Drums::MissingBase { .. } | Drums::Profile { .. } => {
                Error::usage("style", &error)
            }
            Drums::Grammar(_) => Error { kind: Kind::Usage, ..Error::failed(&error) },
            Drums::Checkpoint(_) | Drums::Model { .. } => Error::new(Kind::Failed, "model", &error),
            Drums::Cancelled if crate::cancel::requested() => Error::interrupted(),
            Drums::Cancelled => Error { kind: Kind::Cancelled, ..Error::failed(&error) },
            _ => Error::failed(&error),
        }
    }
}

impl From<partita_models::melody::Error> for Error {
    fn from(error: partita_models::melody::Error) -> Error {
        use partita_models::melody::Error as Melody;
        match &error {
            Melody::Range { field, .. } => Error::usage(&field.replace('_', "-"), &error),
            Melody::Contradiction(contradiction) => {
                let first =
                    contradiction.demands().first().map(|demand| demand.to_string().replace([' ', '_'], "-"));
                Error { kind: Kind::Usage, field: first, ..Error::failed(&error) }
            }
            Melody::Checkpoint(_) | Melody::Model { .. } => Error::new(Kind::Failed, "model", &error),
            Melody::Cancelled if crate::cancel::requested() => Error::interrupted(),
            Melody::Cancelled => Error { kind: Kind::Cancelled, ..Error::failed(&error) },
            _ => Error::failed(&error),
        }
    }
}

impl From<partita_models::arrange::Error> for Error {
    fn from(error: partita_models::arrange::Error) -> Error {
        use partita_models::arrange::Error as Arrange;
        match &error {
            Arrange::Range { field, .. } => Error::usage(&field.replace('_', "-"), &error),
            Arrange::NoAnchor { .. } => Error::usage("bass", &error),
            Arrange::Checkpoint(_) | Arrange::Model { .. } => Error::new(Kind::Failed, "model", &error),
            Arrange::Cancelled if crate::cancel::requested() => Error::interrupted(),
            Arrange::Cancelled => Error { kind: Kind::Cancelled, ..Error::failed(&error) },
            _ => Error::failed(&error),
        }
    }
}

impl From<partita_models::song::Error> for Error {
    fn from(error: partita_models::song::Error) -> Error {
        use partita_models::song::Error as Song;
        match error {
            Song::Melody(error) => error.into(),
            Song::Drums(error) => error.into(),
            Song::Arrange(error) => error.into(),
            Song::NoArranger { part } => Error::usage(part, &error),
        }
    }
}

impl From<partita_models::harmony::Error> for Error {
    fn from(error: partita_models::harmony::Error) -> Error {
        use partita_models::harmony::Error as Harmony;
        match &error {
            Harmony::Range { field, .. } => Error::usage(field, &error),
            Harmony::Demands(_) | Harmony::TwoNotes { .. } => {
                Error { kind: Kind::Usage, ..Error::failed(&error) }
            }
            Harmony::Checkpoint(_) | Harmony::Model { .. } => Error::new(Kind::Failed, "model", &error),
            Harmony::Cancelled if crate::cancel::requested() => Error::interrupted(),
            Harmony::Cancelled => Error { kind: Kind::Cancelled, ..Error::failed(&error) },
        }
    }
}

impl From<partita_audio::Error> for Error {
    fn from(error: partita_audio::Error) -> Error {
        use partita_audio::Error as Audio;
        match &error {
            Audio::SampleRate { .. } => Error::usage("sample-rate", &error),
            Audio::Loudness { .. } => Error::usage("loudness", &error),
            Audio::UnknownKit { .. } => Error::usage("sound", &error),
            Audio::SoundFont { .. } => Error::new(Kind::Failed, "soundfont", &error),
            Audio::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Error { kind: Kind::NotFound, ..Error::failed(&error) }
            }
            _ => Error::failed(&error),
        }
    }
}

impl From<partita_score::Error> for Error {
    fn from(error: partita_score::Error) -> Error {
        Error::failed(error)
    }
}

impl From<partita_kernels::Error> for Error {
    fn from(error: partita_kernels::Error) -> Error {
        use partita_kernels::Error as Kernels;
        match &error {
            Kernels::ThreadsVariable { .. } => Error::usage("PARTITA_THREADS", &error),
            _ => Error::failed(&error),
        }
    }
}

impl From<partita_nn::Error> for Error {
    fn from(error: partita_nn::Error) -> Error {
        match &error {
            partita_nn::Error::Config { field, .. } => Error::usage(field, &error),
            _ => Error::failed(&error),
        }
    }
}

impl From<partita_server::ServeError> for Error {
    fn from(error: partita_server::ServeError) -> Error {
        use partita_server::ServeError as Serve;
        match &error {
            Serve::Bind(_) | Serve::Host { .. } => Error::usage("host", &error),
            Serve::Listen { .. } => Error::new(Kind::Failed, "port", &error),
            Serve::Log(_) => Error::usage("log", &error),
            Serve::Engine(fault) => match fault.errors.first() {
                Some(problem) => {
                    let field = problem.pointer.trim_start_matches("#/").replace('/', ".");
                    Error::usage(&field, &error)
                }
                None => Error::failed(&error),
            },
            Serve::Signals(_) => Error::failed(&error),
        }
    }
}

impl From<clap::Error> for Error {
    /// Clap explains in paragraphs; this keeps what was wrong, what is allowed and the nearest right word.
    fn from(error: clap::Error) -> Error {
        use clap::error::{ContextKind, ContextValue, ErrorKind};
        if let Some(invalid) = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<Invalid>()) {
            return invalid.clone().into();
        }
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
            _ => None,
        };
        // Clap sorts suggestions from the worst to the best.
        let best = |kind| match error.get(kind) {
            Some(ContextValue::Strings(texts)) => texts.last().cloned(),
            _ => text(kind),
        };
        let argument = text(ContextKind::InvalidArg).unwrap_or_default();
        let field = argument.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default();
        let field = field.trim_matches(['<', '>', '.']).to_lowercase();
        let suggestion =
            [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
                .into_iter()
                .find_map(best);
        let hint = suggestion.map_or(String::new(), |near| format!("; did you mean {near}?"));
        let message = match error.kind() {
            ErrorKind::InvalidValue if text(ContextKind::ValidValue).is_some() => {
                let allowed = text(ContextKind::ValidValue).unwrap_or_default();
                let got = text(ContextKind::InvalidValue).unwrap_or_default();
                format!("{field} must be one of {allowed}, got {got:?}{hint}")
            }
            ErrorKind::InvalidSubcommand => {
                let got = text(ContextKind::InvalidSubcommand).unwrap_or_default();
                format!("no command is called {got:?}{hint}")
            }
            ErrorKind::UnknownArgument => format!("no option is called {argument}{hint}"),
            ErrorKind::MissingSubcommand => {
                let commands = text(ContextKind::ValidSubcommand);
                let commands = commands.map_or(String::new(), |names| format!(", one of {names}"));
                format!("a command must be given{commands}; --help tells more")
            }
            ErrorKind::MissingRequiredArgument => format!("{argument} must be given"),
            _ => {
                let rendered = error.render().to_string();
                let first = rendered.lines().next().unwrap_or_default();
                format!("{}{hint}", first.trim_start_matches("error: "))
            }
        };
        let field = (!field.is_empty()).then_some(field);
        Error { field, ..Error::told(Kind::Usage).saying(message) }
    }
}

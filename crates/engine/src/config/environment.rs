//! Variables of the environment: which are keys of the configuration, which are for something else, and which are
//! mistakes.

use partita_kernels::{Path, Pool};

use super::keys::KEYS;

/// What every variable of ours begins with.
const OURS: &str = "PARTITA_";

/// Variables that are no keys of the configuration: for the compute threads, for the command line and its examples, and
/// for tests.
const OTHERS: [&str; 10] = [
    "PARTITA_API_KEY",
    "PARTITA_CONFIG",
    "PARTITA_GROOVE",
    "PARTITA_KERNELS",
    "PARTITA_KILLS",
    "PARTITA_MODEL",
    "PARTITA_SERVER",
    "PARTITA_TEST_S3",
    "PARTITA_THREADS",
    "PARTITA_VECTORS",
];

/// What a variable is.
#[derive(Debug, PartialEq)]
pub(super) enum Variable {
    /// A key, as in `server.port`; it may be unknown.
    Key(String),
    /// Not for the configuration.
    Other,
    /// Why it is refused.
    Wrong(String),
}

/// Sorts one variable; those of other programs are [`Variable::Other`].
pub(super) fn sort(name: &str, text: &str) -> Variable {
    let Some(rest) = name.strip_prefix(OURS) else { return Variable::Other };
    match name {
        // What other bytes have become on their way here.
        _ if rest.contains("__") && text.contains(char::REPLACEMENT_CHARACTER) => {
            Variable::Wrong("must be UTF-8 text, got other bytes".into())
        }
        _ if rest.contains("__") => Variable::Key(rest.to_lowercase().replace("__", ".")),
        "PARTITA_THREADS" => threads(text),
        "PARTITA_KERNELS" => kernels(text),
        _ if OTHERS.contains(&name) || is_of_service(rest, text) => Variable::Other,
        _ => Variable::Wrong(format!("unknown variable{}", nearest(rest))),
    }
}

fn threads(text: &str) -> Variable {
    let most = Pool::MAX_THREADS;
    match text.trim().parse::<usize>() {
        Ok(threads) if (1..=most).contains(&threads) => Variable::Other,
        _ => Variable::Wrong(format!("must be a whole number in 1..={most}, got {}", shown(text))),
    }
}

fn kernels(text: &str) -> Variable {
    let there: Vec<&str> =
        Path::ALL.iter().filter(|path| path.is_supported()).map(|path| path.name()).collect();
    if there.contains(&text) {
        return Variable::Other;
    }
    Variable::Wrong(format!("must be one of {} on this machine, got {}", there.join(", "), shown(text)))
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("{short:?}")
}

/// Whether Kubernetes or Docker set it, to tell of a service whose name begins with `partita`: `PARTITA_SERVICE_HOST`,
/// `PARTITA_REDIS_PORT=tcp://10.0.0.1:6379`, `PARTITA_PORT_8000_TCP_ADDR`.
fn is_of_service(rest: &str, text: &str) -> bool {
    // `PARTITA_PORT`: the name of the service is before all of these.
    let all = format!("_{rest}");
    let is_address = text.contains("://");
    let protocol = |part: &str| ["TCP", "UDP", "SCTP"].contains(&part);
    let (name, part) = all.split_once("_PORT_").unwrap_or((&all, ""));
    let mut parts = part.split('_');
    let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    all.ends_with("_SERVICE_HOST")
        || all.ends_with("_SERVICE_PORT")
        || name.ends_with("_SERVICE") && !part.is_empty()
        || all.ends_with("_PORT") && is_address
        || number && parts.next().is_some_and(protocol)
}

/// `; did you mean PARTITA_SERVER__PORT?`, or how such a variable is written.
fn nearest(rest: &str) -> String {
    let name = rest.to_lowercase();
    let keys = KEYS.iter().map(|key| {
        let last = key.path.rsplit('.').next().unwrap_or_default();
        let flat = key.path.replace('.', "_");
        let distance = if last == name { 0 } else { strsim::osa_distance(&flat, &name) };
        (distance, 2 + last.len() / 3, format!("{OURS}{}", key.path.to_uppercase().replace('.', "__")))
    });
    let others = OTHERS.iter().map(|other| {
        (strsim::osa_distance(&other[OURS.len()..].to_lowercase(), &name), 2, (*other).to_owned())
    });
    let best = keys.chain(others).filter(|(distance, most, _)| distance <= most).min();
    best.map_or_else(
        || {
            format!(
                "; those of the configuration are as {OURS}SERVER__PORT, with __ where the file has a level"
            )
        },
        |(.., name)| format!("; did you mean {name}?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn wrong(name: &str, text: &str, words: &str) {
        match sort(name, text) {
            Variable::Wrong(message) => assert!(message.contains(words), "{name}: {message}"),
            other => panic!("{name}={text} is {other:?}"),
        }
    }

    #[test]
    fn two_underscores_are_a_level() {
        assert_eq!(sort("PARTITA_SERVER__PORT", "1"), Variable::Key("server.port".into()));
        assert_eq!(
            sort("PARTITA_LANES__MIDI__MAX_QUEUED", "1"),
            Variable::Key("lanes.midi.max_queued".into())
        );
        assert_eq!(sort("OTHER_SERVER__PORT", "1"), Variable::Other);
        wrong("PARTITA_STORAGE__DATA_DIR", "/d\u{fffd}", "UTF-8");
        assert_eq!(sort("PARTITA_MODEL", "/d\u{fffd}"), Variable::Other, "read elsewhere, as it is");
    }

    #[test]
    fn a_variable_nobody_knows_is_refused_with_the_nearest_one() {
        for (name, nearest) in [
            ("PARTITA_SERVER_PORT", "did you mean PARTITA_SERVER__PORT?"),
            ("PARTITA_PORT", "did you mean PARTITA_SERVER__PORT?"),
            ("PARTITA_DATA_DIR", "did you mean PARTITA_STORAGE__DATA_DIR?"),
            ("PARTITA_WEBHOOKS_SECRET", "did you mean PARTITA_WEBHOOKS__SECRET?"),
            ("PARTITA_LANES_MIDI_WORKERS", "did you mean PARTITA_LANES__MIDI__WORKERS?"),
            ("PARTITA_THREAD", "did you mean PARTITA_THREADS?"),
            ("PARTITA_APIKEY", "did you mean PARTITA_API_KEY?"),
            ("PARTITA_FOO", "as PARTITA_SERVER__PORT, with __"),
            ("PARTITA_", "with __"),
        ] {
            wrong(name, "hunter2", nearest);
            wrong(name, "hunter2", "unknown variable");
            assert!(!format!("{:?}", sort(name, "hunter2")).contains("hunter2"), "it may be a secret");
        }
    }

    #[test]
    fn variables_for_something_else_have_types_too() {
        for name in OTHERS.iter().filter(|name| !["PARTITA_THREADS", "PARTITA_KERNELS"].contains(name)) {
            assert_eq!(sort(name, "x"), Variable::Other, "{name}");
        }
        assert_eq!(sort("PARTITA_THREADS", "32"), Variable::Other);
        assert_eq!(sort("PARTITA_KERNELS", "generic"), Variable::Other);
        for text in ["abc", "0", "33", "", "-1", "1.5"] {
            wrong("PARTITA_THREADS", text, &format!("must be a whole number in 1..=32, got {text:?}"));
        }
        wrong("PARTITA_KERNELS", "mmx", "must be one of generic");
    }

    #[test]
    fn what_kubernetes_tells_of_a_service_is_passed_over() {
        for (name, text) in [
            ("PARTITA_SERVICE_HOST", "10.0.0.1"),
            ("PARTITA_SERVICE_PORT", "8000"),
            ("PARTITA_SERVICE_PORT_HTTP", "8000"),
            ("PARTITA_PORT", "tcp://10.0.0.1:8000"),
            ("PARTITA_SERVER_PORT", "tcp://10.0.0.1:8000"),
            ("PARTITA_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
            ("PARTITA_PORT_8000_TCP_ADDR", "10.0.0.1"),
            ("PARTITA_REDIS_SERVICE_PORT", "6379"),
            ("PARTITA_REDIS_PORT_6379_UDP_PROTO", "udp"),
        ] {
            assert_eq!(sort(name, text), Variable::Other, "{name}");
        }
        for name in ["PARTITA_SERVER_PORT", "PARTITA_SERVICE", "PARTITA_PORT_8000", "PARTITA_PORT_X_TCP"] {
            assert!(matches!(sort(name, "8000"), Variable::Wrong(_)), "{name}");
        }
    }

    /// Names of ours in calls of `env::var` and in attributes of arguments, below a folder.
    fn read_in(folder: &std::path::Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read_in(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                for start in ["env::var(\"", "env::var_os(\"", "env = \""] {
                    let after = text.split(start).skip(1).filter_map(|rest| rest.split('"').next());
                    names.extend(after.filter(|name| name.starts_with(OURS)).map(ToOwned::to_owned));
                }
            }
        }
    }

    #[test]
    fn every_variable_that_the_program_reads_is_known() {
        let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crates");
        let mut names = vec![];
        for entry in std::fs::read_dir(crates).expect("the crates") {
            for part in ["src", "tests"] {
                let folder = entry.as_ref().expect("an entry").path().join(part);
                if folder.is_dir() {
                    read_in(&folder, &mut names);
                }
            }
        }
        assert!(names.len() >= OTHERS.len(), "{names:?}");
        for name in &names {
            assert!(OTHERS.contains(&name.as_str()) || name.contains("__"), "{name} is not known");
        }
        for name in OTHERS {
            assert!(names.iter().any(|read| read == name), "nothing reads {name}");
        }
    }
}

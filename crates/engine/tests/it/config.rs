//! Configuration from its sources, and its reload.

use std::path::Path;

use partita_engine::config::{Invalid, Profile, Sources, load, redacted};
use partita_engine::{Config, Live};

const SHIPPED: &str = include_str!("../../../../config/partita.yaml");

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flags(list: &[(&str, &str)]) -> Result<Config, Vec<Invalid>> {
    load(&Sources { flags: pairs(list), ..Sources::default() })
}

fn environment(list: &[(&str, &str)]) -> Result<Config, Vec<Invalid>> {
    load(&Sources { environment: pairs(list), ..Sources::default() })
}

fn yaml(text: &str) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("partita.yaml");
    std::fs::write(&file, text).expect("written");
    let show = |error: &Invalid| {
        let place = error.place.rsplit('/').next().unwrap_or_default();
        format!("{place}: {}", error.message)
    };
    load(&Sources { file: Some(file), ..Sources::default() })
        .map_err(|errors| errors.iter().map(show).collect())
}

fn only(result: Result<Config, Vec<Invalid>>) -> String {
    let errors = result.expect_err("refused");
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].message.clone()
}

#[test]
fn the_shipped_file_is_the_default() {
    assert_eq!(yaml(SHIPPED), Ok(Config::default()));
    assert_eq!(yaml(""), Ok(Config::default()));
    assert_eq!(yaml("server:\n  # port: 1\nqueue:\n"), Ok(Config::default()));
}

/// `(path, comment above it, default)` of every key of the shipped file.
fn shipped_keys() -> Vec<(String, String, String)> {
    let (mut keys, mut sections, mut comment): (Vec<_>, Vec<(usize, String)>, _) =
        (vec![], vec![], String::new());
    for line in SHIPPED.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(words) = line.strip_prefix('#') {
            comment.push_str(words);
        } else if let Some((name, value)) = line.split_once(':') {
            sections.retain(|(depth, _)| *depth < indent);
            let above: String = sections.iter().map(|(_, name)| format!("{name}.")).collect();
            let words = std::mem::take(&mut comment);
            if value.is_empty() {
                sections.push((indent, name.to_owned()));
            } else {
                keys.push((above + name, words, value.trim().to_owned()));
            }
        }
    }
    keys
}

#[test]
fn the_shipped_file_shows_and_explains_every_key() {
    fn leaves(prefix: &str, value: &serde_json::Value, all: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) if !map.is_empty() && prefix != "profiles" => {
                for (name, value) in map {
                    leaves(
                        &format!("{prefix}{}{name}", if prefix.is_empty() { "" } else { "." }),
                        value,
                        all,
                    );
                }
            }
            _ => all.push(prefix.to_owned()),
        }
    }
    let mut all = vec![];
    leaves("", &serde_json::to_value(Config::default()).expect("plain data"), &mut all);
    let shown = shipped_keys();
    for key in all.iter().filter(|key| *key != "profiles") {
        let (_, words, _) =
            shown.iter().find(|(path, _, _)| path == key).unwrap_or_else(|| panic!("{key} is missing"));
        assert!(!words.is_empty(), "{key} has no comment");
    }
}

#[test]
fn every_range_of_the_shipped_file_is_enforced() {
    let mut ranges = 0;
    for (key, words, _) in shipped_keys() {
        let words = words.to_lowercase();
        let Some((low, high)) = words.split("in ").find_map(|part| {
            let (low, rest) = part.split_once("..=")?;
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            Some((low.parse::<f64>().ok()?, rest[..end].parse::<f64>().ok()?))
        }) else {
            continue;
        };
        ranges += 1;
        for good in [low, high] {
            assert!(flags(&[(&key, &good.to_string())]).is_ok(), "{key}={good}");
        }
        for bad in [low - 1.0, high + 1.0] {
            let message = only(flags(&[(&key, &bad.to_string())]));
            assert_eq!(message, format!("{key} must be in {low}..={high}, got {bad}"));
        }
        for bad in ["NaN", "inf", "-1", "", "many", "null", "[1]"] {
            assert!(flags(&[(&key, bad)]).is_err(), "{key}={bad}");
        }
    }
    assert!(ranges >= 35, "{ranges} ranges were found");
}

#[test]
fn later_sources_win() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.yaml");
    std::fs::write(&file, "server: {port: 1, host: 0.0.0.0, drain: 5}\n").expect("written");
    let config = load(&Sources {
        file: Some(file),
        environment: pairs(&[("PARTITA_SERVER__PORT", "2"), ("PARTITA_SERVER__DRAIN", "6.5")]),
        flags: pairs(&[("server.port", "3")]),
    })
    .expect("all good");
    assert_eq!((config.server.port, config.server.drain, config.server.host.as_str()), (3, 6.5, "0.0.0.0"));
}

#[test]
fn variables_for_something_else_are_let_be_and_all_others_are_refused() {
    let others = [
        ("PARTITA_MODEL", "x"),
        ("PARTITA_THREADS", "2"),
        ("PARTITA_KERNELS", "generic"),
        ("PARTITA_PORT_8000_TCP", "tcp://10.0.0.1"),
        ("OTHER_SERVER__PORT", "x"),
    ];
    assert_eq!(environment(&others), Ok(Config::default()));
    let wrong = [("PARTITA_SERVER_PORT", "9000"), ("PARTITA_FOO", "1"), ("PARTITA_THREADS", "abc")];
    let errors = environment(&wrong).expect_err("wrong");
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "PARTITA_SERVER_PORT: unknown variable; did you mean PARTITA_SERVER__PORT?",
            "PARTITA_FOO: unknown variable; those of the configuration are as PARTITA_SERVER__PORT, with __ where the \
             file has a level",
            "PARTITA_THREADS: must be a whole number in 1..=32, got \"abc\"",
        ]
    );
    let errors = environment(&[("PARTITA_SERVER__PROT", "1")]).expect_err("unknown");
    assert_eq!(
        errors[0].to_string(),
        "PARTITA_SERVER__PROT: unknown key server.prot; did you mean server.port?"
    );
}

#[test]
fn lists_come_with_commas_or_as_yaml() {
    for text in ["a.example, b.example", "[a.example, b.example]", "[\"a.example\",\"b.example\"]"] {
        let config = environment(&[("PARTITA_SERVER__ALLOWED_HOSTS", text)]).expect("a list");
        assert_eq!(config.server.allowed_hosts, ["a.example", "b.example"], "{text}");
    }
    let config = environment(&[("PARTITA_MODELS__WARM", "")]).expect("an empty list");
    assert!(config.models.warm.is_empty());
    let message = only(environment(&[("PARTITA_WEBHOOKS__ALLOW_PRIVATE", "10.0.0.0/8,nowhere")]));
    assert_eq!(message, "webhooks.allow_private[1] must be networks such as 10.1.0.0/16, got \"nowhere\"");
}

#[test]
fn everything_wrong_in_a_file_is_told_with_its_place() {
    let text = "server:\n  prot: 1\n  port: 70000\n  host: [a]\nque:\n  url: x\nqueue: 7\nlog: {level: loud}\nport: 1\n";
    assert_eq!(
        yaml(text).expect_err("refused"),
        [
            "partita.yaml:2:9: unknown key server.prot; did you mean server.port?",
            "partita.yaml:3:9: server.port must be in 0..=65535, got 70000",
            "partita.yaml:4:3: server.host must be an IP address or a host name, got a list",
            "partita.yaml:5:1: unknown key que; did you mean queue?",
            "partita.yaml:7:8: queue must be a map, got 7",
            "partita.yaml:8:14: log.level must be levels such as info or info,partita_engine=debug, got \"loud\"",
            "partita.yaml:9:7: unknown key port; did you mean server.port?",
        ]
    );
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    for text in
        ["server: [1\n", "server: {port: 1\nlog: 2", "- 1\n", "just words", "server: {port: 1, port: 2}"]
    {
        let errors = yaml(text).expect_err(text);
        assert!(errors[0].starts_with("partita.yaml"), "{errors:?}");
    }
    let missing = Sources { file: Some("/nowhere/partita.yaml".into()), ..Sources::default() };
    assert!(only(load(&missing)).contains("cannot be read"));
}

#[test]
fn words_of_one_kind_are_enforced() {
    let cases = [
        ("cache.store", "paper", "memory, disk, redis, off"),
        ("models.precision", "f16", "int8, q4, f32"),
        ("auth.keys", "sometimes", "auto, always, never"),
        ("limits.on_failure", "ajar", "open, closed"),
        ("log.format", "xml", "pretty, json"),
    ];
    for (key, bad, allowed) in cases {
        assert_eq!(only(flags(&[(key, bad)])), format!("{key} must be one of {allowed}, got {bad:?}"));
        for good in allowed.split(", ").filter(|word| *word != "redis") {
            assert!(flags(&[(key, good)]).is_ok(), "{key}={good}");
        }
    }
    assert_eq!(yaml("cache: {store: off}").map(|config| config.cache.store), Ok("off".into()));
    assert_eq!(
        only(flags(&[("server.insecure", "yes")])),
        "server.insecure must be true or false, got \"yes\""
    );
}

#[test]
fn a_secret_never_appears_in_an_error() {
    for (key, value) in [("webhooks.secret", "hunter2"), ("queue.url", "redis://:hunter2@a b/0")] {
        let message = only(flags(&[(key, value)]));
        assert!(!message.contains("hunter2") && message.contains("***"), "{message}");
    }
    let errors = yaml("webhooks:\n  secret: hunter2\n  x: [\n").expect_err("no YAML");
    assert!(!errors.join(" ").contains("hunter2"), "{errors:?}");
}

#[test]
fn a_redis_cache_needs_a_redis_queue() {
    let message = only(flags(&[("cache.store", "redis")]));
    assert_eq!(message, "cache.store redis needs a redis:// queue.url, got another queue");
    let config =
        flags(&[("cache.store", "redis"), ("queue.url", "redis://:pw@localhost:6379/1")]).expect("fits");
    assert_eq!(redacted(&config)["queue"]["url"], "redis://:***@localhost:6379/1");
}

#[test]
fn certificates_to_trust_need_a_queue_with_tls() {
    for url in ["sqlite", "redis://localhost:6379/0", "redis+unix:///run/r.sock"] {
        let message = only(flags(&[("queue.ca", "ca.pem"), ("queue.url", url)]));
        assert_eq!(message, "queue.ca needs a rediss:// queue.url, got one without TLS");
    }
    let config = flags(&[("queue.ca", "ca.pem"), ("queue.url", "rediss://:pw@h:6380/0")]).expect("fits");
    assert_eq!(redacted(&config)["queue"]["url"], "rediss://:***@h:6380/0");
}

#[test]
fn profiles_are_added_by_name() {
    let config = yaml("profiles:\n  wild: {temperature: 2}\n  creative: {top_k: 40}\n").expect("profiles");
    assert_eq!(config.profiles.len(), 4);
    assert_eq!(config.profiles["wild"], Profile { temperature: Some(2.0), top_k: None, top_p: None });
    assert_eq!(
        config.profiles["creative"],
        Profile { temperature: Some(1.1), top_k: Some(40), top_p: Some(0.98) }
    );
    let config = environment(&[("PARTITA_PROFILES__WILD__TEMPERATURE", "1.5")]).expect("a profile");
    assert_eq!(config.profiles["wild"].temperature, Some(1.5));
    for (text, message) in [
        ("{temperature: 0}", "profiles.x.temperature must be in (0, 4], got 0"),
        ("{temperature: 4.5}", "profiles.x.temperature must be in (0, 4], got 4.5"),
        ("{top_k: -1}", "profiles.x.top_k must be in 0..=100000, got -1"),
        ("{top_p: 1.01}", "profiles.x.top_p must be in (0, 1], got 1.01"),
        ("{temprature: 1}", "unknown key profiles.x.temprature; did you mean profiles.x.temperature?"),
        ("7", "profiles.x must be a map, got 7"),
    ] {
        let errors = yaml(&format!("profiles:\n  x: {text}\n")).expect_err(text);
        assert!(errors[0].ends_with(message), "{errors:?}");
    }
    assert!(yaml("profiles: {\"../x\": {temperature: 1}}").is_err());
}

#[test]
fn aliases_have_targets_weights_and_no_circles() {
    let text =
        "models:\n  aliases:\n    band: drums\n    trial: [{model: drums@1, weight: 9}, {model: band}]\n";
    let config = yaml(text).expect("aliases");
    assert_eq!(config.models.aliases["band"][0].model, "drums");
    assert_eq!(config.models.aliases["trial"][0].weight, Some(9.0));
    assert_eq!(config.models.aliases["trial"][1].weight, None);
    // A plain name may be shared out among its own versions.
    assert!(yaml("models: {aliases: {drums: [{model: drums@1}, {model: drums@2}]}}").is_ok());
    for (aliases, message) in [
        ("{a: []}", "models.aliases.a must be a list of 1..=1000 models, got a list"),
        ("{a: [{model: b, weight: 0}]}", "models.aliases.a[0].weight must be in (0, 1000000], got 0"),
        (
            "{a: [{model: ../b}]}",
            "models.aliases.a[0].model must be a name such as drums or drums@1, got \"../b\"",
        ),
        ("{a: [{weight: 1}]}", "models.aliases.a[0] must name a model, got none"),
        ("{a: b, b: c, c: b}", "models.aliases must not lead back to themselves, got a -> b -> c -> b"),
        ("{drums: drums}", "models.aliases must not lead back to themselves, got drums -> drums"),
    ] {
        let errors = yaml(&format!("models: {{aliases: {aliases}}}")).expect_err(aliases);
        assert!(errors[0].ends_with(message), "{errors:?}");
    }
}

fn live(file: &Path) -> Live {
    Live::open(Sources { file: Some(file.to_owned()), ..Sources::default() }).expect("a good file")
}

#[test]
fn a_reload_tells_what_changed_and_what_needs_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("partita.yaml");
    std::fs::write(&file, "server: {port: 1, drain: 5}\n").expect("written");
    let live = live(&file);
    let before = live.get();
    std::fs::write(&file, "server: {port: 2, drain: 6}\nprofiles: {wild: {temperature: 2}}\n")
        .expect("written");
    assert!(live.file_changed());
    let reloaded = live.reload().expect("a good file");
    assert_eq!(reloaded.changed, ["server.drain", "profiles"]);
    assert_eq!(reloaded.needs_restart, ["server.port"]);
    let after = live.get();
    assert_eq!((after.server.port, after.server.drain), (1, 6.0));
    assert_eq!((before.server.port, before.server.drain), (1, 5.0), "who holds the old one keeps it");
    assert!(!live.file_changed());
    // Still pending, so it is told of again.
    assert_eq!(live.reload().expect("a good file").needs_restart, ["server.port"]);
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_of_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("partita.yaml");
    std::fs::write(&file, "server: {drain: 5}\n").expect("written");
    let live = live(&file);
    std::fs::write(&file, "server: {drain: 6}\nlog: {audit: x, level: loud}\n").expect("written");
    assert!(live.file_changed());
    assert!(live.reload().is_err());
    assert_eq!((live.get().server.drain, live.get().log.audit.as_os_str().is_empty()), (5.0, true));
    assert!(!live.file_changed());
}

#[test]
fn one_moment_without_the_file_is_no_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("partita.yaml");
    std::fs::write(&file, "server: {drain: 5}\n").expect("written");
    let live = live(&file);
    assert!(!live.file_changed());
    std::fs::remove_file(&file).expect("removed");
    assert!(!live.file_changed());
    std::fs::write(&file, "server: {drain: 5}\n").expect("written");
    assert!(!live.file_changed(), "the same content again");
}

#[cfg(unix)]
#[test]
fn an_exchanged_folder_behind_a_link_is_a_change() {
    use std::os::unix::fs::symlink;
    // As Kubernetes mounts a ConfigMap: partita.yaml -> ..data/partita.yaml, ..data -> a folder that is exchanged.
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for (version, drain) in [("v1", 5), ("v2", 6)] {
        std::fs::create_dir(path(version)).expect("a folder");
        std::fs::write(path(version).join("partita.yaml"), format!("server: {{drain: {drain}}}\n"))
            .expect("written");
    }
    symlink("v1", path("..data")).expect("a link");
    symlink("..data/partita.yaml", path("partita.yaml")).expect("a link");
    let live = live(&path("partita.yaml"));
    assert!(!live.file_changed());
    symlink("v2", path("..data_tmp")).expect("a link");
    std::fs::rename(path("..data_tmp"), path("..data")).expect("exchanged");
    assert!(live.file_changed());
    live.reload().expect("a good file");
    assert_eq!(live.get().server.drain, 6.0);
}

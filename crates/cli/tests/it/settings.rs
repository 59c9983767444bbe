//! What is told of wrong settings, and what reading them leaves alone.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Instant;

use crate::run::{Place, Ran};
use crate::server::PATIENCE;

/// Runs `line` with variables of the environment.
fn run_with(place: &Place, line: &str, variables: &[(&str, &str)]) -> Ran {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let mut command = place.command(&arguments);
    Ran(command.envs(variables.iter().copied()).output().expect("the program starts"))
}

/// The one line of a refusal with exit code `code`; nothing is left behind.
#[track_caller]
fn refused(place: &Place, ran: &Ran, code: i32) -> String {
    let told = ran.stderr();
    assert_eq!((ran.code(), ran.stdout().as_str()), (code, ""), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(
        place.names().iter().filter(|name| !name.ends_with(".yaml")).count(),
        0,
        "{:?}",
        place.names()
    );
    told.trim_end().to_owned()
}

#[test]
fn variables_that_nobody_knows_or_with_values_of_another_type_are_refused() {
    let place = Place::new();
    for (name, value, told) in [
        ("PARTITA_SERVER_PORT", "9000", "unknown variable; did you mean PARTITA_SERVER__PORT?"),
        ("PARTITA_FOO", "1", "unknown variable; those of the configuration are as PARTITA_SERVER__PORT"),
        ("PARTITA_THREADS", "abc", "must be a whole number in 1..=32, got \"abc\""),
        ("PARTITA_KERNELS", "mmx", "must be one of generic"),
        ("PARTITA_SERVER__PORT", "abc", "server.port must be in 0..=65535, got \"abc\""),
    ] {
        let variables = [(name, value)];
        for line in
            ["config check", "config show", "serve --port 0 --data-dir data", "keys list --data-dir data"]
        {
            let told_here = refused(&place, &run_with(&place, line, &variables), 2);
            assert!(told_here.starts_with(&format!("error: {name}: {told}")), "{line}: {told_here}");
        }
    }
    let fine = [
        ("PARTITA_SERVER__PORT", "9000"),
        ("PARTITA_THREADS", "2"),
        ("PARTITA_API_KEY", "pt_x"),
        ("PARTITA_SERVER", "http://127.0.0.1:9000"),
        ("PARTITA_PORT", "tcp://10.0.0.1:8000"),
    ];
    assert_eq!(run_with(&place, "config check", &fine).code(), 0);
}

#[test]
fn a_variable_of_other_bytes_than_text_is_refused_and_not_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut command = place.command(&["config", "check"]);
    command.env("PARTITA_STORAGE__DATA_DIR", std::ffi::OsStr::from_bytes(b"/d\xff"));
    let told = refused(&place, &Ran(command.output().expect("the program starts")), 2);
    assert_eq!(told, "error: PARTITA_STORAGE__DATA_DIR: must be UTF-8 text, got other bytes");
}

#[test]
fn a_file_that_is_wrong_is_told_in_plain_words_with_its_place() {
    let place = Place::new();
    for (text, told) in [
        (
            "server:\n  port: 1\n  port: 2\n",
            "partita.yaml:3:3: every key must be there once, got \"port\" again",
        ),
        ("server:\n  ~: 1\n", "partita.yaml:2:3: keys must be words"),
        ("server:\n  prot: 1\n", "partita.yaml:2:9: unknown key server.prot; did you mean server.port?"),
    ] {
        place.write("partita.yaml", text.as_bytes());
        let ran = place.run("config check --config partita.yaml");
        let line = refused(&place, &ran, 2);
        assert!(line.starts_with(&format!("error: {told}")), "{line}");
    }
}

#[test]
fn keys_are_neither_listed_nor_revoked_where_there_are_none_and_nothing_is_made() {
    let place = Place::new();
    for command in ["keys list", "keys revoke 0123456789abcdef"] {
        let told = refused(&place, &place.run(&format!("{command} --data-dir typo")), 3);
        assert!(told.contains("no such folder: typo; --data-dir or --config names"), "{told}");
        assert!(told.contains("`partita keys create`"), "{told}");
    }
    std::fs::create_dir(place.path("empty")).expect("made");
    let ran = place.run("keys list --data-dir empty");
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    assert!(ran.stderr().contains("no keys are kept in empty: it has no tasks.sqlite3"), "{}", ran.stderr());
    assert_eq!(std::fs::read_dir(place.path("empty")).expect("readable").count(), 0);
    place.ok("keys create --data-dir empty");
    assert!(place.ok("keys list --data-dir empty").stdout().contains("live"));
}

#[test]
fn a_host_that_is_not_here_is_told_before_anything_is_made() {
    let place = Place::new();
    // An address that is kept for books (RFC 5737).
    let ran = place.run("serve --host 192.0.2.1 --port 0 --insecure --data-dir data --set log.level=off");
    let told = ran.stderr();
    assert_eq!((ran.code(), told.lines().count()), (2, 1), "{told}");
    for words in ["--host (server.host) must be an address of this machine", "localhost", "got \"192.0.2.1\""]
    {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let place = Place::new();
    place.write("file.yaml", b"");
    let told = refused(&place, &place.run("serve --port 0 --data-dir file.yaml/data --set log.level=off"), 1);
    assert!(told.contains("storage.data_dir file.yaml/data cannot be made"), "{told}");
}

#[test]
fn a_quiet_server_logs_warnings_and_errors_alone_and_shows_no_address() {
    let place = Place::new();
    let start = |more: &[&str]| {
        let mut arguments = vec!["serve", "--port", "0", "--data-dir", "data"];
        arguments.extend(more);
        let mut command = place.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    // With --json the address is a result, so that a script knows when the server listens.
    for (more, quiet) in [(&["--json", "-q"][..], true), (&["--json"][..], false)] {
        let mut server = start(more);
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().expect("piped")).read_line(&mut line).expect("an address");
        let url = serde_json::from_str::<serde_json::Value>(&line).expect("JSON")["url"].clone();
        assert!(url.as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{line}");
        let stop = std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status();
        assert!(stop.expect("kill runs").success());
        let started = Instant::now();
        while server.try_wait().expect("our child").is_none() {
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut log = String::new();
        server.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
        assert_eq!(log.is_empty(), quiet, "{more:?}: {log}");
        assert_eq!(log.contains("INFO"), !quiet, "{more:?}: {log}");
    }
}

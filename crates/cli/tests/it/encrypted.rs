//! Redis over TLS: used from end to end where it is trusted, and not at all where it is not.

use std::net::TcpListener;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;

use crate::run::Place;
use crate::server::{Redis, Server, worker};

const PASSWORD: &str = "geheim";

/// Writes `ca.pem` of a new authority, and `redis.pem` with `redis.key`, which it has signed for `name`.
fn certify(folder: &Path, name: &str) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.distinguished_name.push(DnType::CommonName, "an authority of our own");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let files = [("ca.pem", ca.pem()), ("redis.pem", certificate.pem()), ("redis.key", key.serialize_pem())];
    for (file, text) in files {
        std::fs::write(folder.join(file), text).expect("written");
    }
}

/// A Redis that asks for a password and speaks nothing but TLS on its port, with a certificate for 127.0.0.1.
struct Site {
    redis: Redis,
    port: u16,
    place: Place,
}

fn start(place: &Place, port: u16) -> Option<Redis> {
    let port = port.to_string();
    let certificates =
        ["--tls-cert-file", "redis.pem", "--tls-key-file", "redis.key", "--tls-ca-cert-file", "ca.pem"];
    let rest = ["--tls-port", &port, "--tls-auth-clients", "no", "--requirepass", PASSWORD];
    Redis::start_with(&place.path(""), &[&certificates[..], &rest, &["--bind", "127.0.0.1"]].concat())
}

impl Site {
    fn start() -> Site {
        let place = Place::new();
        certify(&place.path(""), "127.0.0.1");
        // Between the look and the start, another may take the port.
        let started = (0..20).find_map(|_| {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
            Some((start(&place, free.port())?, free.port()))
        });
        let (redis, port) = started.expect("redis-server with TLS runs");
        Site { redis, port, place }
    }

    fn url(&self, host: &str) -> String {
        format!("rediss://:{PASSWORD}@{host}:{}/0", self.port)
    }

    fn ca(&self) -> String {
        format!("queue.ca={}", self.place.path("ca.pem").display())
    }
}

#[test]
fn a_queue_over_tls_works_from_end_to_end_and_after_a_restart_of_redis() {
    let mut site = Site::start();
    let (url, ca) = (site.url("127.0.0.1"), site.ca());
    let files = format!("storage.files={}", site.place.path("files").display());
    let set = ["--queue", &url, "--set", &ca, "--set", &files, "--set", "cache.store=redis"];
    let made = site.place.ok(&format!("keys create --queue {url} --set {ca} --json")).json();
    let idle = [&set[..], &["--set", "lanes.generation.workers=0"]].concat();
    let server = Server::start(&site.place.path("server"), &idle);
    let mut worker = worker(&site.place.path("worker"), &set);
    let client = server.client().with_key(made["key"].as_str().expect("a key"));
    let body = json!({"style": "funk", "bars": 2, "seed": 1});
    let task = client.finished(&client.submit(&body));
    assert_eq!(task["status"], "complete", "{task}");
    let file = task["result"]["files"][0]["url"].as_str().expect("a file");
    assert_eq!(client.bytes(file).expect("an answer").0, 200);
    let again = client.finished(&client.submit(&body));
    assert_eq!((&again["status"], &again["result"]["cache"]), (&json!("complete"), &json!("hit")), "{again}");
    site.redis.process.kill();
    site.redis = start(&site.place, site.port).expect("the port is its own");
    // The first calls may still find the old connections.
    let next = (0..100).find_map(|_| match client.post("/api/v1/generate", &body, &[]) {
        Ok((200..=202, task)) => Some(task["id"].as_str().expect("an id").to_owned()),
        Ok((503, _)) => None,
        other => panic!("{other:?}"),
    });
    assert_eq!(client.finished(&next.expect("tasks are taken again"))["status"], "complete");
    assert_eq!(worker.terminate(), 0);
    assert!(!server.log.text().contains(PASSWORD), "{}", server.log.text());
}

#[test]
fn the_certificates_of_the_system_are_trusted_where_no_others_are_named() {
    let site = Site::start();
    let ca = site.place.path("ca.pem");
    let system = [("SSL_CERT_FILE", ca.to_str().expect("a plain path"))];
    let url = site.url("127.0.0.1");
    let server = Server::start_in(&site.place.path("server"), &["--queue", &url], &system);
    assert_eq!(server.client().get("/api/v1/tasks").expect("an answer").0, 200);
}

#[test]
fn a_redis_that_is_not_trusted_is_told_and_gets_no_password() {
    let site = Site::start();
    // An authority of the same name with another key.
    let other = Place::new();
    certify(&other.path(""), "127.0.0.1");
    let stranger = format!("queue.ca={}", other.path("ca.pem").display());
    let key = format!("queue.ca={}", site.place.path("redis.key").display());
    let plain = site.url("127.0.0.1").replace("rediss://", "redis://");
    let refused = |command: &str, url: &str, set: &str, code: i32, words: &str| {
        let ran = site.place.run(&format!("{command} --json --queue {url} {set}"));
        let error = ran.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(ran.code(), code, "{error}");
        assert!(error.contains(words), "{words:?} is not in {error:?}");
        assert!(!(ran.stdout() + &ran.stderr()).contains(PASSWORD));
    };
    let serve = "serve --port 0 --data-dir data";
    let set = |set: &str| format!("--set {set}");
    let nobody = "the certificate of Redis is signed by nobody who is trusted; queue.ca names";
    for command in [serve, "worker --data-dir data", "keys list"] {
        refused(command, &site.url("127.0.0.1"), "", 1, nobody);
    }
    refused(serve, &site.url("127.0.0.1"), &set(&stranger), 1, nobody);
    let wrong = "the certificate of Redis is not accepted: certificate not valid for name \"localhost\"";
    refused(serve, &site.url("localhost"), &set(&site.ca()), 1, wrong);
    refused(serve, &site.url("127.0.0.1"), &set(&key), 1, "queue.ca must be a file with PEM certificates");
    refused(serve, &plain, &set(&site.ca()), 2, "queue.ca needs a rediss:// queue.url");
    // Whoever forgets the second s is not served in clear.
    refused(serve, &plain, "", 1, "the task store cannot be reached");
    refused(serve, &format!("{}#insecure", site.url("127.0.0.1")), "", 2, "queue.url must be");
}

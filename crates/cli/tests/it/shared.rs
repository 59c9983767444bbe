//! Two servers on one Redis: what they count, keep and refuse, they do as one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use reqwest::blocking::Response;
use serde_json::{Value, json};

use crate::run::Place;
use crate::server::{Client, PATIENCE, Redis, Server};

/// Tasks wait: who only counts them plays none.
const IDLE: [&str; 4] =
    ["lanes.generation.workers=0", "lanes.midi.workers=0", "lanes.heavy.workers=0", "lanes.audio.workers=0"];

/// A Redis, and a folder for it and for servers.
struct Site {
    redis: Redis,
    place: Place,
}

impl Site {
    fn start() -> Site {
        let place = Place::new();
        Site { redis: Redis::start(&place.path("")), place }
    }

    /// A server with a folder of its own; only files of results are shared.
    fn server(&self, name: &str, set: &[&str]) -> Server {
        let files = format!("storage.files={}", self.place.path("files").display());
        let mut more = vec!["--queue", &self.redis.url, "--set", &files];
        set.iter().for_each(|set| more.extend(["--set", set]));
        Server::start(&self.place.path(name), &more)
    }

    fn key(&self, options: &str) -> String {
        let made = self.place.ok(&format!("keys create --queue {} --json {options}", self.redis.url));
        made.json()["key"].as_str().expect("a key").to_owned()
    }

    /// The youngest connection that does not only listen.
    fn youngest(&self) -> String {
        let list = self.redis.command(&["CLIENT", "LIST", "TYPE", "normal"]);
        let others = list.lines().filter(|line| !line.contains("cmd=client"));
        let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse::<u64>().ok();
        others.filter_map(id).max().expect("a connection").to_string()
    }

    /// A client that keeps its connection.
    fn door(&self) -> Door {
        let socket = self.redis.url.trim_start_matches("redis+unix://");
        let mut command = Command::new("redis-cli");
        command.args(["-s", socket]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("redis-cli is needed: `apt-get install redis-server`");
        let (tell, hear) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Door { child, tell, hear: BufReader::new(hear) }
    }

    /// Cuts a connection; whoever had it may open another.
    fn cut(&self, connection: &str) {
        assert_eq!(self.redis.command(&["CLIENT", "KILL", "ID", connection]), "1");
    }
}

/// A `redis-cli` that goes on running.
struct Door {
    child: Child,
    tell: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Door {
    /// Has a command done that is answered with one line, and all is well.
    fn say(&mut self, command: &str) {
        writeln!(self.tell, "{command}").expect("it hears");
        let mut answer = String::new();
        self.hear.read_line(&mut answer).expect("it answers");
        assert!(["OK", "1"].contains(&answer.trim()), "{command}: {answer}");
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ask(client: &Client) -> Response {
    let body = json!({"style": "funk", "bars": 1});
    client.posted("/api/v1/generate", &body, &[("Prefer", "respond-async")]).expect("an answer")
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

/// Seconds of `Retry-After`.
fn wait(answer: &Response) -> u64 {
    header(answer, "retry-after").parse().expect("seconds")
}

/// Tasks that are left, of an answer that tells.
fn left(answer: &Response) -> Option<u32> {
    header(answer, "ratelimit").split(';').find_map(|part| part.strip_prefix("r=")?.parse().ok())
}

fn problem(answer: Response) -> Value {
    assert_eq!(header(&answer, "content-type"), "application/problem+json");
    answer.json().expect("JSON")
}

fn tasks(client: &Client) -> usize {
    client.get("/api/v1/tasks?limit=100").expect("an answer").1["data"].as_array().expect("a list").len()
}

#[test]
fn a_key_has_one_quota_at_all_servers() {
    let site = Site::start();
    let servers = [site.server("one", &IDLE), site.server("two", &IDLE)];
    let (key, other) = (site.key("--hourly 5"), site.key("--hourly 5"));
    let clients = servers.each_ref().map(|server| server.client().with_key(&key));
    for number in 0..5 {
        let answer = ask(&clients[number % 2]);
        assert_eq!(answer.status(), 202);
        assert_eq!(header(&answer, "ratelimit-policy"), "\"tasks-per-key\";q=5;w=3600");
        assert_eq!(left(&answer), Some(4 - number as u32));
    }
    for client in &clients {
        let answer = ask(client);
        assert_eq!((answer.status().as_u16(), left(&answer)), (429, Some(0)));
        // A fifth of an hour gives one back.
        assert!((1..=720).contains(&wait(&answer)), "{answer:?}");
        let problem = problem(answer);
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(429), &json!("rate-limited")),
            "{problem}"
        );
        assert_eq!(tasks(client), 5, "what was refused is no task");
    }
    for (number, server) in servers.iter().enumerate() {
        let answer = ask(&server.client().with_key(&other));
        assert_eq!((answer.status().as_u16(), left(&answer)), (202, Some(4 - number as u32)));
    }
}

#[test]
fn a_batch_counts_all_its_requests_at_all_servers_or_none() {
    let site = Site::start();
    let (one, two) = (site.server("one", &IDLE), site.server("two", &IDLE));
    let key = site.key("--hourly 5");
    let (one, two) = (one.client().with_key(&key), two.client().with_key(&key));
    let batch = |client: &Client| {
        let body = json!({"requests": vec![json!({"style": "funk", "bars": 1}); 3]});
        let answer = client.posted("/api/v1/generate/batch", &body, &[("Prefer", "respond-async")]);
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), left(&answer))
    };
    assert_eq!(batch(&one), (202, Some(2)));
    assert_eq!(batch(&two), (429, Some(2)));
    assert_eq!(left(&ask(&two)), Some(1));
    assert_eq!(tasks(&one), 2);
}

#[test]
fn an_address_without_a_key_has_one_quota_at_all_servers() {
    let site = Site::start();
    let set = [&IDLE[..], &["limits.tasks_per_minute_per_address=1"]].concat();
    let (one, two) = (site.server("one", &set), site.server("two", &set));
    let answer = ask(&one.client());
    assert_eq!((answer.status().as_u16(), left(&answer)), (202, Some(0)));
    let answer = ask(&two.client());
    assert_eq!(answer.status(), 429);
    assert!((1..=60).contains(&wait(&answer)), "{answer:?}");
    assert_eq!(header(&answer, "ratelimit-policy"), "\"tasks-per-address\";q=1;w=60");
}

#[test]
fn tasks_of_a_key_that_wait_anywhere_count_together() {
    let site = Site::start();
    let (one, two) = (site.server("one", &IDLE), site.server("two", &IDLE));
    let key = site.key("--concurrent 2");
    let (one, two) = (one.client().with_key(&key), two.client().with_key(&key));
    let first: Value = ask(&one).json().expect("JSON");
    assert_eq!(ask(&two).status(), 202);
    for client in [&one, &two] {
        let answer = ask(client);
        assert_eq!(answer.status(), 429);
        assert!(wait(&answer) > 0);
        assert_eq!(problem(answer)["code"], "too-many-tasks");
    }
    // The other server makes room.
    let path = format!("/api/v1/tasks/{}", first["id"].as_str().expect("an id"));
    assert_eq!(two.delete(&path).expect("an answer").0, 200);
    assert_eq!(ask(&one).status(), 202);
}

/// A task of two bars, done: its `Cache-Status`, itself, and what is in its files.
fn play(client: &Client, seed: u64) -> (String, Value, Vec<Vec<u8>>) {
    let id = client.submit(&json!({"style": "funk", "bars": 2, "seed": seed}));
    let task = client.finished(&id);
    assert_eq!(task["status"], "complete", "{task}");
    let answer = client.response(&format!("/api/v1/tasks/{id}")).expect("an answer");
    let files = client.files(&task);
    (header(&answer, "cache-status").to_owned(), task, files)
}

#[test]
fn what_one_server_has_played_another_takes_from_the_cache() {
    let site = Site::start();
    let one = site.server("one", &["cache.store=redis"]);
    let (status, first, bytes) = play(&one.client(), 7);
    assert_eq!(status, "partita; fwd=miss");
    let two = site.server("two", &["cache.store=redis"]);
    // While it stands still, all tasks are the other's.
    one.process.signal("-STOP");
    let (status, second, same) = play(&two.client(), 7);
    assert_eq!(status, "partita; hit");
    assert_ne!(second["id"], first["id"]);
    assert_eq!(second["result"]["notes"], first["result"]["notes"]);
    assert!(second["result"]["notes"].as_array().is_some_and(|notes| !notes.is_empty()), "{second}");
    assert!(same == bytes, "the files differ");
    let (status, third, other) = play(&two.client(), 8);
    assert_eq!(status, "partita; fwd=miss");
    assert!(other != bytes && third["result"]["notes"] != first["result"]["notes"]);
    let page = two.client().response("/metrics").expect("an answer").text().expect("text");
    for line in ["partita_cache_hits_total 1", "partita_cache_misses_total 1"] {
        assert!(page.lines().any(|got| got == line), "{line} is not in\n{page}");
    }
    one.process.signal("-CONT");
    // Each hands out what the other made, and the cache works both ways.
    assert!(one.client().files(&second) == bytes && two.client().files(&first) == bytes);
    drop(two);
    let (status, fourth, again) = play(&one.client(), 8);
    assert_eq!(status, "partita; hit");
    assert!(fourth["result"]["notes"] == third["result"]["notes"] && again == other);
}

/// Two servers that do not agree on what to do when nobody can count.
struct Two {
    open: Server,
    closed: Server,
    /// Their connections to Redis for counting: the last that a server makes.
    counters: [String; 2],
}

impl Two {
    fn start(site: &Site) -> Two {
        let server = |how: &str| {
            let failure = format!("limits.on_failure={how}");
            let server = site.server(how, &[&IDLE[..], &[failure.as_str()]].concat());
            (server, site.youngest())
        };
        let ((open, first), (closed, second)) = (server("open"), server("closed"));
        Two { open, closed, counters: [first, second] }
    }
}

const UNCOUNTED: &str = "a task passed uncounted";

fn uncounted(server: &Server) -> usize {
    server.log.text().matches(UNCOUNTED).count()
}

/// A refusal because Redis cannot be asked.
fn unavailable(answer: Response) {
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert!(wait(&answer) > 0);
    let problem = problem(answer);
    assert_eq!((&problem["status"], &problem["code"]), (&json!(503), &json!("unavailable")), "{problem}");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("the task store cannot be reached"), "{detail}");
}

#[test]
fn a_connection_that_was_lost_costs_neither_a_count_nor_a_task() {
    let site = Site::start();
    let key = site.key("--hourly 100");
    let two = Two::start(&site);
    let (open, closed) = (two.open.client().with_key(&key), two.closed.client().with_key(&key));
    assert_eq!((left(&ask(&open)), left(&ask(&closed))), (Some(99), Some(98)));
    two.counters.iter().for_each(|connection| site.cut(connection));
    assert_eq!((left(&ask(&open)), left(&ask(&closed))), (Some(97), Some(96)));
    for server in [&two.open, &two.closed] {
        assert_eq!(uncounted(server), 0, "{}", server.log.text());
    }
}

#[test]
fn tasks_pass_uncounted_or_are_refused_while_nobody_can_count_as_configured() {
    let site = Site::start();
    let key = site.key("--hourly 100");
    let two = Two::start(&site);
    let (open, closed) = (two.open.client().with_key(&key), two.closed.client().with_key(&key));
    assert_eq!((left(&ask(&open)), left(&ask(&closed))), (Some(99), Some(98)));
    // Those that are there stay; no new one is let in.
    let mut door = site.door();
    let cut: Vec<String> = two.counters.iter().map(|id| format!("CLIENT KILL ID {id}")).collect();
    door.say(&cut[0]);
    door.say(&cut[1]);
    door.say("CONFIG SET maxclients 1");
    let answer = ask(&open);
    assert_eq!((answer.status().as_u16(), left(&answer)), (202, None));
    two.open.log.says(UNCOUNTED);
    unavailable(ask(&closed));
    assert_eq!(tasks(&open), 3, "one was refused");
    door.say("CONFIG SET maxclients 1000");
    // Both count on from where they were.
    assert_eq!((left(&ask(&open)), left(&ask(&closed))), (Some(97), Some(96)));
    assert_eq!(uncounted(&two.closed), 0, "{}", two.closed.log.text());
}

/// Asks until a task is taken and counted; returns how many are left.
fn counted(client: &Client) -> u32 {
    let start = Instant::now();
    loop {
        let answer = ask(client);
        match (answer.status().as_u16(), left(&answer)) {
            (202, Some(left)) => return left,
            (202 | 503, _) => assert!(start.elapsed() < PATIENCE, "it never counts again"),
            _ => panic!("{answer:?}"),
        }
    }
}

#[test]
fn a_killed_redis_refuses_tasks_and_forgets_no_count() {
    let mut site = Site::start();
    let key = site.key("--hourly 100");
    let two = Two::start(&site);
    let (open, closed) = (two.open.client().with_key(&key), two.closed.client().with_key(&key));
    assert_eq!((left(&ask(&open)), left(&ask(&closed))), (Some(99), Some(98)));
    site.redis.process.kill();
    for client in [&open, &closed] {
        let asked = Instant::now();
        unavailable(ask(client));
        assert!(asked.elapsed().as_secs() < 12, "it took {:?}", asked.elapsed());
        assert_eq!(client.get("/health/live").expect("an answer").0, 200);
    }
    // The one passed the limiter and found nobody to keep the task; the other stopped there.
    two.open.log.says(UNCOUNTED);
    assert_eq!(uncounted(&two.closed), 0, "{}", two.closed.log.text());
    site.redis = Redis::start(&site.place.path(""));
    for client in [&open, &closed] {
        assert!(counted(client) < 98, "the count began anew");
    }
    assert_eq!(counted(&open) - 1, counted(&closed));
}

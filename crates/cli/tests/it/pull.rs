//! Models from a hub on this machine: the program that fetches them is stopped, killed and run twice.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake_hub::{COMMIT, FakeHub, Fault, noise};
use crate::run::{Place, Ran};

const WEIGHTS: &str = "model.safetensors";
const LENGTH: usize = 3_000_000;
/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

struct Site {
    place: Place,
    hub: FakeHub,
}

impl Site {
    /// A hub with the small model and its weights, and an empty store.
    fn new() -> (Site, Vec<u8>) {
        let hub = FakeHub::start();
        let weights = hub.put_small(1, LENGTH);
        (Site { place: Place::new(), hub }, weights)
    }

    fn command(&self, line: &str) -> Command {
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        arguments.extend(["--data-dir", "data"]);
        let mut command = self.place.command(&arguments);
        for variable in ["HF_TOKEN", "HF_HUB_OFFLINE", "PARTITA_CONFIG"] {
            command.env_remove(variable);
        }
        command.env("HF_ENDPOINT", &self.hub.url);
        command
    }

    fn run(&self, line: &str) -> Ran {
        Ran(self.command(line).output().expect("the program starts"))
    }

    fn ok(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code(), 0, "{line}: {}", ran.stderr());
        ran
    }

    fn start(&self, line: &str) -> Running {
        let child = self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running(child.expect("the program starts"))
    }

    fn part(&self, file: &str) -> PathBuf {
        self.place.path("data").join(format!("store/partial/musicgen-small/{file}.part"))
    }

    fn waits_for(&self, file: &str, bytes: u64) {
        let start = Instant::now();
        while std::fs::metadata(self.part(file)).map_or(0, |about| about.len()) < bytes {
            assert!(start.elapsed() < PATIENCE, "{file} never has {bytes} bytes");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Names of the models in the store.
    fn models(&self) -> Vec<String> {
        let listed = self.ok("models list --json").json();
        let models = listed["models"].as_array().expect("a list").iter();
        let stored = models.filter(|model| model["place"] == "store");
        stored.map(|model| model["name"].as_str().expect("a name").to_owned()).collect()
    }

    fn holds(&self, weights: &[u8]) -> bool {
        let shown = self.ok("models show musicgen-small --json").json();
        let folder = self.place.path(shown["folder"].as_str().expect("a path"));
        std::fs::read(folder.join(WEIGHTS)).is_ok_and(|bytes| bytes == weights)
    }
}

/// A child that does not outlive the test.
struct Running(Child);

impl Running {
    #[cfg(unix)]
    fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.0.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// SIGKILL, and gone.
    fn kill(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }

    /// Its exit code and what it said on stderr.
    fn end(&mut self) -> (i32, String) {
        let start = Instant::now();
        let status = loop {
            match self.0.try_wait().expect("our child") {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => panic!("the program does not end"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let mut said = String::new();
        let stderr = self.0.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut said).expect("text");
        (status.code().unwrap_or(-1), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn the_licence_is_shown_and_must_be_accepted_once() {
    let (site, weights) = Site::new();
    let ran = site.run("models pull musicgen-small");
    assert_eq!(ran.code(), 2, "{}", ran.stderr());
    for words in
        ["CC-BY-NC-4.0", "https://creativecommons.org/licenses/by-nc/4.0/", "2.4 GB", "--accept-licence"]
    {
        assert!(ran.stderr().contains(words), "{words}: {}", ran.stderr());
    }
    let ran = site.run("models pull musicgen-small --json");
    assert_eq!((ran.code(), &ran.json()["error"]["field"]), (2, &json!("accept-licence")));
    assert!(site.hub.asked().is_empty(), "somebody was called before");

    let pulled = site.ok("models pull musicgen-small --accept-licence --json").json();
    assert_eq!((&pulled["state"], &pulled["licence"]), (&json!("installed"), &json!("CC-BY-NC-4.0")));
    assert_eq!(pulled["source"]["commit"], COMMIT);
    assert!(site.holds(&weights));
    // Not asked again, for another model either.
    site.hub.put_melody(2, &noise(3, 1000));
    let ran = site.ok("models pull musicgen-melody");
    assert!(ran.stdout().starts_with("musicgen-melody  installed, "), "{}", ran.stdout());
    assert!(ran.stderr().is_empty(), "{}", ran.stderr());
    assert_eq!(site.models(), ["musicgen-melody", "musicgen-small"]);
}

#[test]
fn the_first_use_fetches_where_the_configuration_says_so() {
    let (site, weights) = Site::new();
    let line = "generate audio --prompt rain --seconds 1 -o rain.wav";
    let refused = site.run(line);
    assert_eq!(refused.code(), 3);
    assert!(refused.stderr().contains("partita models pull musicgen-small"), "{}", refused.stderr());
    assert_eq!(site.models(), Vec::<String>::new());
    let mut command = site.command(line);
    command.env("PARTITA_MODELS__AUTO_PULL", "true");
    // The hub's weights are noise: they are fetched, and refused when they are to play.
    let ran = Ran(command.output().expect("the program starts"));
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    assert_eq!(site.models(), ["musicgen-small"]);
    assert!(site.holds(&weights));
}

#[test]
fn a_model_of_the_store_is_listed_shown_checked_and_removed() {
    let (site, weights) = Site::new();
    let shown = site.ok("models show musicgen-small").stdout();
    for words in ["not installed", "2.4 GB", "CC-BY-NC-4.0", "`partita models pull musicgen-small`"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(site.ok("models show musicgen-small --json").json()["installed"], false);
    let there = |site: &Site| {
        let listed = site.ok("models list --available --json").json();
        let all = listed["available"].as_array().expect("a list").clone();
        assert!(all.len() > 10 && all.iter().any(|model| model["name"] == "cat-mel_2bar_big"));
        all.into_iter().find(|model| model["name"] == "musicgen-small").expect("published")["installed"]
            .clone()
    };
    assert_eq!(there(&site), false);
    site.ok("models pull musicgen-small --accept-licence");
    assert_eq!(there(&site), true);
    assert!(site.ok("models list").stdout().contains("musicgen-small  store, 3.0 MB, CC-BY-NC-4.0"));
    let shown = site.ok("models show musicgen-small").stdout();
    for words in [COMMIT, "tokenizer.json", "CC-BY-NC-4.0", "folder", &site.hub.url] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let checked = site.ok("models verify --json").json();
    let models = checked["models"].as_array().expect("a list");
    assert!(models.iter().all(|model| model["ok"] == true), "{checked}");
    assert_eq!(models.iter().filter(|model| model["place"] != "bundled").count(), 1, "{checked}");
    assert_eq!(site.ok("models verify musicgen-small").stdout(), "musicgen-small  ok, 5 files, 3.0 MB\n");

    let folder = site.ok("models show musicgen-small --json").json()["folder"].clone();
    let path = site.place.path(folder.as_str().expect("a path")).join(WEIGHTS);
    let mut wrong = weights;
    wrong[LENGTH - 1] ^= 1;
    std::fs::write(&path, wrong).expect("written");
    let ran = site.run("models verify");
    assert_eq!(ran.code(), 1);
    for words in
        ["model musicgen-small is damaged: model.safetensors must have sha256", "pull musicgen-small --force"]
    {
        assert!(ran.stderr().contains(words), "{}", ran.stderr());
    }
    let again = site.ok("models pull musicgen-small --force --json").json();
    assert_eq!(again["fetched_bytes"], again["bytes"]);
    site.ok("models verify musicgen-small");

    let removed = site.ok("models rm musicgen-small --json").json();
    assert!(removed["freed_bytes"].as_u64() >= Some(LENGTH as u64), "{removed}");
    assert!(site.models().is_empty());
    let ran = site.run("models rm musicgen-small");
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
}

#[test]
fn what_cannot_be_done_has_its_exit_code_and_says_what_would_help() {
    let (site, _) = Site::new();
    for (line, code, words) in [
        ("models pull musicgen-smal", 3, "did you mean musicgen-small?"),
        ("models pull ../x", 3, "models list --available"),
        ("models pull musicgen-small --endpoint ftp://x", 2, "must be http://HOST"),
        ("models pull musicgen-small --revision a/../b", 2, "revision must be"),
        ("models pull musicgen-small --offline", 3, "cannot be fetched offline"),
        ("models pull musicgen-small --accept-licence --revision v9", 3, "Invalid rev id"),
        ("models show ../../etc", 2, "a model's name must be"),
        ("models rm nothing", 3, "no model is called \"nothing\""),
        ("models verify musicgen-small", 3, "not installed"),
        ("models import nowhere", 3, "cannot read nowhere"),
    ] {
        let ran = site.run(line);
        assert_eq!(ran.code(), code, "{line}: {}", ran.stderr());
        assert!(ran.stderr().contains(words), "{line}: {}", ran.stderr());
        assert!(ran.stderr().starts_with("error: ") || line.contains("accept"), "{line}: {}", ran.stderr());
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut call = site.command("models pull musicgen-small");
    let ran = Ran(call.env("HF_ENDPOINT", format!("http://{closed}")).output().expect("starts"));
    assert_eq!(ran.code(), 4, "{}", ran.stderr());
    assert!(ran.stderr().contains("trying again in 1 s") && ran.stderr().contains(&closed.to_string()));
    let mut call = site.command("models pull musicgen-small");
    let ran = Ran(call.env("HF_TOKEN", "a secret\u{7}").output().expect("starts"));
    assert!(ran.code() == 2 && !ran.stderr().contains("secret"), "{}", ran.stderr());
    assert!(site.models().is_empty());
}

#[test]
fn the_variables_of_the_hubs_own_tools_hold_here_too() {
    let (site, weights) = Site::new();
    let mut call = site.command("models pull musicgen-small --accept-licence");
    let ran = Ran(call.env("HF_TOKEN", "hf_secret").output().expect("starts"));
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let asked = site.hub.asked();
    let with = asked.iter().filter(|asked| asked.header("authorization") == Some("Bearer hf_secret"));
    assert!(with.clone().count() > 5 && with.clone().all(|asked| !asked.elsewhere));
    assert!(
        asked.iter().all(|asked| asked.elsewhere == asked.header("authorization").is_none()),
        "{asked:?}"
    );
    let mut call = site.command("models pull musicgen-small --json");
    let ran = Ran(call.env("HF_HUB_OFFLINE", "1").output().expect("starts"));
    assert_eq!(ran.json()["state"], "unchecked");
    assert!(site.hub.asked().is_empty() && site.holds(&weights));
}

#[cfg(target_os = "linux")]
#[test]
fn models_live_where_the_system_keeps_data_of_programs() {
    let (site, _) = Site::new();
    let mut call = site.place.command(&["models", "pull", "musicgen-small", "--accept-licence", "--json"]);
    let data = site.place.path("xdg");
    let ran =
        Ran(call.env("HF_ENDPOINT", &site.hub.url).env("XDG_DATA_HOME", &data).output().expect("starts"));
    let folder = ran.json()["folder"].as_str().expect("a path").to_owned();
    assert!(folder.starts_with(data.join("partita/store/folders").to_str().expect("plain")), "{folder}");
}

#[test]
fn a_pull_killed_anywhere_installs_nothing_and_the_next_one_goes_on() {
    let (site, weights) = Site::new();
    for (file, bytes) in [("tokenizer.json", 7), (WEIGHTS, 1), (WEIGHTS, 1_000_000), (WEIGHTS, LENGTH - 1)] {
        site.hub.heal();
        let before = std::fs::metadata(site.part(file)).map_or(0, |about| about.len());
        site.hub.fail("GET", file, 1, Fault::Stall(bytes - before as usize));
        let mut pull = site.start("models pull musicgen-small --accept-licence");
        site.waits_for(file, bytes as u64);
        pull.kill();
        assert!(site.models().is_empty(), "killed at {bytes} of {file}");
        assert_eq!(std::fs::metadata(site.part(file)).expect("kept").len(), bytes as u64);
    }
    site.hub.heal();
    site.hub.asked();
    let pulled = site.ok("models pull musicgen-small --json").json();
    assert_eq!(pulled["fetched_bytes"], 1, "only the last byte was missing");
    let asked = site.hub.asked();
    let last = asked.iter().rfind(|asked| asked.method == "GET").expect("asked");
    assert_eq!(last.header("range"), Some("bytes=2999999-"));
    assert!(site.holds(&weights));
    site.ok("models verify musicgen-small");
}

/// The kill falls into every part of a pull, the last step among them, as often as not.
#[test]
fn at_no_moment_does_a_kill_leave_a_damaged_model() {
    let (site, weights) = Site::new();
    let start = Instant::now();
    site.ok("models pull musicgen-small --accept-licence");
    let whole = start.elapsed();
    for part in 1..=16 {
        site.hub.put("facebook/musicgen-small/tokenizer.json", format!("[{part}]").as_bytes(), false);
        if part % 4 == 0 {
            site.run("models rm musicgen-small");
        }
        let mut pull = site.start("models pull musicgen-small --force");
        std::thread::sleep(whole * part / 16);
        pull.kill();
        let listed = site.ok("models list --json").json();
        let models = listed["models"].as_array().expect("a list");
        assert!(models.iter().all(|model| model["ok"] == true), "{listed}");
    }
    site.ok("models pull musicgen-small");
    site.ok("models verify");
    assert!(site.holds(&weights));
    let store = site.place.path("data/store");
    let count = |folder: &str| std::fs::read_dir(store.join(folder)).map_or(0, Iterator::count);
    assert_eq!((count("blobs"), count("folders"), count("partial")), (5, 1, 0));
}

#[test]
fn of_two_processes_one_waits_and_takes_over_when_the_other_is_killed() {
    let (site, weights) = Site::new();
    site.hub.fail("GET", WEIGHTS, 1, Fault::Stall(2_000_000));
    let mut first = site.start("models pull musicgen-small --accept-licence");
    site.waits_for(WEIGHTS, 2_000_000);
    let mut second = site.start("models pull musicgen-small");
    let ran = site.run("models rm musicgen-small");
    assert!(ran.code() == 1 && ran.stderr().contains("by another process"), "{}", ran.stderr());
    std::thread::sleep(Duration::from_millis(500));
    assert!(second.0.try_wait().expect("our child").is_none(), "it did not wait");
    first.kill();
    let (code, said) = second.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("another process works on this model; waiting for it"), "{said}");
    let asked = site.hub.asked();
    let gets: Vec<_> = asked.iter().filter(|asked| asked.elsewhere && asked.method == "GET").collect();
    assert!(gets.len() == 2 && gets[1].header("range") == Some("bytes=2000000-"), "{gets:?}");
    assert!(site.holds(&weights));
}

#[test]
fn two_processes_at_once_fetch_every_file_once() {
    let (site, weights) = Site::new();
    let mut both = [0; 2].map(|_| site.start("models pull musicgen-small --accept-licence"));
    for pull in &mut both {
        let (code, said) = pull.end();
        assert_eq!(code, 0, "{said}");
    }
    assert_eq!(site.hub.fetched(WEIGHTS), 1);
    assert!(site.holds(&weights));
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_a_pull_that_hears_nothing_and_the_next_one_goes_on() {
    let (site, weights) = Site::new();
    site.hub.fail("GET", WEIGHTS, 1, Fault::Stall(1_500_000));
    let mut pull = site.start("models pull musicgen-small --accept-licence");
    site.waits_for(WEIGHTS, 1_500_000);
    let asked = Instant::now();
    pull.signal("-INT");
    let (code, said) = pull.end();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("what has come so far is kept"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    let pulled: Value = site.ok("models pull musicgen-small --json").json();
    assert_eq!(pulled["fetched_bytes"], LENGTH as u64 - 1_500_000);
    assert!(site.holds(&weights));
}

/// Files of this process may have so many blocks of 512 bytes; what is longer meets a full disk.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_meanwhile_is_told_and_leaves_no_half_model() {
    let (site, weights) = Site::new();
    let program = site.command("models pull musicgen-small --accept-licence");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""]);
    shell.arg(program.get_program()).args(program.get_args()).current_dir(site.place.path(""));
    let ran = Ran(shell.env("HF_ENDPOINT", &site.hub.url).output().expect("a shell"));
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    assert!(ran.stderr().contains("no space left for models in "), "{}", ran.stderr());
    assert!(site.models().is_empty());
    let kept = std::fs::metadata(site.part(WEIGHTS)).expect("kept").len();
    assert!((1..LENGTH as u64).contains(&kept), "{kept}");
    let pulled = site.ok("models pull musicgen-small --json").json();
    assert_eq!(pulled["fetched_bytes"], LENGTH as u64 - kept);
    assert!(site.holds(&weights));
}

#[test]
fn a_folder_of_the_users_becomes_a_model() {
    let (site, _) = Site::new();
    let folder = site.place.path("Tiny");
    std::fs::create_dir(&folder).expect("made");
    for (name, text) in [("config.json", r#"{"model_type":"musicgen"}"#), ("tokenizer.json", "{}")] {
        std::fs::write(folder.join(name), text).expect("written");
    }
    let ran = site.run("models import Tiny");
    assert!(
        ran.code() == 1 && ran.stderr().contains("must have one of model.safetensors"),
        "{}",
        ran.stderr()
    );
    std::fs::write(folder.join(WEIGHTS), noise(4, 5000)).expect("written");
    let imported = site.ok("models import Tiny --json").json();
    assert_eq!((&imported["name"], &imported["licence"]), (&json!("tiny"), &Value::Null));
    assert_eq!(imported["source"], json!({ "imported": true }));
    let ran = site.run("models import Tiny");
    assert!(ran.code() == 1 && ran.stderr().contains("--force replaces it"), "{}", ran.stderr());
    site.ok("models import Tiny --force --copy");
    site.ok("models import Tiny --name other");
    assert_eq!(site.models(), ["other", "tiny"]);
    site.ok("models rm tiny");
    assert_eq!(site.ok("models verify other").stdout(), "other  ok, 3 files, 5.0 kB\n");
    assert!(folder.join(WEIGHTS).is_file() && site.hub.asked().is_empty());
}

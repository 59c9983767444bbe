//! Cleaning up a folder of files: what has expired goes, and what a crash left.
//!
//! It is done every minute, on a folder that may hold millions of files, so it looks at as little as it can. A part of
//! the folder in which nothing has changed and nothing is due is not listed again; in one that is listed, only sidecars
//! are opened whose time has come by their time of modification (see [`stamp`]), or whose file has more than one body.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::folder::{Folder, lock, read_sidecar, remove_file, stamp};
use super::{body_name, parse_id, sidecar_name};

/// Left alone for so long: somebody may still be writing it.
const FRESH: Duration = Duration::from_secs(3600);
/// A folder that was changed less long ago may change again without looking so: its clock moves in small steps.
const SETTLED: Duration = Duration::from_secs(2);
/// Every folder is listed this often, whatever its file system says of changes.
const LISTED: Duration = Duration::from_secs(3600);

/// What a clean-up keeps for the next one.
#[derive(Default)]
pub(super) struct Seen {
    /// What looked like left by a crash.
    suspects: HashSet<PathBuf>,
    /// Of folders that had settled.
    looks: HashMap<PathBuf, Look>,
}

/// A folder as it was when it was listed.
#[derive(Clone)]
struct Look {
    at: Instant,
    changed: SystemTime,
    /// Nothing in it is to be done before (milliseconds since 1970).
    due: i64,
}

/// What a clean-up did.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Swept {
    /// Removed.
    pub files: u64,
    /// Of them.
    pub bytes: u64,
    /// Folders whose entries were read.
    pub listed: u64,
    /// Sidecars that were read.
    pub opened: u64,
}

/// One clean-up.
struct Round {
    now: i64,
    swept: Swept,
    before: Seen,
    after: Seen,
    /// When the folder at hand is to be looked at again.
    due: i64,
}

/// The entries of one file.
#[derive(Default)]
struct Entries {
    has_sidecar: bool,
    /// Names; more than one after the file was replaced, or when a body was written again.
    bodies: Vec<String>,
}

impl Folder {
    /// Removes what expired before `now` (milliseconds) and what a crash left.
    pub fn clean(&self, now: i64) -> io::Result<Swept> {
        let before = std::mem::take(&mut *lock(&self.seen));
        let (swept, after) = Default::default();
        let mut round = Round { now, swept, before, after, due: i64::MAX };
        for name in names(&self.temporary())? {
            round.remove_old(self.temporary().join(name))?;
        }
        for name in names(&self.root)?.into_iter().filter(|name| name != "tmp") {
            self.clean_leaf(&self.root.join(name), &mut round)?;
        }
        *lock(&self.seen) = round.after;
        let Swept { files, bytes, listed, opened } = round.swept;
        tracing::debug!(files, bytes, listed, opened, "the folder of files is clean");
        Ok(round.swept)
    }

    fn clean_leaf(&self, leaf: &Path, round: &mut Round) -> io::Result<()> {
        // Before it is listed: what changes meanwhile shows as a change.
        let changed = fs::metadata(leaf).and_then(|about| about.modified()).ok();
        if let Some(look) = round.before.looks.get(leaf)
            && changed == Some(look.changed)
            && round.now < look.due
            && look.at.elapsed() < LISTED
        {
            round.after.looks.insert(leaf.to_owned(), look.clone());
            return Ok(());
        }
        round.swept.listed += 1;
        round.due = i64::MAX;
        for (id, entries) in files(leaf)? {
            self.clean_file(leaf, &id, entries, round)?;
        }
        let settled = |changed: &SystemTime| changed.elapsed().is_ok_and(|age| age >= SETTLED);
        if let Some(changed) = changed.filter(settled) {
            let look = Look { at: Instant::now(), changed, due: round.due };
            round.after.looks.insert(leaf.to_owned(), look);
        }
        Ok(())
    }

    fn clean_file(&self, leaf: &Path, id: &str, entries: Entries, round: &mut Round) -> io::Result<()> {
        let path = leaf.join(sidecar_name(id));
        let mut named = None;
        if entries.has_sidecar {
            let ends = modified(&path).filter(|ends| *ends > round.now);
            // Only its sidecar tells which of several bodies is its own.
            if let Some(ends) = ends
                && entries.bodies.len() <= 1
            {
                round.look_again(ends);
                return Ok(());
            }
            round.swept.opened += 1;
            match read_sidecar(&path) {
                Ok(Some(artifact)) if artifact.expires_at > round.now => {
                    // A copy of the folder has other times; an older program wrote none.
                    if ends.is_none()
                        && let Ok(sidecar) = File::options().write(true).open(&path)
                    {
                        stamp(&sidecar, artifact.expires_at);
                    }
                    round.look_again(artifact.expires_at);
                    named = Some(body_name(&artifact));
                }
                Ok(Some(_)) => named = self.expire(leaf, &path, round)?,
                _ => round.remove_old(path)?,
            }
        }
        for body in entries.bodies {
            if named.as_ref() != Some(&body) {
                round.remove_old(leaf.join(body))?;
            }
        }
        Ok(())
    }

    /// Removes a file whose time has come, unless that was put off just now; returns the name of a body that stays.
    fn expire(&self, leaf: &Path, sidecar: &Path, round: &mut Round) -> io::Result<Option<String>> {
        let _ends = lock(&self.ends);
        let Some(artifact) = read_sidecar(sidecar)? else { return Ok(None) };
        if artifact.expires_at > round.now {
            round.look_again(artifact.expires_at);
            return Ok(Some(body_name(&artifact)));
        }
        remove_file(sidecar)?;
        remove_file(&leaf.join(body_name(&artifact)))?;
        round.swept.files += 1;
        round.swept.bytes += artifact.bytes;
        Ok(None)
    }
}

impl Round {
    /// The folder at hand is to be looked at again at this time (milliseconds) at the latest.
    fn look_again(&mut self, time: i64) {
        self.due = self.due.min(time);
    }

    /// Removes what is old and was so the last time: by one look alone, everything is old to a clock that has jumped.
    fn remove_old(&mut self, path: PathBuf) -> io::Result<()> {
        let Ok(about) = fs::symlink_metadata(&path) else { return Ok(()) };
        if !about.is_file() {
            return Ok(());
        }
        // Looked at each time: few files are fresh, and none is suspected for long.
        self.look_again(self.now);
        let age = about.modified().ok().and_then(|time| time.elapsed().ok());
        if age.is_none_or(|age| age < FRESH) {
            return Ok(());
        }
        if !self.before.suspects.contains(&path) {
            self.after.suspects.insert(path);
            return Ok(());
        }
        remove_file(&path)?;
        self.swept.files += 1;
        self.swept.bytes += about.len();
        Ok(())
    }
}

/// The files in a folder by their ids. What is not ours is left alone.
fn files(leaf: &Path) -> io::Result<HashMap<String, Entries>> {
    let mut files: HashMap<String, Entries> = HashMap::new();
    for name in names(leaf)? {
        let Some((id, rest)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        if parse_id(id).is_err() {
            continue;
        }
        let entries = files.entry(id.to_owned()).or_default();
        match rest {
            "json" => entries.has_sidecar = true,
            _ => entries.bodies.push(format!("{id}.{rest}")),
        }
    }
    Ok(files)
}

/// Names in a folder; none if it is no folder.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(vec![])
        }
        Err(error) => Err(error),
    }
}

/// When an entry was modified, milliseconds since 1970; `None` where nobody can tell.
fn modified(path: &Path) -> Option<i64> {
    let time = fs::symlink_metadata(path).and_then(|about| about.modified()).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Artifacts;
    use crate::artifact::{Artifact, now};

    const DAY: i64 = 86_400_000;

    struct Place {
        dir: tempfile::TempDir,
        folder: Folder,
    }

    impl Place {
        fn new() -> Place {
            let dir = tempfile::tempdir().expect("a folder");
            let folder = Folder::open(dir.path().to_owned()).expect("a folder");
            Place { dir, folder }
        }

        /// Puts a file that is kept for so many milliseconds; returns its id.
        fn put(&self, body: &[u8], keep: i64) -> String {
            self.put_as(&Artifacts::random_id(), body, keep)
        }

        fn put_as(&self, id: &str, body: &[u8], keep: i64) -> String {
            let artifact = Artifact {
                id: id.to_owned(),
                name: "a.mid".into(),
                media_type: "audio/midi".into(),
                bytes: body.len() as u64,
                sha256: body.iter().map(|byte| format!("{byte:02x}")).collect(),
                created_at: now(),
                expires_at: now() + keep,
                task: String::new(),
            };
            self.folder.put(&artifact, body).expect("stored");
            id.to_owned()
        }

        /// Folders of files, and what is in them.
        fn paths(&self) -> Vec<PathBuf> {
            let inside = |folder: PathBuf| {
                let names = names(&folder).expect("a folder").into_iter();
                names.map(move |name| folder.join(name)).collect::<Vec<_>>()
            };
            let leaves = inside(self.dir.path().to_owned()).into_iter().filter(|leaf| !leaf.ends_with("tmp"));
            leaves.flat_map(|leaf| [vec![leaf.clone()], inside(leaf)].concat()).collect()
        }

        /// Makes all look as if they were changed so long ago of whom `which` says so.
        fn age(&self, age: Duration, which: impl Fn(&Path) -> bool) {
            for path in self.paths().iter().filter(|path| which(path)) {
                let file = File::open(path).expect("there");
                file.set_modified(SystemTime::now() - age).expect("set");
            }
        }

        fn clean_at(&self, now: i64) -> Swept {
            self.folder.clean(now).expect("cleaned")
        }

        fn clean(&self) -> Swept {
            self.clean_at(now())
        }
    }

    fn is_sidecar(path: &Path) -> bool {
        path.extension().is_some_and(|end| end == "json")
    }

    #[test]
    fn only_files_that_are_due_are_opened() {
        let place = Place::new();
        let kept: Vec<String> = (0..30).map(|_| place.put(b"kept", DAY)).collect();
        let clean = place.clean();
        assert_eq!((clean.files, clean.opened), (0, 0), "{clean:?}");
        let gone = place.put(b"12345", 0);
        let clean = place.clean();
        assert_eq!((clean.files, clean.bytes, clean.opened), (1, 5, 1), "{clean:?}");
        assert_eq!(place.folder.find(&gone).expect("reachable"), None);
        let clean = place.clean_at(now() + DAY + 1);
        assert_eq!((clean.files, clean.bytes, clean.opened), (30, 120, 30), "{clean:?}");
        assert!(kept.iter().all(|id| place.folder.find(id).expect("reachable").is_none()));
    }

    #[test]
    fn a_folder_in_which_nothing_changes_is_listed_again_when_something_in_it_is_due() {
        let place = Place::new();
        place.put(b"early", DAY);
        place.put(b"late", 2 * DAY);
        // Just changed: it may change again without looking so.
        assert!(place.clean().listed > 0 && place.clean().listed > 0);
        place.age(2 * SETTLED, Path::is_dir);
        assert!(place.clean().listed > 0);
        assert_eq!(place.clean(), Swept::default());
        let third = place.put(b"third", 2 * DAY);
        assert_eq!(place.clean().listed, 1, "one folder has changed");
        place.age(2 * SETTLED, Path::is_dir);
        place.clean();
        let clean = place.clean_at(now() + DAY + 1);
        assert_eq!((clean.files, clean.listed), (1, 1), "{clean:?}");
        place.folder.extend(&third, now() + 3 * DAY).expect("stored").expect("there");
        let clean = place.clean_at(now() + 2 * DAY + 1);
        assert_eq!(clean.files, 1, "{clean:?}");
        assert_eq!(place.clean_at(now() + 3 * DAY + 1).files, 1);
        assert_eq!(place.folder.find(&third).expect("reachable"), None);
    }

    #[test]
    fn a_copy_of_the_folder_with_other_times_keeps_and_ends_the_same_files() {
        let place = Place::new();
        place.put(b"kept", DAY);
        place.put(b"gone", 0);
        place.age(FRESH * 2, |_| true);
        let clean = place.clean();
        assert_eq!((clean.files, clean.opened), (1, 2), "{clean:?}");
        let clean = place.clean();
        assert_eq!((clean.files, clean.opened), (0, 0), "its time is known again: {clean:?}");
        assert_eq!(place.clean_at(now() + DAY + 1).files, 1);
    }

    #[test]
    fn a_body_that_was_replaced_goes_before_its_file_does() {
        let place = Place::new();
        let id = place.put(b"first", DAY);
        place.put_as(&id, b"second", DAY);
        assert_eq!(place.clean().files, 0, "somebody may still be reading it");
        place.age(FRESH * 2, |path| !is_sidecar(path));
        assert_eq!(place.clean().files, 0, "the clock may have jumped");
        let clean = place.clean();
        assert_eq!((clean.files, clean.bytes), (1, 5), "{clean:?}");
        let left = place.folder.find(&id).expect("reachable").expect("there");
        assert_eq!(place.folder.read(&left, 0..6).expect("whole"), b"second");
        assert_eq!(place.clean().opened, 0);
    }
}

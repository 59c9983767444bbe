//! Many requests as one task: played side by side, so that they share the model's steps.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Change, Made, MadeFile, Model, Report, generate};
use crate::request::{Batch, Generate};
use crate::result::Counts;
use crate::{Code, Fault, Item, Note, Outcome};

/// Requests at work at once; more would only wait for a place in the model's steps.
const MOST_AT_ONCE: usize = 64;

/// Plays every request; one that fails does not stop the others.
///
/// # Errors
/// `Cancelled`.
pub(crate) fn play(model: &Model, batch: &Batch, report: &mut dyn Report) -> Result<Made, Fault> {
    let requests = &batch.requests;
    let board = Board {
        state: Mutex::new(State {
            report,
            fractions: vec![0.0; requests.len()],
            done: 0,
            cancelled: false,
            changes: Vec::new(),
        }),
    };
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<Made, Fault>>>> =
        requests.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..requests.len().min(MOST_AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(index) else { return };
                    let result = play_item(model, request, index, &board);
                    *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    if board.lock().cancelled {
        return Err(Fault::new(Code::Cancelled, "cancelled"));
    }
    let mut files = Vec::new();
    let mut items = Vec::with_capacity(requests.len());
    for ((index, request), result) in requests.iter().enumerate().zip(results) {
        let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        let result = result.unwrap_or_else(|| Err(Fault::internal("was not played")));
        let custom_id = request.custom_id.clone();
        items.push(match result {
            Ok(made) => {
                files.extend(made.files.into_iter().map(|file| MadeFile { item: Some(index), ..file }));
                let result = Some(Box::new(made.outcome));
                Item { index, custom_id, status: "complete".into(), result, error: None }
            }
            Err(fault) => {
                Item { index, custom_id, status: "failed".into(), result: None, error: Some(fault) }
            }
        });
    }
    if batch.jsonl == Some(true) {
        files.push(MadeFile {
            take: None,
            item: None,
            name: JSONL_NAME.into(),
            media_type: "application/jsonl".into(),
            bytes: jsonl(&items),
        });
    }
    let completed = items.iter().filter(|item| item.error.is_none()).count();
    let counts = Counts { total: items.len(), completed, failed: items.len() - completed };
    let metrics = || items.iter().filter_map(|item| item.result.as_ref()).map(|result| &result.metrics);
    let mut outcome = Outcome { request_counts: Some(counts), ..Outcome::default() };
    outcome.metrics.tokens = metrics().map(|metrics| metrics.tokens).sum();
    outcome.metrics.generate_ms = metrics().map(|metrics| metrics.generate_ms).fold(0.0, f64::max);
    outcome.updated = items.iter().filter_map(|item| item.result.as_ref()).any(|result| result.updated);
    outcome.items = items;
    Ok(Made { outcome, files })
}

/// The name of the file with all items.
pub const JSONL_NAME: &str = "batch.jsonl";

/// Items as JSON, one a line. Whoever fills in the files of items makes the file anew.
pub fn jsonl(items: &[Item]) -> Vec<u8> {
    let mut lines = Vec::new();
    for item in items {
        // Items hold neither maps with odd keys nor anything that cannot be written.
        if serde_json::to_writer(&mut lines, item).is_ok() {
            lines.push(b'\n');
        }
    }
    lines
}

fn play_item(model: &Model, request: &Generate, index: usize, board: &Board) -> Result<Made, Fault> {
    let mut report = ItemReport { board, index, changes: 0 };
    let cancelled = report.progress("generate", 0.0, 0, 0).is_break();
    if cancelled {
        return Err(Fault::new(Code::Cancelled, "cancelled"));
    }
    // A defect that one request brings to light must not take the others with it.
    let played = catch_unwind(AssertUnwindSafe(|| generate(model, request, &mut report)));
    let result = played.unwrap_or_else(|_| Err(Fault::internal("a defect stopped this request")));
    let mut state = board.lock();
    state.done += 1;
    state.fractions[index] = 1.0;
    result
}

/// What the requests at work share.
struct Board<'a> {
    state: Mutex<State<'a>>,
}

struct State<'a> {
    report: &'a mut dyn Report,
    /// One a request.
    fractions: Vec<f64>,
    done: u64,
    cancelled: bool,
    /// Changes of sampling that came, oldest first; every request takes each once, on top of its own settings.
    changes: Vec<Change>,
}

impl<'a> Board<'a> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a report that one request sees.
struct ItemReport<'a, 'b> {
    board: &'a Board<'b>,
    index: usize,
    /// Changes taken.
    changes: usize,
}

impl Report for ItemReport<'_, '_> {
    fn progress(&mut self, _: &str, fraction: f64, _: u64, _: u64) -> ControlFlow<()> {
        let mut state = self.board.lock();
        if state.cancelled {
            return ControlFlow::Break(());
        }
        let own = &mut state.fractions[self.index];
        *own = own.max(fraction);
        let (all, done) = (state.fractions.len() as u64, state.done);
        let fraction = state.fractions.iter().sum::<f64>() / all.max(1) as f64;
        let flow = state.report.progress("generate", fraction.min(1.0), done, all);
        state.cancelled = flow.is_break();
        flow
    }

    fn notes(&mut self, _: Option<usize>, variation: usize, bar: u32, from_beat: f64, notes: Vec<Note>) {
        self.board.lock().report.notes(Some(self.index), variation, bar, from_beat, notes);
    }

    fn sampling(&mut self) -> Option<Change> {
        let mut state = self.board.lock();
        let new = state.report.sampling();
        state.changes.extend(new);
        let missed = state.changes[self.changes..].iter().copied().reduce(Change::then);
        self.changes = state.changes.len();
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ear(Vec<Change>);

    impl Report for Ear {
        fn progress(&mut self, _: &str, _: f64, _: u64, _: u64) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn notes(&mut self, _: Option<usize>, _: usize, _: u32, _: f64, _: Vec<Note>) {}

        fn sampling(&mut self) -> Option<Change> {
            self.0.pop()
        }
    }

    #[test]
    fn a_change_reaches_every_item_and_leaves_its_other_settings() {
        let [hot, few] = [
            Change { temperature: Some(2.0), ..Change::default() },
            Change { top_k: Some(5), ..Change::default() },
        ];
        let mut ear = Ear(vec![few, hot]);
        let state =
            State { report: &mut ear, fractions: vec![0.0; 2], done: 0, cancelled: false, changes: vec![] };
        let board = Board { state: Mutex::new(state) };
        let mut items = [0, 1].map(|index| ItemReport { board: &board, index, changes: 0 });
        assert_eq!(items[0].sampling(), Some(hot));
        assert_eq!(items[0].sampling(), Some(few));
        assert_eq!(items[0].sampling(), None);
        // One that begins late gets them all at once.
        assert_eq!(items[1].sampling(), Some(hot.then(few)));
        let own = crate::family::Sampling { temperature: 0.5, top_k: 7, top_p: 0.25 };
        assert_eq!(hot.of(own), crate::family::Sampling { temperature: 2.0, ..own });
    }
}

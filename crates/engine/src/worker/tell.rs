//! The words of the thread that plays: progress for heartbeats, events for whoever watches.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partita_queue::EventKind;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::control::Control;
use crate::family::{Change, Report, Sound};
use crate::{Note, Outcome};

/// Events on their way to the log of a job.
pub(super) type Said = (EventKind, Value);

/// Progress is told at most five times a second.
const BETWEEN: Duration = Duration::from_millis(200);

/// What a thread reports to.
pub(super) struct Teller {
    control: Arc<Control>,
    said: UnboundedSender<Said>,
    began: Instant,
    last: Option<Instant>,
    stage: String,
}

impl Teller {
    pub fn new(control: Arc<Control>, said: UnboundedSender<Said>) -> Teller {
        Teller { control, said, began: Instant::now(), last: None, stage: String::new() }
    }

    /// Tells that the work begins.
    pub fn started(&mut self, model: &str, seed: Option<u64>, attempt: u32) {
        self.say(EventKind::Started, json!({"model": model, "seed": seed, "attempt": attempt}));
    }

    /// Tells the notes of a result that was there already, bar by bar as if they were played.
    pub fn replay(&mut self, outcome: &Outcome) {
        let [numerator, denominator] = outcome.time_signature.unwrap_or([4, 4]);
        let bar = f64::from(numerator.max(1)) * 4.0 / f64::from(denominator.max(1));
        for take in &outcome.takes {
            let Some(notes) = &take.notes else { continue };
            let place = |note: &Note| (note.start.max(0.0) / bar) as u32;
            for chunk in notes.chunk_by(|one, next| place(one) == place(next)) {
                let index = place(&chunk[0]);
                self.notes(None, take.variation, index, f64::from(index) * bar, chunk.to_vec());
            }
        }
    }

    fn say(&self, kind: EventKind, data: Value) {
        // Nobody listens any more once the lease is lost; the work stops then anyway.
        let _ = self.said.send((kind, data));
    }
}

impl Report for Teller {
    fn progress(&mut self, stage: &str, fraction: f64, step: u64, steps: u64) -> ControlFlow<()> {
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        let seconds = self.began.elapsed().as_secs_f64();
        let eta = (fraction > 0.02).then(|| seconds * (1.0 - fraction) / fraction);
        self.control.note(|progress| {
            if progress.stage != stage {
                stage.clone_into(&mut progress.stage);
            }
            (progress.fraction, progress.step, progress.steps, progress.eta) = (fraction, step, steps, eta);
        });
        if self.stage != stage || self.last.is_none_or(|last| last.elapsed() >= BETWEEN) {
            stage.clone_into(&mut self.stage);
            self.last = Some(Instant::now());
            let data =
                json!({"fraction": fraction, "stage": stage, "step": step, "steps": steps, "eta": eta});
            self.say(EventKind::Progress, data);
        }
        if self.control.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn notes(&mut self, item: Option<usize>, variation: usize, bar: u32, from_beat: f64, notes: Vec<Note>) {
        let mut data = json!({"variation": variation, "bar": bar, "from_beat": from_beat, "notes": notes});
        if let Some(item) = item {
            data["item"] = item.into();
        }
        self.say(EventKind::Notes, data);
    }

    fn sound(&mut self, sound: Sound) {
        let data = json!({
            "variation": sound.variation,
            "seq": sound.sequence,
            "codec": "pcm_s16le",
            "sample_rate": sound.sample_rate,
            "channels": sound.channels,
            "b64": STANDARD.encode(&sound.samples),
        });
        self.say(EventKind::Audio, data);
    }

    fn sampling(&mut self) -> Option<Change> {
        self.control.take_change()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Take;
    use crate::worker::control::Why;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    fn teller() -> (Teller, Arc<Control>, UnboundedReceiver<Said>) {
        let control = Arc::new(Control::default());
        let (said, heard) = unbounded_channel();
        (Teller::new(control.clone(), said), control, heard)
    }

    #[test]
    fn progress_is_kept_always_and_told_seldom() {
        let (mut teller, control, mut heard) = teller();
        for step in 0..1000 {
            assert!(teller.progress("generate", step as f64 / 1000.0, step, 1000).is_continue());
        }
        assert_eq!((control.progress().step, control.progress().steps), (999, 1000));
        let mut told = 0;
        while heard.try_recv().is_ok() {
            told += 1;
        }
        assert!((1..20).contains(&told), "{told}");
    }

    #[test]
    fn a_wild_fraction_is_tamed_and_a_stop_is_heard() {
        let (mut teller, control, _heard) = teller();
        let _ = teller.progress("generate", f64::NAN, 0, 0);
        assert_eq!(control.progress().fraction, 0.0);
        let _ = teller.progress("generate", 7.0, 0, 0);
        assert_eq!(control.progress().fraction, 1.0);
        control.stop(Why::Cancelled);
        assert!(teller.progress("generate", 0.5, 0, 0).is_break());
    }

    #[test]
    fn a_replay_tells_every_note_in_its_bar() {
        let (mut teller, _control, mut heard) = teller();
        let note = |start| Note { pitch: 36, start, duration: 0.25, velocity: 100, channel: 9 };
        let notes: Vec<_> = [0.0, 2.9, 3.0, 8.5].into_iter().map(note).collect();
        let takes = vec![Take { notes: Some(notes.clone()), ..Take::default() }];
        teller.replay(&Outcome { takes, time_signature: Some([6, 8]), ..Outcome::default() });
        let mut bars = vec![];
        let mut all = vec![];
        while let Ok((kind, data)) = heard.try_recv() {
            assert_eq!(kind, EventKind::Notes);
            bars.push((data["bar"].as_u64(), data["from_beat"].as_f64()));
            all.extend(serde_json::from_value::<Vec<Note>>(data["notes"].clone()).expect("notes"));
        }
        assert_eq!(bars, [(Some(0), Some(0.0)), (Some(1), Some(3.0)), (Some(2), Some(6.0))]);
        assert_eq!(all, notes);
    }
}

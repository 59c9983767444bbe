//! Progress bars, on stderr and only for people.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use partita_models::drums::{Progress, Watch};

use crate::cancel;
use crate::session::Session;

/// A bar of `length`, hidden unless someone looks; `template` is indicatif's.
pub fn bar(session: &Session, length: u64, template: &str) -> ProgressBar {
    if !session.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template).expect("templates are constants of this program");
    bar.set_style(style.progress_chars("━╸─"));
    bar
}

/// [`watch`] for lead sheets.
pub fn lead<T>(session: &Session, work: impl FnOnce(&mut partita_models::melody::Watch) -> T) -> T {
    watch(session, |watch| {
        work(&mut |progress| {
            let (bars, total_bars) = (progress.bars, progress.total_bars);
            watch.progress(&Progress { tokens: progress.tokens, bars, total_bars, new: Vec::new() })
        })
    })
}

/// [`watch`] for songs, whose parts come one after another.
pub fn song<T>(session: &Session, work: impl FnOnce(&mut partita_models::song::Watch) -> T) -> T {
    watch(session, |watch| {
        work(&mut |progress| {
            let (tokens, bars, total_bars) = (progress.tokens, progress.bars, progress.total_bars);
            watch.progress(&Progress { tokens, bars, total_bars, new: Vec::new() })
        })
    })
}

/// Runs `work` with a watch that moves a bar and stops at Ctrl-C.
pub fn watch<T>(session: &Session, work: impl FnOnce(&mut dyn Watch) -> T) -> T {
    cancel::listen();
    let bar = bar(session, 0, "{bar:30} bar {pos} of {len}  {msg}");
    let mut watch = |progress: &Progress| {
        bar.set_length(u64::from(progress.total_bars));
        bar.set_position(u64::from(progress.bars));
        bar.set_message(format!("{} tokens", progress.tokens));
        cancel::flow()
    };
    let result = work(&mut watch);
    bar.finish_and_clear();
    result
}

//! Ctrl-C: the first one asks, the second one kills.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Files that a killed program must not leave behind.
static STAGED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From here on Ctrl-C stops the work between two tokens instead of ending the program at once.
pub fn listen() {
    let handler = || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            staged().iter().for_each(|path| drop(std::fs::remove_file(path)));
            std::process::exit(130);
        }
    };
    // Without a handler Ctrl-C still ends the program, only less tidily.
    drop(ctrlc::set_handler(handler));
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// `Break` once Ctrl-C was pressed.
pub fn flow() -> ControlFlow<()> {
    if requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Remembers a file to be removed if the program is killed.
pub fn remember(path: &Path) {
    staged().push(path.to_path_buf());
}

/// The file is finished or gone.
pub fn forget(path: &Path) {
    staged().retain(|staged| staged != path);
}

fn staged() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    STAGED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

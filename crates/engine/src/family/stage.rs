//! The thread on which the requests of a model share their steps; it ends with the last handle.

use std::thread::{Builder, JoinHandle};

use crate::Fault;

/// A model's handle, and its thread.
pub(crate) struct Stage<P> {
    /// `None` only while it is dropped.
    player: Option<P>,
    thread: Option<JoinHandle<()>>,
}

impl<P> Stage<P> {
    /// Starts the thread, which has to run until the last clone of `player` is gone. `name` is the model's.
    ///
    /// # Errors
    /// `Internal` when there is no thread to be had.
    pub(crate) fn start(
        name: &str,
        player: P,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<Stage<P>, Fault> {
        let thread = Builder::new().name(format!("partita-{name}")).spawn(run);
        let thread =
            thread.map_err(|error| Fault::internal(format!("no thread for {name}: {}", error.kind())))?;
        Ok(Stage { player: Some(player), thread: Some(thread) })
    }

    pub(crate) fn player(&self) -> &P {
        self.player.as_ref().expect("it is there until the stage is dropped")
    }
}

impl<P> Drop for Stage<P> {
    fn drop(&mut self) {
        self.player = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the loop was told to everybody who waited for it.
            drop(thread.join());
        }
    }
}

//! Threads that read, so that a long list delays no submission and no other reader.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::schema;
use crate::{Error, Result};

const THREADS: usize = 2;

type Question = Box<dyn FnOnce(&Connection) + Send>;

pub struct Readers {
    questions: Option<Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Opens the file, which has its tables.
    pub fn start(path: &Path) -> Result<Readers> {
        let (questions, inbox) = channel::<Question>();
        let inbox = Arc::new(Mutex::new(inbox));
        let mut readers = Readers { questions: Some(questions), threads: Vec::new() };
        for _ in 0..THREADS {
            let db = schema::connect_reader(path)?;
            let inbox = inbox.clone();
            let work = move || {
                loop {
                    // The lock ends with this statement, before the question is answered.
                    let question = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(question) = question else { return };
                    question(&db);
                }
            };
            let thread = Builder::new().name("queue-reader".into()).spawn(work);
            readers.threads.push(thread.map_err(|error| Error::Unavailable(error.to_string()))?);
        }
        Ok(readers)
    }

    pub async fn run<T: Send + 'static>(
        &self,
        mut function: impl FnMut(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, result) = oneshot::channel();
        let gone = || Error::Unavailable("the queue's readers have stopped".into());
        let questions = self.questions.as_ref().ok_or_else(gone)?;
        // Whoever asked may have gone: nothing to do then.
        let question = Box::new(move |db: &Connection| drop(reply.send(function(db))));
        questions.send(question).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the queue stopped with a panic");
            }
        }
    }
}

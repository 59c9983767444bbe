//! Calls to tell others that a job has ended.

use serde::{Deserialize, Serialize};

use crate::{JobId, State};

/// Whom to tell, and of what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    pub url: String,
    /// Ends to tell of; all if empty.
    pub events: Vec<State>,
    /// `whsec_` and base64; signs the calls. `None` uses the server's.
    pub secret: Option<String>,
}

impl Webhook {
    pub fn wants(&self, state: State) -> bool {
        state.is_done() && (self.events.is_empty() || self.events.contains(&state))
    }
}

/// One call to make. Stored with the end of its job, in one step; leased to one process at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The same for every try: `msg_` and the job's id.
    pub id: String,
    pub job: JobId,
    pub webhook: Webhook,
    /// Tries so far.
    pub attempts: u32,
}

//! The keys of a server, for whoever manages them beside it.

use std::sync::Arc;

use partita_queue::Queue;
use partita_queue::sqlite::Sqlite;

use super::start::{blocking, open_queue};
use crate::{Config, Fault};

/// The store of API keys that `config` names; works while a server uses it.
///
/// # Errors
/// A store that cannot be opened, or one in memory, which no other process can reach.
pub async fn open_keys(config: &Config) -> Result<Arc<dyn Queue>, Fault> {
    let url = config.queue.url.as_str();
    let path = match url {
        "sqlite" => config.data_dir().join("tasks.sqlite3"),
        url if url.starts_with("sqlite:") => url["sqlite:".len()..].into(),
        ":memory:" => {
            return Err(Fault::field("#/queue/url", "a store that outlives its process, for keys", url));
        }
        _ => return open_queue(config).await,
    };
    Ok(Arc::new(blocking(move || Sqlite::open_keys(&path)).await??))
}

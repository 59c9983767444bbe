//! `worker`: takes tasks from a queue that several machines share.

use clap::Args;
use partita_queue::Lane;

use crate::error::{Error, Result};
use crate::session::Session;
use crate::settings::{Settings, runtime};

#[derive(Args, Debug)]
pub struct Options {
    /// Lanes to take tasks from: midi, generation, heavy, audio; all if left out
    #[arg(long, value_delimiter = ',', value_name = "LANES")]
    lanes: Vec<Lane>,
    /// Folder with models
    #[arg(long, value_name = "DIR")]
    models_dir: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let flags: Vec<_> = options.models_dir.iter().map(|dir| ("models.dir", dir.clone())).collect();
    let live = options.settings.logged(&flags, session)?;
    let url = live.get().queue.url.clone();
    if !url.starts_with("redis") {
        let message = format!(
            "queue must be redis://HOST:PORT/DB for workers of their own, got {url:?}; `partita serve` has its workers inside"
        );
        return Err(Error::usage("queue", message));
    }
    let lanes = if options.lanes.is_empty() { Lane::ALL.to_vec() } else { options.lanes.clone() };
    Ok(runtime()?.block_on(partita_server::work(live, lanes))?)
}

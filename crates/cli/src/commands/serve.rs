//! `serve`: the API, with its workers in the same process.

use clap::Args;
use serde_json::json;

use crate::error::Result;
use crate::output::{write_stderr, write_stdout};
use crate::session::Session;
use crate::settings::{Settings, runtime};

#[derive(Args, Debug)]
pub struct Options {
    /// Address to listen on; 127.0.0.1 if left out
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// TCP port, 0 for any free one; 8000 if left out
    #[arg(long)]
    port: Option<u16>,
    /// Folder with models
    #[arg(long, value_name = "DIR")]
    models_dir: Option<String>,
    /// Listen on a public address without API keys
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let flags = [
        ("server.host", options.host.clone()),
        ("server.port", options.port.map(|port| port.to_string())),
        ("models.dir", options.models_dir.clone()),
        ("server.insecure", options.insecure.then(|| "true".to_owned())),
    ];
    let flags: Vec<_> = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let live = options.settings.logged(&flags, session)?;
    let (quiet, json) = (session.quiet, session.json);
    let ready = move |address: std::net::SocketAddr| {
        let url = format!("http://{address}");
        if json {
            drop(write_stdout(
                format!("{}\n", json!({ "url": url, "docs": format!("{url}/docs") })).as_bytes(),
            ));
        } else if !quiet {
            let text = format!(
                "listening on {url}\n  try   curl -s {url}/api/v1/generate -d '{{\"style\":\"funk\",\"bars\":4}}'\n  docs  {url}/docs\n"
            );
            drop(write_stderr(&text));
        }
    };
    Ok(runtime()?.block_on(partita_server::serve(live, ready))?)
}

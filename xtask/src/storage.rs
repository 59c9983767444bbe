//! A server that speaks S3, for the tests of files in object storage.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::python;
use crate::repository::Repository;

const MOTO: &str = "moto[server]==5.2.5";
/// What the tests in `crates/engine/tests/it/cloud.rs` expect to be there.
const BUCKET: &str = "partita";

/// Runs until it is dropped.
pub struct Storage {
    child: Child,
    address: String,
}

impl Storage {
    /// # Errors
    /// No Python, or a server that does not answer.
    pub fn start(repository: &Repository) -> Result<Storage, String> {
        let program = python::tool(repository, MOTO, "moto_server")?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.map_err(|error| format!("no free port: {error}"))?.port();
        let mut command = Command::new(&program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let storage = Storage { child, address: format!("127.0.0.1:{port}") };
        let start = Instant::now();
        while storage.make_bucket().is_err() {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(format!("moto_server does not answer on {}", storage.address));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(storage)
    }

    fn make_bucket(&self) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(&self.address).map_err(text)?;
        let head = format!("PUT /{BUCKET} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        if answer.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(answer) }
    }

    /// Tells `command` where it is.
    pub fn tell(&self, command: &mut Command) {
        let url = format!("http://{}", self.address);
        command.env("PARTITA_TEST_S3", &url).env("AWS_ENDPOINT", &url).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "testing").env("AWS_SECRET_ACCESS_KEY", "testing");
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

//! The module's end of the control socket.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
};

use super::command;
use crate::engine::Engine;

/// Listens, for as long as the process lives.
pub(crate) fn start(path: &Path, engine: &'static Engine) -> Result<(), String> {
    let fail = |error: io::Error| format!("control socket {}: {error}", path.display());
    // A socket that nobody listens on any more is a leftover.
    if path.exists() && UnixStream::connect(path).is_err() {
        fs::remove_file(path).map_err(fail)?;
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    let serve = move || {
        for stream in listener.incoming().flatten() {
            let _ = thread::Builder::new()
                .name("pkcs11-fault".to_owned())
                .spawn(move || converse(&stream, engine));
        }
    };
    thread::Builder::new()
        .name("pkcs11-fault".to_owned())
        .spawn(serve)
        .map_err(fail)?;
    Ok(())
}

/// Answers until the other end is gone.
fn converse(stream: &UnixStream, engine: &Engine) -> io::Result<()> {
    let mut output = stream;
    for line in BufReader::new(stream).lines() {
        let mut answer = String::new();
        match command::run(engine, &line?) {
            Ok(lines) => {
                for line in lines {
                    answer.push_str(&line);
                    answer.push('\n');
                }
                answer.push_str("ok\n");
            }
            Err(why) => {
                // An error is one line, however many the parser made of it.
                let words: Vec<_> = why.split_whitespace().collect();
                answer.push_str(&format!("error {}\n", words.join(" ")));
            }
        }
        output.write_all(answer.as_bytes())?;
    }
    Ok(())
}

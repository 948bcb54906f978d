//! Running other programs, so that none outlives its test.

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a program that must succeed.
pub(super) fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| missing(program, &error));
    assert!(
        output.status.success(),
        "{program} {args:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn missing(program: &str, error: &std::io::Error) -> ! {
    panic!("{program} does not start ({error}); `cargo xtask setup` installs what is needed");
}

/// A program under way; killed when dropped. What it prints, on either stream, is collected.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    chunks: Receiver<Vec<u8>>,
    printed: String,
    name: String,
}

impl Running {
    pub(super) fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| missing(program, &error));
        let (sender, chunks) = channel();
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        for mut stream in [stdout, stderr] {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(len @ 1..) = stream.read(&mut chunk) {
                    if sender.send(chunk[..len].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            child,
            chunks,
            printed: String::new(),
            name: format!("{program} {}", args.join(" ")),
        }
    }

    /// Types into it.
    pub(super) fn type_in(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("input is closed");
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends its input.
    pub(super) fn end_input(&mut self) {
        self.child.stdin = None;
    }

    /// Waits until it has printed `text`.
    pub(super) fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |printed| printed.contains(text).then_some(()));
    }

    /// Waits until `found` finds what it looks for in all that was printed.
    pub(super) fn wait_until<T>(&mut self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(&self.printed) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left) {
                Ok(chunk) => self.printed.push_str(&String::from_utf8_lossy(&chunk)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!(
                    "{} did not print {what:?}; it printed:\n{}",
                    self.name, self.printed
                ),
            }
        }
    }

    /// Waits until it ends; returns whether it ended well, and all that it has printed.
    pub(super) fn finish(mut self) -> (bool, String) {
        self.end_input();
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > end => {
                    panic!("{} does not end; it printed:\n{}", self.name, self.printed)
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        // Both readers are done when the streams are closed.
        while let Ok(chunk) = self.chunks.recv_timeout(Duration::from_secs(5)) {
            self.printed.push_str(&String::from_utf8_lossy(&chunk));
        }
        (status.success(), std::mem::take(&mut self.printed))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

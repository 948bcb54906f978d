//! SoftHSM behind p11-kit, in a process that can be killed: a token that is lost and back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Key, Kind, LABEL, Token, installed, soft_hsm};

/// The process that holds the token's module. It ends when this is dropped.
#[derive(Debug)]
pub struct Remote {
    module: PathBuf,
    socket: PathBuf,
    server: Option<Child>,
}

pub(crate) fn make(dir: &Path, keys: &[Key]) -> Result<Token, String> {
    let client = installed(&[
        "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
        "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
        "/usr/lib64/pkcs11/p11-kit-client.so",
    ])?;
    let mut token = soft_hsm::make_as(Kind::Remote, dir, keys)?;
    let mut remote = Remote {
        module: token.module,
        socket: dir.join("p11-kit.sock"),
        server: None,
    };
    remote
        .start()
        .map_err(|error| format!("p11-kit: {error}"))?;
    token.module = client;
    token.remote = Some(remote);
    Ok(token)
}

impl Remote {
    /// Starts it again, after [`Remote::stop`].
    pub fn start(&mut self) -> io::Result<()> {
        self.stop()?;
        let server = Command::new("p11-kit")
            .args(["server", "--foreground", "--name"])
            .arg(&self.socket)
            .arg("--provider")
            .arg(&self.module)
            .arg(format!("pkcs11:token={LABEL}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        self.server = Some(server);
        let end = Instant::now() + Duration::from_secs(10);
        while !self.socket.exists() {
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no socket"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Kills what serves the connections there are: the token is lost, and a new connection
    /// finds it again. Says how many processes there were.
    pub fn kill(&self) -> io::Result<usize> {
        let Some(server) = &self.server else {
            return Ok(0);
        };
        let id = server.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let children: Vec<_> = children.split_whitespace().collect();
        if !children.is_empty() {
            Command::new("kill").arg("-KILL").args(&children).status()?;
        }
        Ok(children.len())
    }

    /// Kills all of it: the token is lost, and no new connection finds it.
    pub fn stop(&mut self) -> io::Result<()> {
        self.kill()?;
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        match fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

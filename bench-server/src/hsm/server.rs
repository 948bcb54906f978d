//! A server as a process of its own, and what the system knows about it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::token::{Module, Token};

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

/// CPU time of a server so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// Of its own threads.
    pub(super) own: Duration,
    /// Of the threads that sign.
    pub(super) signing: Duration,
}

impl Server {
    /// `bench-server serve` on one thread, with the token's key through `module`.
    pub(super) fn keyway(token: &Token, module: &Module, options: &[String]) -> Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--threads", "1"])
            .arg("--cert")
            .arg(token.path("chain.pem"))
            .arg("--key")
            .arg(token.uri())
            .args(options);
        let mut child = spawn(command, module)?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut first = String::new();
        BufReader::new(stdout).read_line(&mut first)?;
        let address = first
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split(',').next())
            .and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Self { child, address }),
            None => {
                let mut why = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    stderr.read_to_string(&mut why)?;
                }
                anyhow::bail!("the server did not start: {}", why.trim())
            }
        }
    }

    /// Another program, which will listen on `address`.
    pub(super) fn other(command: Command, module: &Module, address: SocketAddr) -> Result<Self> {
        let mut child = spawn(command, module)?;
        // Read by nobody, so that it cannot stop the server.
        drop(child.stdout.take());
        let mut server = Self { child, address };
        // Ten seconds.
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = server.child.kill();
        let mut why = String::new();
        if let Some(mut stderr) = server.child.stderr.take() {
            stderr.read_to_string(&mut why)?;
        }
        anyhow::bail!("the server did not start: {}", why.trim())
    }

    /// CPU time so far, by threads.
    pub(super) fn cpu(&self) -> Result<Cpu> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut cpu = Cpu::default();
        for task in fs::read_dir(&tasks).with_context(|| format!("{tasks}: Linux only"))? {
            let task = task?.path();
            // A thread may end meanwhile.
            let (Ok(name), Ok(stat)) = (
                fs::read_to_string(task.join("comm")),
                fs::read_to_string(task.join("schedstat")),
            ) else {
                continue;
            };
            let nanos = stat.split(' ').next().and_then(|first| first.parse().ok());
            let time = Duration::from_nanos(nanos.unwrap_or(0));
            if name.starts_with("pkcs11-") {
                cpu.signing += time;
            } else {
                cpu.own += time;
            }
        }
        Ok(cpu)
    }

    /// Resident memory in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("{path}: Linux only"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
        let kilobytes: u64 = kilobytes.context("the system does not tell the memory in use")?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(mut command: Command, module: &Module) -> Result<Child> {
    command
        .envs(module.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
        .spawn()
        .with_context(|| format!("{} cannot be run", command.get_program().display()))
}

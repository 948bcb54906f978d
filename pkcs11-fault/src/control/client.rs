//! The caller's end of the control socket.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::Rule;

/// A connection to the control socket of a module that runs, in this process or another.
///
/// The README lists what may be said.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<UnixStream>,
}

/// The module's counters at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats(BTreeMap<String, u64>);

impl Control {
    /// Connects to the socket at `path`.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let stream = BufReader::new(UnixStream::connect(path)?);
        Ok(Self { stream })
    }

    /// Says a line and gives the answer's, without the final `ok`. What the module refuses
    /// is an error with its words.
    pub fn say(&mut self, line: &str) -> io::Result<Vec<String>> {
        if line.contains('\n') {
            let why = "a request is one line";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        writeln!(self.stream.get_mut(), "{line}")?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            match line.strip_prefix("error ") {
                Some(why) => return Err(io::Error::other(why)),
                None if line == "ok" => return Ok(lines),
                None => lines.push(line.to_owned()),
            }
        }
    }

    /// Adds a rule, or replaces the one of its name.
    pub fn rule(&mut self, rule: &Rule) -> io::Result<()> {
        let inline = toml::Value::try_from(rule).map_err(io::Error::other)?;
        self.say(&format!("rule {inline}")).map(drop)
    }

    /// The counters.
    pub fn stats(&mut self) -> io::Result<Stats> {
        let mut stats = BTreeMap::new();
        for line in self.say("stats")? {
            let (name, count) = line.rsplit_once(' ').ok_or(io::ErrorKind::InvalidData)?;
            let count = count.parse().map_err(io::Error::other)?;
            stats.insert(name.to_owned(), count);
        }
        Ok(Stats(stats))
    }
}

impl Stats {
    /// The counter of this name, as in `calls C_Sign`, `code C_Sign CKR_DEVICE_ERROR`,
    /// `executing most` or `rule slow`. One that has never counted is 0.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Every counter with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, &count)| (name.as_str(), count))
    }

    /// The sum of what callers did that the standard forbids.
    pub fn violations(&self) -> u64 {
        self.iter()
            .filter(|(name, _)| name.starts_with("violation "))
            .map(|(_, count)| count)
            .sum()
    }
}

//! Secrets in a file, for a developer who wants to decrypt captured traffic.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tls_core::config::KeyLog;
use zeroize::Zeroizing;

/// Appends the secrets of connections to a file in the `SSLKEYLOGFILE` format (RFC 9850),
/// one line each, for Wireshark and the like.
///
/// Whoever reads the file reads everything that its connections carry, so it is for
/// debugging alone. On Unix a new file is readable by its owner only. Several connections
/// and several processes may append to the same file.
pub struct KeyLogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl KeyLogFile {
    /// Opens `path` to append to it, and makes it if there is none.
    ///
    /// # Errors
    /// Those of opening the file.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self {
            file: Mutex::new(options.open(path)?),
            path: path.to_owned(),
        })
    }
}

impl KeyLog for KeyLogFile {
    /// A line that cannot be written is left out: the connection is worth more.
    fn log(&self, label: &str, client_random: &[u8; 32], secret: &[u8]) {
        // Long enough not to grow: growing would leave copies of the secret behind.
        let len = label.len() + 2 * (client_random.len() + secret.len()) + 3;
        let mut line = Zeroizing::new(String::with_capacity(len));
        line.push_str(label);
        for bytes in [&client_random[..], secret] {
            line.push(' ');
            for byte in bytes {
                let _ = write!(*line, "{byte:02x}");
            }
        }
        line.push('\n');
        if let Ok(mut file) = self.file.lock() {
            // One call for one line, so that lines of several processes do not mix.
            let _ = file.write_all(line.as_bytes());
        }
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLogFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_secret_and_nothing_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        KeyLogFile::open(&path)
            .unwrap()
            .log("EXPORTER_SECRET", &[0x0f; 32], &[1, 2]);
        KeyLogFile::open(&path).unwrap().log("B", &[0xa0; 32], &[]);
        let random = "0f".repeat(32);
        let other = "a0".repeat(32);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("EXPORTER_SECRET {random} 0102\nB {other} \n")
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

//! Where the figures come from.

use std::fmt;

use serde::Serialize;

/// The machine and the software that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor, as it calls itself.
    pub(crate) cpu: String,
    /// Hardware threads.
    pub(crate) threads: usize,
    /// What the processor has of use to cryptography.
    pub(crate) features: Vec<&'static str>,
    /// The linked backends, in their own words.
    pub(crate) backends: Vec<String>,
    /// The compiler.
    pub(crate) rustc: &'static str,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        Self {
            cpu: cpu_name().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            features: features(),
            backends: backends(),
            rustc: env!("RUSTC_VERSION"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} threads ({}); {}; {}",
            self.cpu,
            self.threads,
            self.features.join(" "),
            self.backends.join(", "),
            self.rustc
        )
    }
}

fn cpu_name() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! detect {
        ($($feature:tt),*) => {
            $(if std::arch::is_x86_feature_detected!($feature) {
                found.push($feature);
            })*
        };
    }
    detect!(
        "aes",
        "pclmulqdq",
        "sha",
        "bmi2",
        "adx",
        "avx2",
        "vaes",
        "vpclmulqdq",
        "avx512f"
    );
    found
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! detect {
        ($($feature:tt),*) => {
            $(if std::arch::is_aarch64_feature_detected!($feature) {
                found.push($feature);
            })*
        };
    }
    detect!("aes", "pmull", "sha2", "sha3");
    found
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

/// Each backend with the details that it tells of its suites.
fn backends() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in [
        "soft+records=aesni",
        "openssl+records=aesni",
        "openssl",
        "soft",
    ] {
        let Ok(provider) = keyway::provider::by_name(name) else {
            continue;
        };
        for suite in &provider.suites {
            let name = suite.aead.implementation().to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

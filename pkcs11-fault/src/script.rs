//! What a script says: the module that is wrapped, its limits, and the rules.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Code, Function, mechanism::Mechanism};

/// A whole script, as its file has it (TOML).
///
/// ```
/// use pkcs11_fault::Script;
///
/// let script = Script::parse(
///     r#"
///     module = "/usr/lib/softhsm/libsofthsm2.so"
///     capacity = 8
///
///     [[rule]]
///     name = "slow"
///     functions = ["C_Sign"]
///     latency_ms = 3.0
///     "#,
/// )?;
/// assert_eq!(script.capacity, 8);
/// assert_eq!(script.rule[0].name, "slow");
/// # Ok::<(), pkcs11_fault::ScriptError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Path of the real module. The environment's `PKCS11_FAULT_MODULE` goes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<PathBuf>,
    /// Path of the unix socket on which the module listens; `%p` in it stands for the
    /// process id. The environment's `PKCS11_FAULT_SOCKET` goes before it; with neither
    /// there is no socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// What the real module's `C_Initialize` gets in `pReserved` when the caller passes
    /// nothing there. NSS wants its database named in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
    /// Seed of everything that is left to chance; 0 takes a new one each time.
    pub seed: u64,
    /// How many calls on sessions the token works on at once; the others wait. 0 is no limit.
    pub capacity: usize,
    /// How many sessions a token opens before it answers `CKR_SESSION_COUNT`. 0 is no limit.
    pub sessions: usize,
    /// Mechanisms that no token has, though the real module's do: a name as in
    /// `CKM_RSA_PKCS_PSS`, or a number as in `0xd`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// How session handles are numbered.
    pub handles: Handles,
    /// How tokens count wrong PINs.
    pub pin: Pin,
    /// The faults. Every rule that fits a call acts on it: latencies add up, and of several
    /// codes the first rule's is taken.
    pub rule: Vec<Rule>,
}

/// How the module numbers the sessions that it hands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handles {
    /// From 1, and from 1 again after each `C_Initialize`: a handle kept from before then
    /// names somebody else's session.
    #[default]
    Restart,
    /// Never twice: a call on a handle from before is recognised and counted.
    Unique,
}

/// How tokens count wrong user PINs. The count outlives `C_Finalize`, as it does in a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pin {
    /// After how many wrong PINs in a row a token locks; 0 is never.
    pub tries: u32,
    /// How many wrong PINs each token has seen already when the script is loaded.
    pub failed: u32,
}

/// One fault: which calls it meets, how often, and what it does to them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// By what name it is counted, replaced and dropped.
    pub name: String,
    /// The functions it meets, as in `C_Sign`; a final `*` stands for any rest. None named
    /// means all that take a session or a slot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// The label of the one token that it meets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Which of those calls it meets.
    pub when: When,
    /// How long such a call takes, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Whether the time that the token took for `C_SignInit` is part of it. So a token has
    /// the throughput that arithmetic gives it, however long the real module needs to begin.
    pub latency_with_init: bool,
    /// The codes that such a call may answer, one of them by chance: a name as in
    /// `CKR_DEVICE_ERROR`, or a number as in `0x80000001`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// Whether the token carries out the call that answers a code.
    pub at: At,
    /// Whether the call hangs: until released when true.
    pub hang: bool,
    /// After how many milliseconds a hanging call goes on by itself; 0 is never.
    pub hang_ms: f64,
    /// What happens to the signature that the call returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureFault>,
}

/// Which of the calls that fit a rule's functions it meets. What is left out does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Not the first so many.
    pub after: u64,
    /// Every so many-th, counted after those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// With this probability, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// At most so many in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// In storms only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm: Option<Storm>,
}

/// Stretches of time in which a rule holds, counted from when the rule was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    /// From the start of one to the start of the next, in milliseconds.
    pub every_ms: f64,
    /// How long each lasts, in milliseconds.
    pub lasts_ms: f64,
}

/// How long a call takes, from when the token takes it up to its answer, in milliseconds.
/// The real module's own time is part of it; where that alone takes longer, it counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    Fixed(f64),
    /// Anything between two bounds, equally likely.
    Uniform {
        /// The bounds.
        uniform: [f64; 2],
    },
    /// Around a mean; what falls below zero is zero.
    Normal {
        /// The parameters.
        normal: Normal,
    },
    /// With a long tail: its logarithm is normal.
    Lognormal {
        /// The parameters.
        lognormal: Lognormal,
    },
}

/// Parameters of [`Latency::Normal`], in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
}

/// Parameters of [`Latency::Lognormal`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lognormal {
    /// The median in milliseconds.
    pub median: f64,
    /// The standard deviation of the logarithm.
    pub sigma: f64,
}

/// Whether the token carries out a call that answers a rule's code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// The token never sees it. An operation that `C_SignInit` has begun stays active, which
    /// is what NSS does.
    #[default]
    Before,
    /// The token carries it out and the answer is lost: the operation has ended, a session
    /// is open that nobody knows of. A signature is wiped.
    After,
}

/// What happens to a signature on its way from the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureFault {
    /// One bit is turned over, anywhere.
    Flip,
    /// The last byte is missing.
    Truncate,
    /// It is a good signature over the right data by another key of the same kind.
    OtherKey,
}

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError(pub(crate) String);

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// Reads a script and checks it.
    pub fn parse(toml: &str) -> Result<Self, ScriptError> {
        let script: Self = toml::from_str(toml).map_err(|error| ScriptError(error.to_string()))?;
        script.check()?;
        Ok(script)
    }

    /// Reads a file and checks what it says.
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let named = |error: String| ScriptError(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        Self::parse(&text).map_err(|error| named(error.0))
    }

    /// The script as TOML.
    pub fn to_toml(&self) -> String {
        // Every type here has a form in TOML.
        toml::to_string(self).unwrap_or_default()
    }

    /// Whether every rule makes sense, names known functions and codes, and has a name of
    /// its own; and whether the mechanisms are known.
    pub fn check(&self) -> Result<(), ScriptError> {
        for name in &self.without {
            if Mechanism::parse(name).is_none() {
                return Err(ScriptError(format!(
                    "`{name}` is neither a CKM_ name nor a number"
                )));
            }
        }
        for (index, rule) in self.rule.iter().enumerate() {
            rule.check()?;
            if self.rule[..index].iter().any(|r| r.name == rule.name) {
                return Err(ScriptError(format!("two rules are named `{}`", rule.name)));
            }
        }
        Ok(())
    }
}

impl Rule {
    /// Whether the rule makes sense and names known functions and codes.
    pub fn check(&self) -> Result<(), ScriptError> {
        let fail = |what: String| Err(ScriptError(format!("rule `{}`: {what}", self.name)));
        if self.name.is_empty() || self.name.contains(char::is_whitespace) {
            return fail("needs a name without blanks".to_owned());
        }
        for pattern in &self.functions {
            if !Function::all().any(|function| function.fits(pattern)) {
                return fail(format!("no function is named `{pattern}`"));
            }
        }
        for code in &self.codes {
            if Code::parse(code).is_none() {
                return fail(format!("`{code}` is neither a CKR_ name nor a number"));
            }
        }
        if self.at == At::After && self.codes.is_empty() {
            return fail("`at` says when `codes` are answered, and there are none".to_owned());
        }
        if self.when.every == Some(0) {
            return fail("every 0th call is none".to_owned());
        }
        if self
            .when
            .probability
            .is_some_and(|p| !(0.0..=1.0).contains(&p))
        {
            return fail("a probability lies between 0 and 1".to_owned());
        }
        if let Some(storm) = self.when.storm
            && !(is_time(storm.lasts_ms) && is_time(storm.every_ms) && storm.every_ms > 0.0)
        {
            return fail("a storm lasts, and comes every, so many milliseconds".to_owned());
        }
        if !is_time(self.hang_ms) || !self.latency_ms.is_none_or(Latency::is_sound) {
            return fail("times are milliseconds, none below 0".to_owned());
        }
        if self.signature.is_some() {
            self.check_signature()?;
        }
        Ok(())
    }

    fn check_signature(&self) -> Result<(), ScriptError> {
        let allowed: &[Function] = match self.signature {
            // The data must be at hand in one piece.
            Some(SignatureFault::OtherKey) => &[Function::C_Sign],
            _ => &[
                Function::C_Sign,
                Function::C_SignFinal,
                Function::C_SignMessage,
            ],
        };
        let sound = !self.functions.is_empty()
            && self
                .functions
                .iter()
                .all(|name| allowed.iter().any(|function| function.name() == name));
        if sound {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(|function| function.name()).collect();
        Err(ScriptError(format!(
            "rule `{}`: this fault of signatures is for {} alone",
            self.name,
            names.join(", ")
        )))
    }
}

impl Latency {
    fn is_sound(self) -> bool {
        match self {
            Self::Fixed(time) => is_time(time),
            Self::Uniform {
                uniform: [low, high],
            } => is_time(low) && is_time(high) && low <= high,
            Self::Normal {
                normal: Normal { mean, deviation },
            } => is_time(mean) && is_time(deviation),
            Self::Lognormal {
                lognormal: Lognormal { median, sigma },
            } => is_time(median) && is_time(sigma),
        }
    }
}

/// Whether this is a length of time: finite and not negative.
fn is_time(milliseconds: f64) -> bool {
    milliseconds.is_finite() && milliseconds >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        module = "/usr/lib/softhsm/libsofthsm2.so"
        socket = "/tmp/fault-%p.sock"
        seed = 7
        capacity = 8
        sessions = 16
        without = ["CKM_RSA_PKCS_PSS", "0x80000001"]
        handles = "unique"
        pin = { tries = 3, failed = 2 }

        [[rule]]
        name = "tail"
        functions = ["C_Sign"]
        latency_ms = { lognormal = { median = 3.0, sigma = 0.5 } }

        [[rule]]
        name = "storm"
        functions = ["C_Sign*", "C_GetSessionInfo"]
        token = "keyway"
        codes = ["CKR_DEVICE_ERROR", "0x80000001"]
        at = "after"
        when = { after = 10, every = 3, probability = 0.5, times = 100, storm = { every_ms = 2000, lasts_ms = 300 } }

        [[rule]]
        name = "liar"
        functions = ["C_Sign"]
        signature = "other-key"
    "#;

    #[test]
    fn a_script_survives_being_written_and_read_again() {
        let script = Script::parse(WHOLE).unwrap();
        assert_eq!(script.handles, Handles::Unique);
        assert_eq!(script.pin.failed, 2);
        assert_eq!(script.rule[1].when.storm.unwrap().lasts_ms, 300.0);
        assert_eq!(Script::parse(&script.to_toml()).unwrap(), script);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_rules_name() {
        for (text, says) in [
            ("capacitty = 3", "capacitty"),
            ("without = [\"CKM_NO\"]", "CKM_NO"),
            ("[[rule]]\nfunctions = [\"C_Sign\"]", "needs a name"),
            ("[[rule]]\nname = \"a b\"", "needs a name"),
            ("[[rule]]\nname = \"a\"\nfunctions = [\"C_Sing\"]", "C_Sing"),
            ("[[rule]]\nname = \"a\"\ncodes = [\"CKR_NO\"]", "CKR_NO"),
            ("[[rule]]\nname = \"a\"\nat = \"after\"", "there are none"),
            ("[[rule]]\nname = \"a\"\nlatency_ms = -1.0", "milliseconds"),
            (
                "[[rule]]\nname = \"a\"\nlatency_ms = { uniform = [2.0, 1.0] }",
                "milliseconds",
            ),
            (
                "[[rule]]\nname = \"a\"\nlatency_ms = { fixed = 1.0 }",
                "latency_ms",
            ),
            ("[[rule]]\nname = \"a\"\nwhen = { every = 0 }", "0th"),
            (
                "[[rule]]\nname = \"a\"\nwhen = { probability = 1.5 }",
                "between 0 and 1",
            ),
            ("[[rule]]\nname = \"a\"\nsignature = \"flip\"", "C_Sign"),
            (
                "[[rule]]\nname = \"a\"\nfunctions = [\"C_SignFinal\"]\nsignature = \"other-key\"",
                "C_Sign alone",
            ),
            (
                "[[rule]]\nname = \"a\"\n[[rule]]\nname = \"a\"",
                "two rules",
            ),
        ] {
            let error = Script::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}

//! A PKCS#11 module that wraps another one and injects faults.
//!
//! A program loads it in its HSM's module's place. It passes every call on, and where a
//! script says so it makes the call slow, lets it wait for one of few lanes, hang, answer
//! any `CKR_` code, lose its session or its token, lock its PIN, or return a signature that
//! is wrong. It numbers the session handles anew, counts what happens, and notices what the
//! standard forbids and real modules answer with a crash: `C_Finalize` under a call, a
//! session shared by two threads, a handle from before.
//!
//! The README beside this crate has every option and a first session. In short:
//!
//! ```sh
//! cargo build -p pkcs11-fault
//! export PKCS11_FAULT_SCRIPT=faults.toml
//! pkcs11-tool --module target/debug/libpkcs11_fault.so --list-slots
//! ```
//!
//! The script is a file of TOML. It lies beside the module's file with the extension `toml`,
//! so that several copies in one process can each have their own, or where the
//! environment's `PKCS11_FAULT_SCRIPT` says. While the module runs, a unix socket changes the script and
//! tells the counters: [`Control`] in Rust, `nc -U` by hand.
//!
//! # Example
//!
//! A script for a token that works on eight signatures at once, 3 ms each, and fails now
//! and then:
//!
//! ```
//! use pkcs11_fault::{Latency, Rule, Script, When};
//!
//! let sign = vec!["C_Sign".to_owned()];
//! let script = Script {
//!     module: Some("/usr/lib/softhsm/libsofthsm2.so".into()),
//!     socket: Some("/run/hsm/fault-%p.sock".into()),
//!     capacity: 8,
//!     rule: vec![
//!         Rule {
//!             name: "slow".to_owned(),
//!             functions: sign.clone(),
//!             latency_ms: Some(Latency::Fixed(3.0)),
//!             ..Rule::default()
//!         },
//!         Rule {
//!             name: "flaky".to_owned(),
//!             functions: sign,
//!             codes: vec!["CKR_DEVICE_ERROR".to_owned()],
//!             when: When {
//!                 probability: Some(0.01),
//!                 ..When::default()
//!             },
//!             ..Rule::default()
//!         },
//!     ],
//!     ..Script::default()
//! };
//! script.check()?;
//! // This is what goes into the file.
//! println!("{}", script.to_toml());
//! assert_eq!(Script::parse(&script.to_toml())?, script);
//! # Ok::<(), pkcs11_fault::ScriptError>(())
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `script` | what a script says |
//! | `rules` | which rules meet a call, and what they do together |
//! | `engine` | the way of a call |
//! | `gate` | how many calls the token works on at once, and those that hang |
//! | `code`, `function`, `mechanism` | return values, functions and mechanisms by name |
//! | `tokens` | sessions, tokens that are away, wrong PINs |
//! | `counters` | what has happened |
//! | `control` | the socket |
//! | `low` | the functions of PKCS#11; all `unsafe` is there |

#![deny(unsafe_code)]

mod code;
mod control;
mod counters;
mod engine;
mod function;
mod gate;
#[allow(unsafe_code, non_snake_case)]
mod low;
mod mechanism;
mod rules;
mod script;
mod start;
mod tokens;

pub use code::Code;
pub use control::client::{Control, Stats};
pub use function::Function;
pub use script::{
    At, Handles, Latency, Lognormal, Normal, Pin, Rule, Script, ScriptError, SignatureFault, Storm,
    When,
};

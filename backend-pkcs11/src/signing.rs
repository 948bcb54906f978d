//! A private key in a token: opening it, signing with it, and checking what it signs.

use std::sync::Arc;
use std::time::Duration;

use crypto_api::{PublicKey, SecureRandom, SignatureScheme};
use cryptoki_sys::CK_OBJECT_HANDLE;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};

use crate::builder::Builder;
use crate::code::{Class, Profile};
use crate::error::Reason;
use crate::mechanism::{self, Plan};
use crate::object::{self, Found, Kind, Look, PublicHalf};
use crate::place::{Duty, Located, Reached, Seat};
use crate::pool::SCRATCH;
use crate::uri::Uri;
use crate::verify::EcdsaP521;

/// What is signed to see whether a key can: as long as what TLS signs.
const PROBE: &[u8; 130] = &[0x20; 130];

/// How signatures of a scheme are made and checked in one token.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) scheme: SignatureScheme,
    plan: Plan,
    proof: Proof,
}

/// Who verifies.
#[derive(Clone, Copy)]
enum Proof {
    /// An algorithm of the provider, or of this crate.
    Software(&'static dyn SignatureVerificationAlgorithm),
    /// The token, with the public key: it would notice a fault, if not a lie. For what no
    /// software here verifies.
    Token,
    /// Nobody.
    None,
}

/// A key that was found and tried in one token.
pub(crate) struct Opened {
    pub(crate) reached: Reached,
    pub(crate) found: Found,
    pub(crate) ways: Vec<Way>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The most sessions that the token says it has; none if it does not say.
    pub(crate) most_sessions: Option<usize>,
}

/// How often a key is tried whose token fails for a reason that may pass.
const ATTEMPTS: u32 = 3;
/// The pause after the first of them; doubled with each.
const PAUSE: Duration = Duration::from_millis(20);

/// Finds the key that `uri` means and tries it. If it is a further place of a key, `known`
/// is what it must be.
pub(crate) fn open(
    builder: &Builder,
    uri: &Uri,
    known: Option<&PublicHalf>,
) -> Result<Opened, Reason> {
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS {
        match open_once(builder, uri, known) {
            // With a new session and a look at everything anew; and if nobody else uses the
            // module, it is initialised anew as well.
            Err(Reason::Call(failure))
                if matches!(
                    builder.profile.class(failure.code),
                    Class::Session | Class::Login | Class::Module
                ) =>
            {
                std::thread::sleep(pause);
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
    open_once(builder, uri, known)
}

fn open_once(builder: &Builder, uri: &Uri, known: Option<&PublicHalf>) -> Result<Opened, Reason> {
    let reached = Reached::new(builder, uri)?;
    let Reached {
        module,
        token,
        credentials,
    } = &reached;
    let entered = module.enter()?;
    let login = token.ready(&entered, credentials)?;
    let slot = login.slot;
    let library = entered.library();
    let session = library.open_session(slot)?;
    let look = Look {
        entered: &entered,
        session,
    };
    let seen = first_look(builder, uri, known, &look);
    // Also of a key that is not there: whoever asks for it again and again would use up the
    // token's sessions.
    let _ = library.close_session(session);
    let Seen {
        found,
        chain,
        public_handle,
    } = seen?;
    let public = known.unwrap_or(&found.public);
    let most_sessions = library.token_info(slot)?.ulMaxSessionCount as usize;

    let mut ways = Vec::new();
    let mut tried = Vec::new();
    let mut scratch = vec![0; SCRATCH];
    for (scheme, plans) in mechanism::schemes(public.kind) {
        let proof = match software(builder, scheme, public) {
            Some(algorithm) => Proof::Software(algorithm),
            None if public_handle.is_some() => Proof::Token,
            None => Proof::None,
        };
        if let (Proof::None, true) = (proof, builder.settings.verify) {
            let why = "nothing here verifies it, and the token has no public key to do so";
            tried.push((scheme, why.into()));
            continue;
        }
        let mut why = String::new();
        for plan in plans {
            let way = Way {
                scheme,
                plan,
                proof,
            };
            let outcome = try_out(builder, &way, &found, public, &mut scratch, &|| {
                Ok(Seat {
                    entered: &entered,
                    session: library.open_session(slot)?,
                    located: Located {
                        key: found.handle,
                        public: public_handle,
                    },
                    token,
                    credentials,
                    slot,
                })
            });
            match outcome {
                Ok(()) => {
                    ways.push(way);
                    why.clear();
                    break;
                }
                // The token's state, or the login: it says nothing of the mechanism. A key
                // must not lose a scheme for good because its token was away when it was
                // opened.
                Err(error) if !is_of_the_plan(&error, &builder.profile) => {
                    if let Reason::Call(failure) = &error
                        && failure.is(cryptoki_sys::CKR_USER_NOT_LOGGED_IN)
                    {
                        token.logged_out(&entered, login);
                    }
                    return Err(error);
                }
                Err(error) => {
                    let separator = if why.is_empty() { "" } else { ", " };
                    why = format!("{why}{separator}{}: {error}", plan.name);
                }
            }
        }
        if !why.is_empty() {
            tried.push((scheme, why));
        }
    }
    if ways.is_empty() {
        return Err(Reason::NoScheme(tried));
    }
    drop(entered);
    Ok(Opened {
        reached,
        found,
        ways,
        chain,
        most_sessions: Some(most_sessions)
            .filter(|most| *most > 0 && *most < cryptoki_sys::CK_UNAVAILABLE_INFORMATION as usize),
    })
}

/// Whether a start-up signature failed because the token cannot do it this way.
fn is_of_the_plan(reason: &Reason, profile: &Profile) -> bool {
    match reason {
        Reason::Pin(_) => false,
        // As of a token that ignores a parameter.
        Reason::WrongSignature => true,
        reason => reason.class(profile) == Class::Caller,
    }
}

/// What a token shows of a key.
struct Seen {
    found: Found,
    chain: Vec<CertificateDer<'static>>,
    public_handle: Option<CK_OBJECT_HANDLE>,
}

fn first_look(
    builder: &Builder,
    uri: &Uri,
    known: Option<&PublicHalf>,
    look: &Look<'_>,
) -> Result<Seen, Reason> {
    let found = object::private_key(look, uri, known)?;
    let public = known.unwrap_or(&found.public);
    // Certificates are of one key wherever it is.
    let chain = match (&builder.certificates, known) {
        (Some(chain), _) => {
            check_chain(chain, public)?;
            chain.clone()
        }
        (None, Some(_)) => Vec::new(),
        (None, None) => object::chain(look, uri, &found.id, public)?,
    };
    let public_handle = object::public_key_handle(look, &found.id, public)?;
    Ok(Seen {
        found,
        chain,
        public_handle,
    })
}

fn check_chain(chain: &[CertificateDer<'static>], public: &PublicHalf) -> Result<(), Reason> {
    let leaf = chain
        .first()
        .and_then(|leaf| crate::der::Certificate::parse(leaf));
    if leaf.is_some_and(|leaf| leaf.public_key == public.spki.as_ref()) {
        return Ok(());
    }
    Err(Reason::CertificateMismatch {
        certificate: "the first of Builder::certificates".into(),
    })
}

/// The algorithm that verifies `scheme` with this key.
fn software(
    builder: &Builder,
    scheme: SignatureScheme,
    public: &PublicHalf,
) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    let parts = PublicKey::from_spki(&public.spki)?;
    let entry = builder.verification.iter().find(|entry| {
        entry.scheme == Some(scheme)
            && entry.algorithm.public_key_alg_id().as_ref() == parts.algorithm
    });
    match entry {
        Some(entry) => Some(entry.algorithm),
        None if public.kind == Kind::P521 => Some(&EcdsaP521),
        None => None,
    }
}

/// Makes a signature in this way and verifies it.
fn try_out<'a>(
    builder: &Builder,
    way: &Way,
    found: &Found,
    public: &PublicHalf,
    scratch: &mut [u8],
    seat: &dyn Fn() -> Result<Seat<'a>, Reason>,
) -> Result<(), Reason> {
    let seat = seat()?;
    let library = seat.entered.library();
    // A mechanism that the token does not have is no failure worth a session; a token that
    // does not say is asked to sign.
    let outcome = match library.mechanism_info(seat.slot, way.plan.mechanism.id()) {
        Err(failure) if failure.is(cryptoki_sys::CKR_MECHANISM_INVALID) => Err(failure.into()),
        Ok(info) if !info.signs => Err(Reason::Setting("the token's mechanism does not sign")),
        _ => {
            let always = found.always_authenticate;
            let mut once = || sign_verified(&seat, way, always, public, scratch, &*builder.random);
            // A wrong one may be a fault; two are the mechanism.
            match once() {
                Err(Reason::WrongSignature) => once(),
                outcome => outcome,
            }
        }
    };
    let _ = library.close_session(seat.session);
    outcome
}

/// What was signed and verified by the token: its own input and output.
struct Raw {
    input: Vec<u8>,
    output: Vec<u8>,
}

/// Signs; also returns what the token got and gave, if it is to verify.
fn sign(
    seat: &Seat<'_>,
    way: &Way,
    always_authenticate: bool,
    message: &[u8],
    scratch: &mut [u8],
    random: &dyn SecureRandom,
) -> Result<(Vec<u8>, Option<Raw>), Reason> {
    let library = seat.entered.library();
    let input = way.plan.input(message, random)?;
    library.sign_init(seat.session, &way.plan.mechanism, seat.located.key)?;
    if always_authenticate {
        let (entered, session) = (seat.entered, seat.session);
        seat.token
            .login_for_operation(entered, seat.slot, session, seat.credentials)?;
    }
    let len = library.sign(seat.session, &input, scratch)?;
    let output = scratch.get(..len).unwrap_or(&[]);
    let signature = way.plan.output(output)?;
    let raw = match way.proof {
        Proof::Token => Some(Raw {
            input,
            output: output.to_vec(),
        }),
        Proof::Software(_) | Proof::None => None,
    };
    Ok((signature, raw))
}

/// Signs [`PROBE`], and verifies it whoever can.
fn sign_verified(
    seat: &Seat<'_>,
    way: &Way,
    always_authenticate: bool,
    public: &PublicHalf,
    scratch: &mut [u8],
    random: &dyn SecureRandom,
) -> Result<(), Reason> {
    let (signature, raw) = sign(seat, way, always_authenticate, PROBE, scratch, random)?;
    verify_inside(seat, way, raw.as_ref())?;
    verify_outside(way, public, PROBE, &signature)
}

/// Has the token verify what it signed, if nobody else can.
fn verify_inside(seat: &Seat<'_>, way: &Way, raw: Option<&Raw>) -> Result<(), Reason> {
    let Proof::Token = way.proof else {
        return Ok(());
    };
    let (Some(raw), Some(key)) = (raw, seat.located.public) else {
        return Err(Reason::WrongSignature);
    };
    let mechanism = &way.plan.mechanism;
    let library = seat.entered.library();
    match library.verify(seat.session, mechanism, key, &raw.input, &raw.output) {
        Err(failure)
            if failure.is(cryptoki_sys::CKR_SIGNATURE_INVALID)
                || failure.is(cryptoki_sys::CKR_SIGNATURE_LEN_RANGE) =>
        {
            Err(Reason::WrongSignature)
        }
        outcome => Ok(outcome?),
    }
}

/// Verifies a signature without the token, if that can be.
fn verify_outside(
    way: &Way,
    public: &PublicHalf,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Reason> {
    let Proof::Software(algorithm) = way.proof else {
        return Ok(());
    };
    let key = PublicKey::from_spki(&public.spki).ok_or(Reason::WrongSignature)?;
    let outcome = algorithm.verify_signature(key.key, message, signature);
    outcome.map_err(|_| Reason::WrongSignature)
}

/// Signing with a key in one token.
pub(crate) struct Signing {
    pub(crate) uri: Uri,
    pub(crate) id: Vec<u8>,
    pub(crate) public: PublicHalf,
    pub(crate) always_authenticate: bool,
    /// By job.
    pub(crate) ways: Vec<Way>,
    pub(crate) verify: bool,
    pub(crate) random: Arc<dyn SecureRandom>,
}

impl Duty for Signing {
    fn locate(&self, look: &Look<'_>) -> Result<Located, Reason> {
        let found = object::private_key(look, &self.uri, Some(&self.public))?;
        let mut public = None;
        if self
            .ways
            .iter()
            .any(|way| matches!(way.proof, Proof::Token))
        {
            public = object::public_key_handle(look, &self.id, &self.public)?;
        }
        Ok(Located {
            key: found.handle,
            public,
        })
    }

    fn perform(
        &self,
        seat: &Seat<'_>,
        job: usize,
        data: &[u8],
        scratch: &mut [u8],
    ) -> Result<Vec<u8>, Reason> {
        let way = self.ways.get(job).ok_or(Reason::Setting("no such job"))?;
        let always = self.always_authenticate;
        let (signature, raw) = sign(seat, way, always, data, scratch, &*self.random)?;
        if self.verify {
            verify_inside(seat, way, raw.as_ref())?;
        }
        Ok(signature)
    }

    fn is_checked(&self, job: usize) -> bool {
        let way = self.ways.get(job);
        self.verify && way.is_some_and(|way| matches!(way.proof, Proof::Software(_)))
    }

    fn check(&self, job: usize, data: &[u8], signature: &[u8]) -> Result<(), Reason> {
        let way = self.ways.get(job).ok_or(Reason::Setting("no such job"))?;
        verify_outside(way, &self.public, data, signature)
    }

    fn probe(&self, seat: &Seat<'_>, scratch: &mut [u8]) -> Result<(), Reason> {
        let Some(way) = self.ways.first() else {
            return Ok(());
        };
        let always = self.always_authenticate;
        sign_verified(seat, way, always, &self.public, scratch, &*self.random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Profile;
    use crate::low::mock::{mock, state};
    use crate::module::Module;
    use crate::pin::{Credentials, Pin};
    use crate::token::Token;

    /// CKA_ALWAYS_AUTHENTICATE: the login stands between the beginning of the operation and
    /// its end (PKCS#11 3.1, section 5.6.8), and with a wrong PIN there is no signature.
    #[test]
    fn a_key_that_wants_the_pin_each_time_gets_it_in_between() {
        let (_turn, library) = mock();
        let module = Module::with_library(library, "mock".as_ref(), None).unwrap();
        let entered = module.enter().unwrap();
        let token = Token::find(&module, &entered, &Uri::default()).unwrap();
        let random = backend_soft::provider().random;
        let (scheme, plans) = mechanism::schemes(Kind::P256).remove(0);
        let way = Way {
            scheme,
            plan: plans[0],
            proof: Proof::None,
        };
        let signed = |pin: &str, always| {
            let pin = Some(Pin::value(pin.to_owned()));
            let credentials = Credentials::new(pin, Profile::standard(), Duration::MAX);
            let seat = Seat {
                entered: &entered,
                session: 1,
                located: Located {
                    key: 1,
                    public: None,
                },
                token: &token,
                credentials: &credentials,
                slot: 7,
            };
            state().calls.clear();
            sign(&seat, &way, always, b"message", &mut [1; 64], &*random).is_ok()
        };
        let login = "C_Login for the operation";
        assert!(!signed("4321", true));
        assert_eq!(state().calls, ["C_SignInit", login]);
        // It has been refused, and is not tried again.
        assert!(!signed("4321", true));
        assert_eq!(state().calls, ["C_SignInit"]);
        assert!(signed("1234", true));
        assert_eq!(state().calls, ["C_SignInit", login, "C_Sign"]);
        assert!(signed("1234", false));
        assert_eq!(state().calls, ["C_SignInit", "C_Sign"]);
    }
}

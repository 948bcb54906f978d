//! Signatures a second from SoftHSM: through the backend, and by the same two calls made
//! bare, on one and two threads.
//!
//! `cargo bench -p backend-pkcs11`, or `-- P256` for one key. "verified" shows what it costs
//! to verify every signature, which is the default.
//!
//! Throughput is what is compared: one caller keeps 256 requests under way, as a server with
//! that many handshakes does, and the signing threads do the rest.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use backend_pkcs11::{Pkcs11Key, Sessions};
use criterion::{Criterion, Throughput, criterion_group};
use crypto_api::{Op, SecureRandom, SignatureScheme, SigningKey};
use test_tokens::{Key, Kind, Token};

/// How many requests the caller keeps under way.
const DEPTH: usize = 256;
/// What a TLS 1.3 server signs: padding, context and a hash.
const MESSAGE: [u8; 130] = [0x20; 130];

/// The calls of PKCS#11 that make a signature, and nothing else.
#[allow(unsafe_code)]
mod bare {
    use std::path::Path;
    use std::ptr::null_mut;

    use cryptoki_sys as sys;
    use sha2::{Digest, Sha256};

    type GetFunctionList = unsafe extern "C" fn(*mut *mut sys::CK_FUNCTION_LIST) -> sys::CK_RV;

    /// The function list of a module that is initialised and logged in already.
    pub(crate) fn functions(path: &Path) -> sys::CK_FUNCTION_LIST {
        // SAFETY: the module is loaded in this process already, and runs nothing new.
        let library = unsafe { libloading::Library::new(path) }.unwrap();
        let library = std::mem::ManuallyDrop::new(library);
        // SAFETY: the type that the standard gives this symbol.
        let symbol = unsafe { library.get::<GetFunctionList>(b"C_GetFunctionList\0") };
        let get = *symbol.unwrap();
        let mut list = null_mut();
        // SAFETY: the argument points to a live pointer.
        let code = unsafe { get(&raw mut list) };
        assert_eq!(code, sys::CKR_OK);
        // SAFETY: a successful call leaves a pointer to the module's list.
        unsafe { *list }
    }

    /// A session and a key handle of one thread.
    pub(crate) struct Signer {
        functions: sys::CK_FUNCTION_LIST,
        session: sys::CK_SESSION_HANDLE,
        key: sys::CK_OBJECT_HANDLE,
        rsa: bool,
    }

    impl Signer {
        pub(crate) fn new(
            functions: sys::CK_FUNCTION_LIST,
            slot: sys::CK_SLOT_ID,
            label: &str,
        ) -> Self {
            let mut session = 0;
            let open = functions.C_OpenSession.unwrap();
            // SAFETY: no callback, and the last argument points to a live handle.
            let code = unsafe {
                open(
                    slot,
                    sys::CKF_SERIAL_SESSION,
                    null_mut(),
                    None,
                    &raw mut session,
                )
            };
            assert_eq!(code, sys::CKR_OK);
            let mut class = sys::CKO_PRIVATE_KEY;
            let mut template = [
                sys::CK_ATTRIBUTE {
                    type_: sys::CKA_CLASS,
                    pValue: (&raw mut class).cast(),
                    ulValueLen: size_of_val(&class) as sys::CK_ULONG,
                },
                sys::CK_ATTRIBUTE {
                    type_: sys::CKA_LABEL,
                    pValue: label.as_ptr().cast_mut().cast(),
                    ulValueLen: label.len() as sys::CK_ULONG,
                },
            ];
            let (init, find, finish) = (
                functions.C_FindObjectsInit.unwrap(),
                functions.C_FindObjects.unwrap(),
                functions.C_FindObjectsFinal.unwrap(),
            );
            // SAFETY: two live attributes with the lengths of what they point to.
            let code = unsafe { init(session, template.as_mut_ptr(), 2) };
            assert_eq!(code, sys::CKR_OK);
            let (mut key, mut count) = (0, 0);
            // SAFETY: room for one handle, and a live count.
            let code = unsafe { find(session, &raw mut key, 1, &raw mut count) };
            assert_eq!((code, count), (sys::CKR_OK, 1));
            // SAFETY: a number.
            let code = unsafe { finish(session) };
            assert_eq!(code, sys::CKR_OK);
            Self {
                functions,
                session,
                key,
                rsa: label.starts_with("rsa"),
            }
        }

        pub(crate) fn sign(&self, message: &[u8]) -> usize {
            let mut pss = sys::CK_RSA_PKCS_PSS_PARAMS {
                hashAlg: sys::CKM_SHA256,
                mgf: sys::CKG_MGF1_SHA256,
                sLen: 32,
            };
            let mut mechanism = if self.rsa {
                sys::CK_MECHANISM {
                    mechanism: sys::CKM_RSA_PKCS_PSS,
                    pParameter: (&raw mut pss).cast(),
                    ulParameterLen: size_of_val(&pss) as sys::CK_ULONG,
                }
            } else {
                sys::CK_MECHANISM {
                    mechanism: sys::CKM_ECDSA,
                    pParameter: null_mut(),
                    ulParameterLen: 0,
                }
            };
            let mut digest = Sha256::digest(message);
            let mut out = [0u8; 512];
            let mut len = out.len() as sys::CK_ULONG;
            let (init, sign) = (
                self.functions.C_SignInit.unwrap(),
                self.functions.C_Sign.unwrap(),
            );
            // SAFETY: a live mechanism with live parameters.
            let code = unsafe { init(self.session, &raw mut mechanism, self.key) };
            assert_eq!(code, sys::CKR_OK);
            // SAFETY: both buffers are live and as long as is said.
            let code = unsafe {
                sign(
                    self.session,
                    digest.as_mut_ptr(),
                    digest.len() as sys::CK_ULONG,
                    out.as_mut_ptr(),
                    &raw mut len,
                )
            };
            assert_eq!(code, sys::CKR_OK);
            len as usize
        }
    }

    /// The slot of the only token, of which SoftHSM makes the first.
    pub(crate) fn slot(functions: &sys::CK_FUNCTION_LIST) -> sys::CK_SLOT_ID {
        let mut slots = [0; 8];
        let mut count = slots.len() as sys::CK_ULONG;
        let get = functions.C_GetSlotList.unwrap();
        // SAFETY: room for as many slots as is said.
        let code = unsafe { get(sys::CK_TRUE, slots.as_mut_ptr(), &raw mut count) };
        assert_eq!(code, sys::CKR_OK);
        slots[0]
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Makes `count` signatures with [`DEPTH`] under way.
fn through_the_backend(
    key: &Pkcs11Key,
    scheme: SignatureScheme,
    random: &dyn SecureRandom,
    count: u64,
) -> Duration {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut under_way = VecDeque::with_capacity(DEPTH);
    let mut asked = 0;
    let start = Instant::now();
    let mut done = 0;
    while done < count {
        while asked < count && under_way.len() < DEPTH {
            let Op::Pending(op) = key.sign(scheme, &MESSAGE, random) else {
                panic!("refused");
            };
            under_way.push_back(op);
            asked += 1;
        }
        // A server looks when it is told to, not all the time: sleep until most are there.
        let middle = under_way.len() / 2;
        let outcome = loop {
            match under_way[middle].poll(&mut cx) {
                Poll::Ready(outcome) => break outcome,
                Poll::Pending => std::thread::park(),
            }
        };
        assert!(outcome.is_ok(), "{outcome:?}");
        drop(under_way.remove(middle));
        done += 1;
        while let Some(op) = under_way.front_mut() {
            let Poll::Ready(outcome) = op.poll(&mut cx) else {
                break;
            };
            outcome.unwrap();
            under_way.pop_front();
            done += 1;
        }
    }
    start.elapsed()
}

/// Makes `count` signatures on so many threads.
fn bare(signers: &[bare::Signer], count: u64) -> Duration {
    let each = count.div_ceil(signers.len() as u64);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for signer in signers {
            scope.spawn(move || (0..each).for_each(|_| assert!(signer.sign(&MESSAGE) > 0)));
        }
    });
    start.elapsed()
}

fn signing(c: &mut Criterion) {
    let dir = std::path::PathBuf::from(std::env::var_os("BENCH_TOKEN").unwrap());
    let Some(token) = Token::make_or_skip(Kind::SoftHsm, &dir, &[Key::P256, Key::Rsa2048]) else {
        return;
    };
    let provider = backend_soft::provider();
    let random = &*provider.random;
    for (key, scheme) in [
        (Key::P256, SignatureScheme::ECDSA_SECP256R1_SHA256),
        (Key::Rsa2048, SignatureScheme::RSA_PSS_RSAE_SHA256),
    ] {
        let mut group = c.benchmark_group(format!("{key:?}"));
        group.throughput(Throughput::Elements(1));
        for threads in [1, 2] {
            let open = |verify| {
                Pkcs11Key::builder(token.uri(key), &provider)
                    .sessions(Sessions::Fixed(threads))
                    .verify_signatures(verify)
                    .open()
                    .unwrap()
            };
            let opened = open(false);
            let functions = bare::functions(&token.module);
            let slot = bare::slot(&functions);
            let signers: Vec<_> = (0..threads)
                .map(|_| bare::Signer::new(functions, slot, key.label()))
                .collect();
            group.bench_function(format!("bare, {threads} threads"), |b| {
                b.iter_custom(|count| bare(&signers, count));
            });
            group.bench_function(format!("backend, {threads} threads"), |b| {
                b.iter_custom(|count| through_the_backend(&opened, scheme, random, count));
            });
            let verifying = open(true);
            group.bench_function(format!("backend, {threads} threads, verified"), |b| {
                b.iter_custom(|count| through_the_backend(&verifying, scheme, random, count));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = signing
}

/// SoftHSM reads its configuration from the environment of the process, so that the
/// benchmark runs in a second one.
fn main() {
    if std::env::var_os("BENCH_TOKEN").is_some() {
        benches();
        Criterion::default().configure_from_args().final_summary();
        return;
    }
    let name = format!("keyway-bench-{}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&dir).unwrap();
    let mut environment = Kind::SoftHsm.environment(&dir);
    environment.push(("BENCH_TOKEN", OsString::from(&dir)));
    let status = Command::new(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .envs(environment)
        .status()
        .unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    std::process::exit(status.code().unwrap_or(1));
}

//! Which token, and what is made of a login's answer, on a module that exists in the tests only.

use super::*;
use crate::code::{Class, Code};
use crate::low::mock::{library, mock, state};
use crate::pin::Pin;
use std::sync::MutexGuard;
use std::time::Duration;

fn module() -> (MutexGuard<'static, ()>, Module) {
    let (turn, library) = mock();
    let module = Module::with_library(library, "mock".as_ref(), None).unwrap();
    (turn, module)
}

fn log_in(module: &Module, pin: Option<&Pin>) -> Result<CK_SLOT_ID, Reason> {
    let entered = module.enter().unwrap();
    let token = Token::find(module, &entered, &Uri::default()).unwrap();
    let login = token.ready(&entered, &with(pin))?;
    Ok(login.slot)
}

const LONG: Duration = Duration::from_secs(60);

fn with(pin: Option<&Pin>) -> Credentials {
    Credentials {
        pin: pin.cloned(),
        profile: Profile::standard(),
        patience: LONG,
    }
}

fn pin(text: &str) -> Pin {
    Pin::value(text.to_owned())
}

#[test]
fn one_login_serves_all() {
    let (_turn, module) = module();
    for _ in 0..3 {
        assert_eq!(log_in(&module, Some(&pin("1234"))), Ok(7));
    }
    assert_eq!(state().calls, ["C_Initialize", "C_Login"]);
}

/// Threads that find the login gone one after the other make one new one.
#[test]
fn a_login_that_is_gone_is_forgotten_once() {
    let (_turn, module) = module();
    let entered = module.enter().unwrap();
    let token = Token::find(&module, &entered, &Uri::default()).unwrap();
    let ready = || token.ready(&entered, &with(Some(&pin("1234")))).unwrap();
    let first = ready();
    token.logged_out(&entered, first);
    // Another thread, which came with the first one, must wait for the next.
    assert!(token.has_logged_out(&entered, 9, first));
    let second = ready();
    assert!(token.has_logged_out(&entered, 9, first));
    token.logged_out(&entered, first);
    assert_eq!(ready(), second);
    // The mock's sessions do not tell.
    assert!(!token.has_logged_out(&entered, 9, second));
    assert_eq!(state().calls, ["C_Initialize", "C_Login", "C_Login"]);
}

#[test]
fn a_refused_pin_is_not_tried_again() {
    let (_turn, module) = module();
    let incorrect = Code::new(sys::CKR_PIN_INCORRECT);
    let wrong = pin("4321");
    let refused = Err(PinError::Refused(incorrect).into());
    assert_eq!(log_in(&module, Some(&wrong)), refused);
    for _ in 0..5 {
        let latched = Err(PinError::Latched(incorrect).into());
        assert_eq!(log_in(&module, Some(&wrong)), latched);
    }
    assert_eq!(state().pins.len(), 1);
    // Another one is tried; it is right, and after that nothing is held against the first.
    assert_eq!(log_in(&module, Some(&pin("1234"))), Ok(7));
    assert_eq!(state().pins.len(), 2);
}

#[test]
fn wrong_pins_that_take_turns_are_presented_once_each() {
    let (_turn, module) = module();
    for _ in 0..5 {
        assert!(log_in(&module, Some(&pin("4321"))).is_err());
        assert!(log_in(&module, Some(&pin("8765"))).is_err());
    }
    assert_eq!(state().pins.len(), 2);
}

#[test]
fn after_many_wrong_pins_none_is_presented() {
    let (_turn, module) = module();
    for wrong in 0..20 {
        assert!(log_in(&module, Some(&pin(&format!("wrong {wrong}")))).is_err());
    }
    let none = Err(PinError::ManyRefused.into());
    assert_eq!(log_in(&module, Some(&pin("1234"))), none);
    assert_eq!(state().pins.len(), 8);
}

#[test]
fn a_pin_stays_refused_when_the_module_is_initialised_again() {
    let (_turn, module) = module();
    let wrong = pin("4321");
    assert!(log_in(&module, Some(&wrong)).is_err());
    let none = Duration::ZERO;
    assert_eq!(module.recover(1, none, none), Ok(true));
    assert!(log_in(&module, Some(&wrong)).is_err());
    assert_eq!(state().pins.len(), 1);
}

#[test]
fn a_pin_stays_refused_when_the_module_is_opened_again() {
    let (_turn, module) = module();
    let wrong = pin("4321");
    assert!(log_in(&module, Some(&wrong)).is_err());
    let open = |path: &str| Module::with_library(library(), path.as_ref(), None).unwrap();
    assert!(log_in(&open("mock"), Some(&wrong)).is_err());
    assert_eq!(state().pins.len(), 1);
    // A token of another module is another token.
    assert!(log_in(&open("other"), Some(&wrong)).is_err());
    assert_eq!(state().pins.len(), 2);
}

#[test]
fn the_last_try_is_not_taken() {
    let (_turn, module) = module();
    for (flag, error) in [
        (sys::CKF_USER_PIN_FINAL_TRY, PinError::FinalTry),
        (sys::CKF_USER_PIN_LOCKED, PinError::Locked(None)),
    ] {
        let before = state().flags;
        state().flags |= flag;
        let right = pin("1234");
        assert_eq!(log_in(&module, Some(&right)), Err(error.into()));
        state().flags = before;
    }
    assert!(state().pins.is_empty());
    state().flags &= !sys::CKF_USER_PIN_INITIALIZED;
    let error = Err(PinError::NotInitialized(None).into());
    assert_eq!(log_in(&module, Some(&pin("1234"))), error);
    assert!(state().pins.is_empty());
}

#[test]
fn a_token_that_locks_says_so() {
    let (_turn, module) = module();
    state().login_answer = Some(sys::CKR_PIN_LOCKED);
    let wrong = pin("4321");
    let locked = PinError::Locked(Some(Code::new(sys::CKR_PIN_LOCKED)));
    assert_eq!(log_in(&module, Some(&wrong)), Err(locked.into()));
    assert!(log_in(&module, Some(&wrong)).is_err());
    assert_eq!(state().pins.len(), 1);
}

/// What counts a login's answers must count each, and none that the token did not give.
#[test]
fn a_pin_that_was_presented_has_a_code_and_no_other() {
    let (_turn, module) = module();
    let code = |name: &str| match log_in(&module, Some(&pin(name))) {
        Err(Reason::Pin(error)) => error.code(),
        other => panic!("{other:?}"),
    };
    for (answer, name) in [
        (sys::CKR_PIN_INCORRECT, "incorrect"),
        (sys::CKR_PIN_EXPIRED, "expired"),
        (sys::CKR_PIN_LOCKED, "locked"),
    ] {
        state().login_answer = Some(answer);
        assert_eq!(code(name), Some(Code::new(answer)), "{name}");
        assert_eq!(code(name), None, "{name}, not presented again");
    }
    // It says nothing of the PIN, so that is presented each time.
    state().login_answer = Some(sys::CKR_USER_PIN_NOT_INITIALIZED);
    for _ in 0..2 {
        let none = Some(Code::new(sys::CKR_USER_PIN_NOT_INITIALIZED));
        assert_eq!(code("none is set"), none);
    }
    assert_eq!(state().pins.len(), 5);
    for flag in [sys::CKF_USER_PIN_LOCKED, sys::CKF_USER_PIN_FINAL_TRY] {
        state().flags |= flag;
        assert_eq!(code("not presented"), None);
        state().flags &= !flag;
    }
    state().flags &= !sys::CKF_USER_PIN_INITIALIZED;
    assert_eq!(code("not presented"), None);
    assert_eq!(state().pins.len(), 5);
}

#[test]
fn without_a_pin_only_where_the_token_asks_for_it() {
    let (_turn, module) = module();
    assert_eq!(log_in(&module, None), Err(PinError::Missing.into()));
    assert!(log_in(&module, Some(&Pin::protected_path())).is_err());
    assert!(state().pins.is_empty());
    state().flags |= sys::CKF_PROTECTED_AUTHENTICATION_PATH;
    assert_eq!(log_in(&module, Some(&Pin::protected_path())), Ok(7));
    assert_eq!(state().pins, [None]);
}

#[test]
fn somebody_elses_login_will_do_and_says_nothing_of_a_pin() {
    let (_turn, module) = module();
    assert!(log_in(&module, Some(&pin("4321"))).is_err());
    state().login_answer = Some(sys::CKR_USER_ALREADY_LOGGED_IN);
    assert_eq!(log_in(&module, Some(&pin("1234"))), Ok(7));
    let none = Duration::ZERO;
    assert_eq!(module.recover(1, none, none), Ok(true));
    assert!(log_in(&module, Some(&pin("4321"))).is_err());
    assert_eq!(state().pins.len(), 2);
}

#[test]
fn a_token_that_wants_no_login_gets_none() {
    let (_turn, module) = module();
    state().flags = sys::CKF_TOKEN_INITIALIZED;
    assert_eq!(log_in(&module, None), Ok(7));
    assert_eq!(state().calls, ["C_Initialize"]);
}

#[test]
fn an_operation_that_wants_its_own_login_gets_it_once_wrong() {
    let (_turn, module) = module();
    let entered = module.enter().unwrap();
    let token = Token::find(&module, &entered, &Uri::default()).unwrap();
    let log_in = |pin: Option<&Pin>| token.login_for_operation(&entered, 7, 1, &with(pin));
    assert!(log_in(Some(&pin("4321"))).is_err());
    assert!(log_in(Some(&pin("4321"))).is_err());
    assert_eq!(state().pins.len(), 1);
    // The token's warnings count here too.
    assert_eq!(log_in(None), Err(PinError::Missing.into()));
    state().flags |= sys::CKF_USER_PIN_FINAL_TRY;
    let last = Err(PinError::FinalTry.into());
    assert_eq!(log_in(Some(&pin("1234"))), last);
    state().flags &= !sys::CKF_USER_PIN_FINAL_TRY;
    assert_eq!(state().pins.len(), 1);
    assert_eq!(log_in(Some(&pin("1234"))), Ok(()));
    // One that was right is presented again without being asked for, and not at the last
    // try: it may have been changed in the token.
    let nobody = Pin::callback(|_| Err("nobody is there".into()));
    assert_eq!(log_in(Some(&nobody)), Ok(()));
    assert_eq!(state().pins.len(), 3);
    state().flags |= sys::CKF_USER_PIN_FINAL_TRY;
    assert_eq!(log_in(Some(&pin("1234"))), last);
    assert_eq!(state().pins.len(), 3);
    state().flags &= !sys::CKF_USER_PIN_FINAL_TRY;
    state().pin = b"5678";
    assert!(log_in(Some(&pin("1234"))).is_err());
    assert!(log_in(Some(&pin("1234"))).is_err());
    assert_eq!(state().pins.len(), 4);
    assert_eq!(log_in(Some(&pin("5678"))), Ok(()));
}

#[test]
fn of_tokens_alike_it_is_the_one_in_the_slot_that_was_named() {
    let (_turn, module) = module();
    state().slots = vec![7, 8];
    let entered = module.enter().unwrap();
    let find = |uri: &str| Token::find(&module, &entered, &uri.parse().unwrap());
    let several = find("pkcs11:token=mock").err();
    assert!(
        matches!(several, Some(Reason::ManyTokens(_))),
        "{several:?}"
    );
    let tokens = [7, 8].map(|slot| (slot, find(&format!("pkcs11:slot-id={slot}")).unwrap()));
    let right = pin("1234");
    for (slot, token) in &tokens {
        let login = token.ready(&entered, &with(Some(&right))).unwrap();
        assert_eq!(login.slot, *slot);
    }
    drop(entered);
    // Also after everything was looked for anew.
    assert_eq!(module.recover(1, Duration::ZERO, LONG), Ok(true));
    let entered = module.enter().unwrap();
    for (slot, token) in &tokens {
        let login = token.ready(&entered, &with(Some(&right))).unwrap();
        assert_eq!(login.slot, *slot);
    }
    // A PIN that one of them has refused is not presented to the other either: which is
    // which is only known by the slot's number.
    let wrong = pin("4321");
    for (_, token) in &tokens {
        token.leave(&entered);
        assert!(token.ready(&entered, &with(Some(&wrong))).is_err());
    }
    assert_eq!(state().pins.len(), 5);
}

/// How often something is in this process's memory, freed memory included. It is passed with
/// each bit turned over, so as not to be found here.
#[cfg(target_os = "linux")]
fn in_memory(turned: &[u8]) -> usize {
    use std::os::unix::fs::FileExt;
    use zeroize::Zeroizing;
    const STEP: usize = 1 << 16;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    // With what overlaps, for what lies across a border.
    let mut buffer = Zeroizing::new(vec![0; STEP + turned.len() - 1]);
    let mut count = 0;
    for line in maps.lines() {
        let Some((range, flags)) = line.split_once(' ') else {
            continue;
        };
        let Some((from, to)) = range.split_once('-') else {
            continue;
        };
        if !flags.starts_with("rw") || flags.ends_with("[vvar]") {
            continue;
        }
        let address = |text| u64::from_str_radix(text, 16).unwrap();
        let (from, to) = (address(from), address(to));
        for start in (from..to).step_by(STEP) {
            let len = ((to - start) as usize).min(buffer.len());
            // A mapping may be gone by now.
            let Ok(read) = memory.read_at(&mut buffer[..len], start) else {
                break;
            };
            let mut rest = &buffer[..read];
            while let Some(at) = rest.iter().position(|byte| *byte == !turned[0]) {
                rest = &rest[at..];
                let same = rest.iter().zip(turned).all(|(a, b)| *a == !*b);
                count += usize::from(same && rest.len() >= turned.len());
                rest = &rest[1..];
            }
        }
    }
    count
}

#[cfg(target_os = "linux")]
#[test]
fn a_pin_is_wiped_when_it_has_done_its_duty() {
    let (_turn, module) = module();
    state().keeps_pins = false;
    state().login_answer = Some(sys::CKR_OK);
    // A PIN that is nowhere else.
    let turned: Vec<u8> = (0..24).map(|at| !(b'a' + at)).collect();
    let text = || -> zeroize::Zeroizing<String> {
        let pin: String = turned.iter().map(|byte| char::from(!byte)).collect();
        pin.into()
    };
    let file = std::env::temp_dir().join(format!("wiped-pin-{}", std::process::id()));
    std::fs::write(&file, text().as_bytes()).unwrap();
    assert_eq!(log_in(&module, Some(&Pin::file(&file))), Ok(7));
    std::fs::remove_file(&file).unwrap();
    let given = text();
    let asked = Pin::callback(move |_| Ok(given.clone()));
    let entered = module.enter().unwrap();
    let token = Token::find(&module, &entered, &Uri::default()).unwrap();
    assert!(in_memory(&turned) > 0, "it is not found where it is");
    token
        .login_for_operation(&entered, 7, 1, &with(Some(&asked)))
        .unwrap();
    drop(asked);
    // Still there: for the next signature.
    assert!(in_memory(&turned) > 0);
    token.leave(&entered);
    token.ready(&entered, &with(Some(&pin("1234")))).unwrap();
    assert_eq!(in_memory(&turned), 0);
    let mut written = zeroize::Zeroizing::new(String::with_capacity(100));
    written.push_str("pkcs11:?pin-value=");
    written.push_str(&text());
    let uri: Uri = written.parse().unwrap();
    drop(written);
    let value = Pin::from_uri(&uri).unwrap().unwrap();
    let kept = uri.without_pin();
    drop(uri);
    token.leave(&entered);
    token.ready(&entered, &with(Some(&value))).unwrap();
    drop(value);
    assert_eq!(in_memory(&turned), 0, "{kept}");
}

#[test]
fn an_answer_that_says_nothing_certain_is_taken_for_a_refusal() {
    let (_turn, module) = module();
    let vendor = Code::new(sys::CKR_VENDOR_DEFINED);
    state().login_answer = Some(sys::CKR_VENDOR_DEFINED);
    for error in [PinError::Refused(vendor), PinError::Latched(vendor)] {
        assert_eq!(log_in(&module, Some(&pin("1234"))), Err(error.into()));
    }
    assert_eq!(state().pins.len(), 1);
    // Unless the vendor is known to mean something else by it, or it passes by.
    let entered = module.enter().unwrap();
    let token = Token::find(&module, &entered, &Uri::default()).unwrap();
    let profile = Profile::standard().treat(vendor, Class::Busy);
    let credentials = Credentials {
        profile,
        ..with(Some(&pin("5678")))
    };
    for answer in [sys::CKR_VENDOR_DEFINED, sys::CKR_DEVICE_ERROR] {
        state().login_answer = Some(answer);
        for _ in 0..2 {
            let failed = token.ready(&entered, &credentials);
            assert!(matches!(failed, Err(Reason::Call(_))), "{failed:?}");
        }
    }
    assert_eq!(state().pins.len(), 5);
}

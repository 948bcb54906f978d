//! Each fault, shown on SoftHSM through PKCS#11 itself.

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{bench, code, initialize, key, load, login, private, sign, write_script};
use cryptoki::{
    context::Function,
    error::RvError,
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    object::{Attribute, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use pkcs11_fault::Control;
use test_tokens::{Key, Kind, PIN, SO_PIN, Token, fault_module, isolated};

const P256: &[Key] = &[Key::P256];

#[test]
fn without_rules_everything_passes() {
    bench("without_rules_everything_passes", P256, "", |mut bench| {
        let session = bench.logged_in();
        sign(&session, private(&session)).unwrap();
        session.close().unwrap();
        let stats = bench.control.stats().unwrap();
        // A signature is asked for twice: how long it is, and what it is.
        assert_eq!(stats.get("calls C_Sign"), 2);
        assert_eq!(stats.get("sessions open"), 0);
        assert_eq!(stats.violations(), 0);
        assert!(stats.iter().all(|(name, _)| !name.starts_with("code ")));
    });
}

#[test]
fn the_token_works_on_few_calls_at_once_and_takes_its_time() {
    let script = "capacity = 2\n[[rule]]\nname = 'slow'\nfunctions = ['C_Sign']\nlatency_ms = 20";
    let test = "the_token_works_on_few_calls_at_once_and_takes_its_time";
    bench(test, P256, script, |mut bench| {
        let first = bench.logged_in();
        let key = private(&first);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 {
                let session = bench.open();
                scope.spawn(move || {
                    for _ in 0..3 {
                        sign(&session, key).unwrap();
                    }
                });
            }
        });
        // Twelve signatures of 20 ms in two lanes.
        assert!(start.elapsed() >= Duration::from_millis(120));
        assert_eq!(bench.count("executing most"), 2);
        assert!(bench.count("waiting most") >= 2);
        assert_eq!(bench.count("rule slow"), 12);
        // Who called is known by name.
        let named = thread::Builder::new().name("a caller".to_owned());
        let session = bench.open();
        let caller = named.spawn(move || session.close().unwrap()).unwrap();
        caller.join().unwrap();
        assert_eq!(bench.count("thread a_caller"), 1);
    });
}

#[test]
fn a_lookup_is_slow_and_a_signature_is_not() {
    let script = "[[rule]]\nname = 'slow'\nfunctions = ['C_FindObjects*']\nlatency_ms = 30";
    bench(
        "a_lookup_is_slow_and_a_signature_is_not",
        P256,
        script,
        |mut bench| {
            let session = bench.logged_in();
            let start = Instant::now();
            let key = private(&session);
            assert!(start.elapsed() >= Duration::from_millis(90));
            let met = bench.count("rule slow");
            sign(&session, key).unwrap();
            assert_eq!(bench.count("rule slow"), met);
        },
    );
}

#[test]
fn a_code_is_answered_at_the_chosen_calls() {
    let script = "[[rule]]\nname = 'third'\nfunctions = ['C_SignInit']\n\
                  codes = ['CKR_DEVICE_MEMORY']\nwhen = { every = 3, times = 2 }";
    bench(
        "a_code_is_answered_at_the_chosen_calls",
        P256,
        script,
        |mut bench| {
            let session = bench.logged_in();
            let key = private(&session);
            let failed: Vec<_> = (1..=10).filter(|_| sign(&session, key).is_err()).collect();
            assert_eq!(failed, [3, 6]);
            assert_eq!(bench.count("code C_SignInit CKR_DEVICE_MEMORY"), 2);
            // A code of a vendor's own, at any other function.
            bench.say(
                r#"rule {name="vendor", functions=["C_GetSessionInfo"], codes=["0x80000005"]}"#,
            );
            assert!(session.get_session_info().is_err());
            assert_eq!(bench.count("code C_GetSessionInfo 0x80000005"), 1);
            bench.say("drop vendor");
            session.get_session_info().unwrap();
            assert!(bench.control.say("drop vendor").is_err());
        },
    );
}

#[test]
fn an_operation_stays_active_or_ends() {
    bench(
        "an_operation_stays_active_or_ends",
        P256,
        "",
        |mut bench| {
            let session = bench.logged_in();
            let key = private(&session);
            let fault = r#"name="lost", functions=["C_Sign"], codes=["CKR_DEVICE_ERROR"]"#;
            bench.say(&format!("rule {{{fault}, when={{times=1}}, at=\"after\"}}"));
            assert_eq!(code(sign(&session, key)), RvError::DeviceError);
            // The token has signed, and the session can begin anew.
            sign(&session, key).unwrap();

            bench.say(&format!("rule {{{fault}, when={{times=1}}}}"));
            assert_eq!(code(sign(&session, key)), RvError::DeviceError);
            // The token has not seen the call: the operation is still on.
            assert_eq!(code(sign(&session, key)), RvError::OperationActive);
            sign(&bench.open(), key).unwrap();
        },
    );
}

#[test]
fn a_storm_answers_what_it_likes() {
    let script = "seed = 1\n[[rule]]\nname = 'storm'\nfunctions = ['C_SignInit']\n\
                  codes = ['CKR_DEVICE_ERROR', 'CKR_GENERAL_ERROR']\n\
                  when = { probability = 0.5, storm = { every_ms = 3600000, lasts_ms = 1800000 } }";
    bench(
        "a_storm_answers_what_it_likes",
        P256,
        script,
        |mut bench| {
            let session = bench.logged_in();
            let key = private(&session);
            let failed = (0..100).filter(|_| sign(&session, key).is_err()).count();
            assert!((25..75).contains(&failed), "{failed}");
            let one = bench.count("code C_SignInit CKR_DEVICE_ERROR");
            let other = bench.count("code C_SignInit CKR_GENERAL_ERROR");
            assert!(one > 5 && other > 5, "{one} {other}");
            bench.say("clear");
            sign(&session, key).unwrap();
        },
    );
}

#[test]
fn a_call_hangs_until_it_is_released() {
    let script = "[[rule]]\nname = 'stuck'\nfunctions = ['C_Sign']\nhang = true\n\
                  when = { times = 1 }";
    bench(
        "a_call_hangs_until_it_is_released",
        P256,
        script,
        |mut bench| {
            let session = bench.logged_in();
            let key = private(&session);
            let other = bench.open();
            let stuck = thread::spawn(move || sign(&session, key));
            while bench.count("hanging now") == 0 {
                thread::yield_now();
            }
            sign(&other, key).unwrap();
            assert!(!stuck.is_finished());
            bench.say("release");
            stuck.join().unwrap().unwrap();
            assert_eq!(bench.count("hanging now"), 0);

            // One that goes on by itself.
            bench.say(r#"rule {name="stuck", functions=["C_Sign"], hang_ms=30, when={times=1}}"#);
            let start = Instant::now();
            sign(&other, key).unwrap();
            assert!(start.elapsed() >= Duration::from_millis(30));
        },
    );
}

#[test]
fn a_release_reaches_who_waits_for_a_lane_to_hang_in() {
    let script = "capacity = 1\n[[rule]]\nname = 'stuck'\nfunctions = ['C_GetSessionInfo']\n\
                  hang = true";
    let test = "a_release_reaches_who_waits_for_a_lane_to_hang_in";
    bench(test, P256, script, |mut bench| {
        let [one, other] = [bench.open(), bench.open()];
        let ask = |session: Session| thread::spawn(move || session.get_session_info().is_ok());
        let first = ask(one);
        while bench.count("hanging now") == 0 {
            thread::yield_now();
        }
        let second = ask(other);
        while bench.count("waiting now") == 0 {
            thread::yield_now();
        }
        bench.say("release");
        assert!(first.join().unwrap() && second.join().unwrap());
    });
}

#[test]
fn a_mechanism_is_taken_away() {
    let script = "without = ['CKM_ECDSA', 'CKM_SHA256']";
    bench("a_mechanism_is_taken_away", P256, script, |mut bench| {
        let session = bench.logged_in();
        let key = private(&session);
        let slot = bench.slot();
        let listed = |bench: &common::Bench| {
            let list = bench.context.get_mechanism_list(slot).unwrap();
            list.contains(&MechanismType::ECDSA)
        };
        assert!(!listed(&bench));
        let info = bench.context.get_mechanism_info(slot, MechanismType::ECDSA);
        assert_eq!(code(info), RvError::MechanismInvalid);
        assert_eq!(code(sign(&session, key)), RvError::MechanismInvalid);
        let digest = session.digest(&Mechanism::Sha256, b"message");
        assert_eq!(code(digest), RvError::MechanismInvalid);
        session.digest(&Mechanism::Sha384, b"message").unwrap();
        assert_eq!(bench.count("mechanism CKM_ECDSA"), 0);

        bench.say("set without=[]");
        assert!(listed(&bench));
        sign(&session, key).unwrap();
        assert_eq!(bench.count("mechanism CKM_ECDSA"), 1);
    });
}

#[test]
fn a_call_that_hung_over_a_reinitialisation_has_no_session() {
    let test = "a_call_that_hung_over_a_reinitialisation_has_no_session";
    let script = "[[rule]]\nname = 'stuck'\nfunctions = ['C_Sign']\nhang = true\n\
                  when = { times = 1 }";
    bench(test, P256, script, |mut bench| {
        let session = bench.logged_in();
        let key = private(&session);
        let stuck = thread::spawn(move || code(sign(&session, key)));
        while bench.count("hanging now") == 0 {
            thread::yield_now();
        }
        bench.context.clone().finalize().unwrap();
        assert_eq!(bench.count("violation finalize-during-call"), 1);
        initialize(&bench.context);
        bench.say("release");
        assert_eq!(stuck.join().unwrap(), RvError::SessionHandleInvalid);
    });
}

#[test]
fn sessions_run_out() {
    bench("sessions_run_out", P256, "sessions = 2", |mut bench| {
        let (slot, first, second) = (bench.slot(), bench.open(), bench.open());
        let third = bench.context.open_ro_session(slot);
        assert_eq!(code(third), RvError::SessionCount);
        first.close().unwrap();
        let third = bench.open();
        bench.say("set sessions=0");
        let fourth = bench.open();
        for session in [second, third, fourth] {
            session.close().unwrap();
        }
    });
}

#[test]
fn sessions_are_lost_and_the_login_with_them() {
    bench(
        "sessions_are_lost_and_the_login_with_them",
        P256,
        "",
        |mut bench| {
            let session = bench.logged_in();
            let key = private(&session);
            bench.say("lose-sessions keyway");
            assert_eq!(code(sign(&session, key)), RvError::SessionHandleInvalid);
            let session = bench.open();
            // A private object is not even seen without a login.
            assert_eq!(code(sign(&session, key)), RvError::ObjectHandleInvalid);
            login(&session, PIN).unwrap();
            sign(&session, private(&session)).unwrap();
        },
    );
}

#[test]
fn a_token_is_taken_out_and_put_back() {
    bench(
        "a_token_is_taken_out_and_put_back",
        P256,
        "",
        |mut bench| {
            let session = bench.logged_in();
            let key = private(&session);
            let slot = bench.slot();
            let present = bench.context.get_slots_with_token().unwrap().len();
            bench.say("remove keyway");
            assert_eq!(code(sign(&session, key)), RvError::DeviceRemoved);
            assert_eq!(
                code(bench.context.get_token_info(slot)),
                RvError::TokenNotPresent
            );
            assert_eq!(
                code(bench.context.open_ro_session(slot)),
                RvError::TokenNotPresent
            );
            assert!(!bench.context.get_slot_info(slot).unwrap().token_present());
            let now = bench.context.get_slots_with_token().unwrap();
            assert_eq!(now.len(), present - 1);
            assert!(!now.contains(&slot));

            bench.say("return keyway");
            assert_eq!(code(sign(&session, key)), RvError::SessionHandleInvalid);
            let session = bench.logged_in();
            sign(&session, private(&session)).unwrap();
        },
    );
}

#[test]
fn a_poisoned_module_recovers_by_being_initialised_again() {
    let test = "a_poisoned_module_recovers_by_being_initialised_again";
    bench(test, P256, "", |mut bench| {
        let session = bench.logged_in();
        let key = private(&session);
        bench.say("poison");
        assert_eq!(code(sign(&session, key)), RvError::DeviceError);
        assert_eq!(
            code(bench.context.get_slots_with_token()),
            RvError::DeviceError
        );
        bench.context.clone().finalize().unwrap();
        initialize(&bench.context);
        let session = bench.logged_in();
        sign(&session, private(&session)).unwrap();
        bench.say("poison CKR_GENERAL_ERROR");
        assert_eq!(code(sign(&session, key)), RvError::GeneralError);
        bench.say("cure");
        sign(&session, key).unwrap();
    });
}

#[test]
fn a_signature_is_wrong_in_three_ways() {
    let keys = [Key::Rsa2048, Key::P256, Key::Ed25519];
    bench(
        "a_signature_is_wrong_in_three_ways",
        &keys,
        "",
        |mut bench| {
            let session = bench.logged_in();
            let pss = PkcsPssParams {
                hash_alg: MechanismType::SHA256,
                mgf: PkcsMgfType::MGF1_SHA256,
                s_len: 32.into(),
            };
            let eddsa = EddsaParams::new(EddsaSignatureScheme::Pure);
            for (name, mechanism) in [
                (Key::Rsa2048, Mechanism::RsaPkcsPss(pss)),
                (Key::P256, Mechanism::Ecdsa),
                (Key::Ed25519, Mechanism::Eddsa(eddsa)),
            ] {
                let private = key(&session, ObjectClass::PRIVATE_KEY, name);
                let public = key(&session, ObjectClass::PUBLIC_KEY, name);
                let digest = [9; 32];
                let good = session.sign(&mechanism, private, &digest).unwrap();
                session.verify(&mechanism, public, &digest, &good).unwrap();
                for fault in ["flip", "truncate", "other-key"] {
                    bench.say(&format!(
                        r#"rule {{name="liar", functions=["C_Sign"], signature="{fault}"}}"#
                    ));
                    let wrong = session.sign(&mechanism, private, &digest).unwrap();
                    assert!(
                        session.verify(&mechanism, public, &digest, &wrong).is_err(),
                        "{name:?} {fault}"
                    );
                    let shorter = usize::from(fault == "truncate");
                    assert_eq!(wrong.len(), good.len() - shorter, "{name:?} {fault}");
                    if fault == "other-key" {
                        // It is good, for the public key that the module has made.
                        let template = [
                            Attribute::Class(ObjectClass::PUBLIC_KEY),
                            Attribute::Token(false),
                            Attribute::KeyType(match name {
                                Key::Rsa2048 => cryptoki::object::KeyType::RSA,
                                Key::P256 => cryptoki::object::KeyType::EC,
                                _ => cryptoki::object::KeyType::EC_EDWARDS,
                            }),
                        ];
                        let other = session.find_objects(&template).unwrap();
                        assert_eq!(other.len(), 1);
                        session
                            .verify(&mechanism, other[0], &digest, &wrong)
                            .unwrap();
                    }
                }
                bench.say("clear");
                let good = session.sign(&mechanism, private, &digest).unwrap();
                session.verify(&mechanism, public, &digest, &good).unwrap();
            }
        },
    );
}

#[test]
fn wrong_pins_lock_the_token() {
    bench(
        "wrong_pins_lock_the_token",
        P256,
        "pin = { tries = 3 }",
        |mut bench| {
            let (slot, session) = (bench.slot(), bench.open());
            let flags = |bench: &common::Bench| {
                let info = bench.context.get_token_info(slot).unwrap();
                (
                    info.user_pin_count_low(),
                    info.user_pin_final_try(),
                    info.user_pin_locked(),
                )
            };
            assert_eq!(flags(&bench), (false, false, false));
            assert_eq!(code(login(&session, "0000")), RvError::PinIncorrect);
            assert_eq!(flags(&bench), (true, false, false));
            // The right one wipes the slate clean.
            login(&session, PIN).unwrap();
            session.logout().unwrap();
            assert_eq!(flags(&bench), (false, false, false));
            for _ in 0..2 {
                assert_eq!(code(login(&session, "0000")), RvError::PinIncorrect);
            }
            assert_eq!(flags(&bench), (true, true, false));
            assert_eq!(bench.count("violation login-at-final-try"), 0);
            assert_eq!(code(login(&session, "0000")), RvError::PinIncorrect);
            assert_eq!(bench.count("violation login-at-final-try"), 1);
            assert_eq!(flags(&bench), (false, false, true));
            assert_eq!(code(login(&session, PIN)), RvError::PinLocked);
            assert_eq!(bench.count("pin keyway"), 3);

            // The count is the token's, not the module's.
            bench.context.clone().finalize().unwrap();
            initialize(&bench.context);
            let session = bench.context.open_rw_session(slot).unwrap();
            assert_eq!(code(login(&session, PIN)), RvError::PinLocked);
            // The security officer sets a new one.
            let so_pin = AuthPin::new(SO_PIN.into());
            session.login(UserType::So, Some(&so_pin)).unwrap();
            session.init_pin(&AuthPin::new(PIN.into())).unwrap();
            session.logout().unwrap();
            login(&session, PIN).unwrap();
        },
    );
}

#[test]
fn a_token_can_stand_at_its_last_try_from_the_start() {
    let test = "a_token_can_stand_at_its_last_try_from_the_start";
    bench(
        test,
        P256,
        "pin = { tries = 3, failed = 2 }",
        |mut bench| {
            assert!(
                bench
                    .context
                    .get_token_info(bench.slot())
                    .unwrap()
                    .user_pin_final_try()
            );
            assert_eq!(code(login(&bench.open(), "0000")), RvError::PinIncorrect);
            assert_eq!(code(login(&bench.open(), PIN)), RvError::PinLocked);
            bench.say("set pin={tries=0}");
            login(&bench.open(), PIN).unwrap();
        },
    );
}

#[test]
fn a_handle_from_before_names_a_new_session_or_none() {
    bench(
        "a_handle_from_before_names_a_new_session_or_none",
        P256,
        "",
        |mut bench| {
            let old = bench.open();
            bench.context.clone().finalize().unwrap();
            initialize(&bench.context);
            let new = bench.logged_in();
            assert_eq!(old.handle(), new.handle());
            // This closes what it does not own.
            old.close().unwrap();
            assert_eq!(code(new.get_session_info()), RvError::SessionHandleInvalid);

            bench.say("set handles=\"unique\"");
            bench.context.clone().finalize().unwrap();
            initialize(&bench.context);
            let old = bench.open();
            bench.context.clone().finalize().unwrap();
            initialize(&bench.context);
            let new = bench.logged_in();
            assert_ne!(old.handle(), new.handle());
            let before = bench.count("violation stale-handle");
            assert_eq!(code(old.get_session_info()), RvError::SessionHandleInvalid);
            assert_eq!(bench.count("violation stale-handle"), before + 1);
            new.get_session_info().unwrap();
        },
    );
}

#[test]
fn a_rule_can_be_for_one_token() {
    let script = "[[rule]]\nname = 'other'\ntoken = 'another'\ncodes = ['CKR_DEVICE_ERROR']\n\
                  [[rule]]\nname = 'this'\ntoken = 'keyway'\nfunctions = ['C_Sign']\n\
                  codes = ['CKR_FUNCTION_FAILED']";
    bench("a_rule_can_be_for_one_token", P256, script, |bench| {
        let session = bench.logged_in();
        let key = private(&session);
        assert_eq!(code(sign(&session, key)), RvError::FunctionFailed);
    });
}

#[test]
fn the_module_itself_fails_when_a_rule_names_its_functions() {
    let test = "the_module_itself_fails_when_a_rule_names_its_functions";
    isolated(test, Kind::SoftHsm, |dir| {
        let Some(token) = Token::make_or_skip(Kind::SoftHsm, dir, &[]) else {
            return;
        };
        let script = "[[rule]]\nname = 'sick'\nfunctions = ['C_Initialize']\n\
                      codes = ['CKR_GENERAL_ERROR']\nwhen = { times = 1 }";
        write_script(dir, &token.module, script);
        let context = load();
        let args = cryptoki::context::CInitializeArgs::new(
            cryptoki::context::CInitializeFlags::OS_LOCKING_OK,
        );
        assert_eq!(code(context.initialize(args)), RvError::GeneralError);
        // The socket was there before.
        let mut control = Control::connect(&dir.join("fault.sock")).unwrap();
        assert_eq!(control.stats().unwrap().get("rule sick"), 1);
        initialize(&context);
    });
}

#[test]
fn several_copies_have_a_script_each() {
    isolated("several_copies_have_a_script_each", Kind::Nss, |dir| {
        let Some(token) = Token::make_or_skip(Kind::Nss, dir, P256) else {
            return;
        };
        let copy = dir.join("one.so");
        std::fs::copy(fault_module(), &copy).unwrap();
        let reserved = token.reserved.unwrap();
        write_script(dir, &token.module, &format!("reserved = \"{reserved}\""));
        std::fs::rename(dir.join("fault.toml"), dir.join("one.toml")).unwrap();
        let context = cryptoki::context::Pkcs11::new(copy).unwrap();
        assert!(context.is_fn_supported(Function::Sign));
        Control::connect(&dir.join("fault.sock")).unwrap();
        // NSS finds its database by what the script has it told.
        initialize(&context);
        let mut slots = context.get_slots_with_token().unwrap().into_iter();
        let label = |slot| context.get_token_info(slot).unwrap().label().to_owned();
        let slot = slots.find(|&slot| label(slot) == token.label).unwrap();
        let session = context.open_ro_session(slot).unwrap();
        login(&session, PIN).unwrap();
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
        let key = session.find_objects(&template).unwrap()[0];
        sign(&session, key).unwrap();
    });
}

#[test]
fn the_socket_explains_itself_and_what_is_wrong() {
    let script = "[[rule]]\nname = 'a'\nfunctions = ['C_Sign']\nlatency_ms = 1";
    bench(
        "the_socket_explains_itself_and_what_is_wrong",
        P256,
        script,
        |mut bench| {
            let help = bench.say("help");
            for word in ["set", "rule", "poison", "stats"] {
                assert!(help.iter().any(|line| line.starts_with(word)), "{word}");
            }
            for wrong in [
                "frobnicate",
                "rule {name='b', functions=['C_Sing']}",
                "load /no/file",
            ] {
                assert!(bench.control.say(wrong).is_err(), "{wrong}");
            }
            let script = bench.say("script").join("\n");
            assert_eq!(
                pkcs11_fault::Script::parse(&script).unwrap().rule[0].name,
                "a"
            );
            std::fs::write(bench.dir.join("next.toml"), "capacity = 3").unwrap();
            let next = bench.dir.join("next.toml");
            bench.say(&format!("load {}", next.display()));
            let script = pkcs11_fault::Script::parse(&bench.say("script").join("\n")).unwrap();
            assert_eq!((script.capacity, script.rule.len()), (3, 0));
            bench.say("reset");
            assert_eq!(bench.count("calls C_Initialize"), 0);
        },
    );
}

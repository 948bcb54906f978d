//! What the module knows of its tokens: sessions, labels, which are away, wrong PINs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use cryptoki_sys as ck;

use crate::{
    gate::lock,
    script::{Handles, Pin},
};

/// A session, behind the handle that the caller has for it.
#[derive(Debug)]
pub(crate) struct Session {
    /// The real module's handle.
    pub(crate) inner: ck::CK_SESSION_HANDLE,
    pub(crate) slot: ck::CK_SLOT_ID,
    pub(crate) label: Option<Arc<str>>,
    busy: AtomicBool,
    /// Closed behind the caller's back.
    dead: AtomicBool,
    /// What the last `C_SignInit` began.
    pub(crate) operation: Mutex<Option<Operation>>,
}

/// A signature that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// How long the token took to begin it.
    pub(crate) init: Duration,
    pub(crate) mechanism: ck::CK_MECHANISM_TYPE,
    pub(crate) parameter: Parameter,
    pub(crate) key: ck::CK_OBJECT_HANDLE,
}

/// What came with a mechanism.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parameter {
    None,
    Pss(ck::CK_RSA_PKCS_PSS_PARAMS),
    /// One that may point to the caller's memory, and so is not kept.
    Other,
}

/// A session while a call uses it.
#[derive(Debug)]
pub(crate) struct InUse<'a>(&'a Session);

#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The handle given last.
    last: ck::CK_SESSION_HANDLE,
    /// The last handle that was given before this `C_Initialize`.
    stale: ck::CK_SESSION_HANDLE,
    sessions: BTreeMap<ck::CK_SESSION_HANDLE, Arc<Session>>,
    labels: BTreeMap<ck::CK_SLOT_ID, Arc<str>>,
    away: Away,
    /// Wrong PINs by label.
    failed: BTreeMap<Arc<str>, u32>,
}

/// Which tokens are not in their slots.
#[derive(Debug, Default)]
struct Away {
    all: bool,
    labels: BTreeSet<String>,
}

impl Session {
    /// Marks the session as used; `None` when another thread uses it already.
    pub(crate) fn enter(&self) -> Option<InUse<'_>> {
        (!self.busy.swap(true, Relaxed)).then_some(InUse(self))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Relaxed)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Relaxed);
    }
}

impl Tokens {
    /// Begins anew after `C_Initialize`.
    pub(crate) fn begin(&self, handles: Handles) {
        let mut state = lock(&self.0);
        state.labels.clear();
        match handles {
            Handles::Restart => {
                state.last = 0;
                state.stale = 0;
            }
            Handles::Unique => state.stale = state.last,
        }
    }

    /// Ends every session, with `C_Finalize`.
    pub(crate) fn end(&self) {
        lock(&self.0).sessions.clear();
    }

    /// Gives a session its handle.
    pub(crate) fn open(
        &self,
        inner: ck::CK_SESSION_HANDLE,
        slot: ck::CK_SLOT_ID,
    ) -> ck::CK_SESSION_HANDLE {
        let mut state = lock(&self.0);
        state.last += 1;
        let handle = state.last;
        let session = Session {
            inner,
            slot,
            label: state.labels.get(&slot).cloned(),
            busy: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            operation: Mutex::default(),
        };
        state.sessions.insert(handle, Arc::new(session));
        handle
    }

    pub(crate) fn session(&self, handle: ck::CK_SESSION_HANDLE) -> Option<Arc<Session>> {
        lock(&self.0).sessions.get(&handle).cloned()
    }

    /// Whether the handle was given before the last `C_Initialize`.
    pub(crate) fn is_stale(&self, handle: ck::CK_SESSION_HANDLE) -> bool {
        handle != 0 && handle <= lock(&self.0).stale
    }

    pub(crate) fn close(&self, handle: ck::CK_SESSION_HANDLE) {
        lock(&self.0).sessions.remove(&handle);
    }

    pub(crate) fn close_all(&self, slot: ck::CK_SLOT_ID) {
        lock(&self.0).sessions.retain(|_, s| s.slot != slot);
    }

    /// How many sessions are open in a slot, or in all.
    pub(crate) fn open_sessions(&self, slot: Option<ck::CK_SLOT_ID>) -> usize {
        let state = lock(&self.0);
        let counts = |session: &&Arc<Session>| {
            !session.is_dead() && slot.is_none_or(|slot| session.slot == slot)
        };
        state.sessions.values().filter(counts).count()
    }

    pub(crate) fn label(&self, slot: ck::CK_SLOT_ID) -> Option<Arc<str>> {
        lock(&self.0).labels.get(&slot).cloned()
    }

    pub(crate) fn learn(&self, slot: ck::CK_SLOT_ID, label: &str) {
        lock(&self.0).labels.insert(slot, label.into());
    }

    pub(crate) fn forget(&self, slot: ck::CK_SLOT_ID) {
        lock(&self.0).labels.remove(&slot);
    }

    /// Declares the token's sessions dead, or all of them; says in which slots.
    pub(crate) fn lose_sessions(&self, token: Option<&str>) -> BTreeSet<ck::CK_SLOT_ID> {
        let state = lock(&self.0);
        let mut slots = BTreeSet::new();
        for session in state.sessions.values() {
            if token.is_none_or(|token| session.label.as_deref() == Some(token)) {
                session.dead.store(true, Relaxed);
                slots.insert(session.slot);
            }
        }
        slots
    }

    /// Takes the token away, or all of them.
    pub(crate) fn remove(&self, token: Option<&str>) {
        let away = &mut lock(&self.0).away;
        match token {
            Some(token) => {
                away.labels.insert(token.to_owned());
            }
            None => away.all = true,
        }
    }

    /// Puts the token back, or all of them.
    pub(crate) fn put_back(&self, token: Option<&str>) {
        let away = &mut lock(&self.0).away;
        match token {
            Some(token) => {
                away.labels.remove(token);
            }
            None => *away = Away::default(),
        }
    }

    pub(crate) fn is_away(&self, label: Option<&str>) -> bool {
        let away = &lock(&self.0).away;
        away.all || label.is_some_and(|label| away.labels.contains(label))
    }

    /// How many wrong PINs in a row the token has seen.
    pub(crate) fn failed(&self, label: Option<&str>, pin: Pin) -> u32 {
        let seen = label.and_then(|label| lock(&self.0).failed.get(label).copied());
        seen.unwrap_or(pin.failed)
    }

    pub(crate) fn set_failed(&self, label: Option<&str>, failed: u32) {
        if let Some(label) = label {
            lock(&self.0).failed.insert(label.into(), failed);
        }
    }

    /// Forgets all wrong PINs, so that the script's number holds again.
    pub(crate) fn reset_pins(&self) {
        lock(&self.0).failed.clear();
    }

    pub(crate) fn pin_lines(&self, pin: Pin) -> Vec<String> {
        let state = lock(&self.0);
        let labels: BTreeSet<_> = state.labels.values().chain(state.failed.keys()).collect();
        let line = |label: &Arc<str>| {
            let failed = state.failed.get(label).copied().unwrap_or(pin.failed);
            format!("pin {} {failed}", label.replace(' ', "_"))
        };
        labels.into_iter().map(line).collect()
    }
}

/// What a token says of its PIN after so many wrong ones: the flags to set.
pub(crate) fn pin_flags(pin: Pin, failed: u32) -> ck::CK_FLAGS {
    if pin.tries == 0 || failed == 0 {
        0
    } else if failed >= pin.tries {
        ck::CKF_USER_PIN_LOCKED
    } else if failed + 1 == pin.tries {
        ck::CKF_USER_PIN_COUNT_LOW | ck::CKF_USER_PIN_FINAL_TRY
    } else {
        ck::CKF_USER_PIN_COUNT_LOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_restart_or_never_return() {
        let tokens = Tokens::default();
        tokens.begin(Handles::Restart);
        assert_eq!([tokens.open(70, 1), tokens.open(71, 1)], [1, 2]);
        tokens.end();
        assert!(tokens.session(1).is_none());
        tokens.begin(Handles::Restart);
        assert_eq!(tokens.open(72, 1), 1);
        assert_eq!(tokens.session(1).unwrap().inner, 72);
        assert!(!tokens.is_stale(1));

        tokens.begin(Handles::Unique);
        assert_eq!(tokens.open(73, 1), 2);
        assert!(tokens.is_stale(1) && !tokens.is_stale(2) && !tokens.is_stale(9));
    }

    #[test]
    fn only_the_named_tokens_sessions_die() {
        let tokens = Tokens::default();
        tokens.learn(1, "one");
        tokens.learn(2, "two");
        let (one, two) = (tokens.open(70, 1), tokens.open(71, 2));
        assert_eq!(tokens.lose_sessions(Some("one")), BTreeSet::from([1]));
        assert!(tokens.session(one).unwrap().is_dead());
        assert!(!tokens.session(two).unwrap().is_dead());
        assert_eq!(tokens.open_sessions(None), 1);
        assert_eq!(tokens.open_sessions(Some(1)), 0);
    }

    #[test]
    fn a_token_is_away_until_it_is_put_back() {
        let tokens = Tokens::default();
        tokens.remove(Some("one"));
        assert!(tokens.is_away(Some("one")) && !tokens.is_away(Some("two")));
        tokens.remove(None);
        assert!(tokens.is_away(Some("two")) && tokens.is_away(None));
        tokens.put_back(None);
        assert!(!tokens.is_away(Some("one")));
    }

    #[test]
    fn a_session_is_used_by_one_call_at_a_time() {
        let tokens = Tokens::default();
        let session = tokens.session(tokens.open(70, 1)).unwrap();
        let first = session.enter();
        assert!(first.is_some());
        assert!(session.enter().is_none());
        drop(first);
        assert!(session.enter().is_some());
    }

    #[test]
    fn the_flags_follow_the_wrong_pins() {
        let pin = Pin {
            tries: 3,
            failed: 0,
        };
        let low = ck::CKF_USER_PIN_COUNT_LOW;
        let flags: Vec<_> = (0..5).map(|failed| pin_flags(pin, failed)).collect();
        let last = low | ck::CKF_USER_PIN_FINAL_TRY;
        let locked = ck::CKF_USER_PIN_LOCKED;
        assert_eq!(flags, [0, low, last, locked, locked]);
        assert_eq!(pin_flags(Pin::default(), 100), 0);
    }
}
